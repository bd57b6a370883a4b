import { describe, expect, it } from 'vitest';
import { guestOnRecorder } from './recording-smmu.ts';

function attached(o: Parameters<typeof guestOnRecorder>[0] = {}) {
  const g = guestOnRecorder(o);
  g.run(g.driver.boot());
  g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
  g.smmu.take();
  return g;
}

const hex16 = (w: bigint): string => w.toString(16).padStart(16, '0');

describe('probe, arm-smmuv3.md 7.1', () => {
  it('writes the registers and commands in the driver’s order', () => {
    const g = guestOnRecorder();
    expect(g.run(g.driver.boot())).toMatchObject({ ok: true });
    const { cmdq, evtq, strtab } = g.driver.views();
    expect(g.smmu.take()).toEqual([
      'CR0=0x0',
      'CR1=0xd75',
      'CR2=0x6',
      `STRTAB_BASE=0x${((1n << 62n) | BigInt(strtab!.base)).toString(16)}`,
      'STRTAB_BASE_CFG=0x10210',
      `CMDQ_BASE=0x${((1n << 62n) | BigInt(cmdq!.base) | 16n).toString(16)}`,
      'CMDQ_CONS=0x0',
      'CR0=0x8',
      'CFGI_ALL',
      'SYNC',
      'TLBI_NSNH_ALL',
      'SYNC',
      `EVENTQ_BASE=0x${((1n << 62n) | BigInt(evtq!.base) | 15n).toString(16)}`,
      'EVENTQ_PROD=0x0',
      'EVENTQ_CONS=0x0',
      'CR0=0xc',
      'IRQ_CTRL=0x0',
      'GERROR_IRQ_CFG0=0x0',
      'EVENTQ_IRQ_CFG0=0x0',
      'IRQ_CTRL=0x5',
      'CR0=0xd',
    ]);
    expect(g.smmu.registers['CMDQ_PROD']).toBe(4n);
    expect(cmdq).toMatchObject({ size: 65536, prod: 4, cons: 4 });
    expect(evtq).toMatchObject({ size: 32768 });
    expect(strtab!.base % 2048).toBe(0);
  });

  it('switches the ATS check on where the vSMMU has ATS', () => {
    const g = guestOnRecorder({ ats: true });
    g.run(g.driver.boot());
    const cr0 = g.smmu.take().filter((s) => s.startsWith('CR0='));
    expect(cr0).toEqual(['CR0=0x0', 'CR0=0x8', 'CR0=0xc', 'CR0=0x1c', 'CR0=0x1d']);
  });

  it('starts every stream table entry as abort', () => {
    const g = guestOnRecorder();
    g.run(g.driver.boot());
    const { strtab, devices } = g.driver.views();
    const l1 = g.memory.readWord(strtab!.base);
    expect(Number(l1 & 31n)).toBe(9);
    const l2 = Number(l1 & 0xfffffffffffc0n);
    expect(devices[0]!.steAddress).toBe(l2 + 8 * 64);
    for (const sid of [0, 8, 255]) expect(g.memory.readWord(l2 + sid * 64)).toBe(1n);
    expect(g.memory.readWord(strtab!.base + 8)).toBe(0n);
  });
});

describe('attach, arm-smmuv3.md 7.2 and 7.7', () => {
  it('first attach: CD, then STE, each word 0 last', () => {
    const g = guestOnRecorder();
    g.run(g.driver.boot());
    g.smmu.take();
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }))).toMatchObject({ ok: true });
    expect(g.smmu.take()).toEqual([
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'SYNC',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'SYNC',
      'CFGI_STE sid 0x8 leaf',
      'SYNC',
      'CFGI_STE sid 0x8 leaf',
      'SYNC',
      'PREFETCH_CONFIG sid 0x8',
    ]);
  });

  it('writes E1 and E4 of arm-smmuv3.md 10.1', () => {
    const g = attached();
    const { devices, domains } = g.driver.views();
    const ste = [0, 8, 16, 24].map((o) => hex16(g.memory.readWord(devices[0]!.steAddress + o)));
    const table = devices[0]!.cdTable!.address;
    expect(ste).toEqual([hex16(0xbn | BigInt(table)), '00000000000000d6', hex16(0n), hex16(0n)]);
    const cd = [0, 8, 16, 24, 32].map((o) => hex16(g.memory.readWord(table + o)));
    expect(cd).toEqual(['0001e204c0003510', hex16(BigInt(domains[0]!.root)), hex16(0n), '00000000f404ff44', hex16(0n)]);
    expect(table).toBeGreaterThanOrEqual(0x48000000);
  });

  it('with ATS the STE has EATS and the ATC is emptied at the end', () => {
    const g = guestOnRecorder({ ats: true });
    g.run(g.driver.boot());
    g.smmu.take();
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(g.smmu.take().slice(-3)).toEqual(['PREFETCH_CONFIG sid 0x8', 'ATC_INV sid 0x8 all', 'SYNC']);
    expect(g.memory.readWord(g.driver.views().devices[0]!.steAddress + 8)).toBe(0x100000d6n);
  });

  it('another S1 domain: three CFGI_CD, no CFGI_STE, then the old ASID', () => {
    const g = attached();
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma1' }));
    expect(g.smmu.take()).toEqual([
      ...Array.from({ length: 3 }, () => ['CFGI_CD sid 0x8 ssid 0x0 leaf', 'SYNC']).flat(),
      'PREFETCH_CONFIG sid 0x8',
      'TLBI_NH_ASID asid 1',
      'SYNC',
    ]);
  });

  it('keeps an ASID that another device still uses', () => {
    const g = guestOnRecorder({
      devices: [
        { name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: false },
        { name: 'nic1', vrid: 16, pasidBits: 0, atsCapable: false },
      ],
    });
    g.run(g.driver.boot());
    for (const device of ['nic0', 'nic1']) g.run(g.driver.attach({ device, domain: 'dma0' }));
    g.smmu.take();
    g.run(g.driver.detach({ device: 'nic0' }));
    expect(g.smmu.take().some((s) => s.startsWith('TLBI'))).toBe(false);
    g.run(g.driver.detach({ device: 'nic1' }));
    expect(g.smmu.take().filter((s) => s.startsWith('TLBI'))).toEqual(['TLBI_NH_ASID asid 1']);
  });

  it('bypass: STE, ATC, ASID, CD', () => {
    const g = attached({ ats: true });
    g.run(g.driver.attach({ device: 'nic0', domain: 'bypass' }));
    expect(g.smmu.take()).toEqual([
      'CFGI_STE sid 0x8 leaf',
      'SYNC',
      'CFGI_STE sid 0x8 leaf',
      'SYNC',
      'PREFETCH_CONFIG sid 0x8',
      'ATC_INV sid 0x8 all',
      'SYNC',
      'TLBI_NH_ASID asid 1',
      'SYNC',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'SYNC',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'SYNC',
    ]);
    const ste = g.driver.views().devices[0]!.steAddress;
    expect([g.memory.readWord(ste), g.memory.readWord(ste + 8)]).toEqual([9n, 0n]);
  });

  it('abort to bypass is one sync', () => {
    const g = guestOnRecorder();
    g.run(g.driver.boot());
    g.smmu.take();
    g.run(g.driver.attach({ device: 'nic0', domain: 'bypass' }));
    expect(g.smmu.take()).toEqual(['CFGI_STE sid 0x8 leaf', 'SYNC', 'PREFETCH_CONFIG sid 0x8']);
  });

  it('a linear CD table has at most 2^10 descriptors', () => {
    const g = guestOnRecorder({
      devices: [{ name: 'nic0', vrid: 8, pasidBits: 16, atsCapable: false }],
      ssidBits: 16,
    });
    g.run(g.driver.boot());
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    const d = g.driver.views().devices[0]!;
    expect(g.memory.readWord(d.steAddress) >> 59n).toBe(10n);
    expect(d.cdTable!.address % (1024 * 64)).toBe(0);
  });

  it('a shared CD table needs a CFGI_CD for each stream', () => {
    const g = guestOnRecorder({
      devices: [
        { name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: false },
        { name: 'nic1', vrid: 16, pasidBits: 0, atsCapable: false },
      ],
    });
    g.run(g.driver.boot());
    expect(g.run(g.driver.attach({ device: 'nic1', domain: 'dma0', cdTable: 'nic0' })).ok).toBe(false);
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.smmu.take();
    g.run(g.driver.attach({ device: 'nic1', domain: 'dma0', cdTable: 'nic0' }));
    // The CD is what it was; only the STE of the second device changes.
    expect(g.smmu.take().filter((s) => s !== 'SYNC')).toEqual([
      'CFGI_STE sid 0x10 leaf',
      'CFGI_STE sid 0x10 leaf',
      'PREFETCH_CONFIG sid 0x10',
    ]);
    const [a, b] = g.driver.views().devices;
    expect(g.memory.readWord(b!.steAddress)).toBe(g.memory.readWord(a!.steAddress));
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma1' }));
    expect(g.smmu.take().slice(0, 3)).toEqual([
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'CFGI_CD sid 0x10 ssid 0x0 leaf',
      'SYNC',
    ]);
    expect(g.driver.views().devices.map((d) => d.domain)).toEqual(['dma1', 'dma1']);
    // Leaving it one by one: the CD goes with the last user, whoever made the table.
    g.smmu.take();
    g.run(g.driver.detach({ device: 'nic0' }));
    expect(g.smmu.take().some((s) => /CFGI_CD|TLBI/.test(s))).toBe(false);
    g.run(g.driver.detach({ device: 'nic1' }));
    expect(g.smmu.take().filter((s) => /CFGI_CD|TLBI/.test(s))).toEqual([
      'TLBI_NH_ASID asid 2',
      'CFGI_CD sid 0x10 ssid 0x0 leaf',
      'CFGI_CD sid 0x10 ssid 0x0 leaf',
    ]);
  });

  it('moves whoever shares the CD, and flushes the ASID that nobody uses then', () => {
    const g = guestOnRecorder({
      devices: [
        { name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: false },
        { name: 'nic1', vrid: 16, pasidBits: 0, atsCapable: false },
      ],
    });
    g.run(g.driver.boot());
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.smmu.take();
    g.run(g.driver.attach({ device: 'nic1', domain: 'dma1', cdTable: 'nic0' }));
    expect(g.smmu.take().filter((s) => s.startsWith('TLBI'))).toEqual(['TLBI_NH_ASID asid 1']);
    expect(g.driver.views().devices.map((d) => d.domain)).toEqual(['dma1', 'dma1']);
  });

  it('lets go of a device that is unplugged', () => {
    const g = attached();
    expect(g.run(g.driver.remove({ device: 'nic0' })).ok).toBe(true);
    expect(g.smmu.take().filter((s) => s !== 'SYNC')).toEqual([
      'CFGI_STE sid 0x8 leaf',
      'CFGI_STE sid 0x8 leaf',
      'PREFETCH_CONFIG sid 0x8',
      'TLBI_NH_ASID asid 1',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
    ]);
    expect(g.driver.views().devices).toEqual([]);
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' })).ok).toBe(true);
  });
});

describe('the driver between operations', () => {
  it('goes on from a saved state', () => {
    const g = attached();
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    const state = g.driver.save();
    const before = g.driver.views();
    g.run(g.driver.attach({ device: 'nic0', domain: 'dma7' }));
    g.driver.load(state);
    expect(g.driver.views()).toEqual(before);
    g.smmu.take();
    expect(g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 })).ok).toBe(true);
  });

  it('acknowledges an overflow of the event queue', () => {
    const g = attached();
    const { base } = g.driver.views().evtq!;
    g.memory.writeWord(base, 0x0000000800000010n);
    g.smmu.registers['EVENTQ_PROD'] = 0x80000001n;
    g.smmu.irq.evtq = true;
    const notes: string[] = [];
    g.trace.listener = (e) => e.kind === 'note' && notes.push(e.text);
    g.run(g.driver.interrupt());
    expect(g.smmu.take()).toEqual(['EVENTQ_CONS=0x1', 'EVENTQ_CONS=0x80000001']);
    expect(notes[0]).toBe('guest kernel log: EVTQ overflow detected -- events lost');
    expect(g.smmu.irq.evtq).toBe(false);
  });

  it('wraps its queue', () => {
    const g = attached();
    const { size } = g.driver.views().cmdq!;
    for (let i = 0; i < size / 2 + 100; i++) g.run(g.driver.invalidate([0x30n, 0n]));
    expect(g.driver.views().cmdq!.prod).toBeLessThan(size / 2);
    expect(Number(g.smmu.registers['CMDQ_PROD'])).toBeGreaterThanOrEqual(size);
    expect(g.run(g.driver.invalidate([0x30n, 0n])).ok).toBe(true);
  });
});
