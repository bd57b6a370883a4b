import { encode } from '../../bits/index.ts';
import type { TranslationCache } from '../../cache/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { type DmaOutcome, type DmaRequest, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { cdLayout, steLayout } from '../layout/index.ts';
import { physicalFeatures, Smmu } from './index.ts';

/** One stage's tables as a test describes them: log2 granule, level of the first table, input bits. */
export interface Tables {
  readonly granule: 12 | 14 | 16;
  readonly start: number;
  readonly bits: number;
}

type Fields = Readonly<Record<string, number | bigint>>;

const STREAM = 0x100;
const STRTAB = 0x10_0000;

/** Codes of TG0 and S2TG, and of TG1. Source: Arm IHI 0070 5.4. */
export const TG0 = { 12: 0, 14: 2, 16: 1 } as const;
export const TG1 = { 12: 2, 14: 1, 16: 3 } as const;
/** Code of an address size. */
export const PS: Readonly<Record<number, number>> = { 32: 0, 36: 1, 40: 2, 42: 3, 44: 4, 48: 5, 52: 6 };

/** A descriptor with its address where the granule has it: bits 51:48 of 64 KiB ones lie in 15:12. */
export const descriptor = (granule: number, address: bigint, attributes: bigint): bigint =>
  granule === 16
    ? (address & 0xffff_ffff_0000n) | (((address >> 48n) & 15n) << 12n) | attributes
    : address | attributes;

/**
 * A stream with tables of any granule, level and size, placed by the plainest arithmetic on bigints: nothing of the drivers
 * and nothing of the walker. Intermediate addresses of CD and stage-1 tables are given; stage 2 maps them when there is one.
 */
export class GranuleMachine {
  readonly memory = new Memory(2 ** 52);
  readonly trace = new Trace();
  readonly device = new PciDevice({ name: 'd', rid: STREAM, vrid: 8, pasidBits: 0, ats: true, pri: false });
  readonly smmu: Smmu;
  readonly cdIpa = 0x200_0000n;
  private next = 0x4000_0000n;
  private nextIpa: bigint;
  private readonly s2: Tables | null;
  private readonly s2Root: bigint;

  constructor(o: {
    features?: Readonly<Record<string, boolean | number>>;
    /** Stage 2: its tables; null where the stream has none. */
    s2?: Tables | null;
    ste?: Fields;
    cd?: Fields;
    /** From where stage-1 tables are allotted, an intermediate address. */
    tables?: bigint;
  }) {
    this.nextIpa = o.tables ?? 0x1000_0000n;
    const features = physicalFeatures({ OAS: 52, VAX: true, ...o.features });
    this.smmu = new Smmu(this.memory, features, [this.device], this.trace, new Injector(this.trace));
    this.s2 = o.s2 ?? null;
    const { s2 } = this;
    this.s2Root = s2 === null ? 0n : this.alloc(rootBytes(s2));
    const stage2: Fields =
      s2 === null
        ? {}
        : {
            S2T0SZ: 64 - s2.bits,
            S2SL0: s2.granule === 12 ? 2 - s2.start : 3 - s2.start,
            S2TG: TG0[s2.granule],
            S2PS: 6,
            S2AA64: 1,
            S2PTW: 1,
            S2R: 1,
            S2TTB: this.s2Root,
          };
    const ste: Fields = {
      V: 1,
      Config: s2 === null ? 5 : 7,
      S1ContextPtr: this.cdIpa,
      EATS: 1,
      S2VMID: 1,
      ...stage2,
      ...o.ste,
    };
    this.put(BigInt(STRTAB + STREAM * 64), encode(steLayout, ste));
    const base: Fields = { EPD0: 1, EPD1: 1, V: 1, IPS: 6, AA64: 1, R: 1, A: 1, ASID: 1 };
    this.put(this.pa(this.cdIpa), encode(cdLayout, { ...base, ...o.cd }));
    for (const [name, value] of [
      ['STRTAB_BASE', BigInt(STRTAB)],
      ['STRTAB_BASE_CFG', 9n],
      ['EVENTQ_BASE', 0x30_0005n],
      ['CMDQ_BASE', 0x31_0003n],
      ['CR0', 0x1dn],
    ] as const)
      runToEnd(this.smmu.writeRegister(name, value));
    this.device.atsEnabled = true;
  }

  word(at: bigint): bigint {
    return this.memory.readWord(Number(at));
  }

  write(at: bigint, word: bigint): void {
    this.memory.writeWord(Number(at), word);
  }

  put(at: bigint, words: readonly bigint[]): void {
    for (const [i, w] of words.entries()) this.write(at + BigInt(8 * i), w);
  }

  /** Host memory of a size, aligned to it. */
  alloc(bytes: bigint): bigint {
    this.next = (this.next + bytes - 1n) & -bytes;
    this.next += bytes;
    return this.next - bytes;
  }

  /** Intermediate memory of a size, aligned to it. Without stage 2 it is physical. */
  allocIpa(bytes: bigint): bigint {
    this.nextIpa = (this.nextIpa + bytes - 1n) & -bytes;
    this.nextIpa += bytes;
    return this.nextIpa - bytes;
  }

  /** Where an intermediate address lies; its page is mapped now if it is not. */
  pa(ipa: bigint, attributes = 0x7ffn): bigint {
    const { s2 } = this;
    if (s2 === null) return ipa;
    const size = 1n << BigInt(s2.granule);
    const at = this.s2Entry(ipa, 3);
    if (this.word(at) === 0n) this.write(at, descriptor(s2.granule, this.alloc(size), attributes));
    return addressOf(s2.granule, this.word(at)) | (ipa & (size - 1n));
  }

  /** Address of the stage-2 descriptor of an intermediate address at a level; tables above are made. */
  s2Entry(ipa: bigint, level: number): bigint {
    const { s2 } = this;
    return this.entry(
      s2!,
      this.s2Root,
      ipa,
      level,
      () => this.alloc(1n << BigInt(s2!.granule)),
      (x) => x,
    );
  }

  /** Address (physical) of the stage-1 descriptor of an input address at a level; tables above are made. */
  s1Entry(t: Tables, root: bigint, va: bigint, level: number): bigint {
    return this.entry(
      t,
      root,
      va,
      level,
      () => this.allocIpa(1n << BigInt(t.granule)),
      (x) => this.pa(x),
    );
  }

  private entry(
    t: Tables,
    root: bigint,
    input: bigint,
    level: number,
    make: () => bigint,
    place: (table: bigint) => bigint,
  ): bigint {
    let table = root;
    for (let l = t.start; ; l++) {
      const at = place(table + 8n * indexAt(t, input, l));
      if (l === level) return at;
      if (this.word(at) === 0n) this.write(at, descriptor(t.granule, make(), 3n));
      table = addressOf(t.granule, this.word(at));
    }
  }

  access(iova: bigint, q: Partial<DmaRequest> = {}): DmaOutcome {
    return runToEnd(this.smmu.dma({ device: this.device, pasid: -1, iova, write: false, translated: false, ...q }));
  }
}

/** Address in a descriptor. */
export const addressOf = (granule: number, word: bigint): bigint =>
  granule === 16
    ? (word & 0xffff_ffff_0000n) | (((word >> 12n) & 15n) << 48n)
    : word & 0xffff_ffff_ffffn & -(1n << BigInt(granule));

/** Log2 of what an entry of a level covers. Source: Arm DDI 0487 D8.2.9 (4, 16 and 64 KiB granules). */
export const levelBits = (granule: number, level: number): number =>
  ({ 12: [39, 30, 21, 12], 14: [47, 36, 25, 14], 16: [0, 42, 29, 16] })[granule]![level]!;

/** Index of an address at a level; that of the first table takes all the bits that are left. */
export function indexAt(t: Tables, input: bigint, level: number): bigint {
  const shift = BigInt(levelBits(t.granule, level));
  const bits = level === t.start ? BigInt(t.bits) - shift : BigInt(t.granule - 3);
  return (input >> shift) & ((1n << bits) - 1n);
}

/** Bytes of the first table, 64 at least. */
export function rootBytes(t: Tables): bigint {
  const bytes = 8n << BigInt(t.bits - levelBits(t.granule, t.start));
  return bytes < 64n ? 64n : bytes;
}

/** Indices of all entries of a cache. */
export function entriesOf(c: TranslationCache): number[] {
  const found: number[] = [];
  c.forEach((i) => {
    found.push(i);
  });
  return found;
}

/** Caches of an SMMU that hold an entry which a fresh walk would not give, one name an entry. */
export const staleCaches = ({ caches, audit }: Smmu): string[] =>
  caches.translation().flatMap((c) => entriesOf(c).flatMap((i) => (audit.same(c, i) ? [] : [c.name])));
