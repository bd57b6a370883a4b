import { cdSafe, cdUsed, type EntryStep, entrySteps, steSafe, steUsed } from '../host/entry.ts';
import { atcInv, type Command, cfgiCd, cfgiSte, nhAsid, nhVa } from './commands.ts';
import { type Invalidated, splitRange, tooBigForRange } from './range.ts';

/** A stage-1 range that must leave the TLB. */
export interface RangeFlush extends Invalidated {
  readonly asid: number;
  /** log2 of the domain's smallest page. */
  readonly page: number;
  /** IDR3.RIL of the vSMMU. */
  readonly ril: boolean;
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
  /** ATC commands that follow the two above, for every stream of the domain with ATS on. */
  unmapAtc(sids: readonly number[], r: Invalidated): Command[];
  /** The batches of a flush in their order. A device may refill its ATC from the TLB, so the TLB comes first. */
  flushOrder(tlbi: Command[], atc: Command[]): Command[][];
  /** TLB command of an empty-out of the flush queue. */
  flushQueueTlbi(asid: number): Command[];
  /** ATC commands of an empty-out of the flush queue. */
  flushQueueAtc(sids: readonly number[]): Command[];
  /** The order in which an STE or CD is rewritten: each step is followed by its invalidation and CMD_SYNC. */
  entrySteps(kind: 'ste' | 'cd', current: readonly bigint[], target: readonly bigint[]): EntryStep[];
  /** After a context descriptor changed: for every stream that reaches it. `writer` is the one whose attach changed it. */
  cdSync(sids: readonly number[], ssid: number, writer: number): Command[];
  /** After a part of a stream table entry changed. */
  steSync(sid: number): Command[];
  /** When a device's domain changes and its ATC may hold translations of the old one. */
  attachAtc(sid: number): Command[];
  /** When the last device of an ASID has left. */
  detachAsid(asid: number): Command[];
}

const tlbiByRange = (f: RangeFlush, leaf: boolean): Command[] =>
  tooBigForRange(f, f.ril) ? [nhAsid(f.asid)] : splitRange(f, leaf, f.page, f.ril).map((r) => nhVa(f.asid, r, leaf));

/** As the kernel does today. Sources: arm-smmu-v3.c, the functions named at each rule. */
export const guestRules: GuestRules = {
  // arm_smmu_iotlb_sync
  unmapTlbi: (f) => tlbiByRange(f, true),
  // arm_smmu_tlb_inv_walk
  walkTlbi: (f) => tlbiByRange(f, false),
  // arm_smmu_domain_inv_range, the ATS entries of the invalidation array
  unmapAtc: (sids, r) => sids.map((sid) => atcInv(sid, r.iova, r.size)),
  flushOrder: (tlbi, atc) => [tlbi, atc],
  // arm_smmu_flush_iotlb_all
  flushQueueTlbi: (asid) => [nhAsid(asid)],
  flushQueueAtc: (sids) => sids.map((sid) => atcInv(sid, 0, 0)),
  // arm_smmu_write_entry
  entrySteps: (kind, current, target) =>
    kind === 'ste'
      ? entrySteps(current, target, steUsed(current), steUsed(target), steSafe(current, target))
      : entrySteps(current, target, cdUsed(current), cdUsed(target), cdSafe()),
  // arm_smmu_sync_cd
  cdSync: (sids, ssid) => sids.map((sid) => cfgiCd(sid, ssid)),
  // arm_smmu_sync_ste_for_sid
  steSync: (sid) => [cfgiSte(sid)],
  // arm_smmu_attach_commit
  attachAtc: (sid) => [atcInv(sid, 0, 0)],
  // end of an attach, for the domain that was left
  detachAsid: (asid) => [nhAsid(asid)],
};
