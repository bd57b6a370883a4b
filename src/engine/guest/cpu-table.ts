import { type Op, pause } from '../machine/index.ts';
import type { Bus, PageAllocator } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';

/** A process's page table as its CPUs use it: a tree of tables with pages of one size at the bottom. */

/** How one kind of CPU writes it. */
export interface CpuFormat {
  /** Bytes of a page and of a table below the start table. */
  readonly page: number;
  readonly rootBytes: number;
  readonly rootEntries: number;
  /** Entries of every other table. */
  readonly entries: number;
  /** log2 of the bytes that an entry covers, the start table's first, a page's last. */
  readonly shifts: readonly number[];
  /** The specification's number of each of these levels. */
  readonly levels: readonly number[];
  /** First address above user space. */
  readonly taskSize: number;
  /** log2 of the physical address space. */
  readonly outputBits: number;
  /** Address field of an entry. */
  readonly address: bigint;
  isTable(word: bigint): boolean;
  tableWord(table: number): bigint;
  /** A page that is read-only, writable but clean, or dirty. */
  pageWord(gpa: number, state: 'read' | 'clean' | 'dirty'): bigint;
  /** True when a device may write through the entry. */
  isWritable(word: bigint): boolean;
  /** True when the CPU's fault handler may make it so without asking anybody. */
  mayBecomeDirty(word: bigint): boolean;
  madeDirty(word: bigint): bigint;
  /** Layout ids. */
  readonly layouts: { readonly table: string; readonly page: string };
}

/** What is needed to work on the tables of a guest's processes. */
export interface Cpu {
  readonly memory: Bus;
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly format: CpuFormat;
  /** Scene id of a process's page table. */
  tableId(process: string): string;
}

/** What has such a table: its name and its start table in guest memory. */
interface Owner {
  readonly name: string;
  readonly pgd: number;
}

/** Pages from the guest's allocator with every word zero (get_zeroed_page). */
export function allocateZeroed(c: Pick<Cpu, 'memory' | 'pages'>, size: number): number {
  const at = c.pages.alloc(size);
  for (let a = at; a < at + size; a += 4) if (c.memory.read32(a) !== 0) c.memory.write32(a, 0);
  return at;
}

const entriesOf = (f: CpuFormat, depth: number): number => (depth === 0 ? f.rootEntries : f.entries);
const indexOf = (f: CpuFormat, va: number, depth: number): number =>
  Math.floor(va / 2 ** f.shifts[depth]!) % entriesOf(f, depth);
const addressOf = (f: CpuFormat, word: bigint): number => Number(word & f.address);
const bottomOf = (f: CpuFormat): number => f.shifts.length - 1;

/** Bytes that one table of pages covers. */
export const tableSpan = (f: CpuFormat): number => 2 ** f.shifts[f.shifts.length - 2]!;

/** Address of the entry at `depth` below the start table that covers `va`, null where a table on the way is missing. */
function entryAddress(c: Cpu, p: Owner, va: number, depth: number): number | null {
  let table = p.pgd;
  for (let d = 0; d < depth; d++) {
    const word = c.memory.readWord(table + indexOf(c.format, va, d) * 8);
    if (!c.format.isTable(word)) return null;
    table = addressOf(c.format, word);
  }
  return table + indexOf(c.format, va, depth) * 8;
}

/** Address of a page's entry, null where there is no table for it. */
export const pteAddress = (c: Cpu, p: Owner, va: number): number | null => entryAddress(c, p, va, bottomOf(c.format));

/** The same, after making the tables that are missing (__pte_alloc and the levels above it). */
export function* makePte(c: Cpu, p: Owner, va: number): Op<number> {
  const f = c.format;
  let table = p.pgd;
  for (let d = 0; d < bottomOf(f); d++) {
    const at = table + indexOf(f, va, d) * 8;
    let word = c.memory.readWord(at);
    if (!f.isTable(word)) {
      word = f.tableWord(allocateZeroed(c, f.page));
      c.memory.writeWord(at, word);
      const base = va - (va % 2 ** f.shifts[d]!);
      show(c, p, at, [word], 'table', `level ${f.levels[d]} table for 0x${base.toString(16)}`);
      yield pause('guest', 'table.write');
    }
    table = addressOf(f, word);
  }
  return table + indexOf(f, va, bottomOf(f)) * 8;
}

/** Unlinks the table of pages that covers `va`. @returns its page, which may still be walked until it is invalidated; or null */
export function* unlinkTable(c: Cpu, p: Owner, va: number): Op<number | null> {
  const f = c.format;
  const depth = bottomOf(f) - 1;
  const at = entryAddress(c, p, va, depth);
  if (at === null) return null;
  const word = c.memory.readWord(at);
  if (!f.isTable(word)) return null;
  c.memory.writeWord(at, 0n);
  const base = va - (va % tableSpan(f));
  show(c, p, at, [0n], 'table', `level ${f.levels[depth]} table for 0x${base.toString(16)} unlinked`);
  yield pause('guest', 'table.write');
  return addressOf(f, word);
}

/** Gives back all tables under the start table (free_pgtables of exit_mmap); the start table stays, empty. */
export function freeTables(c: Cpu, p: Owner): void {
  const f = c.format;
  const free = (table: number, depth: number): void => {
    if (depth < bottomOf(f))
      for (let i = 0; i < entriesOf(f, depth); i++) {
        const word = c.memory.readWord(table + i * 8);
        if (!f.isTable(word)) continue;
        const next = addressOf(f, word);
        // A table may have been overwritten with anything.
        if (c.pages.has(next)) free(next, depth + 1);
      }
    if (depth > 0) c.pages.release(table, f.page);
    else for (let i = 0; i < f.rootEntries; i++) c.memory.writeWord(table + i * 8, 0n);
  };
  free(p.pgd, 0);
}

/** Shows entries written one after the other; `words` are the first few. */
export function show(
  c: Cpu,
  p: Owner,
  address: number,
  words: readonly bigint[],
  what: 'table' | 'page',
  text: string,
): void {
  c.trace.listener?.({
    kind: 'table.write',
    actor: 'guest',
    at: c.tableId(p.name),
    space: 'guest',
    address,
    words,
    layout: c.format.layouts[what],
    text: `${p.name}: ${text}`,
  });
}
