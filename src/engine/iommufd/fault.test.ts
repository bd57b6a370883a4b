import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, MiB, type Nest, nest, UVA, vste } from '../smmuv3/host/testbed.ts';
import { encodeEvent } from '../smmuv3/layout/index.ts';

/** A device whose faults may stall, behind an SMMU that leaves the choice. */
const stalling = {
  features: { STALL_MODEL: 0 },
  devices: [{ name: 'nic0', rid: 0x108, stall: true, pasidBits: 6 }],
};

interface Set {
  readonly b: Bed;
  readonly fd: number;
  readonly dev: number;
  readonly ioas: number;
  /** Fault queue: object and its file. */
  readonly fault: number;
  readonly qfd: number;
}

function set(o: Parameters<typeof bed>[0] = stalling): Set {
  const b = bed(o);
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 2 * MiB, iova: 0x10000000 });
  const q = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', { flags: 0 });
  b.posted();
  return { b, fd, dev, ioas, fault: Number(q.out['out_fault_id']), qfd: Number(q.out['out_fault_fd']) };
}

const hwpt = (s: Set, more: Record<string, unknown> = {}): number =>
  s.b.make('IOMMU_HWPT_ALLOC', { flags: 4, dev_id: s.dev, pt_id: s.ioas, fault_id: s.fault, ...more });
const attach = (s: Set, pt: number, pasid = 0): string =>
  s.b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', pasid ? { flags: 1, pt_id: pt, pasid } : { pt_id: pt }, s.fd).errno;
/** A stalled transaction's record arrives. */
function stall(b: Bed, stag: number, fields: Record<string, number | bigint> = {}): void {
  b.smmu.deliverEvent(encodeEvent('F_TRANSLATION', { SID: 0x108, Stall: 1, STAG: stag, CLASS: 2, ...fields }));
  runToEnd(b.driver.interrupt());
}
const read = (s: Set, count = 4096 - (4096 % 40)) => s.b.iommufd.read(s.qfd, count);
const write = (s: Set, records: unknown[], count?: number) => runToEnd(s.b.iommufd.write(s.qfd, records, count));
const resumes = (b: Bed): string[] => b.posted().filter((c) => c.startsWith('RESUME'));
/** CMD_RESUME as the kernel builds it: Ac is RETRY, Ab is ABORT (arm-smmuv3.md 2.1). */
const retry = (stag: number): string => `RESUME sid 0x108 stag 0x${stag.toString(16)} retry`;
const abort = (stag: number): string => `RESUME sid 0x108 stag 0x${stag.toString(16)} abort`;

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

describe('in the middle of things', () => {
  it('a request while a PASID is being attached finds nobody yet, and is aborted', () => {
    // With ATS the attachment still has something to do once the CD is there.
    const s = set({ ...stalling, devices: [{ ...stalling.devices[0]!, ats: true }] });
    const { b } = s;
    attach(s, hwpt(s, { flags: 12 }));
    const pt = hwpt(s, { flags: 12 });
    const op = b.iommufd.ioctl({
      call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT',
      fd: s.fd,
      input: { flags: 1, pt_id: pt, pasid: 5 },
    });
    let raised = false;
    for (let r = op.next(); !r.done; r = op.next())
      if (!raised && b.driver.masters()[0]!.pasids.has(5)) {
        raised = true;
        stall(b, 9, { SSV: 1, SSID: 5 });
        expect(resumes(b)).toEqual([abort(9)]);
        expect(b.driver.state.log.at(-1)).toBe('nic0: iopf with pasid 5 aborted');
      }
    expect(raised).toBe(true);
    stall(b, 10, { SSV: 1, SSID: 5 });
    expect(read(s).out.records).toMatchObject([{ grpid: 10, pasid: 5 }]);
  });
});

describe('where a request goes', () => {
  it('PASIDs have queues of their own, beside the RID', () => {
    const s = set();
    const { b } = s;
    const other = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', {});
    attach(s, hwpt(s, { flags: 12 }));
    attach(s, hwpt(s, { flags: 12, fault_id: other.main! }), 5);
    expect(b.driver.masters()[0]!.iopf!.users).toBe(2);
    stall(b, 1, { SSV: 1, SSID: 5, InputAddr: 0x7000n, InD: 1, RnW: 1 });
    expect(read(s).out.bytes).toBe(0);
    const fd = Number(other.out['out_fault_fd']);
    expect(b.iommufd.read(fd, 40).out.records).toMatchObject([{ flags: 3, pasid: 5, grpid: 1, perm: 5 }]);
    // A PASID that nothing is attached to: nobody handles it.
    b.posted();
    stall(b, 2, { SSV: 1, SSID: 6 });
    expect(resumes(b)).toEqual([abort(2)]);
    // Detach of the PASID answers its requests, those of the RID stay.
    stall(b, 3);
    b.posted();
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 1, pasid: 5 }, s.fd);
    expect(resumes(b)).toEqual([abort(1)]);
    expect(read(s).out.records).toMatchObject([{ grpid: 3 }]);
  });

  it('one queue may serve several page tables; an attachment that ends takes its own requests only', () => {
    const s = set();
    const { b } = s;
    attach(s, hwpt(s, { flags: 12 }));
    attach(s, hwpt(s, { flags: 12 }), 5);
    stall(b, 1);
    stall(b, 2, { SSV: 1, SSID: 5 });
    stall(b, 3, { SSV: 1, SSID: 5 });
    read(s, 80);
    b.posted();
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 1, pasid: 5 }, s.fd);
    // Those not yet read first.
    expect(resumes(b)).toEqual([abort(3), abort(2)]);
    expect(write(s, [{ cookie: 1, code: 0 }]).errno).toBe('0');
    expect(resumes(b)).toEqual([retry(1)]);
  });

  it('requests of a guest’s PASIDs go through its nested page table (user_pasid_table)', () => {
    const b = bed(stalling);
    const n: Nest = nest(b);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const q = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', {});
    const plain = vste(b, n, 0x4810000bn, 0xd6n);
    const nested = b.make('IOMMU_HWPT_ALLOC', {
      flags: 4,
      dev_id: n.dev,
      pt_id: n.viommu,
      fault_id: q.main!,
      data_type: 2,
      data_len: 16,
      data: { ste: [0x4810000bn, 0xd6n] },
    });
    const move = (pt: number): number => b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: pt }, n.fd);
    move(nested);
    stall(b, 1, { SSV: 1, SSID: 3, InputAddr: 0x5000n });
    stall(b, 2, { InputAddr: 0x6000n, S2: 1 });
    const fd = Number(q.out['out_fault_fd']);
    expect(b.iommufd.read(fd, 80).out.records).toMatchObject([
      { flags: 3, pasid: 3, addr: 0x5000n },
      { flags: 2, addr: 0x6000n },
    ]);
    b.posted();
    move(plain);
    expect(resumes(b)).toEqual([abort(1), abort(2)]);
    stall(b, 3);
    expect(resumes(b)).toEqual([abort(3)]);
  });

  it('a device that does not stall needs no fault handling', () => {
    const s = set({ features: { STALL_MODEL: 0 } });
    attach(s, hwpt(s));
    expect(s.b.driver.masters()[0]!.iopf).toBe(null);
    // STALL_MODEL 0 with a device that cannot: S1STALLD keeps CD.S out of it.
    expect((s.b.driver.ste('nic0').words[1]! >> 27n) & 1n).toBe(1n);
  });
});

describe('with a device', () => {
  const dma = (b: Bed, iova: bigint) =>
    runToEnd(b.smmu.dma({ device: b.devices[0]!, pasid: -1, iova, write: true, translated: false }));

  it('the transaction waits until the page is there', () => {
    const s = set();
    const { b } = s;
    attach(s, hwpt(s));
    const stalled = dma(b, 0x20000123n);
    expect(stalled).toMatchObject({ ok: false, pa: -1 });
    const stag = stalled.stag!;
    runToEnd(b.driver.interrupt());
    expect(b.smmu.outcomeOf(stag)).toBe(null);
    const [fault] = read(s).out.records;
    expect(fault).toMatchObject({ addr: 0x20000123n, perm: 2, grpid: stag });
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: s.ioas, user_va: UVA + 4 * MiB, length: 4096, iova: 0x20000000 });
    write(s, [{ cookie: fault!['cookie'], code: 0 }]);
    // User page 4 MiB lies swapped with its neighbour (ProcessMemory).
    expect(b.smmu.outcomeOf(stag)).toMatchObject({ ok: true, pa: 0x880800600123 });
    expect(dma(b, 0x20000123n).ok).toBe(true);
  });

  it('is aborted when the answer is invalid, and when its domain goes', () => {
    const s = set();
    const { b } = s;
    attach(s, hwpt(s));
    const [one, two] = [dma(b, 0x20000000n).stag!, dma(b, 0x30000000n).stag!];
    runToEnd(b.driver.interrupt());
    write(s, [{ cookie: read(s, 40).out.records[0]!['cookie'], code: 1 }]);
    expect(b.smmu.outcomeOf(one)).toMatchObject({ ok: false });
    expect(b.smmu.outcomeOf(two)).toBe(null);
    b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, s.fd);
    expect(b.smmu.outcomeOf(two)).toMatchObject({ ok: false });
    expect(b.smmu.stalled()).toEqual([]);
  });

  it('without handler it is aborted by the driver', () => {
    const s = set();
    attach(s, s.b.make('IOMMU_HWPT_ALLOC', { dev_id: s.dev, pt_id: s.ioas }));
    const stag = dma(s.b, 0x20000000n).stag!;
    runToEnd(s.b.driver.interrupt());
    expect(s.b.smmu.outcomeOf(stag)).toMatchObject({ ok: false });
  });
});

it('comes back from a snapshot with what waits', () => {
  const s = set();
  attach(s, hwpt(s));
  stall(s.b, 1);
  stall(s.b, 2);
  read(s, 40);
  const saved = [s.b.smmu.save(), s.b.memory.save(), s.b.driver.save(), s.b.iommufd.save()] as const;
  const again = (): unknown => {
    s.b.posted();
    write(s, [{ cookie: 1, code: 0 }]);
    return [read(s), s.b.posted(), s.b.driver.masters()];
  };
  const first = structuredClone(again());
  s.b.smmu.load(saved[0]);
  s.b.memory.load(saved[1]);
  s.b.driver.load(saved[2]);
  s.b.iommufd.load(saved[3]);
  expect(again()).toEqual(first);
});
