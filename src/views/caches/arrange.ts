import type { Life } from '../../engine/analysis/index.ts';
import type { Cache, Entry } from './model.ts';

/** Which entries: cached ones and those that this step removed, those that are stale, gone, or touched by this step. */
export const shows = ['now', 'stale', 'step', 'removed', 'all'] as const;
export type Show = (typeof shows)[number];

export interface Filter {
  /** Words that must all be said about an entry. */
  readonly text: string;
  /** Scene id of a cache; null: all. */
  readonly cache: string | null;
  /** A device whose ATC it is, or whose access filled the entry; null: any. */
  readonly device: string | null;
  readonly show: Show;
}

export const noFilter: Filter = { text: '', cache: null, device: null, show: 'now' };

/** What can be sorted by besides the columns of the caches. */
export type SortKey =
  | { readonly by: 'column'; readonly column: string }
  | { readonly by: 'state' | 'hits' | 'filled' | 'removed' };
export interface Sort {
  readonly key: SortKey;
  readonly down: boolean;
}

export interface Counts {
  readonly cached: number;
  readonly stale: number;
  readonly removed: number;
}

/** The entries of one cache that belong together. */
export interface Section {
  readonly key: string;
  readonly cache: Cache;
  readonly entries: readonly Entry[];
  /** Of the section without regard to the filter. */
  readonly counts: Counts;
}

/** Sections with the same value in the column that is grouped by; without grouping there is one group without a title. */
export interface Group {
  readonly key: string;
  /** `VMID 1`; '' without grouping. */
  readonly title: string;
  readonly sections: readonly Section[];
}

const plain = (text: string): string => text.toLowerCase().replaceAll('_', '');

const said = new WeakMap<Life, string>();

/** All that is said of an entry, for the filter. */
function wordsOf({ life, cache }: Entry): string {
  let text = said.get(life);
  if (text === undefined) {
    const cells = life.cells.map((c, i) => `${cache.columns[i] ?? ''} ${c}`).join(', ');
    const parts = [life.cache, cache.title, `#${life.entry % 0x1000000}`, cells, life.by, life.removed?.by ?? ''];
    said.set(life, (text = plain(parts.join('; '))));
  }
  return text;
}

function shown(e: Entry, show: Show): boolean {
  switch (show) {
    case 'now':
      return e.state !== 'removed' || e.touch !== null;
    case 'stale':
      return e.state === 'stale';
    case 'step':
      return e.touch !== null;
    case 'removed':
      return e.state === 'removed';
    case 'all':
      return true;
  }
}

/** Words that all must be there; a name and its number, `vmid 1`, belong together. */
function patternsOf(text: string): RegExp[] {
  const words = plain(text)
    .split(/[\s,]+/)
    .filter((w) => w !== '')
    .map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const out: RegExp[] = [];
  for (let i = 0; i < words.length; i++) {
    const next = words[i + 1];
    if (next !== undefined && /^[a-z]+$/.test(words[i]!) && /^\d/.test(next)) {
      out.push(new RegExp(`(?<![a-z0-9])${words[i]} ${next}(?![a-z0-9])`));
      i++;
    } else out.push(new RegExp(words[i]!));
  }
  return out;
}

export function filterEntries(entries: readonly Entry[], f: Filter): Entry[] {
  const words = patternsOf(f.text);
  return entries.filter(
    (e) =>
      shown(e, f.show) &&
      (f.cache === null || e.cache.id === f.cache) &&
      (f.device === null || e.cache.device === f.device || e.life.device === f.device) &&
      (words.length === 0 || words.every((w) => w.test(wordsOf(e)))),
  );
}

/** Names of columns that some cache has, each once, in the order in which they stand. */
export function columnNames(caches: readonly Cache[]): string[] {
  return [...new Set(caches.flatMap((c) => c.columns))];
}

const sizes: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** A cell as what it counts: an address or number, a size; else as text. */
function cellValue(cell: string): number | bigint | string {
  if (/^0x[0-9a-f_]+$/i.test(cell)) return BigInt(cell.replaceAll('_', ''));
  const m = /^(\d{1,9})([KMGT]?)$/.exec(cell);
  return m ? Number(m[1]) * sizes[m[2]!]! : cell;
}

type Value = number | bigint | string;

/** Numbers before words, each in its own order. */
export function compareCells(a: Value, b: Value): number {
  if (typeof a === 'string' || typeof b === 'string') {
    if (typeof a !== typeof b && (typeof a !== 'string' || typeof b !== 'string'))
      return typeof a === 'string' ? 1 : -1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}

const when = (p: { readonly step: number; readonly event: number } | null | undefined, none: number): number =>
  p ? p.step * 0x1000000 + p.event : none;

const order = { stale: 0, cached: 1, removed: 2 } as const;

function sortValue(e: Entry, key: SortKey): Value {
  switch (key.by) {
    case 'column': {
      const i = e.cache.columns.indexOf(key.column);
      return i < 0 ? '' : cellValue(e.life.cells[i] ?? '');
    }
    case 'state':
      return order[e.state];
    case 'hits':
      return e.hits;
    case 'filled':
      return when(e.life.filled, -1);
    case 'removed':
      return e.state === 'removed' ? when(e.life.removed?.place, -1) : Number.MAX_SAFE_INTEGER;
  }
}

/** In the order of their fills where nothing else says more. */
export function sortEntries(entries: readonly Entry[], sort: Sort | null): readonly Entry[] {
  if (!sort) return entries;
  const sign = sort.down ? -1 : 1;
  return entries
    .map((e, i) => ({ e, i, v: sortValue(e, sort.key) }))
    .sort((a, b) => sign * compareCells(a.v, b.v) || a.i - b.i)
    .map((x) => x.e);
}

export function countStates(entries: readonly Entry[]): Counts {
  let stale = 0;
  let removed = 0;
  for (const e of entries) {
    if (e.state === 'stale') stale++;
    else if (e.state === 'removed') removed++;
  }
  return { cached: entries.length - removed, stale, removed };
}

/** `4 cached, 1 stale, 2 removed`; what there is none of is left out. */
export function countsText(c: Counts): string {
  const parts = [`${c.cached} cached`];
  if (c.stale > 0) parts.push(`${c.stale} stale`);
  if (c.removed > 0) parts.push(`${c.removed} removed`);
  return parts.join(', ');
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** The entries that a filter leaves, by cache, and by the value of a column first when one is given. */
export function arrange(
  entries: readonly Entry[],
  caches: readonly Cache[],
  filter: Filter,
  column: string | null,
  sort: Sort | null,
): Group[] {
  const groupOf = (e: Entry): string => {
    if (column === null) return '';
    const i = e.cache.columns.indexOf(column);
    return i < 0 ? noValue : (e.life.cells[i] ?? noValue);
  };
  const keyOf = (e: Entry): string => `${groupOf(e)}\n${e.cache.id}`;
  const wanted = new Map<string, Entry[]>();
  for (const e of filterEntries(entries, filter)) push(wanted, keyOf(e), e);
  const all = new Map<string, Entry[]>();
  for (const e of entries) if (wanted.has(keyOf(e))) push(all, keyOf(e), e);
  const values = [...new Set([...wanted.keys()].map((k) => k.slice(0, k.indexOf('\n'))))];
  values.sort((a, b) =>
    a === noValue ? (b === noValue ? 0 : 1) : b === noValue ? -1 : compareCells(cellValue(a), cellValue(b)),
  );
  return values.map((value) => ({
    key: value,
    title: column === null ? '' : value === noValue ? `without ${column}` : `${column} ${value}`,
    sections: caches.flatMap((cache) => {
      const key = `${value}\n${cache.id}`;
      const list = wanted.get(key);
      if (!list) return [];
      return [{ key, cache, entries: sortEntries(list, sort), counts: countStates(all.get(key)!) }];
    }),
  }));
}

/** Of entries in caches that have no such column; no cell begins with a control character. */
const noValue = '\u0000';
