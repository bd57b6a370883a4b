import { layoutId, sizeText, type TableConfig } from './vmsav8-table-format.ts';

/** So many words of a run of leaves travel with its step. */
export const FIRST_WORDS = 4;

/** Something that happened, or must happen, while a table is changed. The owner reacts before it resumes the generator. */
export type TableStep = TableWrite | TableFlush;

/** Descriptors were written. A run of leaves is one step: `words` are the first few, `count` says how many. */
export interface TableWrite {
  readonly kind: 'write';
  readonly address: number;
  readonly words: readonly bigint[];
  readonly count: number;
  readonly level: number;
  readonly leaf: boolean;
  /** Bytes that one descriptor covers. */
  readonly size: number;
  readonly iova: number;
  /** Layout id of a descriptor: `vmsav8.s1.page`, `.block` or `.table`. */
  readonly layout: string;
  readonly text: string;
}

/**
 * Translations that must be invalidated now. `walk`: a table at `iova` was unlinked, cached walks through it must go (leaf
 * only = false) before its pages are reused, which happens on resuming. `leaf`: mappings of `granule` bytes each are gone.
 */
export interface TableFlush {
  readonly kind: 'walk' | 'leaf';
  readonly iova: number;
  readonly size: number;
  readonly granule: number;
}

/** Consecutive leaf writes joined into one step. */
export class RunOfWrites {
  /** In a bulk map a run goes on over table borders and counts the tables made. */
  readonly absorbsTables: boolean;
  tables = 0;
  count = 0;
  private readonly cfg: TableConfig;
  private address = 0;
  private nextAddress = 0;
  private iova = 0;
  private nextIova = 0;
  private size = 0;
  private level = 0;
  private words: bigint[] = [];

  constructor(cfg: TableConfig, absorbsTables: boolean) {
    this.cfg = cfg;
    this.absorbsTables = absorbsTables;
  }

  continues(address: number, iova: number, size: number): boolean {
    return size === this.size && iova === this.nextIova && (this.absorbsTables || address === this.nextAddress);
  }

  /** True while the descriptor's value is one of those that travel with the step. */
  wantsWord(address: number): boolean {
    if (this.count === 0) return true;
    return this.words.length < FIRST_WORDS && address === this.address + this.words.length * 8;
  }

  add(address: number, iova: number, size: number, level: number, word: bigint | null): void {
    if (this.count === 0) {
      this.address = address;
      this.iova = iova;
      this.size = size;
      this.level = level;
      this.words = [];
    }
    if (word !== null) this.words.push(word);
    this.count++;
    this.nextAddress = address + 8;
    this.nextIova = iova + size;
  }

  take(): TableWrite {
    const { address, words, count, level, size, iova, tables } = this;
    const what = level === 3 ? 'page' : 'block';
    const items = count === 1 ? `${what} of ${sizeText(size)}` : `${count} ${what}s of ${sizeText(size)}`;
    const made = tables ? `, ${tables} new table${tables > 1 ? 's' : ''}` : '';
    const text = `${items} at 0x${iova.toString(16)}${made}`;
    this.count = this.tables = 0;
    return {
      kind: 'write',
      address,
      words,
      count,
      level,
      leaf: true,
      size,
      iova,
      layout: layoutId(this.cfg, level, true),
      text,
    };
  }
}

/** struct iommu_iotlb_gather: leaf ranges that one invalidation can cover. */
export class Gather {
  granule = 0;
  private start = 0;
  private end = 0;

  /** True when the range is of another page size or not adjacent: what was gathered must be flushed first. */
  breaks(iova: number, granule: number): boolean {
    return this.granule !== 0 && (this.granule !== granule || iova !== this.end);
  }

  add(iova: number, size: number, granule: number): void {
    if (this.granule === 0) this.start = iova;
    this.granule = granule;
    this.end = iova + size;
  }

  take(): TableFlush {
    const flush: TableFlush = { kind: 'leaf', iova: this.start, size: this.end - this.start, granule: this.granule };
    this.granule = 0;
    return flush;
  }
}
