import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, GiB, MiB, nest, UVA, vste } from '../smmuv3/host/testbed.ts';

const two = {
  devices: [
    { name: 'nic0', rid: 0x108 },
    { name: 'nic1', rid: 0x109 },
  ],
};
const ULONG_MAX = 2n ** 64n - 1n;

const errno = (b: Bed, call: string, input: Record<string, unknown> | null = {}, fd = 0, more = {}): string =>
  b.ioctl(call, input, fd, more).errno;

describe('what holds for every command (iommufd-uapi.md 2.1)', () => {
  it('argument, command, size, tail, in this order', () => {
    const b = bed();
    expect(errno(b, 'IOMMU_DESTROY', null)).toBe('EFAULT');
    expect(errno(b, 'IOMMU_NO_SUCH_CALL')).toBe('ENOTTY');
    expect(errno(b, 'IOMMU_IOAS_ALLOC', {}, 7)).toBe('EBADF');
    expect(errno(b, 'IOMMU_IOAS_ALLOC', { flags: 1 }, 0, { size: 11 })).toBe('EINVAL');
    expect(errno(b, 'IOMMU_IOAS_ALLOC', { flags: 1 }, 0, { size: 13, tail: '01' })).toBe('E2BIG');
    expect(errno(b, 'IOMMU_IOAS_ALLOC', { flags: 1 }, 0, { size: 13, tail: '00' })).toBe('EOPNOTSUPP');
    expect(errno(b, 'IOMMU_IOAS_ALLOC', {}, 0, { size: 16, tail: '00000000' })).toBe('0');
  });

  it('takes what a short structure leaves out as zero, and writes no output beyond it', () => {
    const b = bed();
    const n = nest(b);
    const input = { dev_id: n.dev, pt_id: n.ioas, flags: 1, data_type: 2, data_len: 16, data: { ste: [1n, 0n] } };
    // 24 bytes end before data_type.
    expect(errno(b, 'IOMMU_HWPT_ALLOC', input, 0, { size: 24 })).toBe('0');
    expect(errno(b, 'IOMMU_HWPT_ALLOC', input)).toBe('EOPNOTSUPP');
    const info = b.ioctl('IOMMU_GET_HW_INFO', { dev_id: n.dev }, 0, { size: 32 });
    expect(Object.keys(info.out).sort()).toEqual(['data_len', 'out_data_type', 'out_max_pasid_log2']);
  });
});

describe('surprising results (iommufd-uapi.md 8)', () => {
  it('objects and ids', () => {
    const b = bed();
    const n = nest(b);
    const hwpt = (input: Record<string, unknown>): string => errno(b, 'IOMMU_HWPT_ALLOC', input);
    expect(hwpt({ dev_id: n.dev, pt_id: 99 })).toBe('EINVAL');
    expect(hwpt({ dev_id: 99, pt_id: 99 })).toBe('ENOENT');
    expect(hwpt({ dev_id: n.dev, pt_id: n.dev })).toBe('EINVAL');
    expect(hwpt({ dev_id: n.dev, pt_id: n.ioas, data_type: 2 })).toBe('EINVAL');
    expect(hwpt({ dev_id: n.dev, pt_id: n.parent, data_type: 2, data_len: 16 })).toBe('EOPNOTSUPP');
    expect(hwpt({ dev_id: n.dev, pt_id: n.ioas, flags: 5 })).toBe('EOPNOTSUPP');
    expect(hwpt({ dev_id: n.dev, pt_id: n.ioas, flags: 4 })).toBe('ENOENT');
    const viommu = (input: Record<string, unknown>): string =>
      errno(b, 'IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: n.dev, ...input });
    expect(viommu({ hwpt_id: n.ioas })).toBe('ENOENT');
    const plain = b.make('IOMMU_HWPT_ALLOC', { dev_id: n.dev, pt_id: n.ioas });
    expect(viommu({ hwpt_id: plain })).toBe('EINVAL');
    expect(viommu({ hwpt_id: n.parent, type: 0 })).toBe('EOPNOTSUPP');
    expect(viommu({ hwpt_id: n.parent, type: 2 })).toBe('EOPNOTSUPP');
    expect(viommu({ hwpt_id: n.parent, type: 2, dev_id: 99 })).toBe('ENOENT');
    expect(errno(b, 'IOMMU_DESTROY', { id: n.dev })).toBe('EBUSY');
    expect(errno(b, 'IOMMU_DESTROY', { id: 0 })).toBe('ENOENT');
    // Lowest free id first, freed ids at once.
    b.make('IOMMU_DESTROY', { id: plain });
    expect(b.make('IOMMU_IOAS_ALLOC')).toBe(plain);
  });

  it('virtual ids', () => {
    const b = bed(two);
    const n = nest(b);
    const fd1 = b.iommufd.openDevice('nic1');
    const dev1 = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd1);
    const alloc = (dev: number, virt: number | bigint): string =>
      errno(b, 'IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: dev, virt_id: virt });
    expect(alloc(n.dev, 8)).toBe('0');
    expect(alloc(n.dev, 9)).toBe('EEXIST');
    expect(alloc(dev1, 8)).toBe('EEXIST');
    expect(alloc(dev1, 0x1_0000_0008n)).toBe('0');
    expect(errno(b, 'IOMMU_VDEVICE_ALLOC', { viommu_id: n.parent, dev_id: 99 })).toBe('ENOENT');
  });

  it('event queues', () => {
    const b = bed();
    const n = nest(b);
    const alloc = (input: Record<string, unknown>): string =>
      errno(b, 'IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 4, ...input });
    expect(alloc({ veventq_depth: 0 })).toBe('EINVAL');
    expect(alloc({ type: 0, veventq_depth: 0 })).toBe('EOPNOTSUPP');
    expect(alloc({ viommu_id: n.parent })).toBe('ENOENT');
    const q = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 4 });
    expect(alloc({})).toBe('EEXIST');
    expect(alloc({ type: 77 })).toBe('0');
    const fd = Number(q.out['out_veventq_fd']);
    expect(b.iommufd.read(fd, 40)).toEqual({ errno: '0', out: { bytes: 0, records: [] } });
    expect(b.iommufd.read(fd, 7).errno).toBe('EINVAL');
    expect(errno(b, 'IOMMU_DESTROY', { id: q.main! })).toBe('EBUSY');
    runToEnd(b.iommufd.close(fd));
    expect(errno(b, 'IOMMU_DESTROY', { id: q.main! })).toBe('0');
    expect(b.iommufd.read(fd, 40).errno).toBe('EBADF');
    expect(b.iommufd.read(0, 40).errno).toBe('EINVAL');
  });

  it('address spaces', () => {
    const b = bed();
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const map = (input: Record<string, unknown>): string =>
      errno(b, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 4096, ...input });
    const unmap = (iova: number | bigint, length: number | bigint): string =>
      errno(b, 'IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova, length });
    expect(unmap(0, 4096)).toBe('ENOENT');
    expect(unmap(0, ULONG_MAX)).toBe('0');
    expect(unmap(1, ULONG_MAX)).toBe('EOVERFLOW');
    expect(unmap(0, 0)).toBe('EINVAL');
    expect(map({ flags: 8 })).toBe('EOPNOTSUPP');
    expect(map({ flags: 1, iova: ULONG_MAX })).toBe('EOVERFLOW');
    expect(map({ flags: 1 })).toBe('EINVAL');
    expect(map({ flags: 7, ioas_id: 99 })).toBe('ENOENT');
    expect(map({ length: 0, iova: 0 })).toBe('EINVAL');
    expect(map({ iova: 0x10000, length: 0x3000 })).toBe('0');
    expect(map({ iova: 0x12000 })).toBe('EEXIST');
    expect(map({ iova: ULONG_MAX - 0xfffn })).toBe('0');
    expect(map({ iova: ULONG_MAX - 0xffen })).toBe('EOVERFLOW');
    // A range that cuts an area removes what lies whole before it.
    expect(map({ iova: 0x20000 })).toBe('0');
    expect(map({ iova: 0x21000, length: 0x2000 })).toBe('0');
    expect(unmap(0x20000, 0x2000)).toBe('ENOENT');
    expect(unmap(0x20000, 0x1000)).toBe('ENOENT');
    expect(b.ioctl('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova: 0, length: 0x100000 }).out).toEqual({ length: 0x5000n });
    const ranges = b.ioctl('IOMMU_IOAS_IOVA_RANGES', { ioas_id: ioas, num_iovas: 0 });
    expect(ranges).toMatchObject({ errno: 'EMSGSIZE', out: { num_iovas: 1, allowed_iovas: [] } });
    const allow = (allowed_iovas: unknown[]): string =>
      errno(b, 'IOMMU_IOAS_ALLOW_IOVAS', { ioas_id: ioas, num_iovas: allowed_iovas.length, allowed_iovas });
    expect(allow([{ start: 4096, last: 4096 }])).toBe('EINVAL');
    expect(
      allow([
        { start: 0, last: 0xffff },
        { start: 0xffff, last: 0x1ffff },
      ]),
    ).toBe('EINVAL');
    expect(allow([{ start: 0, last: 0xffff }])).toBe('0');
    expect(errno(b, 'IOMMU_IOAS_ALLOW_IOVAS', { ioas_id: ioas, num_iovas: 1, allowed_iovas: 0 })).toBe('EFAULT');
  });

  it('reserved regions', () => {
    const b = bed();
    const fd = b.iommufd.openDevice('nic0');
    const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const map = (iova: number): string =>
      errno(b, 'IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 4096, iova });
    const ranges = (): unknown => b.ioctl('IOMMU_IOAS_IOVA_RANGES', { ioas_id: ioas, num_iovas: 9 }).out;
    expect(ranges()).toEqual({ num_iovas: 1, allowed_iovas: [{ start: 0n, last: ULONG_MAX }], out_iova_alignment: 1 });
    const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
    expect(ranges()).toEqual({
      num_iovas: 1,
      allowed_iovas: [{ start: 0n, last: 2n ** 48n - 1n }],
      out_iova_alignment: 4096,
    });
    expect(map(0x08000000)).toBe('0');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd)).toBe('EADDRINUSE');
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova: 0x08000000, length: 4096 });
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd);
    expect(map(0x080ff000)).toBe('EINVAL');
    expect(map(2 ** 48)).toBe('EINVAL');
    expect(ranges()).toMatchObject({
      allowed_iovas: [
        { start: 0n, last: 0x7ffffffn },
        { start: 0x8100000n, last: 2n ** 48n - 1n },
      ],
    });
    expect(errno(b, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd)).toBe('0');
    expect(errno(b, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd)).toBe('0');
    expect(map(0x080ff000)).toBe('0');
  });
});

it('places a mapping at the lowest hole that its length and address align to (5.2)', () => {
  const b = bed();
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  const map = (user_va: number, length: number): unknown =>
    b.ioctl('IOMMU_IOAS_MAP', { flags: 6, ioas_id: ioas, user_va, length }).out['iova'];
  expect(map(UVA, 4096)).toBe(0x1000n);
  expect(map(UVA, 4096)).toBe(0x2000n);
  expect(map(UVA, 0x3000)).toBe(0x4000n);
  expect(map(UVA, 4 * MiB)).toBe(0x200000n);
  expect(map(UVA + 0x10800, 0x800)).toBe(0x3800n);
  b.ioctl('IOMMU_IOAS_ALLOW_IOVAS', { ioas_id: ioas, num_iovas: 1, allowed_iovas: [{ start: 0x9000, last: 0xa7ff }] });
  expect(map(UVA, 4096)).toBe(0x9000n);
  expect(errno(b, 'IOMMU_IOAS_MAP', { flags: 6, ioas_id: ioas, user_va: UVA, length: 4096 })).toBe('ENOSPC');
});

it('pins only when a page table needs the pages', () => {
  const b = bed();
  const n = nest(b);
  const other = b.make('IOMMU_IOAS_ALLOC');
  const nowhere = { flags: 7, user_va: 0x1000, length: 4096, iova: 0x1000 };
  expect(errno(b, 'IOMMU_IOAS_MAP', { ...nowhere, ioas_id: n.ioas })).toBe('EFAULT');
  expect(errno(b, 'IOMMU_IOAS_MAP', { ...nowhere, ioas_id: other })).toBe('0');
  expect(errno(b, 'IOMMU_HWPT_ALLOC', { dev_id: n.dev, pt_id: other })).toBe('EFAULT');
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: other, iova: 0x1000, length: 4096 });
  b.make('IOMMU_IOAS_MAP', { ...nowhere, ioas_id: other, user_va: UVA + 100 });
  expect(errno(b, 'IOMMU_HWPT_ALLOC', { dev_id: n.dev, pt_id: other })).toBe('EADDRINUSE');
});

it('fills a page table that comes later, and every one of an address space', () => {
  const b = bed();
  const n = nest(b);
  const second = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: n.dev, pt_id: n.ioas });
  const tables = [...b.driver.state.paging.keys()].map((h) => b.driver.table(h)!);
  expect(tables.map((t) => t.lookup(0x40000000)?.oa)).toEqual([0x880800200000, 0x880800200000]);
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
  expect(tables.map((t) => t.lookup(0x40000000))).toEqual([null, null]);
  b.make('IOMMU_DESTROY', { id: second });
  expect(b.driver.state.paging.size).toBe(1);
  b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
  const ranges = (): unknown => b.ioctl('IOMMU_IOAS_IOVA_RANGES', { ioas_id: n.ioas, num_iovas: 9 }).out;
  expect(ranges()).toMatchObject({ allowed_iovas: [{ start: 0n, last: 2n ** 48n - 1n }], out_iova_alignment: 4096 });
  b.make('IOMMU_DESTROY', { id: n.viommu });
  b.make('IOMMU_DESTROY', { id: n.parent });
  expect(ranges()).toMatchObject({ allowed_iovas: [{ start: 0n, last: ULONG_MAX }], out_iova_alignment: 1 });
});

describe('life of objects (1.2, 1.3, 1.6)', () => {
  it('an object in use cannot be destroyed, in the order of the graph it can', () => {
    const b = bed();
    const n = nest(b);
    const vdev = b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const nested = vste(b, n, 0x4810000bn, 0xd6n);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: nested }, n.fd);
    const destroy = (id: number): string => errno(b, 'IOMMU_DESTROY', { id });
    for (const id of [n.ioas, n.parent, n.viommu, nested, n.dev]) expect(destroy(id)).toBe('EBUSY');
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: n.parent }, n.fd);
    expect(destroy(nested)).toBe('0');
    expect(destroy(n.viommu)).toBe('EBUSY');
    expect(destroy(vdev)).toBe('0');
    expect(destroy(n.viommu)).toBe('0');
    expect(destroy(n.parent)).toBe('EBUSY');
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
    expect(destroy(n.parent)).toBe('0');
    expect(destroy(n.ioas)).toBe('0');
    expect(b.iommufd.objects().map((o) => o.type)).toEqual(['DEVICE']);
  });

  it('a vDEVICE goes with its device and leaves its id taken', () => {
    const b = bed();
    const n = nest(b);
    const vdev = b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    runToEnd(b.iommufd.close(n.fd));
    expect(errno(b, 'IOMMU_DESTROY', { id: vdev })).toBe('ENOENT');
    expect(errno(b, 'IOMMU_DESTROY', { id: n.viommu })).toBe('0');
    expect(b.driver.ste('nic0').words[0]).toBe(1n);
    const ids = Array.from({ length: 6 }, () => b.make('IOMMU_IOAS_ALLOC'));
    expect(ids).not.toContain(vdev);
    expect(ids[0]).toBe(n.dev);
  });

  it('closing the last reference destroys everything; a new open is empty', () => {
    const b = bed();
    const fresh = b.pages.save();
    const n = nest(b);
    b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 4 });
    runToEnd(b.iommufd.close(0));
    // The bound device and the queue's file still hold the context.
    expect(b.iommufd.objects().length).toBeGreaterThan(3);
    expect(errno(b, 'IOMMU_IOAS_ALLOC')).toBe('EBADF');
    runToEnd(b.iommufd.close(n.fd));
    runToEnd(b.iommufd.close(2));
    expect(b.iommufd.objects()).toEqual([]);
    expect(b.driver.state.vmids).toEqual([]);
    const free = b.pages.save().free.reduce((sum, f) => sum + f.size, 0);
    const before = fresh.free.reduce((sum, f) => sum + f.size, 0);
    expect(free - before).toBe(b.pages.save().next - fresh.next);
    expect(b.iommufd.openIommufd()).toBe(0);
    expect(b.make('IOMMU_IOAS_ALLOC')).toBe(1);
  });

  it('another file may not have the device', () => {
    const b = bed();
    const n = nest(b);
    const other = b.iommufd.openIommufd();
    const again = b.iommufd.openDevice('nic0');
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: other }, n.fd)).toBe('EINVAL');
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: other }, again)).toBe('EINVAL');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: n.parent }, again)).toBe('EINVAL');
    runToEnd(b.iommufd.close(n.fd));
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 99 }, again)).toBe('EBADF');
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: again }, again)).toBe('EBADFD');
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: other, flags: 2 }, again)).toBe('EINVAL');
    expect(errno(b, 'VFIO_DEVICE_BIND_IOMMUFD', { iommufd: other }, again)).toBe('0');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 99 }, again)).toBe('ENOENT');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 1 }, again)).toBe('EINVAL');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 1, flags: 2 }, again)).toBe('EINVAL');
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: 1 }, again, { size: 11 })).toBe('EINVAL');
  });
});

describe('automatic page tables (2.26)', () => {
  it('are shared by the devices of an address space and go with the last one', () => {
    const b = bed(two);
    const [fd0, fd1] = [b.iommufd.openDevice('nic0'), b.iommufd.openDevice('nic1')];
    for (const fd of [fd0, fd1]) b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const first = b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: ioas }, fd0);
    expect(b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: ioas }, fd1)).toBe(first);
    const asids = b.driver.state.paging.get(1)!.invalidations;
    expect(asids).toEqual([{ type: 'S1_ASID', id: 1, ssid: 0, users: 2 }]);
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd0);
    expect(errno(b, 'IOMMU_DESTROY', { id: first })).toBe('EBUSY');
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd1);
    expect(errno(b, 'IOMMU_DESTROY', { id: first })).toBe('ENOENT');
    expect(errno(b, 'IOMMU_DESTROY', { id: ioas })).toBe('0');
  });

  it('replace each other, and the allowed list can forbid one', () => {
    const b = bed();
    const fd = b.iommufd.openDevice('nic0');
    b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const [one, other] = [b.make('IOMMU_IOAS_ALLOC'), b.make('IOMMU_IOAS_ALLOC')];
    const first = b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: one }, fd);
    const second = b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: other }, fd);
    expect(b.iommufd.objects().map((o) => o.object)).toEqual([1, one, other, second]);
    expect(second).not.toBe(first);
    const blocked = b.make('IOMMU_IOAS_ALLOC');
    const allowed_iovas = [{ start: 0x08000000, last: 0x08000fff }];
    b.make('IOMMU_IOAS_ALLOW_IOVAS', { ioas_id: blocked, num_iovas: 1, allowed_iovas });
    const before = b.iommufd.objects().map((o) => o.title);
    expect(errno(b, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: blocked }, fd)).toBe('EADDRINUSE');
    expect(b.iommufd.objects().map((o) => o.title)).toEqual(before);
    expect(b.driver.state.paging.size).toBe(1);
  });
});

it('hands out the ID registers as they are (GET_HW_INFO)', () => {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true, pasidBits: 16 }] });
  const n = nest(b);
  const info = b.ioctl('IOMMU_GET_HW_INFO', { dev_id: n.dev, data_len: 44 });
  const word = (i: number): number => {
    const hex = String(info.out['data']).slice(i * 8, i * 8 + 8);
    return Number.parseInt(hex.match(/../g)!.reverse().join(''), 16);
  };
  expect(info.out).toMatchObject({ data_len: 40, out_data_type: 2, out_max_pasid_log2: 16, out_capabilities: 1n });
  expect([0, 1, 2, 3, 4, 5].map((i) => word(2 + i))).toEqual(b.smmu.features.idr);
  expect(word(10)).toBe(0);
  const short = b.ioctl('IOMMU_GET_HW_INFO', { dev_id: n.dev, data_len: 12, in_data_type: 77 });
  expect(String(short.out['data'])).toBe(String(info.out['data']).slice(0, 24));
  expect(errno(b, 'IOMMU_GET_HW_INFO', { dev_id: n.dev, flags: 1, in_data_type: 77 })).toBe('EOPNOTSUPP');
  expect(errno(b, 'IOMMU_GET_HW_INFO', { dev_id: n.dev, flags: 1, in_data_type: 2 })).toBe('0');
  expect(errno(b, 'IOMMU_GET_HW_INFO', { dev_id: n.dev, data_len: 8, data_uptr: 0 })).toBe('EFAULT');
});

it('traces an ioctl from its caller to the object and back', () => {
  const b = bed();
  const n = nest(b);
  const from = b.events.length;
  const entries = [{ cmd: [0x10n, 0n] }];
  const input = { hwpt_id: n.viommu, data_type: 1, entry_len: 16, entry_num: 1, entries };
  const ioctls = b.smmu && b.events.length;
  runToEnd(b.iommufd.ioctl({ call: 'IOMMU_HWPT_INVALIDATE', fd: 0, input, at: 'vmm.vsmmu' }));
  const trace = b.events.slice(from);
  expect(ioctls).toBe(from);
  expect(trace.map((e) => e.kind)).toEqual([
    'ioctl.enter',
    'command.rewrite',
    'command.post',
    'command.post',
    'command.fetch',
    'command.fetch',
    'sync',
    'ioctl.exit',
  ]);
  expect(trace[0]).toMatchObject({
    actor: 'vmm',
    at: 'vmm.vsmmu',
    to: `kernel.obj.${n.viommu}`,
    text: `IOMMU_HWPT_INVALIDATE viommu ${n.viommu}, 1 entry`,
  });
  expect(trace[1]).toMatchObject({ at: `kernel.obj.${n.viommu}`, to: 'hw.cmdq' });
  expect(trace.at(-1)).toMatchObject({ actor: 'iommufd', at: `kernel.obj.${n.viommu}`, to: 'vmm.vsmmu', errno: '0' });
});

it('draws the references that keep objects alive', () => {
  const b = bed();
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  const nested = vste(b, n, 0x4810000bn, 0xd6n);
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: nested }, n.fd);
  expect(b.iommufd.objects().map((o) => [o.title, o.lines.join('; '), o.refs.map((r) => r.to)])).toEqual([
    ['DEVICE 1', 'nic0; attached to 6', ['kernel.obj.6']],
    ['IOAS 2', '1 area; 1 GiB', []],
    ['HWPT_PAGING 3', 'stage 2, nest parent; vmid 1', ['kernel.obj.2']],
    ['VIOMMU 4', 'ARM_SMMUV3; vmid 1', ['kernel.obj.3']],
    ['VDEVICE 5', 'virt_id 0x8; nic0', ['kernel.obj.4', 'kernel.obj.1']],
    ['HWPT_NESTED 6', 'stage 1 translates; CD table at IPA 0x48100000', ['kernel.obj.4']],
  ]);
  expect(b.iommufd.object('kernel.obj.4')?.type).toBe('VIOMMU');
});
