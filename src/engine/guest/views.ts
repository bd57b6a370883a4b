import type { Mapping } from './mappings.ts';
import type { ProcessMemory } from './process.ts';

/** What a scene shows of address spaces, whatever the IOMMU. */

/** A page table of a DMA domain. */
export interface PageTableView {
  readonly name: string;
  /** Scene id. */
  readonly id: string;
  readonly root: number;
  readonly mappings: readonly Mapping[];
  /** Bytes whose flush is queued. */
  readonly queued: number;
}

/** A process and what of its memory is in use. */
export interface ProcessMemoryView {
  readonly name: string;
  /** Scene id of its page table. */
  readonly id: string;
  readonly pgd: number;
  /** 0 before the first bind. */
  readonly pasid: number;
  readonly exited: boolean;
  /** Virtual memory areas; a page of one may not be there yet. */
  readonly areas: readonly Mapping[];
}

/** A guest's kernel. */
export interface KernelViews<UnitView, DeviceView, DomainView, ProcessView> {
  readonly booted: boolean;
  readonly units: readonly UnitView[];
  readonly devices: readonly DeviceView[];
  readonly domains: readonly DomainView[];
  readonly processes: readonly ProcessView[];
}

export const pageTableView = (
  d: { readonly name: string; readonly root: number; readonly mappings: readonly Mapping[]; readonly queued: number },
  id: string,
): PageTableView => ({ name: d.name, id, root: d.root, mappings: [...d.mappings], queued: d.queued });

export const processMemoryView = (p: ProcessMemory, id: string): ProcessMemoryView => ({
  name: p.name,
  id,
  pgd: p.pgd,
  pasid: p.pasid,
  exited: p.exited,
  areas: [...p.areas],
});
