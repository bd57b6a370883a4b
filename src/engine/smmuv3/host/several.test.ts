import { describe, expect, it } from 'vitest';
import { Iommufd } from '../../iommufd/index.ts';
import { runToEnd } from '../../machine/index.ts';
import { ProcessMemory } from '../../memory/index.ts';
import { Trace } from '../../trace/index.ts';
import { encodeEvent } from '../layout/index.ts';
import { type Bed, bed, MiB, nest, UVA, vste } from './testbed.ts';

const TRANSLATE = [0x4810000bn, 0xd6n] as const;

/** nic0 and nic1 behind the first SMMU, nic2 behind the second. */
const units = {
  units: 2,
  devices: [
    { name: 'nic0', rid: 0x108 },
    { name: 'nic1', rid: 0x109 },
    { name: 'nic2', rid: 0x108, unit: 1 },
  ],
};

function bind(b: Bed, device: string): { fd: number; dev: number } {
  const fd = b.iommufd.openDevice(device);
  return { fd, dev: b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd) };
}
const attach = (b: Bed, fd: number, pt: number): string =>
  b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: pt }, fd).errno;

describe('several SMMUs', () => {
  it('a nest parent belongs to one: the other’s devices and vIOMMUs are incompatible', () => {
    const b = bed(units);
    const n = nest(b);
    const d2 = bind(b, 'nic2');
    expect(attach(b, d2.fd, n.parent)).toBe('EINVAL');
    const viommu = (dev: number, parent: number): string =>
      b.ioctl('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: dev, hwpt_id: parent }).errno;
    expect(viommu(d2.dev, n.parent)).toBe('EINVAL');
    // The same IOAS has a parent for each SMMU; both have all mappings.
    const parent2 = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: d2.dev, pt_id: n.ioas });
    expect(attach(b, d2.fd, parent2)).toBe('0');
    expect(viommu(d2.dev, parent2)).toBe('0');
    const iommufdEinval = b.ioctl('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: d2.dev, virt_id: 9 });
    expect(iommufdEinval.errno).toBe('EINVAL');
    const nested = { dev_id: d2.dev, pt_id: n.viommu, data_type: 2, data_len: 16, data: { ste: [1n, 0n] } };
    expect(b.ioctl('IOMMU_HWPT_ALLOC', nested).errno).toBe('EINVAL');
    // The driver refuses it by itself, too.
    const foreign = [...b.drivers.units[0]!.state.paging.keys()][0]!;
    expect(runToEnd(b.drivers.attach('nic2', foreign))).toBe('EINVAL');
    expect(runToEnd(b.drivers.attachPasid('nic2', 1, foreign))).toBe('EINVAL');
    // VMIDs are those of each SMMU; handles are unique.
    const [a, c] = b.drivers.units.map((u) => [...u.state.paging.values()][0]!);
    expect([a!.tag, c!.tag]).toEqual([1, 1]);
    expect(a!.handle).not.toBe(c!.handle);
    for (const smmu of b.smmus) {
      const device = b.devices.find((d) => d.rid === 0x108 && (smmu === b.smmu) === (d.name === 'nic0'))!;
      const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0x40001000n, write: false, translated: false }));
      expect(r).toMatchObject({ ok: true, pa: 0x880800201000 });
    }
  });

  it('an IOAS that is attached by id gives each SMMU a page table of its own', () => {
    const b = bed(units);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const on = (device: string): unknown =>
      b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: ioas }, bind(b, device).fd).out['pt_id'];
    const [h0, h1, h2] = [on('nic0'), on('nic1'), on('nic2')];
    expect(h1).toBe(h0);
    expect(h2).not.toBe(h0);
  });

  it('unmap goes to both, each on its own queue; events come back from each', () => {
    const b = bed(units);
    const n = nest(b);
    const d2 = bind(b, 'nic2');
    const parent2 = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: d2.dev, pt_id: n.ioas });
    attach(b, d2.fd, parent2);
    const viommu2 = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: d2.dev, hwpt_id: parent2 });
    b.events.length = 0;
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: 2 ** 30 });
    const queues = b.events.flatMap((e) => (e.kind === 'command.post' && e.command.name !== 'SYNC' ? [e.at] : []));
    expect(new Set(queues)).toEqual(new Set(['hw.smmu0.cmdq', 'hw.smmu1.cmdq']));

    const queue = (viommu: number): number =>
      Number(b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: viommu, type: 1, veventq_depth: 4 }).out['out_veventq_fd']);
    const [q1, q2] = [queue(n.viommu), queue(viommu2)];
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: viommu2, dev_id: d2.dev, virt_id: 16 });
    attach(b, n.fd, vste(b, n, ...TRANSLATE));
    attach(b, d2.fd, vste(b, { ...n, ...d2, parent: parent2, viommu: viommu2 }, ...TRANSLATE));
    b.smmus[1]!.deliverEvent(encodeEvent('F_TRANSLATION', { SID: 0x108, CLASS: 2, InputAddr: 0x1000n }));
    runToEnd(b.drivers.interrupt());
    expect(b.iommufd.read(q1, 40).out.records).toEqual([]);
    expect(b.iommufd.read(q2, 40).out.records).toMatchObject([{ evt: [0x1000000010n, 0x20000000000n, 0x1000n, 0n] }]);
    const infos = [n.dev, d2.dev].map((dev) => b.ioctl('IOMMU_GET_HW_INFO', { dev_id: dev, data_len: 40 }).errno);
    expect(infos).toEqual(['0', '0']);
  });

  it('says hw_info of the SMMU that the device is behind', () => {
    const b = bed(units);
    const read = (device: string): string =>
      String(b.ioctl('IOMMU_GET_HW_INFO', { dev_id: bind(b, device).dev, data_len: 40 }).out['data']);
    const le = (n: bigint): string => {
      const bytes = [0, 8, 16, 24].map((s) =>
        Number((n >> BigInt(s)) & 0xffn)
          .toString(16)
          .padStart(2, '0'),
      );
      return bytes.join('');
    };
    const idr = (i: number): string =>
      ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5', 'IIDR', 'AIDR']
        .map((r) => le(b.smmus[i]!.readRegister(r)))
        .join('');
    expect(read('nic0')).toBe(`0000000000000000${idr(0)}`);
    expect(read('nic2')).toBe(`0000000000000000${idr(1)}`);
  });

  it('says in the scene which one acts', () => {
    const b = bed(units);
    expect(b.drivers.sceneId('nic2')).toBe('kernel.smmu1.driver');
    expect(b.drivers.units[0]!.state.log[0]).toMatch(/^oas 48-bit/);
    const at = new Set(b.events.flatMap((e) => (e.actor === 'driver' ? [e.at] : [])));
    for (const id of at) expect(id).toMatch(/^(hw|kernel)\.(smmu[01]\.|device\.)/);
    const one = bed();
    expect(one.drivers.sceneId('nic0')).toBe('kernel.driver');
  });

  it('survives a snapshot', () => {
    const b = bed(units);
    nest(b);
    const saved = b.drivers.save();
    const before = structuredClone(b.drivers.units.map((u) => u.state));
    runToEnd(b.drivers.block('nic2'));
    runToEnd(b.drivers.block('nic0'));
    b.drivers.load(saved);
    expect(b.drivers.units.map((u) => u.state)).toEqual(before);
  });
});

describe('several vIOMMUs on one parent (arm-smmuv3.md 5.4)', () => {
  it('share its VMID, and so the TLB names of their guests', () => {
    const b = bed({ devices: units.devices.slice(0, 2) });
    const n = nest(b);
    const d1 = bind(b, 'nic1');
    attach(b, d1.fd, n.parent);
    const second = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: d1.dev, hwpt_id: n.parent });
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    // The same virtual id in the other vIOMMU is another device.
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: second, dev_id: d1.dev, virt_id: 8 });
    const keys = [...b.driver.state.vsmmus.values()];
    expect(keys.map((v) => v.vmid)).toEqual([1, 1]);
    const invalidate = (viommu: number): unknown => {
      b.posted();
      b.ioctl('IOMMU_HWPT_INVALIDATE', {
        hwpt_id: viommu,
        data_type: 1,
        entry_len: 16,
        entry_num: 2,
        entries: [{ cmd: [0x10n, 0n] }, { cmd: [0x0000000800000005n, 1n] }],
      });
      return b.posted();
    };
    expect(invalidate(n.viommu)).toEqual(['TLBI_NH_ALL vmid 1', 'CFGI_CD sid 0x108 ssid 0x0 leaf', 'SYNC']);
    expect(invalidate(second)).toEqual(['TLBI_NH_ALL vmid 1', 'CFGI_CD sid 0x109 ssid 0x0 leaf', 'SYNC']);
    // Each has a queue of events, and gets those of its own devices.
    const queue = (viommu: number): number =>
      Number(b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: viommu, type: 1, veventq_depth: 2 }).out['out_veventq_fd']);
    const [q1, q2] = [queue(n.viommu), queue(second)];
    attach(b, n.fd, vste(b, n, ...TRANSLATE));
    attach(b, d1.fd, vste(b, { ...n, ...d1, viommu: second }, ...TRANSLATE));
    b.smmu.deliverEvent(encodeEvent('C_BAD_CD', { SID: 0x109 }));
    runToEnd(b.driver.interrupt());
    expect(b.iommufd.read(q1, 40).out.records).toEqual([]);
    expect(b.iommufd.read(q2, 40).out.records).toMatchObject([{ evt: [0x80000000an, 0n, 0n, 0n] }]);
  });

  it('the nested page table of one is no place for the other’s device', () => {
    const b = bed({ devices: units.devices.slice(0, 2) });
    const n = nest(b);
    const d1 = bind(b, 'nic1');
    attach(b, d1.fd, n.parent);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const second = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: d1.dev, hwpt_id: n.parent });
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: second, dev_id: d1.dev, virt_id: 8 });
    expect(attach(b, d1.fd, vste(b, n, ...TRANSLATE))).toBe('ENOENT');
    expect(attach(b, d1.fd, vste(b, n, 9n))).toBe('0');
  });
});

describe('several processes', () => {
  const second = (b: Bed): { p: ReturnType<Iommufd['process']>; base: number } => {
    const memory = new ProcessMemory();
    const base = 0x880900000000;
    memory.add({ uva: UVA, size: 64 * MiB, base, chunk: 2 * MiB });
    return { p: b.iommufd.process(memory), base };
  };

  it('have file descriptors, objects and memory of their own', () => {
    const b = bed({ devices: units.devices.slice(0, 2) });
    const { p, base } = second(b);
    const n = nest(b);
    const call = (name: string, input: Record<string, unknown>, fd = 0) => runToEnd(p.ioctl({ call: name, fd, input }));
    const fd = p.openDevice('nic1');
    expect(fd).toBe(1);
    expect(runToEnd(p.ioctl({ call: 'IOMMU_IOAS_ALLOC', fd: 2, input: {} })).errno).toBe('EBADF');
    const dev = call('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd).main!;
    const ioas = call('IOMMU_IOAS_ALLOC', {}).main!;
    expect([dev, ioas]).toEqual([1, 2]);
    call('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 4 * MiB, iova: 0x40000000 });
    const parent = call('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas }).main!;
    expect(call('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd).errno).toBe('0');
    // Another guest, another VMID; the same IPA, another page.
    expect([...b.driver.state.paging.values()].map((d) => d.tag)).toEqual([1, 2]);
    const at = (i: number): number =>
      runToEnd(b.smmu.dma({ device: b.devices[i]!, pasid: -1, iova: 0x40000000n, write: false, translated: false })).pa;
    expect([at(0), at(1)]).toEqual([0x880800200000, base + 2 * MiB]);
    // Beyond its memory nothing can be pinned.
    const far = { flags: 7, ioas_id: ioas, user_va: UVA + 64 * MiB, length: 4096, iova: 0x80000000 };
    expect(call('IOMMU_IOAS_MAP', far).errno).toBe('EFAULT');
    expect(b.ioctl('IOMMU_IOAS_MAP', { ...far, ioas_id: n.ioas }).errno).toBe('0');
    // Ids are those of each file; scene ids are not.
    const ids = b.iommufd.objects().map((o) => o.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain('kernel.obj.1.1');
  });

  it('one device has one owner', () => {
    const b = bed();
    const { p } = second(b);
    nest(b);
    const fd = p.openDevice('nic0');
    const bind2 = runToEnd(p.ioctl({ call: 'VFIO_DEVICE_BIND_IOMMUFD', fd, input: { iommufd: 0 } }));
    expect(bind2.errno).toBe('EINVAL');
  });

  it('closing one leaves the other alone', () => {
    const b = bed({ devices: units.devices.slice(0, 2) });
    const { p } = second(b);
    const n = nest(b);
    const fd = p.openDevice('nic1');
    runToEnd(p.ioctl({ call: 'VFIO_DEVICE_BIND_IOMMUFD', fd, input: { iommufd: 0 } }));
    const saved = [b.iommufd.save(), b.drivers.save()] as const;
    runToEnd(b.iommufd.close(n.fd));
    runToEnd(b.iommufd.close(0));
    expect(b.iommufd.objects().map((o) => o.id)).toEqual(['kernel.obj.1.1']);
    expect(b.iommufd.openIommufd()).toBe(0);
    b.iommufd.load(saved[0]);
    b.drivers.load(saved[1]);
    expect(b.iommufd.objects().length).toBeGreaterThan(3);
    expect(p.readable(0)).toBe(false);
  });

  it('VMIDs run out for all of them together', () => {
    const b = bed({ features: { VMID16: false }, devices: units.devices.slice(0, 2) });
    const { p } = second(b);
    const fds = [b.iommufd.openDevice('nic0'), p.openDevice('nic1')];
    const first = (call: string, input: Record<string, unknown>, fd = 0) =>
      runToEnd(b.iommufd.ioctl({ call, fd, input }));
    const other = (call: string, input: Record<string, unknown>, fd = 0) => runToEnd(p.ioctl({ call, fd, input }));
    for (const [i, call] of [first, other].entries()) {
      call('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fds[i]!);
      call('IOMMU_IOAS_ALLOC', {});
    }
    for (let i = 0; i < 255; i++)
      expect((i % 2 ? first : other)('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 }).errno).toBe('0');
    expect(first('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 }).errno).toBe('ENOSPC');
    expect(other('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: 1, pt_id: 2 }).errno).toBe('ENOSPC');
    // Stage 1 has ASIDs of its own.
    expect(first('IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: 2 }).errno).toBe('0');
  });

  it('a kernel without any is refused nothing but calls on closed files', () => {
    const b = bed();
    const lone = new Iommufd({ driver: b.drivers, process: new ProcessMemory(), trace: new Trace() });
    expect(runToEnd(lone.ioctl({ call: 'IOMMU_IOAS_ALLOC', fd: 0, input: {} })).main).toBe(1);
    expect(runToEnd(lone.close(0)).errno).toBe('0');
    expect(runToEnd(lone.close(0)).errno).toBe('EBADF');
  });
});
