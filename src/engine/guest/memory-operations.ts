import { hexPlain } from '../bits/index.ts';
import type { Op, OpResult } from '../machine/index.ts';
import { sizeText } from '../pagetable/page-sizes.ts';
import type { Cpu } from './cpu-table.ts';
import type { FlushMode, Mapping, Perm } from './mappings.ts';
import { mapArea, type Notify, type ProcessMemory, unmapArea } from './process.ts';
import { refused } from './results.ts';

/** The operations on what DMA domains and processes map, whatever the IOMMU. */

/** Input addresses are numbers up to 2^53, larger ones bigints. */
export type Address = number | bigint;

/** A DMA domain as these operations see it. */
export interface PagingDomain {
  readonly name: string;
  /** Bytes unmapped whose flush waits. */
  readonly queued: number;
}

/** A guest's kernel as these operations see it. */
export interface AddressSpaces<D extends PagingDomain, P extends ProcessMemory> {
  readonly cpu: Cpu;
  /** An operation starts: errors from now on are its own. */
  begin(): void;
  result(text: string): OpResult;
  /** '' or why nothing can be done yet. */
  notReady(): string;
  domains(): readonly D[];
  process(name: string): P | undefined;
  /** The domain of that name, made when there is none. @returns why there is none */
  domain(name: string): D | string;
  /** @returns '0' or the kernel's error; on an error nothing of the call stays mapped */
  map(d: D, m: Mapping): Op<string>;
  /** @returns bytes removed */
  unmap(d: D, iova: number, size: number, flush: FlushMode): Op<number>;
  flushQueue(d: D): Op<void>;
  notify(p: P): Notify;
}

interface MapRequest {
  domain: string;
  iova: Address;
  gpa: Address;
  size: number;
  perm?: Perm;
  present?: boolean;
}

export function* mapMemory<D extends PagingDomain, P extends ProcessMemory>(
  s: AddressSpaces<D, P>,
  o: MapRequest,
): Op<OpResult> {
  const no = s.notReady();
  if (no) return refused(no, 'ENODEV');
  const process = s.process(o.domain);
  const domain = process ? '' : s.domain(o.domain);
  if (!process && typeof domain === 'string') return refused(domain, 'ENODEV');
  s.begin();
  const m = { iova: Number(o.iova), gpa: Number(o.gpa), size: o.size, perm: o.perm ?? 'rw' };
  const text = `${sizeText(o.size)} at ${hexPlain(o.iova)}`;
  let errno: string;
  if (process) errno = yield* mapArea(s.cpu, process, m, o.present ?? true);
  else if (o.present === false) return refused(`${o.domain} is a DMA domain: its pages are there or not`, 'EINVAL');
  else errno = yield* s.map(domain as D, m);
  if (errno !== '0') return { ok: false, errno, text: `map of ${text} fails: ${errno}` };
  return s.result(`${o.domain}: ${text} → ${hexPlain(o.gpa)}${o.present === false ? ', at the first fault' : ''}`);
}

export function* unmapMemory<D extends PagingDomain, P extends ProcessMemory>(
  s: AddressSpaces<D, P>,
  o: { domain: string; iova: Address; size: number; flush?: FlushMode },
): Op<OpResult> {
  const no = s.notReady();
  if (no) return refused(no, 'ENODEV');
  // Nothing is made only to take something out of it.
  const process = s.process(o.domain);
  const domain = s.domains().find((d) => d.name === o.domain);
  if (!process && !domain) return refused(`no domain or process is named ${o.domain}`, 'ENODEV');
  s.begin();
  const flush = o.flush ?? 'strict';
  const at = hexPlain(o.iova);
  if (process) {
    if (flush === 'queued')
      return refused('the memory of a process has no flush queue: devices are told at once', 'EINVAL');
    const notify = flush === 'strict' ? s.notify(process) : null;
    const bytes = yield* unmapArea(s.cpu, process, Number(o.iova), o.size, notify);
    if (bytes < 0) return refused(`munmap of ${sizeText(o.size)} at ${at}: EINVAL`, 'EINVAL');
    return { ...s.result(`${process.name}: ${sizeText(bytes)} at ${at} unmapped`), out: { unmapped: bytes } };
  }
  const done = yield* s.unmap(domain!, Number(o.iova), o.size, flush);
  const text = `${domain!.name}: ${sizeText(done)} at ${at} unmapped`;
  const r = s.result(done === o.size ? text : `${text}, ${sizeText(o.size)} asked`);
  return { ...r, ok: r.ok && done === o.size, out: { unmapped: done } };
}

/** Empties the flush queue of one domain, or of all that have something in it. */
export function* flushDomains<D extends PagingDomain, P extends ProcessMemory>(
  s: AddressSpaces<D, P>,
  o: { domain?: string },
): Op<OpResult> {
  s.begin();
  const chosen = s.domains().filter((d) => (o.domain === undefined ? d.queued > 0 : d.name === o.domain));
  if (o.domain !== undefined && chosen.length === 0) return refused(`no DMA domain is named ${o.domain}`, 'ENODEV');
  for (const d of chosen) yield* s.flushQueue(d);
  const names = chosen.map((d) => d.name).join(', ');
  return s.result(names ? `flush queue of ${names} emptied` : 'nothing waits in a flush queue');
}
