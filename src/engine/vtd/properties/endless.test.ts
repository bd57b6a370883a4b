import { describe, expect, it } from 'vitest';
import { nic0, Played } from './played-document.ts';

/** Operations that might not end. */
describe('every operation ends', () => {
  it('also where a guest answers each page request with success and maps nothing', () => {
    const p = new Played({ devices: [nic0], deviations: ['guest.page-response-success'] });
    p.do({ do: 'guest.bind', device: 'nic0', process: 'app0' });
    p.do({ do: 'guest.map', domain: 'app0', iova: '0x10000', gpa: '0x40200000', present: false });
    const r = p.do({
      do: 'device.pri',
      device: 'nic0',
      pasid: 1,
      iova: '0x10000',
      access: 'write',
      group: 1,
      last: true,
    });
    expect(r.eventCount).toBeLessThan(10_000);
    expect(p.do({ do: 'device.dma', device: 'nic0', iova: '0x40200000' }).events.length).toBeGreaterThan(0);
  });

  it('also where a refused descriptor stays at the head of the queue', () => {
    const p = new Played({ deviations: ['guest.no-queue-repair'] });
    const r = p.command([0xan, 0n, 0n, 0n]);
    expect(r.eventCount).toBeLessThan(10_000);
    p.attach();
  });
});
