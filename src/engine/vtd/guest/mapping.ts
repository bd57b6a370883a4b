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
import type { GenericTableStep } from '../../pagetable/generic-table.ts';
import type { TableWrite } from '../../pagetable/table-steps.ts';
import { Prot } from '../../pagetable/vmsav8-table.ts';
import { domainOf, flushAll, flushRange, flushRangeNp, flushUnmapped, log } from '../linux/index.ts';
import { tableOf } from './domain.ts';
import { tableId } from './ids.ts';
import type { AfterUnmap } from './rules.ts';
import type { DmaDomain, Guest } from './state.ts';

/** What iommu_map, iommu_unmap and the flush queue of dma-iommu do to a domain. */

const TABLE_BYTES = 4096;
/** Address field of an entry. */
const ADDRESS = 0xffffffffff000n;

/**
 * iommu_map: writes the leaves, largest first that fit, and tables where there are none. A first stage is never told, with
 * caching mode neither; only a large page that takes the place of empty tables is followed by a flush of what they covered.
 * @returns '0' or the kernel's error name; on an error nothing of the call stays mapped
 */
export function* map(g: Guest, d: DmaDomain, m: Mapping): Op<string> {
  const it = tableOf(g, d).map(m.iova, m.gpa, m.size, protOf(m.perm));
  let r = it.next();
  for (; !r.done; r = it.next()) yield* react(g, d, r.value);
  const { errno } = r.value;
  if (errno !== '0') return errno;
  d.mappings = withMapping(d.mappings, m);
  const [start, last] = [BigInt(m.iova), BigInt(m.iova) + BigInt(m.size) - 1n];
  yield* flushRangeNp(g.kernel, domainOf(g.kernel, d.handle), start, last);
  if (g.rules.flushesMaps()) yield* flushRange(g.kernel, domainOf(g.kernel, d.handle), start, last, true);
  return '0';
}

const protOf = (perm: Perm): number => (perm.includes('r') ? Prot.read : 0) | (perm.includes('w') ? Prot.write : 0);

function* react(g: Guest, d: DmaDomain, step: GenericTableStep): Op<void> {
  if (step.kind === 'write') return yield* wrote(g, d, step);
  const start = BigInt(step.iova);
  yield* flushUnmapped(g.kernel, domainOf(g.kernel, d.handle), start, start + BigInt(step.size) - 1n, step.freed);
}

function* wrote(g: Guest, d: DmaDomain, w: TableWrite): Op<void> {
  const stage = d.stage === 'first' ? 'FS' : 'SS';
  showTableWrite(g.cpu, tableId(g.scope, d.name), w, stage, TABLE_BYTES, ADDRESS);
  yield pause('guest', 'table.write');
}

/**
 * iommu_unmap: clears the leaves; strict flushes the range once, lazy leaves that to the flush queue.
 * @returns bytes removed: less than asked where a hole stops it, more where the range ends inside a larger page
 */
export function* unmap(g: Guest, d: DmaDomain, iova: number, size: number, flush: FlushMode): Op<number> {
  const table = tableOf(g, d);
  const it = table.unmap(iova, size);
  let r = it.next();
  for (; !r.done; r = it.next()) yield* wrote(g, d, r.value);
  const { unmapped, freed } = r.value;
  if (unmapped === 0) return 0;
  d.mappings = cutMappings(d.mappings, iova, iova + unmapped);
  const lazy = flush === 'queued' && isLazy(g, d);
  if (lazy) {
    yield* queue(g, d, unmapped);
    if (!g.rules.atQueue().includes('release')) d.queuedTables.push(...freed);
    else table.release(freed);
    return unmapped;
  }
  const start = BigInt(iova);
  const last = start + BigInt(unmapped) - 1n;
  yield* inOrder(flush === 'none' ? ['release'] : g.rules.afterUnmap(), {
    flush: () => flushUnmapped(g.kernel, domainOf(g.kernel, d.handle), start, last, freed.length > 0),
    release: () => table.release(freed),
  });
  return unmapped;
}

/**
 * Whether a domain has a flush queue. Caching mode takes it from second-stage domains, since every map needs an exit anyway;
 * a guest whose unit has a first stage stays lazy (iommu.c intel_iommu_init).
 */
export function isLazy(g: Guest, d: Pick<DmaDomain, 'stage'>): boolean {
  return d.stage === 'first' || !g.kernel.state.units.some((u) => u.caps?.cm);
}

export const noBatching = (g: Guest, at: string): void =>
  log(g.kernel, at, 'DMAR: IOMMU batching disallowed due to virtualization');

/** dma-iommu queue_iova: one more entry in the flush queue; a full one is emptied first. The kernel's timer does not run here. */
function* queue(g: Guest, d: DmaDomain, bytes: number): Op<void> {
  if (d.queuedUnmaps === QUEUE_ENTRIES) yield* flushQueue(g, d);
  d.queued += bytes;
  d.queuedUnmaps++;
}

/** Empties the domain's flush queue: everything of the domain is invalidated, then addresses and table pages are free. */
export function* flushQueue(g: Guest, d: DmaDomain): Op<void> {
  const tables = d.queuedTables;
  d.queued = d.queuedUnmaps = 0;
  d.queuedTables = [];
  yield* inOrder(g.rules.afterQueue(), {
    flush: () => flushAll(g.kernel, domainOf(g.kernel, d.handle)),
    release: () => tableOf(g, d).release(tables),
  });
}

function* inOrder(
  order: readonly AfterUnmap[],
  todo: { readonly flush: () => Op<void>; readonly release: () => void },
): Op<void> {
  for (const what of order)
    if (what === 'flush') yield* todo.flush();
    else todo.release();
}
