import type { Bus, PageAllocator } from '../memory/index.ts';
import { GenericTable, type TableFormat } from './generic-table.ts';

/**
 * VT-d second-stage tables as Linux writes them (drivers/iommu/generic_pt/fmt/vtdss.h): R 0, W 1, PS 7, A 8, D 9, SNP 11, address
 * 51:12. There is no present bit: an entry that is not all zero is one.
 */

const READ = 1;
const WRITE = 2;
const LARGE = 1 << 7;
const DIRTY = 1 << 9;
const SNOOP = 1 << 11;

/** What every mapping of a table shares (PT_FEAT_VTDSS_*). */
export interface SecondStageFeatures {
  /** Leaves have SNP: accesses snoop whatever the device asks for. */
  readonly forceCoherence?: boolean;
  /** Read-only mappings are refused: a nest parent (erratum 772415). */
  readonly forceWriteable?: boolean;
}

export const secondStageFormat = (f: SecondStageFeatures = {}): TableFormat => ({
  prefix: 'vtdss',
  dirty: DIRTY,
  table: (address) => ({ lo: ((address % 2 ** 32) | READ | WRITE) >>> 0, hi: Math.floor(address / 2 ** 32) }),
  leaf: (prot, level) => ({
    lo: (prot & (READ | WRITE)) | (f.forceCoherence ? SNOOP : 0) | (level > 1 ? LARGE : 0),
    hi: 0,
  }),
  kind: (lo, hi, level) => {
    if ((lo | hi) === 0) return 'empty';
    return level === 1 || (level <= 3 && lo & LARGE) ? 'leaf' : 'table';
  },
  prot: (prot) => {
    if (!(prot & (READ | WRITE))) return 'EINVAL';
    return f.forceWriteable && !(prot & WRITE) ? 'EINVAL' : '0';
  },
});

/** Depth and input width of a table, and AW of the entries that point to it (levels - 2). */
export interface SecondStageSize {
  readonly levels: number;
  readonly inputBits: number;
}

/**
 * The deepest table that a unit can walk, and how much of it addresses may use: compute_vasz_lg2_ss of
 * drivers/iommu/intel/iommu.c. A unit that cannot walk a shallow table gets a deeper one with addresses as narrow.
 * @param sagaw bit 1: 3 levels, bit 2: 4, bit 3: 5
 * @param mgaw bits of the widest guest address
 * @returns null when there is none
 */
export function secondStageSize(sagaw: number, mgaw: number): SecondStageSize | null {
  const deepens = (above: number): number => {
    for (let n = 0; n < 4; n++) if ((sagaw >> (above + n)) & 1) return n + 1;
    return 0;
  };
  if (mgaw > 48 && sagaw >= 8) return { levels: 5, inputBits: Math.min(57, mgaw) };
  if (mgaw > 39 && sagaw >= 4) return { levels: 4 + deepens(3), inputBits: Math.min(48, mgaw) };
  if (mgaw > 30 && sagaw >= 2) return { levels: 3 + deepens(2), inputBits: Math.min(39, mgaw) };
  return null;
}

/** Leaf sizes by CAP.SSLPS: bit 0 2 MiB, bit 1 1 GiB. */
export const secondStagePages = (sslps: number): number[] => [
  4096,
  ...(sslps & 1 ? [2 ** 21] : []),
  ...(sslps & 2 ? [2 ** 30] : []),
];

/** @throws RangeError when there is no page for the top table */
export function secondStageTable(
  bus: Bus,
  pages: PageAllocator,
  o: SecondStageSize & SecondStageFeatures & { readonly pageSizes: readonly number[] },
  root?: number,
): GenericTable {
  const { levels, inputBits, pageSizes } = o;
  return new GenericTable(bus, pages, secondStageFormat(o), { levels, inputBits, pageSizes }, root);
}
