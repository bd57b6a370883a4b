import type { PageResponse } from '../../iommufd/index.ts';
import { type LinuxRules, linuxRules } from '../linux/index.ts';

/** What becomes of a range that was unmapped, and of table pages that went with it. */
export type AfterUnmap = 'flush' | 'release';

/** A range as the flush engine takes it, both ends inclusive. */
export interface NotifiedRange {
  readonly start: bigint;
  readonly last: bigint;
}

/**
 * What a Linux guest must do above the driver's core, one rule for each duty. A deviation replaces one rule by name; the
 * core's own rules have theirs.
 */
export interface GuestRules extends LinuxRules {
  /** A strict unmap, in order: iommu_iotlb_sync, in which intel_iommu_tlb_sync frees the gather's pages after its flush. */
  afterUnmap(): readonly AfterUnmap[];
  /** The flush queue is emptied, in order: dma-iommu fq_flush_iotlb, then fq_ring_free. */
  afterQueue(): readonly AfterUnmap[];
  /** A lazy unmap: what does not wait for the flush queue. */
  atQueue(): readonly AfterUnmap[];
  /** A map is followed by a flush of its range, although nothing that was not present is cached in a first stage. */
  flushesMaps(): boolean;
  /**
   * What the mmu notifier flushes: intel_arch_invalidate_secondary_tlbs. Null: nothing.
   * @param end the first byte after the range, as the memory management counts
   */
  notified(start: bigint, end: bigint): NotifiedRange | null;
  /** The same for a whole address space, which comes as [0, 2^64 - 1). 'all': everything of the domain. */
  notifiedWhole(): NotifiedRange | 'all' | null;
  /** A process exits while devices are bound: their PASID entries go before its tables do (intel_mm_release). */
  exitTearsDown(): boolean;
  /** The answer to a page request group whose faults have been looked at (iommu_sva_handle_iopf); null: none. */
  pageResponse(handled: boolean): PageResponse | null;
}

/** As the kernel does today. */
export const guestRules: GuestRules = {
  ...linuxRules,
  afterUnmap: () => ['flush', 'release'],
  afterQueue: () => ['flush', 'release'],
  atQueue: () => [],
  flushesMaps: () => false,
  notified: (start, end) => ({ start, last: end - 1n }),
  notifiedWhole: () => 'all',
  exitTearsDown: () => true,
  pageResponse: (handled) => (handled ? 'success' : 'invalid'),
};
