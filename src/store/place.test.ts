import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { advance, restMs, stepMs } from './clock.ts';
import {
  clampPlace,
  endPlace,
  hashToPlace,
  isAtEnd,
  nextEvent,
  nextStep,
  type Place,
  placeToHash,
  previousEvent,
  previousStep,
} from './place.ts';

const lengthsOf = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 6 });

describe('places', () => {
  it('event by event forward and back is the same way', () => {
    fc.assert(
      fc.property(lengthsOf, (lengths) => {
        const forward: Place[] = [{ step: 0, event: 0 }];
        for (let i = 0; i < 60 && !isAtEnd(forward.at(-1)!, lengths); i++)
          forward.push(nextEvent(forward.at(-1)!, lengths));
        expect(forward.at(-1)).toEqual(endPlace(lengths));
        const events = lengths.reduce((a, b) => a + b, 0);
        let p = forward.at(-1)!;
        let n = 0;
        while ((p.step > 0 || p.event > 0) && n++ < 100) {
          const q = previousEvent(p, lengths);
          expect(q.step < p.step || (q.step === p.step && q.event < p.event)).toBe(true);
          p = q;
        }
        expect(p).toEqual({ step: 0, event: 0 });
        expect(forward.length - 1).toBeLessThanOrEqual(events + 1);
      }),
    );
  });

  it('step by step stops at the ends of steps', () => {
    const lengths = [3, 2, 0, 4];
    expect(nextStep({ step: 1, event: 1 }, lengths)).toEqual({ step: 1, event: 2 });
    expect(nextStep({ step: 1, event: 2 }, lengths)).toEqual({ step: 2, event: 0 });
    expect(nextStep({ step: 3, event: 4 }, lengths)).toEqual({ step: 3, event: 4 });
    expect(previousStep({ step: 3, event: 2 }, lengths)).toEqual({ step: 2, event: 0 });
    expect(previousStep({ step: 0, event: 3 }, lengths)).toEqual({ step: 0, event: 0 });
  });

  it('are brought back into the document', () => {
    expect(clampPlace({ step: 9, event: 9 }, [1, 2])).toEqual({ step: 1, event: 2 });
    expect(clampPlace({ step: 1, event: Number.POSITIVE_INFINITY }, [1, 2])).toEqual({ step: 1, event: 2 });
    expect(clampPlace({ step: -1, event: Number.NaN }, [1, 2])).toEqual({ step: 0, event: 0 });
    expect(clampPlace({ step: 4, event: 1 }, [])).toEqual({ step: 0, event: 0 });
  });

  it('stand in the address bar', () => {
    const nothing = { scenario: null, local: null, step: null, event: null, readable: true };
    expect(hashToPlace(placeToHash({ scenario: 'a b&c' }, { step: 3, event: 5 }))).toEqual({
      ...nothing,
      scenario: 'a b&c',
      step: 3,
      event: 5,
    });
    expect(hashToPlace(placeToHash({ local: 'k3v9x0a1b2c3' }, { step: 3, event: 5 }))).toEqual({
      ...nothing,
      local: 'k3v9x0a1b2c3',
      step: 3,
      event: 5,
    });
    expect(hashToPlace('#step=-1&event=x')).toEqual({ ...nothing, readable: false });
    expect(hashToPlace('#e=1AAAA')).toEqual({ ...nothing, readable: false });
    expect(hashToPlace('')).toEqual(nothing);
  });
});

describe('the clock', () => {
  const timeOf = (n: number): number => {
    let head = { place: { step: 0, event: 0 }, progress: 0, rested: 0 };
    let ms = 0;
    while (head.place.event < n || head.progress < 1) {
      head = advance(head, 4, [n]).head;
      ms += 4;
    }
    return ms;
  };

  it('takes the same time for a step of 10 events and one of 1000', () => {
    expect(Math.abs(timeOf(10) - stepMs)).toBeLessThan(20);
    expect(Math.abs(timeOf(1000) - stepMs)).toBeLessThan(20);
    expect(timeOf(1)).toBeLessThan(stepMs / 2);
  });

  it('rests between steps and shows the last event of each', () => {
    const lengths = [2, 300, 0, 1];
    let head = { place: { step: 0, event: 0 }, progress: 0, rested: 0 };
    const seen = new Set<string>();
    let ms = 0;
    for (let done = false; !done; ms += 16) {
      const r = advance(head, 16, lengths);
      head = r.head;
      done = r.done;
      seen.add(`${head.place.step}.${head.place.event}`);
    }
    for (const [i, n] of lengths.entries()) expect(seen).toContain(`${i}.${n}`);
    expect(ms).toBeGreaterThan(stepMs + 3 * restMs);
    expect(ms).toBeLessThan(stepMs + 3 * restMs + 3 * 420 + 200);
  });

  it('never goes backwards and never leaves the document, whatever the frames', () => {
    fc.assert(
      fc.property(lengthsOf, fc.array(fc.integer({ min: 0, max: 900 }), { maxLength: 40 }), (lengths, frames) => {
        let head = { place: { step: 0, event: 0 }, progress: 0, rested: 0 };
        for (const ms of frames) {
          const next = advance(head, ms, lengths).head;
          const at = (h: typeof head) => h.place.step * 1000 + h.place.event + h.progress * 0.5;
          expect(next.place.step * 1000 + next.place.event).toBeGreaterThanOrEqual(
            head.place.step * 1000 + head.place.event,
          );
          expect(at(next)).toBeGreaterThanOrEqual(0);
          expect(clampPlace(next.place, lengths)).toEqual(next.place);
          head = next;
        }
      }),
    );
  });
});
