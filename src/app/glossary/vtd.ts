import type { Glossary } from './entry.ts';

const vtd = (section: string): string => `Intel VT-d architecture specification 5.10, ${section}`;
const linux = (what: string): string => `Linux drivers/iommu/intel/${what}`;
const uapi = (what: string): string => `Linux include/uapi/linux/iommufd.h, ${what}`;

/** Terms of Intel VT-d, and what common ones mean there. */
export const vtdTerms: Glossary = {
  'Root table': {
    text: 'One entry a bus; in scalable mode its two halves point at the context tables of devices 0 to 15 and 16 to 31.',
    source: vtd('9.1, Root Entry; 9.2, Scalable-mode Root Entry'),
  },
  'Context entry': {
    text: 'What the unit knows of one requester id: in scalable mode the PASID directory, and whether ATS, PASIDs and page requests are allowed.',
    source: vtd('9.4, Scalable-Mode Context-Entry'),
  },
  'PASID directory': {
    text: 'First level of the PASID table: an entry for 64 PASIDs.',
    source: vtd('9.5, Scalable-Mode PASID Directory Entry'),
  },
  'PASID entry': {
    text: '64 bytes for one PASID of one requester id: kind of translation (PGTT), domain id, first-stage and second-stage table. Guest and host each have one.',
    source: vtd('9.6, Scalable-Mode PASID Table Entry'),
  },
  'vPASID entry': {
    text: "The guest's own PASID entry. Nothing reads it but the VMM, which binds its first-stage table on a PASID-cache invalidation.",
    source: vtd('9.6, Scalable-Mode PASID Table Entry'),
  },
  PGTT: {
    text: 'PASID granular translation type: first stage only, second stage only, nested, or pass-through.',
    source: vtd('9.6, Scalable-Mode PASID Table Entry'),
  },
  DID: {
    text: "Domain id: tag of everything that the unit caches of a domain. The host chooses it; the guest's (vDID) is only a key for finding the page table.",
    source: vtd('6.2.1, Tagging of Cached Translations'),
  },
  vDID: {
    text: "The domain id in the guest's PASID entry; it never reaches the hardware.",
    source: linux('nested.c; QEMU hw/i386/intel_iommu_accel.c'),
  },
  IQ: {
    text: 'Invalidation queue: a ring of descriptors in memory that software fills and the unit consumes.',
    source: vtd('6.5.2, Queued Invalidation Interface'),
  },
  vIQ: {
    text: "The invalidation queue of the guest's vIOMMU, in guest memory; the VMM reads it when the guest writes IQT_REG.",
    source: vtd('6.5.2, Queued Invalidation Interface'),
  },
  PRQ: {
    text: 'Page request queue: a ring in memory where the unit puts the page requests of devices.',
    source: vtd('7.4.1, Handling of Page Requests'),
  },
  vPRQ: {
    text: "The page request queue of the guest's vIOMMU, in guest memory; the VMM fills it.",
    source: vtd('7.4.1, Handling of Page Requests'),
  },
  FRCD: {
    text: 'Fault recording registers: a fault stands there until software clears its F bit.',
    source: vtd('7.2.1, Primary Fault Logging'),
  },
  'Context cache': {
    text: 'Cache of context entries by requester id; only context-cache invalidations empty it.',
    source: vtd('6.2.2, Context-Cache'),
  },
  'PASID cache': {
    text: 'Cache of PASID entries by requester id and PASID; while an entry stays, translations keep its domain id.',
    source: vtd('6.2.3, PASID-Cache'),
  },
  IOTLB: {
    text: 'Cache of finished translations in the unit, tagged by DID, PASID and input address. The requester id is no part of the tag.',
    source: vtd('6.2.4, IOTLB'),
  },
  'FS walk': {
    text: 'Cache of first-stage table entries above the leaf, so that a walk need not begin at the top.',
    source: vtd('6.2.5, Caches for Paging Structures'),
  },
  'SS walk': {
    text: 'Cache of second-stage table entries above the leaf.',
    source: vtd('6.2.5, Caches for Paging Structures'),
  },
  ATC: {
    text: 'Device TLB: the cache inside a device that uses ATS. Only the device answers from it, and only device-TLB invalidations empty it.',
    source: 'PCI Express Base Specification, "Address Translation Services (ATS)"',
  },
  'FS tables': {
    text: "First-stage page tables in x86-64 format; nested, they are the guest's and their addresses are guest physical.",
    source: vtd('3.6, First-Stage Translation'),
  },
  SVA: {
    text: "Shared virtual addressing: a device uses a process's own addresses; its PASID entry points at the process's page table.",
    source: linux('svm.c'),
  },
  process: {
    text: "A process of the guest whose address space a device shares: a PASID's entry points at its page table.",
    source: linux('svm.c'),
  },
  GPA: {
    text: "Guest physical address: first stage's output and second stage's input.",
    source: vtd('3.8, Nested Translation'),
  },
  vIOMMU: {
    text: 'The VT-d unit that the VMM shows to the guest: its registers and its invalidation queue are emulated.',
    source: 'QEMU hw/i386/intel_iommu.c',
  },
  'PASID map': {
    text: 'What the VMM has bound for the guest: for each virtual requester id and PASID one page table of the kernel. It changes when a PASID-cache invalidation traps.',
    source: 'QEMU hw/i386/intel_iommu_accel.c',
  },
  driver: {
    text: "The host's driver of the remapping units: it gives out domain ids, writes the host's PASID entries and sends what its cache tags ask for.",
    source: linux('iommu.c, cache.c'),
  },
  HWPT_NESTED: {
    text: 'One first-stage table of the guest on top of the nesting parent: the page table of one (RID, PASID). It has a domain id of its own.',
    source: uapi('struct iommu_hwpt_vtd_s1'),
  },
  'VT-d unit': {
    text: 'A DMA-remapping unit: the IOMMU that stands between devices and memory.',
    source: vtd('2'),
  },
  'cache tag': {
    text: "The driver's note that a domain has entries under a DID and a PASID in a unit or a device; each flush goes through the list.",
    source: linux('cache.c'),
  },
  commands: {
    text: 'Descriptors that the physical unit consumed in this step, waits included.',
    source: 'counted by the trace: entries of the physical invalidation queue',
  },
  syncs: {
    text: 'Invalidation waits that the physical unit completed in this step: each makes the driver wait.',
    source: vtd('6.5.2.9, Invalidation Wait Descriptor'),
  },
  reads: {
    text: 'Memory accesses of table walks in this step.',
    source: 'counted by the trace: reads of root, context and PASID entries and of page-table entries',
  },
};
