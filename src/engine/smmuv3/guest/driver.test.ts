import { describe, expect, it } from 'vitest';
import { guestOnRecorder } from './recording-smmu.ts';

const MiB2 = 2 ** 21;
const one = 'TLBI_NH_VA asid 1 va';

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
  });
});

describe('unmap, arm-smmuv3.md 7.4', () => {
  const cases = (ril: boolean, ats: boolean) => {
    const g = attached({ ril, ats });
    const both = (iova: number, gpa: number, size: number, step?: number): string[] => {
      for (let at = 0; at < size; at += step ?? size)
        expect(g.run(g.driver.map({ domain: 'dma0', iova: iova + at, gpa: gpa + at, size: step ?? size })).ok).toBe(true);
      expect(g.smmu.take()).toEqual([]);
      expect(g.run(g.driver.unmap({ domain: 'dma0', iova, size }))).toMatchObject({ ok: true, out: { unmapped: size } });
      return g.smmu.take();
    };
    return { g, both };
  };

  it('one page', () => {
    expect(cases(true, false).both(0xfffff000, 0x48300000, 4096)).toEqual([
      `${one} 0xfffff000 pages 1 of 4K level 3 leaf`,
      'SYNC',
    ]);
    expect(cases(false, false).both(0xfffff000, 0x48300000, 4096)).toEqual([`${one} 0xfffff000 leaf`, 'SYNC']);
    expect(cases(true, true).both(0xfffff000, 0x48300000, 4096)).toEqual([
      `${one} 0xfffff000 pages 1 of 4K level 3 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xfffff000 pages 1',
      'SYNC',
    ]);
  });

  it('45 pages in one unmap', () => {
    const size = 45 * 4096;
    expect(cases(true, true).both(0xfff00000, 0x48300000, size)).toEqual([
      `${one} 0xfff00000 pages 13 of 4K level 3 leaf`,
      `${one} 0xfff0d000 pages 32 of 4K level 3 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xfff00000 pages 64',
      'SYNC',
    ]);
    const plain = cases(false, false).both(0xfff00000, 0x48300000, size);
    expect(plain).toHaveLength(46);
    expect(plain[44]).toBe(`${one} 0xfff2c000 leaf`);
  });

  it('from 512 pages on, without range support, the whole ASID', () => {
    // 511 pages up to a 2 MiB border, then one after it: 512 in a row without a table that empties.
    const r = cases(false, false).both(0x201000, 0x48401000, 512 * 4096);
    expect(r).toEqual(['TLBI_NH_ASID asid 1', 'SYNC']);
    // One less: 64 commands a batch, of which only the last ends with a CMD_SYNC.
    const many = cases(false, false).both(0x201000, 0x48401000, 511 * 4096);
    expect(many.filter((s) => s === 'SYNC')).toHaveLength(1);
    expect(many).toHaveLength(512);
  });

  it('a 2 MiB block and a 1 GiB block', () => {
    expect(cases(true, false).both(0xffe00000, 0x48400000, MiB2)).toEqual([
      `${one} 0xffe00000 pages 512 of 4K level 2 leaf`,
      'SYNC',
    ]);
    expect(cases(false, false).both(0xffe00000, 0x48400000, MiB2)).toEqual([`${one} 0xffe00000 leaf`, 'SYNC']);
    expect(cases(true, false).both(0x40000000, 0x40000000, 2 ** 30)).toEqual([
      `${one} 0x40000000 pages 262144 of 4K level 1 leaf`,
      'SYNC',
    ]);
  });

  it('a 2 MiB region of pages: first the table, then the leaves', () => {
    expect(cases(true, true).both(0xffe00000, 0x48400000, MiB2, 4096)).toEqual([
      `${one} 0xffe00000 pages 512 of 4K`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xffe00000 pages 512',
      'SYNC',
      `${one} 0xffe00000 pages 512 of 4K level 2 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xffe00000 pages 512',
      'SYNC',
    ]);
    expect(cases(false, false).both(0xffe00000, 0x48400000, MiB2, 4096)).toEqual([
      'TLBI_NH_ASID asid 1',
      'SYNC',
      `${one} 0xffe00000 leaf`,
      'SYNC',
    ]);
  });

  it('queued: leaves wait for the flush queue, tables do not', () => {
    const g = attached({ ats: true });
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'queued' }));
    expect(g.smmu.take()).toEqual([]);
    expect(g.driver.views().domains[0]!.queued).toBe(4096);
    g.run(g.driver.flush());
    expect(g.smmu.take()).toEqual(['TLBI_NH_ASID asid 1', 'SYNC', 'ATC_INV sid 0x8 all', 'SYNC']);
    g.run(g.driver.flush());
    expect(g.smmu.take()).toEqual([]);
    for (let at = 0; at < MiB2; at += 4096)
      g.run(g.driver.map({ domain: 'dma0', iova: MiB2 + at, gpa: 0x48400000 + at, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: MiB2, size: MiB2, flush: 'queued' }));
    expect(g.smmu.take()[0]).toBe(`${one} 0x200000 pages 512 of 4K`);
  });

  it('none: the descriptors go, no command is sent', () => {
    const g = attached({ ats: true });
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    expect(g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'none' })).ok).toBe(true);
    expect(g.smmu.take()).toEqual([]);
  });

  it('flushes the ATC of every stream of the domain, in order of StreamID', () => {
    const g = guestOnRecorder({
      ats: true,
      devices: [
        { name: 'b', vrid: 0x110, pasidBits: 0, atsCapable: true },
        { name: 'a', vrid: 8, pasidBits: 0, atsCapable: true },
        { name: 'c', vrid: 0x10, pasidBits: 0, atsCapable: false },
      ],
    });
    g.run(g.driver.boot());
    for (const device of ['b', 'a', 'c']) g.run(g.driver.attach({ device, domain: 'dma0' }));
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    g.smmu.take();
    g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }));
    expect(g.smmu.take().slice(2)).toEqual([
      'ATC_INV sid 0x8 va 0x10000 pages 1',
      'ATC_INV sid 0x110 va 0x10000 pages 1',
      'SYNC',
    ]);
  });

  it('reports what it cannot do', () => {
    const g = attached();
    const map = (iova: number | bigint, gpa = 0x48300000, size = 4096) =>
      g.run(g.driver.map({ domain: 'dma0', iova, gpa, size })).errno;
    expect(map(0x10000)).toBeUndefined();
    expect(map(0x10000)).toBe('EEXIST');
    expect(map(0x10800)).toBe('EINVAL');
    expect(map(-4096)).toBe('EINVAL');
    expect(map(2n ** 63n)).toBe('ERANGE');
    expect(map(0x20000, 2 ** 44)).toBe('ERANGE');
    expect(g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 8192 }))).toMatchObject({
      ok: false,
      out: { unmapped: 4096 },
    });
    expect(g.run(g.driver.map({ domain: 'bypass', iova: 0, gpa: 0, size: 4096 })).errno).toBe('ENODEV');
    expect(g.run(g.driver.attach({ device: 'nobody', domain: 'dma0' })).ok).toBe(false);
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

  it('wraps its queue', () => {
    const g = attached();
    const { size } = g.driver.views().cmdq!;
    for (let i = 0; i < size / 2 + 100; i++) g.run(g.driver.invalidate([0x30n, 0n]));
    expect(g.driver.views().cmdq!.prod).toBeLessThan(size / 2);
    expect(Number(g.smmu.registers['CMDQ_PROD'])).toBeGreaterThanOrEqual(size);
    expect(g.run(g.driver.invalidate([0x30n, 0n])).ok).toBe(true);
  });
});

describe('deviations', () => {
  const unmapped = (deviation: string): string[] => {
    const g = attached({ ats: true, deviations: [deviation, 'vmm.not-ours'] });
    for (let at = 0; at < MiB2; at += 4096)
      g.run(g.driver.map({ domain: 'dma0', iova: MiB2 + at, gpa: 0x48400000 + at, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: MiB2, size: MiB2 }));
    return g.smmu.take().filter((s) => s !== 'SYNC');
  };
  const walk = `${one} 0x200000 pages 512 of 4K`;
  const leaf = `${one} 0x200000 pages 512 of 4K level 2 leaf`;
  const atc = 'ATC_INV sid 0x8 va 0x200000 pages 512';

  it.each([
    ['guest.no-tlbi', [walk, atc, atc]],
    ['guest.no-atc-inv', [walk, leaf]],
    ['guest.no-walk-flush', [atc, leaf, atc]],
    ['guest.leaf-only-walk-flush', [`${one} 0x200000 pages 512 of 4K level 3 leaf`, atc, leaf, atc]],
    ['guest.atc-before-tlbi', [atc, walk, atc, leaf]],
  ])('%s', (name, expected) => {
    expect(unmapped(name)).toEqual(expected);
  });

  it('refuses a name that does not exist', () => {
    expect(() => guestOnRecorder({ deviations: ['guest.no-such'] })).toThrow(/guest\.no-such/);
  });
});
