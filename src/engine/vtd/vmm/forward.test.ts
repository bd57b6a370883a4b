import { describe, expect, it } from 'vitest';
import { encodeDescriptor } from '../layout/index.ts';
import { type RecorderOptions, severalBindings, translating } from './fixtures/recording-vmm.ts';

/** As `severalBindings`; PASID 7 of nic0 is pass-through. */
function several(o: RecorderOptions = {}) {
  const v = severalBindings(o);
  v.pasidEntry('nic0', 7, 0x109n, 3n);
  v.flush('PC_INV', { G: 1, DID: 3, PASID: 7 });
  v.memory.write32(0x40400000, 0);
  v.kernel.take();
  return v;
}

const hwpts = (v: ReturnType<typeof several>): string[] => v.kernel.take().map((c) => c.split(' ')[1]!);

describe('P_IOTLB_INV becomes HWPT_INVALIDATE, intel-vtd.md 5.9', () => {
  it('9.5: one page without PASID', () => {
    const v = translating();
    const events = v.listen();
    v.trace.resetCounts();
    v.post(
      [0x0000000000020036n, 0x00000000fffff040n, 0n, 0n],
      encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 2, STADDR: 0x40400000n }),
    );
    expect(v.kernel.take()).toEqual(['HWPT_INVALIDATE hwpt_id=5 entry_num=1']);
    // 00f0ffff00000000 0100000000000000 01000000 00000000
    expect(v.kernel.invalidations).toEqual([['0xfffff000 0x1 1']]);
    expect(v.status()).toBe(2);
    expect(v.trace.exits).toBe(1);
    expect(events.map((e) => e.kind)).toEqual(['trap', 'command.fetch', 'command.rewrite', 'command.fetch', 'sync']);
    expect(events[2]).toMatchObject({
      at: 'vmm.viommu',
      to: 'kernel.obj.5',
      from: { text: 'P_IOTLB_INV did 2 pasid 0x0 addr 0xfffff000 pages 1 leaf' },
      command: {
        layout: 'vtd.uapi.s1_invalidate',
        words: [0xfffff000n, 1n, 1n],
        text: 'S1_INVALIDATE addr 0xfffff000 npages 1 leaf',
      },
      changes: [
        { field: 'DID', from: '2', to: 'HWPT 5' },
        { field: 'PASID', from: '0x0', to: 'HWPT 5' },
      ],
    });
  });

  it('a whole PASID', () => {
    const v = several();
    v.flush('P_IOTLB_INV', { G: 2, DID: 3, PASID: 5 });
    // 0000000000000000 ffffffffffffffff 00000000 00000000
    expect(v.kernel.invalidations).toEqual([['0x0 0xffffffffffffffff 0']]);
    expect(hwpts(v)).toEqual(['hwpt_id=6']);
  });

  it('finds HWPTs by guest DID and PASID: every match, nothing else', () => {
    const v = several();
    const flush = (did: number, pasid: number): string[] => {
      v.flush('P_IOTLB_INV', { G: 3, DID: did, PASID: pasid, ADDR: 0x10000n, AM: 4 });
      return hwpts(v);
    };
    expect(flush(2, 0)).toEqual(['hwpt_id=5', 'hwpt_id=8']);
    expect(flush(3, 5)).toEqual(['hwpt_id=6']);
    expect(flush(3, 6)).toEqual(['hwpt_id=7']);
    expect(flush(3, 0)).toEqual([]);
    expect(flush(2, 5)).toEqual([]);
    // Pass-through has no HWPT of its own.
    expect(flush(3, 7)).toEqual([]);
    expect(v.kernel.invalidations.at(-1)).toEqual(['0x10000 0x10 0']);
  });

  it('matches the entry that is bound, not the one in memory', () => {
    const v = several();
    v.firstStage('nic0', 5, 4, 0x40500000);
    v.flush('P_IOTLB_INV', { G: 2, DID: 4, PASID: 5 });
    expect(hwpts(v)).toEqual([]);
    v.flush('P_IOTLB_INV', { G: 2, DID: 3, PASID: 5 });
    expect(hwpts(v)).toEqual(['hwpt_id=6']);
  });

  it('10.18: second-stage and device-TLB descriptors reach no nested device', () => {
    const v = several();
    v.post(
      encodeDescriptor('IOTLB_INV', { G: 1 }),
      encodeDescriptor('IOTLB_INV', { G: 2, DID: 2 }),
      encodeDescriptor('IOTLB_INV', { G: 3, DID: 2, ADDR: 0x1000n }),
      encodeDescriptor('DEV_TLB_INV', { SID: 8, S: 1, ADDR: 0x7ffffffffffff000n }),
      encodeDescriptor('P_DEV_TLB_INV', { SID: 8, PASID: 5, S: 1, ADDR: 0x7ffffffffffff000n }),
      encodeDescriptor('IEC_INV', {}),
    );
    expect([v.read('IQH_REG'), v.read('FSTS_REG')]).toEqual([v.read('IQT_REG'), 0n]);
    expect(v.kernel.take()).toEqual([]);
  });

  it('an error of the kernel is reported and hidden from the guest', () => {
    const v = translating();
    v.kernel.answers.set('IOMMU_HWPT_INVALIDATE', { errno: 'EINVAL', out: { entry_num: 0 } });
    v.flush('P_IOTLB_INV', { G: 2, DID: 2 });
    expect([v.status(), v.read('FSTS_REG')]).toEqual([2, 0n]);
    expect(v.vmm.state.errors).toContain('IOMMU_HWPT_INVALIDATE failed: EINVAL, 0 of 1 done');
  });
});

describe('policy batch', () => {
  const page = (address: bigint, did = 2, pasid = 0): bigint[] =>
    encodeDescriptor('P_IOTLB_INV', { G: 3, DID: did, PASID: pasid, ADDR: address });
  const wait = encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 2, STADDR: 0x40400000n });

  it('one ioctl carries several entries of an HWPT; a wait sends them first', () => {
    const v = several({ batch: 16 });
    const seen: number[] = [];
    v.kernel.refuse = (call) => {
      if (call === 'IOMMU_HWPT_INVALIDATE') seen.push(v.status());
      return null;
    };
    v.post(page(0x1000n), page(0x9000n), page(0x3000n, 3, 5), wait);
    expect(v.kernel.invalidations).toEqual([
      ['0x1000 0x1 0', '0x9000 0x1 0'],
      ['0x1000 0x1 0', '0x9000 0x1 0'],
      ['0x3000 0x1 0'],
    ]);
    expect(hwpts(v)).toEqual(['hwpt_id=5', 'hwpt_id=8', 'hwpt_id=6']);
    expect([seen, v.status()]).toEqual([[0, 0, 0], 2]);
  });

  it('is sent when it is full, before another descriptor, and at the end of the queue', () => {
    const v = translating({ batch: 2 });
    v.post(page(0x1000n), page(0x2000n), page(0x3000n));
    expect(v.kernel.invalidations).toEqual([['0x1000 0x1 0', '0x2000 0x1 0'], ['0x3000 0x1 0']]);
    const w = translating({ batch: 16 });
    w.pasidEntry('nic0', 0);
    w.post(page(0x1000n), encodeDescriptor('PC_INV', { G: 1, DID: 2 }), wait);
    expect(w.kernel.take()).toEqual(['HWPT_INVALIDATE hwpt_id=5 entry_num=1', 'DETACH_IOMMUFD_PT', 'DESTROY id=5']);
  });

  it('goes on behind an entry that the kernel refuses', () => {
    const v = translating({ batch: 16 });
    v.kernel.answers.set('IOMMU_HWPT_INVALIDATE', { errno: 'EINVAL', out: { entry_num: 1 } });
    v.post(page(0x1000n), page(0x2000n), page(0x3000n), wait);
    expect(v.kernel.invalidations).toEqual([['0x3000 0x1 0']]);
  });
});

describe('injection point vmm.forward', () => {
  const inject = (action: 'drop' | 'delay' | 'corrupt') => {
    const v = several();
    v.injector.active.push({ at: 'vmm.forward', action, count: 1, xor: [0x1000n, 0n] });
    v.flush('P_IOTLB_INV', { G: 3, DID: 2, ADDR: 0x5000n });
    return v;
  };

  it('drops, corrupts and delays one HWPT’s entry', () => {
    expect(hwpts(inject('drop'))).toEqual(['hwpt_id=8']);
    expect(inject('corrupt').kernel.invalidations).toEqual([['0x4000 0x1 0'], ['0x5000 0x1 0']]);
    const v = inject('delay');
    expect(hwpts(v)).toEqual(['hwpt_id=8']);
    const [held] = v.injector.takeHeld();
    expect(held).toMatchObject({ where: 'vmm.viommu', words: [0x5000n, 1n, 0n, 5n] });
    v.run(v.vmm.deliver(held!.words));
    expect(hwpts(v)).toEqual(['hwpt_id=5']);
    expect(v.kernel.invalidations.at(-1)).toEqual(['0x5000 0x1 0']);
  });
});
