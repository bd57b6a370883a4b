import { type AddressSpaces, isPaging, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { finalize } from './attach-operations.ts';
import { begin, domainNamed, endpoint, result } from './lookup.ts';
import { flushQueue, map, unmap } from './mapping.ts';
import { maxPasids } from './pasid.ts';
import type { DmaDomain, Guest, Process } from './state.ts';
import { bind, dropUnused, exit, newProcess, notifierOf, notifyWhole, unbind } from './sva.ts';

/** The operations on who shares a process's memory, and what those on mappings need of this driver. */

export function* bindProcess(g: Guest, o: { device: string; process: string; pasid?: number }): Op<OpResult> {
  const e = yield* endpoint(g, o.device);
  if (typeof e === 'string') return refused(e);
  begin(g);
  if (!isPaging(o.process)) return refused('a process needs a name');
  if (g.state.domains.some((d) => d.name === o.process)) return refused(`${o.process} is a DMA domain`, 'EINVAL');
  const known = g.state.processes.find((p) => p.name === o.process);
  if (known && o.pasid !== undefined && known.pasid !== 0 && known.pasid !== o.pasid)
    return refused(`${known.name} has PASID ${known.pasid}, the same on every device`, 'EINVAL');
  if (maxPasids(g, e) === 0) return refused(`${e.name} cannot send PASIDs behind its IOMMU`, 'ENOSPC');
  yield* finalize(g, e);
  const p = known ?? newProcess(g, o.process);
  const errno = yield* bind(g, e, p, o.pasid ?? 0);
  if (errno !== '0') {
    // A process that nobody has used yet was made for this bind only.
    if (!known) {
      p.exited = true;
      dropUnused(g, p);
    }
    const why = g.kernel.state.log.find((line) => line.includes('SVM disabled'));
    return refused(`bind of ${e.name} to ${p.name}: ${errno}${why ? ` (${why})` : ''}`, errno);
  }
  const r = result(g, `${e.name} shares the memory of ${p.name}: PASID ${p.pasid}, DID 1`);
  return { ...r, out: { pasid: p.pasid }, main: p.pasid };
}

export function* unbindProcess(g: Guest, o: { device: string; process: string }): Op<OpResult> {
  const e = yield* endpoint(g, o.device);
  if (typeof e === 'string') return refused(e);
  const p = g.state.processes.find((x) => x.name === o.process);
  begin(g);
  if (!p || !(yield* unbind(g, e, p))) return refused(`${o.device} is not bound to ${o.process}`, 'ENOENT');
  return result(g, `${o.device} no longer shares the memory of ${o.process}`);
}

export function* exitProcess(g: Guest, o: { process: string }): Op<OpResult> {
  const p = g.state.processes.find((x) => x.name === o.process && !x.exited);
  if (!p) return refused(`no process is named ${o.process}`, 'ESRCH');
  begin(g);
  yield* exit(g, p);
  return result(g, `${o.process} has exited`);
}

/** The CPUs drop a process's whole address space from their TLBs, and devices that share it are told. */
export function* flushProcess(g: Guest, p: Process): Op<OpResult> {
  begin(g);
  yield* notifyWhole(g, p);
  return result(g, `the whole address space of ${p.name} is flushed`);
}

/** The guest's address spaces for the operations that are the same behind every IOMMU. */
export const spacesOf = (g: Guest): AddressSpaces<DmaDomain, Process> => ({
  cpu: g.cpu,
  begin: () => begin(g),
  result: (text) => result(g, text),
  notReady: () => (g.state.booted ? '' : 'the guest has not booted'),
  domains: () => g.state.domains,
  process: (name) => g.state.processes.find((p) => p.name === name),
  domain: (name) => domainNamed(g, name),
  map: (d, m) => map(g, d, m),
  unmap: (d, iova, size, flush) => unmap(g, d, iova, size, flush),
  flushQueue: (d) => flushQueue(g, d),
  notify: (p) => notifierOf(g, p),
});
