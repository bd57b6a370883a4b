import type { Errno, PageResponse } from '../../iommufd/index.ts';
import { atcSpan, type Invalidated, tooBigForRange } from '../guest/range.ts';
import {
  asidAll,
  atcInv,
  type Command,
  cfgiAll,
  cfgiCd,
  cfgiSte,
  el2All,
  nhAll,
  nsnhAll,
  prefetchConfig,
  priResponse,
  resume,
  s1Va,
  s2Ipa,
  s12VmAll,
} from './commands.ts';
import { cdSafe, cdUsed, type EntryStep, entrySteps, steSafe, steUsed } from './entry.ts';
import { type Invalidation, isAts } from './invalidation-array.ts';
import { guestEvent, isHandledEvent, rewriteCommand } from './rewrite.ts';
import { type AcceptedVste, physicalSte, validateVste, vsteWantsAts } from './vste.ts';

/** What the range rules need to know beside the range. */
export interface FlushContext {
  readonly e2h: boolean;
  /** IDR3.RIL. */
  readonly ril: boolean;
  /** log2 of the domain's smallest page. */
  readonly page: number;
  /** Only leaf entries must go; false after a table was unlinked. */
  readonly leaf: boolean;
}

/**
 * What the host driver must do, one named function a duty. A deviation replaces one of them; nothing else in the driver
 * knows of bugs. Names in comments are functions of arm-smmu-v3.c and arm-smmu-v3-iommufd.c.
 */
export interface HostRules {
  /** arm_smmu_get_ste_used */
  steUsed(ste: readonly bigint[]): bigint[];
  /** arm_smmu_get_ste_update_safe */
  steSafe(current: readonly bigint[], target: readonly bigint[]): bigint[];
  /** arm_smmu_get_cd_used */
  cdUsed(cd: readonly bigint[]): bigint[];
  cdSafe(current: readonly bigint[], target: readonly bigint[]): bigint[];
  /** arm_smmu_write_entry: groups of writes, with an invalidation after each. */
  entrySteps(
    current: readonly bigint[],
    target: readonly bigint[],
    currentUsed: readonly bigint[],
    targetUsed: readonly bigint[],
    safe: readonly bigint[],
  ): EntryStep[];
  /** After a group of an STE: arm_smmu_ste_writer_sync_entry. */
  steSync(sid: number): Command[];
  /** After a group of a CD, for each stream of the device: arm_smmu_sync_cd. */
  cdSync(sids: readonly number[], ssid: number): Command[];
  /** After the whole STE, without CMD_SYNC: arm_smmu_write_ste. */
  stePrefetch(sid: number): Command[];
  /** What a device adds to its domain's invalidation array: arm_smmu_master_build_invs. */
  invalidationsFor(
    domain: { readonly stage: 1 | 2; readonly nestParent: boolean; readonly tag: number },
    sid: number,
    ats: boolean,
    ssid: number,
  ): Invalidation[];
  /** A CMD_SYNC must come between the commands of two entries: arm_smmu_invs_end_batch. */
  endsBatch(current: Invalidation, next: Invalidation): boolean;
  /** The commands of one entry for a range: __arm_smmu_domain_inv_range. */
  invalidate(e: Invalidation, r: Invalidated, c: FlushContext): Command[];
  /** When the last user of a tag leaves: arm_smmu_inv_flush_iotlb_tag. */
  tagFlush(e: Invalidation, e2h: boolean): Command[];
  /** When the translation of a device, or of a PASID, changed, or its ATS goes on or off: arm_smmu_attach_commit. */
  attachAtc(sid: number, was: boolean, is: boolean, ssid: number): Command[];
  /** When a PASID's CD has been cleared: arm_smmu_blocking_set_dev_pasid. */
  pasidAtc(sid: number, ssid: number, ats: boolean): Command[];
  /** When a new leaf of a CD table has been linked: arm_smmu_write_cd_l1_desc. */
  cdLeafSync(sid: number, ssid: number): Command[];
  /** What the caches are emptied with before the SMMU is enabled, one list each: arm_smmu_device_reset. */
  resetCaches(hyp: boolean): Command[][];
  /** A list of commands of the driver, or of a guest, ends in a CMD_SYNC that is waited for. */
  syncs(of: 'driver' | 'guest'): boolean;
  /** When a domain begins to invalidate for a device: arm_smmu_install_new_domain_invs. */
  joins(): 'before entry' | 'after entry';
  /** When a domain stops to, and its tag is flushed: arm_smmu_install_old_domain_invs. */
  leaves(): 'before entry' | 'after entry';
  /** The ATS state by which the old domain's entries are taken back; the device's until then. */
  leavesAs(was: boolean, is: boolean): boolean;
  /** ATS in the device's PCI capability: what it is set to at that point, or null. */
  switchAts(point: 'before entry' | 'after entry', was: boolean, is: boolean): boolean | null;
  /** What became clean is flushed: iommu_iotlb_sync after read_and_clear_dirty. */
  flushesCleaned(): boolean;
  /** After CERROR_ILL the failing command is overwritten, so that the queue goes on: arm_smmu_cmdq_skip_err. */
  skipsIllegal(): boolean;
  /** The device is blocked while it is reset, and its ATS is off: pci_dev_reset_iommu_prepare. */
  resetBlocks(ats: boolean): boolean;
  /** What ends a stalled transaction: arm_smmu_page_response. */
  faultAnswer(sid: number, stag: number, code: PageResponse): Command[];
  /** Page requests that wait when the last handler goes are answered: iopf_queue_remove_device. */
  answersLeft(): boolean;
  /** What a last PRI message gets: arm_smmu_handle_ppr. */
  denyPageRequest(sid: number, ssid: number | null, group: number): Command[];
  /** arm_smmu_validate_vste */
  validateVste(ste: readonly [bigint, bigint]): AcceptedVste | Errno;
  /** arm_smmu_attach_dev_nested's disable_ats, the other way round. */
  vsteWantsAts(v: AcceptedVste): boolean;
  /** arm_smmu_make_nested_domain_ste */
  physicalSte(s2: readonly bigint[], vste: readonly [bigint, bigint], ats: boolean): bigint[];
  /** arm_vsmmu_convert_user_cmd */
  rewriteCommand(words: readonly bigint[], vmid: number, sidOf: (vsid: number) => number | null): bigint[] | null;
  /** Does the guest get this record? arm_smmu_handle_event; stalled ones take another way. */
  eventGoesToGuest(evt: readonly bigint[]): boolean;
  /** arm_vmaster_report_event */
  guestEvent(evt: readonly bigint[], vsid: number): bigint[];
}

const PRI_DENY = 0;
const S2_FAULT = 1n << 39n;
const STALL = 1n << 31n;

export const hostRules: HostRules = {
  steUsed,
  steSafe,
  cdUsed,
  cdSafe,
  entrySteps,
  steSync: (sid) => [cfgiSte(sid)],
  cdSync: (sids, ssid) => sids.map((sid) => cfgiCd(sid, ssid, true)),
  stePrefetch: (sid) => [prefetchConfig(sid)],
  invalidationsFor: (domain, sid, ats, ssid) => {
    const out: Invalidation[] = [{ type: domain.stage === 1 ? 'S1_ASID' : 'S2_VMID', id: domain.tag, ssid: 0 }];
    // Entries of every guest ASID hang on the parent's mappings, and no one knows which guest address leads to an IPA.
    if (domain.nestParent) out.push({ type: 'S2_VMID_S1_CLEAR', id: domain.tag, ssid: 0 });
    if (ats) out.push({ type: domain.nestParent ? 'ATS_FULL' : 'ATS', id: sid, ssid });
    return out;
  },
  // Stage 2 first, then what was built on it, then the devices, which would ask again.
  endsBatch: (current, next) =>
    (current.type !== 'S2_VMID_S1_CLEAR' && next.type === 'S2_VMID_S1_CLEAR') || (!isAts(current) && isAts(next)),
  invalidate: (e, r, c) => {
    const all = tooBigForRange(r, c.ril);
    switch (e.type) {
      case 'S1_ASID':
        return all ? [asidAll(e.id, c.e2h)] : s1Va(e.id, c.e2h, r, c.leaf, c.page, c.ril);
      case 'S2_VMID':
        return all ? [s12VmAll(e.id)] : s2Ipa(e.id, r, c.leaf, c.page, c.ril);
      case 'S2_VMID_S1_CLEAR':
        // S12_VMALL has taken stage 1 with it.
        return all ? [] : [nhAll(e.id)];
      case 'ATS':
        return [atcInv(e.id, atcSpan(r.iova, r.size), e.ssid)];
      case 'ATS_FULL':
        return [atcInv(e.id, atcSpan(0, 0))];
    }
  },
  tagFlush: (e, e2h) => {
    if (e.type === 'S1_ASID') return [asidAll(e.id, e2h)];
    return e.type === 'S2_VMID' ? [s12VmAll(e.id)] : [];
  },
  // Going on or off takes the whole ATC; otherwise only what was under that PASID.
  attachAtc: (sid, was, is, ssid) => (was || is ? [atcInv(sid, atcSpan(0, 0), was && is ? ssid : 0)] : []),
  pasidAtc: (sid, ssid, ats) => (ats ? [atcInv(sid, atcSpan(0, 0), ssid)] : []),
  cdLeafSync: (sid, ssid) => [cfgiCd(sid, ssid, false)],
  resetCaches: (hyp) => [[cfgiAll()], ...(hyp ? [[el2All()]] : []), [nsnhAll()]],
  syncs: () => true,
  // An unmap that comes while the entry changes must reach the device through both domains.
  joins: () => 'before entry',
  leaves: () => 'after entry',
  leavesAs: (was) => was,
  // The device stops before the STE refuses, and starts when the STE allows and its ATC is empty.
  switchAts: (point, was, is) => {
    if (point === 'before entry') return was && !is ? false : null;
    return is && !was ? true : null;
  },
  flushesCleaned: () => true,
  skipsIllegal: () => true,
  // A function in reset may not answer invalidations; without ATS it gets none.
  resetBlocks: (ats) => ats,
  faultAnswer: (sid, stag, code) => [resume(sid, stag, code === 'success' ? 'retry' : 'abort')],
  answersLeft: () => true,
  denyPageRequest: (sid, ssid, group) => [priResponse(sid, ssid, group, PRI_DENY)],
  validateVste,
  vsteWantsAts,
  physicalSte,
  rewriteCommand,
  eventGoesToGuest: (evt) => isHandledEvent(evt) && !(evt[1]! & (S2_FAULT | STALL)),
  guestEvent,
};
