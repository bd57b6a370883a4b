/** From a range of addresses to what one invalidation descriptor can say: 2^mask pages, naturally aligned. */

const PAGE_BITS = 12n;
/** MAX_AGAW_PFN_WIDTH: the mask that means everything. */
export const ALL_PAGES = 52;
export const WHOLE_SPACE = 2n ** 64n - 1n;

export interface AlignedRange {
  /** Start of the block, 64 bits. */
  readonly address: bigint;
  /** log2 of its pages of 4 KiB. */
  readonly mask: number;
}

const log2 = (n: bigint): number => n.toString(2).length - 1;
const lowestBit = (n: bigint): number => log2(n & -n);
const roundUpPowerOfTwo = (n: bigint): bigint => (n <= 1n ? 1n : 1n << BigInt(log2(n - 1n) + 1));

/** Pages of 4 KiB that a range touches; both ends belong to it. */
export const pagesOf = (start: bigint, end: bigint): bigint => (end >> PAGE_BITS) - (start >> PAGE_BITS) + 1n;

/**
 * The smallest block that Linux picks for a range, both ends inclusive (cache.c calculate_psi_aligned_address). Where the
 * first page is not aligned to the rounded size, the block grows to the lowest bit from that size up in which the page
 * numbers of both ends agree; a few pages across a high boundary so become a very large block.
 */
export function alignedRange(start: bigint, end: bigint): AlignedRange {
  const pages = pagesOf(start, end);
  const low = roundUpPowerOfTwo(pages) - 1n;
  const pfn = start >> PAGE_BITS;
  let mask = log2(low + 1n);
  if (pfn & low) {
    const shared = BigInt.asUintN(64, ~(pfn ^ (pfn + pages - 1n)) & ~low);
    mask = shared ? lowestBit(shared) : ALL_PAGES;
  }
  return blockAt(start, mask);
}

/** The block of 2^mask pages that an address lies in. */
export function blockAt(address: bigint, mask: number): AlignedRange {
  const size = PAGE_BITS + BigInt(mask);
  return { address: size >= 64n ? 0n : (address >> size) << size, mask };
}

/** A whole flush: address 0 and the mask for everything. */
export const everything: AlignedRange = { address: 0n, mask: ALL_PAGES };
