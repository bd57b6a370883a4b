/** Page sizes in general: which one a mapping takes next, and how they are written. */

/**
 * The largest page size that starts at `va`, is aligned for both addresses and ends at or before `last`, as generic_pt's
 * pt_compute_best_pgsize.
 * @param sizes bit n set: pages of 2^n bytes
 * @param last inclusive; all addresses have 64 bits
 * @returns log2 of the size, 0 when none fits (a size of one byte does not count)
 */
export function bestPageSize(sizes: bigint, va: bigint, last: bigint, oa: bigint): number {
  let fit = sizes & ~1n & ((1n << 64n) - 1n);
  const starts = va | oa;
  // Up to and including the lowest set bit of the addresses.
  if (starts) fit &= starts ^ (starts - 1n);
  const length = last - va + 1n;
  fit &= (1n << BigInt(length.toString(2).length)) - 1n;
  return fit > 0n ? fit.toString(2).length - 1 : 0;
}

/**
 * How many pages of that size follow one another before a larger one fits or the range ends, as generic_pt's pt_pgsz_count.
 * @returns at least 1 for a size that `bestPageSize` chose
 */
export function pageCount(sizes: bigint, va: number, size: number, oa: number, lg2: number): number {
  const larger = sizes >> BigInt(lg2 + 1);
  const page = 2 ** lg2;
  if (!larger) return Math.floor(size / page);
  const next = 2 ** ((larger & -larger).toString(2).length + lg2);
  const offset = next - (va % next);
  const stops = va % next === oa % next && offset + next <= size;
  return Math.floor((stops ? offset : size) / page);
}

/** `4 KiB`, `2 MiB`, `1 GiB` */
export function sizeText(bytes: number): string {
  for (const [unit, name] of [
    [2 ** 40, 'TiB'],
    [2 ** 30, 'GiB'],
    [2 ** 20, 'MiB'],
    [2 ** 10, 'KiB'],
  ] as const)
    if (bytes % unit === 0 && bytes >= unit) return `${bytes / unit} ${name}`;
  return `${bytes} bytes`;
}
