import { type Deviation, rulesWith } from '../../machine/index.ts';
import { atcInv, type Command, cfgiCd, nhVa } from './commands.ts';
import { splitRange, tooBigForRange } from './range.ts';
import { type GuestRules, guestRules, type RangeFlush } from './rules.ts';

export type GuestDeviation = Deviation<GuestRules>;

/** Commands of a range as if only leaves were concerned, so without the page more that a table needs. */
const leafOnly = (f: RangeFlush, rule: 'walkTlbi' | 'notifierTlbi'): Command[] =>
  tooBigForRange(f, f.ril) ? guestRules[rule](f) : splitRange(f, true, f.page, f.ril).map((r) => nhVa(f.asid, r, true));

/** SSV stays, SSID becomes 0. */
const withPasid0 = (c: Command): Command => [c[0]! & ~0xfffff000n, c[1]!];

/** Names start with `guest.`; `about` is what a reader is told. */
export const guestDeviations: readonly GuestDeviation[] = [
  {
    name: 'guest.no-tlbi',
    rule: 'unmapTlbi',
    about: 'Unmapping clears the page table but sends no TLBI: the IOTLB keeps the old translation.',
    instead: () => [],
  },
  {
    name: 'guest.no-atc-inv',
    rule: 'unmapAtc',
    about:
      'Unmapping sends the TLBI but no ATC_INV: the device goes on with the translation in its own cache. ' +
      'Before Linux 6.17 (685ca577b408) a wrong count of the domain’s ATS devices had this effect.',
    instead: () => [],
  },
  {
    name: 'guest.leaf-only-walk-flush',
    rule: 'walkTlbi',
    about:
      'When a whole table is unlinked the TLBI has Leaf=1: cached table entries still lead into a page that the guest ' +
      'uses for something else.',
    instead: (f) => leafOnly(f, 'walkTlbi'),
  },
  {
    name: 'guest.no-walk-flush',
    rule: 'walkTlbi',
    about: 'An unlinked table is given back without any TLBI: cached walks still read it.',
    instead: () => [],
  },
  {
    name: 'guest.atc-before-tlbi',
    rule: 'flushOrder',
    about:
      'ATC_INV goes out before the TLBI: a device that asks again in between is answered from the IOTLB and caches the old ' +
      'translation once more.',
    instead: (tlbi, atc) => [atc, tlbi],
  },
  {
    name: 'guest.queued-no-atc-inv',
    rule: 'flushQueueAtc',
    about: 'Emptying the flush queue invalidates the ASID in the IOTLB but no ATC.',
    instead: () => [],
  },
  {
    name: 'guest.entry-in-one-go',
    rule: 'entrySteps',
    about:
      'STEs and CDs are rewritten word by word with one invalidation at the end: hardware that reads in between sees half of ' +
      'each, and never a moment without V.',
    instead: (_kind, _current, target) => [target.map((w, i) => [i, w] as const)],
  },
  {
    name: 'guest.no-cfgi-cd',
    rule: 'cdSync',
    about: 'A changed context descriptor is not invalidated: the SMMU goes on with the CD it has cached.',
    instead: () => [],
  },
  {
    name: 'guest.cfgi-cd-one-stream',
    rule: 'cdSync',
    about:
      'CDs are cached for each StreamID, not for each table: with a CD table shared by two devices, CFGI_CD for the one ' +
      'that caused the change leaves the other with the old CD.',
    instead: (_sids, ssid, writer) => [cfgiCd(writer, ssid)],
  },
  {
    name: 'guest.no-cfgi-ste',
    rule: 'steSync',
    about: 'A changed STE is not announced: the VMM never reads it, and the host goes on with the old nested domain.',
    instead: () => [],
  },
  {
    name: 'guest.no-atc-inv-on-attach',
    rule: 'attachAtc',
    about: 'A device changes its domain and keeps the old one’s translations in its ATC.',
    instead: () => [],
  },
  {
    name: 'guest.no-asid-flush',
    rule: 'detachAsid',
    about:
      'The last device leaves a domain and its ASID is not flushed. From nested to nested the host sends no TLBI of its own, ' +
      'so the entries wait for whoever gets the ASID next.',
    instead: () => [],
  },
  {
    name: 'guest.tlbi-other-asid',
    rule: 'unmapTlbi',
    about:
      'Unmapping invalidates the right range in the wrong address space: the TLBI carries the next ASID. The commands look right ' +
      'in a log, and the old entry stays.',
    instead: (f) => guestRules.unmapTlbi({ ...f, asid: (f.asid + 1) % 65536 }),
  },
  {
    name: 'guest.atc-inv-rid-only',
    rule: 'unmapAtc',
    about:
      'ATC_INV goes to the streams of a domain but not to the PASIDs that use it too: what a device cached under a PASID stays.',
    instead: (entries, r) =>
      guestRules.unmapAtc(
        entries.filter((e) => e.ssid === 0),
        r,
      ),
  },
  {
    name: 'guest.queued-no-tlbi',
    rule: 'flushQueueTlbi',
    about: 'Emptying the flush queue tells the ATCs but not the IOTLB.',
    instead: () => [],
  },
  {
    name: 'guest.sva-no-tlbi',
    rule: 'notifierTlbi',
    about:
      'A process changes its page table and only its CPUs are told: the SMMU goes on with the old pages of the address space that ' +
      'a device shares.',
    instead: () => [],
  },
  {
    name: 'guest.sva-leaf-only',
    rule: 'notifierTlbi',
    about:
      'The notifier invalidates leaf entries only. When munmap has taken a whole table of pages away too, cached walks still lead ' +
      'through it, wherever its page is used next.',
    instead: (f) => leafOnly(f, 'notifierTlbi'),
  },
  {
    name: 'guest.no-range-widening',
    rule: 'notifierTlbi',
    about:
      'Ranges of an odd number of pages are not widened by one. What is left over is one page with TTL, NUM and SCALE all zero, which ' +
      'is reserved: the SMMU stops with CERROR_ILL and the driver drops the command. Fixed in Linux 6.6 (eb6c97647be2).',
    instead: (f) =>
      tooBigForRange(f, f.ril)
        ? guestRules.notifierTlbi(f)
        : splitRange(f, true, f.page, f.ril).map((r) => nhVa(f.asid, { ...r, ttl: 0 }, false)),
  },
  {
    name: 'guest.sva-end-inclusive',
    rule: 'notifierTlbi',
    about:
      'The end of the range that changed is taken for its last byte, so that the size is one too large. With no pages left the ' +
      'driver’s loop goes on at the same address for ever; here it stops after 64 commands too many. Fixed in Linux 5.18 (95d4782c34a6).',
    instead: (f) => {
      const right = guestRules.notifierTlbi(f);
      if (!f.ril || tooBigForRange(f, f.ril)) return right;
      const stuck = { address: f.iova + f.size, num: 31, scale: 0, ttl: 0, tg: (f.page - 10) / 2 };
      return [...right, ...Array.from({ length: 64 }, () => nhVa(f.asid, stuck, false))];
    },
  },
  {
    name: 'guest.sva-no-atc-inv',
    rule: 'notifierAtc',
    about: 'A process changes its page table and the SMMU is told, but not the ATC of a device that shares it.',
    instead: () => [],
  },
  {
    name: 'guest.sva-atc-inv-no-pasid',
    rule: 'notifierAtc',
    about:
      'The ATC_INV of the notifier names PASID 0 instead of the process’s: it removes what the device cached for requests with that ' +
      'PASID, of which there is nothing.',
    instead: (entries, r) => entries.map((e) => withPasid0(atcInv(e.sid, r.iova, r.size, e.ssid))),
  },
  {
    name: 'guest.exit-no-tlbi',
    rule: 'exitTlbi',
    about:
      'A process exits with a device bound to it and its ASID is not flushed: its entries still lead into memory that others have by then.',
    instead: () => [],
  },
  {
    name: 'guest.exit-no-atc-inv',
    rule: 'exitAtc',
    about: 'A process exits with a device bound to it; the device keeps translations of the freed memory in its ATC.',
    instead: () => [],
  },
  {
    name: 'guest.exit-keeps-cd',
    rule: 'exitCd',
    about:
      'A process exits and its CDs are left as they are: the SMMU goes on walking its page table, the pages of which are given back ' +
      'right after, and every access that a device still makes is reported.',
    instead: () => 'keep',
  },
  {
    name: 'guest.exit-clears-cd',
    rule: 'exitCd',
    about:
      'A process exits and its CDs are cleared at once: accesses that a device still makes end in C_BAD_CD, an event each, instead of a ' +
      'quiet abort.',
    instead: () => 'clear',
  },
  {
    name: 'guest.no-cfgi-l1cd',
    rule: 'cdTableSync',
    about:
      'A second-level CD table is put in and the empty first-level descriptor before it may be cached: its PASIDs go on ending in ' +
      'C_BAD_SUBSTREAMID. No effect behind QEMU’s vSMMU, whose CD tables are linear (CD2L = 0).',
    instead: () => [],
  },
  {
    name: 'guest.cfgi-l1cd-leaf',
    rule: 'cdTableSync',
    about:
      'A second-level CD table is announced with Leaf=1, which need not remove the first-level descriptor. No effect behind ' +
      'QEMU’s vSMMU, whose CD tables are linear (CD2L = 0).',
    instead: (sids, ssid) => sids.map((sid) => cfgiCd(sid, ssid)),
  },
  {
    name: 'guest.joins-late',
    rule: 'joinsFirst',
    about:
      'A domain hears of a new device only when hardware uses its page table already: an unmap that another CPU makes in between is ' +
      'told to nobody. It takes a second actor in between, so a document of one step after the other shows nothing.',
    instead: () => false,
  },
  {
    name: 'guest.no-atc-inv-on-pasid-detach',
    rule: 'pasidAtc',
    about: 'A PASID is taken from a device, which keeps the PASID’s translations in its ATC.',
    instead: () => [],
  },
  {
    name: 'guest.no-cfgi-all',
    rule: 'resetCfgi',
    about:
      'The driver does not invalidate cached configuration at probe: entries of whoever used the SMMU before (firmware, a kernel before ' +
      'kexec) stay in force.',
    instead: () => [],
  },
  {
    name: 'guest.no-tlbi-all',
    rule: 'resetTlbi',
    about:
      'The driver does not empty the TLB at probe: entries of whoever used the same ASIDs before it stay in force.',
    instead: () => [],
  },
  {
    name: 'guest.reset-without-blocking',
    rule: 'resetBlocks',
    about:
      'A device is reset while its ATS is on. An unmap meanwhile sends an ATC_INV that nobody answers: the CMD_SYNC after it ends in ' +
      'CERROR_ATC_INV_SYNC. Fixed in Linux 7.0 (pci_dev_reset_iommu_prepare).',
    instead: () => false,
  },
  {
    name: 'guest.no-resume',
    rule: 'faultAnswer',
    about: 'A stalled access is never answered: the device waits for ever, and its tag is lost.',
    instead: () => [],
  },
  {
    name: 'guest.no-pri-resp',
    rule: 'denyPageRequest',
    about:
      'The last page request of a group gets no answer: the device waits for ever, and its credit is lost. No effect behind ' +
      'QEMU’s vSMMU, which has no page requests (PRI = 0).',
    instead: () => [],
  },
];

/** The rules with the named deviations in place. @throws Error for a `guest.` name that does not exist */
export const guestRulesWith = (names: readonly string[]): GuestRules =>
  rulesWith(guestRules, guestDeviations, 'guest', names);
