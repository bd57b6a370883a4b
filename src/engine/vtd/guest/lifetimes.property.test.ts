import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { action, deviceNames, play } from '../../guest/fixtures/lifetimes.ts';
import { bareMachine } from './bare-machine.ts';

const devices = (ats: boolean) => deviceNames.map((name, i) => ({ name, rid: 0x18 + i * 8, ats, pri: ats }));

describe('the driver’s invalidations are enough', () => {
  it('over random lifetimes of domains, PASIDs and processes', () => {
    const features = fc.record({ CM: fc.boolean(), FS5LP: fc.boolean(), PSI: fc.boolean(), FSTS: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, { minLength: 10, maxLength: 60 }), fc.boolean(), features, (list, ats, f) => {
        const m = bareMachine({ features: { ...f, NEST: f.FSTS }, devices: devices(ats) });
        m.ok(m.driver.boot());
        for (const name of deviceNames) m.ok(m.driver.attach({ device: name, domain: 'dma0' }));
        m.run(m.driver.bind({ device: 'nic0', process: 'app' }));
        for (const a of list) {
          play(m, a, false);
          expect(m.stale(), a.kind).toEqual([]);
          expect(m.driver.views().units[0]!.stuck).toBe(false);
        }
      }),
      { numRuns: 60 },
    );
  }, 60_000);

  it('and pages come back when everything has gone', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (list) => {
        const m = bareMachine({ devices: devices(true) });
        m.ok(m.driver.boot());
        m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
        // Only into processes: what a DMA domain maps is kept for ever.
        const isProcess = (name: string): boolean => m.driver.views().processes.some((p) => p.name === name);
        for (const a of list) if (a.kind !== 'map' || isProcess(a.space)) play(m, a, false);
        for (const device of deviceNames) m.run(m.driver.remove({ device }));
        for (const p of m.driver.views().processes) m.run(m.driver.exit({ process: p.name }));
        expect(m.driver.views()).toMatchObject({ processes: [], devices: [] });
        // A start table for each DMA domain; the unit's queue, status words, root and context table, page request queue.
        expect(m.pagesHeld()).toBe(m.driver.views().domains.length + 2 + 1 + 1 + 1 + 16);
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
