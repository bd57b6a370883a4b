/** One TLBI by address: either a range form (TG != 0) or the single-address form (all four fields zero). */
export interface TlbiRange {
  readonly address: number;
  readonly num: number;
  readonly scale: number;
  readonly ttl: number;
  readonly tg: number;
}

/** `size` bytes at `iova` whose leaves were `granule` bytes each; all byte counts. */
export interface Invalidated {
  readonly iova: number;
  readonly size: number;
  readonly granule: number;
}

/** Largest number of units that NUM can say in one command. */
const NUM_MAX = 31;

/**
 * The commands that cover a range, as Linux splits it (arm_smmu_domain_inv_range and arm_smmu_inv_to_cmdq_batch in
 * arm-smmu-v3.c; arm-smmuv3.md 2.2). With range support pieces of NUM+1 times 2^SCALE pages, smallest first; a non-leaf
 * range that would leave one page over is widened by a page, because TTL, NUM and SCALE must not all be zero.
 * Without it one command for each leaf.
 *
 * @param page log2 of the domain's smallest page: 12, 14 or 16
 */
export function splitRange(r: Invalidated, leaf: boolean, page: number, ril: boolean): TlbiRange[] {
  const out: TlbiRange[] = [];
  const end = r.iova + r.size;
  if (!ril) {
    for (let at = r.iova; at < end; at += r.granule) out.push({ address: at, num: 0, scale: 0, ttl: 0, tg: 0 });
    return out;
  }
  const tg = (page - 10) / 2;
  const ttl = leaf ? 4 - Math.trunc((Math.log2(r.granule) - 3) / (page - 3)) : 0;
  let pages = Math.floor(r.size / 2 ** page);
  if (!leaf && pages % 32 === 1) pages++;
  for (let at = r.iova; at < end && pages > 0; ) {
    let scale = 0;
    while ((pages / 2 ** scale) % 2 === 0) scale++;
    const units = Math.floor(pages / 2 ** scale) % (NUM_MAX + 1);
    out.push({ address: at, num: units - 1, scale, ttl, tg });
    pages -= units * 2 ** scale;
    at += units * 2 ** (scale + page);
  }
  return out;
}

/**
 * True when the driver drops the whole ASID instead of going through the range: without range support, from as many
 * commands on as a table of that granule has entries (arm_smmu_inv_size_too_big).
 */
export function tooBigForRange(r: Invalidated, ril: boolean): boolean {
  if (r.size === 0) return true;
  return !ril && r.size >= r.granule * 2 ** (Math.log2(r.granule) - 3);
}

/**
 * The ATC_INV operands for a range: the smallest naturally aligned power of two of 4 KiB pages around it
 * (arm_smmu_atc_inv_to_cmd). A size of 0 means the whole cache.
 * @returns `address` in bytes, `size` as the command's Size field (pages = 2^size)
 */
export function atcSpan(iova: number, size: number): { address: bigint; size: number } {
  if (size === 0) return { address: 0n, size: 52 };
  const first = BigInt(iova) >> 12n;
  const last = BigInt(iova + size - 1) >> 12n;
  let span = 0;
  for (let differ = first ^ last; differ > 0n; differ >>= 1n) span++;
  return { address: ((first >> BigInt(span)) << BigInt(span)) << 12n, size: span };
}
