import type { Op } from '../machine/index.ts';
import { pause } from '../machine/index.ts';
import {
  allocateZeroed,
  type Cpu,
  freeTables,
  makePte,
  pteAddress,
  show,
  tableSpan,
  unlinkTable,
} from './cpu-table.ts';
import { cutMappings, type Mapping } from './mappings.ts';
import { isOutOfPages } from './results.ts';

/** The address space of a process: what mmap, munmap, a page fault and exit do to its page table, and when devices are told. */

/** A process that devices share the address space of (struct mm_struct with its iommu_mm). */
export interface ProcessMemory {
  readonly name: string;
  /** Page global directory in guest memory. */
  readonly pgd: number;
  /** One PASID for all devices, from its first bind to its exit; 0 before that. */
  pasid: number;
  exited: boolean;
  /** Virtual memory areas, ascending: what a fault may fill in. */
  areas: Mapping[];
}

/** Devices that share the memory are told of [from, to) (the mmu notifier after the CPUs' own flush). */
export type Notify = (from: number, to: number) => Op<void>;

export const newMemory = (c: Cpu, name: string): ProcessMemory => ({
  name,
  pgd: allocateZeroed(c, c.format.rootBytes),
  pasid: 0,
  exited: false,
  areas: [],
});

/**
 * mmap at a fixed address without replacing: the area, and with `present` its pages too (MAP_POPULATE). Nothing is
 * invalidated, since what was not there cannot be cached.
 * @returns '0' or the kernel's error
 */
export function* mapArea(c: Cpu, p: ProcessMemory, a: Mapping, present: boolean): Op<string> {
  if (p.exited) return 'ESRCH';
  const { page, taskSize, outputBits } = c.format;
  if (a.iova % page || a.gpa % page || a.size % page || a.size <= 0 || a.iova < 0 || a.gpa < 0) return 'EINVAL';
  if (a.iova + a.size > taskSize || a.gpa + a.size > 2 ** outputBits) return 'ENOMEM';
  if (p.areas.some((x) => a.iova < x.iova + x.size && x.iova < a.iova + a.size)) return 'EEXIST';
  p.areas = [...p.areas, a].sort((x, y) => x.iova - y.iova);
  if (present) yield* populate(c, p, a);
  return '0';
}

/** Writes the pages of an area, a table at a time. */
function* populate(c: Cpu, p: ProcessMemory, a: Mapping): Op<void> {
  const { page } = c.format;
  const span = tableSpan(c.format);
  for (let at = a.iova; at < a.iova + a.size; ) {
    const end = Math.min(a.iova + a.size, at - (at % span) + span);
    const slot = yield* makePte(c, p, at);
    const words: bigint[] = [];
    const count = (end - at) / page;
    for (let i = 0; i < count; i++) {
      const word = c.format.pageWord(a.gpa + (at - a.iova) + i * page, a.perm.includes('w') ? 'dirty' : 'read');
      c.memory.writeWord(slot + i * 8, word);
      if (i < 4) words.push(word);
    }
    show(c, p, slot, words, 'page', `${count} page${count > 1 ? 's' : ''} at 0x${at.toString(16)}`);
    yield pause('guest', 'table.write');
    at = end;
  }
}

/**
 * munmap: the areas go, then the entries, then tables of pages that cover no area any more; devices are told once for all
 * of it (tlb_flush, and from it the mmu notifier), and only then pages are given back.
 * @param notify null: nobody is told
 * @returns bytes of areas that were there; -1 for a bad range (EINVAL)
 */
export function* unmapArea(c: Cpu, p: ProcessMemory, va: number, size: number, notify: Notify | null): Op<number> {
  const { page, taskSize } = c.format;
  if (va < 0 || va % page || size % page || size <= 0 || va + size > taskSize) return -1;
  const end = va + size;
  const gone = p.areas.filter((a) => a.iova < end && a.iova + a.size > va);
  p.areas = cutMappings(p.areas, va, end);
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  let bytes = 0;
  const span = tableSpan(c.format);
  for (const a of gone) {
    const to = Math.min(a.iova + a.size, end);
    for (let at = Math.max(a.iova, va); at < to; ) {
      const piece = Math.min(to, at - (at % span) + span);
      bytes += piece - at;
      const cleared = yield* clearPages(c, p, at, piece);
      first = Math.min(first, cleared.first);
      last = Math.max(last, cleared.last);
      at = piece;
    }
  }
  const freed: number[] = [];
  for (let base = va - (va % span); base < end; base += span) {
    if (gone.every((a) => a.iova + a.size <= base || a.iova >= base + span)) continue;
    if (p.areas.some((a) => a.iova < base + span && a.iova + a.size > base)) continue;
    const table = yield* unlinkTable(c, p, base);
    if (table === null) continue;
    freed.push(table);
    first = Math.min(first, base);
    last = Math.max(last, base + page);
  }
  if (notify && last >= 0) yield* notify(first, last);
  for (const table of freed) c.pages.release(table, page);
  return bytes;
}

/** Clears what is present between two addresses under one table. `last` is the end of the last page, -1 when there was none. */
function* clearPages(c: Cpu, p: ProcessMemory, from: number, to: number): Op<{ first: number; last: number }> {
  const { page } = c.format;
  const slot = pteAddress(c, p, from);
  let first = Number.POSITIVE_INFINITY;
  let last = -1;
  let count = 0;
  for (let i = 0; slot !== null && from + i * page < to; i++) {
    if ((c.memory.readWord(slot + i * 8) & 1n) === 0n) continue;
    c.memory.writeWord(slot + i * 8, 0n);
    count++;
    first = Math.min(first, from + i * page);
    last = from + (i + 1) * page;
  }
  if (slot !== null && count > 0) {
    const words = new Array<bigint>(Math.min(count, 4)).fill(0n);
    const at = slot + ((first - from) / page) * 8;
    show(c, p, at, words, 'page', `${count} page${count > 1 ? 's' : ''} at 0x${first.toString(16)} cleared`);
    yield pause('guest', 'table.write');
  }
  return { first, last };
}

/**
 * handle_mm_fault for a device's access (iommu_sva_handle_mm): makes the page, or makes a clean one writable.
 * @returns false when no area allows the access or the process is exiting
 */
export function* fault(
  c: Cpu,
  p: ProcessMemory,
  va: number,
  access: { write: boolean; exec: boolean },
  notify: Notify,
): Op<boolean> {
  const f = c.format;
  if (p.exited || va >= f.taskSize) return false;
  const area = p.areas.find((a) => va >= a.iova && va < a.iova + a.size);
  if (!area || access.exec) return false;
  if (access.write ? !area.perm.includes('w') : !area.perm.includes('r')) return false;
  const page = va - (va % f.page);
  const slot = yield* pteOrNull(c, p, page);
  if (slot === null) return false;
  const old = c.memory.readWord(slot);
  if ((old & 1n) === 0n) {
    const state = access.write ? 'dirty' : area.perm.includes('w') ? 'clean' : 'read';
    const word = f.pageWord(area.gpa + (page - area.iova), state);
    c.memory.writeWord(slot, word);
    show(c, p, slot, [word], 'page', `page at 0x${page.toString(16)} faulted in`);
    yield pause('guest', 'table.write');
  } else if (access.write && !f.isWritable(old) && f.mayBecomeDirty(old)) {
    const word = f.madeDirty(old);
    c.memory.writeWord(slot, word);
    show(c, p, slot, [word], 'page', `page at 0x${page.toString(16)} made dirty`);
    yield pause('guest', 'table.write');
    // ptep_set_access_flags: a read-only entry may be cached.
    yield* notify(page, page + f.page);
  }
  return true;
}

/** The entry's place; null when there is no page for a table (VM_FAULT_OOM). */
function* pteOrNull(c: Cpu, p: ProcessMemory, va: number): Op<number | null> {
  try {
    return yield* makePte(c, p, va);
  } catch (e) {
    if (isOutOfPages(e)) return null;
    throw e;
  }
}

/** exit_mmap, after devices have been told: areas and tables go, the start table stays until the last unbind. */
export function freeMemory(c: Cpu, p: ProcessMemory): void {
  p.areas = [];
  freeTables(c, p);
}

/** iommu_alloc_global_pasid: the lowest PASID that is not in use and below `maxPasids`; 0 when there is none. */
export function freePasid(inUse: readonly number[], maxPasids: number): number {
  const used = new Set(inUse);
  for (let pasid = 1; pasid < maxPasids; pasid++) if (!used.has(pasid)) return pasid;
  return 0;
}
