import { describe, expect, it } from 'vitest';
import { makeTrack, placeAt, positionOf } from './track.ts';

const lengths = [100, 4, 1, 0, 2];

describe('the slider', () => {
  it('gives each step the same width and the setup half of one', () => {
    expect(makeTrack(5).ends.map((e) => Math.round(e * 9))).toEqual([1, 3, 5, 7, 9]);
    expect(makeTrack(1).ends).toEqual([1]);
  });

  it('finds the place of every position that a place has', () => {
    const t = makeTrack(lengths.length);
    for (const [step, n] of lengths.entries())
      for (let event = step === 0 ? 0 : 1; event <= n; event++) {
        const place = { step, event };
        expect(placeAt(t, positionOf(t, place, lengths), lengths)).toEqual(place);
      }
  });

  it('goes smoothly within an event and never backwards', () => {
    const t = makeTrack(lengths.length);
    let last = -1;
    for (const [step, n] of lengths.entries())
      for (let event = 0; event <= n; event++)
        for (const progress of [0, 0.5, 1]) {
          const p = positionOf(t, { step, event }, lengths, progress);
          expect(p).toBeGreaterThanOrEqual(last);
          last = p;
        }
    expect(last).toBe(1);
  });
});
