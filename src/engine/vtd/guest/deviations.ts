import { type Deviation, rulesWith } from '../../machine/index.ts';
import { linuxDeviations } from '../linux/index.ts';
import { type GuestRules, guestRules } from './rules.ts';

export type GuestDeviation = Deviation<GuestRules>;

const PAGE = 4096n;

/** Duties of the DMA layer, of shared virtual addresses and of page faults, broken one at a time. */
const ownDeviations: readonly GuestDeviation[] = [
  {
    name: 'guest.unmap-no-flush',
    rule: 'afterUnmap',
    about:
      'A strict unmap clears the table and gives its pages back without a word to the IOMMU: the device goes on with what the ' +
      'IOTLB and its own TLB have.',
    instead: () => ['release'],
  },
  {
    name: 'guest.unmap-frees-first',
    rule: 'afterUnmap',
    about:
      'Table pages are given back before the flush: until it is done, cached entries still lead into a page that somebody else ' +
      'may have by then. It takes a second actor in between, so a document of one step after the other shows nothing.',
    instead: () => ['release', 'flush'],
  },
  {
    name: 'guest.queue-frees-at-once',
    rule: 'atQueue',
    about:
      'A lazy unmap gives table pages back at once, though their flush is still queued: the IOMMU walks on through a page that ' +
      'the guest uses for something else. Stale leaves are the price of lazy mode; stale tables are not.',
    instead: () => ['release'],
  },
  {
    name: 'guest.queue-no-flush',
    rule: 'afterQueue',
    about:
      'The flush queue is emptied without its flush: addresses are used again while the IOTLB has their old pages.',
    instead: () => ['release'],
  },
  {
    name: 'guest.flush-after-map',
    rule: 'flushesMaps',
    about:
      'Every map is followed by a flush, as caching mode asks for in a second stage. In a first stage nothing that is not ' +
      'present is ever cached: each map costs an exit and an invalidation for nothing (as in a patch of seL4, pull request 1729).',
    instead: () => true,
  },
  {
    name: 'guest.sva-no-flush',
    rule: 'notified',
    about:
      'A process changes its page table and only its CPUs are told: the IOMMU and the device go on with the old pages of the ' +
      'address space that they share.',
    instead: () => null,
  },
  {
    name: 'guest.sva-end-inclusive',
    rule: 'notified',
    about:
      'The memory management gives the first byte after a range, the flush engine wants the last byte in it, and nobody subtracts ' +
      'one: each flush covers a page more, and its mask grows. A page at an odd number becomes a flush of two, or of many.',
    instead: (start, end) => ({ start, last: end }),
  },
  {
    name: 'guest.sva-last-page-missed',
    rule: 'notified',
    about:
      'The length of a range is taken for one page too few: what was unmapped last stays cached. A single page is flushed all the ' +
      'same, so that small tests pass.',
    instead: (start, end) => ({ start, last: end - 1n - (end - start > PAGE ? PAGE : 0n) }),
  },
  {
    name: 'guest.sva-whole-overflows',
    rule: 'notifiedWhole',
    about:
      'The flush of a whole address space comes as [0, 2^64 - 1). Rounding its end up to pages overflows, and nothing but the first ' +
      'page is flushed. Linux before v6.7 (e7ad6c2a4b1a).',
    instead: () => ({ start: 0n, last: PAGE - 1n }),
  },
  {
    name: 'guest.exit-keeps-entry',
    rule: 'exitTearsDown',
    about:
      'A process exits with a device bound to it and its PASID entry stays present: the IOMMU goes on walking page tables that ' +
      'are given back right after.',
    instead: () => false,
  },
  {
    name: 'guest.no-page-response',
    rule: 'pageResponse',
    about: 'A page request group is never answered: the device waits for ever, and its credit is lost.',
    instead: () => null,
  },
  {
    name: 'guest.page-response-success',
    rule: 'pageResponse',
    about:
      'Page requests are answered with success whatever became of the fault: the device tries again, and asks again, without end.',
    instead: () => 'success',
  },
];

/** Names start with `guest.`; `about` is what a reader is told. */
export const guestDeviations: readonly GuestDeviation[] = [
  ...(linuxDeviations('guest') as readonly GuestDeviation[]),
  ...ownDeviations,
];

/** The rules with the named deviations in place. @throws Error for a `guest.` name that does not exist */
export const guestRulesWith = (names: readonly string[]): GuestRules =>
  rulesWith(guestRules, guestDeviations, 'guest', names);
