import {
  cutMappings,
  type FlushMode,
  type Mapping,
  type Perm,
  QUEUE_ENTRIES,
  showTableWrite,
  withMapping,
} from '../../guest/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { Prot, type TableStep, Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import { tableId } from './ids.ts';
import { invalidateAll, invalidateRange } from './invalidate.ts';
import type { Domain, Kernel } from './state.ts';

/** Address field of a descriptor. */
const ADDRESS = 0xfffffffff000n;

/** The domain's page table; all its content lies in guest memory. */
export const tableOf = (k: Kernel, d: Domain): Vmsav8Table =>
  new Vmsav8Table(k.memory, k.pages, { stage: 1, ...d }, d.root);

/**
 * iommu_map: writes the leaves, largest first that fit, and tables where there are none. No command follows, since invalid
 * descriptors are never cached; only a block that replaces a table flushes it first.
 * @returns '0' or the kernel's error name; on an error nothing of the call stays mapped
 */
export function* map(k: Kernel, d: Domain, m: Mapping): Op<string> {
  if (m.iova % d.granule || m.gpa % d.granule || m.size % d.granule) return 'EINVAL';
  if (m.iova < 0 || m.gpa < 0 || m.size <= 0) return 'EINVAL';
  const it = tableOf(k, d).map(m.iova, m.gpa, m.size, protOf(m.perm));
  const { errno } = yield* run(k, d, it, 'strict');
  if (errno === '0') d.mappings = withMapping(d.mappings, m);
  return errno;
}

/** The DMA layer of a coherent device asks for write-back memory. Stage 1 has no write-only: it becomes read-write. */
const protOf = (perm: Perm): number =>
  (perm.includes('r') ? Prot.read : 0) | (perm.includes('w') ? Prot.write : 0) | Prot.cache;

/**
 * iommu_unmap with the flush of arm-smmuv3.md 7.4.
 * @returns bytes removed: less than asked where a hole or a part of a block stops it
 */
export function* unmap(k: Kernel, d: Domain, iova: number, size: number, flush: FlushMode): Op<number> {
  if (iova < 0 || iova % d.granule || size % d.granule || size <= 0) return 0;
  const done = yield* run(k, d, tableOf(k, d).unmap(iova, size, flush !== 'strict'), flush);
  d.mappings = cutMappings(d.mappings, iova, iova + done);
  if (flush === 'queued' && done > 0) yield* queue(k, d, done);
  return done;
}

/** dma-iommu queue_iova: one more entry in the flush queue; a full one is emptied first. The kernel's timer does not run here. */
function* queue(k: Kernel, d: Domain, bytes: number): Op<void> {
  if (d.queuedUnmaps === QUEUE_ENTRIES) yield* flushQueue(k, d);
  d.queued += bytes;
  d.queuedUnmaps++;
}

/** Empties the domain's flush queue (arm_smmu_flush_iotlb_all through dma-iommu): the whole ASID, then the whole ATCs. */
export function* flushQueue(k: Kernel, d: Domain): Op<void> {
  d.queued = d.queuedUnmaps = 0;
  yield* invalidateAll(k, d);
}

/** Runs a table change to its end: shows what it writes, sends what it asks for before it goes on. */
function* run<T>(k: Kernel, d: Domain, it: Generator<TableStep, T, void>, flush: FlushMode): Op<T> {
  let r = it.next();
  for (; !r.done; r = it.next()) {
    if (r.value.kind === 'write') {
      showTableWrite(k, tableId(k.scope, d.name), r.value, 'S1', d.granule, ADDRESS);
      yield pause('guest', 'table.write');
    } else if (flush !== 'none') yield* invalidateRange(k, d, r.value, r.value.kind === 'leaf');
  }
  return r.value;
}
