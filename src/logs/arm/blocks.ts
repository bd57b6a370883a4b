import type { WordBlock } from '../word-block.ts';
import type { Kind } from './judge.ts';

export { lineOf } from '../word-block.ts';

/** A run of words, as far as it can be something of an SMMUv3. */
export interface Block extends WordBlock {
  /** Physical address: that of the text, or what its linear map makes of it. Set by `link`. */
  pa: number | null;
  /** What its label or its form says it is; null: undecided. */
  readonly kind: Kind | null;
  /** It can be tables as well, by its form alone. */
  readonly also: boolean;
  /** StreamID that the heading names. */
  readonly sid: number | null;
  /** Words that the text does not give, added as zero: DW4 to DW7. */
  readonly padded: number;
}
