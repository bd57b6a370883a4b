import { describe, expect, it } from 'vitest';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const nic0 = { name: 'nic0', vrid: 8, pasidBits: 8, atsCapable: true };

function booted(o: RecorderOptions = {}) {
  const g = guestOnRecorder({ ats: true, ssidBits: 8, devices: [nic0], ...o });
  g.ok(g.driver.boot());
  const device = { device: 'nic0' };
  const prepare = () => g.driver.resetPrepare(device);
  const done = () => g.driver.resetDone(device);
  const ste = () => [0, 8].map((i) => g.memory.readWord(g.driver.views().devices[0]!.steAddress + i));
  return { ...g, prepare, done, ste };
}

describe('around a reset (arm-smmuv3.md 7.8)', () => {
  it('RID and PASIDs are blocked before and come back after', () => {
    const g = booted();
    const whole = ['ATC_INV sid 0x8 all', 'SYNC'];
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'app' }));
    const before = [...g.ste(), ...g.driver.views().devices];
    const entry = (name: string): string[] => [`CFGI_${name} leaf`, 'SYNC', `CFGI_${name} leaf`, 'SYNC'];
    const clear = (ssid: string): string[] => entry(`CD sid 0x8 ssid ${ssid}`);
    const stes = [...entry('STE sid 0x8'), 'PREFETCH_CONFIG sid 0x8'];
    expect(g.sent(g.prepare())).toEqual([
      // 7.7 to blocked: with PASIDs only S1DSS changes.
      'CFGI_STE sid 0x8 leaf',
      'SYNC',
      'PREFETCH_CONFIG sid 0x8',
      ...whole,
      'TLBI_NH_ASID asid 1',
      'SYNC',
      ...clear('0x0'),
      // Then each PASID as an unbind.
      ...clear('0x1'),
      'ATC_INV sid 0x8 ssid 0x1 all',
      'SYNC',
      'TLBI_NH_ASID asid 3',
      'SYNC',
      ...clear('0x5'),
      'ATC_INV sid 0x8 ssid 0x5 all',
      'SYNC',
      'TLBI_NH_ASID asid 2',
      'SYNC',
      // The last one makes the STE an abort.
      ...stes,
      ...whole,
    ]);
    expect(g.ste()).toEqual([1n, 0n]);
    expect(g.driver.views().devices[0]).toMatchObject({ domain: 'dma0', resetting: true, atsEnabled: false });
    // Nothing goes to the device meanwhile.
    g.ok(g.driver.map({ domain: 'dma0', iova: 0x1000, gpa: 0x40000000, size: 4096 }));
    g.ok(g.driver.map({ domain: 'app', iova: 0x1000, gpa: 0x40000000, size: 4096 }));
    expect(g.sent(g.driver.unmap({ domain: 'dma0', iova: 0x1000, size: 4096 }))).toEqual([]);
    expect(g.sent(g.driver.unmap({ domain: 'app', iova: 0x1000, size: 4096 }))).toEqual([]);
    expect(g.sent(g.done())).toEqual([
      ...clear('0x0'),
      ...stes,
      ...whole,
      ...clear('0x1'),
      'ATC_INV sid 0x8 ssid 0x1 all',
      'SYNC',
      ...clear('0x5'),
      'ATC_INV sid 0x8 ssid 0x5 all',
      'SYNC',
    ]);
    expect([...g.ste(), ...g.driver.views().devices]).toEqual(before);
  });

  it('resets within one another count; only the outermost acts', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.prepare());
    expect(g.sent(g.prepare())).toEqual([]);
    expect(g.sent(g.done())).toEqual([]);
    for (const domain of ['dma1', 'bypass'])
      expect(g.run(g.driver.attach({ device: 'nic0', domain }))).toMatchObject({ ok: false, errno: 'EBUSY' });
    expect(g.sent(g.done()).length).toBeGreaterThan(0);
    expect(g.sent(g.done())).toEqual([]);
  });

  it('attach and bind wait, detach is remembered', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'app' }));
    g.ok(g.prepare());
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma1' }))).toMatchObject({ errno: 'EBUSY' });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 6 }))).toMatchObject({ errno: 'EBUSY' });
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'other' }))).toMatchObject({ errno: 'EBUSY' });
    expect(g.sent(g.driver.detach({ device: 'nic0' }))).toEqual([]);
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 5 }))).toEqual([]);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'app' }))).toEqual([]);
    expect(g.sent(g.done())).toEqual([]);
    expect(g.driver.views().devices[0]).toMatchObject({ domain: 'blocked', pasids: [], resetting: false });
    expect(g.ste()).toEqual([1n, 0n]);
  });

  it('a process that exits meanwhile does not come back, and can still be unbound', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'app' }));
    g.ok(g.prepare());
    expect(g.sent(g.driver.exit({ process: 'app' }))).toEqual([]);
    expect(g.sent(g.done()).some((s) => s.includes('ssid 0x1'))).toBe(false);
    expect(g.driver.views().processes).toHaveLength(1);
    g.ok(g.driver.unbind({ device: 'nic0', process: 'app' }));
    expect(g.driver.views().processes).toEqual([]);
  });

  it('a device without ATS needs no command', () => {
    const g = booted({ ats: false });
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(g.sent(g.prepare())).toEqual([]);
    expect(g.driver.views().devices[0]!.resetting).toBe(false);
    expect(g.sent(g.done())).toEqual([]);
    expect(g.run(g.driver.resetPrepare({ device: 'nobody' })).ok).toBe(false);
  });

  it('bypass comes back, and a device that leaves during its reset leaves nothing', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'bypass' }));
    g.ok(g.prepare());
    expect(g.ste()).toEqual([1n, 0n]);
    g.ok(g.done());
    expect(g.ste()).toEqual([9n, 0n]);
    g.ok(g.driver.bind({ device: 'nic0', process: 'app' }));
    g.ok(g.prepare());
    g.ok(g.driver.remove({ device: 'nic0' }));
    expect(g.driver.views()).toMatchObject({ devices: [], processes: [{ spaces: [] }] });
  });
});
