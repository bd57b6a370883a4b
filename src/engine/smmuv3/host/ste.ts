import { encode } from '../../bits/index.ts';
import type { WalkParameters } from '../../pagetable/vmsav8-table.ts';
import { cdLayout, steLayout } from '../layout/index.ts';
import type { HostFeatures } from './features.ts';

/** The forms in which Linux writes stream table entries and context descriptors (arm-smmu-v3.c arm_smmu_make_*). */

const CONFIG = { abort: 0, bypass: 4, stage1: 5, stage2: 6, nested: 7 };
const SHCFG_INCOMING = 1;
/** What a transaction without PASID meets in a STE with a CD table: an abort, no stage 1, or CD 0. */
export const S1DSS = { terminate: 0, bypass: 1, ssid0: 2 } as const;

export const abortSte = (): bigint[] => encode(steLayout, { V: 1, Config: CONFIG.abort });

export const bypassSte = (f: HostFeatures): bigint[] =>
  encode(steLayout, { V: 1, Config: CONFIG.bypass, SHCFG: f.attrTypesOverride ? SHCFG_INCOMING : 0 });

/**
 * Stage 1 through a CD table. VMID 0 is kept for streams without stage 2; STRW belongs to the host's own address spaces.
 * @param stalls faults of the device may stall
 */
export const cdTableSte = (
  f: HostFeatures,
  table: { readonly address: number; readonly format: number; readonly s1cdmax: number },
  ats: boolean,
  stalls: boolean,
  s1dss: number = S1DSS.ssid0,
): bigint[] =>
  encode(steLayout, {
    V: 1,
    Config: CONFIG.stage1,
    S1Fmt: table.format,
    S1ContextPtr: BigInt(table.address),
    S1CDMax: table.s1cdmax,
    S1DSS: s1dss,
    S1CIR: 1,
    S1COR: 1,
    S1CSH: 3,
    S1STALLD: f.stalls && !stalls,
    EATS: ats,
    STRW: f.e2h ? 2 : 0,
    // Without stage 1 the incoming shareability stays.
    SHCFG: s1dss === S1DSS.bypass && f.attrTypesOverride ? SHCFG_INCOMING : 0,
  });

/** Stage 2 alone, without EATS: what a nest parent gives to every STE made from it. */
export const stage2Ste = (
  f: HostFeatures,
  s2: {
    readonly vmid: number;
    readonly root: number;
    readonly walk: WalkParameters;
    readonly fwb: boolean;
    readonly stalls: boolean;
  },
): bigint[] =>
  encode(steLayout, {
    V: 1,
    Config: CONFIG.stage2,
    S2FWB: s2.fwb,
    SHCFG: f.attrTypesOverride ? SHCFG_INCOMING : 0,
    S2VMID: s2.vmid,
    S2T0SZ: s2.walk.tsz,
    S2SL0: s2.walk.sl0,
    S2IR0: s2.walk.irgn,
    S2OR0: s2.walk.orgn,
    S2SH0: s2.walk.sh,
    S2TG: s2.walk.tg,
    S2PS: s2.walk.ps,
    S2AA64: 1,
    S2PTW: 1,
    S2S: s2.stalls,
    S2R: 1,
    S2TTB: BigInt(s2.root),
  });

/** EATS of a translating STE: full ATS or none. */
export function withAts(ste: readonly bigint[], ats: boolean): bigint[] {
  const out = [...ste];
  out[1] = (out[1]! & ~(3n << 28n)) | (ats ? 1n << 28n : 0n);
  return out;
}

/** CD of a host DMA domain; the upper half of the address space is off (EPD1). */
export const stage1Cd = (s1: {
  readonly asid: number;
  readonly root: number;
  readonly walk: WalkParameters;
  readonly mair: bigint;
  readonly stalls: boolean;
  readonly dirty: boolean;
}): bigint[] =>
  encode(cdLayout, {
    T0SZ: s1.walk.tsz,
    TG0: s1.walk.tg,
    IR0: s1.walk.irgn,
    OR0: s1.walk.orgn,
    SH0: s1.walk.sh,
    EPD1: 1,
    V: 1,
    IPS: s1.walk.ps,
    AA64: 1,
    HD: s1.dirty,
    HA: s1.dirty,
    S: s1.stalls,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: s1.asid,
    TTB0: BigInt(s1.root),
    MAIR: s1.mair,
  });
