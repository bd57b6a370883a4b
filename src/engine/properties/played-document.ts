import { bytesToWords, wordsToBytes } from '../bits/index.ts';
import { checkScenario, validateOperation } from '../document/authoring.ts';
import { Session, type Step, type StepRecord } from '../document/index.ts';

const hex = (n: bigint | number): string => `0x${n.toString(16)}`;
const bytes = (words: readonly bigint[]): string => Buffer.from(wordsToBytes(words)).toString('hex');

export interface PlayedOptions {
  readonly setup?: 'bare' | 'plugged' | 'booted';
  readonly deviations?: readonly string[];
  readonly devices?: readonly object[];
  readonly features?: Readonly<Record<string, boolean | number | string>>;
}

/** A document that a test plays step by step, and whose bytes it looks at: everything goes through operations. */
export class Played {
  readonly session: Session;

  constructor(iommu: string, o: PlayedOptions) {
    const r = checkScenario({
      format: 'iommuscope/1',
      title: 'fact',
      platform: {
        iommu,
        memory: '2GiB',
        guest: { memory: '64MiB' },
        ...(o.deviations ? { deviations: o.deviations } : {}),
        ...(o.features ? { features: o.features } : {}),
      },
      devices: o.devices ?? [],
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
