import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differences } from './brute-force.ts';
import { type MachineForm, run, sessionOf, unitsOf } from './random-machine.ts';

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 25);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

/** With every rule obeyed. */
function obeys(m: MachineForm): void {
  fc.assert(
    fc.property(run(m, { min: 5, max: 30 }), (chunks) => {
      const s = sessionOf(m);
      s.runAll();
      for (const c of chunks) {
        for (const step of c) {
          const r = s.append(step);
          expect(r.crash).toBe(undefined);
        }
        const last = s.steps.length - 1;
        expect(s.steps[last]!.hazards.map((h) => h.text)).toEqual([]);
        for (const u of unitsOf(s.platformAt(last))) expect(differences(u)).toEqual([]);
      }
    }),
    { numRuns: runs, seed },
  );
}

describe('a machine whose drivers obey every rule', () => {
  it('never has a stale entry, and translates with its caches as without', () => obeys({}), 120_000);
});
