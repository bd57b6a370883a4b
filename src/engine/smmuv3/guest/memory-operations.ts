import { hexPlain } from '../../bits/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { sizeText } from '../../pagetable/vmsav8-table.ts';
import { begin, master, refused, result, target } from './lookup.ts';
import { type FlushMode, flushQueue, map, unmap } from './mapping.ts';
import { exit, mapArea, newProcess, unmapArea } from './process.ts';
import { isPaging, type Kernel, type Perm } from './state.ts';
import { bind, svaRefusal, unbind } from './sva.ts';

/** The operations on what domains and processes map, and on who shares a process's memory. */

/** Input addresses are numbers up to 2^53, larger ones bigints. */
export type Address = number | bigint;

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

export function* mapMemory(
  k: Kernel,
  o: {
    domain: string;
    iova: Address;
    gpa: Address;
    size: number;
    perm?: Perm;
    present?: boolean;
  },
): Op<OpResult> {
  const to = target(k, o.domain);
  if (typeof to === 'string') return refused(to, 'ENODEV');
  begin(k);
  const m = { iova: Number(o.iova), gpa: Number(o.gpa), size: o.size, perm: o.perm ?? 'rw' };
  const text = `${sizeText(o.size)} at ${hexPlain(o.iova)}`;
  if ('root' in to && o.present === false)
    return refused(`${to.name} is a DMA domain: its pages are there or not`, 'EINVAL');
  const errno = 'root' in to ? yield* map(k, to, m) : yield* mapArea(k, to, m, o.present ?? true);
  if (errno !== '0') return { ok: false, errno, text: `map of ${text} fails: ${errno}` };
  return result(k, `${to.name}: ${text} → ${hexPlain(o.gpa)}${o.present === false ? ', at the first fault' : ''}`);
}

export function* unmapMemory(
  k: Kernel,
  o: { domain: string; iova: Address; size: number; flush?: FlushMode },
): Op<OpResult> {
  // Nothing is made only to take something out of it.
  const named = k.state.processes.some((p) => p.name === o.domain) || k.state.domains.some((d) => d.name === o.domain);
  if (k.state.booted && !named) return refused(`no domain or process is named ${o.domain}`, 'ENODEV');
  const from = target(k, o.domain);
  if (typeof from === 'string') return refused(from, 'ENODEV');
  begin(k);
  const flush = o.flush ?? 'strict';
  const at = hexPlain(o.iova);
  if (!('root' in from)) {
    if (flush === 'queued')
      return refused('the memory of a process has no flush queue: devices are told at once', 'EINVAL');
    const bytes = yield* unmapArea(k, from, Number(o.iova), o.size, flush === 'strict');
    if (bytes < 0) return refused(`munmap of ${sizeText(o.size)} at ${at}: EINVAL`, 'EINVAL');
    return { ...result(k, `${from.name}: ${sizeText(bytes)} at ${at} unmapped`), out: { unmapped: bytes } };
  }
  const done = yield* unmap(k, from, Number(o.iova), o.size, flush);
  const text = `${from.name}: ${sizeText(done)} at ${at} unmapped`;
  const r = result(k, done === o.size ? text : `${text}, ${sizeText(o.size)} asked`);
  return { ...r, ok: r.ok && done === o.size, out: { unmapped: done } };
}

export function* flushDomains(k: Kernel, o: { domain?: string }): Op<OpResult> {
  begin(k);
  const chosen = k.state.domains.filter((d) => (o.domain === undefined ? d.queued > 0 : d.name === o.domain));
  if (o.domain !== undefined && chosen.length === 0) return refused(`no DMA domain is named ${o.domain}`, 'ENODEV');
  for (const d of chosen) yield* flushQueue(k, d);
  const names = chosen.map((d) => d.name).join(', ');
  return result(k, names ? `flush queue of ${names} emptied` : 'nothing waits in a flush queue');
}
