import type { Errno } from './errno.ts';
import { failed, finalize, type IoctlResult, type Kernel, remove } from './kernel.ts';
import { type Context, findAs, mustFind, nextId, type Veventq, type Viommu } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** Event queues of a vIOMMU: IOMMU_VEVENTQ_ALLOC and reading its fd (drivers/iommu/iommufd/eventq.c, driver.c). */

const MAX_DEPTH = 1 << 19;
const HEADER_BYTES = 8;
const LOST_EVENTS = 1;
const INT_MAX = 0x7fffffff;

export function veventqAlloc(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  const queueType = a.num('type');
  const depth = a.num('veventq_depth');
  if (a.num('flags') !== 0 || a.num('__reserved') !== 0 || queueType === 0) return failed('EOPNOTSUPP');
  if (depth === 0 || depth > MAX_DEPTH) return failed('EINVAL');
  const viommu = findAs(ctx, a.num('viommu_id'), 'VIOMMU');
  if (!viommu) return failed('ENOENT');
  if (queueOf(ctx, viommu, queueType)) return failed('EEXIST');
  const id = nextId(ctx);
  const q: Veventq = {
    type: 'VEVENTQ',
    id,
    // One reference more while the fd is open.
    users: 2,
    viommu: viommu.id,
    queueType,
    depth,
    sequence: 0,
    pending: 0,
    records: [],
  };
  viommu.veventqs.push(id);
  viommu.users++;
  finalize(k, ctx, q, `type ${queueType}, depth ${depth}`);
  const fd = k.openQueue(ctx, 'veventq', id);
  return { errno: '0', out: { out_veventq_id: id, out_veventq_fd: fd }, main: id };
}

export function destroyVeventq(k: Kernel, ctx: Context, q: Veventq): void {
  const viommu = mustFind(ctx, q.viommu, 'VIOMMU');
  viommu.veventqs = viommu.veventqs.filter((id) => id !== q.id);
  viommu.users--;
  remove(k, ctx, q);
}

function queueOf(ctx: Context, viommu: Viommu, type: number): Veventq | undefined {
  return viommu.veventqs.map((id) => mustFind(ctx, id, 'VEVENTQ')).find((q) => q.queueType === type);
}

/**
 * iommufd_viommu_report_event: queues one event, or the lost-events marker when `depth` events wait. A marker at the tail
 * gives way to whatever is queued after it.
 */
export function reportEvent(ctx: Context, viommu: Viommu, type: number, data: Uint8Array): Errno {
  const q = queueOf(ctx, viommu, type);
  if (!q) return 'EOPNOTSUPP';
  if (q.records.at(-1)?.data === null) q.records.pop();
  const lost = q.pending === q.depth;
  q.records.push({ flags: lost ? LOST_EVENTS : 0, sequence: q.sequence, data: lost ? null : data.slice() });
  if (!lost) q.pending++;
  q.sequence = q.sequence === INT_MAX ? 0 : q.sequence + 1;
  return '0';
}

/** One record as read: the header's fields, and those of the type's data. */
export type ReadRecord = Readonly<Record<string, unknown>>;

/**
 * read() on the queue's fd: whole records while they fit. Never blocks: an empty queue gives 0 bytes. EINVAL when not even
 * a header, or the first record, fits.
 */
export function readVeventq(
  k: Kernel,
  q: Veventq,
  count: number,
): { readonly errno: Errno; readonly bytes: number; readonly records: readonly ReadRecord[] } {
  const records: ReadRecord[] = [];
  if (count < HEADER_BYTES) return { errno: 'EINVAL', bytes: 0, records };
  let bytes = 0;
  for (let r = q.records[0]; r; r = q.records[0]) {
    const size = HEADER_BYTES + (r.data?.length ?? 0);
    if (bytes + size > count) {
      if (bytes === 0) return { errno: 'EINVAL', bytes: 0, records };
      break;
    }
    q.records.shift();
    if (r.data) q.pending--;
    bytes += size;
    const fields = r.data ? k.driver.eventFields(q.queueType, r.data) : {};
    records.push({ flags: r.flags, sequence: r.sequence, ...fields });
  }
  return { errno: '0', bytes, records };
}
