import type { CpuFormat } from './cpu-table.ts';

/**
 * A process's page table as x86-64 Linux keeps it for its CPUs (arch/x86/include/asm/pgtable_types.h): pages of 4 KiB, four
 * levels, lower half.
 */

/** _PAGE_TABLE: P, R/W, U/S, A, D. */
const TABLE = 0x67n;
/** PAGE_READONLY and PAGE_SHARED: P, U/S, A, XD, and R/W. */
const READONLY = (1n << 63n) | 0x25n;
const SHARED = (1n << 63n) | 0x27n;
const WRITABLE = 1n << 1n;
const DIRTY = 1n << 6n;
/** The first address above user space: the last page below 2^47 is left out (TASK_SIZE_MAX). */
const TASK_SIZE = 2 ** 47 - 4096;

/** A clean page of writable shared memory may be written at once: hardware sets D by itself. */
const words = { read: READONLY, clean: SHARED, dirty: SHARED | DIRTY } as const;

export const x86CpuFormat: CpuFormat = {
  page: 4096,
  rootBytes: 4096,
  rootEntries: 512,
  entries: 512,
  shifts: [39, 30, 21, 12],
  levels: [4, 3, 2, 1],
  taskSize: TASK_SIZE,
  outputBits: 52,
  address: 0xffffffffff000n,
  isTable: (word) => (word & 0x81n) === 1n,
  tableWord: (table) => BigInt(table) | TABLE,
  pageWord: (gpa, state) => BigInt(gpa) | words[state],
  isWritable: (word) => (word & (WRITABLE | 1n)) === (WRITABLE | 1n),
  // Nothing tells a write-protected page from a read-only one but its area, which the fault handler has looked at.
  mayBecomeDirty: () => true,
  madeDirty: (word) => word | WRITABLE | DIRTY,
  layouts: { table: 'x86.table', page: 'x86.page' },
};
