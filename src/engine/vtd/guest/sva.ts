import { freeMemory, freePasid, type Notify, newMemory, x86CpuFormat } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import {
  attachPasid,
  detachPasid,
  domainOf,
  exitProcess,
  flushAll,
  flushRange,
  freeDomain,
  newDomain,
} from '../linux/index.ts';
import { maxPasids } from './pasid.ts';
import { type Endpoint, type Guest, infoOf, type Process } from './state.ts';

/**
 * Sharing a process's address space with devices (drivers/iommu/iommu-sva.c, drivers/iommu/intel/svm.c). All devices of a
 * process share one domain with DID 1 and the process's one PASID.
 */

/** Depth of the guest's CPU page tables. */
const CPU_LEVELS = x86CpuFormat.shifts.length;

export function newProcess(g: Guest, name: string): Process {
  const p: Process = { ...newMemory(g.cpu, name), handle: 0 };
  g.state.processes.push(p);
  return p;
}

/**
 * PASIDs that no other process may get: those of processes, and those in pass-through. Both kinds have DID 1, so that entries
 * with the same PASID would be taken for one another; the kernel gives all of them out from one number space.
 */
const takenPasids = (g: Guest): number[] => [
  ...g.state.processes.map((p) => p.pasid),
  ...g.state.endpoints.flatMap((e) => e.pasids.filter((a) => a.name === 'bypass').map((a) => a.pasid)),
];

/**
 * The process gets a PASID at its first bind and keeps it; every device uses the same. A second bind of a device only counts.
 * @param wanted the PASID that a first bind shall get, 0 for the lowest free one as the kernel takes
 * @returns '0' or the kernel's error
 */
export function* bind(g: Guest, e: Endpoint, p: Process, wanted: number): Op<string> {
  const max = maxPasids(g, e);
  if (p.pasid === 0) {
    const taken = takenPasids(g);
    const pasid = wanted === 0 ? freePasid(taken, max) : taken.includes(wanted) || wanted >= max ? 0 : wanted;
    if (pasid === 0) return 'ENOSPC';
    p.pasid = pasid;
  } else if (p.pasid >= max) return 'EOVERFLOW';
  const known = e.pasids.find((a) => a.pasid === p.pasid);
  if (known) {
    if (known.kind !== 'process' || known.name !== p.name) return 'EBUSY';
    e.pasids = e.pasids.map((a) => (a === known ? { ...a, users: a.users + 1 } : a));
    return '0';
  }
  if (p.exited) return 'EINVAL';
  if (p.handle === 0)
    p.handle = newDomain(g.kernel, { kind: 'sva', root: BigInt(p.pgd), levels: CPU_LEVELS, faults: true }).handle;
  const errno = yield* attachPasid(g.kernel, infoOf(g, e), p.pasid, domainOf(g.kernel, p.handle));
  if (errno === '0') {
    const a = { pasid: p.pasid, kind: 'process', name: p.name, users: 1 } as const;
    e.pasids = [...e.pasids, a].sort((x, y) => x.pasid - y.pasid);
  } else dropUnused(g, p);
  return errno;
}

/** The last unbind of a device takes the PASID from it; the last device takes the domain along. */
export function* unbind(g: Guest, e: Endpoint, p: Process): Op<boolean> {
  const known = e.pasids.find((a) => a.kind === 'process' && a.name === p.name);
  if (!known) return false;
  if (known.users > 1) {
    e.pasids = e.pasids.map((a) => (a === known ? { ...a, users: a.users - 1 } : a));
    return true;
  }
  yield* detachPasid(g.kernel, infoOf(g, e), known.pasid);
  e.pasids = e.pasids.filter((a) => a !== known);
  dropUnused(g, p);
  return true;
}

const isBound = (g: Guest, p: Process): boolean =>
  g.state.endpoints.some((e) => e.pasids.some((a) => a.kind === 'process' && a.name === p.name));

/** The SVA domain goes with its last device; an exited process goes with it (__mmdrop). */
export function dropUnused(g: Guest, p: Process): void {
  if (isBound(g, p)) return;
  if (p.handle !== 0) freeDomain(g.kernel, domainOf(g.kernel, p.handle));
  p.handle = 0;
  if (!p.exited) return;
  g.cpu.pages.release(p.pgd, g.cpu.format.rootBytes);
  g.state.processes = g.state.processes.filter((x) => x !== p);
}

/** What devices are told of a change of a process's page table (intel_arch_invalidate_secondary_tlbs), never with IH. */
export const notifierOf = (g: Guest, p: Process): Notify =>
  function* (from, to) {
    if (p.handle === 0) return;
    const r = g.rules.notified(BigInt(from), BigInt(to));
    if (r) yield* flushRange(g.kernel, domainOf(g.kernel, p.handle), r.start, r.last, false);
  };

/** The same after the CPUs have dropped the whole address space from their TLBs, as reclaim in batches does. */
export function* notifyWhole(g: Guest, p: Process): Op<void> {
  if (p.handle === 0) return;
  const r = g.rules.notifiedWhole();
  if (r === 'all') yield* flushAll(g.kernel, domainOf(g.kernel, p.handle));
  else if (r) yield* flushRange(g.kernel, domainOf(g.kernel, p.handle), r.start, r.last, false);
}

/**
 * exit_mmap while devices may be bound: their PASID entries are torn down without a drain (intel_mm_release), then the page
 * tables are freed. The domain stays until the last unbind.
 */
export function* exit(g: Guest, p: Process): Op<void> {
  p.exited = true;
  if (p.handle !== 0 && g.rules.exitTearsDown()) yield* exitProcess(g.kernel, domainOf(g.kernel, p.handle));
  freeMemory(g.cpu, p);
  dropUnused(g, p);
}
