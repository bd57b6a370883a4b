import { type Checks, type Doc, problemLine } from './engine.ts';
import type { History, HistoryEntry } from './history.ts';
import { isLocalId, newLocalId } from './local.ts';
import type { Place } from './place.ts';
import { readSettings, type Settings } from './settings.ts';

/** What is kept between visits, as plain values; where they are kept is not decided here. */

/** What can be kept in: `localStorage`, or a map in tests. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/** Where a tab stood: a local document, or a scenario of the library as it is there. */
export interface Standing {
  readonly local: string | null;
  readonly scenario: string | null;
  /** Its vendor, so that its part of the page can be loaded first. */
  readonly iommu: string | null;
  readonly place: Place;
}

/** Settings, and where the tab stood; small, written often. */
export const viewKey = 'iommuscope.view';
/** Version 1 kept all documents of a tab's history here. */
export const oldHistoryKey = 'iommuscope.history';

export const isPlace = (p: unknown): p is Place =>
  typeof p === 'object' && p !== null && Number.isInteger((p as Place).step) && Number.isInteger((p as Place).event);

export interface SavedView {
  readonly settings: Settings;
  readonly standing: Standing | null;
  /** Place of a version 1, which did not say where. */
  readonly place: Place | null;
}

/** Never throws: what cannot be read has its default. */
export function readView(storage: Storage): SavedView {
  let v: Record<string, unknown> = {};
  try {
    v = (JSON.parse(storage.getItem(viewKey) ?? '{}') ?? {}) as Record<string, unknown>;
  } catch {
    // Unreadable settings are the default settings.
  }
  const place = isPlace(v.place) ? { step: v.place.step, event: v.place.event } : null;
  const local = isLocalId(v.local) ? v.local : null;
  const scenario = typeof v.scenario === 'string' ? v.scenario : null;
  const iommu = typeof v.iommu === 'string' ? v.iommu : null;
  const standing = v.version === 2 && place && (local ?? scenario) !== null ? { local, scenario, iommu, place } : null;
  return { settings: readSettings(v.settings), standing, place };
}

export const viewText = (settings: Settings, s: Standing): string =>
  JSON.stringify({ version: 2, ...s, place: { step: s.place.step, event: s.place.event }, settings });

/** Documents of past edits are kept as long as all together stay below this many characters. */
const mostCharacters = 1_500_000;

interface SavedEntry {
  readonly text: string;
  readonly scenario: string | null;
  readonly label: string;
  readonly opened: boolean;
  readonly place: Place;
}

export interface SavedHistory {
  readonly version: 1;
  readonly entries: readonly SavedEntry[];
  readonly at: number;
}

const texts = new WeakMap<Doc, string>();

/** A history as plain values: every document as text, those farthest from the current one left out when there is too much. */
export function encodeHistory(h: History, serialize: (d: Doc) => string): SavedHistory {
  const text = (d: Doc): string => {
    const known = texts.get(d) ?? serialize(d);
    texts.set(d, known);
    return known;
  };
  // From the current entry outwards, so that what must go for size is what is farthest from it.
  const order = h.entries.map((_, i) => i).sort((a, b) => Math.abs(a - h.at) - Math.abs(b - h.at) || a - b);
  const kept = new Map<number, SavedEntry>();
  let size = 0;
  for (const i of order) {
    const e = h.entries[i]!;
    const t = text(e.document);
    size += t.length;
    if (size > mostCharacters && kept.size > 0) break;
    kept.set(i, { text: t, scenario: e.scenario, label: e.label, opened: e.opened, place: e.place });
  }
  const indices = [...kept.keys()].sort((a, b) => a - b);
  return { version: 1, entries: indices.map((i) => kept.get(i)!), at: indices.indexOf(h.at) };
}

export interface DecodedHistory {
  /** Null when its current document cannot be read. */
  readonly history: History | null;
  /** Why documents were left out; the first is the current one's when that was. */
  readonly refused: readonly string[];
}

/**
 * Reads what `encodeHistory` made, in this version or an earlier one; entries that are no documents any more are left out.
 * Never throws.
 * @param local  the local document that its states belong to; null gives each opening its own
 */
export function decodeHistory(saved: unknown, parse: Checks['parse'], local: string | null): DecodedHistory {
  const v = (typeof saved === 'object' && saved !== null ? saved : {}) as Partial<Record<keyof SavedHistory, unknown>>;
  if (v.version !== 1 || !Array.isArray(v.entries))
    return { history: null, refused: ['It was saved by another version of iommuscope.'] };
  const entries: HistoryEntry[] = [];
  const refused: string[] = [];
  let at = -1;
  let current = local ?? newLocalId();
  v.entries.forEach((e: unknown, i) => {
    const s = (typeof e === 'object' && e !== null ? e : {}) as Partial<SavedEntry>;
    const outcome = parse(String(s.text));
    if (!outcome.ok) {
      if (i === v.at) refused.unshift(problemLine(outcome.problem));
      else refused.push(problemLine(outcome.problem));
      return;
    }
    const opened = s.opened === true;
    if (local === null && opened && entries.length > 0) current = newLocalId();
    entries.push({
      document: outcome.document,
      scenario: typeof s.scenario === 'string' ? s.scenario : null,
      label: String(s.label ?? 'Edit'),
      opened,
      local: current,
      place: isPlace(s.place) ? { step: s.place.step, event: s.place.event } : { step: 0, event: 0 },
    });
    if (i <= Number(v.at)) at = entries.length - 1;
  });
  return { history: at >= 0 ? { entries, at } : null, refused };
}

/** What the list of local documents shows. */
export interface LocalSummary {
  readonly id: string;
  readonly title: string;
  readonly iommu: string;
  readonly scenario: string | null;
  readonly steps: number;
  readonly place: Place;
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly changed: number;
  /** Rises with each change of the content; a tab that knows another one must not write over it. */
  readonly revision: number;
  /** When it was thrown away; it can still be brought back for a while. */
  readonly deleted: number | null;
}
