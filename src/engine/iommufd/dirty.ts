import type { Op } from '../machine/index.ts';
import type { Dirty } from './driver.ts';
import { overlaps, ULONG_MAX } from './iova.ts';
import { failed, type IoctlResult, type Kernel } from './kernel.ts';
import { type Context, findAs, type HwptPaging, type Ioas, mustFind, type Range } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** Dirty tracking of a page table (drivers/iommu/iommufd/hw_pagetable.c, io_pagetable.c). */

const ENABLE = 1;
const NO_CLEAR = 1;
/** A bitmap of more bits is refused: no process has room for it. */
const MAX_BITS = 2 ** 24;

/** IOMMU_HWPT_SET_DIRTY_TRACKING (iopt_set_dirty_tracking). Switching it on forgets what was written before. */
export function* setDirtyTracking(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const flags = a.num('flags');
  if (flags & ~ENABLE) return failed('EOPNOTSUPP');
  const hwpt = findAs(ctx, a.num('hwpt_id'), 'HWPT_PAGING');
  if (!hwpt) return failed('ENOENT');
  if (!k.driver.dirtyCapable(hwpt.domain)) return failed('EOPNOTSUPP');
  if (flags & ENABLE) {
    const all = mustFind(ctx, hwpt.ioas, 'IOAS').areas;
    const r = yield* k.driver.readDirty(hwpt.domain, all.map(stretch), true);
    if (r.errno !== '0') return failed(r.errno);
  }
  const set = k.driver.setDirtyTracking?.(hwpt.domain, (flags & ENABLE) !== 0);
  const errno = set ? yield* set : '0';
  return errno === '0' ? { errno, out: {} } : failed(errno);
}

/**
 * IOMMU_HWPT_GET_DIRTY_BITMAP: one bit for each `page_size` bytes, as hex in `bitmap`, bit n in byte n / 8. Areas are read up to
 * the first gap between them; that there is one is not an error of the call.
 */
export function* getDirtyBitmap(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const flags = a.num('flags');
  if (flags & ~NO_CLEAR || a.num('__reserved') !== 0) return failed('EOPNOTSUPP');
  const hwpt = findAs(ctx, a.num('hwpt_id'), 'HWPT_PAGING');
  if (!hwpt) return failed('ENOENT');
  const ioas = mustFind(ctx, hwpt.ioas, 'IOAS');
  const [iova, length, page] = [a.big('iova'), a.big('length'), a.big('page_size')];
  const last = iova + BigInt.asUintN(64, length - 1n);
  if (last > ULONG_MAX) return failed('EOVERFLOW');
  const misfit = (size: bigint): boolean => (iova & (size - 1n)) !== 0n || ((last + 1n) & (size - 1n)) !== 0n;
  if (misfit(BigInt(ioas.alignment)) || page === 0n || misfit(page)) return failed('EINVAL');
  if (!k.driver.dirtyCapable(hwpt.domain)) return failed('EOPNOTSUPP');
  // iova_bitmap_alloc goes by the lowest bit of the page size.
  const unit = page & -page;
  const bits = (last - iova + unit) / unit;
  if (bits > BigInt(MAX_BITS)) return failed('ENOMEM');
  const read = yield* readRange(k, hwpt, ioas, { start: iova, last }, (flags & NO_CLEAR) === 0);
  const bytes = new Uint8Array(Math.ceil(Number(bits) / 8));
  for (const d of read) {
    const [from, to] = [BigInt(d.iova) - iova, BigInt(d.iova + d.size - 1) - iova];
    const end = to < last - iova ? to : last - iova;
    for (let n = Number(from / unit); n <= Number(end / unit); n++) bytes[n >> 3]! |= 1 << (n & 7);
  }
  const bitmap = [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
  return { errno: '0', out: { bitmap } };
}

/** iopt_for_each_contig_area over the range. */
function readRange(k: Kernel, hwpt: HwptPaging, ioas: Ioas, range: Range, clear: boolean): Op<readonly Dirty[]> {
  const parts: Range[] = [];
  let next = range.start;
  for (const x of ioas.areas.filter((area) => overlaps(area, range))) {
    if (x.start > next) break;
    const part = { start: next, last: x.last < range.last ? x.last : range.last };
    parts.push(part);
    next = part.last + 1n;
  }
  return found(k.driver.readDirty(hwpt.domain, parts.map(stretch), clear));
}

function* found(op: Op<{ readonly dirty: readonly Dirty[] }>): Op<readonly Dirty[]> {
  return (yield* op).dirty;
}

const stretch = (r: Range): Dirty => ({ iova: Number(r.start), size: Number(r.last - r.start) + 1 });
