import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeEvent } from '../layout/index.ts';
import { type Bed, bed, type Nest, nest, vste } from './testbed.ts';

const PTR = 0x4810000bn;

function set(): { b: Bed; n: Nest } {
  const b = bed();
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  b.posted();
  return { b, n };
}

describe('vSTE acceptance (arm-smmuv3.md 5.1, 10.1 E5)', () => {
  const alloc = (b: Bed, n: Nest, ste: unknown, more: Record<string, unknown> = {}): string =>
    b.ioctl('IOMMU_HWPT_ALLOC', { dev_id: n.dev, pt_id: n.viommu, data_type: 2, data_len: 16, data: { ste }, ...more })
      .errno;
  it.each([
    ['abort', [0x1n, 0n], '0'],
    ['bypass', [0x9n, 0n], '0'],
    ['V=0 with anything', [0x4810000an, 0xffffffffffffffffn], '0'],
    ['Config 6', [0xdn, 0n], 'EIO'],
    ['Config 7', [0xfn, 0n], 'EIO'],
    ['Config 1', [0x3n, 0n], 'EIO'],
    ['SHCFG', [PTR, 0x00001000000000d6n], 'EIO'],
    ['STRW', [PTR, 0x800000d6n], 'EIO'],
    ['EATS 2', [PTR, 0x200000d6n], 'EIO'],
    ['EATS 2 under bypass', [0x9n, 0x20000000n], 'EIO'],
    ['S1ContextPtr above bit 51', [PTR | (1n << 52n), 0xd6n], 'EIO'],
  ] as const)('%s: %s', (_name, ste, errno) => {
    const { b, n } = set();
    expect(alloc(b, n, ste)).toBe(errno);
  });

  it('checks flags, then type and length, then the pointer, then the content', () => {
    const { b, n } = set();
    expect(alloc(b, n, [0xdn, 0n], { flags: 8, data_len: 15 })).toBe('EOPNOTSUPP');
    expect(alloc(b, n, [0xdn, 0n], { data_len: 15 })).toBe('EINVAL');
    expect(alloc(b, n, [0xdn, 0n], { data_len: 17 })).toBe('EINVAL');
    expect(alloc(b, n, [0xdn, 0n], { data_type: 1 })).toBe('EINVAL');
    expect(alloc(b, n, undefined, { data: undefined, data_uptr: 0 })).toBe('EFAULT');
    expect(alloc(b, n, [1n, 0n], { data_len: 0, data_type: 0 })).toBe('EOPNOTSUPP');
  });
});

describe('attach to a nested page table', () => {
  it('needs a vDEVICE to translate, not to bypass or abort', () => {
    const b = bed();
    const n = nest(b);
    const attach = (pt: number): string => b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: pt }, n.fd).errno;
    const before = b.driver.ste('nic0').words.join();
    expect(attach(vste(b, n, PTR, 0xd6n))).toBe('ENOENT');
    expect(b.driver.ste('nic0').words.join()).toBe(before);
    expect(attach(vste(b, n, 0x9n))).toBe('0');
    expect(attach(vste(b, n, 0x1n))).toBe('0');
    expect(attach(vste(b, n, 0n))).toBe('0');
  });
});

describe('IOMMU_HWPT_INVALIDATE on the vIOMMU (5.5)', () => {
  const call = (b: Bed, n: Nest, input: Record<string, unknown>): { errno: string; done: unknown } => {
    const r = b.ioctl('IOMMU_HWPT_INVALIDATE', { hwpt_id: n.viommu, data_type: 1, entry_len: 16, ...input });
    return { errno: r.errno, done: r.out['entry_num'] };
  };
  const va = { cmd: [0x12n, 0x1001n] };
  const bad = { cmd: [0x03n, 0n] };

  it('counts converted commands that were never issued', () => {
    const { b, n } = set();
    expect(call(b, n, { entry_num: 3, entries: [va, va, bad] })).toEqual({ errno: 'EIO', done: 2 });
    expect(b.posted()).toEqual([]);
    const entries = [...new Array(63).fill(va), va, bad];
    expect(call(b, n, { entry_num: 65, entries })).toEqual({ errno: 'EIO', done: 64 });
    expect(b.posted()).toHaveLength(64);
  });

  it('issues chunks of 63, each with a CMD_SYNC', () => {
    const { b, n } = set();
    expect(call(b, n, { entry_num: 130, entries: new Array(130).fill(va) })).toEqual({ errno: '0', done: 130 });
    const posted = b.posted();
    expect([...posted.keys()].filter((i) => posted[i] === 'SYNC')).toEqual([63, 127, 132]);
  });

  it('refuses in the order of the kernel', () => {
    const { b, n } = set();
    expect(call(b, n, { entry_num: 0 })).toEqual({ errno: 'EINVAL', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], data_type: 2 })).toEqual({ errno: 'EINVAL', done: 0 });
    expect(call(b, n, { entry_num: 1, data_uptr: 0 })).toEqual({ errno: 'EINVAL', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], entry_len: 0 })).toEqual({ errno: 'EINVAL', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], entry_len: 4097 })).toEqual({ errno: 'EINVAL', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], __reserved: 1 })).toEqual({ errno: 'EOPNOTSUPP', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], hwpt_id: 99 })).toEqual({ errno: 'ENOENT', done: 0 });
    expect(call(b, n, { entry_num: 1, entries: [va], hwpt_id: n.parent })).toEqual({ errno: 'EINVAL', done: 0 });
    const nested = vste(b, n, 0x9n);
    expect(call(b, n, { entry_num: 1, entries: [va], hwpt_id: nested })).toEqual({ errno: 'EOPNOTSUPP', done: 0 });
    // A short entry is filled up with zeros: here the address is gone, the command stays.
    expect(call(b, n, { entry_num: 1, entries: [va], entry_len: 8 })).toEqual({ errno: '0', done: 1 });
    expect(b.posted()[0]).toBe('TLBI_NH_VA vmid 1 asid 0 va 0x0');
  });

  it('knows only virtual StreamIDs with a vDEVICE in this vIOMMU', () => {
    const { b, n } = set();
    expect(call(b, n, { entry_num: 1, entries: [{ cmd: [0x0000000900000005n, 1n] }] })).toEqual({
      errno: 'EIO',
      done: 0,
    });
    expect(call(b, n, { entry_num: 1, entries: [{ cmd: [0x0000000800000005n, 1n] }] })).toEqual({
      errno: '0',
      done: 1,
    });
  });

  it('succeeds although a reserved bit stops the queue: the command is overwritten by a CMD_SYNC', () => {
    const { b, n } = set();
    // SSec makes the real queue stop with CERROR_ILL.
    expect(call(b, n, { entry_num: 2, entries: [{ cmd: [0x412n, 1n] }, va] })).toEqual({ errno: '0', done: 2 });
    expect(b.posted()).toEqual([
      'TLBI_NH_VA vmid 1 asid 0 va 0x0 leaf',
      'TLBI_NH_VA vmid 1 asid 0 va 0x1000 leaf',
      'SYNC',
      'SYNC',
    ]);
    const overwritten = b.events.findLast((e) => e.kind === 'command.post');
    expect(overwritten?.kind === 'command.post' && overwritten.command.words).toEqual([0x0fc02046n, 0n]);
    const log = b.driver.state.log.slice(-3);
    expect(log[0]).toBe('unexpected global error reported (0x00000001), this could be serious');
    expect(log[1]).toMatch(/^CMDQ error \(cons 0x0100[0-9a-f]{4}\): Illegal command$/);
    expect(log[2]).toBe('skipping command in error state: 0x0000000100000412 0x0000000000000001');
    expect(b.smmu.readRegister('GERROR')).toBe(b.smmu.readRegister('GERRORN'));
  });

  it('says what it rewrote', () => {
    const { b, n } = set();
    call(b, n, { entry_num: 2, entries: [{ cmd: [0x30n, 0n] }, { cmd: [0x0000000800000040n, 0x34n] }] });
    const changes = b.events.flatMap((e) => (e.kind === 'command.rewrite' ? [e.changes] : []));
    expect(changes).toEqual([
      [
        { field: 'opcode', from: 'TLBI_NSNH_ALL', to: 'TLBI_NH_ALL' },
        { field: 'vmid', from: '0', to: '1' },
      ],
      [{ field: 'sid', from: '0x8', to: '0x108' }],
    ]);
  });
});

describe('injected faults at host.command', () => {
  it('drops one command, never the CMD_SYNC', () => {
    const { b, n } = set();
    b.injector.active = [{ at: 'host.command', action: 'drop', count: 1, xor: [0n, 0n] }];
    const input = {
      hwpt_id: n.viommu,
      data_type: 1,
      entry_len: 16,
      entry_num: 2,
      entries: [{ cmd: [0x10n, 0n] }, { cmd: [0x11n, 0n] }],
    };
    expect(b.ioctl('IOMMU_HWPT_INVALIDATE', input).errno).toBe('0');
    expect(b.posted()).toEqual(['TLBI_NH_ASID vmid 1 asid 0', 'SYNC']);
  });
});

describe('events (5.10)', () => {
  function armed(): { b: Bed; n: Nest; fd: number } {
    const { b, n } = set();
    const r = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 2 });
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, PTR, 0xd6n) }, n.fd);
    return { b, n, fd: Number(r.out['out_veventq_fd']) };
  }
  const raise = (b: Bed, name: string, fields: Record<string, number | bigint>): void => {
    b.smmu.deliverEvent(encodeEvent(name, { SID: 0x108, ...fields }));
    runToEnd(b.driver.interrupt());
  };
  const read = (b: Bed, fd: number): unknown[] => [...b.iommufd.read(fd, 4096).out.records];

  it("gives a stage-1 fault to the guest with its own StreamID (V1, V1')", () => {
    const { b, fd } = armed();
    raise(b, 'F_TRANSLATION', { CLASS: 2, InputAddr: 0xfffff040n });
    expect(read(b, fd)).toEqual([
      { flags: 0, sequence: 0, evt: [0x0000000800000010n, 0x0000020000000000n, 0xfffff040n, 0n] },
    ]);
    expect(b.smmu.readRegister('EVENTQ_CONS')).toBe(b.smmu.readRegister('EVENTQ_PROD'));
  });

  it('keeps stage-2 faults, fetch aborts and unknown devices to itself, in the words of the kernel', () => {
    const { b, fd } = armed();
    raise(b, 'F_PERMISSION', { S2: 1, CLASS: 2, InputAddr: 0xfffff040n, IPA: 0x48300000n });
    expect(b.driver.state.log.slice(-7)).toEqual([
      'event 0x13 received:',
      '\t0x0000010800000013',
      '\t0x0000028000000000',
      '\t0x00000000fffff040',
      '\t0x0000000048300000',
      'event: F_PERMISSION client: nic0 sid: 0x108 ssid: 0 iova: 0xfffff040 ipa: 0x48300000',
      'event: unpriv data write s2 "Input address caused fault" stag: 0',
    ]);
    raise(b, 'F_CD_FETCH', { FetchAddr: 0x880045100000n });
    expect(b.driver.state.log.at(-1)).toBe(
      'event: F_CD_FETCH client: nic0 sid: 0x108 ssid: 0 fetch_addr: 0x880045100000',
    );
    raise(b, 'C_BAD_STE', { SID: 0x300 });
    expect(b.driver.state.log.at(-1)).toBe('event: C_BAD_STE client: (unassigned sid) sid: 0x300 ssid: 0');
    expect(read(b, fd)).toEqual([]);
  });

  it('prints a flood only in part, and says when the queue overflowed', () => {
    const { b } = armed();
    const size = 2 ** b.driver.state.evtq!.log2;
    for (let i = 0; i <= size; i++) b.smmu.deliverEvent(encodeEvent('C_BAD_STREAMID', { SID: 0x300 }));
    runToEnd(b.driver.interrupt());
    expect(b.driver.state.log.filter((l) => l === 'event 0x02 received:')).toHaveLength(10);
    expect(b.driver.state.log.slice(-2)).toEqual([
      'EVTQ overflow detected -- events lost',
      `arm_smmu_evtq_thread: ${size - 10} callbacks suppressed`,
    ]);
    expect(b.smmu.readRegister('EVENTQ_CONS')).toBe(b.smmu.readRegister('EVENTQ_PROD'));
  });

  it('counts lost events as the uAPI says (iommufd-uapi.md 3.7, depth 2)', () => {
    const { b, fd } = armed();
    for (let i = 0; i < 4; i++) raise(b, 'C_BAD_CD', { SSV: 1, SSID: i });
    const records = read(b, fd) as { flags: number; sequence: number }[];
    expect(records.map((r) => [r.flags, r.sequence])).toEqual([
      [0, 0],
      [0, 1],
      [1, 3],
    ]);
    for (let i = 0; i < 4; i++) raise(b, 'C_BAD_CD', {});
    // The first is read before the fifth: the marker at the tail gives way.
    const short = b.iommufd.read(fd, 40).out.records as { sequence: number }[];
    expect(short.map((r) => r.sequence)).toEqual([4]);
    raise(b, 'C_BAD_CD', {});
    expect((read(b, fd) as { sequence: number }[]).map((r) => r.sequence)).toEqual([5, 8]);
  });

  it('captures the virtual StreamID at attach, not at VDEVICE_ALLOC', () => {
    const b = bed();
    const n = nest(b);
    const q = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 2 });
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, 0x9n) }, n.fd);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    raise(b, 'C_BAD_STE', {});
    expect(read(b, Number(q.out['out_veventq_fd']))).toEqual([]);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, 0x1n) }, n.fd);
    raise(b, 'C_BAD_STE', {});
    expect(read(b, Number(q.out['out_veventq_fd']))).toHaveLength(1);
  });
});

it('gives each nest parent the lowest free VMID, and says when there is none', () => {
  const b = bed({ features: { VMID16: false } });
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  const alloc = (): { errno: string; main?: number } =>
    b.ioctl('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
  const ids = Array.from({ length: 255 }, () => alloc().main!);
  expect(alloc().errno).toBe('ENOSPC');
  b.make('IOMMU_DESTROY', { id: ids[41]! });
  alloc();
  const vmids = [...b.driver.state.paging.values()].map((d) => d.tag);
  expect(vmids.at(-1)).toBe(42);
  expect(new Set(vmids).size).toBe(255);
});

it('needs both stages to nest', () => {
  const b = bed({ features: { S2P: false } });
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas }).errno).toBe('EOPNOTSUPP');
  expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags: 9, dev_id: dev, pt_id: ioas }).errno).toBe('EOPNOTSUPP');
  // Dirty tracking and PASIDs are stage 1's.
  for (const flags of [2, 8, 10]) {
    expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags, dev_id: dev, pt_id: ioas }).errno).toBe('0');
  }
});

it('comes back from a snapshot with everything in its place', () => {
  const { b, n } = set();
  const nested = vste(b, n, PTR, 0xd6n);
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: nested }, n.fd);
  const saved = [b.memory.save(), b.smmu.save(), b.driver.save(), b.iommufd.save(), b.pages.save()] as const;
  const again = (): unknown => {
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: 2 ** 30 });
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
    b.make('IOMMU_DESTROY', { id: nested });
    return [b.posted(), b.iommufd.objects(), b.driver.state];
  };
  const first = structuredClone(again());
  b.memory.load(saved[0]);
  b.smmu.load(saved[1]);
  b.driver.load(saved[2]);
  b.iommufd.load(saved[3]);
  b.pages.load(saved[4]);
  expect(again()).toEqual(first);
});
