import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, MiB, type Nest, nest, UVA, vste } from '../smmuv3/host/testbed.ts';
import { abort, attach, hwpt, read, resumes, retry, set, stall, stalling, write } from './fixtures/fault-bed.ts';

/** Which queue a page request reaches, and what becomes of the transaction behind it. */

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
