import { registerByName } from '../layout/index.ts';
import { capabilityWords, type Offer, PRS } from './properties.ts';

/** The register file by name, values as the device keeps them (`csr`); what a read gives can be less (`readRegister`). */
export type Registers = Record<string, bigint>;

/** Bits of GCMD_REG and, as status, of GSTS_REG. */
export const GCMD = {
  te: 1n << 31n,
  srtp: 1n << 30n,
  qie: 1n << 26n,
  ire: 1n << 25n,
  sirtp: 1n << 24n,
} as const;
export const FSTS = { pfo: 1n, ppf: 2n, iqe: 16n } as const;
export const PRS_REG = { ppr: 1n, pro: 2n } as const;
/** FECTL_REG, IECTL_REG, PECTL_REG. */
export const CTL = { im: 1n << 31n, ip: 1n << 30n } as const;
export const IWC = 1n;
/** RTADDR_REG.TTM = 1, the only mode bit that QEMU looks at. */
export const RTADDR_SMT = 1n << 10n;
export const IQA = { qs: 7n, dw: 1n << 11n } as const;
/** Upper half of the fault record: the record is valid. */
export const FRCD_F = 1n << 63n;
/** Addresses in RTADDR_REG and IQA_REG: page aligned, below the vIOMMU's width of 48 bits. */
export const ADDRESS = 0x0000_ffff_ffff_f000n;

/** Bits that a write changes, bits that writing 1 clears, bits that read as 0 (hw/i386/intel_iommu.c vtd_init). */
interface Behaviour {
  readonly reset?: bigint;
  readonly write?: bigint;
  readonly clear?: bigint;
  readonly hidden?: bigint;
}

const control: Behaviour = { reset: CTL.im, write: CTL.im };

const always: Readonly<Record<string, Behaviour>> = {
  VER_REG: { reset: 0x10n },
  GCMD_REG: { write: 0xff800000n, hidden: 0xff800000n },
  RTADDR_REG: { write: 0xfffffffffffffc00n },
  CCMD_REG: { write: 0xe0000003ffffffffn, hidden: 0x3ffff0000n },
  FSTS_REG: { clear: FSTS.pfo | FSTS.iqe },
  FECTL_REG: control,
  FEDATA_REG: { write: 0xffffn },
  FEADDR_REG: { write: 0xfffffffcn },
  IQT_REG: { write: 0x7fff0n },
  IQA_REG: { write: 0xfffffffffffff807n },
  ICS_REG: { clear: IWC },
  IECTL_REG: control,
  IEDATA_REG: { write: 0xffffffffn },
  IEADDR_REG: { write: 0xfffffffcn },
  IOTLB_REG: { write: 0xb003ffff00000000n },
  IVA_REG: { write: 0xfffffffffffff07fn, hidden: 0xfffffffffffff07fn },
  FRCD_REG0_HI: { clear: FRCD_F },
  IRTA_REG: { write: 0xfffffffffffff80fn },
};
/** Where page requests are offered. */
const withPageRequests: Readonly<Record<string, Behaviour>> = {
  PQH_REG: { write: 0x7ffe0n },
  PQT_REG: { write: 0x7ffe0n },
  PQA_REG: { write: 0xfffffffffffff007n },
  PRS_REG: { clear: PRS_REG.ppr | PRS_REG.pro },
  PECTL_REG: control,
  PEDATA_REG: { write: 0xffffn },
  PEADDR_REG: { write: 0xfffffffcn },
  PEUADDR_REG: { write: 0xffffffffn },
};

const behaviourOf = (r: Registers, reg: string): Behaviour =>
  always[reg] ?? ((r['ECAP_REG'] ?? 0n) & PRS ? (withPageRequests[reg] ?? {}) : {});

/** vtd_init: everything goes back, the capability words too. */
export function resetRegisters(r: Registers, o: Offer): void {
  for (const name of Object.keys(r)) delete r[name];
  const { cap, ecap } = capabilityWords(o);
  r['CAP_REG'] = cap;
  r['ECAP_REG'] = ecap;
  for (const name of [...Object.keys(always), ...Object.keys(withPageRequests)])
    r[name] = behaviourOf(r, name).reset ?? 0n;
}

/** vtd_set_quad and vtd_set_long: a guest's write takes effect as far as the register lets it. Unknown registers ignore it. */
export function storeRegister(r: Registers, reg: string, value: bigint): void {
  const { write = 0n, clear = 0n } = behaviourOf(r, reg);
  const v = BigInt.asUintN(registerByName(reg)?.width ?? 64, value);
  r[reg] = (((r[reg] ?? 0n) & ~write) | (v & write)) & ~(clear & v);
}

/** A register as the guest reads it; unknown ones are zero. */
export const readRegister = (r: Registers, reg: string): bigint => (r[reg] ?? 0n) & ~(behaviourOf(r, reg).hidden ?? 0n);

/** vtd_set_clear_mask: what the device itself changes. */
export function updateRegister(r: Registers, reg: string, clear: bigint, set: bigint): void {
  r[reg] = ((r[reg] ?? 0n) & ~clear) | set;
}

export const testRegister = (r: Registers, reg: string, bits: bigint): boolean => ((r[reg] ?? 0n) & bits) !== 0n;
