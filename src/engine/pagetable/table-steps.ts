import { sizeText } from './page-sizes.ts';

/** What a page-table writer tells its owner, whatever the format. */

/** So many words of a run of leaves travel with its step. */
export const FIRST_WORDS = 4;

/** Entries were written. A run of leaves is one step: `words` are the first few, `count` says how many. */
export interface TableWrite {
  readonly kind: 'write';
  readonly address: number;
  readonly words: readonly bigint[];
  readonly count: number;
  /** As the format's specification counts levels. */
  readonly level: number;
  readonly leaf: boolean;
  /** Bytes that one entry covers. */
  readonly size: number;
  readonly iova: number;
  /** Layout id of an entry. */
  readonly layout: string;
  readonly text: string;
}

/** One leaf was made clean. */
export const leafCleaned = (
  leaf: { readonly address: number; readonly level: number; readonly size: number },
  iova: number,
  word: bigint,
  layout: string,
  what: string,
): TableWrite => ({
  kind: 'write',
  address: leaf.address,
  words: [word],
  count: 1,
  level: leaf.level,
  leaf: true,
  size: leaf.size,
  iova,
  layout,
  text: `${what} of ${sizeText(leaf.size)} at 0x${iova.toString(16)} made clean`,
});

/** How a format calls its entries. */
export interface EntryNames {
  layout(level: number, leaf: boolean): string;
  /** `page`, or `block` for a larger leaf. */
  leafName(level: number): string;
}

/** Consecutive leaf writes joined into one step. */
export class RunOfWrites {
  /** In a bulk map a run goes on over table borders and counts the tables made. */
  readonly absorbsTables: boolean;
  tables = 0;
  count = 0;
  private readonly names: EntryNames;
  private address = 0;
  private nextAddress = 0;
  private iova = 0;
  private nextIova = 0;
  private size = 0;
  private level = 0;
  private words: bigint[] = [];

  constructor(names: EntryNames, absorbsTables: boolean) {
    this.names = names;
    this.absorbsTables = absorbsTables;
  }

  continues(address: number, iova: number, size: number): boolean {
    return size === this.size && iova === this.nextIova && (this.absorbsTables || address === this.nextAddress);
  }

  /** True while the entry's value is one of those that travel with the step. */
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
    const what = this.names.leafName(level);
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
      layout: this.names.layout(level, true),
      text,
    };
  }
}
