import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { action, deviceNames, play } from '../../guest/fixtures/lifetimes.ts';
import { bareMachine } from './bare-machine.ts';

/**
 * The driver alone on the hardware: whatever is attached, bound, mapped, unmapped, reset and used, in any order, no cache has an
 * entry that memory would not give, and what a device reaches is what its address space says at that moment.
 */
describe('the driver’s invalidations are enough', () => {
  it('over random lifetimes of domains, PASIDs and processes', () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 10, maxLength: 60 }), fc.boolean(), fc.boolean(), (list, ats, ril) => {
        const m = bareMachine({
          features: { STALL_MODEL: 0, RIL: ril },
          devices: deviceNames.map((name, i) => ({ name, rid: 8 + i * 8, ats, stall: !ats })),
        });
        m.ok(m.driver.boot());
        for (const name of deviceNames) m.ok(m.driver.attach({ device: name, domain: 'dma0' }));
        m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
        for (const a of list) {
          play(m, a, !ats);
          expect(m.stale(), a.kind).toEqual([]);
          expect(m.smmu.stalled()).toEqual([]);
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
