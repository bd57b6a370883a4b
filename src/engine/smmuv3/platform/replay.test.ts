import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Session, type Step } from '../../document/index.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documents } from './fixtures/documents.ts';

await loadVendors(['smmuv3']);

/** A state or a trace as text: two that differ anywhere differ as text. */
const text = (v: unknown): string => JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? `${x}n` : x));

const outcome = (s: Session): string =>
  text(s.steps.map((r) => [r.operation, r.result, r.events, r.hazards, r.cost, r.bindings]));

function look(s: Session, step: number, event?: number): string {
  const p = s.platformAt(step, event);
  const hazards = p.hazards();
  const scene = p.scene(hazards);
  return text([scene, hazards, p.cached(), scene.objects.map((o) => p.inspect(o.id))]);
}

/** Where two texts part, '' when they are equal: a diff of whole traces would take minutes. */
function parting(a: string, b: string): string {
  if (a === b) return '';
  let i = 0;
  while (a[i] === b[i]) i++;
  return `${a.slice(Math.max(0, i - 100), i + 100)}\nrather than\n${b.slice(Math.max(0, i - 100), i + 100)}`;
}

const made = (document: unknown, checkpoints: number): Session =>
  new Session(document as never, undefined, { checkpoints, events: 100 });

describe('any moment of a document with several guests, units or PASIDs', () => {
  for (const d of Object.values(documents)) {
    it(`${d.title}: reached by seeking is the one reached by going forward`, () => {
      const forward = made(d, 1000);
      const seen: (readonly [number, number, string])[] = [];
      for (let i = 0; i <= d.steps.length; i++) {
        forward.runTo(i);
        const event = Math.floor(forward.steps[i]!.eventCount / 2);
        seen.push([i, event, look(forward, i, event)], [i, Number.POSITIVE_INFINITY, look(forward, i)]);
      }
      const whole = outcome(forward);
      const order = fc.shuffledSubarray([...seen.keys()], { minLength: 6, maxLength: 10 });
      fc.assert(
        fc.property(fc.integer({ min: 1, max: 5 }), order, (checkpoints, places) => {
          const s = made(d, checkpoints);
          s.runAll();
          for (const [i, event, was] of places.map((n) => seen[n]!))
            expect(parting(look(s, i, event), was), `step ${i} event ${event}`).toBe('');
          expect(parting(outcome(s), whole)).toBe('');
        }),
        { numRuns: 2, endOnFailure: true },
      );
    }, 60_000);

    it(`${d.title}: cut off anywhere and played on ends the same`, () => {
      const whole = made(d, 1000);
      whole.runAll();
      fc.assert(
        fc.property(fc.nat(d.steps.length), fc.nat(), (keep, n) => {
          const s = made(d, 4);
          s.runAll();
          s.platformAt(n % (d.steps.length + 1), n % 5);
          s.truncate(keep);
          for (const step of d.steps.slice(keep)) s.append(step as unknown as Step);
          expect(parting(outcome(s), outcome(whole))).toBe('');
        }),
        { numRuns: 2, endOnFailure: true },
      );
    }, 60_000);
  }
});
