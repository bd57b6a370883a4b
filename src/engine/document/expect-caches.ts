import type { StepHazard } from '../analysis/index.ts';
import type { Platform } from '../machine/vendor.ts';
import { compare, show } from './compare.ts';
import type { Outcome } from './outcome.ts';

/** What is cached and what of it is stale. */

type CachedEntry = ReturnType<Platform['cached']>[number];

export function entryMatches(expected: Readonly<Record<string, unknown>>, entry: CachedEntry, o: Outcome): boolean {
  return Object.entries(expected).every(([k, v]) => {
    if (k === 'cache') return entry.cache === v;
    const has = Object.hasOwn(entry.fields, k) ? entry.fields[k] : undefined;
    if (has === undefined) return false;
    // `4 KiB` and `4KiB` are the same size.
    if (typeof has === 'string' && has.replaceAll(' ', '') === String(v).replaceAll(' ', '')) return true;
    return compare(v, has, '', '', o.bindings).length === 0;
  });
}

export const entryText = (e: Readonly<Record<string, unknown>>): string =>
  Object.entries(e)
    .map(([k, v]) => `${k} ${show(v)}`)
    .join(', ');

/** The entries of the cache that is meant, a few of them, as text. */
export function cachedText(entries: readonly CachedEntry[], cache: unknown): string {
  const of = entries.filter((e) => cache === undefined || e.cache === cache);
  if (of.length === 0) return 'no such entry; the cache is empty';
  const text = of.slice(0, 4).map((e) => `[${entryText({ cache: e.cache, ...e.fields })}]`);
  return `${text.join(' ')}${of.length > 4 ? ` and ${of.length - 4} more` : ''}`;
}

/** A field that no entry of the cache has would make `notCached` true for ever. */
export function unknownField(
  expected: Readonly<Record<string, unknown>>,
  entries: readonly CachedEntry[],
): string | undefined {
  const of = entries.filter((e) => expected['cache'] === undefined || e.cache === expected['cache']);
  if (of.length === 0) return undefined;
  return Object.keys(expected).find((k) => k !== 'cache' && !of.some((e) => Object.hasOwn(e.fields, k)));
}

function hazardMatches(expected: unknown, h: StepHazard): boolean {
  if (typeof expected === 'string') return h.text.includes(expected);
  const e = expected as { at?: string; cache?: string; text?: string; now?: string; missing?: string };
  return (
    (e.at === undefined || h.at === e.at) &&
    (e.cache === undefined || h.cache === e.cache) &&
    (e.text === undefined || h.text.includes(e.text)) &&
    (e.now === undefined || h.now.includes(e.now)) &&
    (e.missing === undefined || h.missing.includes(e.missing))
  );
}

/** True when each expected element can have a hazard of its own. */
export function assign(expected: readonly unknown[], hazards: readonly StepHazard[]): boolean {
  const takenBy = new Map<number, number>();
  const place = (i: number, seen: Set<number>): boolean =>
    hazards.some((h, j) => {
      if (seen.has(j) || !hazardMatches(expected[i], h)) return false;
      seen.add(j);
      const other = takenBy.get(j);
      if (other !== undefined && !place(other, seen)) return false;
      takenBy.set(j, i);
      return true;
    });
  return expected.every((_, i) => place(i, new Set()));
}
