import type { TextLine } from '../lines.ts';
import type { Hint } from './hex-line.ts';
import type { Kind } from './judge.ts';

/** A run of words of one dump. */
export interface Block {
  /** Each line with the number of its first word (of the block). */
  readonly lines: readonly { readonly line: TextLine; readonly word: number }[];
  readonly words: readonly bigint[];
  /** Address that the text gives for the first word, null for none or a mere offset. */
  readonly address: bigint | null;
  /** Physical address: that of the text, or what its linear map makes of it. Set by `link`. */
  pa: number | null;
  readonly hint: Hint;
  /** What its label or its form says it is; null: undecided. */
  readonly kind: Kind | null;
  /** It can be tables as well, by its form alone. */
  readonly also: boolean;
  /** StreamID that the heading names. */
  readonly sid: number | null;
  /** Words that the text does not give, added as zero: DW4 to DW7. */
  readonly padded: number;
}

/** Line of a word. */
export function lineOf(block: Block, word: number): number {
  let line = block.lines[0]?.line.number ?? 1;
  for (const l of block.lines) {
    if (l.word > word) break;
    line = l.line.number;
  }
  return line;
}
