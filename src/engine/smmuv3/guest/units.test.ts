import { describe, expect, it } from 'vitest';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const device = (name: string, vrid: number) => ({ name, vrid, pasidBits: 8, atsCapable: true });

/** Two vSMMUs: nic0 and nic1 behind the first, nic2 behind the second; all have their own vSID 8, 16, 8. */
function two(o: RecorderOptions = {}) {
  const devices = [device('nic0', 8), device('nic1', 16), device('nic2', 8)];
  const g = guestOnRecorder({ ats: true, ssidBits: 8, devices, second: ['nic2'], ...o });
  const boot = g.run(g.driver.boot());
  const both = (): { first: string[]; second: string[] } => ({ first: g.smmu.take(), second: g.smmu1.take() });
  return { ...g, boot, both };
}

describe('a guest with two vSMMUs', () => {
  it('probes each with queues and tables of its own', () => {
    const g = two();
    expect(g.boot).toEqual({ ok: true, text: 'the guest has booted: 3 devices behind its SMMUs' });
    const [a, b] = g.driver.views().units;
    expect(
      new Set([a!.cmdq!.base, b!.cmdq!.base, a!.evtq!.base, b!.evtq!.base, a!.strtab!.base, b!.strtab!.base]).size,
    ).toBe(6);
    const { first, second } = g.both();
    expect(first.filter((s) => s.startsWith('CR0'))).toEqual(second.filter((s) => s.startsWith('CR0')));
    expect(g.smmu1.registers['CMDQ_BASE']! & 0xfffffffffffe0n).toBe(BigInt(b!.cmdq!.base));
    expect(g.driver.views().devices.map((d) => [d.name, d.unit, d.vsid])).toEqual([
      ['nic0', 'vsmmu0', 8],
      ['nic1', 'vsmmu0', 16],
      ['nic2', 'vsmmu1', 8],
    ]);
  });

  it('sends the commands of a device to its own one', () => {
    const g = two();
    g.both();
    g.ok(g.driver.attach({ device: 'nic2', domain: 'dma2' }));
    const { first, second } = g.both();
    expect(first).toEqual([]);
    expect(second[0]).toBe('CFGI_CD sid 0x8 ssid 0x0 leaf');
    g.ok(g.driver.invalidate([0x30n, 0n], 'vsmmu1'));
    expect(g.both()).toEqual({ first: [], second: ['TLBI_NSNH_ALL', 'SYNC'] });
    g.ok(g.driver.invalidate([0x30n, 0n]));
    expect(g.both().first).toEqual(['TLBI_NSNH_ALL', 'SYNC']);
    expect(g.run(g.driver.invalidate([0x30n, 0n], 'vsmmu7')).ok).toBe(false);
  });

  it('a domain belongs to one SMMU: EINVAL behind the other', () => {
    const g = two();
    g.ok(g.driver.map({ domain: 'early', iova: 0x1000, gpa: 0x40000000, size: 4096 }));
    g.ok(g.driver.attach({ device: 'nic2', domain: 'early' }));
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'early' }))).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'early', pasid: 3 }))).toMatchObject({ errno: 'EINVAL' });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'x', cdTable: 'nic2' }))).toMatchObject({ errno: 'EINVAL' });
    g.both();
    g.ok(g.driver.unmap({ domain: 'early', iova: 0x1000, size: 4096 }));
    const { first, second } = g.both();
    expect(first).toEqual([]);
    expect(second).toHaveLength(4);
  });

  it('ASIDs are one number space, PASIDs too; a process has a domain for each SMMU', () => {
    const g = two();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic2', domain: 'dma2' }));
    for (const name of ['nic0', 'nic2']) g.ok(g.driver.bind({ device: name, process: 'app' }));
    expect(g.driver.views().processes[0]).toMatchObject({
      pasid: 1,
      spaces: [
        { asid: 3, unit: 'vsmmu0' },
        { asid: 4, unit: 'vsmmu1' },
      ],
    });
    g.ok(g.driver.map({ domain: 'app', iova: 0x10000, gpa: 0x40000000, size: 4096 }));
    g.both();
    g.ok(g.driver.unmap({ domain: 'app', iova: 0x10000, size: 4096 }));
    const { first, second } = g.both();
    expect([first[0], second[0]]).toEqual([3, 4].map((asid) => `TLBI_NH_VA asid ${asid} va 0x0 pages 17 of 4K`));
    g.ok(g.driver.exit({ process: 'app' }));
    const quiet = g.both();
    expect(quiet.first.filter((s) => s !== 'SYNC').slice(2)).toEqual([
      'TLBI_NH_ASID asid 3',
      'ATC_INV sid 0x8 ssid 0x1 all',
    ]);
    expect(quiet.second.filter((s) => s !== 'SYNC').slice(2)).toEqual([
      'TLBI_NH_ASID asid 4',
      'ATC_INV sid 0x8 ssid 0x1 all',
    ]);
  });

  it('takes interrupts of either', () => {
    const g = two();
    const { base } = g.driver.views().units[1]!.evtq!;
    g.memory.writeWord(base, 0x0000000800000010n);
    g.smmu1.registers['EVENTQ_PROD'] = 1n;
    g.smmu1.irq.evtq = true;
    const at: string[] = [];
    g.trace.listener = (e) => e.kind === 'note' && e.text.includes('client') && at.push(e.at, e.text);
    g.run(g.driver.interrupt());
    expect(at[0]).toBe('guest.vm1.vsmmu1.evtq');
    expect(at[1]).toContain('client: nic2 sid: 0x8');
  });

  it('gives every object a scene id with guest and unit', () => {
    const g = two();
    const ids = new Set<string>();
    g.trace.listener = (e) => {
      ids.add(e.at);
      if ('to' in e && e.to !== undefined) ids.add(e.to);
    };
    g.ok(g.driver.attach({ device: 'nic2', domain: 'dma2' }));
    g.ok(g.driver.map({ domain: 'dma2', iova: 0x1000, gpa: 0x40000000, size: 4096 }));
    expect([...ids].sort()).toEqual([
      'guest.vm1.s1.dma2',
      'guest.vm1.vsmmu1.cdtable.nic2',
      'guest.vm1.vsmmu1.cmdq',
      'guest.vm1.vsmmu1.ste.0x8',
      'vmm.vm1.vsmmu1.vsmmu',
    ]);
    const v = g.driver.views();
    expect(v.devices[2]!.ste).toBe('guest.vm1.vsmmu1.ste.0x8');
    expect(v.domains[0]!.id).toBe('guest.vm1.s1.dma2');
    expect(v.units[1]!.ids.strtab).toBe('guest.vm1.vsmmu1.strtab');
  });

  it('goes on without an SMMU whose probe fails', () => {
    const devices = [device('nic0', 8), device('nic2', 8)];
    const g = guestOnRecorder({ devices, second: ['nic2'] });
    // IDR0 without stage 1 and 2.
    g.smmu.registers['IDR0'] = 0x0d441018n;
    expect(g.run(g.driver.boot())).toMatchObject({ ok: false, errno: 'ENXIO' });
    expect(g.driver.views().booted).toBe(true);
    expect(g.run(g.driver.attach({ device: 'nic2', domain: 'dma0' })).ok).toBe(true);
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma1' })).ok).toBe(false);
    expect(g.run(g.driver.invalidate([0x30n, 0n], 'vsmmu0')).ok).toBe(false);
  });

  it('delivers a held-back command to the queue it was meant for', () => {
    const g = two();
    g.both();
    g.run(g.driver.deliver([0x30n, 0n], 'guest.vm1.vsmmu1.cmdq'));
    g.run(g.driver.deliver([0x10n, 0n]));
    expect(g.both()).toEqual({ first: ['TLBI_NH_ALL vmid 0'], second: ['TLBI_NSNH_ALL'] });
  });
});
