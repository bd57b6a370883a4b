import { cdSafe, cdUsed, type EntryStep, entrySteps, steSafe, steUsed } from '../host/entry.ts';
import {
  atcInv,
  type Command,
  cfgiAll,
  cfgiCd,
  cfgiSte,
  el2All,
  nhAsid,
  nhVa,
  nsnhAll,
  prefetchConfig,
  priDeny,
  resume,
} from './commands.ts';
import { type Invalidated, splitRange, tooBigForRange } from './range.ts';

/** A stage-1 range that must leave the TLB. */
export interface RangeFlush extends Invalidated {
  readonly asid: number;
  /** log2 of the domain's smallest page. */
  readonly page: number;
  /** IDR3.RIL of the vSMMU. */
  readonly ril: boolean;
}

/** A stream and a PASID of it whose ATC may hold translations of a domain; `ssid` 0 for the whole stream. */
export interface AtcTarget {
  readonly sid: number;
  readonly ssid: number;
}

/**
 * What a Linux guest must send, one rule for each duty. A rule returns the commands of one batch, which the driver ends with
 * a CMD_SYNC; without commands there is no CMD_SYNC either. A deviation replaces one rule by name.
 */
export interface GuestRules {
  /** TLB commands for leaves that were removed. */
  unmapTlbi(f: RangeFlush): Command[];
  /** TLB commands for a table that was unlinked, before its page is used for anything else. */
  walkTlbi(f: RangeFlush): Command[];
  /** ATC commands that follow the two above, for every stream and PASID of the domain with ATS on. */
  unmapAtc(entries: readonly AtcTarget[], r: Invalidated): Command[];
  /** The batches of a flush in their order. A device may refill its ATC from the TLB, so the TLB comes first. */
  flushOrder(tlbi: Command[], atc: Command[]): Command[][];
  /** TLB command of an empty-out of the flush queue. */
  flushQueueTlbi(asid: number): Command[];
  /** ATC commands of an empty-out of the flush queue. */
  flushQueueAtc(entries: readonly AtcTarget[]): Command[];
  /** TLB commands when the CPU's page table of a process has changed: leaves and tables at once, so never leaf only. */
  notifierTlbi(f: RangeFlush): Command[];
  /** ATC commands that follow. */
  notifierAtc(entries: readonly AtcTarget[], r: Invalidated): Command[];
  /** TLB command when a process exits while devices are bound to it; its page tables are freed right after. */
  exitTlbi(asid: number): Command[];
  /** ATC commands that follow. */
  exitAtc(entries: readonly AtcTarget[]): Command[];
  /** What the CDs of an exited process become: valid and quiet, empty, or left alone. */
  exitCd(): 'quiet' | 'clear' | 'keep';
  /** The order in which an STE or CD is rewritten: each step is followed by its invalidation and CMD_SYNC. */
  entrySteps(kind: 'ste' | 'cd', current: readonly bigint[], target: readonly bigint[]): EntryStep[];
  /** After a context descriptor changed: for every stream that reaches it. `writer` is the one whose attach changed it. */
  cdSync(sids: readonly number[], ssid: number, writer: number): Command[];
  /** After a second-level CD table was put in: an invalid L1CD may be cached. */
  cdTableSync(sids: readonly number[], ssid: number): Command[];
  /** After a part of a stream table entry changed. */
  steSync(sid: number): Command[];
  /** A hint after a whole stream table entry was written; without CMD_SYNC. */
  stePrefetch(sid: number): Command[];
  /** A domain takes on a device before hardware is told, so that no unmap in between is lost. */
  joinsFirst(): boolean;
  /** When what a device's RID (`ssid` 0) or PASID reaches has changed and its ATC may hold the old. */
  attachAtc(sid: number, ssid: number): Command[];
  /** When a PASID is taken from a device. */
  pasidAtc(sid: number, ssid: number): Command[];
  /** When the last device of an ASID has left. */
  detachAsid(asid: number): Command[];
  /** Cached configuration that may be older than the driver: at probe. */
  resetCfgi(): Command[];
  /** TLB entries that may be older than the driver: at probe, in batches of their own. */
  resetTlbi(hyp: boolean): Command[][];
  /** A device about to be reset is blocked, so that nothing is sent to its ATC meanwhile. */
  resetBlocks(ats: boolean): boolean;
  /** The end of a stalled transaction; without CMD_SYNC. */
  faultAnswer(sid: number, stag: number, answer: 'retry' | 'abort'): Command[];
  /** The answer to the last request of a page request group; without CMD_SYNC. */
  denyPageRequest(sid: number, ssid: number | null, group: number): Command[];
}

const tlbiByRange = (f: RangeFlush, leaf: boolean): Command[] =>
  tooBigForRange(f, f.ril) ? [nhAsid(f.asid)] : splitRange(f, leaf, f.page, f.ril).map((r) => nhVa(f.asid, r, leaf));
const atcByRange = (entries: readonly AtcTarget[], r: Invalidated): Command[] =>
  entries.map((e) => atcInv(e.sid, r.iova, r.size, e.ssid));
const atcWhole = (entries: readonly AtcTarget[]): Command[] => entries.map((e) => atcInv(e.sid, 0, 0, e.ssid));

/** As the kernel does today. Sources: arm-smmu-v3.c and arm-smmu-v3-sva.c, the functions named at each rule. */
export const guestRules: GuestRules = {
  // arm_smmu_iotlb_sync
  unmapTlbi: (f) => tlbiByRange(f, true),
  // arm_smmu_tlb_inv_walk
  walkTlbi: (f) => tlbiByRange(f, false),
  // __arm_smmu_domain_inv_range, the ATS entries of the invalidation array
  unmapAtc: atcByRange,
  // arm_smmu_invs_end_batch
  flushOrder: (tlbi, atc) => [tlbi, atc],
  // arm_smmu_flush_iotlb_all
  flushQueueTlbi: (asid) => [nhAsid(asid)],
  flushQueueAtc: atcWhole,
  // arm_smmu_mm_arch_invalidate_secondary_tlbs
  notifierTlbi: (f) => tlbiByRange(f, false),
  notifierAtc: atcByRange,
  // arm_smmu_mm_release
  exitTlbi: (asid) => [nhAsid(asid)],
  exitAtc: atcWhole,
  exitCd: () => 'quiet',
  // arm_smmu_write_entry
  entrySteps: (kind, current, target) =>
    kind === 'ste'
      ? entrySteps(current, target, steUsed(current), steUsed(target), steSafe(current, target))
      : entrySteps(current, target, cdUsed(current), cdUsed(target), cdSafe()),
  // arm_smmu_sync_cd
  cdSync: (sids, ssid) => sids.map((sid) => cfgiCd(sid, ssid)),
  // arm_smmu_write_cd_l1_desc, arm_smmu_sync_cd(leaf = false)
  cdTableSync: (sids, ssid) => sids.map((sid) => cfgiCd(sid, ssid, false)),
  // arm_smmu_ste_writer_sync_entry
  steSync: (sid) => [cfgiSte(sid)],
  // arm_smmu_write_ste
  stePrefetch: (sid) => [prefetchConfig(sid)],
  // arm_smmu_attach_prepare, arm_smmu_install_new_domain_invs
  joinsFirst: () => true,
  // arm_smmu_attach_commit
  attachAtc: (sid, ssid) => [atcInv(sid, 0, 0, ssid)],
  // arm_smmu_blocking_set_dev_pasid
  pasidAtc: (sid, ssid) => [atcInv(sid, 0, 0, ssid)],
  // arm_smmu_inv_flush_iotlb_tag
  detachAsid: (asid) => [nhAsid(asid)],
  // arm_smmu_device_reset
  resetCfgi: () => [cfgiAll()],
  resetTlbi: (hyp) => (hyp ? [[el2All()], [nsnhAll()]] : [[nsnhAll()]]),
  // pci_dev_reset_iommu_prepare
  resetBlocks: (ats) => ats,
  // arm_smmu_page_response
  faultAnswer: (sid, stag, answer) => [resume(sid, stag, answer)],
  // arm_smmu_handle_ppr
  denyPageRequest: (sid, ssid, group) => [priDeny(sid, ssid, group)],
};
