import { RegisterValues } from '../../machine/index.ts';
import { registerByName, registers } from '../layout/index.ts';
import type { SmmuFeatures } from './features.ts';

/** Bits of CR0 and IRQ_CTRL that enable something, and with it guard registers. */
export const CR0 = { SMMUEN: 1, PRIQEN: 2, EVENTQEN: 4, CMDQEN: 8, ATSCHK: 16 } as const;
export const CR2 = { E2H: 1, RECINVSID: 2, PTM: 4, REC_CFG_ATS: 8 } as const;
export const IRQ_CTRL = { GERROR: 1, PRIQ: 2, EVENTQ: 4 } as const;

/** OVFLG of a PROD register, OVACKFLG of a CONS register. */
export const OVERFLOW = 0x80000000;

/** GERROR bits. Source: Arm IHI 0070, 6.3.19. */
export const GERROR = {
  CMDQ_ERR: 0,
  EVENTQ_ABT_ERR: 2,
  PRIQ_ABT_ERR: 3,
  MSI_CMDQ_ABT_ERR: 4,
  MSI_EVENTQ_ABT_ERR: 5,
  MSI_PRIQ_ABT_ERR: 6,
  MSI_GERROR_ABT_ERR: 7,
  SFM_ERR: 8,
} as const;

/** Registers that software cannot write. */
const readOnly = new Set([
  'IDR0',
  'IDR1',
  'IDR2',
  'IDR3',
  'IDR4',
  'IDR5',
  'IIDR',
  'AIDR',
  'CR0ACK',
  'STATUSR',
  'IRQ_CTRLACK',
  'GERROR',
]);

/**
 * While the bit of CR0 is set, a write is ignored, as SMMUv3.2 has it. Source: Arm IHI 0070, 6.3, "Accessing" of each.
 */
const guards: Readonly<Record<string, number>> = {
  CR2: CR0.SMMUEN,
  STRTAB_BASE: CR0.SMMUEN,
  STRTAB_BASE_CFG: CR0.SMMUEN,
  CMDQ_BASE: CR0.CMDQEN,
  CMDQ_CONS: CR0.CMDQEN,
  EVENTQ_BASE: CR0.EVENTQEN,
  EVENTQ_PROD: CR0.EVENTQEN,
  PRIQ_BASE: CR0.PRIQEN,
  PRIQ_PROD: CR0.PRIQEN,
};

/** CR1: the attributes of queues and those of tables are guarded apart. */
const QUEUE_ATTRIBUTES = 0x3fn;
const TABLE_ATTRIBUTES = 0xfc0n;

const GBPA_UPDATE = 0x80000000n;

/** The registers of one SMMU. Side effects belong to the owner. */
export class RegisterFile extends RegisterValues {
  private readonly features: SmmuFeatures;

  constructor(f: SmmuFeatures) {
    super('SMMUv3');
    this.features = f;
    for (const r of registers) if (r.width === 64) this.wide.set(r.name, 0n);
    for (const r of registers) if (r.width === 32) this.narrow.set(r.name, 0);
    f.idr.forEach((v, i) => {
      this.narrow.set(`IDR${i}`, v);
    });
    this.narrow.set('IIDR', f.iidr);
    this.narrow.set('AIDR', f.aidr);
    // Incoming attributes pass through a disabled SMMU: SHCFG = 1.
    this.narrow.set('GBPA', 0x1000);
  }

  /**
   * What a software write leaves in the register: nothing changes where it is read-only or guarded, and bits that do not
   * exist stay zero. Source: Arm IHI 0070, 6.3.
   * @returns false when the write is ignored
   */
  write(name: string, value: bigint): boolean {
    const before = this.get(name);
    if (readOnly.has(name) || this.absent(name)) return false;
    const cr0 = this.num('CR0');
    if ((cr0 & (guards[name] ?? 0)) !== 0) return false;
    const source = /^(GERROR|EVENTQ|PRIQ)_IRQ_CFG/.exec(name)?.[1] as keyof typeof IRQ_CTRL | undefined;
    if (source !== undefined && (this.num('IRQ_CTRL') & IRQ_CTRL[source]) !== 0) return false;
    // GBPA takes effect only with UPDATE, which reads as zero when the update is done.
    if (name === 'GBPA' && (value & GBPA_UPDATE) === 0n) return false;
    let fixed = ~this.existing(name);
    if (name === 'CR1') {
      if ((cr0 & CR0.SMMUEN) !== 0) fixed |= TABLE_ATTRIBUTES;
      if ((cr0 & (CR0.CMDQEN | CR0.EVENTQEN | CR0.PRIQEN)) !== 0) fixed |= QUEUE_ATTRIBUTES;
    }
    this.set(name, (value & ~fixed) | (before & fixed));
    return true;
  }

  /** Registers of a feature that is not there read as zero and ignore writes. */
  private absent(name: string): boolean {
    if (name.startsWith('PRIQ_') && !this.features.pri) return true;
    // Last Only works for wired interrupts too, so its register stays. Source: IHI 0070, IDR0.MSI, 6.3.36.
    return name.includes('_IRQ_CFG') && !this.features.msi && name !== 'PRIQ_IRQ_CFG2';
  }

  /** Bits that this SMMU implements. */
  private existing(name: string): bigint {
    const f = this.features;
    switch (name) {
      case 'CR0':
        return BigInt(0xd | (f.pri ? CR0.PRIQEN : 0) | (f.ats ? CR0.ATSCHK : 0));
      case 'CR2':
        // PTM can be stored; without broadcast maintenance it has no effect.
        return BigInt((f.hyp ? 7 : 6) | ((f.idr[0]! >>> 23) & 1 ? CR2.REC_CFG_ATS : 0));
      case 'IRQ_CTRL':
        return f.pri ? 7n : 5n;
      case 'GBPA':
        return 0x1f3f1fn;
      case 'PRIQ_IRQ_CFG2':
        return f.msi ? 0x8000003fn : 0x80000000n;
      case 'GERRORN':
        return BigInt(0x105 | (f.msi ? 0xb0 : 0) | (f.pri ? 0x08 | (f.msi ? 0x40 : 0) : 0));
      default: {
        let bits = 0n;
        for (const x of registerByName(name)!.layout.fields)
          bits |= ((1n << BigInt(x.hi - x.lo + 1)) - 1n) << BigInt(x.lo);
        return bits;
      }
    }
  }

  save(): readonly [string, number | bigint][] {
    return this.saveValues();
  }

  load(s: readonly (readonly [string, number | bigint])[]): void {
    this.loadValues(s);
  }
}
