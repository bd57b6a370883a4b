import type { TableWrite } from './table-steps.ts';

/** What a format of page tables gives to `GenericTable`, and what that gives back. */

/** One 64-bit entry as two halves. */
export interface Entry {
  readonly lo: number;
  readonly hi: number;
}

export interface TableFormat {
  /** Of the layout ids: `x86` gives `x86.table`, `x86.page`, `x86.2m`, `x86.1g`. */
  readonly prefix: 'x86' | 'vtdss';
  /** An entry that leads to a table at that physical address. */
  table(address: number): Entry;
  /** Bits of a leaf without its address. Level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. */
  leaf(prot: number, level: number): Entry;
  kind(lo: number, hi: number, level: number): 'empty' | 'table' | 'leaf';
  /** '0', or the errno with which the format refuses such a mapping. */
  prot(prot: number): string;
  /** Bit of `lo` that hardware sets in a leaf that was written through. */
  readonly dirty: number;
}

export interface GenericTableConfig {
  /** 3, 4 or 5. */
  readonly levels: number;
  /** Width of the input address; with `signExtend` its top bit is copied upwards. */
  readonly inputBits: number;
  /** Width of the output address, 52 when left out. */
  readonly outputBits?: number;
  /** Leaf sizes in bytes, ascending: 4096, 2 MiB, 1 GiB or a part of these. */
  readonly pageSizes: readonly number[];
  /** Only the lower canonical half, of `inputBits` - 1 bits, is used. */
  readonly signExtend?: boolean;
}

/** The range must be invalidated before the step is resumed: tables gave way to a large leaf, or a failed map is undone. */
export interface RangeFlush {
  readonly kind: 'flush';
  readonly iova: number;
  readonly size: number;
  /** Tables went too: cached walks through them must go (IH = 0). Their pages are released on resuming. */
  readonly freed: boolean;
}

export type GenericTableStep = TableWrite | RangeFlush;

export interface Mapped {
  /** '0' or the kernel's name. On an error nothing of the call stays mapped. */
  readonly errno: string;
  readonly mapped: number;
}

/** What an unmap took away. The owner flushes, then releases the tables. */
export interface Unmapped {
  /** Bytes; more than asked for where the range ended inside a larger leaf. */
  readonly unmapped: number;
  /** Addresses of tables that are no longer linked. */
  readonly freed: number[];
}

/** Layout id of an entry. */
export const layoutOf = (format: TableFormat, level: number, leaf: boolean): string =>
  `${format.prefix}.${leaf ? ['page', '2m', '1g'][level - 1] : 'table'}`;
