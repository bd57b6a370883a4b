import type { VmmDeviation } from './deviation.ts';
import { vmmRules } from './rules.ts';

const PAGE = 0x1000n;

/** How a VMM can lose, change or reorder the guest's invalidations. */
export const flushDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.no-forward-piotlb',
    rule: 'forwards',
    about:
      'P_IOTLB_INV only empties the emulator’s own IOTLB: the IOTLB of the host and the device TLBs keep what the guest unmapped.',
    instead: () => false,
  },
  {
    name: 'vmm.forward-by-address-only',
    rule: 'forwards',
    about:
      'Page-selective invalidations are passed on, those of a whole PASID are not. QEMU had this gap towards its listeners for ' +
      'domain-selective and global ones until 3e090e3489 (2023).',
    instead: (f) => f.range !== null,
  },
  {
    name: 'vmm.first-match-only',
    rule: 'targets',
    about:
      'Only the first HWPT with the guest’s DID and PASID is invalidated. Two devices of one guest domain have two nested HWPTs ' +
      'and two DIDs in the host: one of them stays stale.',
    instead: (matching) => matching.slice(0, 1),
  },
  {
    name: 'vmm.match-did-only',
    rule: 'matches',
    about:
      'HWPTs are found by the guest’s DID alone. A flush of one PASID then empties every PASID of the domain: nothing is stale, ' +
      'and much is walked again for nothing.',
    instead: (f, did) => f.did === did,
  },
  {
    name: 'vmm.match-pasid-zero',
    rule: 'matches',
    about:
      'Every invalidation is taken for one of PASID 0, as by a VMM that knows requests without PASID only (QEMU’s mainline before ' +
      'PASIDs came): what a PASID has cached stays.',
    instead: (f, did, pasid) => f.did === did && pasid === 0,
  },
  {
    name: 'vmm.leaf-always',
    rule: 'flushEntry',
    about:
      'IH is not looked at and every range goes down with LEAF. Paging-structure caches keep entries that point to tables the ' +
      'guest has freed.',
    instead: (f) => {
      const [addr, npages, flags] = vmmRules.flushEntry(f);
      return [addr!, npages!, f.range ? 1n : flags!];
    },
  },
  {
    name: 'vmm.leaf-ignored',
    rule: 'flushEntry',
    about: 'IH is dropped: correct, but each flush of a page costs the paging-structure caches their entries as well.',
    instead: (f) => [...vmmRules.flushEntry(f).slice(0, 2), 0n],
  },
  {
    name: 'vmm.mask-ignored',
    rule: 'flushEntry',
    about: 'AM is not looked at: of a range of 2^AM pages only the first one is invalidated.',
    instead: (f) => (f.range ? [f.range.address, 1n, f.range.leaf ? 1n : 0n] : vmmRules.flushEntry(f)),
  },
  {
    name: 'vmm.mask-from-address',
    rule: 'flushEntry',
    about:
      'Of a range whose ADDR has low AM page bits set, only what lies behind ADDR is invalidated; hardware ignores these bits. Linux ' +
      'aligns ADDR, other guests need not.',
    instead: (f) => {
      if (!f.range) return vmmRules.flushEntry(f);
      const size = PAGE << BigInt(f.range.am);
      const offset = f.range.address % size;
      return [f.range.address, (size - offset) / PAGE, f.range.leaf ? 1n : 0n];
    },
  },
  {
    name: 'vmm.invalidate-later',
    rule: 'sends',
    about:
      'Invalidations are handed to a thread that runs at the next doorbell: the guest’s wait completes, and it frees the pages ' +
      'that the host’s IOTLB still has.',
    instead: () => 'next-doorbell',
  },
  {
    name: 'vmm.batch-across-wait',
    rule: 'endsBatch',
    about:
      'A batch is sent only when it is full, and neither a wait nor the end of the queue sends it (policy batch above 1): the ' +
      'guest sees its wait complete while invalidations still wait.',
    instead: (at) => at === 'local',
  },
  {
    name: 'vmm.batch-overtaken',
    rule: 'endsBatch',
    about:
      'Descriptors with an effect of their own do not end a batch (policy batch above 1): a PASID-cache invalidation takes an ' +
      'HWPT away before the invalidations that the guest sent earlier reach it.',
    instead: (at) => at !== 'local',
  },
  {
    name: 'vmm.batch-error-drops-rest',
    rule: 'afterBatchError',
    about:
      'When the kernel refuses an entry of a batch, those behind it are given up (policy batch above 1); entry_num says how many ' +
      'were done.',
    instead: () => 'drop',
  },
];
