import type { TextLine } from '../lines.ts';
import type { Draft } from '../record.ts';
import type { EventLine } from './messages.ts';

/** A message that waits for words: an event record (four) or a dumped command (two). */
export interface Waiting {
  readonly kind: 'event' | 'command';
  readonly draft: Draft;
  /** The id of the header line; null for a dumped command. */
  readonly id: number | null;
  readonly words: bigint[];
  cut: string | null;
  /** Line of the last part. */
  last: number;
}

/** Words whose header line is not in the text. */
interface Orphans {
  readonly words: bigint[];
  readonly lines: TextLine[];
}

export interface SmmuState {
  readonly smmu: string | null;
  waiting: Waiting | null;
  orphans: Orphans | null;
  /** The last complete event record, for the printed line that repeats it. */
  lastEvent: Draft | null;
  /** A printed line whose second half has not come. */
  halfLine: { draft: Draft; line: EventLine } | null;
  gerror: Draft | null;
  cmdq: { draft: Draft; cons: bigint } | null;
  pri: Draft | null;
  context: Record<string, number | string> | null;
  /** Line of the first probe message. */
  probed: number;
}

export function newState(smmu: string | null): SmmuState {
  return {
    smmu,
    waiting: null,
    orphans: null,
    lastEvent: null,
    halfLine: null,
    gerror: null,
    cmdq: null,
    pri: null,
    context: null,
    probed: 1,
  };
}

/** Whether a message has all its words. */
export const full = (w: Waiting): boolean => w.words.length >= (w.kind === 'event' ? 4 : 2);
