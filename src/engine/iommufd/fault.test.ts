import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { vste } from '../smmuv3/host/testbed.ts';
import { abort, attach, hwpt, read, resumes, retry, set, stall, write } from './fixtures/fault-bed.ts';

describe('fault queue objects (iommufd-uapi.md 2.13, 2.17, 1.3)', () => {
  it('allocation and destruction', () => {
    const s = set();
    const { b } = s;
    expect(b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', { flags: 1 }).errno).toBe('EOPNOTSUPP');
    const alloc = (input: Record<string, unknown>): string =>
      b.ioctl('IOMMU_HWPT_ALLOC', { dev_id: s.dev, pt_id: s.ioas, fault_id: s.fault, ...input }).errno;
    expect(alloc({ flags: 5 })).toBe('EOPNOTSUPP');
    expect(alloc({ flags: 4, fault_id: s.ioas })).toBe('ENOENT');
    expect(alloc({ flags: 4, fault_id: 99 })).toBe('ENOENT');
    // The undone page table has given everything back.
    expect(b.driver.state.paging.size).toBe(0);
    // Without the flag nobody looks at the id.
    expect(alloc({ fault_id: 99 })).toBe('0');
    expect(b.ioctl('IOMMU_DESTROY', { id: s.fault }).errno).toBe('EBUSY');
    const h = hwpt(s);
    runToEnd(b.iommufd.close(s.qfd));
    expect(b.ioctl('IOMMU_DESTROY', { id: s.fault }).errno).toBe('EBUSY');
    b.make('IOMMU_DESTROY', { id: h });
    expect(b.ioctl('IOMMU_DESTROY', { id: s.fault }).errno).toBe('0');
    expect(b.iommufd.read(s.qfd, 40).errno).toBe('EBADF');
  });

  it('is shown with what waits in it', () => {
    const s = set();
    const h = hwpt(s);
    attach(s, h);
    stall(s.b, 1);
    stall(s.b, 2);
    read(s, 40);
    const view = s.b.iommufd.objects().find((o) => o.type === 'FAULT')!;
    expect(view.lines).toEqual(['1 waiting', '1 to answer']);
    const table = s.b.iommufd.objects().find((o) => o.object === h)!;
    expect(table.refs).toContainEqual({ to: view.id, label: 'page faults' });
  });
});

describe('requests and answers (3.8)', () => {
  it('gives the record of the uAPI, and an answer becomes CMD_RESUME without CMD_SYNC', () => {
    const s = set();
    attach(s, hwpt(s));
    s.b.posted();
    stall(s.b, 0x23, { InputAddr: 0x10203040n, RnW: 1, PnU: 1 });
    stall(s.b, 0x24, { InputAddr: 0xfedcba9876543210n, RnW: 0 });
    expect(s.b.iommufd.readable(s.qfd)).toBe(true);
    expect(read(s)).toEqual({
      errno: '0',
      out: {
        bytes: 80,
        records: [
          { flags: 2, dev_id: s.dev, pasid: 0, grpid: 0x23, perm: 9, addr: 0x10203040n, length: 0, cookie: 1 },
          { flags: 2, dev_id: s.dev, pasid: 0, grpid: 0x24, perm: 2, addr: 0xfedcba9876543210n, length: 0, cookie: 2 },
        ],
      },
    });
    expect(s.b.iommufd.readable(s.qfd)).toBe(false);
    expect(read(s).out.bytes).toBe(0);
    // Nobody is told on the way that the guest's events go.
    expect(s.b.driver.state.log.some((l) => l.includes('event 0x10'))).toBe(false);
    expect(write(s, [{ cookie: 2, code: 1 }])).toEqual({ errno: '0', out: { bytes: 8 } });
    expect(s.b.posted()).toEqual([abort(0x24)]);
    expect(write(s, [{ cookie: 1, code: 0 }])).toEqual({ errno: '0', out: { bytes: 8 } });
    expect(s.b.posted()).toEqual([retry(0x23)]);
    // The cookie is free again: the lowest.
    stall(s.b, 0x25);
    stall(s.b, 0x26);
    expect(read(s, 40).out.records.map((r) => r['cookie'])).toEqual([1]);
    expect(read(s, 40).out.records.map((r) => r['cookie'])).toEqual([2]);
  });

  it('reads in whole records only', () => {
    const s = set();
    attach(s, hwpt(s));
    stall(s.b, 1);
    expect(read(s, 39).errno).toBe('ESPIPE');
    expect(read(s, 0)).toEqual({ errno: '0', out: { bytes: 0, records: [] } });
    expect(s.b.iommufd.readable(s.qfd)).toBe(true);
    expect(read(s, 40).out.bytes).toBe(40);
  });

  it('handles answers up to the first bad one', () => {
    const s = set();
    attach(s, hwpt(s));
    for (const stag of [1, 2, 3]) stall(s.b, stag);
    read(s);
    s.b.posted();
    expect(write(s, [{ cookie: 1, code: 0 }], 12).errno).toBe('ESPIPE');
    expect(write(s, [{ cookie: 1, code: 2 }])).toEqual({ errno: 'EINVAL', out: { bytes: 0 } });
    expect(write(s, [{ cookie: 9, code: 0 }])).toEqual({ errno: 'EINVAL', out: { bytes: 0 } });
    // The code is looked at before the cookie, so a bad code does not use the cookie up.
    expect(write(s, [null])).toEqual({ errno: 'EFAULT', out: { bytes: 0 } });
    const bad = [
      { cookie: 1, code: 0 },
      { cookie: 2, code: 1 },
      { cookie: 2, code: 0 },
      { cookie: 3, code: 0 },
    ];
    expect(write(s, bad)).toEqual({ errno: '0', out: { bytes: 16 } });
    expect(resumes(s.b)).toEqual([retry(1), abort(2)]);
    expect(write(s, []).out.bytes).toBe(0);
    expect(runToEnd(s.b.iommufd.write(0, [])).errno).toBe('EINVAL');
    expect(runToEnd(s.b.iommufd.write(77, [])).errno).toBe('EBADF');
  });

  it('keeps the requests of a group together: one answer after the last (FD-12)', () => {
    const s = set();
    attach(s, hwpt(s));
    const m = s.b.driver.masters()[0]!;
    // Stalls come one by one; a PRI driver would hand in requests that are not the last.
    (m.iopf!.partial as unknown[]).push(
      { pasid: null, group: 7, perm: 1, address: 0x1000n, last: false },
      { pasid: null, group: 8, perm: 1, address: 0x9000n, last: false },
      { pasid: null, group: 7, perm: 2, address: 0x2000n, last: false },
    );
    stall(s.b, 7, { InputAddr: 0x3000n });
    expect(read(s, 80).out.bytes).toBe(0);
    const group = read(s, 120).out.records;
    expect(group.map((r) => [r['addr'], r['flags'], r['cookie']])).toEqual([
      [0x1000n, 0, 1],
      [0x2000n, 0, 1],
      [0x3000n, 2, 1],
    ]);
    s.b.posted();
    write(s, [{ cookie: 1, code: 0 }]);
    expect(resumes(s.b)).toEqual([retry(7)]);
    expect(m.iopf!.partial).toHaveLength(1);
  });
});

describe('nobody to answer', () => {
  it('a domain without handler: aborted at once, and logged', () => {
    const s = set();
    attach(s, s.b.make('IOMMU_HWPT_ALLOC', { dev_id: s.dev, pt_id: s.ioas }));
    s.b.posted();
    stall(s.b, 5);
    expect(resumes(s.b)).toEqual([abort(5)]);
    expect(s.b.driver.state.log.at(-1)).toBe(
      'event: unpriv data write s1 "Input address caused fault" stall stag: 0x5',
    );
  });

  it('detach, replace and destruction answer what is left as invalid', () => {
    for (const how of ['detach', 'replace', 'close'] as const) {
      const s = set();
      const h = hwpt(s);
      attach(s, h);
      stall(s.b, 1);
      stall(s.b, 2);
      read(s, 40);
      s.b.posted();
      if (how === 'detach') s.b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, s.fd);
      if (how === 'replace')
        expect(attach(s, s.b.make('IOMMU_HWPT_ALLOC', { dev_id: s.dev, pt_id: s.ioas }))).toBe('0');
      if (how === 'close') runToEnd(s.b.iommufd.close(s.fd));
      expect(resumes(s.b), how).toEqual([abort(1), abort(2)]);
      expect(read(s).out.bytes).toBe(0);
      expect(write(s, [{ cookie: 1, code: 0 }]).errno).toBe('EINVAL');
      expect(s.b.driver.masters()[0]!.iopf).toBe(null);
    }
  });

  it('replace between page tables with queues of their own answers in the old one only', () => {
    const s = set();
    const { b } = s;
    const other = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', {});
    const first = hwpt(s);
    const second = hwpt(s, { fault_id: other.main! });
    attach(s, first);
    stall(b, 1);
    read(s);
    expect(attach(s, second)).toBe('0');
    // The device keeps its fault handling, so the driver leaves the answer to iommufd.
    expect(resumes(b)).toEqual([abort(1)]);
    expect(b.driver.masters()[0]!.iopf).toMatchObject({ users: 1, faults: [] });
    stall(b, 2);
    expect(read(s).out.bytes).toBe(0);
    const fd = Number(other.out['out_fault_fd']);
    expect(b.iommufd.read(fd, 40).out.records).toMatchObject([{ grpid: 2, cookie: 1 }]);
    runToEnd(b.iommufd.write(fd, [{ cookie: 1, code: 0 }]));
    expect(resumes(b)).toEqual([retry(2)]);
  });

  it('a failed replace leaves them alone', () => {
    const s = set();
    const { b } = s;
    const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: s.dev, pt_id: s.ioas });
    const viommu = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: s.dev, hwpt_id: parent });
    attach(s, hwpt(s));
    stall(b, 1);
    b.posted();
    // The driver refuses: this vIOMMU has no vDEVICE for the device.
    const nested = vste(b, { fd: s.fd, dev: s.dev, ioas: s.ioas, parent, viommu }, 0x4810000bn, 0xd6n);
    expect(attach(s, nested)).toBe('ENOENT');
    expect(resumes(b)).toEqual([]);
    expect(read(s).out.bytes).toBe(40);
  });
});
