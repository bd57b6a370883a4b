import { describe, expect, it } from 'vitest';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const nic0 = { name: 'nic0', vrid: 8, pasidBits: 8, atsCapable: true };
const nic1 = { ...nic0, name: 'nic1', vrid: 16 };
const cd = (sid: string, ssid: number): string[] => [`CFGI_CD sid ${sid} ssid 0x${ssid.toString(16)} leaf`, 'SYNC'];
const ste = (sid: string): string[] => [`CFGI_STE sid ${sid} leaf`, 'SYNC'];
const times = (n: number, list: string[]): string[] => Array.from({ length: n }, () => list).flat();

function booted(o: RecorderOptions = {}) {
  const g = guestOnRecorder({ ats: true, ssidBits: 8, devices: [nic0, nic1], ...o });
  g.ok(g.driver.boot());
  const view = (name = 'nic0') => g.driver.views().devices.find((d) => d.name === name)!;
  const dw = (i: number, name?: string): bigint => g.memory.readWord(view(name).steAddress + i * 8);
  const cdWord = (ssid: number, i: number): bigint => g.memory.readWord(view().ownTable!.address + ssid * 64 + i * 8);
  return { ...g, view, dw, cdWord };
}

describe('PASID domains (arm_smmu_set_pasid, arm_smmu_blocking_set_dev_pasid)', () => {
  it('on a device with a DMA domain only the CD of the PASID is written', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    const before = [g.dw(0), g.dw(1)];
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }))).toEqual([
      ...times(2, cd('0x8', 5)),
      'ATC_INV sid 0x8 ssid 0x5 all',
      'SYNC',
    ]);
    expect([g.dw(0), g.dw(1)]).toEqual(before);
    // The CD is that of a DMA domain, E4 of arm-smmuv3.md 10.1, with ASID 2.
    expect(g.cdWord(5, 0)).toBe(0x0002e204c0003510n);
    expect(g.cdWord(5, 1)).toBe(BigInt(g.driver.views().domains[1]!.root));
    expect(g.view().pasids).toEqual([{ pasid: 5, kind: 'domain', name: 'dma1', users: 1 }]);
  });

  it('a PASID’s domain is replaced through V=0, then the old ASID is flushed if it was the last', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma2', pasid: 5 }))).toEqual([
      ...times(3, cd('0x8', 5)),
      'ATC_INV sid 0x8 ssid 0x5 all',
      'SYNC',
      'TLBI_NH_ASID asid 2',
      'SYNC',
    ]);
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma2', pasid: 5 }))).toEqual([]);
    // dma2 stays in use by another PASID.
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma2', pasid: 6 }));
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 6 })).filter((s) => s.startsWith('TLBI'))).toEqual([]);
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 5 }))).toEqual([
      ...times(2, cd('0x8', 5)),
      'ATC_INV sid 0x8 ssid 0x5 all',
      'SYNC',
      'TLBI_NH_ASID asid 3',
      'SYNC',
    ]);
    for (let i = 0; i < 8; i++) expect(g.cdWord(5, i)).toBe(0n);
  });

  it.each([
    ['bypass', 1n, [0x9n, 0n]],
    ['blocked', 0n, [0x1n, 0n]],
  ] as const)(
    'with a RID in %s the STE becomes a CD table with that S1DSS, and goes back after',
    (rid, s1dss, without) => {
      const g = booted();
      g.ok(g.driver.attach({ device: 'nic0', domain: rid }));
      expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }))).toEqual([
        ...times(2, cd('0x8', 5)),
        ...times(2, ste('0x8')),
        'PREFETCH_CONFIG sid 0x8',
        // ATS goes on with the first PASID: the whole ATC.
        'ATC_INV sid 0x8 all',
        'SYNC',
      ]);
      expect(g.dw(0) & 0xfn).toBe(0xbn);
      expect(g.dw(1)).toBe(0x100000d4n | s1dss);
      expect(g.dw(0) >> 59n).toBe(8n);
      // The second PASID changes no STE.
      expect(
        g.sent(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 6 })).some((s) => /STE|PREFETCH/.test(s)),
      ).toBe(false);
      expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 5 }))).toEqual([
        ...times(2, cd('0x8', 5)),
        'ATC_INV sid 0x8 ssid 0x5 all',
        'SYNC',
      ]);
      expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 6 }))).toEqual([
        ...times(2, cd('0x8', 6)),
        'ATC_INV sid 0x8 ssid 0x6 all',
        'SYNC',
        'TLBI_NH_ASID asid 1',
        'SYNC',
        ...times(2, ste('0x8')),
        'PREFETCH_CONFIG sid 0x8',
        'ATC_INV sid 0x8 all',
        'SYNC',
      ]);
      expect([g.dw(0), g.dw(1)]).toEqual(without);
      expect(g.view()).toMatchObject({ cdTable: null, atsEnabled: false });
    },
  );

  it('the RID may move while PASIDs are attached: only S1DSS changes, ATS stays on', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'bypass' }))).toEqual([
      ...ste('0x8'),
      'PREFETCH_CONFIG sid 0x8',
      'ATC_INV sid 0x8 all',
      'SYNC',
      'TLBI_NH_ASID asid 1',
      'SYNC',
      ...times(2, cd('0x8', 0)),
    ]);
    expect(g.dw(1)).toBe(0x100000d5n);
    expect(g.view()).toMatchObject({ atsEnabled: true, domain: 'bypass' });
    expect(g.cdWord(5, 0) & 0x80000000n).toBe(0x80000000n);
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(g.dw(1)).toBe(0x100000d6n);
    g.ok(g.driver.detach({ device: 'nic0' }));
    expect(g.dw(1)).toBe(0x100000d4n);
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.ok(g.driver.detach({ device: 'nic0', pasid: 5 }));
    expect(g.dw(1)).toBe(0x100000d6n);
  });

  it('an unmap reaches every stream and PASID of the domain, sorted, the TLB once', () => {
    const g = booted();
    // Attached in this order: the array sorts by StreamID, then by PASID.
    g.ok(g.driver.attach({ device: 'nic1', domain: 'dma0', pasid: 7 }));
    g.ok(g.driver.attach({ device: 'nic1', domain: 'dma0' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 200 }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 3 }));
    expect(g.driver.views().domains[0]!.invalidations).toEqual([
      { type: 'S1_ASID', id: 1, ssid: 0, users: 4 },
      { type: 'ATS', id: 8, ssid: 3, users: 1 },
      { type: 'ATS', id: 8, ssid: 200, users: 1 },
      { type: 'ATS', id: 16, ssid: 0, users: 1 },
      { type: 'ATS', id: 16, ssid: 7, users: 1 },
    ]);
    g.ok(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    const atc = (range: string): string[] => [
      `ATC_INV sid 0x8 ssid 0x3 ${range}`,
      `ATC_INV sid 0x8 ssid 0xc8 ${range}`,
      `ATC_INV sid 0x10 ${range}`,
      `ATC_INV sid 0x10 ssid 0x7 ${range}`,
      'SYNC',
    ];
    expect(g.sent(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }))).toEqual([
      'TLBI_NH_VA asid 1 va 0x10000 pages 1 of 4K level 3 leaf',
      'SYNC',
      ...atc('va 0x10000 pages 1'),
    ]);
    g.ok(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    g.ok(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'queued' }));
    expect(g.sent(g.driver.flush())).toEqual(['TLBI_NH_ASID asid 1', 'SYNC', ...atc('all')]);
    for (const d of ['nic0', 'nic1'])
      for (const p of d === 'nic0' ? [3, 200] : [7]) g.ok(g.driver.detach({ device: d, pasid: p }));
    expect(g.driver.views().domains[0]!.invalidations).toEqual([
      { type: 'S1_ASID', id: 1, ssid: 0, users: 1 },
      { type: 'ATS', id: 16, ssid: 0, users: 1 },
    ]);
  });

  it('without ATS no ATC is told', () => {
    const g = booted({ ats: false });
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 3 }), false)).toEqual([
      'CFGI_CD sid 0x8 ssid 0x3 leaf',
      'CFGI_CD sid 0x8 ssid 0x3 leaf',
      'CFGI_STE sid 0x8 leaf',
      'CFGI_STE sid 0x8 leaf',
      'PREFETCH_CONFIG sid 0x8',
    ]);
    expect(g.dw(1)).toBe(0xd4n);
    expect(g.driver.views().domains[0]!.invalidations).toHaveLength(1);
  });

  it('refuses what the kernel refuses', () => {
    const g = booted();
    const attach = (pasid: number, domain = 'dma0', device = 'nic0') =>
      g.run(g.driver.attach({ device, domain, pasid }));
    expect(attach(256)).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(attach(0)).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(attach(255)).toMatchObject({ ok: true });
    expect(attach(3, 'bypass')).toMatchObject({ ok: false, errno: 'EOPNOTSUPP' });
    expect(g.run(g.driver.detach({ device: 'nic0', pasid: 9 }))).toMatchObject({ ok: false, errno: 'ENOENT' });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'x', pasid: 4, cdTable: 'nic1' }))).toMatchObject({
      ok: false,
    });
    expect(attach(255, 'blocked')).toMatchObject({ ok: true });
    // 2^16 PASIDs announced, but a linear table ends at 2^10.
    const wide = guestOnRecorder({ ssidBits: 16, devices: [{ ...nic0, pasidBits: 16 }] });
    wide.ok(wide.driver.boot());
    expect(wide.run(wide.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 1024 }))).toMatchObject({
      errno: 'ENOMEM',
    });
    expect(wide.run(wide.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 1023 })).ok).toBe(true);
    // A device or an SMMU without PASIDs has one descriptor.
    const plain = guestOnRecorder({ devices: [nic0] });
    plain.ok(plain.driver.boot());
    expect(plain.run(plain.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 1 }))).toMatchObject({
      errno: 'ENOMEM',
    });
  });
});

describe('two-level CD tables', () => {
  const wide = (o: RecorderOptions = {}) =>
    booted({ cd2l: true, ssidBits: 16, ats: false, devices: [{ ...nic0, pasidBits: 16 }], ...o });

  it('a second-level table is put in and its L1CD invalidated before its first descriptor', () => {
    const g = wide();
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma0' })).slice(0, 3)).toEqual([
      'CFGI_CD sid 0x8 ssid 0x0',
      'SYNC',
      'CFGI_CD sid 0x8 ssid 0x0 leaf',
    ]);
    expect((g.dw(0) >> 4n) & 3n).toBe(2n);
    expect(g.dw(0) >> 59n).toBe(16n);
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 1023 }), false)[0]).toBe(
      'CFGI_CD sid 0x8 ssid 0x3ff leaf',
    );
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 3 * 1024 + 5 })).slice(0, 2)).toEqual([
      'CFGI_CD sid 0x8 ssid 0xc05',
      'SYNC',
    ]);
    const table = g.view().ownTable!;
    expect(table.format).toBe(2);
    const l1 = g.memory.readWord(table.address + 3 * 8);
    expect(l1 & 0xfffn).toBe(1n);
    const at = Number(l1 & 0xfffffffff000n) + 5 * 64;
    expect(g.memory.readWord(at) & 0xffff_0000_0000_0000n).toBe(2n << 48n);
    expect(g.memory.readWord(table.address + 2 * 8)).toBe(0n);
  });

  it('a table of 1024 stays linear', () => {
    const g = wide({ devices: [{ ...nic0, pasidBits: 10 }] });
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(g.view().ownTable!.format).toBe(0);
    expect((g.dw(0) >> 4n) & 3n).toBe(0n);
    const more = wide({ devices: [{ ...nic0, pasidBits: 11 }] });
    more.ok(more.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(more.view().ownTable!.format).toBe(2);
  });

  it('blocking a RID without CD 0 clears none', () => {
    const g = wide();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5000 }));
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'bypass' }), false)).toEqual([
      'CFGI_STE sid 0x8 leaf',
      'PREFETCH_CONFIG sid 0x8',
    ]);
    g.ok(g.driver.remove({ device: 'nic0' }));
    expect(g.driver.views().devices).toHaveLength(0);
  });
});
