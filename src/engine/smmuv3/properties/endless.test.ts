import { describe, expect, it } from 'vitest';
import { nic0, Played } from './played-document.ts';

/** Operations that once did not end. */
describe('every operation ends', () => {
  it('also where the host retries a stalled transaction that faults again, for ever', () => {
    const p = new Played({
      devices: [{ ...nic0, ats: false, stall: true }],
      features: { STALL_MODEL: 0 },
      deviations: ['host.fault-retry-always'],
    });
    const r = p.do({ do: 'device.dma', device: 'nic0', iova: '0x10000', access: 'write' });
    expect(r.events.filter((e) => e.kind === 'resume').length).toBeGreaterThan(10);
    expect(r.eventCount).toBeLessThan(10_000);
    expect(p.do({ do: 'device.dma', device: 'nic0', iova: '0x40200000' }).result.ok).toBe(true);
  });
});
