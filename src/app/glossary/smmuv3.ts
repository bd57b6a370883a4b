import type { Glossary } from './entry.ts';

const smmu = (section: string): string => `Arm IHI 0070, ${section}`;
const uapi = (what: string): string => `Linux include/uapi/linux/iommufd.h, ${what}`;

/** Terms of Arm SMMUv3, and what common ones mean there. */
export const smmuv3Terms: Glossary = {
  STE: {
    text: 'Stream table entry: 64 bytes that tell the SMMU how to treat the transactions of one StreamID.',
    source: smmu('5.2'),
  },
  vSTE: {
    text: "The guest's own stream table entry; the host copies only the stage-1 fields that it allows into the physical STE.",
    source: uapi('struct iommu_hwpt_arm_smmuv3'),
  },
  'Stream table': {
    text: 'The table that the SMMU indexes by StreamID, either linear or in two levels.',
    source: smmu('3.3'),
  },
  CD: {
    text: 'Context descriptor: 64 bytes that describe stage 1 of one SubstreamID: ASID, translation table base, format.',
    source: smmu('5.4'),
  },
  'CD table': {
    text: 'Table of context descriptors, indexed by SubstreamID (the PASID); in nesting it lies in guest memory.',
    source: smmu('5.4'),
  },
  StreamID: {
    text: 'The number by which the SMMU knows who asks; for a PCI device it is derived from the requester id.',
    source: smmu('3.2'),
  },
  SubstreamID: {
    text: 'Selects one of several stage-1 contexts of a stream; for a PCI device it is the PASID.',
    source: smmu('3.2'),
  },
  VMID: {
    text: 'Tag of cached translations that tells stage-2 address spaces apart; the host owns it, a guest never chooses it.',
    source: smmu('3.17'),
  },
  ASID: {
    text: 'Tag of cached stage-1 translations; unique within its VMID, chosen by whoever owns the context descriptor.',
    source: smmu('3.17'),
  },
  CMDQ: {
    text: 'Command queue: a ring in memory that software fills and the SMMU consumes.',
    source: smmu('3.5'),
  },
  vCMDQ: {
    text: "The command queue of the guest's virtual SMMU, in guest memory; the VMM reads it when the guest writes CMDQ_PROD.",
    source: smmu('3.5'),
  },
  EVTQ: {
    text: 'Event queue: a ring in memory where the SMMU records faults and configuration errors.',
    source: smmu('3.5 and 7'),
  },
  vEVTQ: {
    text: "The event queue of the guest's virtual SMMU, in guest memory.",
    source: smmu('3.5 and 7'),
  },
  IOTLB: {
    text: 'Cache of finished translations in the IOMMU, tagged by VMID, ASID and input address.',
    source: smmu('16.2'),
  },
  ATC: {
    text: 'Address translation cache inside a device that uses ATS; only the device answers from it, and only ATC_INV empties it.',
    source: 'PCI Express Base Specification, "Address Translation Services (ATS)"',
  },
  STAG: {
    text: 'Number by which the SMMU knows a stalled access: the event carries it, CMD_RESUME names it again.',
    source: smmu('4.7.1 and 7.3'),
  },
  stall: {
    text: 'The access waits in the SMMU until software retries or aborts it with CMD_RESUME, instead of failing at once.',
    source: smmu('3.12'),
  },
  SVA: {
    text: "Shared virtual addressing: a device uses a process's own addresses; its PASID leads to the process's page table.",
    source: 'Linux drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c',
  },
  HTTU: {
    text: 'Hardware translation table update: the SMMU itself sets the access flag and the dirty state of a descriptor.',
    source: smmu('3.13'),
  },
  PRIQ: {
    text: 'PRI queue: a ring in memory where the SMMU puts the page requests of devices.',
    source: smmu('3.5 and 8'),
  },
  process: {
    text: "A process of the guest whose address space a device shares; a PASID's context descriptor points at its page table.",
    source: 'Linux drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-sva.c',
  },
  IPA: {
    text: "Intermediate physical address: stage 1's output and stage 2's input; seen from the guest, its physical address.",
    source: smmu('3.4'),
  },
  GPA: {
    text: 'Guest physical address; in SMMU terms the intermediate physical address (IPA).',
    source: smmu('3.4'),
  },
  VIOMMU: {
    text: "iommufd's object for one slice of a physical IOMMU that a guest sees as its own; it holds the VMID and the vDEVICEs.",
    source: uapi('struct iommu_viommu_alloc'),
  },
  'S1 tables': {
    text: "The guest's stage-1 page tables: from the device's address (IOVA) to guest physical addresses (IPA).",
    source: smmu('3.3'),
  },
  'S2 TLB': {
    text: 'Cache of stage-2 translations: from guest physical addresses to physical ones, tagged by VMID.',
    source: smmu('16.2'),
  },
  'walk cache': {
    text: 'Cache of table entries above the leaf, so that a walk need not begin at the top.',
    source: smmu('16.2'),
  },
  'config cache': {
    text: 'Cache of stream table entries and context descriptors; only CFGI commands empty it.',
    source: smmu('4.3'),
  },
  'vSID map': {
    text: "The VMM's list of which StreamID in the guest is which vDEVICE of the kernel.",
    source: uapi('struct iommu_vdevice_alloc, virt_id'),
  },
  SMMU: {
    text: "Arm's System MMU: the IOMMU that stands between devices and memory.",
    source: smmu('2'),
  },
  vIOMMU: {
    text: "iommufd's object for one slice of a physical IOMMU that a guest sees as its own; it holds the VMID and the vDEVICEs.",
    source: uapi('struct iommu_viommu_alloc'),
  },
  vSMMU: {
    text: 'The SMMUv3 that the VMM shows to the guest: registers are emulated, tables and commands are passed on to the kernel.',
    source: 'Linux Documentation/userspace-api/iommufd.rst',
  },
  commands: {
    text: 'Commands that the physical SMMU consumed in this step, CMD_SYNC included.',
    source: 'counted by the trace: entries of the physical command queue',
  },
  syncs: {
    text: 'CMD_SYNCs that the physical SMMU completed in this step: each makes the driver wait.',
    source: smmu('4.7'),
  },
  reads: {
    text: 'Memory accesses of table walks in this step.',
    source: 'counted by the trace: reads of STEs, CDs and page-table entries',
  },
};
