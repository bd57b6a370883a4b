import { type AddressSpaces, isPaging, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { newDomain } from './domain.ts';
import { begin, master, result } from './lookup.ts';
import { flushQueue, map, unmap } from './mapping.ts';
import { exit, newProcess, notify } from './process.ts';
import { cpuOf } from './process-table.ts';
import type { Domain, Kernel, Process } from './state.ts';
import { bind, svaRefusal, unbind } from './sva.ts';

/** The operations on who shares a process's memory, and what the others need of this driver. */

export function* bindProcess(k: Kernel, o: { device: string; process: string; pasid?: number }): Op<OpResult> {
  const found = yield* master(k, o.device);
  if (typeof found === 'string') return refused(found);
  const { u, m } = found;
  begin(k);
  if (!isPaging(o.process)) return refused('a process needs a name');
  if (k.state.domains.some((d) => d.name === o.process)) return refused(`${o.process} is a DMA domain`, 'EINVAL');
  const known = k.state.processes.find((p) => p.name === o.process);
  if (known && o.pasid !== undefined && known.pasid !== 0 && known.pasid !== o.pasid)
    return refused(`${known.name} has PASID ${known.pasid}, the same on every device`, 'EINVAL');
  if (m.maxPasids === 0) return refused(`${m.name} cannot send PASIDs behind this SMMU`, 'ENOSPC');
  const no = svaRefusal(u);
  if (!known && no) return refused(`the guest has no SVA: ${no}`, 'EOPNOTSUPP');
  const process = known ?? newProcess(k, o.process);
  const errno = yield* bind(u, m, process, o.pasid ?? 0);
  if (errno !== '0')
    return refused(`bind of ${m.name} to ${process.name}: ${errno}${errno === 'EOPNOTSUPP' ? ` (${no})` : ''}`, errno);
  const asid = process.spaces.find((s) => s.unit === u.index)?.asid;
  const r = result(k, `${m.name} shares the memory of ${process.name}: PASID ${process.pasid}, ASID ${asid}`);
  return { ...r, out: { pasid: process.pasid }, main: process.pasid };
}

export function* unbindProcess(k: Kernel, o: { device: string; process: string }): Op<OpResult> {
  const found = yield* master(k, o.device);
  if (typeof found === 'string') return refused(found);
  const process = k.state.processes.find((p) => p.name === o.process);
  begin(k);
  if (!process || !(yield* unbind(found.u, found.m, process)))
    return refused(`${o.device} is not bound to ${o.process}`, 'ENOENT');
  return result(k, `${o.device} no longer shares the memory of ${o.process}`);
}

export function* exitProcess(k: Kernel, o: { process: string }): Op<OpResult> {
  const process = k.state.processes.find((p) => p.name === o.process && !p.exited);
  if (!process) return refused(`no process is named ${o.process}`, 'ESRCH');
  begin(k);
  yield* exit(k, process);
  return result(k, `${o.process} has exited`);
}

/** The guest's address spaces for the operations that are the same behind every IOMMU. */
export const spacesOf = (k: Kernel): AddressSpaces<Domain, Process> => ({
  cpu: cpuOf(k),
  begin: () => begin(k),
  result: (text) => result(k, text),
  notReady: () => (k.state.booted ? '' : 'the guest has not booted'),
  domains: () => k.state.domains,
  process: (name) => k.state.processes.find((p) => p.name === name),
  domain: (name) => {
    if (!isPaging(name)) return `${name} has no page table`;
    const u = k.units.find((x) => x.state.features);
    return k.state.domains.find((d) => d.name === name) ?? (u ? newDomain(k, name, u) : 'the guest has no SMMU');
  },
  map: (d, m) => map(k, d, m),
  unmap: (d, iova, size, flush) => unmap(k, d, iova, size, flush),
  flushQueue: (d) => flushQueue(k, d),
  notify: (p) => (from, to) => notify(k, p, from, to),
});
