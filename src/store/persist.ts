import { type Checks, type Doc, problemLine } from './engine.ts';
import type { History, HistoryEntry } from './history.ts';
import type { Place } from './place.ts';
import { readSettings, type Settings } from './settings.ts';
import type { State } from './state.ts';
import type { AppStore } from './store.ts';

/** What can be kept in: `localStorage`, or a map in tests. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** Edits with all their documents; written when the document changes. */
const historyKey = 'iommuscope.history';
/** Place and settings; small, written often. */
const viewKey = 'iommuscope.view';

/** Documents of past edits are kept as long as all together stay below this many characters. */
const mostCharacters = 1_500_000;

interface SavedEntry {
  readonly text: string;
  readonly scenario: string | null;
  readonly label: string;
  readonly opened: boolean;
  readonly place: Place;
}

function encodeHistory(h: History, serialize: (d: Doc) => string): string {
  // From the current entry outwards, so that what must go for size is what is farthest from it.
  const order = h.entries.map((_, i) => i).sort((a, b) => Math.abs(a - h.at) - Math.abs(b - h.at) || a - b);
  const kept = new Map<number, SavedEntry>();
  let size = 0;
  for (const i of order) {
    const e = h.entries[i]!;
    const text = serialize(e.document);
    size += text.length;
    if (size > mostCharacters && kept.size > 0) break;
    kept.set(i, { text, scenario: e.scenario, label: e.label, opened: e.opened, place: e.place });
  }
  const indices = [...kept.keys()].sort((a, b) => a - b);
  return JSON.stringify({ version: 1, entries: indices.map((i) => kept.get(i)), at: indices.indexOf(h.at) });
}

const isPlace = (p: unknown): p is Place =>
  typeof p === 'object' && p !== null && Number.isInteger((p as Place).step) && Number.isInteger((p as Place).event);

function decodeHistory(text: string, parse: Checks['parse']): { history: History; refused: readonly string[] } {
  const saved = JSON.parse(text) as { version?: unknown; entries?: unknown; at?: unknown };
  if (saved.version !== 1 || !Array.isArray(saved.entries)) return { history: { entries: [], at: -1 }, refused: [] };
  const entries: HistoryEntry[] = [];
  let at = -1;
  let refused: readonly string[] = [];
  saved.entries.forEach((s: Partial<SavedEntry>, i) => {
    const outcome = parse(String(s.text));
    if (!outcome.ok) {
      if (i === saved.at) refused = [problemLine(outcome.problem)];
      return;
    }
    entries.push({
      document: outcome.document,
      scenario: typeof s.scenario === 'string' ? s.scenario : null,
      label: String(s.label ?? 'Edit'),
      opened: s.opened === true,
      place: isPlace(s.place) ? s.place : { step: 0, event: 0 },
    });
    if (i <= Number(saved.at)) at = entries.length - 1;
  });
  return { history: { entries, at }, refused };
}

export interface Restored {
  readonly history: History | null;
  readonly place: Place | null;
  readonly settings: Settings;
  /** Why the document that was open last cannot be opened any more. */
  readonly refused: readonly string[];
}

/** The documents of an earlier visit, which have to be checked before they are opened; null without any. */
export const savedText = (storage: Storage): string | null => storage.getItem(historyKey);

/**
 * What was saved, as far as it can be read. Never throws: a broken save must not keep the app from starting.
 * @param checks  null leaves the document alone
 */
export function readSaved(storage: Storage, checks: Checks | null): Restored {
  let history: History | null = null;
  let place: Place | null = null;
  let refused: readonly string[] = [];
  let view: Record<string, unknown> = {};
  try {
    view = (JSON.parse(storage.getItem(viewKey) ?? '{}') ?? {}) as Record<string, unknown>;
    if (isPlace(view.place)) place = view.place;
  } catch {
    // Unreadable settings are the default settings.
  }
  try {
    const text = storage.getItem(historyKey);
    if (text && checks) {
      const decoded = decodeHistory(text, checks.parse);
      if (decoded.history.at >= 0) history = decoded.history;
      refused = decoded.refused;
    }
  } catch (e) {
    refused = [e instanceof Error ? e.message : String(e)];
  }
  return { history, place, settings: readSettings(view.settings), refused };
}

/**
 * Saves what a reload must not lose: the document with its edits when they change, place and settings soon after they do.
 * @param later  runs its argument a little later, at most once for several calls
 * @returns `flush` writes at once what is still to be written
 */
export function keepSaved(app: AppStore, storage: Storage, later: (run: () => void) => void): { flush(): void } {
  let historySaved: History | null = null;
  let viewSaved: Pick<State, 'place' | 'settings'> | null = null;
  let warned = false;
  const write = (key: string, value: string): void => {
    try {
      storage.setItem(key, value);
    } catch {
      if (!warned)
        app.notify('error', 'This browser does not keep the document', [
          'Its storage is full or switched off. Export the document to a file.',
        ]);
      warned = true;
    }
  };
  const flush = (): void => {
    const s = app.store.getState();
    if (s.history !== historySaved && s.document) {
      historySaved = s.history;
      write(historyKey, encodeHistory(s.history, app.engine().serialize));
    }
    if (viewSaved?.place !== s.place || viewSaved?.settings !== s.settings) {
      viewSaved = { place: s.place, settings: s.settings };
      write(viewKey, JSON.stringify({ version: 1, place: s.place, settings: s.settings }));
    }
  };
  app.store.subscribe((s, before) => {
    if (s.history !== before.history) flush();
    else if (s.place !== before.place || s.settings !== before.settings) later(flush);
  });
  return { flush };
}
