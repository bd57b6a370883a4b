import { hex } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { Prot, sizeText, type TableFlush, type TableStep, type TableWrite } from '../../pagetable/vmsav8-table.ts';
import { submit } from './queue.ts';
import type { Invalidated } from './range.ts';
import { type Domain, type Guest, type Mapping, mastersOf, type Perm } from './state.ts';

/** How an unmap is flushed: at once, later by the flush queue, or never (a driver that forgets). */
export type FlushMode = 'strict' | 'queued' | 'none';

const PAGE = 4096;
/** log2 of the smallest page: the guest's kernel uses the 4 KiB granule. */
const PAGE_LG2 = 12;

/**
 * iommu_map: writes the leaves, largest first that fit, and tables where there are none. No command follows, since invalid
 * descriptors are never cached; only a block that replaces a table flushes it first.
 * @returns '0' or the kernel's error name; on an error nothing of the call stays mapped
 */
export function* map(g: Guest, d: Domain, m: Mapping): Op<string> {
  if (m.iova % PAGE || m.gpa % PAGE || m.size % PAGE) return 'EINVAL';
  if (m.iova < 0 || m.gpa < 0 || m.size <= 0) return 'EINVAL';
  const it = g.table(d).map(m.iova, m.gpa, m.size, protOf(m.perm));
  const { errno } = yield* run(g, d, it, 'strict');
  if (errno === '0') d.mappings = insert(d.mappings, m);
  return errno;
}

/** The DMA layer of a coherent device asks for write-back memory. Stage 1 has no write-only: it becomes read-write. */
const protOf = (perm: Perm): number =>
  (perm.includes('r') ? Prot.read : 0) | (perm.includes('w') ? Prot.write : 0) | Prot.cache;

/**
 * iommu_unmap with the flush of arm-smmuv3.md 7.4.
 * @returns bytes removed: less than asked where a hole or a part of a block stops it
 */
export function* unmap(g: Guest, d: Domain, iova: number, size: number, flush: FlushMode): Op<number> {
  if (iova < 0 || iova % PAGE || size % PAGE || size <= 0) return 0;
  const done = yield* run(g, d, g.table(d).unmap(iova, size, flush !== 'strict'), flush);
  d.mappings = cut(d.mappings, iova, iova + done);
  if (flush === 'queued') d.queued += done;
  return done;
}

/** Empties the domain's flush queue (arm_smmu_flush_iotlb_all through dma-iommu): the whole ASID, then the whole ATCs. */
export function* flushQueue(g: Guest, d: Domain): Op<void> {
  d.queued = 0;
  const masters = mastersOf(g, d.name);
  if (masters.length === 0) return;
  yield* submit(g, g.rules.flushQueueTlbi(d.asid));
  const ats = masters.filter((m) => m.atsEnabled).map((m) => m.vsid);
  if (ats.length) yield* submit(g, g.rules.flushQueueAtc(ats));
}

/** Runs a table change to its end: shows what it writes, sends what it asks for before it goes on. */
function* run<T>(g: Guest, d: Domain, it: Generator<TableStep, T, void>, flush: FlushMode): Op<T> {
  let r = it.next();
  for (; !r.done; r = it.next()) {
    if (r.value.kind === 'write') {
      emitWrite(g, d, r.value);
      yield pause('guest', 'table.write');
    } else if (flush !== 'none') yield* invalidate(g, d, r.value);
  }
  return r.value;
}

/**
 * arm_smmu_domain_inv_range: TLBI and CMD_SYNC, then ATC_INV for each stream with ATS and CMD_SYNC. A domain without
 * devices has nothing in any cache, so nothing is sent.
 */
function* invalidate(g: Guest, d: Domain, r: TableFlush): Op<void> {
  const masters = mastersOf(g, d.name);
  if (masters.length === 0) return;
  const range: Invalidated = { iova: r.iova, size: r.size, granule: r.granule };
  const f = { ...range, asid: d.asid, page: PAGE_LG2, ril: g.state.features?.ril ?? false };
  const tlbi = r.kind === 'leaf' ? g.rules.unmapTlbi(f) : g.rules.walkTlbi(f);
  const ats = masters.filter((m) => m.atsEnabled).map((m) => m.vsid);
  const atc = ats.length ? g.rules.unmapAtc(ats, range) : [];
  for (const batch of g.rules.flushOrder(tlbi, atc)) yield* submit(g, batch);
}

function emitWrite(g: Guest, d: Domain, w: TableWrite): void {
  g.trace.listener?.({
    kind: 'table.write',
    actor: 'guest',
    at: `guest.s1.${d.name}`,
    space: 'guest',
    address: w.address,
    words: w.words,
    layout: w.layout,
    text: `S1 ${writeText(w)}`,
  });
}

/** `L3[16] = 0x...f47: 0x1_0000 → 0x4020_0000` */
function writeText(w: TableWrite): string {
  const index = (w.address % PAGE) / 8;
  const slot = `L${w.level}[${w.count > 1 ? `${index}..${index + w.count - 1}` : index}]`;
  const word = w.words[0] ?? 0n;
  if (word === 0n) return `${slot} = 0: ${w.text}`;
  const target = word & 0xfffffffff000n & ~BigInt(w.leaf ? w.size - 1 : 0);
  const many = w.count > 1 ? `${w.count} x ${sizeText(w.size)} ` : '';
  return w.leaf
    ? `${slot} = ${hex(word)}: ${many}${hex(w.iova)} → ${hex(target)}`
    : `${slot} = ${hex(word)}: table for ${hex(w.iova)} at ${hex(target)}`;
}

function insert(list: readonly Mapping[], m: Mapping): Mapping[] {
  return [...list, m].sort((a, b) => a.iova - b.iova);
}

/** The mappings without [from, to). */
function cut(list: readonly Mapping[], from: number, to: number): Mapping[] {
  return list.flatMap((m) => {
    const end = m.iova + m.size;
    if (end <= from || m.iova >= to) return [m];
    const rest: Mapping[] = [];
    if (m.iova < from) rest.push({ ...m, size: from - m.iova });
    if (end > to) rest.push({ ...m, iova: to, gpa: m.gpa + (to - m.iova), size: end - to });
    return rest;
  });
}
