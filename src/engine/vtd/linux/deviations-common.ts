import { deviceTlbAll } from './descriptors.ts';
import type { LinuxDeviation } from './deviations.ts';
import { ALL_PAGES, blockAt, pagesOf } from './range.ts';
import { linuxRules } from './rules.ts';

const typeOf = (d: readonly bigint[]): number => Number(d[0]! & 0xfn);
const DEVICE_TLB = [3, 8];

/** Deviations of a host and of a guest. Names get their `host.` or `guest.` in deviations.ts. */
export const linuxCommonDeviations: readonly LinuxDeviation[] = [
  {
    name: 'range-by-length',
    rule: 'range',
    about:
      'The address mask follows from the number of pages alone, not from where they lie: a range that is not aligned to its ' +
      'rounded size is covered in part, and its last pages stay cached (so in the IOTLB descriptor alone, Linux ' +
      'before v6.11, 0a3f6b346301).',
    instead: (start, end) => {
      const pages = pagesOf(start, end);
      let mask = 0;
      while (1n << BigInt(mask) < pages) mask++;
      return blockAt(start, Math.min(mask, ALL_PAGES));
    },
  },
  {
    name: 'leaf-only-flush',
    rule: 'leavesOnly',
    about:
      'After a table was freed the flush has IH=1: cached table entries still lead into the page, whoever has it now.',
    instead: () => true,
  },
  {
    name: 'no-dev-tlb-tag',
    rule: 'ownTags',
    about: 'An attachment forgets the device’s TLB: no flush of the domain reaches the device.',
    instead: () => ['iotlb'],
  },
  {
    name: 'no-dev-tlb-tag-late-ats',
    rule: 'tagsWhenAtsComes',
    about:
      'ATS is switched on after the domain was attached, and the tag for the device TLB is never made: no unmap reaches the ' +
      'device (Linux before v6.10, 041be2717b19; a hypervisor that copied the tags had it again).',
    instead: () => [],
  },
  {
    name: 'tags-after-entry',
    rule: 'tagsJoin',
    about:
      'A PASID’s tags are made only after its entry is present: what is unmapped in between stays cached. It takes a second ' +
      'actor in between, so a document of one step after the other shows nothing.',
    instead: () => 'after entry',
  },
  {
    name: 'no-iotlb-inv',
    rule: 'iotlbFlush',
    about: 'An unmap sends nothing to the IOTLB: the device still reaches the page.',
    instead: () => [],
  },
  {
    name: 'whole-dev-tlb-without-pasid',
    rule: 'deviceTlbFlush',
    about:
      'Emptying a device TLB for a PASID sends the descriptor without PASID. A device drops only what it has cached without ' +
      'one (Linux before v6.17, 3141153816bf).',
    instead: (tag, d, r) => (r.mask >= ALL_PAGES ? [deviceTlbAll(d)] : linuxRules.deviceTlbFlush(tag, d, r)),
  },
  {
    name: 'no-dev-tlb-inv',
    rule: 'deviceTlbFlush',
    about: 'An unmap reaches the IOTLB and not the device’s TLB.',
    instead: () => [],
  },
  {
    name: 'dev-tlb-first',
    rule: 'batchOrder',
    about:
      'In a batch the device TLBs come before the IOTLB: a device that asks again in between is answered from the entry that is ' +
      'about to go, and keeps it.',
    instead: (batch) => {
      const device = batch.filter((d) => DEVICE_TLB.includes(typeOf(d)));
      return [...device, ...batch.filter((d) => !DEVICE_TLB.includes(typeOf(d)))];
    },
  },
  {
    name: 'flush-without-wait',
    rule: 'waits',
    about: 'Flushes go out without a wait descriptor: the driver goes on while a device has not answered yet.',
    instead: (of) => of !== 'flush',
  },

  {
    name: 'entry-no-flush-on-set-up',
    rule: 'entrySetUp',
    about:
      'A new PASID entry is not announced with caching mode on: the unit, or the hypervisor behind it, goes on as if there were ' +
      'none.',
    instead: () => [],
  },
  {
    name: 'no-pasid-cache-inv',
    rule: 'entryTornDown',
    about:
      'A PASID entry goes away and the PASID cache is not told: the unit goes on with the old entry, and fills the IOTLB from ' +
      'the old table again.',
    instead: (pgtt, did, pasid, devTlb, c) => linuxRules.entryTornDown(pgtt, did, pasid, devTlb, c).slice(1),
  },
  {
    name: 'no-iotlb-inv-on-tear-down',
    rule: 'entryTornDown',
    about:
      'A PASID entry goes away and its translations stay in the IOTLB: the next domain that gets the DID finds them.',
    instead: (pgtt, did, pasid, devTlb, c) =>
      linuxRules.entryTornDown(pgtt, did, pasid, devTlb, c).filter((_, i) => i !== 1),
  },
  {
    name: 'iotlb-before-pasid-cache',
    rule: 'entryTornDown',
    about:
      'The IOTLB is flushed before the PASID cache: a request in between fills it again through the cached entry, under a DID ' +
      'that nobody flushes any more. It takes a second actor in between, so a document of one step after the other shows ' +
      'nothing.',
    instead: (pgtt, did, pasid, devTlb, c) => {
      const [pc = [], iotlb = [], device = []] = linuxRules.entryTornDown(pgtt, did, pasid, devTlb, c);
      return [iotlb, pc, device];
    },
  },
  {
    name: 'no-dev-tlb-inv-on-tear-down',
    rule: 'wholeDeviceTlb',
    about: 'A device leaves a domain, or a PASID is taken away, and its TLB keeps the old translations.',
    instead: () => [],
  },
  {
    name: 'no-flush-on-change',
    rule: 'entryChanged',
    about: 'A present entry changes (PGSNP) and nothing is invalidated: the unit goes on with the one it has cached.',
    instead: () => [],
  },
  {
    name: 'asks-absent-device',
    rule: 'asksAbsent',
    about:
      'A device that does not answer on the bus gets invalidations all the same: the wait descriptor behind them never ' +
      'completes, and the CPU that waits holds a lock (Linux before v7.0, 10e60d878139, 42662d19839f).',
    instead: () => true,
  },
  {
    name: 'wipe-before-flush',
    rule: 'tearDownOrder',
    about:
      'An entry is zeroed word by word while P is still set in what the unit may fetch: it can see some words old and some ' +
      'zero (Linux before v7.0, 75ed00055c05). It takes a fetch in between.',
    instead: () => 'wipe first',
  },
  {
    name: 'replace-in-place',
    rule: 'replaces',
    about:
      'A present entry is overwritten by the next one word by word, then flushed: a fetch in between mixes the tables of two ' +
      'domains (Linux v6.13 to v6.19, c3b1edea3791). It takes a fetch in between.',
    instead: () => 'in place',
  },
  {
    name: 'context-no-flush-on-set-up',
    rule: 'contextSetUp',
    about: 'A new context entry is not announced with caching mode on: the unit may go on without it.',
    instead: () => [],
  },
  {
    name: 'context-no-flush-on-tear-down',
    rule: 'contextTornDown',
    about:
      'A context entry goes away and the context cache is not told: whoever gets the RID next finds the old directory.',
    instead: () => [],
  },

  {
    name: 'root-no-flush',
    rule: 'rootSet',
    about: 'The caches are not emptied when the root table is set: entries of whoever ran before stay.',
    instead: () => [],
  },
  {
    name: 'no-drain',
    rule: 'drains',
    about:
      'Page requests are not drained when an entry goes: one that is still on its way reaches the next domain of the PASID, or ' +
      'nobody (Linux before v6.13).',
    instead: () => false,
  },
  {
    name: 'drain-without-fence',
    rule: 'drain',
    about:
      'The drain starts without a fence: the invalidations that shall push out page requests may run ahead of earlier ones.',
    instead: (did, pasid, d, c) => linuxRules.drain(did, pasid, d, c).slice(1),
  },
  {
    name: 'release-ats-first',
    rule: 'releaseOrder',
    about:
      'ATS is switched off before the tags of a released device are taken away: its device TLB tag is not found and stays, and ' +
      'the next flush of the domain asks a device that is gone (Linux v6.10 to v6.12, 1f2557e08a61).',
    instead: () => 'ATS first',
  },
  {
    name: 'no-block-on-reset',
    rule: 'resetBlocks',
    about:
      'A device is reset with its domain attached (FD-10; Linux before v7.0): an unmap meanwhile sends it an invalidation that ' +
      'it does not answer, and the queue stops with ITE.',
    instead: () => false,
  },
  {
    name: 'bad-request-unanswered',
    rule: 'answersBad',
    about: 'A page request that cannot be served gets no answer: the device waits for it for ever.',
    instead: () => false,
  },
  {
    name: 'page-requests-left-behind',
    rule: 'answersLeft',
    about:
      'A device leaves its last domain that takes page requests, and what it still waits for is not answered ' +
      '(CVE-2025-38594).',
    instead: () => false,
  },
  {
    name: 'response-failure-15',
    rule: 'responseCode',
    about:
      'A group that was aborted is answered with the specification’s code 15 (response failure). Linux sends its own number 2; ' +
      'this is not a mistake, but what a driver would do that translates the code.',
    instead: (code) => (code === 'failure' ? 15 : linuxRules.responseCode(code)),
  },
  {
    name: 'no-queue-repair',
    rule: 'repairsRefused',
    about:
      'A refused descriptor stays where it is: nothing behind it is ever executed. Linux has this too when the descriptor is not ' +
      'the first one of its submission.',
    instead: () => false,
  },
  {
    name: 'aborts-odd-slots',
    rule: 'abortedSlots',
    about:
      'After a time-out only every second slot is looked at, as if each submission were one descriptor and one wait. Where the ' +
      'tail is not one of them the loop never ends, with interrupts off (Linux until March 2026, from the first batches on: ' +
      '8a1d82462540).',
    instead: () => ({ first: (slot) => slot | 1, step: 2 }),
  },
];
