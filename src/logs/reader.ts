import type { Dump } from './arm/link.ts';
import type { VtdFacts } from './intel/facts.ts';
import type { Lines, TextLine } from './lines.ts';
import type { Draft } from './record.ts';

/** Where readers put what they find. */
export interface Sink {
  /** Adds a record. The reader may fill in further facts until its `end`. */
  record(draft: Draft): void;
  /** Names text that was not decoded. */
  unread(line: TextLine, why: string): void;
  /** The tables of the text, put together. */
  dump?(dump: Dump): void;
  /** What the text says of VT-d's tables, and words that may belong to them. */
  readonly vtd?: VtdFacts;
}

/** Reads one log. Keeps what it needs to join interleaved messages. */
export interface LineReader {
  /**
   * Looks at the current line (`lines.peek(0)`), and ahead where a message may be wrapped.
   * @returns how many lines it has read; 0 when the line is not its own
   */
  read(lines: Lines): number;
  /** The text has ended: what is incomplete stays so. `alone` tells whether no other line held anything. */
  end(alone: boolean): void;
}

/** A family of messages. Readers are asked in the order of the registry. */
export interface LogReader {
  /** `arm`, `naming`. */
  readonly name: string;
  start(sink: Sink): LineReader;
}
