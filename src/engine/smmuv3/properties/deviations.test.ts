import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { smmuv3Vendor } from '../index.ts';
import { differences } from './brute-force.ts';
import { sessionOf, unitsOf } from './random-machine.ts';
import { run, tour } from './random-runs.ts';
import { regressions } from './regressions.ts';

/**
 * With one rule broken: as long as the hazard check names nothing, no access tells the caches from none; what it names,
 * some access can see. Each rule is taken through a tour of all that sends an invalidation; IOMMUSCOPE_RUNS adds so many random runs.
 */

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 0);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;
const size = runs > 0 ? { min: 10, max: 40 } : { min: 1, max: 1 };

/** Steps after which something was stale, over all rules. */
let stale = 0;

function broken(name: string): void {
  const m = { deviations: [name] };
  const seen = { hazards: 0, differences: 0, unseen: new Map<string, number>() };
  fc.assert(
    fc.property(run(m, size), (chunks) => {
      const s = sessionOf(m);
      s.runAll();
      for (const c of chunks) {
        for (const step of c) expect(s.append(step).crash).toBe(undefined);
        const last = s.steps.length - 1;
        const { hazards } = s.steps[last]!;
        const [different] = unitsOf(s.platformAt(last)).flatMap((u) => differences(u));
        if (different) seen.differences++;
        if (hazards.length > 0) seen.hazards++;
        if (hazards.length === 0) expect({ after: c, different }).toEqual({ after: c, different: undefined });
        // A row of a walk cache or of configuration may be hidden behind another; one that devices hit directly may not.
        if (hazards.length > 0 && !different)
          for (const h of hazards) seen.unseen.set(h.cache, (seen.unseen.get(h.cache) ?? 0) + 1);
        if (!different) expect(hazards.filter((h) => h.cache === 'IOTLB' || h.cache === 'ATC')).toEqual([]);
      }
    }),
    {
      numRuns: runs + 1 + regressions('deviations').length,
      seed,
      examples: [[tour(m)], ...regressions('deviations')] as never,
    },
  );
  stale += seen.hazards;
  if (process.env['IOMMUSCOPE_KINDS']) console.log(`${name}: steps`, seen.hazards, seen.differences, [...seen.unseen]);
}

describe('with one rule broken', () => {
  for (const d of smmuv3Vendor.deviations) it(d.name, () => broken(d.name), 600_000);
  it('some of it was stale', () => expect(stale).toBeGreaterThan(10));
});
