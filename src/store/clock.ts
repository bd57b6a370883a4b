import type { Lengths, Place } from './place.ts';

/** How long a step's events take together at normal speed, however many they are. */
export const stepMs = 1500;
/** A step of few events does not stretch them beyond this. */
const eventMs = 420;
/** Between two steps, long enough to read the result. */
export const restMs = 650;
/** One event that a person steps by hand. */
export const singleMs = 420;

/** Duration of all events of a step of `n` events. */
export const stepDuration = (n: number): number => Math.min(stepMs, n * eventMs);

/** The playing head between two frames: the place, how far its last event has come (0..1), and the rest after a step. */
export interface Head {
  readonly place: Place;
  readonly progress: number;
  /** Milliseconds of rest that have passed, at normal speed. */
  readonly rested: number;
}

/**
 * Moves the playing head by `ms` of time at normal speed. Long steps advance several events at once; no step is jumped
 * over unseen, its last event always shows for a frame.
 * @returns the head, and `done` when it has come to the end of the document and rested there
 */
export function advance(head: Head, ms: number, lengths: Lengths): { head: Head; done: boolean } {
  let { place, progress, rested } = head;
  let left = ms;
  for (;;) {
    const n = lengths[place.step] ?? 0;
    const finished = place.event >= n && progress >= 1;
    if (!finished && n > 0) {
      const each = stepDuration(n) / n;
      // Time since the step began: event k flies from (k-1)*each to k*each.
      const t = place.event === 0 ? 0 : (place.event - 1 + progress) * each;
      const u = Math.min((t + left) / each, n);
      const event = Math.min(n, Math.floor(u) + 1);
      place = { step: place.step, event };
      progress = event === n ? Math.min(1, u - (n - 1)) : u - Math.floor(u);
      return { head: { place, progress, rested: 0 }, done: false };
    }
    const pause = place.step + 1 < lengths.length ? restMs : 0;
    if (rested + left < pause) return { head: { place, progress: 1, rested: rested + left }, done: false };
    left -= Math.max(0, pause - rested);
    rested = 0;
    if (place.step + 1 >= lengths.length) return { head: { place, progress: 1, rested: 0 }, done: true };
    place = { step: place.step + 1, event: 0 };
    progress = 0;
    if ((lengths[place.step] ?? 0) === 0) {
      progress = 1;
      left = Math.min(left, restMs - 1);
    }
  }
}
