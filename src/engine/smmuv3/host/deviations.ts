import { type Deviation, rulesWith } from '../../machine/index.ts';
import { encodeCommand, opcodes } from '../layout/index.ts';
import { type HostRules, hostRules } from './rules.ts';
import { vsteWantsAtsV619 } from './vste.ts';

export type HostDeviation = Deviation<HostRules>;

/** Names start with `host.`; `about` is what a reader is told. */
export const hostDeviations: readonly HostDeviation[] = [
  {
    name: 'host.no-safe-bits',
    rule: 'steSafe',
    about:
      'No bit of an STE may change while the SMMU looks at it, not even MEV or EATS. When the guest goes from translate with ' +
      'ATS to bypass two words differ and the writer clears V in between: DMA aborts. Linux before v7.0 (2781f2a930ab, ' +
      'f3c1d372dbb8, 7cad80048595).',
    instead: () => [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
  },
  {
    name: 'host.ste-in-one-go',
    rule: 'entrySteps',
    about:
      'All words of an entry are written in one group: hardware may read a mixture of the old entry and the new one.',
    instead: (_current, target) => [target.map((w, i) => [i, w] as const)],
  },
  {
    name: 'host.no-cfgi-ste',
    rule: 'steSync',
    about: 'A changed STE is not invalidated: the SMMU goes on with the one it has cached.',
    instead: () => [],
  },
  {
    name: 'host.unmap-no-nh-all',
    rule: 'invalidationsFor',
    about:
      'Unmapping from a nest parent sends TLBI_S2_IPA only. That leaves combined stage-1 and stage-2 entries in the IOTLB, ' +
      'so the guest’s devices still reach the page. VT-d had the same gap.',
    instead: (domain, sid, ats, ssid) =>
      hostRules.invalidationsFor(domain, sid, ats, ssid).filter((e) => e.type !== 'S2_VMID_S1_CLEAR'),
  },
  {
    name: 'host.unmap-no-atc-inv',
    rule: 'invalidationsFor',
    about:
      'Unmapping does not reach the ATCs: a device goes on with the translation it has. In Linux before v6.17 ' +
      '(685ca577b408) a wrong count of ATS devices had this effect; VT-d had it too.',
    instead: (domain, sid, _ats, ssid) => hostRules.invalidationsFor(domain, sid, false, ssid),
  },
  {
    name: 'host.unmap-atc-by-ipa',
    rule: 'invalidate',
    about:
      'Unmapping from a nest parent invalidates the ATCs at the IPA. An ATC is indexed by the guest’s own input addresses, ' +
      'so the wrong entries go.',
    instead: (e, r, c) =>
      e.type === 'ATS_FULL' ? hostRules.invalidate({ ...e, type: 'ATS' }, r, c) : hostRules.invalidate(e, r, c),
  },
  {
    name: 'host.one-batch',
    rule: 'endsBatch',
    about:
      'TLBI and ATC_INV go out in one batch with a single CMD_SYNC at its end: a device may be answered from the IOTLB before ' +
      'the TLBI is done, and caches the old translation once more.',
    instead: () => false,
  },
  {
    name: 'host.leaf-only-walk-flush',
    rule: 'invalidate',
    about: 'After a table was unlinked the TLBI has Leaf=1: cached table entries still lead into a page that is free.',
    instead: (e, r, c) => hostRules.invalidate(e, r, { ...c, leaf: true }),
  },
  {
    name: 'host.no-tag-flush',
    rule: 'tagFlush',
    about:
      'The last device leaves a domain and its VMID is not flushed: the next owner of the number finds old entries.',
    instead: () => [],
  },
  {
    name: 'host.no-atc-inv-on-attach',
    rule: 'attachAtc',
    about: 'A device moves to another domain and keeps the old one’s translations in its ATC.',
    instead: () => [],
  },
  {
    name: 'host.join-after-entry',
    rule: 'joins',
    about:
      'The new domain learns of a device only after the STE has changed: what is unmapped in between stays in the TLB and ' +
      'the ATC. It takes a second actor in between, so a document of one step after the other shows nothing.',
    instead: () => 'after entry',
  },
  {
    name: 'host.leave-before-entry',
    rule: 'leaves',
    about:
      'The old domain forgets a device, and flushes its tag, before the STE changes: the device fills the TLB under the old ' +
      'tag once more, and the next owner of the number finds it. AMD-Vi and VT-d had this mistake. It takes a second actor ' +
      'in between, so a document of one step after the other shows nothing.',
    instead: () => 'before entry',
  },
  {
    name: 'host.ats-flag-too-early',
    rule: 'leavesAs',
    about:
      'The device’s ATS flag is updated before the old domain is cleaned up (Linux before v6.17, 685ca577b408): the ' +
      'old domain goes on sending ATC_INV for a device that has stopped using ATS.',
    instead: (_was, is) => is,
  },
  {
    name: 'host.ats-on-before-entry',
    rule: 'switchAts',
    about:
      'The device’s ATS is switched on before its STE allows it: its translation requests are refused with F_BAD_ATS_TREQ ' +
      'until the STE is there.',
    instead: (point, was, is) => (point === 'before entry' ? (was === is ? null : is) : null),
  },
  {
    name: 'host.no-pasid-atc-inv',
    rule: 'pasidAtc',
    about:
      'A PASID is taken away and its translations stay in the device’s ATC: whoever gets the PASID next uses them.',
    instead: () => [],
  },
  {
    name: 'host.no-cfgi-cd',
    rule: 'cdSync',
    about: 'A changed CD is not invalidated: the SMMU goes on with the one it has cached, and with the old page table.',
    instead: () => [],
  },
  {
    name: 'host.no-cfgi-l1cd',
    rule: 'cdLeafSync',
    about:
      'A new leaf of the CD table is linked without CFGI_CD: the SMMU may have cached that there is none, and refuses the ' +
      'new PASIDs with C_BAD_SUBSTREAMID.',
    instead: () => [],
  },
  {
    name: 'host.no-reset-flush',
    rule: 'resetCaches',
    about: 'The caches are not emptied when the driver takes over: entries of whoever ran before stay.',
    instead: () => [],
  },
  {
    name: 'host.no-block-on-reset',
    rule: 'resetBlocks',
    about:
      'A device is reset with its domain attached (FD-10; Linux before v7.0): an unmap meanwhile sends it ATC_INV that it ' +
      'does not answer, and the command queue stops with CERROR_ATC_INV_SYNC.',
    instead: () => false,
  },
  {
    name: 'host.forward-without-sync',
    rule: 'syncs',
    about:
      'A guest’s commands go out without a CMD_SYNC: the ioctl returns before they are complete, and the guest believes that ' +
      'an ATC that has not answered is empty.',
    instead: (of) => of !== 'guest',
  },
  {
    name: 'host.dirty-without-flush',
    rule: 'flushesCleaned',
    about:
      'Dirty bits are read and cleared, and nothing is invalidated: a write through a cached translation that says dirty ' +
      'leaves no mark, and a migration loses the page. As read in Linux 7.0: the walk gathers a range without a page size ' +
      '(iommu_dirty_bitmap_record), and arm_smmu_iotlb_sync returns without one.',
    instead: () => false,
  },
  {
    name: 'host.no-queue-repair',
    rule: 'skipsIllegal',
    about:
      'The global error is acknowledged but the illegal command stays: it fails again, nothing behind it is ever executed, ' +
      'and every CMD_SYNC times out. One guest’s reserved bit stops the invalidations of all.',
    instead: () => false,
  },
  {
    name: 'host.fault-retry-always',
    rule: 'faultAnswer',
    about: 'A stalled transaction that nobody can help is retried instead of aborted: it faults again, for ever.',
    instead: (sid, stag) => hostRules.faultAnswer(sid, stag, 'success'),
  },
  {
    name: 'host.faults-left-behind',
    rule: 'answersLeft',
    about:
      'A device leaves its fault-capable domain and what it still waits for is not answered: the transactions stay stalled ' +
      'for ever. VT-d lost page requests in the same place.',
    instead: () => false,
  },
  {
    name: 'host.page-request-unanswered',
    rule: 'denyPageRequest',
    about: 'The last page request of a group gets no answer: the device waits for it for ever.',
    instead: () => [],
  },
  {
    name: 'host.guest-vmid',
    rule: 'rewriteCommand',
    about: 'The VMID of a forwarded TLBI is left as the guest wrote it: the invalidation hits another tag, or none.',
    instead: (words, vmid, sidOf) => {
      const op = Number(words[0]! & 0xffn);
      const byVmid = [opcodes.TLBI_NH_ALL, opcodes.TLBI_NH_ASID, opcodes.TLBI_NH_VA, opcodes.TLBI_NH_VAA];
      return byVmid.includes(op) ? [...words] : hostRules.rewriteCommand(words, vmid, sidOf);
    },
  },
  {
    name: 'host.nsnh-all-as-is',
    rule: 'rewriteCommand',
    about:
      'A guest’s TLBI_NSNH_ALL goes out unchanged: it empties the TLB of every virtual machine. Correct, but costly.',
    instead: (words, vmid, sidOf) =>
      Number(words[0]! & 0xffn) === opcodes.TLBI_NSNH_ALL
        ? encodeCommand('TLBI_NSNH_ALL')
        : hostRules.rewriteCommand(words, vmid, sidOf),
  },
  {
    name: 'host.stage2-faults-to-guest',
    rule: 'eventGoesToGuest',
    about:
      'Stage-2 faults are reported to the guest, which learns where its memory is missing and can do nothing about it.',
    instead: (evt) => hostRules.eventGoesToGuest([evt[0]!, evt[1]! & ~(1n << 39n), ...evt.slice(2)]),
  },
  {
    name: 'host.v6.19-ats',
    rule: 'vsteWantsAts',
    about:
      'ATS is off under every vSTE that does not translate with EATS=1, also under bypass and abort. Linux up to v6.19.',
    instead: vsteWantsAtsV619,
  },
];

/** The rules with the named deviations in place. @throws Error for a `host.` name that does not exist */
export const hostRulesWith = (names: readonly string[]): HostRules =>
  rulesWith(hostRules, hostDeviations, 'host', names);
