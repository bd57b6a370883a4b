import type { History, HistoryEntry } from './history.ts';
import { currentEntry } from './history.ts';

/**
 * A local document is one that this browser keeps: a scenario that was edited, a file, a link or a pasted text that was
 * opened. All states that a person gave it carry its id.
 */

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

/** Twelve letters and digits that no other document has. */
export function newLocalId(): string {
  const random = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(random, (b) => letters[b % letters.length]).join('');
}

export const isLocalId = (v: unknown): v is string => typeof v === 'string' && /^[0-9a-z]{12}$/.test(v);

/** The states of the local document that is open, with none of those that were open before it in this tab. */
export function ownHistory(h: History): History {
  const current = currentEntry(h);
  if (!current) return h;
  const entries: HistoryEntry[] = [];
  let at = -1;
  h.entries.forEach((e, i) => {
    if (e.local !== current.local) return;
    entries.push(e);
    if (i === h.at) at = entries.length - 1;
  });
  return { entries, at };
}

/** True where there is something to keep: a scenario of the library as it stands there is not kept once more. */
export const isOwn = (h: History): boolean =>
  ownHistory(h).entries.some((e) => !e.opened || e.scenario === null) && currentEntry(h)?.local !== undefined;
