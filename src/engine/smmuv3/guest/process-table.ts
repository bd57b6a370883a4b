import type { Cpu, CpuFormat } from '../../guest/index.ts';
import { type Granule, tableGeometry } from '../../pagetable/vmsav8-table.ts';
import { tableId } from './ids.ts';
import type { Kernel } from './state.ts';

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

function pageWord(gpa: number, state: 'read' | 'clean' | 'dirty'): bigint {
  const base = BigInt(gpa) | PAGE | NO_EXEC;
  if (state === 'read') return base | RDONLY;
  return state === 'clean' ? base | WRITE | RDONLY : base | WRITE | DIRTY;
}

/** @param page PAGE_SIZE, which is the tables' granule too */
export function arm64Format(page: Granule): CpuFormat {
  const g = tableGeometry({ stage: 1, inputBits: 48, outputBits: 48, granule: page });
  const levels = [0, 1, 2, 3].filter((l) => l >= g.startLevel);
  return {
    page,
    rootBytes: page,
    rootEntries: g.rootEntries,
    entries: 2 ** g.bitsPerLevel,
    shifts: levels.map((l) => g.granuleLg2 + (3 - l) * g.bitsPerLevel),
    levels,
    taskSize: 2 ** 48,
    outputBits: 48,
    address: ADDRESS & ~BigInt(page - 1),
    isTable: (word) => (word & 3n) === 3n,
    tableWord: (table) => BigInt(table) | TABLE,
    pageWord,
    isWritable: (word) => (word & 1n) === 1n && (word & RDONLY) === 0n,
    mayBecomeDirty: (word) => (word & WRITE) !== 0n,
    madeDirty: (word) => (word | DIRTY) & ~RDONLY,
    layouts: { table: 'vmsav8.s1.table', page: 'vmsav8.s1.page' },
  };
}

/** The guest's CPUs as far as page tables of processes need them. */
export const cpuOf = (k: Kernel): Cpu => ({
  memory: k.memory,
  pages: k.pages,
  trace: k.trace,
  format: arm64Format(k.page),
  tableId: (process) => tableId(k.scope, process),
});
