import fc from 'fast-check';
import { expect } from 'vitest';
import { addressesOf, type Kind, type MachineForm, sessionOf } from './random-machine.ts';
import { run, tour } from './random-runs.ts';

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 4);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

/**
 * With every rule of guest, VMM and host obeyed: after each thing that happens no entry is stale, and every access gives
 * with the caches what the plain walker gives without any.
 */
export function obeys(k: Kind, m: MachineForm): void {
  // A run in which nothing is ever reached or cached proves nothing.
  let reached = 0;
  let hits = 0;
  fc.assert(
    fc.property(run(k, m, { min: 5, max: 30 }), (chunks) => {
      const s = sessionOf(k, m);
      s.runAll();
      for (const c of chunks) {
        for (const step of c) {
          const r = s.append(step);
          expect(r.crash).toBe(undefined);
          if (step.do !== 'device.dma' || !r.result.ok) continue;
          reached++;
          if (r.result.hit !== 'walk') hits++;
        }
        const last = s.steps.length - 1;
        expect(s.steps[last]!.hazards.map((h) => h.text)).toEqual([]);
        const platform = s.platformAt(last);
        expect(k.differences(platform, addressesOf(m))).toEqual([]);
        expect(k.againstGuest?.(platform, addressesOf(m)) ?? []).toEqual([]);
      }
    }),
    { numRuns: runs, seed, examples: [[tour(k, m)], ...k.regressions.obeys] as never },
  );
  expect(reached).toBeGreaterThan(5 * runs);
  expect(hits).toBeGreaterThan(runs);
}
