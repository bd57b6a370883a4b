import { RegisterValues } from '../../machine/index.ts';
import { registerMap } from '../layout/index.ts';
import type { VtdFeatures } from './features.ts';

/** GCMD_REG and GSTS_REG have the same bits. As unsigned numbers. Source: VT-d specification, 11.4.4. */
export const GCMD = {
  CFI: 0x0080_0000,
  SIRTP: 0x0100_0000,
  IRE: 0x0200_0000,
  QIE: 0x0400_0000,
  WBF: 0x0800_0000,
  SRTP: 0x4000_0000,
  TE: 0x8000_0000,
} as const;

/** FSTS_REG. Source: VT-d specification, 11.4.9. */
export const FSTS = { PFO: 1, PPF: 2, IQE: 0x10, ICE: 0x20, ITE: 0x40, PRO: 0x80 } as const;

/** FECTL_REG, IECTL_REG and PECTL_REG. */
export const CONTROL = { IP: 0x4000_0000, IM: 0x8000_0000 } as const;

/** PRS_REG. */
export const PRS = { PPR: 1, PRO: 2 } as const;

/** IQERCD_REG.IQEI: why the invalidation queue stopped; 0: it did not. */
export const IQEI = {
  NONE: 0,
  TAIL: 1,
  FETCH: 2,
  TYPE: 3,
  RESERVED: 4,
  WIDTH: 5,
  ALIGNMENT: 6,
  TTM: 7,
} as const;

export const iqeiNames = [
  'not available',
  'invalid tail',
  'fetch error',
  'invalid descriptor type',
  'reserved field set',
  'invalid descriptor width',
  'tail not aligned',
  'invalid TTM',
] as const;

/**
 * Version 5.0: from version 6 on units have no invalidation by register.
 * Source: VT-d specification, 6.5; 11.4.1.
 */
const VERSION = 0x50;

/** Bits that software writes; what is left out is read-only. */
interface Access {
  readonly rw: bigint;
  /** Writing one clears. */
  readonly w1c: bigint;
}

const NONE: Access = { rw: 0n, w1c: 0n };
const rw = (bits: bigint): Access => ({ rw: bits, w1c: 0n });
const w1c = (bits: bigint): Access => ({ rw: 0n, w1c: bits });

const EIM = 1n << 4n;
const PLMR = 1n << 5n;
const PHMR = 1n << 6n;

/** What software can write. Registers of a feature that is not there read as zero. Source: VT-d specification, 11.4. */
function accesses(f: VtdFeatures): ReadonlyMap<string, Access> {
  const page = ((1n << BigInt(f.haw)) - 1n) & ~0xfffn;
  const eim = (f.ecap & EIM) !== 0n;
  const modes = f.smts || f.adms ? 0xc00n : 0n;
  const errors = (f.qi ? FSTS.IQE : 0) | (f.dt ? FSTS.ICE | FSTS.ITE : 0) | (f.prs ? FSTS.PRO : 0);
  const control = rw(BigInt(CONTROL.IM));
  const message = rw(0xffff_ffffn);
  const interrupt = (prefix: string): [string, Access][] => [
    [`${prefix}CTL_REG`, control],
    [`${prefix}DATA_REG`, rw(0xffffn)],
    [`${prefix}ADDR_REG`, rw(0xffff_fffcn)],
    [`${prefix}UADDR_REG`, eim ? message : NONE],
  ];
  const queue: [string, Access][] = [
    ['IQT_REG', rw(0x7fff0n)],
    // A width that the unit does not have is stored too: the queue then reports it.
    ['IQA_REG', rw(page | 0x807n)],
    ['ICS_REG', w1c(1n)],
    ...interrupt('IE'),
  ];
  const pages: [string, Access][] = [
    ['PQH_REG', rw(0x7ffe0n)],
    ['PQT_REG', rw(0x7ffe0n)],
    ['PQA_REG', rw(page | 7n)],
    ['PRS_REG', w1c(3n)],
    ...interrupt('PE'),
  ];
  const low = rw(0xffe0_0000n);
  const high = rw(page & ~0x1f_ffffn);
  return new Map<string, Access>([
    ['RTADDR_REG', rw(page | modes)],
    ['CCMD_REG', rw(0xe000_0003_ffff_ffffn)],
    ['FSTS_REG', w1c(BigInt(FSTS.PFO | errors))],
    ...interrupt('FE'),
    ['PMEN_REG', (f.cap & (PLMR | PHMR)) !== 0n ? rw(0x8000_0000n) : NONE],
    ...((f.cap & PLMR) !== 0n
      ? ([
          ['PLMBASE_REG', low],
          ['PLMLIMIT_REG', low],
        ] as const)
      : []),
    ...((f.cap & PHMR) !== 0n
      ? ([
          ['PHMBASE_REG', high],
          ['PHMLIMIT_REG', high],
        ] as const)
      : []),
    ['IRTA_REG', f.ir ? rw(page | 0xfn | (eim ? 0x800n : 0n)) : NONE],
    ['IVA_REG', rw(~0xf80n & 0xffff_ffff_ffff_ffffn)],
    ['IOTLB_REG', rw(0xb003_ffff_0000_0000n)],
    ...(f.qi ? queue : []),
    ...(f.prs ? pages : []),
  ]);
}

const F = 1n << 63n;

/**
 * Values of one unit's registers, and the two pointers that GCMD_REG has it take. Side effects belong to the owner.
 * Offsets in queues and 32-bit registers are kept as numbers, so that the queues move without allocation.
 */
export class RegisterFile extends RegisterValues {
  private readonly access: ReadonlyMap<string, Access>;
  /** RTADDR_REG as the last SRTP took it: table and TTM. */
  rootAddress = 0n;
  /** IRTA_REG as the last SIRTP took it. */
  interruptTable = 0n;

  constructor(f: VtdFeatures) {
    super('this VT-d unit');
    this.access = accesses(f);
    for (const r of registerMap(f.cap, f.ecap)) {
      if (r.width === 32 || /^[IP]Q[HT]_REG$/.test(r.name)) this.narrow.set(r.name, 0);
      else this.wide.set(r.name, 0n);
    }
    this.narrow.set('VER_REG', VERSION);
    this.wide.set('CAP_REG', f.cap);
    this.wide.set('ECAP_REG', f.ecap);
    this.narrow.set('FECTL_REG', CONTROL.IM);
    if (f.qi) this.narrow.set('IECTL_REG', CONTROL.IM);
    if (f.prs) this.narrow.set('PECTL_REG', CONTROL.IM);
  }

  /** DMA remapping is on: GSTS_REG.TES. */
  get enabled(): boolean {
    return (this.num('GSTS_REG') & GCMD.TE) !== 0;
  }

  /**
   * What a software write leaves in the register: read-only bits stay, and a one clears a bit that is cleared by writing one.
   * @returns false when the register takes no write at all
   * @throws RangeError when the unit has no register of that name
   */
  write(name: string, value: bigint): boolean {
    const before = this.get(name);
    const a = this.accessOf(name);
    if (a.rw === 0n && a.w1c === 0n) return false;
    this.set(name, ((before & ~a.rw) | (value & a.rw)) & ~(value & a.w1c));
    return true;
  }

  private accessOf(name: string): Access {
    if (name.startsWith('FRCD_')) return name.endsWith('_HI') ? w1c(F) : NONE;
    return this.access.get(name) ?? NONE;
  }

  /** Bits of a register that software clears by writing one. */
  clears(name: string): bigint {
    return this.accessOf(name).w1c;
  }

  save(): { readonly values: readonly [string, number | bigint][]; readonly taken: readonly [bigint, bigint] } {
    return { values: this.saveValues(), taken: [this.rootAddress, this.interruptTable] };
  }

  load(s: ReturnType<RegisterFile['save']>): void {
    this.loadValues(s.values);
    [this.rootAddress, this.interruptTable] = s.taken;
  }
}
