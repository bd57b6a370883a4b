import type { TraceEvent } from '../trace/index.ts';
import { afterEvent, type Place } from './place.ts';
import type { TracedStep } from './step-digest.ts';
import { type ColumnsOf, coveredBy, wordsOf } from './words.ts';

/** An event that a search has found. */
export interface SearchHit {
  /** The moment right after the event. */
  readonly place: Place;
  readonly kind: TraceEvent['kind'];
  readonly actor: TraceEvent['actor'];
  /** Scene object where it happens. */
  readonly at: string;
  /** `address`: the event covers the address that was asked for, without naming it. */
  readonly by: 'words' | 'address';
  /** The event itself. */
  readonly event: TraceEvent;
}

/** A word of a query: patterns of which a line must match one, and the address that it may be. */
interface Term {
  readonly pattern: RegExp;
  readonly address: number | null;
}

const escaped = (s: string): string => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** The ways in which a number is written; a number without a prefix may be decimal or hexadecimal. */
function numberForms(text: string): { forms: string[]; address: number | null } | null {
  const t = text.replaceAll('_', '');
  const hexadecimal = /^(?:0x)?([0-9a-f]{1,16})$/.exec(t);
  if (!hexadecimal || (!t.startsWith('0x') && !/\d/.test(t))) return null;
  const forms = new Set<string>();
  const both = (v: bigint): void => {
    forms.add(`0x0*${v.toString(16)}`);
    forms.add(v.toString());
  };
  both(BigInt(`0x${hexadecimal[1]}`));
  if (/^\d+$/.test(t)) {
    forms.clear();
    both(BigInt(t));
    forms.add(`0x0*${hexadecimal[1]!.replace(/^0+(?=.)/, '')}`);
  }
  forms.add(escaped(t));
  // A short number is an id, and every word of memory would contain it.
  const address = Number(`0x${hexadecimal[1]}`);
  return { forms: [...forms], address: hexadecimal[1]!.length >= 4 ? address : null };
}

const exactNumber = (forms: readonly string[]): string => `(?<![\\w:.])(?:${forms.join('|')})(?![\\w])`;

/** A query as terms: `vmid 3` and `HWPT 7` belong together, any other word stands alone. */
function termsOf(query: string): Term[] {
  const words = query
    .trim()
    .toLowerCase()
    .split(/[\s,=]+/)
    .filter((w) => w !== '');
  const terms: Term[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const number = numberForms(word);
    const next = words[i + 1] === undefined ? null : numberForms(words[i + 1]!);
    if (!number && next && /^[a-z]\w*$/.test(word)) {
      // A name and its number: the name whole, or the head of a longer one as in HWPT_NESTED.
      const name = `(?<![a-z0-9])${escaped(word)}(?:_\\w+)?`;
      terms.push({ pattern: new RegExp(`${name}[ :=]+${exactNumber(next.forms)}`), address: null });
      i++;
    } else if (number) terms.push({ pattern: new RegExp(exactNumber(number.forms)), address: number.address });
    else terms.push({ pattern: new RegExp(escaped(word)), address: null });
  }
  return terms;
}

const lines = new WeakMap<TracedStep, { readonly columnsOf: ColumnsOf; readonly list: readonly string[] }>();

function linesOf(step: TracedStep, columnsOf: ColumnsOf): readonly string[] {
  let known = lines.get(step);
  if (known?.columnsOf !== columnsOf)
    lines.set(step, (known = { columnsOf, list: step.events.map((e) => wordsOf(e, columnsOf)) }));
  return known.list;
}

/**
 * Events in the order of time, in slices of a step each, so that a long search can be left or spread over time. All words of
 * the query must be in an event. An address also finds what covers it: a record in memory, an entry of a cache.
 */
export function* searchSteps(
  steps: readonly TracedStep[],
  query: string,
  columnsOf: ColumnsOf,
): Generator<readonly SearchHit[], void> {
  const terms = termsOf(query);
  if (terms.length === 0) return;
  const only = terms.length === 1 ? terms[0]!.address : null;
  for (const [step, traced] of steps.entries()) {
    const hits: SearchHit[] = [];
    let events: readonly TraceEvent[] | null = null;
    for (const [i, line] of linesOf(traced, columnsOf).entries()) {
      const named = terms.every((t) => t.pattern.test(line));
      if (!named && only === null) continue;
      const event = (events ??= traced.events)[i]!;
      if (!named && !coveredBy(event).some((c) => c.from <= only! && only! < c.to)) continue;
      hits.push({
        place: afterEvent(step, i),
        kind: event.kind,
        actor: event.actor,
        at: event.at,
        by: named ? 'words' : 'address',
        event,
      });
    }
    yield hits;
  }
}
