import { decodeFeatures, type VtdFeatures } from '../hardware/features.ts';

/** What Linux makes of CAP and ECAP: the fields, and its predicates (iommu.h). */
export interface Capabilities extends VtdFeatures {
  /** sm_supported */
  readonly scalable: boolean;
  /** pasid_supported */
  readonly pasids: boolean;
  /** nested_supported */
  readonly nested: boolean;
  /** ssads_supported */
  readonly dirtyTracking: boolean;
  /** Domain ids that the unit knows. */
  readonly domainIds: number;
  /** Width code in entries whose walk has no table of its own: levels less 2 (iommu->agaw). */
  readonly agaw: number;
}

/**
 * Reads the two capability registers as Linux does, intel_iommu=sm_on.
 * The widest table depth is the widest that both stages have, where there are two (dmar.c, iommu.c __iommu_calculate_sagaw).
 */
export function capabilities(cap: bigint, ecap: bigint): Capabilities {
  const f = decodeFeatures(cap, ecap);
  const scalable = f.smts;
  const firstStage = 4 | (f.fs5lp ? 8 : 0);
  const sagaw = !scalable || !f.fsts ? f.sagaw : f.ssts ? firstStage & f.sagaw : firstStage;
  let agaw = 3;
  while (agaw > 0 && !(sagaw & (1 << agaw))) agaw--;
  return {
    ...f,
    scalable,
    pasids: scalable && f.pasid,
    nested: scalable && f.nest,
    dirtyTracking: scalable && f.ssads && f.smpwcs,
    domainIds: 2 ** f.didBits,
    agaw,
  };
}
