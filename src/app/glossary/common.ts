import type { Glossary } from './entry.ts';

const uapi = (what: string): string => `Linux include/uapi/linux/iommufd.h, ${what}`;

/** What means the same whatever the IOMMU is. */
export const commonTerms: Glossary = {
  PASID: {
    text: 'Process address space id: a prefix of a PCI request that selects one of several address spaces of the device.',
    source: 'PCI Express Base Specification, "Process Address Space ID (PASID)"',
  },
  ATS: {
    text: 'Address translation services: a device asks the IOMMU for translations and caches them in its ATC.',
    source: 'PCI Express Base Specification, "Address Translation Services (ATS)"',
  },
  PRI: {
    text: 'Page request interface: a device asks for a page to be made present.',
    source: 'PCI Express Base Specification, "Page Request Services"',
  },
  PRG: {
    text: 'Page request group: requests that a device makes together; one response with the index of the group answers all.',
    source: 'PCI Express Base Specification, "Page Request Services"',
  },
  FAULT: {
    text: "iommufd's queue of page requests: user space reads them from its file and writes the answers to it.",
    source: uapi('struct iommu_fault_alloc'),
  },
  'page requests': {
    text: 'Requests of the device to make a page present that have not been answered yet.',
    source: 'PCI Express Base Specification, "Page Request Services"',
  },
  RID: {
    text: 'Requester id of a PCI function: bus, device and function number, 16 bits.',
    source: 'PCI Express Base Specification, "Transaction Descriptor"',
  },
  vRID: {
    text: 'The requester id under which the guest sees the device.',
    source: uapi('struct iommu_vdevice_alloc, virt_id'),
  },
  IOVA: {
    text: 'I/O virtual address: the address that a device puts on the bus.',
    source: 'Linux Documentation/userspace-api/iommufd.rst',
  },
  IOAS: {
    text: 'I/O address space: an iommufd object that holds the mappings of IOVA (here guest physical address) to user memory.',
    source: uapi('struct iommu_ioas_alloc'),
  },
  HWPT: {
    text: 'Hardware page table: an iommufd object that stands for one translation that a device can be attached to.',
    source: uapi('struct iommu_hwpt_alloc'),
  },
  HWPT_PAGING: {
    text: "A hardware page table that the kernel fills from an IOAS; as a nesting parent it is the guest's stage 2.",
    source: uapi('IOMMU_HWPT_ALLOC_NEST_PARENT'),
  },
  HWPT_NESTED: {
    text: "A hardware page table whose stage 1 is the guest's own table, on top of a nesting parent.",
    source: uapi('struct iommu_hwpt_alloc'),
  },
  VDEVICE: {
    text: "iommufd's object that ties a device's id in the guest to its physical one, within a vIOMMU.",
    source: uapi('struct iommu_vdevice_alloc'),
  },
  VEVENTQ: {
    text: "iommufd's queue through which a VMM reads the events of its vIOMMU.",
    source: uapi('struct iommu_veventq_alloc'),
  },
  vDEVICE: {
    text: "iommufd's object that ties a device's id in the guest to its physical one, within a vIOMMU.",
    source: uapi('struct iommu_vdevice_alloc'),
  },
  vEVENTQ: {
    text: "iommufd's queue through which a VMM reads the events of its vIOMMU.",
    source: uapi('struct iommu_veventq_alloc'),
  },
  DEVICE: {
    text: 'A physical device that was bound to iommufd through its VFIO file descriptor.',
    source: 'Linux include/uapi/linux/vfio.h, VFIO_DEVICE_BIND_IOMMUFD',
  },
  'VM exit': {
    text: 'The guest does something that the VMM must handle; the virtual CPU stops until it has.',
    source: 'Linux Documentation/virt/kvm/api.rst, KVM_EXIT_MMIO',
  },
  hazard: {
    text: 'A cached entry that a fresh walk of the tables would not give any more: an invalidation is missing.',
    source: 'iommuscope compares every cached entry with a fresh walk after each step',
  },
  'VM exits': {
    text: 'How often the guest stopped in this step because the VMM had to handle an access.',
    source: 'counted by the trace: trapped accesses',
  },
  ioctls: {
    text: 'Calls into the kernel in this step.',
    source: 'counted by the trace: calls on /dev/iommu and VFIO device files',
  },
  dropped: {
    text: 'Cache entries that this step removed.',
    source: 'counted by the trace: removals from every cache',
  },
  'still valid': {
    text: 'Of the dropped entries, those that a fresh walk would give again: they cost a walk and gained nothing.',
    source: 'compared with a fresh walk at the removal',
  },
};
