import type { Op } from '../../machine/index.ts';
import type { Descriptor } from './descriptors.ts';
import { tlbOf } from './device-tlb.ts';
import type { CacheTag, Domain } from './domain.ts';
import { capsOf, type Kernel, tracepoint } from './kernel.ts';
import { flushWriteBuffer, GCMD } from './mmio.ts';
import { submit } from './queue.ts';
import { type AlignedRange, everything, WHOLE_SPACE } from './range.ts';

/** The flush engine: from a range of a domain to descriptors for every cache that has a tag (cache.c). */

/** QI_MAX_BATCHED_DESC_COUNT */
const BATCH = 16;

/**
 * cache_tag_flush_range. Both ends are inclusive, 64 bits; `ih`: only leaf entries changed. Descriptors collect while the tags
 * are of one unit; sixteen of them, and the last ones, go out with one wait.
 * @param onDescriptor told of each descriptor, and of the tag that wants it, before it is posted
 */
export function* flushRange(
  k: Kernel,
  domain: Domain,
  start: bigint,
  end: bigint,
  ih: boolean,
  onDescriptor?: (tag: CacheTag, words: Descriptor) => void,
): Op<void> {
  let r = start === 0n && end === WHOLE_SPACE ? everything : k.rules.range(start, end);
  const batch: Descriptor[] = [];
  let unit = -1;
  for (const tag of [...domain.tags]) {
    if (unit >= 0 && unit !== tag.unit) yield* send(k, unit, batch);
    unit = tag.unit;
    let used = r;
    let descriptors: readonly Descriptor[];
    if (tag.type === 'iotlb' || tag.type === 'nesting_iotlb')
      descriptors = k.rules.iotlbFlush(domain.kind, tag, r, ih, capsOf(k, unit));
    else {
      if (tag.type === 'nesting_devtlb') {
        used = k.rules.nestedDeviceRange(r);
        r = k.rules.rangeAfterNestedDevice(r, used);
      }
      descriptors = deviceFlush(k, tag, used);
    }
    if (onDescriptor) for (const d of descriptors) onDescriptor(tag, d);
    yield* add(k, unit, batch, descriptors);
    traceFlush(k, 'cache_tag_flush_range', tag, start, end, used);
  }
  if (unit >= 0) yield* send(k, unit, batch);
}

/** cache_tag_flush_all */
export const flushAll = (k: Kernel, domain: Domain): Op<void> => flushRange(k, domain, 0n, WHOLE_SPACE, false);

/** The flush after an unmap (iommu.c intel_iommu_tlb_sync); `freedTables`: the unmap took table pages out of the table. */
export const flushUnmapped = (k: Kernel, domain: Domain, start: bigint, end: bigint, freedTables: boolean): Op<void> =>
  flushRange(k, domain, start, end, k.rules.leavesOnly(freedTables));

/**
 * After a mapping was added (intel_iommu_iotlb_sync_map, cache_tag_flush_range_np): only domains made for such units do it.
 * A first-stage table is never cached while not present, so that for it only the write buffer counts.
 */
export function* flushRangeNp(k: Kernel, domain: Domain, start: bigint, end: bigint): Op<void> {
  if (!domain.syncMap) return;
  const r = k.rules.range(start, end);
  const batch: Descriptor[] = [];
  let unit = -1;
  for (const tag of [...domain.tags]) {
    if (unit >= 0 && unit !== tag.unit) yield* send(k, unit, batch);
    unit = tag.unit;
    const c = capsOf(k, unit);
    if (!k.rules.flushesNotPresent(domain.kind, c.cm)) {
      yield* flushWriteBuffer(k, k.units[unit]!);
      continue;
    }
    if (tag.type === 'iotlb' || tag.type === 'nesting_iotlb')
      yield* add(k, unit, batch, k.rules.iotlbFlush(domain.kind, tag, r, false, c));
    traceFlush(k, 'cache_tag_flush_range_np', tag, start, end, r);
  }
  if (unit >= 0) yield* send(k, unit, batch);
}

/** Nothing while translation is off, as the specification advises; some devices get it twice. */
function deviceFlush(k: Kernel, tag: CacheTag, r: AlignedRange): Descriptor[] {
  const d = k.state.devices.find((x) => x.name === tag.device);
  // A tag that outlived its device: the kernel reads freed memory here, the model asks the RID that was.
  const tlb = d ? tlbOf(k, d) : k.state.gone.find((g) => g.name === tag.device);
  if (!tlb || !(k.state.units[tag.unit]!.gcmd & GCMD.te)) return [];
  const once = k.rules.deviceTlbFlush(tag, tlb, r);
  return d?.extraInvalidation ? [...once, ...once] : once;
}

function* add(k: Kernel, unit: number, batch: Descriptor[], descriptors: readonly Descriptor[]): Op<void> {
  for (const d of descriptors) {
    batch.push(d);
    if (batch.length === BATCH) yield* send(k, unit, batch);
  }
}

function* send(k: Kernel, unit: number, batch: Descriptor[]): Op<void> {
  if (batch.length === 0) return;
  const list = k.rules.batchOrder(batch);
  batch.length = 0;
  yield* submit(k, k.units[unit]!, list, { of: 'flush' });
}

function traceFlush(k: Kernel, event: string, tag: CacheTag, start: bigint, end: bigint, r: AlignedRange): void {
  if (!k.tracepoints && !k.trace.listener) return;
  const u = k.units[tag.unit]!;
  const hex = (v: bigint): string => `0x${v.toString(16)}`;
  tracepoint(
    k,
    u.ids.driver,
    event,
    `${u.name} ${tag.device}[${tag.pasid}] type ${tag.type} did ${tag.did} [${hex(start)}-${hex(end)}] ` +
      `addr ${hex(r.address)} mask ${hex(BigInt(r.mask))}`,
  );
}
