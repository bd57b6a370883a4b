import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { readEntry } from './entry.ts';
import { type Bed, bed, MiB, nest, UVA, vste } from './testbed.ts';

const SYNC = 'SYNC';
const CFGI = 'CFGI_STE sid 0x108 leaf';
const PREFETCH = 'PREFETCH_CONFIG sid 0x108';
const cfgiCd = (pasid: number): string => `CFGI_CD sid 0x108 ssid 0x${pasid.toString(16)} leaf`;
const atcAll = (pasid: number): string => `ATC_INV sid 0x108 ssid 0x${pasid.toString(16)} all`;

interface Set {
  readonly b: Bed;
  readonly fd: number;
  readonly dev: number;
  readonly ioas: number;
  /** Page tables that PASIDs can have. */
  readonly a: number;
  readonly c: number;
}

/** A bound device with two stage-1 page tables for PASIDs; nothing attached. */
function set(o: Parameters<typeof bed>[0] = {}): Set {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true, pasidBits: 6 }], ...o });
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 2 * MiB, iova: 0x10000000 });
  const a = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: dev, pt_id: ioas });
  const c = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: dev, pt_id: ioas });
  b.posted();
  return { b, fd, dev, ioas, a, c };
}

const attach = (s: Set, pt: number, pasid?: number, more = {}): string =>
  s.b.ioctl(
    'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
    pasid === undefined ? { pt_id: pt } : { flags: 1, pt_id: pt, pasid },
    s.fd,
    more,
  ).errno;
const detach = (s: Set, pasid?: number, more = {}): string =>
  s.b.ioctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', pasid === undefined ? {} : { flags: 1, pasid }, s.fd, more).errno;
const steField = (b: Bed, lo: number, hi: number, word: number): number =>
  Number((b.driver.ste('nic0').words[word]! >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n));
const config = (b: Bed): number => steField(b, 1, 3, 0);
const s1dss = (b: Bed): number => steField(b, 0, 1, 1);
const eats = (b: Bed): number => steField(b, 28, 29, 1);
const cd = (b: Bed, pasid: number): bigint[] =>
  readEntry(b.memory, b.driver.masters()[0]!.cdTable!.address + pasid * 64);
const asid = (b: Bed, pasid: number): number => Number((cd(b, pasid)[0]! >> 48n) & 0xffffn);
const read = (b: Bed, pasid: number, iova: bigint, translated = false) => {
  const r = runToEnd(b.smmu.dma({ device: b.devices[0]!, pasid, iova, write: false, translated }));
  runToEnd(b.driver.interrupt());
  return r;
};

describe('attach of a PASID, in the order of iommufd-uapi.md 2.26', () => {
  it('checks the structure, then the id, then what stands beside it', () => {
    const s = set();
    const { b } = s;
    expect(attach(s, s.a, 5, { size: 12 })).toBe('EINVAL');
    expect(detach(s, 5, { size: 8 })).toBe('EINVAL');
    expect(b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 2, pt_id: s.a }, s.fd).errno).toBe('EINVAL');
    expect(attach(s, 99, 5)).toBe('ENOENT');
    expect(attach(s, s.dev, 5)).toBe('EINVAL');
    // An address space's automatic page table is not for PASIDs.
    expect(attach(s, s.ioas, 5)).toBe('EINVAL');
    expect(b.iommufd.objects().filter((o) => o.type === 'HWPT_PAGING')).toHaveLength(2);
    const plain = b.make('IOMMU_HWPT_ALLOC', { dev_id: s.dev, pt_id: s.ioas });
    expect(attach(s, plain, 5)).toBe('EINVAL');
    // 6 bits: 64 PASIDs.
    expect(attach(s, s.a, 64)).toBe('EINVAL');
    expect(attach(s, s.a, 63)).toBe('0');
    expect(attach(s, s.a, 0x80000000)).toBe('ENOSPC');
    // The RID may not have a page table that knows no PASIDs while one is attached, and the other way round.
    expect(attach(s, plain)).toBe('EINVAL');
    expect(detach(s, 63)).toBe('0');
    expect(attach(s, plain)).toBe('0');
    expect(attach(s, s.a, 5)).toBe('EINVAL');
    expect(attach(s, s.a)).toBe('0');
    expect(attach(s, s.a, 5)).toBe('0');
  });

  it('PASID 0 is the RID, which VFIO does not know', () => {
    const s = set();
    expect(attach(s, s.a)).toBe('0');
    expect(attach(s, s.a, 0)).toBe('EBUSY');
    expect(detach(s, 0)).toBe('0');
    expect(config(s.b)).toBe(5);
    expect(detach(s)).toBe('0');
    expect(attach(s, s.a, 0)).toBe('0');
    expect(s1dss(s.b)).toBe(2);
    expect(attach(s, s.c, 0)).toBe('0');
    expect(asid(s.b, 0)).toBe(2);
  });

  it('a device without PASIDs is passed over by the IOMMU core', () => {
    const s = set({ devices: [{ name: 'nic0', rid: 0x108 }] });
    expect(attach(s, s.a, 5)).toBe('0');
    expect(s.b.posted()).toEqual([]);
    expect(s.b.driver.ste('nic0').words[0]).toBe(1n);
    expect(detach(s, 5)).toBe('0');
  });

  it('refuses what the driver cannot put beside PASIDs', () => {
    const s = set();
    const { b } = s;
    const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: s.dev, pt_id: s.ioas });
    const viommu = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: s.dev, hwpt_id: parent });
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: viommu, dev_id: s.dev, virt_id: 8 });
    const n = { fd: s.fd, dev: s.dev, ioas: s.ioas, parent, viommu };
    const nested = vste(b, n, 0x4810000bn, 0xd6n);
    // No nested page table is for PASIDs, so iommufd stops it before the driver can (arm-smmuv3.md 5.3).
    expect(attach(s, nested, 5)).toBe('EINVAL');
    expect(
      b.ioctl('IOMMU_HWPT_ALLOC', {
        flags: 8,
        dev_id: s.dev,
        pt_id: viommu,
        data_type: 2,
        data_len: 16,
        data: { ste: [1n, 0n] },
      }).errno,
    ).toBe('EOPNOTSUPP');
    // iommufd's own rule comes first; the driver's is EBUSY (arm_smmu_attach_dev_nested).
    expect(attach(s, s.a, 5)).toBe('0');
    expect(attach(s, nested)).toBe('EINVAL');
    const handle = [...b.driver.state.nested.keys()][0]!;
    expect(runToEnd(b.driver.attach('nic0', handle))).toBe('EBUSY');
    const s2 = [...b.driver.state.paging.values()].find((d) => d.stage === 2)!;
    expect(runToEnd(b.driver.attach('nic0', s2.handle))).toBe('EBUSY');
    expect(runToEnd(b.driver.attachPasid('nic0', 6, s2.handle))).toBe('EINVAL');
    detach(s, 5);
    expect(runToEnd(b.driver.attach('nic0', s2.handle))).toBe('0');
    // A stage-2 STE has no CD table for a PASID.
    expect(runToEnd(b.driver.attachPasid('nic0', 5, [...b.driver.state.paging.keys()][0]!))).toBe('EINVAL');
  });
});

describe('what the driver writes and sends (arm_smmu_set_pasid; sequence of arm-smmuv3.md 7.6)', () => {
  it('beside a RID on stage 1: the CD alone', () => {
    const s = set();
    attach(s, s.a);
    s.b.posted();
    attach(s, s.c, 5);
    expect(s.b.posted()).toEqual([cfgiCd(5), SYNC, cfgiCd(5), SYNC, atcAll(5), SYNC]);
    expect(asid(s.b, 5)).toBe(2);
    expect(read(s.b, 5, 0x10000040n)).toMatchObject({ ok: true, pa: 0x880800200040 });
    detach(s, 5);
    expect(s.b.posted()).toEqual([cfgiCd(5), SYNC, cfgiCd(5), SYNC, atcAll(5), SYNC, 'TLBI_EL2_ASID asid 2', SYNC]);
    expect(cd(s.b, 5).every((w) => w === 0n)).toBe(true);
    expect(read(s.b, 5, 0x10000040n)).toMatchObject({ ok: false, fault: { name: 'C_BAD_CD' } });
  });

  it('beside a blocked RID: the STE gets the CD table, and gives it up with the last PASID', () => {
    const s = set();
    attach(s, s.a, 5);
    // The CD first, then the STE; the device's ATS goes on.
    expect(s.b.posted()).toEqual([
      ...[cfgiCd(5), SYNC, cfgiCd(5), SYNC],
      ...[CFGI, SYNC, CFGI, SYNC, PREFETCH],
      'ATC_INV sid 0x108 all',
      SYNC,
    ]);
    expect([config(s.b), s1dss(s.b), eats(s.b), s.b.devices[0]!.atsEnabled]).toEqual([5, 0, 1, true]);
    expect(read(s.b, -1, 0x10000040n)).toMatchObject({ ok: false, fault: { name: 'F_STREAM_DISABLED' } });
    expect(read(s.b, 5, 0x10000040n).ok).toBe(true);
    attach(s, s.a, 6);
    s.b.posted();
    detach(s, 5);
    // The table stays, and so does the tag: PASID 6 has the same domain.
    expect(s.b.posted()).toEqual([cfgiCd(5), SYNC, cfgiCd(5), SYNC, atcAll(5), SYNC]);
    detach(s, 6);
    expect(s.b.posted()).toEqual([
      ...[cfgiCd(6), SYNC, cfgiCd(6), SYNC, atcAll(6), SYNC, 'TLBI_EL2_ASID asid 1', SYNC],
      ...[CFGI, SYNC, CFGI, SYNC, PREFETCH],
      'ATC_INV sid 0x108 all',
      SYNC,
    ]);
    expect([config(s.b), eats(s.b), s.b.devices[0]!.atsEnabled]).toEqual([0, 0, false]);
  });

  it('moves the RID under PASIDs: S1DSS changes, the CD table and ATS stay', () => {
    const s = set({ defaultDomain: 'identity' });
    const handle = [...s.b.driver.state.paging.keys()][0]!;
    attach(s, s.a);
    attach(s, s.c, 5);
    s.b.posted();
    detach(s);
    expect([config(s.b), s1dss(s.b), eats(s.b), s.b.devices[0]!.atsEnabled]).toEqual([5, 0, 1, true]);
    expect(read(s.b, 5, 0x10000040n).ok).toBe(true);
    attach(s, s.a);
    expect(s1dss(s.b)).toBe(2);
    detach(s);
    runToEnd(s.b.driver.release('nic0'));
    // Bypass without PASID, with the incoming shareability (KUnit S1(dss bypass)+ATS: DW1 = 00001000180000d5).
    // S1STALLD is out, since this SMMU cannot stall, and STRW is EL2-E2H.
    expect(s.b.driver.ste('nic0').words[1]).toBe(0x1000900000d5n);
    expect(read(s.b, -1, 0x1234000n)).toMatchObject({ ok: true, pa: 0x1234000 });
    runToEnd(s.b.driver.detachPasid('nic0', 5));
    expect(config(s.b)).toBe(4);
    runToEnd(s.b.driver.attachPasid('nic0', 7, handle));
    expect([config(s.b), s1dss(s.b)]).toEqual([5, 1]);
  });

  it('replaces: no moment with a mixture, and the old translations go', () => {
    const s = set();
    attach(s, s.a);
    attach(s, s.a, 5);
    read(s.b, 5, 0x10000040n, true);
    s.b.posted();
    attach(s, s.c, 5);
    // ASID is in word 0, TTB0 in word 1: not in one go, so V goes first.
    expect(s.b.posted()).toEqual([cfgiCd(5), SYNC, cfgiCd(5), SYNC, cfgiCd(5), SYNC, atcAll(5), SYNC]);
    expect(asid(s.b, 5)).toBe(2);
    expect(s.b.devices[0]!.atc.size).toBe(0);
    expect(attach(s, s.c, 5)).toBe('0');
    expect(s.b.posted()).toEqual([]);
    detach(s);
    expect(s.b.posted()).toContain('TLBI_EL2_ASID asid 1');
  });

  it('unmap reaches each PASID: one TLBI for the tag, one ATC_INV for each PASID (5.6)', () => {
    const s = set();
    attach(s, s.a);
    attach(s, s.a, 5);
    attach(s, s.a, 9);
    const domain = s.b.driver.state.paging.get(1)!;
    expect(domain.invalidations.map((e) => `${e.type} ${e.id}/${e.ssid} x${e.users}`)).toEqual([
      'S1_ASID 1/0 x3',
      'ATS 264/0 x1',
      'ATS 264/5 x1',
      'ATS 264/9 x1',
    ]);
    for (const p of [-1, 5, 9]) read(s.b, p, 0x10000040n, true);
    expect(s.b.devices[0]!.atc.size).toBe(3);
    s.b.posted();
    s.b.make('IOMMU_IOAS_UNMAP', { ioas_id: s.ioas, iova: 0x10000000, length: 2 * MiB });
    const posted = s.b.posted();
    expect(posted.filter((c) => c.startsWith('TLBI'))).toHaveLength(1);
    expect(posted.filter((c) => c.startsWith('ATC'))).toEqual([
      'ATC_INV sid 0x108 va 0x10000000 pages 512',
      'ATC_INV sid 0x108 ssid 0x5 va 0x10000000 pages 512',
      'ATC_INV sid 0x108 ssid 0x9 va 0x10000000 pages 512',
    ]);
    expect(s.b.devices[0]!.atc.size).toBe(0);
    for (const p of [-1, 5, 9]) expect(read(s.b, p, 0x10000040n).ok).toBe(false);
  });

  it('makes a leaf of a two-level CD table when a PASID needs it', () => {
    const s = set({ devices: [{ name: 'nic0', rid: 0x108, pasidBits: 16 }] });
    attach(s, s.a, 3000);
    expect(s.b.posted().slice(0, 2)).toEqual(['CFGI_CD sid 0x108 ssid 0xbb8', SYNC]);
    const t = s.b.driver.masters()[0]!.cdTable!;
    expect([t.format, t.l2.map((x) => x.index)]).toEqual([2, [2]]);
    expect(read(s.b, 3000, 0x10000040n).ok).toBe(true);
    expect(read(s.b, 3001, 0x10000040n)).toMatchObject({ ok: false, fault: { name: 'C_BAD_CD' } });
    expect(read(s.b, 100, 0x10000040n)).toMatchObject({ ok: false, fault: { name: 'C_BAD_SUBSTREAMID' } });
  });
});

it('closing the device takes the PASIDs and the RID away', () => {
  const s = set();
  attach(s, s.a);
  attach(s, s.c, 5);
  attach(s, s.c, 6);
  expect(s.b.iommufd.objects().find((o) => o.type === 'DEVICE')).toMatchObject({
    lines: ['nic0', `attached to ${s.a}`, `pasid 5 → ${s.c}`, `pasid 6 → ${s.c}`],
  });
  for (const id of [s.a, s.c]) expect(s.b.ioctl('IOMMU_DESTROY', { id }).errno).toBe('EBUSY');
  runToEnd(s.b.iommufd.close(s.fd));
  expect(s.b.driver.ste('nic0').words[0]).toBe(1n);
  expect(s.b.driver.state.paging.get(1)!.invalidations).toEqual([]);
  for (const id of [s.a, s.c]) expect(s.b.ioctl('IOMMU_DESTROY', { id }).errno).toBe('0');
});

it('a guest’s PASIDs need nothing of the host: its CD table has them', () => {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, pasidBits: 6 }] });
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, 0x4810000bn | (6n << 59n), 0xd6n) }, n.fd);
  const entries = [{ cmd: [0x0000000800005005n, 1n] }, { cmd: [0x0000000800005840n, 0x34n] }];
  const r = b.ioctl('IOMMU_HWPT_INVALIDATE', {
    hwpt_id: n.viommu,
    data_type: 1,
    entry_len: 16,
    entry_num: 2,
    entries,
  });
  expect(r).toMatchObject({ errno: '0', out: { entry_num: 2 } });
  expect(b.posted().slice(-3)).toEqual(['CFGI_CD sid 0x108 ssid 0x5 leaf', 'ATC_INV sid 0x108 ssid 0x5 all', 'SYNC']);
});
