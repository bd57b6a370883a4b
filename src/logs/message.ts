import type { Cursor } from './cursor.ts';
import type { Parsed } from './join.ts';

/** One message of a driver, as a parser reads it. */
export interface Message<C> extends Parsed {
  readonly content: C;
  /** Where the message ends in the text. */
  readonly end: number;
}

/** What a parser has read up to the cursor. */
export const done = <C>(c: Cursor, content: C, score: number, complete: boolean): Message<C> => ({
  content,
  complete,
  score,
  end: c.pos,
});
