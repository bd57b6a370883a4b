import fc from 'fast-check';
import { expect } from 'vitest';
import { addressesOf, type Kind, type MachineForm, sessionOf } from './random-machine.ts';
import { run, tour } from './random-runs.ts';

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 0);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;
const size = runs > 0 ? { min: 10, max: 40 } : { min: 1, max: 1 };

/**
 * With one rule broken: as long as the hazard check names nothing, no access tells the caches from none; what it names,
 * some access can see. Each rule is taken through a tour of all that sends an invalidation; IOMMUSCOPE_RUNS adds so many
 * random runs.
 * @returns after how many steps something was stale
 */
export function broken(k: Kind, name: string, form: MachineForm = {}): number {
  const m = { ...form, deviations: [name] };
  const seen = { hazards: 0, differences: 0, unseen: new Map<string, number>() };
  fc.assert(
    fc.property(run(k, m, size), (chunks) => {
      const s = sessionOf(k, m);
      s.runAll();
      for (const c of chunks) {
        for (const step of c) expect(s.append(step).crash).toBe(undefined);
        const last = s.steps.length - 1;
        const { hazards } = s.steps[last]!;
        const [different] = k.differences(s.platformAt(last), addressesOf(m));
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
      numRuns: runs + 1 + k.regressions.deviations.length,
      seed,
      examples: [[tour(k, m)], ...k.regressions.deviations] as never,
    },
  );
  if (process.env['IOMMUSCOPE_KINDS']) console.log(`${name}: steps`, seen.hazards, seen.differences, [...seen.unseen]);
  return seen.hazards;
}
