import type { PageRequest } from './driver.ts';

/**
 * Page requests of one device between its driver and the fault handlers of domains: the books that every driver keeps
 * (drivers/iommu/io-pgfault.c, struct iommu_fault_param).
 */
export interface Iopf {
  /** Attachments whose domain has a handler. */
  users: number;
  /** Last requests of groups that wait for an answer. */
  faults: PageRequest[];
  /** Requests of groups whose last one has not come. */
  partial: PageRequest[];
}

/** One more attachment with a handler. */
export function joinIopf(p: Iopf | null): Iopf {
  const iopf = p ?? { users: 0, faults: [], partial: [] };
  iopf.users++;
  return iopf;
}

/** A request that is not the last of its group waits for that (null); the last one gives the whole group, and waits for its answer. */
export function groupOf(p: Iopf, r: PageRequest): readonly PageRequest[] | null {
  if (!r.last) {
    p.partial.push(r);
    return null;
  }
  const group = p.partial.filter((x) => x.group === r.group);
  p.partial = p.partial.filter((x) => x.group !== r.group);
  p.faults.push(r);
  return [...group, r];
}

/** Takes a group off the waiting ones. @returns false when it is not among them: its answer is dropped */
export function answered(p: Iopf | null, r: PageRequest): boolean {
  const at = p?.faults.findIndex((f) => f.group === r.group && f.pasid === r.pasid) ?? -1;
  if (at < 0) return false;
  p!.faults.splice(at, 1);
  return true;
}
