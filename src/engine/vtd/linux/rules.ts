import type { Capabilities } from './capabilities.ts';
import {
  contextAll,
  contextDevice,
  type Descriptor,
  type DeviceTlb,
  deviceTlb,
  deviceTlbAll,
  fenceDescriptor,
  iotlbAll,
  iotlbDomain,
  iotlbPages,
  pasidCache,
  pasidCacheAll,
  pasidDeviceTlb,
  pasidDeviceTlbAll,
  piotlbPages,
  piotlbPasid,
  RESPONSE,
} from './descriptors.ts';
import type { CacheTagType, DomainKind } from './domain.ts';
import { ALL_PAGES, type AlignedRange, alignedRange, everything } from './range.ts';

/** Translation types of a PASID entry. */
export const PGTT = { firstStage: 1, secondStage: 2, nested: 3, passThrough: 4 } as const;

/** Lists of descriptors: each is a submission of its own. */
export type Submissions = readonly (readonly Descriptor[])[];

/** What the flush rules know of a tag. */
export interface TagView {
  readonly type: CacheTagType;
  readonly did: number;
  readonly pasid: number;
}

/**
 * What the Intel driver must do, one named function a duty, for a host and for a guest. A deviation replaces one of them;
 * nothing else in the driver knows of bugs. Names in comments are functions of drivers/iommu/intel.
 */
export interface LinuxRules {
  /** From a range to a block that a descriptor can say: cache.c calculate_psi_aligned_address. */
  range(start: bigint, end: bigint): AlignedRange;
  /** IH of the flush after an unmap: no table page was freed (iommu_pages_list_empty of the gather). */
  leavesOnly(freedTables: boolean): boolean;
  /** Tags of an attachment in the domain itself: cache.c __cache_tag_assign_domain. */
  ownTags(kind: DomainKind, ats: boolean): CacheTagType[];
  /** Tags of a nested attachment in the parent: __cache_tag_assign_parent_domain. */
  parentTags(ats: boolean): CacheTagType[];
  /** ATS is switched on for a device that has a domain already: iommu.c intel_iommu_probe_finalize. */
  tagsWhenAtsComes(): CacheTagType[];
  /** When the new domain's tags are added. A paging domain of the RID gets them after the entry. */
  tagsJoin(kind: DomainKind, pasid: number): 'before entry' | 'after entry';
  /** Descriptor of an IOTLB tag: cache_tag_flush_iotlb, intel_domain_use_piotlb. */
  iotlbFlush(kind: DomainKind, tag: TagView, r: AlignedRange, ih: boolean, c: Capabilities): Descriptor[];
  /** Descriptor of a device TLB tag: cache_tag_flush_devtlb_psi. */
  deviceTlbFlush(tag: TagView, d: DeviceTlb, r: AlignedRange): Descriptor[];
  /** Range of a device TLB that holds nested translations: it is indexed by addresses that the parent does not know. */
  nestedDeviceRange(r: AlignedRange): AlignedRange;
  /** What the tags after such a one are flushed with: the loop variables were overwritten. */
  rangeAfterNestedDevice(before: AlignedRange, used: AlignedRange): AlignedRange;
  /** Order of a batch before it goes out: as the tags stand. */
  batchOrder(batch: readonly Descriptor[]): Descriptor[];
  /** A submission ends in a wait descriptor and is waited for: dmar.c qi_submit_sync. */
  waits(of: 'flush' | 'entry'): boolean;
  /** After a mapping was added: iommu.c intel_iommu_iotlb_sync_map, cache_tag_flush_range_np. */
  flushesNotPresent(kind: DomainKind, cachingMode: boolean): boolean;
  /** After an entry became present: pasid.c pasid_flush_caches. */
  entrySetUp(cachingMode: boolean, did: number, pasid: number): Submissions;
  /** After P of an entry was cleared, before it is wiped: intel_pasid_tear_down_entry. */
  entryTornDown(pgtt: number, did: number, pasid: number, devTlb: readonly Descriptor[], c: Capabilities): Submissions;
  /** After a present entry changed: intel_pasid_flush_present. */
  entryChanged(did: number, pasid: number, devTlb: readonly Descriptor[]): Submissions;
  /** After SSADE changed: intel_pasid_setup_dirty_tracking. */
  dirtyToggled(did: number, pasid: number, devTlb: readonly Descriptor[], c: Capabilities): Submissions;
  /** What empties a device TLB of a PASID: devtlb_invalidation_with_pasid. */
  wholeDeviceTlb(d: DeviceTlb, pasid: number): Descriptor[];
  /** A device that does not answer on the bus gets no invalidation. */
  asksAbsent(): boolean;
  /** How an entry goes away: P first, wipe after the flushes; pasid_clear_present. */
  tearDownOrder(): 'P first' | 'wipe first';
  /** How an entry's domain is replaced: torn down and made anew; iommu.c domain_setup_nested and its like. */
  replaces(): 'tear down' | 'in place';
  /** After a context entry became present: device_pasid_table_setup. */
  contextSetUp(cachingMode: boolean, sid: number, c: Capabilities): Submissions;
  /** After a context entry was zeroed: intel_context_flush_no_pasid. */
  contextTornDown(sid: number, did: number, devTlb: readonly Descriptor[], c: Capabilities): Submissions;
  /** After the root table was set: iommu.c iommu_set_root_entry. */
  rootSet(c: Capabilities): Submissions;
  /** Dirty tracking of a parent reaches the entries of its children: parent_domain_set_dirty_tracking. */
  dirtyReachesChildren(): boolean;
  /** SSADE of a new entry on a domain that tracks already. */
  dirtyOnAttach(tracking: boolean): boolean;
  /** Page requests are drained when an entry goes: prq.c intel_iommu_drain_pasid_prq. */
  drains(): boolean;
  /** The submission of a drain, without the wait at its end. */
  drain(did: number, pasid: number, d: DeviceTlb, c: Capabilities): Descriptor[];
  /** Whether tags go before ATS is off when a device is released: iommu.c intel_iommu_release_device. */
  releaseOrder(): 'tags first' | 'ATS first';
  /** The device is blocked while it is reset: drivers/iommu/iommu.c pci_dev_reset_iommu_prepare. */
  resetBlocks(ats: boolean): boolean;
  /** A page request that cannot be served is answered if it is the last of its group: prq.c handle_bad_prq_event. */
  answersBad(last: boolean): boolean;
  /** Page requests that wait when the last handler goes are answered: io-pgfault.c iopf_queue_remove_device. */
  answersLeft(): boolean;
  /** RC of a page group response: prq.c intel_iommu_page_response. */
  responseCode(code: 'success' | 'invalid' | 'failure'): number;
  /** A refused descriptor is replaced by the wait, so that the queue goes on: dmar.c qi_check_fault. */
  repairsRefused(): boolean;
  /** Which slots count as aborted after a time-out: from that one on, backwards. */
  abortedSlots(): { readonly first: (slot: number) => number; readonly step: number };
}

export const linuxRules: LinuxRules = {
  range: alignedRange,
  leavesOnly: (freedTables) => !freedTables,
  ownTags: (_kind, ats) => (ats ? ['iotlb', 'devtlb'] : ['iotlb']),
  parentTags: (ats) => (ats ? ['nesting_iotlb', 'nesting_devtlb'] : ['nesting_iotlb']),
  tagsWhenAtsComes: () => ['devtlb'],
  tagsJoin: (kind, pasid) => (pasid === 0 && (kind === 'fs' || kind === 'ss') ? 'after entry' : 'before entry'),
  iotlbFlush: (kind, tag, r, ih, c) => {
    if (kind !== 'ss')
      return [r.mask >= ALL_PAGES ? piotlbPasid(tag.did, tag.pasid) : piotlbPages(tag.did, tag.pasid, r, ih)];
    return [!c.psi || r.mask > c.mamv ? iotlbDomain(c, tag.did) : iotlbPages(c, tag.did, r, ih)];
  },
  deviceTlbFlush: (tag, d, r) => [tag.pasid === 0 ? deviceTlb(d, r) : pasidDeviceTlb(d, tag.pasid, r)],
  nestedDeviceRange: () => everything,
  rangeAfterNestedDevice: (_before, used) => used,
  batchOrder: (batch) => [...batch],
  waits: () => true,
  flushesNotPresent: (kind, cachingMode) => cachingMode && kind !== 'fs',
  // What was cached as not present has no kind yet: the PASID form serves second-stage entries too.
  entrySetUp: (cachingMode, did, pasid) => (cachingMode ? [[pasidCache(did, pasid)], [piotlbPasid(did, pasid)]] : []),
  // From the cache nearest to the entry down to the device, so that none can be refilled from one that is still stale.
  entryTornDown: (pgtt, did, pasid, devTlb, c) => [
    [pasidCache(did, pasid)],
    [pgtt === PGTT.firstStage || pgtt === PGTT.passThrough ? piotlbPasid(did, pasid) : iotlbDomain(c, did)],
    devTlb,
  ],
  entryChanged: (did, pasid, devTlb) => [[pasidCache(did, pasid)], [piotlbPasid(did, pasid)], devTlb],
  dirtyToggled: (did, pasid, devTlb, c) => [[pasidCache(did, pasid)], [iotlbDomain(c, did)], devTlb],
  wholeDeviceTlb: (d, pasid) => [pasid === 0 ? deviceTlbAll(d) : pasidDeviceTlbAll(d, pasid)],
  asksAbsent: () => false,
  tearDownOrder: () => 'P first',
  replaces: () => 'tear down',
  // With caching mode what is not present is cached under domain 0.
  contextSetUp: (cachingMode, sid, c) => (cachingMode ? [[contextDevice(sid)], [iotlbDomain(c, 0)]] : []),
  contextTornDown: (sid, did, devTlb, c) => [
    [contextDevice(sid, did)],
    ...(c.scalable ? [] : [[iotlbDomain(c, did)]]),
    devTlb,
  ],
  rootSet: (c) => (c.esrtps ? [] : [[contextAll()], ...(c.scalable ? [[pasidCacheAll()]] : []), [iotlbAll(c)]]),
  dirtyReachesChildren: () => true,
  dirtyOnAttach: (tracking) => tracking,
  drains: () => true,
  drain: (did, pasid, d, c) =>
    pasid === 0
      ? [fenceDescriptor(), iotlbDomain(c, did), deviceTlbAll(d)]
      : [fenceDescriptor(), piotlbPasid(did, pasid), pasidDeviceTlbAll(d, pasid)],
  releaseOrder: () => 'tags first',
  // A function in reset may not answer invalidations; without ATS it gets none.
  resetBlocks: (ats) => ats,
  answersBad: (last) => last,
  answersLeft: () => true,
  // The core's own numbers: a failure goes out as 2, though the specification's code for it is 15.
  responseCode: (code) => RESPONSE[code],
  repairsRefused: () => true,
  abortedSlots: () => ({ first: (slot) => slot, step: 1 }),
};
