/** What a text says of VT-d's tables: walks, files of debugfs, and words of dumps. Its reader puts them together at the end. */

import type { WordBlock } from '../word-block.ts';
import type { TranslationRow } from './debugfs/translation.ts';
import type { Walk } from './table-dump.ts';

/** Pages of `domain_translation_struct`. */
export interface DomainPages {
  readonly device: string;
  readonly pasid: number | null;
  readonly root: bigint;
  readonly levels: number;
  /** Page number and the entry of each level, 1 to 5. */
  readonly rows: readonly { readonly pfn: bigint; readonly path: readonly (bigint | undefined)[] }[];
}

export interface VtdFacts {
  walk(w: Walk): void;
  row(r: TranslationRow): void;
  pages(p: DomainPages): void;
  /** Root table of a unit, and the mode of the tables where the text tells it. */
  root(table: bigint, scalable: boolean | null): void;
  /**
   * Whether words are VT-d's.
   * @param other they can also be something of another vendor, which they are unless the text is about VT-d
   */
  claim(block: WordBlock, other: () => boolean): boolean;
  /** Those of the blocks, each with an address, that VT-d's tables reach. */
  reach(blocks: readonly WordBlock[]): ReadonlySet<WordBlock>;
}
