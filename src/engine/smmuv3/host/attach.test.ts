import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { type Bed, bed, GiB, MiB, nest, vste } from './testbed.ts';

const SYNC = 'SYNC';
const CFGI = 'CFGI_STE sid 0x108 leaf';
const PREFETCH = 'PREFETCH_CONFIG sid 0x108';
const ATC_ALL = 'ATC_INV sid 0x108 all';
const E1 = [0x000000004810000bn, 0x00000000000000d6n] as const;
const E1_ATS = [0x000000004810000bn, 0x00000000100000d6n] as const;

const ste = (b: Bed): string[] =>
  b.driver
    .ste('nic0')
    .words.slice(0, 4)
    .map((w) => w.toString(16).padStart(16, '0'));
const withAts = { devices: [{ name: 'nic0', rid: 0x108, ats: true }] };

describe('probe', () => {
  it('writes the registers in the order of the kernel and leaves clean caches', () => {
    const b = bed({ features: { ATS: true } });
    const writes = b.events.flatMap((e) => (e.kind === 'register.write' ? [`${e.reg}=${e.value.toString(16)}`] : []));
    const strtab = b.driver.state.strtab!.base.toString(16);
    const cmdq = b.driver.state.cmdq!.base;
    const evtq = b.driver.state.evtq!.base;
    const base = (at: number, log2: number): string => (BigInt(at) | (1n << 62n) | BigInt(log2)).toString(16);
    expect(writes).toEqual([
      'CR0=0',
      'CR1=d75',
      'CR2=7',
      `STRTAB_BASE=4000${strtab}`,
      'STRTAB_BASE_CFG=10210',
      `CMDQ_BASE=${base(cmdq, 16)}`,
      'CMDQ_CONS=0',
      'CR0=8',
      `EVENTQ_BASE=${base(evtq, 15)}`,
      'EVENTQ_CONS=0',
      'CR0=c',
      `PRIQ_BASE=${base(b.driver.state.priq!.base, 16)}`,
      'PRIQ_CONS=0',
      'CR0=e',
      'CR0=1e',
      'IRQ_CTRL=0',
      'GERROR_IRQ_CFG0=0',
      'EVENTQ_IRQ_CFG0=0',
      'PRIQ_IRQ_CFG0=0',
      'IRQ_CTRL=7',
      'CR0=1f',
    ]);
    expect(b.posted()).toEqual(['CFGI_ALL', SYNC, 'TLBI_EL2_ALL', SYNC, 'TLBI_NSNH_ALL', SYNC]);
    expect(ste(b)).toEqual(['0000000000000001', '0000000000000000', '0000000000000000', '0000000000000000']);
    expect(b.memory.readWord(b.driver.state.strtab!.base + 8) & 0x3fn).toBe(9n);
  });

  it('polls memory with MSI, else asks for a wake-up event', () => {
    const words = (b: Bed): string[] =>
      b.events.flatMap((e) =>
        e.kind === 'command.post' && e.command.name === 'SYNC' ? [e.command.words[0]!.toString(16)] : [],
      );
    expect(words(bed())[0]).toBe('fc01046');
    const b = bed({ features: { MSI: false } });
    expect(words(b)[0]).toBe('fc02046');
    expect(b.events.some((e) => e.kind === 'note' && e.text.includes('timeout'))).toBe(false);
  });

  it('uses a linear stream table where there is no other', () => {
    const b = bed({ features: { ST_LEVEL: false } });
    expect(b.smmu.readRegister('STRTAB_BASE_CFG')).toBe(16n);
    expect(b.driver.ste('nic0').address).toBe(b.driver.state.strtab!.base + 0x108 * 64);
  });
});

describe('end to end (arm-smmuv3.md 10.6), host side', () => {
  it('device without ATS', () => {
    const b = bed();
    b.posted();
    const n = nest(b);
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH]);
    const root = b.driver.table(1)!.root.toString(16).padStart(16, '0');
    // E2, with this table's address.
    expect(ste(b)).toEqual(['000000000000000d', '0000100000000000', '044d359000000001', root]);
    const abort = vste(b, n, 0x1n);
    const bypass = vste(b, n, 0x9n);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: bypass }, n.fd);
    expect(b.posted()).toEqual([PREFETCH]);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: bypass }, n.fd);
    expect(b.posted()).toEqual([]);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const send = (w0: bigint, w1: bigint): void => {
      const input = { hwpt_id: n.viommu, data_type: 1, entry_len: 16, entry_num: 1, entries: [{ cmd: [w0, w1] }] };
      expect(b.ioctl('IOMMU_HWPT_INVALIDATE', input)).toMatchObject({ errno: '0', out: { entry_num: 1 } });
    };
    send(0x30n, 0n);
    expect(b.posted()).toEqual(['TLBI_NH_ALL vmid 1', SYNC]);
    send(0x0000000800000005n, 1n);
    expect(b.posted()).toEqual(['CFGI_CD sid 0x108 ssid 0x0 leaf', SYNC]);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: abort }, n.fd);
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH]);
    const translate = vste(b, n, ...E1);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: translate }, n.fd);
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH]);
    // E3.
    expect(ste(b)).toEqual(['000000004810000f', '00001000000800d6', '044d359000000001', root]);
    send(0x0001000000000012n, 0xfffff701n);
    const last = b.events.findLast((e) => e.kind === 'command.post' && e.command.name !== 'SYNC');
    expect(last?.kind === 'command.post' && last.command.words.map((w) => w.toString(16))).toEqual([
      '1000100000012',
      'fffff701',
    ]);
    expect(b.posted()).toEqual(['TLBI_NH_VA vmid 1 asid 1 va 0xfffff000 pages 1 of 4K level 3 leaf', SYNC]);
    const words = b.events.flatMap((e) => (e.kind === 'table.write' && e.text.startsWith('STE 0x108') ? [e.text] : []));
    expect(words).toEqual([
      'STE 0x108 DW1..3',
      'STE 0x108 DW0',
      'STE 0x108 DW0',
      'STE 0x108 DW1..3',
      'STE 0x108 DW1..3',
      'STE 0x108 DW0',
    ]);
  });

  it('device with ATS: EATS follows the vSTE, with the ATC flushed at each change', () => {
    const b = bed(withAts);
    b.posted();
    const n = nest(b);
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH, ATC_ALL, SYNC]);
    expect(b.devices[0]!.atsEnabled).toBe(true);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const off = vste(b, n, ...E1);
    const on = vste(b, n, ...E1_ATS);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: off }, n.fd);
    // S2+EATS to nested: hitless, since EATS may change at any time.
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH, ATC_ALL, SYNC]);
    expect(b.devices[0]!.atsEnabled).toBe(false);
    expect(ste(b)[1]).toBe('00001000000800d6');
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: on }, n.fd);
    expect(b.posted()).toEqual([CFGI, SYNC, PREFETCH, ATC_ALL, SYNC]);
    expect(b.devices[0]!.atsEnabled).toBe(true);
    expect(ste(b)[1]).toBe('00001000100800d6');
  });
});

describe('ATS under bypass and abort vSTEs', () => {
  const run = (deviations: string[]): boolean[] => {
    const b = bed({ ...withAts, deviations });
    const n = nest(b);
    return [0x9n, 0x1n, 0n].map((w) => {
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, w) }, n.fd);
      return b.devices[0]!.atsEnabled;
    });
  };
  it('stays on since the v7.1 window', () => expect(run([])).toEqual([true, true, true]));
  it('was off up to v6.19', () => expect(run(['host.v6.19-ats'])).toEqual([false, false, false]));
});

describe('order of a replace', () => {
  it('switches PCI ATS off before the STE refuses it, and on after its ATC is clean', () => {
    const b = bed(withAts);
    const n = nest(b);
    const order = (from: number): string[] =>
      b.events.slice(from).flatMap((e) => {
        if (e.kind === 'note' && e.text.startsWith('ATS of'))
          return [e.text.includes('switched on') ? 'ats on' : 'ats off'];
        if (e.kind === 'command.post') return [e.command.name];
        return [];
      });
    let from = b.events.length;
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
    // The last user of the VMID has left: its tag is flushed.
    expect(order(from)).toEqual([
      'ats off',
      'CFGI_STE',
      'SYNC',
      'CFGI_STE',
      'SYNC',
      'PREFETCH_CONFIG',
      'ATC_INV',
      'SYNC',
      'TLBI_S12_VMALL',
      'SYNC',
    ]);
    from = b.events.length;
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: n.parent }, n.fd);
    expect(order(from)).toEqual([
      'CFGI_STE',
      'SYNC',
      'CFGI_STE',
      'SYNC',
      'PREFETCH_CONFIG',
      'ATC_INV',
      'SYNC',
      'ats on',
    ]);
  });

  it('keeps the invalidation array right through changes of ATS on one parent', () => {
    const b = bed(withAts);
    const n = nest(b);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const array = (): string[] =>
      b.driver.state.paging.get(1)!.invalidations.map((e) => `${e.type} ${e.id} x${e.users}`);
    expect(array()).toEqual(['S2_VMID 1 x1', 'S2_VMID_S1_CLEAR 1 x1', 'ATS_FULL 264 x1']);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, ...E1) }, n.fd);
    expect(array()).toEqual(['S2_VMID 1 x1', 'S2_VMID_S1_CLEAR 1 x1']);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, ...E1_ATS) }, n.fd);
    expect(array()).toEqual(['S2_VMID 1 x1', 'S2_VMID_S1_CLEAR 1 x1', 'ATS_FULL 264 x1']);
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
    expect(array()).toEqual([]);
  });
});

describe('unmap from the nest parent (arm-smmuv3.md 5.6, 10.2)', () => {
  const unmap = (b: Bed, ioas: number, iova: number, length: number): void => {
    expect(b.ioctl('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova, length })).toMatchObject({ errno: '0' });
  };
  const setUp = (o: Parameters<typeof bed>[0]): { b: Bed; ioas: number } => {
    const b = bed(o);
    const n = nest(b);
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: 0x7f0000000000, length: 2 * MiB, iova: 0x48000000 });
    b.posted();
    return { b, ioas: n.ioas };
  };

  it('stage 2, then stage 1 of the VMID, then the ATC, each with a CMD_SYNC', () => {
    const { b, ioas } = setUp(withAts);
    const from = b.events.length;
    unmap(b, ioas, 0x48000000, 2 * MiB);
    const words = b.events
      .slice(from)
      .flatMap((e) =>
        e.kind === 'command.post' ? [e.command.words.map((w) => w.toString(16).padStart(16, '0')).join(' ')] : [],
      );
    // H1, H2, H3.
    expect(words.filter((w) => !w.startsWith('000000000fc01046'))).toEqual([
      '000000010090002a 0000000048000601',
      '0000000100000010 0000000000000000',
      '0000010800000040 0000000000000034',
    ]);
    expect(b.posted().map((c) => c.split(' ')[0])).toEqual(['TLBI_S2_IPA', SYNC, 'TLBI_NH_ALL', SYNC, 'ATC_INV', SYNC]);
  });

  it('leaves out what a deviation forgets', () => {
    for (const [name, missing] of [
      ['host.unmap-no-nh-all', 'TLBI_NH_ALL'],
      ['host.unmap-no-atc-inv', 'ATC_INV'],
    ] as const) {
      const { b, ioas } = setUp({ ...withAts, deviations: [name] });
      unmap(b, ioas, 0x48000000, 2 * MiB);
      const names = b.posted().map((c) => c.split(' ')[0]);
      expect(names).not.toContain(missing);
      expect(names).toHaveLength(4);
    }
  });

  it('flushes the walk first where a table of pages is dropped', () => {
    const b = bed({ chunk: 4096 });
    const n = nest(b);
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: 0x7f0000000000, length: 2 * MiB, iova: 0x48000000 });
    b.posted();
    unmap(b, n.ioas, 0x48000000, 2 * MiB);
    expect(b.posted()).toEqual([
      'TLBI_S2_IPA vmid 1 ipa 0x48000000 pages 512 of 4K',
      SYNC,
      'TLBI_NH_ALL vmid 1',
      SYNC,
      'TLBI_S2_IPA vmid 1 ipa 0x48000000 pages 512 of 4K level 2 leaf',
      SYNC,
      'TLBI_NH_ALL vmid 1',
      SYNC,
    ]);
  });

  it('without range invalidation a large range becomes one flush of the VMID', () => {
    const { b, ioas } = setUp({ features: { RIL: false } });
    unmap(b, ioas, 0x48000000, 2 * MiB);
    expect(b.posted()).toEqual(['TLBI_S2_IPA vmid 1 ipa 0x48000000 leaf', SYNC, 'TLBI_NH_ALL vmid 1', SYNC]);
    b.make('IOMMU_IOAS_MAP', {
      flags: 7,
      ioas_id: ioas,
      user_va: 0x7f0000000000,
      length: 2 * MiB - 4096,
      iova: 0x48000000,
    });
    const from = b.events.length;
    unmap(b, ioas, 0x48000000, 2 * MiB - 4096);
    expect(b.posted()).toHaveLength(511 + 3);
    // Batches of 64 without CMD_SYNC; each ends where hardware starts to fetch.
    const kinds = b.events
      .slice(from)
      .flatMap((e) => (e.kind === 'command.post' ? ['p'] : e.kind === 'command.fetch' ? ['f'] : []));
    const lists = kinds.join('').match(/p+/g)!;
    expect(lists.map((x) => x.length)).toEqual([64, 64, 64, 64, 64, 64, 64, 64, 2]);
  });

  it('sends nothing while no device is attached', () => {
    const { b, ioas } = setUp({});
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, 1);
    b.posted();
    unmap(b, ioas, 0x48000000, 2 * MiB);
    expect(b.posted()).toEqual([]);
  });
});

describe('a device attached to an IOAS', () => {
  it('gets a stage-1 domain of the host, its CD written before its STE', () => {
    const b = bed();
    const fd = b.iommufd.openDevice('nic0');
    b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    b.posted();
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: ioas }, fd);
    const cd = 'CFGI_CD sid 0x108 ssid 0x0 leaf';
    expect(b.posted()).toEqual([cd, SYNC, cd, SYNC, CFGI, SYNC, CFGI, SYNC, PREFETCH]);
    const words = ste(b);
    // Config 5, S1DSS 2, CD fetches cached; EL2 stream world and SHCFG 0.
    expect(words[1]).toBe('00000000800000d6');
    expect(BigInt(`0x${words[0]}`) & 0xfn).toBe(0xbn);
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: 0x7f0000000000, length: 4096, iova: 0x10000 });
    const r = runToEnd(
      b.smmu.dma({ device: b.devices[0]!, pasid: -1, iova: 0x10234n, write: true, translated: false }),
    );
    expect(r).toMatchObject({ ok: true, pa: 0x880800000000 + 2 * MiB + 0x234 });
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova: 0x10000, length: 4096 });
    expect(b.posted()).toEqual(['TLBI_EL2_VA asid 1 va 0x10000 pages 1 of 4K level 3 leaf', SYNC]);
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd);
    expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH, 'TLBI_EL2_ASID asid 1', SYNC, cd, SYNC, cd, SYNC]);
    expect(b.iommufd.objects().map((o) => o.title)).toEqual(['DEVICE 1', 'IOAS 2']);
  });

  it('makes leaves of a two-level CD table when they are needed', () => {
    const b = bed({ devices: [{ name: 'nic0', rid: 0x108, pasidBits: 16 }] });
    const fd = b.iommufd.openDevice('nic0');
    b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    b.posted();
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: b.make('IOMMU_IOAS_ALLOC') }, fd);
    expect(b.posted().slice(0, 2)).toEqual(['CFGI_CD sid 0x108 ssid 0x0', SYNC]);
    expect(Number(BigInt(`0x${ste(b)[0]}`) >> 59n)).toBe(16);
    const r = runToEnd(
      b.smmu.dma({ device: b.devices[0]!, pasid: -1, iova: 0x1000n, write: false, translated: false }),
    );
    expect(r.fault?.name).toBe('F_TRANSLATION');
  });
});

it('owner claim takes a device from its identity domain to abort', () => {
  const b = bed({ defaultDomain: 'identity' });
  expect(ste(b).slice(0, 2)).toEqual(['0000000000000009', '0000100000000000']);
  b.posted();
  const fd = b.iommufd.openDevice('nic0');
  b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  expect(b.posted()).toEqual([CFGI, SYNC, CFGI, SYNC, PREFETCH]);
  runToEnd(b.iommufd.close(fd));
  expect(ste(b)[0]).toBe('0000000000000009');
});

it('a nested translation through parent and guest tables arrives', () => {
  const b = bed();
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  const pa = (ipa: number): number => b.driver.table(1)!.lookup(ipa)!.oa;
  // A guest CD and a stage 1 that maps 0xfffff000 to IPA 0x48300000 (arm-smmuv3.md 10.1, 10.4).
  const cd = [0x0001e204c0003510n, 0x48200000n, 0n, 0xf404ff44n];
  cd.forEach((w, i) => {
    b.memory.writeWord(pa(0x48100000) + i * 8, w);
  });
  b.memory.writeWord(pa(0x48200000), 0x48201003n);
  b.memory.writeWord(pa(0x48201018), 0x48202003n);
  b.memory.writeWord(pa(0x48202ff8), 0x48203003n);
  b.memory.writeWord(pa(0x48203ff8), 0x48300f47n);
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, ...E1) }, n.fd);
  const r = runToEnd(
    b.smmu.dma({ device: b.devices[0]!, pasid: -1, iova: 0xfffff040n, write: false, translated: false }),
  );
  expect(r).toMatchObject({ ok: true, pa: pa(0x48300040) });
});
