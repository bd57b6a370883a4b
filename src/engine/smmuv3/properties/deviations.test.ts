import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smmuv3Vendor } from '../index.ts';
import { differences } from './brute-force.ts';
import { run, sessionOf, unitsOf } from './random-machine.ts';

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 3);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

describe('with one rule broken', () => {
  for (const d of smmuv3Vendor.deviations)
    it(d.name, () => {
      const m = { deviations: [d.name] };
      let stale = 0;
      let seen = 0;
      const wolves = new Map<string, number>();
      fc.assert(
        fc.property(run(m, { min: 10, max: 40 }), (chunks) => {
          const s = sessionOf(m);
          s.runAll();
          for (const c of chunks) {
            for (const step of c) expect(s.append(step).crash).toBe(undefined);
            const last = s.steps.length - 1;
            const hazards = s.steps[last]!.hazards;
            const diff = unitsOf(s.platformAt(last)).flatMap((u) => differences(u));
            if (diff.length > 0) seen++;
            if (hazards.length > 0) stale++;
            if (diff.length > 0 && hazards.length === 0) expect({ without: 'a hazard', diff: diff.slice(0, 3), step: c }).toBe(null);
            if (hazards.length > 0 && diff.length === 0) for (const h of hazards) wolves.set(h.cache, (wolves.get(h.cache) ?? 0) + 1);
          }
        }),
        { numRuns: runs, seed },
      );
      if (process.env['IOMMUSCOPE_KINDS']) console.log(d.name, 'steps with hazards', stale, 'with differences', seen, [...wolves]);
    }, 60_000);
});
