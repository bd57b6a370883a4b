import { bytesToWords, wordsToBytes } from '../../bits/index.ts';
import { checkScenario, validateOperation } from '../../document/authoring.ts';
import { Session, type Step, type StepRecord } from '../../document/index.ts';
import { loadVendors } from '../../machine/vendors.ts';

await loadVendors(['smmuv3']);

const hex = (n: bigint | number): string => `0x${n.toString(16)}`;
const bytes = (words: readonly bigint[]): string => Buffer.from(wordsToBytes(words)).toString('hex');

interface Options {
  readonly setup?: 'bare' | 'plugged' | 'booted';
  readonly deviations?: readonly string[];
  readonly devices?: readonly object[];
  readonly features?: Readonly<Record<string, boolean | number | string>>;
}

/** A device as the worked examples have it: vSID 0x8, pSID 0x108. */
export const nic0 = { name: 'nic0', rid: '0x108', vrid: '0x8', pasidBits: 4 };
export const nic1 = { name: 'nic1', rid: '0x110', vrid: '0x10', ats: false };

/** A document that a test plays step by step, and whose bytes it looks at: everything goes through operations. */
export class Played {
  readonly session: Session;

  constructor(o: Options = {}) {
    const r = checkScenario({
      format: 'iommuscope/1',
      title: 'fact',
      platform: {
        iommu: 'smmuv3',
        memory: '2GiB',
        guest: { memory: '64MiB' },
        ...(o.deviations ? { deviations: o.deviations } : {}),
        ...(o.features ? { features: o.features } : {}),
      },
      devices: o.devices ?? [nic0],
      setup: o.setup ?? 'booted',
      steps: [],
    });
    if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
    this.session = new Session(r.document, undefined, {
      check: (step, document) => {
        const checked = validateOperation(step, { document });
        return checked.ok ? undefined : checked.error.message;
      },
    });
    this.session.runAll();
  }

  do(step: object): StepRecord {
    const r = this.session.append(step as Step);
    if (r.crash !== undefined) throw new Error(r.crash);
    return r;
  }

  read(space: 'host' | 'guest', at: bigint, words: number): bigint[] {
    const r = this.do({ do: 'memory.read', space, at: hex(at), length: words * 8 });
    return bytesToWords(r.result.out!['bytes'] as Uint8Array);
  }

  write(space: 'host' | 'guest', at: bigint, words: readonly bigint[]): void {
    this.do({ do: 'memory.write', space, at: hex(at), hex: bytes(words) });
  }

  register(iommu: 'physical' | 'virtual', reg: string): bigint {
    return this.do({ do: 'register.read', iommu, reg }).result.out!['value'] as bigint;
  }

  setRegister(iommu: 'physical' | 'virtual', reg: string, value: bigint): StepRecord {
    return this.do({ do: 'register.write', iommu, reg, value: hex(value) });
  }

  /** One command on the guest's queue. */
  command(words: readonly bigint[]): StepRecord {
    return this.do({ do: 'guest.invalidate', bytes: bytes(words) });
  }

  /** Address of an STE in the stream table that a register points to. */
  steAt(of: 'physical' | 'virtual', sid: number): bigint {
    const base = this.register(of, 'STRTAB_BASE') & 0xfffffffffffc0n;
    const cfg = this.register(of, 'STRTAB_BASE_CFG');
    if (((cfg >> 16n) & 3n) === 0n) return base + 64n * BigInt(sid);
    const split = Number((cfg >> 6n) & 31n);
    const [l1] = this.read(of === 'physical' ? 'host' : 'guest', base + 8n * BigInt(sid >> split), 1);
    return (l1! & 0xfffffffffffc0n) + 64n * BigInt(sid & (2 ** split - 1));
  }

  ste(of: 'physical' | 'virtual', sid: number): bigint[] {
    return this.read(of === 'physical' ? 'host' : 'guest', this.steAt(of, sid), 8);
  }

  /** Entries of a queue from index `from` on, as they lie in its memory. */
  entries(of: 'physical' | 'virtual', queue: 'CMDQ' | 'EVENTQ', from: bigint): bigint[][] {
    const base = this.register(of, `${queue}_BASE`);
    const size = queue === 'CMDQ' ? 2 : 4;
    const mask = (1n << (base & 31n)) - 1n;
    const out: bigint[][] = [];
    for (let i = from; i !== this.prod(of, queue); i = (i + 1n) & ((mask << 1n) | 1n))
      out.push(
        this.read(
          of === 'physical' ? 'host' : 'guest',
          (base & 0xfffffffffffe0n) + BigInt(size * 8) * (i & mask),
          size,
        ),
      );
    return out;
  }

  prod(of: 'physical' | 'virtual', queue: 'CMDQ' | 'EVENTQ'): bigint {
    return this.register(of, `${queue}_PROD`) & 0xfffffn;
  }

  /** The physical commands that something leads to, without the SYNCs (one that has completed has zeroed its first half). */
  sent(what: () => unknown): bigint[][] {
    const from = this.prod('physical', 'CMDQ');
    what();
    return this.entries('physical', 'CMDQ', from).filter((w) => (w[0]! & 0xffn) !== 0x46n && w[0]! !== 0n);
  }

  /** Opcodes of everything, SYNCs too. */
  opcodes(what: () => unknown): number[] {
    const from = this.prod('physical', 'CMDQ');
    what();
    return this.entries('physical', 'CMDQ', from).map((w) => Number(w[0]! & 0xffn));
  }

  cached(cache: string): Readonly<Record<string, bigint | string>>[] {
    const p = this.session.platformAt(this.session.steps.length - 1);
    return p
      .cached()
      .filter((e) => e.cache === cache)
      .map((e) => e.fields);
  }

  dma(iova: number | bigint, more: object = {}): StepRecord['result'] {
    return this.do({ do: 'device.dma', device: 'nic0', iova: hex(iova), ...more }).result;
  }

  attach(domain = 'dma0', more: object = {}): StepRecord {
    return this.do({ do: 'guest.attach', device: 'nic0', domain, ...more });
  }

  map(iova: number, gpa: number, more: object = {}): StepRecord {
    return this.do({ do: 'guest.map', domain: 'dma0', iova: hex(iova), gpa: hex(gpa), ...more });
  }

  unmap(iova: number, more: object = {}): StepRecord {
    return this.do({ do: 'guest.unmap', domain: 'dma0', iova: hex(iova), ...more });
  }
}
