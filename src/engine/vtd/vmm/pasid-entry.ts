/** Fields of a guest's PASID table entry that the VMM reads. Source: intel-vtd.md 1.5; hw/i386/intel_iommu_internal.h. */

/** struct iommu_hwpt_vtd_s1. */
export interface HwptData {
  /** SRE 1, EAFE 2, WPE 4. */
  readonly flags: bigint;
  readonly pgtbl_addr: bigint;
  readonly addr_width: number;
}

export const ENTRY_WORDS = 8;

export const isPresent = (entry: readonly bigint[]): boolean => (entry[0]! & 1n) !== 0n;
/** Which stages translate: 1 first stage, 2 second stage, 3 nested, 4 pass-through. */
export const pgttOf = (entry: readonly bigint[]): number => Number((entry[0]! >> 6n) & 7n);
export const didOf = (entry: readonly bigint[]): number => Number(entry[1]! & 0xffffn);
/** Levels of the first stage: 0 for four, 1 for five. */
export const fspmOf = (entry: readonly bigint[]): number => Number((entry[2]! >> 2n) & 3n);

const SRE = 1n;
const WPE = 1n << 4n;
const EAFE = 1n << 7n;

/** vtd_create_fs_hwpt: what the kernel gets of a guest's first-stage entry. */
export function s1DataOf(entry: readonly bigint[]): HwptData {
  const w = entry[2]!;
  return {
    flags: (w & SRE ? 1n : 0n) | (w & EAFE ? 2n : 0n) | (w & WPE ? 4n : 0n),
    pgtbl_addr: w & ~0xfffn,
    addr_width: fspmOf(entry) === 1 ? 57 : 48,
  };
}
