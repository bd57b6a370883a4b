import { type Op, pause } from '../../machine/index.ts';
import { type TableGeometry, tableGeometry } from '../../pagetable/vmsav8-table.ts';
import { tableId } from './ids.ts';
import { allocateZeroed } from './pages.ts';
import type { Kernel, Process } from './state.ts';

/**
 * A process's page table as arm64 Linux keeps it for its CPUs (arch/arm64/include/asm/pgtable*.h): pages of the kernel's
 * PAGE_SIZE only, 48-bit addresses, lower half.
 */

/** PTE_TYPE_PAGE, PTE_USER, SH inner, AF, nG; AttrIndx 0 is write-back. */
const PAGE = 0xf43n;
const RDONLY = 1n << 7n;
/** PXN and UXN. */
const NO_EXEC = 3n << 53n;
/** PTE_WRITE, which is DBM: the page may be written, RDONLY only says that it is clean. */
const WRITE = 1n << 51n;
/** PTE_DIRTY, for software. */
const DIRTY = 1n << 55n;
/** A table of a process: PXNTable, and AF as for FEAT_HAFT. */
const TABLE = (1n << 59n) | (1n << 10n) | 3n;
const ADDRESS = 0xfffffffff000n;

export const geometryOf = (k: Kernel): TableGeometry =>
  tableGeometry({ stage: 1, inputBits: 48, outputBits: 48, granule: k.page });

/** The descriptor of a page: read-only, writable but clean, or dirty. */
export const pageWord = (gpa: number, state: 'read' | 'clean' | 'dirty'): bigint => {
  const base = BigInt(gpa) | PAGE | NO_EXEC;
  if (state === 'read') return base | RDONLY;
  return state === 'clean' ? base | WRITE | RDONLY : base | WRITE | DIRTY;
};

/** True when a device may write through the descriptor. */
export const isWritable = (word: bigint): boolean => (word & 1n) === 1n && (word & RDONLY) === 0n;
/** True when the CPU's fault handler may make it so without asking anybody. */
export const mayBecomeDirty = (word: bigint): boolean => (word & WRITE) !== 0n;
export const madeDirty = (word: bigint): bigint => (word | DIRTY) & ~RDONLY;

const shift = (g: TableGeometry, level: number): number => g.granuleLg2 + (3 - level) * g.bitsPerLevel;
const index = (g: TableGeometry, va: number, level: number): number => {
  const entries = level === g.startLevel ? g.rootEntries : 2 ** g.bitsPerLevel;
  return Math.floor(va / 2 ** shift(g, level)) % entries;
};

/** Bytes that one table of pages covers. */
export const tableSpan = (g: TableGeometry): number => 2 ** shift(g, 2);

/** Address of the last-level descriptor of a page, null where there is no table for it. */
export function pteAddress(k: Kernel, p: Process, va: number): number | null {
  const g = geometryOf(k);
  let table = p.pgd;
  for (let l = g.startLevel; l < 3; l++) {
    const word = k.memory.readWord(table + index(g, va, l) * 8);
    if ((word & 3n) !== 3n) return null;
    table = Number(word & ADDRESS & ~BigInt(g.granule - 1));
  }
  return table + index(g, va, 3) * 8;
}

/** The same, after making the tables that are missing (__pte_alloc and the levels above it). */
export function* makePte(k: Kernel, p: Process, va: number): Op<number> {
  const g = geometryOf(k);
  let table = p.pgd;
  for (let l = g.startLevel; l < 3; l++) {
    const at = table + index(g, va, l) * 8;
    let word = k.memory.readWord(at);
    if ((word & 3n) !== 3n) {
      word = BigInt(allocateZeroed(k, g.granule)) | TABLE;
      k.memory.writeWord(at, word);
      const base = va - (va % 2 ** shift(g, l));
      show(k, p, at, [word], 'table', `level ${l} table for 0x${base.toString(16)}`);
      yield pause('guest', 'table.write');
    }
    table = Number(word & ADDRESS & ~BigInt(g.granule - 1));
  }
  return table + index(g, va, 3) * 8;
}

/** Unlinks the table of pages that covers `va`. @returns its page, which may still be walked until it is invalidated; or null */
export function* unlinkTable(k: Kernel, p: Process, va: number): Op<number | null> {
  const g = geometryOf(k);
  let table = p.pgd;
  for (let l = g.startLevel; l < 2; l++) {
    const word = k.memory.readWord(table + index(g, va, l) * 8);
    if ((word & 3n) !== 3n) return null;
    table = Number(word & ADDRESS & ~BigInt(g.granule - 1));
  }
  const at = table + index(g, va, 2) * 8;
  const word = k.memory.readWord(at);
  if ((word & 3n) !== 3n) return null;
  k.memory.writeWord(at, 0n);
  show(k, p, at, [0n], 'table', `level 2 table for 0x${(va - (va % tableSpan(g))).toString(16)} unlinked`);
  yield pause('guest', 'table.write');
  return Number(word & ADDRESS & ~BigInt(g.granule - 1));
}

/** Gives back all tables under the start table (free_pgtables of exit_mmap); the start table stays until the last unbind. */
export function freeTables(k: Kernel, p: Process): void {
  const g = geometryOf(k);
  const free = (table: number, level: number): void => {
    const entries = level === g.startLevel ? g.rootEntries : 2 ** g.bitsPerLevel;
    if (level < 3)
      for (let i = 0; i < entries; i++) {
        const word = k.memory.readWord(table + i * 8);
        if ((word & 3n) !== 3n) continue;
        const next = Number(word & ADDRESS & ~BigInt(g.granule - 1));
        // A table may have been overwritten with anything.
        if (k.pages.has(next)) free(next, level + 1);
      }
    if (level === g.startLevel) for (let i = 0; i < entries; i++) k.memory.writeWord(table + i * 8, 0n);
    else k.pages.release(table, g.granule);
  };
  free(p.pgd, g.startLevel);
}

export const pgdBytes = (k: Kernel): number => k.page;

/** Shows descriptors written one after the other; `words` are the first few. */
export function show(
  k: Kernel,
  p: Process,
  address: number,
  words: readonly bigint[],
  what: 'table' | 'page',
  text: string,
): void {
  k.trace.listener?.({
    kind: 'table.write',
    actor: 'guest',
    at: tableId(k.scope, p.name),
    space: 'guest',
    address,
    words,
    layout: `vmsav8.s1.${what}`,
    text: `${p.name}: ${text}`,
  });
}
