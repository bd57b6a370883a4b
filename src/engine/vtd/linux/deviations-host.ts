import { contextDevice, iotlbDomain } from './descriptors.ts';
import type { LinuxDeviation } from './deviations.ts';
import { linuxRules } from './rules.ts';

/**
 * Deviations that need second-stage tables or legacy mode, which a guest here has not. Names get their `host.` in
 * deviations.ts.
 */
export const linuxHostDeviations: readonly LinuxDeviation[] = [
  {
    name: 'unmap-own-did-only',
    rule: 'parentTags',
    about:
      'Unmapping from a nest parent flushes the parent’s own DID only. Nested entries carry the DID of the nested domain, so ' +
      'the guest’s devices still reach the page (Linux before v6.8, 821985301124).',
    instead: (ats) => linuxRules.parentTags(ats).filter((t) => t !== 'nesting_iotlb'),
  },
  {
    name: 'unmap-no-nested-dev-tlb',
    rule: 'parentTags',
    about:
      'Unmapping from a nest parent flushes the IOTLB of the nested domains and leaves their devices’ TLBs alone: a device goes ' +
      'on with the translation it has (Linux before v6.8, 5e54e861f16f).',
    instead: () => ['nesting_iotlb'],
  },
  {
    name: 'nested-no-dev-tlb-tag',
    rule: 'ownTags',
    about:
      'A nested attachment does not say that its device has a TLB: what the guest invalidates reaches the IOTLB, not the device ' +
      '(Linux before v6.8, 29e10487d6df).',
    instead: (kind, ats) => linuxRules.ownTags(kind, kind === 'nested' ? false : ats),
  },
  {
    name: 'unmap-dev-tlb-by-gpa',
    rule: 'nestedDeviceRange',
    about:
      'Unmapping from a nest parent flushes device TLBs at the guest physical address. A device TLB is indexed by the guest’s ' +
      'own input addresses, so the wrong entries go.',
    instead: (r) => r,
  },
  {
    name: 'unmap-keeps-range',
    rule: 'rangeAfterNestedDevice',
    about:
      'After a device TLB was emptied the next tags are flushed with the range that was asked for, not with everything. No ' +
      'mistake: it shows what the overwritten loop variables of cache_tag_flush_range cost.',
    instead: (before) => before,
  },
  {
    name: 'second-stage-flush-for-nested',
    rule: 'iotlbFlush',
    about:
      'Whether a domain is a first-stage page table decides on the descriptor, and a nested domain or SVA is none: its flush ' +
      'goes out as a second-stage one without PASID. It removes more than asked for, and silicon may differ (Linux ' +
      'v6.18, 04b1b069f151).',
    instead: (kind, tag, r, ih, c) => linuxRules.iotlbFlush(kind === 'fs' ? 'fs' : 'ss', tag, r, ih, c),
  },
  {
    name: 'dirty-own-entries-only',
    rule: 'dirtyReachesChildren',
    about:
      'Dirty tracking of a parent changes only the entries that point at it directly: a write through a nested entry leaves no ' +
      'mark, and a migration loses the page (Linux before v6.8, f1e1610950ea).',
    instead: () => false,
  },
  {
    name: 'dirty-not-on-attach',
    rule: 'dirtyOnAttach',
    about:
      'A device attached while its parent already tracks dirty pages gets an entry without SSADE: its writes leave no mark ' +
      '(Linux before v6.8, 1f0198fce683).',
    instead: () => false,
  },
  {
    name: 'dirty-no-flush',
    rule: 'dirtyToggled',
    about: 'SSADE is set and nothing is invalidated: the unit goes on with the entry it has cached, without it.',
    instead: () => [],
  },
  {
    name: 'nested-tear-down-by-pasid',
    rule: 'entryTornDown',
    about:
      'A nested entry goes away with a PASID-based IOTLB invalidation instead of one for its domain: second-stage steps cached ' +
      'under that DID stay, and the next user of the DID finds them.',
    instead: (_pgtt, did, pasid, devTlb, c) => linuxRules.entryTornDown(1, did, pasid, devTlb, c),
  },
  {
    name: 'map-no-flush',
    rule: 'flushesNotPresent',
    about:
      'A new second-stage mapping is not announced although the unit caches what is not present (CM): the device goes on being ' +
      'refused. Needs the feature CM.',
    instead: () => false,
  },
  {
    name: 'context-no-dev-tlb-inv',
    rule: 'contextTornDown',
    about:
      'In legacy mode a context entry goes away without a word to the device’s TLB. In scalable mode ATS is off by then.',
    instead: (sid, did, _devTlb, c) => [[contextDevice(sid, did)], [iotlbDomain(c, did)]],
  },
];
