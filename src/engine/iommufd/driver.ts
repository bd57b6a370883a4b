import type { Op } from '../machine/index.ts';
import type { Errno, Result } from './errno.ts';

/**
 * The seam between iommufd and a vendor's IOMMU driver: what include/linux/iommu.h's iommu_ops, iommu_domain_ops and
 * iommufd_viommu_ops are in the kernel. iommufd knows a driver only through this; objects cross it as numbers, so that
 * both sides stay plain data.
 */

/** A domain (page table or nested configuration) by the driver's own number. */
export type DomainHandle = number;

export interface ReservedRegion {
  readonly start: bigint;
  readonly last: bigint;
  /** `sw_msi`: where the kernel maps MSI doorbells; `direct`: firmware wants it mapped one to one. */
  readonly type: 'sw_msi' | 'msi' | 'direct' | 'reserved';
}

/** A physical device behind one of the driver's IOMMUs. */
export interface DriverDevice {
  readonly name: string;
  /** IOMMU group number. */
  readonly group: number;
  /** Domains fit devices of the same number only: the instance of the IOMMU in front of it, or 0 where a domain may span several. */
  readonly iommu: number;
  /** log2 of the number of PASIDs enabled, 0: none. */
  readonly maxPasidLog2: number;
  readonly atsSupported: boolean;
  readonly dirtyTracking: boolean;
  readonly reserved: readonly ReservedRegion[];
}

/** Vendor data of an allocation, given inline in place of a user pointer. */
export interface UserData {
  readonly type: number;
  /** data_len as passed; may disagree with what the fields need. */
  readonly len: number;
  /** null: the pointer is NULL or unreadable. */
  readonly fields: Readonly<Record<string, unknown>> | null;
}

/** The array of an invalidation call. */
export interface UserArray {
  readonly type: number;
  readonly entryLen: number;
  readonly entryNum: number;
  readonly entries: readonly unknown[] | null;
}

export interface DomainInfo {
  readonly handle: DomainHandle;
  /** Bytes; 0 for a nested domain. */
  readonly minPageSize: number;
  /** Input addresses that the page table can hold, inclusive. */
  readonly aperture: { readonly start: bigint; readonly last: bigint };
}

export interface HwInfo {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Bytes of input addresses that were written to, or are asked about. */
export interface Dirty {
  readonly iova: number;
  readonly size: number;
}

export interface Run {
  readonly oa: number;
  readonly size: number;
}

/**
 * One page request as a driver reports it (struct iommu_fault_page_request): a stalled transaction, or a PRI message.
 * `perm` is made of READ 1, WRITE 2, EXEC 4, PRIV 8.
 */
export interface PageRequest {
  /** null: without PASID. */
  readonly pasid: number | null;
  /** Group index: the STAG of a stall. */
  readonly group: number;
  readonly perm: number;
  readonly address: bigint;
  /** Last one of its group, the one that is answered. */
  readonly last: boolean;
}

/** enum iommu_page_response_code. */
export type PageResponse = 'success' | 'invalid' | 'failure';

export interface IommuDriver {
  readonly name: string;
  /** Scene object of the driver of a device; of the first unit without one. */
  sceneId?(device?: string): string;
  /** iommufd gives its upcalls before anything else is called. */
  connect(upcalls: DriverUpcalls): void;
  device(name: string): DriverDevice | undefined;
  /** Devices of an IOMMU group, in order: they share one domain. */
  groupDevices(group: number): readonly string[];

  /** hw_info: `type` is 0 for the driver's own. Unknown types: EOPNOTSUPP. */
  hwInfo(device: string, type: number): Result<HwInfo>;

  /** The group's DMA is taken over: the device goes to the blocking domain. */
  block(device: string): Op<void>;
  /** DMA ownership returns to the kernel: the device goes to its default domain. */
  release(device: string): Op<void>;
  /** attach_dev, also used to replace. What is left after an error is the driver's: the old attachment, or a blocked device. */
  attach(device: string, domain: DomainHandle): Op<Errno>;
  /** set_dev_pasid, also used to replace the PASID's domain; what is left after an error is the driver's. */
  attachPasid(device: string, pasid: number, domain: DomainHandle): Op<Errno>;
  /** set_dev_pasid of the blocking domain: the PASID is empty again. */
  detachPasid(device: string, pasid: number): Op<void>;
  /** The domain can be attached to a PASID at all (it has set_dev_pasid). */
  pasidCapable(domain: DomainHandle): boolean;

  /** The domain gets a page fault handler: `reportFault` (domain->iopf_handler). Before it is attached anywhere. */
  handleFaults(domain: DomainHandle): void;
  /** iommu_page_response: answers a group by its last request. Dropped when none is waiting. */
  pageResponse(device: string, request: PageRequest, code: PageResponse): Op<void>;

  /** pci_dev_reset_iommu_prepare: RID and PASIDs are blocked, ATS is off, until `resetDone`. */
  resetPrepare(device: string): Op<Errno>;
  /** pci_dev_reset_iommu_done: what was attached comes back. */
  resetDone(device: string): Op<void>;
  /** Between the two: attaching is refused (EBUSY). */
  resetting(device: string): boolean;

  /** domain_alloc_paging_flags; `data` is null when none was given. */
  allocPaging(device: string, flags: number, data: UserData | null): Result<DomainInfo>;
  /** Direct nesting on a parent (without vIOMMU); undefined: the driver has none. */
  allocNestedOnParent?(device: string, parent: DomainHandle, flags: number, data: UserData): Result<DomainInfo>;
  freeDomain(domain: DomainHandle): void;
  /** iommu_map of consecutive stretches; `prot` is made of IOMMU_READ 1, IOMMU_WRITE 2, IOMMU_CACHE 4. */
  map(domain: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno>;
  /** iommu_unmap with all its flushes. Returns bytes. */
  unmap(domain: DomainHandle, iova: number, size: number): Op<number>;

  /** The domain tells what was written (dirty_ops): it was allocated with DIRTY_TRACKING. */
  dirtyCapable(domain: DomainHandle): boolean;
  /** set_dirty_tracking; undefined: hardware of such a domain tracks all the time. */
  setDirtyTracking?(domain: DomainHandle, enable: boolean): Op<Errno>;
  /** read_and_clear_dirty over stretches of mapped addresses, then the flush of what became clean. */
  readDirty(
    domain: DomainHandle,
    stretches: readonly Dirty[],
    clear: boolean,
  ): Op<{ readonly errno: Errno; readonly dirty: readonly Dirty[] }>;

  /** get_viommu_size: is this type of vIOMMU offered for the device? */
  viommuSupported(device: string, type: number): boolean;
  /** viommu_init. `viommu` names it in all later calls. */
  viommuInit(viommu: number, type: number, device: string, parent: DomainHandle, data: UserData | null): Errno;
  viommuDestroy(viommu: number): void;
  /** alloc_domain_nested of the vIOMMU's type; undefined: the type has none. */
  viommuAllocNested?(viommu: number, flags: number, data: UserData): Result<DomainInfo>;
  /** cache_invalidate; `done` is what comes back as entry_num. Undefined: the type has none. */
  viommuInvalidate?(viommu: number, array: UserArray): Op<{ readonly errno: Errno; readonly done: number }>;
  /** Invalidation on a nested domain itself; undefined: EOPNOTSUPP. */
  nestedInvalidate?(domain: DomainHandle, array: UserArray): Op<{ readonly errno: Errno; readonly done: number }>;
  vdeviceInit?(viommu: number, device: string, virtId: bigint): Errno;
  vdeviceDestroy?(viommu: number, device: string, virtId: bigint): void;

  /** uAPI fields of a vEVENTQ record's data. */
  eventFields(type: number, data: Uint8Array): Readonly<Record<string, unknown>>;
  /** Short lines for a picture of the domain or vIOMMU. */
  domainLines(domain: DomainHandle): readonly string[];
  viommuLines(viommu: number): readonly string[];
}

/** What a driver may ask of iommufd (drivers/iommu/iommufd/driver.c). */
export interface DriverUpcalls {
  /** iommufd_viommu_find_dev: the device that has this virtual id in the vIOMMU. */
  findDevice(viommu: number, virtId: bigint): string | null;
  /** iommufd_viommu_get_vdev_id: the virtual id of a device in the vIOMMU. */
  virtualId(viommu: number, device: string): bigint | null;
  /**
   * domain->iopf_handler: a whole group of page requests for the domain that the device has under that PASID, 0 for its RID.
   * EINVAL when nobody takes it.
   */
  reportFault(device: string, attachedAs: number, requests: readonly PageRequest[]): Errno;
  /** iommufd_viommu_report_event: EOPNOTSUPP when there is no queue of that type. */
  reportEvent(viommu: number, type: number, data: Uint8Array): Errno;
  /** Scene object of the vIOMMU, for trace events. */
  viommuSceneId(viommu: number): string;
  /** Scene object of the page table that has this domain. */
  domainSceneId(domain: DomainHandle): string;
}
