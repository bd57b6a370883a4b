/** What a log reader finds: records with facts, and what it could not read. Vendor-neutral. */

import type { Dump } from './arm/link.ts';
import type { VtdDump } from './intel/tables.ts';

/** Where on the diagram a record arises. `at` is the id of a scene object: `hw.evtq`, `hw.cmdq`, `hw.s1walk`. */
export interface Where {
  readonly at: string;
  /** Translation stage that failed. */
  readonly stage?: 1 | 2;
  /** StreamID or requester id, in hexadecimal. */
  readonly sid?: string;
  /** What was being translated: `IN`, `TTD`, `CD`. */
  readonly class?: string;
}

/**
 * One event, error or command of a log. Addresses, ids and raw words are hexadecimal strings, counts are numbers; a fact that
 * the text does not give is absent or null. Further fields depend on `type`.
 */
export interface LogRecord {
  /** `smmuv3_event`, `smmuv3_cmdq_error`, ... */
  readonly type: string;
  readonly vendor: string;
  /** `smmuv3`, `smmuv2`, `vtd`. */
  readonly arch: string;
  /** 1-based number of the line where it begins. */
  readonly line: number;
  /** One sentence: what happened, to whom, and what that usually means. */
  readonly explain: string;
  readonly where?: Where;
  readonly [field: string]: unknown;
}

/** Text that was not decoded, and why. Neighbouring lines with the same reason are one entry. */
export interface Unread {
  /** 1-based number of the (first) line. */
  readonly line: number;
  /** The (first) line, at most 200 characters. */
  readonly text: string;
  readonly why: string;
  /** How many neighbouring lines this stands for; absent for one. */
  readonly lines?: number;
}

export interface DecodedLog {
  /** In the order of the text. */
  readonly records: LogRecord[];
  readonly unread: Unread[];
  /** The tables of the text, put together, for a scenario; absent where there are none. Not for printing. */
  readonly dump?: Dump | VtdDump;
}

/** A record while its reader still adds facts to it. */
export type Draft = { -readonly [K in keyof LogRecord]: LogRecord[K] };
