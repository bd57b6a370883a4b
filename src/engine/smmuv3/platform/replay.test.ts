import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Session, type Step } from '../../document/index.ts';
import { documents } from './fixtures/documents.ts';

/** A state or a trace as text: two that differ anywhere differ as text. */
const text = (v: unknown): string =>
  JSON.stringify(v, (_, x) =>
    typeof x === 'bigint' ? `${x}n` : x instanceof Map ? [...x] : ArrayBuffer.isView(x) ? [...(x as Uint8Array)] : x,
  );

const outcome = (s: Session): string =>
  text(s.steps.map((r) => [r.operation, r.result, r.events, r.hazards, r.cost, r.bindings]));

function look(s: Session, step: number, event?: number): string {
  const p = s.platformAt(step, event);
  const hazards = p.hazards();
  const scene = p.scene(hazards);
  // The whole state but memory, of which scene and caches show what is in use.
  const { memory: _memory, ...state } = p.save() as { memory: unknown };
  return text([state, scene, hazards, p.cached(), scene.objects.map((o) => p.inspect(o.id))]);
}

const play = (document: unknown, checkpoints: number, events = 100): Session => {
  const s = new Session(document as never, undefined, { checkpoints, events });
  s.runAll();
  return s;
};

describe('any moment of a document with several guests, units or PASIDs', () => {
  for (const d of Object.values(documents)) {
    it(`${d.title}: reached by seeking is the one reached by going forward`, () => {
      const whole = outcome(play(d, 1000));
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 6 }),
          fc.array(fc.tuple(fc.nat(d.steps.length), fc.nat()), { minLength: 1, maxLength: 4 }),
          (checkpoints, places) => {
            const s = play(d, checkpoints);
            for (const [at, n] of places) {
              const event = n % (s.steps[at]!.eventCount + 1);
              const forward = new Session({ ...d, steps: d.steps.slice(0, at) } as never);
              forward.runAll();
              expect(look(s, at, event)).toBe(look(forward, at, event));
            }
            expect(outcome(s)).toBe(whole);
          },
        ),
        { numRuns: 4 },
      );
    }, 60_000);

    it(`${d.title}: cut off anywhere and played on ends the same`, () => {
      const whole = outcome(play(d, 1000));
      fc.assert(
        fc.property(fc.nat(d.steps.length), fc.nat(), (keep, n) => {
          const s = play(d, 4);
          s.platformAt(n % (d.steps.length + 1), n % 5);
          s.truncate(keep);
          for (const step of d.steps.slice(keep)) s.append(step as unknown as Step);
          expect(outcome(s)).toBe(whole);
        }),
        { numRuns: 4 },
      );
    }, 60_000);
  }
});
