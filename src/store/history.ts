import type { Doc } from './engine.ts';
import type { Place } from './place.ts';

/** One state of the document, as a person left it. Documents share what they have in common. */
export interface HistoryEntry {
  readonly document: Doc;
  /** Id of the scenario that it began as, null for a file or a pasted text. */
  readonly scenario: string | null;
  /** What was done to get here: `Open "First DMA"`, `Add guest.unmap`. */
  readonly label: string;
  /** True when the document was opened here rather than edited. */
  readonly opened: boolean;
  /** The local document that this state belongs to: each opening begins one, edits go on with it. See `local.ts`. */
  readonly local?: string | undefined;
  /** Where the playing head stood when this state was left; undo and redo go back there. */
  readonly place: Place;
}

/** Undo and redo are positions in the list of edits, so nothing that was there once is lost by an edit after it. */
export interface History {
  readonly entries: readonly HistoryEntry[];
  readonly at: number;
}

const most = 200;

export const emptyHistory: History = { entries: [], at: -1 };

export function currentEntry(h: History): HistoryEntry | undefined {
  return h.entries[h.at];
}

/** A new state after the current one; what could have been redone is dropped. */
export function recordEdit(h: History, entry: HistoryEntry, leftAt: Place): History {
  const kept = h.entries.slice(0, h.at + 1);
  const last = kept[h.at];
  if (last) kept[h.at] = { ...last, place: leftAt };
  const entries = [...kept, entry].slice(-most);
  return { entries, at: entries.length - 1 };
}

/** Moves by -1 (undo) or 1 (redo); null when there is nothing that way. */
export function moveInHistory(h: History, by: -1 | 1, leftAt: Place): History | null {
  const at = h.at + by;
  const here = h.entries[h.at];
  if (!here || at < 0 || at >= h.entries.length) return null;
  const entries = [...h.entries];
  entries[h.at] = { ...here, place: leftAt };
  return { entries, at };
}

/** True when the document differs from what was opened last. */
export function isEdited(h: History): boolean {
  return h.at >= 0 && !h.entries[h.at]!.opened;
}
