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
    title: 'Two guests on one SMMU',
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
];
