import type { Hint } from './hex-line.ts';
import type { TextLine } from './lines.ts';

/** A run of words of one dump, before anybody has said what they are. */
export interface WordBlock {
  /** Each line with the number of its first word (of the block). */
  readonly lines: readonly { readonly line: TextLine; readonly word: number }[];
  readonly words: readonly bigint[];
  /** Address that the text gives for the first word, null for none or a mere offset. */
  readonly address: bigint | null;
  readonly hint: Hint;
}

/** Line of a word. */
export function lineOf(block: WordBlock, word: number): number {
  let line = block.lines[0]?.line.number ?? 1;
  for (const l of block.lines) {
    if (l.word > word) break;
    line = l.line.number;
  }
  return line;
}
