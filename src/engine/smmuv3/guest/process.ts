import type { Op } from '../../machine/index.ts';
import { pause } from '../../machine/index.ts';
import { noCd, processCd, writeCd } from './cd-table.ts';
import { invalidateExited, invalidateProcess } from './invalidate.ts';
import { allocateZeroed } from './pages.ts';
import {
  freeTables,
  geometryOf,
  isWritable,
  madeDirty,
  makePte,
  mayBecomeDirty,
  pageWord,
  pgdBytes,
  pteAddress,
  show,
  tableSpan,
  unlinkTable,
} from './process-table.ts';
import type { Kernel, Mapping, Process } from './state.ts';

/** The address space of a process: what mmap, munmap, a page fault and exit do to its page table, and what devices are told. */

/** First address above user space with 48-bit addresses. */
const TASK_SIZE = 2 ** 48;
/** From more pages than this on, arm64 drops the whole ASID (MAX_TLBI_RANGE_PAGES of CPUs with range invalidation). */
const MAX_FLUSH_PAGES = 2 ** 21;

export function newProcess(k: Kernel, name: string): Process {
  const p: Process = { name, pgd: allocateZeroed(k, pgdBytes(k)), pasid: 0, exited: false, areas: [], spaces: [] };
  k.state.processes.push(p);
  return p;
}

/**
 * mmap at a fixed address without replacing: the area, and with `present` its pages too (MAP_POPULATE). Nothing is
 * invalidated, since what was not there cannot be cached.
 * @returns '0' or the kernel's error
 */
export function* mapArea(k: Kernel, p: Process, a: Mapping, present: boolean): Op<string> {
  if (p.exited) return 'ESRCH';
  if (a.iova % k.page || a.gpa % k.page || a.size % k.page || a.size <= 0 || a.iova < 0 || a.gpa < 0) return 'EINVAL';
  if (a.iova + a.size > TASK_SIZE || a.gpa + a.size > 2 ** 48) return 'ENOMEM';
  if (p.areas.some((x) => a.iova < x.iova + x.size && x.iova < a.iova + a.size)) return 'EEXIST';
  p.areas = [...p.areas, a].sort((x, y) => x.iova - y.iova);
  if (present) yield* populate(k, p, a);
  return '0';
}

/** Writes the pages of an area, a table at a time. */
function* populate(k: Kernel, p: Process, a: Mapping): Op<void> {
  const span = tableSpan(geometryOf(k));
  for (let at = a.iova; at < a.iova + a.size; ) {
    const end = Math.min(a.iova + a.size, at - (at % span) + span);
    const slot = yield* makePte(k, p, at);
    const words: bigint[] = [];
    const count = (end - at) / k.page;
    for (let i = 0; i < count; i++) {
      const word = pageWord(a.gpa + (at - a.iova) + i * k.page, a.perm.includes('w') ? 'dirty' : 'read');
      k.memory.writeWord(slot + i * 8, word);
      if (i < 4) words.push(word);
    }
    show(k, p, slot, words, 'page', `${count} page${count > 1 ? 's' : ''} at 0x${at.toString(16)}`);
    yield pause('guest', 'table.write');
    at = end;
  }
}

/**
 * munmap: the areas go, then the descriptors, then tables of pages that cover no area any more; devices are told once for all
 * of it (tlb_flush, and from it the mmu notifier), and only then pages are given back.
 * @returns bytes of areas that were there; -1 for a bad range (EINVAL)
 */
export function* unmapArea(k: Kernel, p: Process, va: number, size: number, flush = true): Op<number> {
  if (va < 0 || va % k.page || size % k.page || size <= 0 || va + size > TASK_SIZE) return -1;
  const end = va + size;
  const gone = p.areas.filter((a) => a.iova < end && a.iova + a.size > va);
  p.areas = cutMappings(p.areas, va, end);
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  let bytes = 0;
  const span = tableSpan(geometryOf(k));
  for (const a of gone) {
    const to = Math.min(a.iova + a.size, end);
    for (let at = Math.max(a.iova, va); at < to; ) {
      const piece = Math.min(to, at - (at % span) + span);
      bytes += piece - at;
      const cleared = yield* clearPages(k, p, at, piece);
      first = Math.min(first, cleared.first);
      last = Math.max(last, cleared.last);
      at = piece;
    }
  }
  const freed: number[] = [];
  for (let base = va - (va % span); base < end; base += span) {
    if (gone.every((a) => a.iova + a.size <= base || a.iova >= base + span)) continue;
    if (p.areas.some((a) => a.iova < base + span && a.iova + a.size > base)) continue;
    const page = yield* unlinkTable(k, p, base);
    if (page === null) continue;
    freed.push(page);
    first = Math.min(first, base);
    last = Math.max(last, base + k.page);
  }
  if (flush && last >= 0) yield* notify(k, p, first, last);
  for (const page of freed) k.pages.release(page, k.page);
  return bytes;
}

/** Clears what is present between two addresses under one table. `last` is the end of the last page, -1 when there was none. */
function* clearPages(k: Kernel, p: Process, from: number, to: number): Op<{ first: number; last: number }> {
  const slot = pteAddress(k, p, from);
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  let count = 0;
  for (let i = 0; slot !== null && from + i * k.page < to; i++) {
    if ((k.memory.readWord(slot + i * 8) & 1n) === 0n) continue;
    k.memory.writeWord(slot + i * 8, 0n);
    count++;
    first = Math.min(first, from + i * k.page);
    last = from + (i + 1) * k.page;
  }
  if (slot !== null && count > 0) {
    const words = new Array<bigint>(Math.min(count, 4)).fill(0n);
    const at = slot + ((first - from) / k.page) * 8;
    show(k, p, at, words, 'page', `${count} page${count > 1 ? 's' : ''} at 0x${first.toString(16)} cleared`);
    yield pause('guest', 'table.write');
  }
  return { first, last };
}

/** __flush_tlb_range on the process's ASID, as devices see it: every SVA domain of it, the newest first. */
export function* notify(k: Kernel, p: Process, from: number, to: number): Op<void> {
  const all = (to - from) / k.page > MAX_FLUSH_PAGES;
  const r = { iova: all ? 0 : from, size: all ? 0 : to - from, granule: k.page };
  for (const s of [...p.spaces].reverse()) yield* invalidateProcess(k, s, r);
}

/**
 * handle_mm_fault for a device's access (iommu_sva_handle_mm): makes the page, or makes a clean one writable.
 * @returns false when no area allows the access or the process is exiting
 */
export function* fault(k: Kernel, p: Process, va: number, access: { write: boolean; exec: boolean }): Op<boolean> {
  if (p.exited || va >= TASK_SIZE) return false;
  const area = p.areas.find((a) => va >= a.iova && va < a.iova + a.size);
  if (!area || access.exec) return false;
  if (access.write ? !area.perm.includes('w') : !area.perm.includes('r')) return false;
  const page = va - (va % k.page);
  const slot = yield* makePte(k, p, page);
  const old = k.memory.readWord(slot);
  if ((old & 1n) === 0n) {
    const state = access.write ? 'dirty' : area.perm.includes('w') ? 'clean' : 'read';
    const word = pageWord(area.gpa + (page - area.iova), state);
    k.memory.writeWord(slot, word);
    show(k, p, slot, [word], 'page', `page at 0x${page.toString(16)} faulted in`);
    yield pause('guest', 'table.write');
  } else if (access.write && !isWritable(old) && mayBecomeDirty(old)) {
    const word = madeDirty(old);
    k.memory.writeWord(slot, word);
    show(k, p, slot, [word], 'page', `page at 0x${page.toString(16)} made dirty`);
    yield pause('guest', 'table.write');
    // ptep_set_access_flags: a read-only entry may be cached.
    yield* notify(k, p, page, page + k.page);
  }
  return true;
}

/**
 * exit_mmap while devices may be bound: the CDs become quiet, so that accesses of the devices abort without an event
 * (arm_smmu_mm_release); the ASID and the ATCs are emptied; then the page tables are freed.
 */
export function* exit(k: Kernel, p: Process): Op<void> {
  p.exited = true;
  for (const s of [...p.spaces].reverse()) {
    const u = k.units[s.unit];
    const form = k.rules.exitCd();
    for (const m of u?.state.masters ?? [])
      for (const a of m.pasids) {
        if (!u || a.kind !== 'process' || a.name !== p.name || !m.cdTable || form === 'keep') continue;
        const cd = form === 'quiet' ? processCd(u, m, s.asid, p, 'quiet') : noCd();
        yield* writeCd(u, m, m.cdTable, a.pasid, cd);
      }
    yield* invalidateExited(k, s);
  }
  p.areas = [];
  freeTables(k, p);
  release(k, p);
}

/** The last reference to an exited process's memory is gone: its start table and its PASID are free again (__mmdrop). */
export function release(k: Kernel, p: Process): void {
  if (!p.exited || p.spaces.length > 0) return;
  k.pages.release(p.pgd, pgdBytes(k));
  k.state.processes = k.state.processes.filter((x) => x !== p);
}

/** The mappings without [from, to). */
export function cutMappings(list: readonly Mapping[], from: number, to: number): Mapping[] {
  return list.flatMap((m) => {
    const end = m.iova + m.size;
    if (end <= from || m.iova >= to) return [m];
    const rest: Mapping[] = [];
    if (m.iova < from) rest.push({ ...m, size: from - m.iova });
    if (end > to) rest.push({ ...m, iova: to, gpa: m.gpa + (to - m.iova), size: end - to });
    return rest;
  });
}
