import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { differences } from './brute-force.ts';
import { addressesOf, type MachineForm, sessionOf, unitsOf } from './random-machine.ts';
import { run, tour } from './random-runs.ts';
import { regressions } from './regressions.ts';

/**
 * With every rule of guest, VMM and host obeyed: after each thing that happens no entry is stale, and every access gives
 * with the caches what the plain walker gives without any.
 */

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 4);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

function obeys(m: MachineForm): void {
  // A run in which nothing is ever reached or cached proves nothing.
  let reached = 0;
  let hits = 0;
  fc.assert(
    fc.property(run(m, { min: 5, max: 30 }), (chunks) => {
      const s = sessionOf(m);
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
        for (const u of unitsOf(s.platformAt(last))) expect(differences(u, addressesOf(m))).toEqual([]);
      }
    }),
    { numRuns: runs, seed, examples: [[tour(m)], ...regressions('obeys')] as never },
  );
  expect(reached).toBeGreaterThan(5 * runs);
  expect(hits).toBeGreaterThan(runs);
}

describe('a machine whose drivers obey every rule', () => {
  it('one guest', () => obeys({}), 120_000);
  it('two guests', () => obeys({ guests: ['vm0', 'vm1'] }), 120_000);
  it('two units', () => obeys({ iommus: ['smmu0', 'smmu1'] }), 120_000);
  it(
    'no range invalidation, small caches',
    () => obeys({ features: { RIL: false, iotlbEntries: 3, atcEntries: 2 } }),
    120_000,
  );
  it('commands in batches', () => obeys({ policy: { batch: 16 } }), 120_000);
  it(
    'page faults forwarded, stalls',
    () => obeys({ policy: { pageFaults: 'forwarded' }, features: { STALL_MODEL: 0 } }),
    120_000,
  );
  it('a guest of 16 KiB pages', () => obeys({ features: { guestPage: '16KiB' } }), 120_000);
  it(
    'a guest and a host of 64 KiB pages',
    () => obeys({ features: { guestPage: '64KiB', hostPage: '64KiB' } }),
    120_000,
  );
});
