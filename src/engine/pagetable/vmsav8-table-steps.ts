import type { TableWrite } from './table-steps.ts';

export { FIRST_WORDS, RunOfWrites, type TableWrite } from './table-steps.ts';

/** Something that happened, or must happen, while a table is changed. The owner reacts before it resumes the generator. */
export type TableStep = TableWrite | TableFlush;

/**
 * Translations that must be invalidated now. `walk`: a table at `iova` was unlinked, cached walks through it must go (leaf
 * only = false) before its pages are reused, which happens on resuming. `leaf`: mappings of `granule` bytes each are gone.
 */
export interface TableFlush {
  readonly kind: 'walk' | 'leaf';
  readonly iova: number;
  readonly size: number;
  readonly granule: number;
}

/** struct iommu_iotlb_gather: leaf ranges that one invalidation can cover. */
export class Gather {
  granule = 0;
  private start = 0;
  private end = 0;

  /** True when the range is of another page size or not adjacent: what was gathered must be flushed first. */
  breaks(iova: number, granule: number): boolean {
    return this.granule !== 0 && (this.granule !== granule || iova !== this.end);
  }

  add(iova: number, size: number, granule: number): void {
    if (this.granule === 0) this.start = iova;
    this.granule = granule;
    this.end = iova + size;
  }

  take(): TableFlush {
    const flush: TableFlush = { kind: 'leaf', iova: this.start, size: this.end - this.start, granule: this.granule };
    this.granule = 0;
    return flush;
  }
}
