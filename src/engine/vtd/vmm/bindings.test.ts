import { describe, expect, it } from 'vitest';
import { plugged, type RecorderOptions, translating } from './fixtures/recording-vmm.ts';

type Machine = ReturnType<typeof translating>;
const pc = (v: Machine, did: number, pasid: number): string[] => {
  v.flush('PC_INV', { G: 1, DID: did, PASID: pasid });
  return v.kernel.take();
};
const bound = (v: Machine, device = 'nic0'): number[] =>
  v.vmm.units[0]!.deviceOf(device)!
    .bindings.map((b) => b.pasid)
    .sort((a, b) => a - b);

/** nic0 with PASIDs 0 (DID 2), 5 (DID 3) and 6 (DID 3); nic1 with PASID 0 (DID 2). */
function several(o: RecorderOptions = {}) {
  const v = plugged(o);
  v.firstStage('nic0', 0, 2, 0x40500000);
  v.firstStage('nic0', 5, 3, 0x40600000);
  v.firstStage('nic0', 6, 3, 0x40700000);
  v.firstStage('nic1', 0, 2, 0x40500000);
  v.boot();
  v.kernel.take();
  return v;
}

describe('bindings follow the PASID cache, intel-vtd.md 5.9', () => {
  it('TE binds all that is present, with one HWPT for each (RID, PASID)', () => {
    const v = plugged();
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.firstStage('nic0', 5, 2, 0x40500000);
    v.pasidEntry('nic1', 0, 0x109n, 1n);
    v.boot(false);
    v.flush('PC_INV', { G: 3 });
    expect(v.kernel.take()).toEqual([]);
    const events = v.listen();
    v.write('GCMD_REG', 0x84000000);
    expect(v.kernel.take()).toEqual([
      'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40500000,48',
      'ATTACH_IOMMUFD_PT pt_id=5',
      'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40500000,48',
      'ATTACH_IOMMUFD_PT flags=1 pt_id=6 pasid=5',
      'ATTACH_IOMMUFD_PT pt_id=3',
    ]);
    const rewritten = events.find((e) => e.kind === 'record.rewrite');
    expect(rewritten).toMatchObject({ at: 'vmm.viommu', to: 'kernel.obj.5', layout: 'vtd.uapi.s1' });
    expect(rewritten && 'words' in rewritten ? rewritten.words : []).toEqual([0n, 0x40500000n, 48n]);
  });

  it('copies SRE, EAFE and WPE, and masks the table’s address', () => {
    const v = translating();
    v.pasidEntry('nic0', 5, 0x49n, 3n, 0x40600000n | 0x1n | 0x10n | 0x80n);
    expect(pc(v, 3, 5)[0]).toBe('HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=7,0x40600000,48');
    v.pasidEntry('nic0', 6, 0x49n, 3n, 0x40600000n | 0x2n | 0x20n | 0x40n | 0x800n);
    expect(pc(v, 3, 6)[0]).toBe('HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48');
  });

  it('a changed entry replaces: new HWPT, attach, then the old one goes', () => {
    const v = translating();
    v.firstStage('nic0', 0, 2, 0x40600000);
    expect(pc(v, 2, 0)).toEqual([
      'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48',
      'ATTACH_IOMMUFD_PT pt_id=6',
      'DESTROY id=5',
    ]);
    expect(pc(v, 2, 0)).toEqual([]);
    // Any of the 64 bytes counts.
    v.pasidEntry('nic0', 0, 0x49n, 2n, 0x40600000n, 0n, 0n, 0n, 0n, 1n);
    expect(pc(v, 2, 0)).toHaveLength(3);
  });

  it('pass-through takes the default HWPT and destroys the nested one', () => {
    const v = translating();
    v.pasidEntry('nic0', 0, 0x109n, 1n);
    expect(pc(v, 1, 0)).toEqual(['ATTACH_IOMMUFD_PT pt_id=3', 'DESTROY id=5']);
  });

  it('an entry that has gone detaches: block with PASID or in scalable mode, default HWPT else', () => {
    const v = several();
    v.pasidEntry('nic0', 5);
    expect(pc(v, 3, 5)).toEqual(['DETACH_IOMMUFD_PT flags=1 pasid=5', 'DESTROY id=6']);
    v.pasidEntry('nic0', 6);
    v.pasidEntry('nic0', 0);
    expect(pc(v, 2, 0)).toEqual(['DETACH_IOMMUFD_PT', 'DESTROY id=5']);
    // PASID 6 went unnoticed: its DID is 3.
    expect(bound(v)).toEqual([6]);
  });

  it('a selective request compares the DID it remembers, then the walk finds the new one', () => {
    const v = several();
    v.firstStage('nic0', 5, 4, 0x40600000);
    expect(pc(v, 3, 5)).toEqual([]);
    expect(pc(v, 4, 5)).toEqual([
      'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48',
      'ATTACH_IOMMUFD_PT flags=1 pt_id=9 pasid=5',
      'DESTROY id=6',
    ]);
  });

  it('a domain request reaches every PASID and device of the DID, a global one all', () => {
    const v = several();
    for (const p of [5, 6]) v.pasidEntry('nic0', p);
    v.firstStage('nic1', 0, 2, 0x40800000);
    v.flush('PC_INV', { G: 0, DID: 3 });
    expect(v.kernel.take()).toEqual([
      'DETACH_IOMMUFD_PT flags=1 pasid=6',
      'DESTROY id=7',
      'DETACH_IOMMUFD_PT flags=1 pasid=5',
      'DESTROY id=6',
    ]);
    v.flush('PC_INV', { G: 3 });
    expect(v.kernel.take()).toEqual([
      'HWPT_ALLOC flags=8 dev_id=4 pt_id=3 s1=0,0x40800000,48',
      'ATTACH_IOMMUFD_PT pt_id=9',
      'DESTROY id=8',
    ]);
  });

  it('10.19: while PASID 0 is not valid, an invalidation of any PASID detaches it, and none can be bound', () => {
    const v = several();
    v.pasidEntry('nic0', 0);
    // The entry of PASID 5 is still there.
    expect(pc(v, 3, 5)).toEqual(['DETACH_IOMMUFD_PT flags=1 pasid=5', 'DESTROY id=6']);
    v.firstStage('nic0', 7, 3, 0x40900000);
    expect(pc(v, 3, 7)).toEqual([]);
    v.flush('PC_INV', { G: 3 });
    v.kernel.take();
    expect(bound(v)).toEqual([]);
    v.firstStage('nic0', 0, 2, 0x40500000);
    pc(v, 2, 0);
    v.flush('PC_INV', { G: 0, DID: 3 });
    expect(bound(v)).toEqual([0, 5, 6, 7]);
  });

  it('entries that QEMU does not take are not bound: second stage, nested, five levels', () => {
    const v = translating();
    for (const [i, w] of [0x89n, 0xc9n, 0x1c9n].entries()) v.pasidEntry('nic0', 8 + i, w, 3n, 0x40600000n);
    v.pasidEntry('nic0', 11, 0x49n, 3n, 0x40600004n);
    v.pasidEntry('nic0', 12, 0x48n, 3n, 0x40600000n);
    v.flush('PC_INV', { G: 3 });
    expect(v.kernel.take()).toEqual([]);
    expect(bound(v)).toEqual([0]);
  });

  it('PASIDs beyond the device’s, the guest’s or the directory’s limit are not looked at', () => {
    const v = plugged();
    v.kernel.take();
    v.vmm.units[0]!.deviceOf('nic0')!.bindings.splice(0);
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.firstStage('nic0', 900, 2, 0x40500000);
    v.boot();
    expect(bound(v)).toEqual([0, 900]);
    const small = plugged({ properties: { pasidBits: 9 } });
    small.firstStage('nic0', 0, 2, 0x40500000);
    small.firstStage('nic0', 511, 2, 0x40500000);
    small.firstStage('nic0', 900, 2, 0x40500000);
    small.boot();
    expect(bound(small)).toEqual([0, 511]);
    // A PC_INV of one PASID is not held to the width: `end = pasid + 1` in vtd_accel_pasid_cache_sync.
    expect(pc(small, 2, 900).at(-1)).toMatch(/^ATTACH_IOMMUFD_PT flags=1 pt_id=\d+ pasid=900$/);
    expect(bound(small)).toEqual([0, 511, 900]);
  });

  it('CC of everything or of a domain acts as a global PC, CC of a device does not', () => {
    const v = translating();
    v.firstStage('nic0', 5, 3, 0x40600000);
    v.flush('CC_INV', { G: 3, SID: 8 });
    expect(bound(v)).toEqual([0]);
    v.flush('CC_INV', { G: 2, DID: 7 });
    expect(bound(v)).toEqual([0, 5]);
    v.pasidEntry('nic0', 5);
    v.flush('CC_INV', { G: 1 });
    expect(bound(v)).toEqual([0]);
  });

  it('10.28: clearing TE with intact tables leaves the bindings; without root they go', () => {
    const v = translating();
    v.write('GCMD_REG', 0x04000000);
    expect(v.read('GSTS_REG')).toBe(0x44000000n);
    expect(v.kernel.take()).toEqual([]);
    expect(bound(v)).toEqual([0]);
    // Invalidations meanwhile change nothing.
    v.pasidEntry('nic0', 0);
    expect(pc(v, 2, 0)).toEqual([]);
    // With TE off the guest's DMA without PASID passes untranslated.
    v.write('GCMD_REG', 0x44000000);
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=3', 'DESTROY id=5']);
  });

  it('SRTP to an empty root table or to legacy mode ends the bindings', () => {
    const v = several();
    v.write('RTADDR_REG', 0x40a00400n);
    v.write('GCMD_REG', 0xc4000000n);
    expect(v.kernel.take().filter((c) => c.startsWith('DETACH'))).toEqual([
      'DETACH_IOMMUFD_PT flags=1 pasid=6',
      'DETACH_IOMMUFD_PT flags=1 pasid=5',
      'DETACH_IOMMUFD_PT',
      'DETACH_IOMMUFD_PT',
    ]);
    const w = translating();
    w.write('RTADDR_REG', 0x40100000n);
    w.write('GCMD_REG', 0xc4000000n);
    expect(w.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=3', 'DESTROY id=5']);
  });

  it('a machine reset ends all: default HWPT without PASID, nothing with one', () => {
    const v = several();
    expect(v.run(v.vmm.reset()).ok).toBe(true);
    expect(v.kernel.take()).toEqual([
      'DETACH_IOMMUFD_PT flags=1 pasid=6',
      'DESTROY id=7',
      'DETACH_IOMMUFD_PT flags=1 pasid=5',
      'DESTROY id=6',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'DESTROY id=5',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'DESTROY id=8',
    ]);
    expect([v.read('GSTS_REG'), v.read('RTADDR_REG'), v.read('CAP_REG')]).toEqual([0n, 0n, 0x81d2008c222f0686n]);
  });

  it('a failed attach destroys the new HWPT, keeps the old one and is not tried again', () => {
    const v = translating();
    v.firstStage('nic0', 0, 2, 0x40600000);
    v.kernel.answers.set('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { errno: 'EINVAL' });
    expect(pc(v, 2, 0)).toEqual([
      'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48',
      'ATTACH_IOMMUFD_PT pt_id=6',
      'DESTROY id=6',
    ]);
    expect(v.vmm.state.errors).toContain('Replacing HWPT attachment failed: VFIO_DEVICE_ATTACH_IOMMUFD_PT: EINVAL');
    expect(v.vmm.units[0]!.deviceOf('nic0')!.bindings[0]).toMatchObject({ hwpt: 5 });
    expect(pc(v, 2, 0)).toEqual([]);
  });

  it('a first attach that fails is remembered all the same', () => {
    const v = translating();
    v.firstStage('nic0', 5, 3, 0x40600000);
    v.kernel.answers.set('IOMMU_HWPT_ALLOC', { errno: 'ENOMEM' });
    pc(v, 3, 5);
    expect(v.vmm.state.errors).toContain('Attaching to HWPT failed: IOMMU_HWPT_ALLOC: ENOMEM');
    expect(pc(v, 3, 5)).toEqual([]);
    // Its invalidations then name no HWPT.
    v.flush('P_IOTLB_INV', { G: 2, DID: 3, PASID: 5 });
    expect(v.kernel.take()).toEqual(['HWPT_INVALIDATE hwpt_id=0 entry_num=1']);
  });

  it('a failed detach forgets the binding and keeps the HWPT', () => {
    const v = translating();
    v.pasidEntry('nic0', 0);
    v.kernel.answers.set('VFIO_DEVICE_DETACH_IOMMUFD_PT', { errno: 'EINVAL' });
    expect(pc(v, 2, 0)).toEqual(['DETACH_IOMMUFD_PT']);
    expect(bound(v)).toEqual([]);
  });

  it('without PASIDs on offer nothing asks for them', () => {
    const v = plugged({ properties: { pasidBits: 0 } });
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.firstStage('nic0', 5, 2, 0x40500000);
    v.boot();
    expect(v.kernel.take()).toEqual(['HWPT_ALLOC dev_id=2 pt_id=3 s1=0,0x40500000,48', 'ATTACH_IOMMUFD_PT pt_id=5']);
    expect(v.vmm.parentFlags).toBe(1);
  });
});
