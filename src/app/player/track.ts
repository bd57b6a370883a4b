import type { Lengths, Place } from '../../store/index.ts';

/**
 * The slider's track: each step has the same width, whatever the number of its events, so that marks do not crowd; the
 * setup has half of one. A position on it is 0..1.
 */
export interface Track {
  /** Where each step ends, 0..1; index 0 is the setup. */
  readonly ends: readonly number[];
}

export function makeTrack(steps: number): Track {
  const setup = steps <= 1 ? 1 : 0.5;
  const total = setup + Math.max(0, steps - 1);
  return { ends: Array.from({ length: steps }, (_, i) => (setup + i) / total) };
}

const startOf = (t: Track, step: number): number => (step === 0 ? 0 : t.ends[step - 1]!);

/** Where a place is; `progress` moves between its event and the one before. */
export function positionOf(t: Track, place: Place, lengths: Lengths, progress = 1): number {
  const end = t.ends[place.step];
  if (end === undefined) return 0;
  const start = startOf(t, place.step);
  const n = lengths[place.step] ?? 0;
  if (n === 0) return end;
  const done = Math.max(0, place.event - 1 + (place.event === 0 ? 1 : progress));
  return start + ((end - start) * done) / n;
}

/** The place nearest to a position. */
export function placeAt(t: Track, position: number, lengths: Lengths): Place {
  const p = Math.max(0, Math.min(1, position));
  let step = t.ends.findIndex((e) => p <= e + 1e-9);
  if (step < 0) step = t.ends.length - 1;
  const start = startOf(t, step);
  const end = t.ends[step] ?? 1;
  const n = lengths[step] ?? 0;
  const event = Math.round(((p - start) / (end - start)) * n);
  // The start of a step is the end of the one before: shown as the latter.
  return event === 0 && step > 0 ? { step: step - 1, event: lengths[step - 1]! } : { step, event };
}
