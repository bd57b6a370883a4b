import type { Bus, PageAllocator } from '../memory/index.ts';
import { GenericTable, type TableFormat } from './generic-table.ts';

/**
 * First-stage tables as Linux writes them for VT-d, and for AMD's guest tables (drivers/iommu/generic_pt/fmt/x86_64.h): the
 * CPU's own format. P 0, R/W 1, U/S 2, A 5, D 6, PS 7, address 51:12. A and D are set beforehand, so that hardware need not.
 */

const PRESENT = 1;
const WRITABLE = 1 << 1;
const USER = 1 << 2;
const ACCESSED = 1 << 5;
const DIRTY = 1 << 6;
const LARGE = 1 << 7;
/** IOMMU_WRITE. Whatever is present can be read. */
const PROT_WRITE = 2;

export const x86Format: TableFormat = {
  prefix: 'x86',
  dirty: DIRTY,
  table: (address) => ({
    lo: ((address % 2 ** 32) | PRESENT | WRITABLE | USER | ACCESSED) >>> 0,
    hi: Math.floor(address / 2 ** 32),
  }),
  leaf: (prot, level) => ({
    lo: PRESENT | USER | ACCESSED | (prot & PROT_WRITE ? WRITABLE | DIRTY : 0) | (level > 1 ? LARGE : 0),
    hi: 0,
  }),
  kind: (lo, _hi, level) => {
    if (!(lo & PRESENT)) return 'empty';
    return level === 1 || (level <= 3 && lo & LARGE) ? 'leaf' : 'table';
  },
  prot: () => '0',
};

/** What a unit can walk: CAP.FS5LP, CAP.FS1GP, CAP.MGAW. */
export interface FirstStageLimits {
  readonly fs5lp: boolean;
  readonly fs1gp: boolean;
  /** CAP.MGAW: bits of the widest guest address. */
  readonly mgaw: number;
}

/**
 * Geometry of a DMA domain's table: compute_vasz_lg2_fs of drivers/iommu/intel/iommu.c. Addresses stay below MGAW, of which
 * the top bit is the sign.
 */
export function firstStageSize(f: FirstStageLimits): { levels: number; inputBits: number; pageSizes: number[] } {
  const five = f.fs5lp && f.mgaw > 48;
  return {
    levels: five ? 5 : 4,
    inputBits: Math.min(five ? 57 : 48, f.mgaw),
    pageSizes: [4096, 2 ** 21, ...(f.fs1gp ? [2 ** 30] : [])],
  };
}

/** @throws RangeError when there is no page for the top table */
export function firstStageTable(
  bus: Bus,
  pages: PageAllocator,
  o: { readonly levels: number; readonly inputBits: number; readonly pageSizes: readonly number[] },
  root?: number,
): GenericTable {
  const { levels, inputBits, pageSizes } = o;
  return new GenericTable(bus, pages, x86Format, { levels, inputBits, pageSizes, signExtend: true }, root);
}
