import type { EntryText, TraceEvent, WalkStage } from '../../engine/trace/index.ts';

/** The walks of a step as they are drawn. Positions are places of the head: 1 when the first event has happened. */

export type ReadEvent = Extract<TraceEvent, { kind: 'memory.read' }>;
export type HitEvent = Extract<TraceEvent, { kind: 'cache.hit' }>;

/** What asked for the translation. */
export type Cause = 'access' | 'request' | 'translated' | 'page request' | 'retry' | 'command';

export interface Request {
  readonly cause: Cause;
  /** '' where no device is known. */
  readonly device: string;
  /** '' where it is not known. */
  readonly access: 'read' | 'write' | '';
  /** Null where it is not known. */
  readonly iova: bigint | null;
  /** -1: none. */
  readonly pasid: number;
  /** Position of the event that asked. */
  readonly at: number;
  /** Of a command or a retry: what it is. */
  readonly text: string;
  /** The entry of the device's own cache that answered it. */
  readonly atc?: { readonly entry: EntryText; readonly at: string; readonly event: number };
}

/** A cache entry that saved reads. */
export interface Saving {
  readonly event: number;
  readonly entry: EntryText;
  /** Scene object of the cache. */
  readonly at: string;
  /** There may have been fewer reads. */
  readonly most: boolean;
}

/** Hardware has changed the entry after it was read. */
export interface Update {
  readonly event: number;
  readonly word: bigint;
  readonly text: string;
}

export interface CellRead {
  readonly event: number;
  /** In order of the reads of the walk, from 1. */
  readonly n: number;
  readonly address: number;
  readonly words: readonly bigint[];
  readonly layout: string;
  readonly means: string;
  readonly text: string;
}

/** Why nothing is read in a cell: tables ended before it, with what page (log2) and at which level. */
export interface Beyond {
  readonly event: number;
  readonly page: number | null;
  readonly level: number | null;
}

export interface Stop {
  readonly event: number;
  /** `F_TRANSLATION`, `SGN.6`. */
  readonly name: string;
  readonly text: string;
  /** False: the entry was not read. */
  readonly read: boolean;
}

export interface Cell {
  /** `0.2`: row, then column; `0.e` is the entry, `4.r` the result. */
  readonly key: string;
  /** Second-stage level; null: the entry of the row. */
  readonly level: number | null;
  readonly read: CellRead | null;
  readonly saved: Saving | null;
  readonly beyond: Beyond | null;
  readonly update: Update | null;
  readonly stop: Stop | null;
}

export interface WalkRow {
  readonly key: string;
  readonly kind: 'record' | 'first' | 'out';
  /** `STE`, `S1 L0`, `output`. */
  readonly title: string;
  /** Address before the second stage, and the event from which it is known; null: none is. */
  readonly input: { readonly address: number; readonly event: number } | null;
  /** How often the walk has been here before. */
  readonly again: number;
  /** One for each column. */
  readonly second: readonly Cell[];
  /** The entry itself; null in the row of the output. */
  readonly entry: Cell | null;
}

export interface End {
  readonly event: number;
  readonly kind: 'done' | 'aborted' | 'answered' | 'stalled' | 'open';
  /** Where it leads; null: nowhere. */
  readonly pa: number | null;
  readonly text: string;
  readonly fault: {
    readonly name: string;
    readonly text: string;
    readonly recorded: boolean;
    readonly event: number;
  } | null;
}

export interface Walk {
  readonly request: Request;
  /** Positions of its first and last event. */
  readonly from: number;
  readonly to: number;
  readonly first: WalkStage | null;
  readonly second: WalkStage | null;
  /** Second-stage levels. */
  readonly columns: readonly number[];
  readonly rows: readonly WalkRow[];
  /** Reads in all. */
  readonly reads: number;
  readonly end: End;
  /** Hits in order, also those that stand for no read. */
  readonly hits: readonly Saving[];
  /** Entries that were cached by it, in order: `IOTLB`, `S1 walk`. */
  readonly fills: readonly { readonly event: number; readonly entry: EntryText; readonly at: string }[];
}

/** All cells of a row in the order of the columns. */
export const cellsOf = (row: WalkRow): readonly Cell[] => (row.entry ? [...row.second, row.entry] : row.second);
