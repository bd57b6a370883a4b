import type { ScenarioDocument } from '../engine/document/index.ts';

/** A scenario of the library. The tests check each of them, so nobody has to check them again. */
export interface LibraryScenario {
  /** Stable: links name it. */
  readonly id: string;
  readonly iommu: string;
  readonly title: string;
  /** One line for the list. */
  readonly about: string;
  readonly load: () => Promise<ScenarioDocument>;
}

const document = (load: () => Promise<{ default: unknown }>) => async (): Promise<ScenarioDocument> =>
  (await load()).default as ScenarioDocument;

/** In the order in which a newcomer reads them. The first one opens on a first visit. */
export const scenarios: readonly LibraryScenario[] = [
  {
    id: 'smmuv3-unmap-without-atc-inv',
    iommu: 'smmuv3',
    title: 'Unmap without an ATC invalidation',
    about: 'The IOTLB entry goes, the device keeps its own copy.',
    load: document(() => import('./smmuv3/unmap-without-atc-inv.json')),
  },
  {
    id: 'smmuv3-first-dma',
    iommu: 'smmuv3',
    title: 'First DMA',
    about: 'From a guest’s STE to a physical one, and the walk that the first access costs.',
    load: document(() => import('./smmuv3/first-dma.json')),
  },
  {
    id: 'smmuv3-map-unmap',
    iommu: 'smmuv3',
    title: 'Map and unmap with invalidation',
    about: 'TLBI_NH_VA and ATC_INV on their way down, rewritten by the host.',
    load: document(() => import('./smmuv3/map-unmap.json')),
  },
  {
    id: 'smmuv3-shared-cd-table',
    iommu: 'smmuv3',
    title: 'Two devices on one CD table',
    about: 'One descriptor, two StreamIDs, two CFGI_CD.',
    load: document(() => import('./smmuv3/shared-cd-table.json')),
  },
  {
    id: 'smmuv3-host-unmaps-stage2',
    iommu: 'smmuv3',
    title: 'The host unmaps stage 2 under a running guest',
    about: 'What TLBI_S2_IPA leaves, and what the rest costs.',
    load: document(() => import('./smmuv3/host-unmaps-stage2.json')),
  },
  {
    id: 'smmuv3-bypass-and-abort',
    iommu: 'smmuv3',
    title: 'From translation to bypass and to abort',
    about: 'Three kinds of vSTE, and what the host makes of each.',
    load: document(() => import('./smmuv3/bypass-and-abort.json')),
  },
  {
    id: 'smmuv3-two-asids',
    iommu: 'smmuv3',
    title: 'One input address in two ASIDs',
    about: 'What the tag keeps apart, and what a coarser command costs.',
    load: document(() => import('./smmuv3/two-asids.json')),
  },
  {
    id: 'smmuv3-range-invalidation',
    iommu: 'smmuv3',
    title: 'Range invalidation and what it costs',
    about: '45 pages in two commands, and the flush of a whole ASID.',
    load: document(() => import('./smmuv3/range-invalidation.json')),
  },
  {
    id: 'smmuv3-leaf-only',
    iommu: 'smmuv3',
    title: 'Leaf-only invalidation and walk caches',
    about: 'A table goes, the walk cache still leads into it.',
    load: document(() => import('./smmuv3/leaf-only.json')),
  },
  {
    id: 'smmuv3-fault-stages',
    iommu: 'smmuv3',
    title: 'A stage-1 and a stage-2 fault, and who hears of each',
    about: 'One event number, two addressees.',
    load: document(() => import('./smmuv3/fault-stages.json')),
  },
  {
    id: 'smmuv3-bad-ste',
    iommu: 'smmuv3',
    title: 'A guest’s bad STE',
    about: 'Who notices: the VMM, the kernel, the hardware, or nobody.',
    load: document(() => import('./smmuv3/bad-ste.json')),
  },
  {
    id: 'smmuv3-batch-error',
    iommu: 'smmuv3',
    title: 'A batch with a bad command in the middle',
    about: 'The index counts commands that were never sent.',
    load: document(() => import('./smmuv3/batch-error.json')),
  },
  {
    id: 'smmuv3-sva',
    iommu: 'smmuv3',
    title: 'SVA on a PASID, with page requests',
    about: 'A process’s own addresses; a stalled access, and a request that nobody answers.',
    load: document(() => import('./smmuv3/sva.json')),
  },
  {
    id: 'smmuv3-two-guests',
    iommu: 'smmuv3',
    title: 'Two guests on one IOMMU',
    about: 'The same addresses, ASIDs and StreamIDs, kept apart by the VMID.',
    load: document(() => import('./smmuv3/two-guests.json')),
  },
  {
    id: 'smmuv3-two-vsmmus',
    iommu: 'smmuv3',
    title: 'Two vSMMUs on one nesting parent',
    about: 'One VMID, two vIOMMUs, and what one costs the other.',
    load: document(() => import('./smmuv3/two-vsmmus.json')),
  },
  {
    id: 'vtd-unmap-without-atc-inv',
    iommu: 'vtd',
    title: 'Unmap without an ATC invalidation',
    about: 'The host’s driver forgets the device TLB; a guest cannot help itself.',
    load: document(() => import('./vtd/unmap-without-atc-inv.json')),
  },
  {
    id: 'vtd-first-dma',
    iommu: 'vtd',
    title: 'First DMA',
    about: 'From a guest’s PASID entry to a nested page table, and the walk that the first access costs.',
    load: document(() => import('./vtd/first-dma.json')),
  },
  {
    id: 'vtd-map-unmap',
    iommu: 'vtd',
    title: 'Map and unmap with invalidation',
    about: 'One P_IOTLB_INV on its way down: DID and PASID are lost and found.',
    load: document(() => import('./vtd/map-unmap.json')),
  },
  {
    id: 'vtd-two-pasids',
    iommu: 'vtd',
    title: 'One vDID over two PASIDs',
    about: 'One domain of the guest, two page tables and two DIDs in the host.',
    load: document(() => import('./vtd/two-pasids.json')),
  },
  {
    id: 'vtd-host-unmaps-stage2',
    iommu: 'vtd',
    title: 'The host unmaps stage 2 under a running guest',
    about: 'Each child is flushed under a DID of its own.',
    load: document(() => import('./vtd/host-unmaps-stage2.json')),
  },
  {
    id: 'vtd-parent-unmap-tags',
    iommu: 'vtd',
    title: 'One unmap of the parent, and the order of its tags',
    about: 'How the list of cache tags turns a precise flush into a full one.',
    load: document(() => import('./vtd/parent-unmap-tags.json')),
  },
  {
    id: 'vtd-bypass-and-abort',
    iommu: 'vtd',
    title: 'From translation to bypass and to abort',
    about: 'Three kinds of PASID entry, and what the host makes of each.',
    load: document(() => import('./vtd/bypass-and-abort.json')),
  },
  {
    id: 'vtd-range-invalidation',
    iommu: 'vtd',
    title: 'Range invalidation and what it costs',
    about: '45 pages in one descriptor that covers 64.',
    load: document(() => import('./vtd/range-invalidation.json')),
  },
  {
    id: 'vtd-mask-neighbours',
    iommu: 'vtd',
    title: 'A page-selective mask that removes neighbours',
    about: 'Two pages across a boundary, 64 invalidated.',
    load: document(() => import('./vtd/mask-neighbours.json')),
  },
  {
    id: 'vtd-leaf-only',
    iommu: 'vtd',
    title: 'Leaf-only invalidation and walk caches',
    about: 'A table goes, the walk cache still leads into it.',
    load: document(() => import('./vtd/leaf-only.json')),
  },
  {
    id: 'vtd-fault-stages',
    iommu: 'vtd',
    title: 'A stage-1 and a stage-2 fault, and who hears of each',
    about: 'Many reason codes, one addressee.',
    load: document(() => import('./vtd/fault-stages.json')),
  },
  {
    id: 'vtd-bad-pasid-entry',
    iommu: 'vtd',
    title: 'A guest’s bad PASID entry',
    about: 'Nine mistakes of the guest, and who finds each.',
    load: document(() => import('./vtd/bad-pasid-entry.json')),
  },
  {
    id: 'vtd-pasid-cache-forgotten',
    iommu: 'vtd',
    title: 'PASID-cache invalidation forgotten',
    about: 'A changed PASID entry that nobody hears of.',
    load: document(() => import('./vtd/pasid-cache-forgotten.json')),
  },
  {
    id: 'vtd-caching-mode',
    iommu: 'vtd',
    title: 'Caching mode and non-present entries',
    about: 'Why the same code sends in a guest what it leaves out on the host.',
    load: document(() => import('./vtd/caching-mode.json')),
  },
  {
    id: 'vtd-batch-error',
    iommu: 'vtd',
    title: 'A batch with a bad command in the middle',
    about: 'Everything before the bad entry is done.',
    load: document(() => import('./vtd/batch-error.json')),
  },
  {
    id: 'vtd-sva',
    iommu: 'vtd',
    title: 'SVA on a PASID, with page requests',
    about: 'A page table of its own for a PASID, and a page request that travels all the way.',
    load: document(() => import('./vtd/sva.json')),
  },
  {
    id: 'vtd-five-levels',
    iommu: 'vtd',
    title: 'A five-level parent: 29 reads for a four-level guest',
    about: 'What the host’s choice of depth costs the guest.',
    load: document(() => import('./vtd/five-levels.json')),
  },
  {
    id: 'vtd-two-guests',
    iommu: 'vtd',
    title: 'Two guests on one IOMMU',
    about: 'The same addresses, DIDs and requester ids, kept apart by the host’s DID.',
    load: document(() => import('./vtd/two-guests.json')),
  },
];
