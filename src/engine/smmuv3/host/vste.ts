import type { Errno } from '../../iommufd/index.ts';
import { abortSte, withAts } from './ste.ts';

/**
 * The guest's STE: what the kernel accepts of it and the physical STE that it becomes
 * (arm-smmu-v3-iommufd.c arm_smmu_validate_vste, arm_smmu_make_nested_domain_ste).
 */

/** Fields that a guest may set: V, Config, S1Fmt, S1ContextPtr, S1CDMax; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS. */
export const VSTE_ALLOWED = [0xf80fffffffffffffn, 0x380000ffn] as const;

const V = 1n;
const CONFIG_MASK = 7n << 1n;
const EATS_MASK = 3n << 28n;
const MEV = 1n << 19n;
const NESTED = 7n << 1n;
const CONFIG = { abort: 0, bypass: 4, stage1: 5 };

export const vsteConfig = (ste: readonly bigint[]): number => Number((ste[0]! >> 1n) & 7n);

/** What an accepted vSTE leaves in the nested domain. */
export interface AcceptedVste {
  readonly ste: readonly [bigint, bigint];
  /** The guest promises to send ATC_INV: translate with EATS = 1. */
  readonly enableAts: boolean;
}

/** EIO for whatever a guest may not say. An invalid STE (V=0) is accepted as all zero, whatever else it holds. */
export function validateVste(ste: readonly [bigint, bigint]): AcceptedVste | Errno {
  if (!(ste[0] & V)) return { ste: [0n, 0n], enableAts: false };
  if (ste[0] & ~VSTE_ALLOWED[0] || ste[1] & ~VSTE_ALLOWED[1]) return 'EIO';
  const config = vsteConfig(ste);
  if (config !== CONFIG.abort && config !== CONFIG.bypass && config !== CONFIG.stage1) return 'EIO';
  const eats = (ste[1] & EATS_MASK) >> 28n;
  if (eats > 1n) return 'EIO';
  return { ste: [ste[0], ste[1] & ~EATS_MASK], enableAts: config === CONFIG.stage1 && eats === 1n };
}

/**
 * The physical STE. Stage 1 of the guest goes on top of the parent's stage 2; bypass leaves the parent alone; abort, or an
 * invalid vSTE, becomes a silent abort.
 * @param s2 the parent's STE without EATS
 */
export function physicalSte(s2: readonly bigint[], vste: readonly [bigint, bigint], ats: boolean): bigint[] {
  const config = vste[0] & V ? vsteConfig(vste) : CONFIG.abort;
  if (config === CONFIG.abort) return abortSte();
  const out = withAts(s2, ats);
  if (config === CONFIG.bypass) return out;
  out[0] = V | NESTED | (vste[0] & ~CONFIG_MASK);
  // MEV: merged events, so that a guest cannot flood the host's queue.
  out[1]! |= vste[1] | MEV;
  return out;
}

/** Is ATS to be on under this vSTE, as far as the guest decides? Since the v7.1 window only a translating one can say no. */
export const vsteWantsAts = (v: AcceptedVste): boolean => v.enableAts || vsteConfig(v.ste) !== CONFIG.stage1;

/** The same up to v6.19: ATS is off unless the vSTE translates with EATS = 1. */
export const vsteWantsAtsV619 = (v: AcceptedVste): boolean => v.enableAts;
