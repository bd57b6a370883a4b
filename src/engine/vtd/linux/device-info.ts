import type { Iopf } from '../../iommufd/index.ts';

/** A device behind a unit (struct device_domain_info). */
export interface DeviceInfo {
  readonly name: string;
  readonly unit: number;
  /** Source id, 16 bits. */
  readonly sid: number;
  /** Source id of its physical function; used where ECAP.DIT is set. */
  readonly pfsid: number;
  /** Invalidate Queue Depth, 1..32. */
  readonly atsQdep: number;
  /** Devices 8086:4940 to 4943: their TLB is invalidated twice. */
  readonly extraInvalidation: boolean;
  readonly pasidSupported: boolean;
  readonly atsSupported: boolean;
  readonly priSupported: boolean;
  pasidEnabled: boolean;
  atsEnabled: boolean;
  priEnabled: boolean;
  /** PASID directory; null in legacy mode and after release. */
  pasidTable: PasidTable | null;
  /** Domain of requests without PASID. `BLOCKED`: entry 0 is not present. */
  domain: number;
  /** Domain of each other PASID, as the core believes; the entry of one whose replacement failed is not present. */
  pasids: Map<number, number>;
  /** Page requests, while a domain that takes them is attached anywhere (iopf_refcount, struct iommu_fault_param). */
  iopf: Iopf | null;
  /** During a reset: what comes back after it. */
  reset: { depth: number; domain: number; readonly pasids: Map<number, number> } | null;
}

export interface PasidTable {
  readonly directory: number;
  /** log2 of the directory's pages. */
  readonly order: number;
  /** PASIDs that it can hold: 2^(order + 15). */
  readonly maxPasid: number;
}
