import type { Op } from '../../machine/index.ts';
import type { Bus } from '../../memory/index.ts';
import type { VtdPort } from './kernel.ts';

/**
 * A unit for tests that writes down what reaches its queue and completes waits. It knows nothing of tables or caches, so that
 * what the driver sends can be compared with numbers from elsewhere.
 */
export class RecordingUnit implements VtdPort {
  readonly irq = { fault: false, prq: false, inv: false };
  readonly registers = new Map<string, bigint>();
  /** Register writes in order: `IQT_REG 0x40`. */
  readonly written: string[] = [];
  /** Submissions: the descriptors before each wait that writes a status, the wait as the last. */
  readonly submissions: bigint[][][] = [];
  /** Called when a descriptor is refused: returns bits of FSTS to set, 0 to accept it. */
  refuse: (words: readonly bigint[]) => number = () => 0;
  private readonly bus: Bus;
  private open: bigint[][] = [];

  constructor(bus: Bus, cap: bigint, ecap: bigint) {
    this.bus = bus;
    this.registers.set('CAP_REG', cap);
    this.registers.set('ECAP_REG', ecap);
    this.registers.set('VER_REG', 0x60n);
  }

  readRegister(name: string): bigint {
    return this.registers.get(name) ?? 0n;
  }

  // biome-ignore lint/correctness/useYield: it has the shape of a unit's
  *writeRegister(name: string, value: bigint): Op<void> {
    this.written.push(`${name} 0x${value.toString(16)}`);
    switch (name) {
      case 'GCMD_REG': {
        // One-shot bits: SRTP stays set in the status, the write buffer's is done at once.
        this.registers.set('GSTS_REG', (this.readRegister('GSTS_REG') & 0x40000000n) | (value & ~0x08000000n));
        return;
      }
      case 'FSTS_REG':
        this.registers.set('FSTS_REG', this.readRegister('FSTS_REG') & ~value);
        // A repaired queue goes on.
        if (value & 0x10n) this.consume();
        return;
      case 'IQT_REG':
        this.registers.set(name, value);
        this.consume();
        return;
      case 'PRS_REG':
        this.registers.set(name, this.readRegister(name) & ~value);
        return;
      default:
        if (name.startsWith('FRCD_REG')) this.registers.set(name, this.readRegister(name) & ~value);
        else this.registers.set(name, value);
        if (name === 'IQA_REG') this.registers.set('IQH_REG', 0n);
    }
  }

  private consume(): void {
    const iqa = this.readRegister('IQA_REG');
    const size = iqa & 0x800n ? 32 : 16;
    const base = Number((iqa >> 12n) << 12n);
    let head = Number(this.readRegister('IQH_REG'));
    while (head !== Number(this.readRegister('IQT_REG'))) {
      const words = [0, 8, 16, 24].map((o) => (o < size ? this.bus.readWord(base + head + o) : 0n));
      const errors = this.refuse(words);
      if (errors) {
        this.registers.set('FSTS_REG', this.readRegister('FSTS_REG') | BigInt(errors));
        return;
      }
      this.open.push(words);
      if ((words[0]! & 0x2fn) === 0x25n) {
        this.bus.write32(Number(words[1]), Number(words[0]! >> 32n));
        this.submissions.push(this.open);
        this.open = [];
      }
      head = (head + size) % (256 * size);
      this.registers.set('IQH_REG', BigInt(head));
    }
  }

  /** Forgets what it has seen. */
  clear(): void {
    this.submissions.length = 0;
    this.written.length = 0;
  }

  /** The submissions without their waits, each descriptor as its first two words: `0x20036 0xfffff040`. */
  sent(): string[][] {
    return this.submissions.map((s) => s.slice(0, -1).map(wordsText));
  }
}

/** `0x0000000000020036 0x00000000fffff040`, as the reference prints descriptors. */
export const wordsText = (words: readonly bigint[]): string =>
  words
    .slice(0, 2)
    .map((w) => `0x${w.toString(16).padStart(16, '0')}`)
    .join(' ');
