import type { Life } from '../../engine/analysis/index.ts';
import type { Place } from './model.ts';

/** Time as a line: each step has the same width, its events share it. All x are CSS pixels from the line's left end. */
export interface TimeScale {
  readonly width: number;
  readonly lengths: readonly number[];
}

const bandOf = (s: TimeScale): number => s.width / Math.max(1, s.lengths.length);

export function xOf(s: TimeScale, p: Place): number {
  const n = s.lengths[p.step] ?? 0;
  return bandOf(s) * (p.step + (n === 0 ? 0 : Math.min(1, p.event / n)));
}

/** The place that a point of the line stands for. */
export function placeAt(s: TimeScale, x: number): Place {
  const band = bandOf(s);
  const step = Math.max(0, Math.min(s.lengths.length - 1, Math.floor(x / band)));
  const n = s.lengths[step] ?? 0;
  return { step, event: Math.max(0, Math.min(n, Math.round((x / band - step) * n))) };
}

export interface Tick {
  readonly step: number;
  /** Middle of the step. */
  readonly x: number;
}

/** Numbers of steps that have room beside each other. */
export function ticksOf(s: TimeScale, room = 18): Tick[] {
  const band = bandOf(s);
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => n * band >= room) ?? 10_000;
  return s.lengths.flatMap((_, step) => (step % every === 0 ? [{ step, x: (step + 0.5) * band }] : []));
}

export interface Mark {
  readonly kind: 'filled' | 'hit' | 'removed' | 'wasted';
  readonly x: number;
  readonly place: Place;
  /** It is yet to come. */
  readonly later: boolean;
}

export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly kind: 'cached' | 'stale';
}

/** What is drawn of a life: where it was cached, where it was stale, and the events, one a pixel at most. */
export interface LifeLine {
  readonly stretches: readonly Stretch[];
  readonly marks: readonly Mark[];
}

const notAfter = (a: Place, b: Place): boolean => a.step < b.step || (a.step === b.step && a.event <= b.event);

export function lifeLine(life: Life, s: TimeScale, head: Place): LifeLine {
  const from = life.filled ? xOf(s, life.filled) : 0;
  const to = life.removed ? xOf(s, life.removed.place) : s.width;
  const stretches: Stretch[] = [{ from, to, kind: 'cached' }];
  for (const t of life.stale)
    stretches.push({ from: xOf(s, t.from), to: t.to ? xOf(s, t.to) : s.width, kind: 'stale' });
  const marks: Mark[] = [];
  const add = (kind: Mark['kind'], place: Place): void => {
    marks.push({ kind, place, x: xOf(s, place), later: !notAfter(place, head) });
  };
  let last = Number.NEGATIVE_INFINITY;
  for (const h of life.hits) {
    const x = xOf(s, h);
    if (x - last < 1) continue;
    last = x;
    add('hit', h);
  }
  if (life.filled) add('filled', life.filled);
  if (life.removed) add(life.removed.valid ? 'wasted' : 'removed', life.removed.place);
  return { stretches, marks };
}

/** The place to go to for a click: an event of the life that is near, else the point of time. */
export function placeOfClick(life: Life, s: TimeScale, x: number, reach = 7): Place {
  let best: Place | null = null;
  let least = reach;
  const places = [...life.hits, ...(life.filled ? [life.filled] : []), ...(life.removed ? [life.removed.place] : [])];
  for (const p of places) {
    const d = Math.abs(xOf(s, p) - x);
    if (d > least) continue;
    least = d;
    best = p;
  }
  return best ?? placeAt(s, x);
}
