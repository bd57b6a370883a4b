import type { Op } from '../../machine/index.ts';
import type { TableFlush } from '../../pagetable/vmsav8-table.ts';
import type { InvalidationEntry } from './invalidation-array.ts';
import { Batch, submit } from './queue.ts';
import { featuresOf, type Host, type PagingDomain } from './state.ts';

/**
 * Invalidates a range of a domain: goes through its array in order and ends a batch, with CMD_SYNC, wherever the next entry
 * must not start before the caches so far are clean (arm-smmu-v3.c __arm_smmu_domain_inv_range). Nothing is sent while no
 * device is attached.
 */
export function* invalidateRange(h: Host, d: PagingDomain, flush: TableFlush): Op<void> {
  const f = featuresOf(h);
  const context = {
    e2h: f.e2h,
    ril: f.rangeInvalidation,
    page: Math.log2(d.table.granule ?? 4096),
    leaf: flush.kind === 'leaf',
  };
  const live = d.invalidations.filter((e) => e.users > 0);
  const batch = new Batch(h);
  for (const [i, e] of live.entries()) {
    for (const c of h.rules.invalidate(e, flush, context)) yield* batch.add(c);
    const next = live[i + 1];
    if (batch.size && (!next || h.rules.endsBatch(e, next))) yield* batch.submit();
  }
}

/** A tag that is in no array any more must be clean in the TLB. */
export function* flushTag(h: Host, e: Pick<InvalidationEntry, 'type' | 'id' | 'ssid'>): Op<void> {
  yield* submit(h, h.rules.tagFlush(e, featuresOf(h).e2h));
}
