import type { Op } from '../machine/index.ts';
import type { Run } from './driver.ts';
import type { Errno } from './errno.ts';
import { allocIova, checkFixedIova, overlaps, ULONG_MAX, usableRanges } from './iova.ts';
import { failed, finalize, type IoctlResult, type Kernel } from './kernel.ts';
import {
  type Area,
  type Context,
  findAs,
  type HwptPaging,
  type Ioas,
  mustFind,
  nextId,
  type Range,
} from './objects.ts';
import { type IoctlArgs, toBigInt } from './structs.ts';

/** IOAS ioctls and the mappings behind them (drivers/iommu/iommufd/ioas.c, io_pagetable.c, pages.c). */

const MAP_FIXED_IOVA = 1;
const MAP_WRITEABLE = 2;
const MAP_READABLE = 4;
/** IOMMU_READ, IOMMU_WRITE, IOMMU_CACHE. */
const PROT = { read: 1, write: 2, cache: 4 };

/**
 * So many physically contiguous runs fit the buffer with which the kernel unmaps (64 KiB of 12-byte entries); an area
 * with more is unmapped in several iommu_unmap calls.
 */
const BATCH_RUNS = 5461;

export function ioasAlloc(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  if (a.num('flags') !== 0) return failed('EOPNOTSUPP');
  const id = nextId(ctx);
  const ioas: Ioas = { type: 'IOAS', id, users: 1, areas: [], reserved: [], allowed: [], alignment: 1, hwpts: [] };
  finalize(k, ctx, ioas, 'empty address space');
  return { errno: '0', out: { out_ioas_id: id }, main: id };
}

export function ioasIovaRanges(ctx: Context, a: IoctlArgs): IoctlResult {
  if (a.num('__reserved') !== 0) return failed('EOPNOTSUPP');
  const ioas = findAs(ctx, a.num('ioas_id'), 'IOAS');
  if (!ioas) return failed('ENOENT');
  const ranges = usableRanges(ioas);
  const room = a.num('num_iovas');
  const out = {
    num_iovas: ranges.length,
    allowed_iovas: ranges.slice(0, room).map((r) => ({ start: r.start, last: r.last })),
    out_iova_alignment: ioas.alignment,
  };
  if (ranges.length > room) return { errno: 'EMSGSIZE', out, writesBack: true };
  return { errno: '0', out };
}

export function ioasAllowIovas(ctx: Context, a: IoctlArgs): IoctlResult {
  if (a.num('__reserved') !== 0) return failed('EOPNOTSUPP');
  const ioas = findAs(ctx, a.num('ioas_id'), 'IOAS');
  if (!ioas) return failed('ENOENT');
  const given = a.target('allowed_iovas');
  const list: Range[] = [];
  for (let i = 0; i < a.num('num_iovas'); i++) {
    const r = Array.isArray(given) ? (given[i] as { start?: unknown; last?: unknown } | undefined) : undefined;
    if (!r) return failed('EFAULT');
    const range = { start: toBigInt(r.start ?? 0), last: toBigInt(r.last ?? 0) };
    if (range.start >= range.last) return failed('EINVAL');
    if (list.some((x) => overlaps(x, range))) return failed('EINVAL');
    list.push(range);
  }
  if (list.some((r) => ioas.reserved.some((x) => overlaps(x, r)))) return failed('EADDRINUSE');
  ioas.allowed = list;
  return { errno: '0', out: {} };
}

export function* ioasMap(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const flags = a.num('flags');
  if (flags & ~(MAP_FIXED_IOVA | MAP_WRITEABLE | MAP_READABLE) || a.num('__reserved') !== 0)
    return failed('EOPNOTSUPP');
  const length = a.big('length');
  if (a.big('iova') >= ULONG_MAX || length >= ULONG_MAX) return failed('EOVERFLOW');
  if (!(flags & (MAP_WRITEABLE | MAP_READABLE))) return failed('EINVAL');
  const ioas = findAs(ctx, a.num('ioas_id'), 'IOAS');
  if (!ioas) return failed('ENOENT');
  const uva = a.big('user_va');
  if (uva + length > ULONG_MAX) return failed('EOVERFLOW');
  const prot = PROT.cache | (flags & MAP_WRITEABLE ? PROT.write : 0) | (flags & MAP_READABLE ? PROT.read : 0);
  const r = yield* mapArea(k, ctx, ioas, flags & MAP_FIXED_IOVA ? a.big('iova') : null, uva, length, prot);
  return typeof r === 'string' ? failed(r) : { errno: '0', out: { iova: r } };
}

/** iopt_map_pages: places the area, pins its pages and maps them into every domain. */
function* mapArea(
  k: Kernel,
  ctx: Context,
  ioas: Ioas,
  fixed: bigint | null,
  uva: bigint,
  length: bigint,
  prot: number,
): Op<bigint | Errno> {
  const alignment = BigInt(ioas.alignment);
  if (length === 0n || length % alignment !== 0n) return 'EINVAL';
  let iova: bigint;
  if (fixed === null) {
    const got = allocIova(ioas, uva, length, k.page);
    if (typeof got === 'string') return got;
    iova = got;
  } else {
    const errno = checkFixedIova(ioas, fixed, length);
    if (errno) return errno;
    iova = fixed;
  }
  if ((uva % k.page) % alignment !== 0n) return 'EINVAL';
  const area: Area = { start: iova, last: iova + length - 1n, uva, prot, process: ctx.process };
  if (ioas.hwpts.length) {
    const runs = pin(k, area);
    if (!runs) return 'EFAULT';
    for (const [i, id] of ioas.hwpts.entries()) {
      const errno = yield* k.driver.map(mustFind(ctx, id, 'HWPT_PAGING').domain, Number(iova), runs, prot);
      if (errno === '0') continue;
      for (const done of ioas.hwpts.slice(0, i))
        yield* k.driver.unmap(mustFind(ctx, done, 'HWPT_PAGING').domain, Number(iova), Number(length));
      return errno;
    }
  }
  ioas.areas.push(area);
  ioas.areas.sort((x, y) => (x.start < y.start ? -1 : 1));
  return iova;
}

/** The physically contiguous stretches behind an area, in order; null where nothing is mapped (EFAULT). */
export function pin(k: Kernel, area: Area): Run[] | null {
  const runs: { oa: number; size: number }[] = [];
  const memory = k.memoryOf(area.process);
  const end = area.uva + (area.last - area.start) + 1n;
  if (end > 2n ** 53n) return null;
  const stop = Number(end);
  let run: { oa: number; size: number } | null = null;
  for (let at = Number(area.uva); at < stop; ) {
    const pa = memory.resolve(at);
    if (pa < 0) return null;
    const n = Math.min(stop - at, memory.contiguous(at));
    if (run && run.oa + run.size === pa) run.size += n;
    else runs.push((run = { oa: pa, size: n }));
    at += n;
  }
  return runs;
}

export function* ioasUnmap(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const ioas = findAs(ctx, a.num('ioas_id'), 'IOAS');
  if (!ioas) return failed('ENOENT');
  const iova = a.big('iova');
  const length = a.big('length');
  const all = iova === 0n && length === ULONG_MAX;
  let range: Range = { start: 0n, last: ULONG_MAX };
  if (!all) {
    if (iova >= ULONG_MAX || length >= ULONG_MAX) return failed('EOVERFLOW');
    if (length === 0n) return failed('EINVAL');
    if (iova + length - 1n > ULONG_MAX) return failed('EOVERFLOW');
    range = { start: iova, last: iova + length - 1n };
  }
  const r = yield* unmapRange(k, ctx, ioas, range);
  if (r.errno !== '0' && !(all && r.errno === 'ENOENT' && r.bytes === 0n)) return failed(r.errno);
  return { errno: '0', out: { length: r.bytes } };
}

/** iopt_unmap_iova_range: whole areas only, lowest first; those before a cut one stay unmapped. */
export function* unmapRange(
  k: Kernel,
  ctx: Context,
  ioas: Ioas,
  range: Range,
): Op<{ readonly errno: Errno; readonly bytes: bigint }> {
  let bytes = 0n;
  for (;;) {
    const area = ioas.areas.find((x) => overlaps(x, range));
    if (!area) break;
    if (area.start < range.start || area.last > range.last) return { errno: 'ENOENT', bytes };
    ioas.areas.splice(ioas.areas.indexOf(area), 1);
    yield* unmapArea(k, ctx, ioas, area);
    bytes += area.last - area.start + 1n;
  }
  return { errno: bytes === 0n ? 'ENOENT' : '0', bytes };
}

/** iopt_area_unfill_domains: the domain that stores the pages comes last and in batches, so that it can unpin. */
function* unmapArea(k: Kernel, ctx: Context, ioas: Ioas, area: Area): Op<void> {
  const [storage, ...others] = ioas.hwpts.map((id) => mustFind(ctx, id, 'HWPT_PAGING'));
  for (const h of others) yield* unmapWhole(k, h, area);
  if (storage) yield* unmapInBatches(k, storage, area);
}

function* unmapWhole(k: Kernel, hwpt: HwptPaging, area: Area): Op<void> {
  yield* k.driver.unmap(hwpt.domain, Number(area.start), Number(area.last - area.start) + 1);
}

function* unmapInBatches(k: Kernel, hwpt: HwptPaging, area: Area): Op<void> {
  const runs = pin(k, area) ?? [];
  let at = Number(area.start);
  for (let i = 0; i < runs.length; i += BATCH_RUNS) {
    let size = 0;
    for (const r of runs.slice(i, i + BATCH_RUNS)) size += r.size;
    yield* k.driver.unmap(hwpt.domain, at, size);
    at += size;
  }
}

/**
 * iopt_table_add_domain: alignment, aperture, then all existing areas are pinned and mapped. Nothing changes on an error.
 */
export function* addDomain(k: Kernel, ioas: Ioas, hwpt: HwptPaging): Op<Errno> {
  if (hwpt.minPageSize > Number(k.page)) return 'EINVAL';
  const alignment = Math.max(ioas.alignment, hwpt.minPageSize);
  const misfit = (n: bigint): boolean => n % BigInt(alignment) !== 0n;
  if (ioas.areas.some((x) => misfit(x.start) || misfit(x.last + 1n) || misfit(x.uva % k.page))) return 'EADDRINUSE';
  const owner = `domain:${hwpt.domain}`;
  const outside: Range[] = [];
  if (hwpt.aperture.start > 0n) outside.push({ start: 0n, last: hwpt.aperture.start - 1n });
  if (hwpt.aperture.last < ULONG_MAX) outside.push({ start: hwpt.aperture.last + 1n, last: ULONG_MAX });
  if (!reserve(ioas, outside, owner)) return 'EADDRINUSE';
  for (const [i, area] of ioas.areas.entries()) {
    const runs = pin(k, area);
    const errno = runs ? yield* k.driver.map(hwpt.domain, Number(area.start), runs, area.prot) : 'EFAULT';
    if (errno === '0') continue;
    for (const done of ioas.areas.slice(0, i)) yield* unmapWhole(k, hwpt, done);
    unreserve(ioas, owner);
    return errno;
  }
  ioas.alignment = alignment;
  ioas.hwpts.push(hwpt.id);
  return '0';
}

/** iopt_table_remove_domain */
export function* removeDomain(k: Kernel, ctx: Context, ioas: Ioas, hwpt: HwptPaging): Op<void> {
  if (!ioas.hwpts.includes(hwpt.id)) return;
  const last = ioas.hwpts.length === 1;
  ioas.hwpts = ioas.hwpts.filter((id) => id !== hwpt.id);
  for (const area of ioas.areas) {
    if (last) yield* unmapInBatches(k, hwpt, area);
    else yield* unmapWhole(k, hwpt, area);
  }
  unreserve(ioas, `domain:${hwpt.domain}`);
  ioas.alignment = Math.max(1, ...ioas.hwpts.map((id) => mustFind(ctx, id, 'HWPT_PAGING').minPageSize));
}

/** Adds reserved ranges for an owner, all or none. @returns false when a mapping or allowed range is in the way */
export function reserve(ioas: Ioas, ranges: readonly Range[], owner: string): boolean {
  if (ranges.some((r) => [...ioas.areas, ...ioas.allowed].some((x) => overlaps(x, r)))) return false;
  ioas.reserved.push(...ranges.map((r) => ({ ...r, owner })));
  return true;
}

export function unreserve(ioas: Ioas, owner: string): void {
  ioas.reserved = ioas.reserved.filter((r) => r.owner !== owner);
}
