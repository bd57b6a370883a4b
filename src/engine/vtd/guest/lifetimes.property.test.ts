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

  it.each([
    'guest.no-iotlb-inv',
    'guest.no-dev-tlb-inv',
    'guest.leaf-only-flush',
    'guest.range-by-length',
    'guest.unmap-no-flush',
    'guest.queue-no-flush',
    'guest.sva-no-flush',
    'guest.sva-last-page-missed',
    'guest.exit-keeps-entry',
  ])(
    'and are missed: %s',
    (name) => {
      const lives = fc.property(fc.array(action, { minLength: 20, maxLength: 60 }), (list) => {
        const m = bareMachine({ deviations: [name], devices: devices(true) });
        m.ok(m.driver.boot());
        for (const device of deviceNames) m.ok(m.driver.attach({ device, domain: 'dma0' }));
        m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
        for (const a of list) {
          play(m, a, false);
          if (m.stale().length > 0) return false;
        }
        return true;
      });
      expect(fc.check(lives, { numRuns: 200, seed: 11, endOnFailure: true }).failed).toBe(true);
    },
    60_000,
  );

  it('with few pages too: an operation that finds none fails with ENOMEM and leaves nothing stale', () => {
    const few = fc.integer({ min: 20, max: 60 });
    let failures = 0;
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), few, (list, pages) => {
        const m = bareMachine({ pages, devices: devices(true) });
        const attached = [m.driver.boot(), ...deviceNames.map((device) => m.driver.attach({ device, domain: 'dma0' }))];
        for (const op of attached) if (m.run(op).errno === 'ENOMEM') failures++;
        for (const a of list) {
          // Where an access arrives is another question here: the driver stops in the middle of things.
          if (a.kind === 'dma') m.dma(a.page * 4096, a);
          else if (a.kind !== 'use') play(m, a, false);
          expect(m.stale(), a.kind).toEqual([]);
        }
      }),
      { numRuns: 40 },
    );
    expect(failures).toBeGreaterThan(0);
  }, 60_000);

  it('and pages come back when everything has gone', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (list) => {
        const m = bareMachine({ devices: devices(true) });
        m.ok(m.driver.boot());
        m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
        // Only into processes: the tables of a DMA domain are kept for ever.
        const isProcess = (name: string): boolean => m.driver.views().processes.some((p) => p.name === name);
        for (const a of list) if (a.kind !== 'use' && (a.kind !== 'map' || isProcess(a.space))) play(m, a, false);
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
