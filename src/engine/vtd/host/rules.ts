import type { LinuxRules } from '../linux/index.ts';

/**
 * What a host does beyond the driver core, one named function a duty. A deviation replaces one of them. Names in comments are
 * functions of Linux.
 */
export interface NestingRules {
  /** A table refuses mappings without write access: drivers/iommu/intel/iommu.c intel_iommu_domain_alloc_second_stage. */
  refusesReadOnly(nestParent: boolean): boolean;
  /** Leaves, or PASID entries, force snooping: iommufd's iommufd_hwpt_paging_enforce_cc. `sc`: the unit can. */
  enforcesCoherency(sc: boolean): boolean;
  /** IH of a guest's invalidation, from the flags that user space passed: nested.c intel_nested_cache_invalidate_user. */
  leavesOnly(flags: number): boolean;
  /** Pages of a guest's invalidation. */
  invalidatedPages(npages: bigint): bigint;
  /** What became clean is flushed: iommu_iotlb_sync after read_and_clear_dirty. */
  flushesCleaned(): boolean;
}

export const nestingRules: NestingRules = {
  // Erratum 772415: hardware may write accessed and dirty bits of guest tables through read-only pages.
  refusesReadOnly: (nestParent) => nestParent,
  enforcesCoherency: (sc) => sc,
  leavesOnly: (flags) => (flags & 1) !== 0,
  invalidatedPages: (npages) => npages,
  flushesCleaned: () => true,
};

/** The rules of a host: those of the driver core, which a guest has too, and its own. */
export interface HostRules {
  readonly linux: LinuxRules;
  readonly nesting: NestingRules;
}
