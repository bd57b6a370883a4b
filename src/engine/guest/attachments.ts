/** What a guest's devices are attached to, by the guest's own names. */

/** What a PASID of a device is attached to: a DMA domain (or `bypass`) or the address space of a process. */
export interface PasidAttachment {
  readonly pasid: number;
  readonly kind: 'domain' | 'process';
  readonly name: string;
  /** Binds that have not been undone (struct iommu_sva.users); 1 for a domain. */
  readonly users: number;
}

/** Domains that are no page table. */
export const isPaging = (domain: string): boolean => domain !== '' && domain !== 'bypass' && domain !== 'blocked';
