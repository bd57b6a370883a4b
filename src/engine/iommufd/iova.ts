import type { Ioas, Range } from './objects.ts';

/** Arithmetic on the IOVA space of an IOAS (drivers/iommu/iommufd/io_pagetable.c). All numbers are 64-bit and unsigned. */

export const ULONG_MAX = 2n ** 64n - 1n;
/** Pages of the host kernel, in bytes, unless it is built for others. */
export const PAGE = 4096;
/** A huge page is the largest alignment that an automatic placement asks for: what one table of page entries maps. */
const hugePage = (page: bigint): bigint => (page / 8n) * page;

export const overlaps = (a: Range, b: Range): boolean => a.start <= b.last && b.start <= a.last;

/** The gaps that sorted or unsorted ranges leave in `within`, ascending. */
export function holes(taken: readonly Range[], within: Range): Range[] {
  const sorted = [...taken].sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  const out: Range[] = [];
  let next = within.start;
  for (const r of sorted) {
    if (r.last < next) continue;
    if (r.start > within.last) break;
    if (r.start > next) out.push({ start: next, last: r.start - 1n });
    next = r.last + 1n;
  }
  if (next <= within.last) out.push({ start: next, last: within.last });
  return out;
}

/** IOAS_IOVA_RANGES: what reserved ranges leave. */
export const usableRanges = (ioas: Ioas): Range[] => holes(ioas.reserved, { start: 0n, last: ULONG_MAX });

function roundUpPowerOfTwo(n: bigint): bigint {
  let p = 1n;
  while (p < n) p <<= 1n;
  return p;
}

/**
 * Where a mapping goes whose IOVA the caller leaves to the kernel (iopt_alloc_iova): the lowest hole that fits, aligned
 * as far as the length and the user address `hint` allow. `page` is the kernel's page size.
 */
export function allocIova(
  ioas: Ioas,
  hint: bigint,
  length: bigint,
  page: bigint,
): bigint | 'EOVERFLOW' | 'EINVAL' | 'ENOSPC' {
  if (length >= ULONG_MAX / 2n) return 'EOVERFLOW';
  let alignment = roundUpPowerOfTwo(length);
  if (hint !== 0n && (hint & -hint) < alignment) alignment = hint & -hint;
  if (alignment > hugePage(page)) alignment = hugePage(page);
  if (alignment < BigInt(ioas.alignment)) return 'EINVAL';
  const offset = hint % page;
  const fits = (r: Range): bigint | null => {
    const start = (((r.start + alignment - 1n) / alignment) * alignment) | offset;
    return start < r.last && r.last - start >= length - 1n ? start : null;
  };
  const spaces = ioas.allowed.length ? ioas.allowed : [{ start: page, last: ULONG_MAX - page }];
  for (const space of [...spaces].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    if (fits(space) === null) continue;
    for (const hole of holes([...ioas.reserved, ...ioas.areas], space)) {
      const iova = fits(hole);
      if (iova !== null) return iova;
    }
  }
  return 'ENOSPC';
}

/** Where a mapping with a given IOVA may not go (iopt_check_iova, then the area tree). */
export function checkFixedIova(ioas: Ioas, iova: bigint, length: bigint): 'EINVAL' | 'EOVERFLOW' | 'EEXIST' | null {
  if (iova % BigInt(ioas.alignment) !== 0n) return 'EINVAL';
  const last = iova + length - 1n;
  if (last > ULONG_MAX) return 'EOVERFLOW';
  const r = { start: iova, last };
  if (ioas.reserved.some((x) => overlaps(x, r))) return 'EINVAL';
  if (ioas.areas.some((x) => overlaps(x, r))) return 'EEXIST';
  return null;
}
