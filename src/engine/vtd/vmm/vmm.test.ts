import { describe, expect, it } from 'vitest';
import { plugged, translating, vmmOnRecorder } from './fixtures/recording-vmm.ts';

describe('objects, intel-vtd.md 5.9', () => {
  it('start and devices: one nesting parent, fit for PASIDs, no vIOMMU object', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.kernel.take();
    expect(v.run(v.vmm.plug('nic0'))).toMatchObject({
      ok: true,
      text: 'nic0 is plugged: device 2, nesting parent HWPT 3',
    });
    expect(v.kernel.take()).toEqual([
      'BIND_IOMMUFD iommufd=0',
      'HWPT_ALLOC flags=9 dev_id=2 pt_id=1',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'IOAS_IOVA_RANGES ioas_id=1',
      'GET_HW_INFO dev_id=2',
    ]);
    v.run(v.vmm.plug('nic1'));
    expect(v.kernel.take()).toEqual([
      'BIND_IOMMUFD iommufd=0',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'IOAS_IOVA_RANGES ioas_id=1',
      'GET_HW_INFO dev_id=4',
    ]);
    expect(v.vmm.pasidBits('nic0')).toBe(20);
  });

  it('a device that its guest has let go leaves as it came', () => {
    const v = translating();
    v.pasidEntry('nic0', 0);
    v.flush('PC_INV', { G: 1, DID: 2 });
    v.kernel.take();
    v.run(v.vmm.unplug('nic1'));
    v.run(v.vmm.unplug('nic0'));
    expect(v.kernel.take()).toEqual(['DETACH_IOMMUFD_PT', 'close 11', 'DETACH_IOMMUFD_PT', 'DESTROY id=3', 'close 10']);
    expect(v.vmm.isPlugged('nic0')).toBe(false);
  });

  it('what the guest has left bound goes at unplug', () => {
    const v = translating();
    v.firstStage('nic0', 5, 3, 0x40600000);
    v.flush('PC_INV', { G: 1, DID: 3, PASID: 5 });
    v.kernel.take();
    expect(v.run(v.vmm.unplug('nic0')).ok).toBe(true);
    expect(v.kernel.take()).toEqual([
      'ATTACH_IOMMUFD_PT pt_id=3',
      'DESTROY id=5',
      'DETACH_IOMMUFD_PT flags=1 pasid=5',
      'DESTROY id=6',
      'DETACH_IOMMUFD_PT',
      'close 10',
    ]);
  });

  it('refuses what the host cannot back, with QEMU’s messages', () => {
    const text = (change: (v: ReturnType<typeof vmmOnRecorder>) => void, properties = {}) => {
      const v = vmmOnRecorder({ properties });
      change(v);
      v.run(v.vmm.start());
      const r = v.run(v.vmm.plug('nic0'));
      if (!r.ok) expect(v.kernel.take().slice(-3)).toEqual(['DETACH_IOMMUFD_PT', 'DESTROY id=3', 'close 10']);
      return r.ok ? 'ok' : r.text;
    };
    const noFs1gp = (v: ReturnType<typeof vmmOnRecorder>): void => {
      v.kernel.cap &= ~(1n << 56n);
    };
    const pss = (v: ReturnType<typeof vmmOnRecorder>): void => {
      v.kernel.ecap = (v.kernel.ecap & ~(31n << 35n)) | (14n << 35n);
    };
    expect(text(noFs1gp)).toBe('ok');
    expect(text(noFs1gp, { fs1gp: true })).toContain('First stage 1GB large page is unsupported by host IOMMU');
    expect(text(pss)).toBe('ok');
    expect(text(pss, { pasidBits: 20 })).toContain('PASID bits size 20 > host IOMMU PASID bits size 15');
    expect(
      text(
        (v) => {
          pss(v);
          v.kernel.maxPasidLog2 = 0;
        },
        { pasidBits: 20 },
      ),
    ).toBe('ok');
    expect(
      text((v) => {
        v.kernel.type = 2;
      }),
    ).toContain('Incompatible host platform IOMMU type 2');
    expect(
      text((v) => {
        v.kernel.lastAddress = 2n ** 39n - 1n;
      }),
    ).toContain('aw-bits 48 > host aw-bits 39');
  });

  it('offers the words of 1.9, and less where the host has less', () => {
    const v = vmmOnRecorder();
    expect([v.read('CAP_REG'), v.read('ECAP_REG')]).toEqual([0x81d2008c222f0686n, 0x00008d9a20000f46n]);
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    expect([v.read('CAP_REG'), v.read('ECAP_REG')]).toEqual([0x81d2008c222f0686n, 0x00008d9a20000f46n]);

    const old = vmmOnRecorder();
    old.kernel.cap &= ~(1n << 56n);
    old.kernel.ecap &= ~((1n << 40n) | (1n << 2n));
    old.run(old.vmm.start());
    expect(old.run(old.vmm.plug('nic0')).ok).toBe(true);
    expect([old.read('CAP_REG'), old.read('ECAP_REG')]).toEqual([0x80d2008c222f0686n, 0x0000880000000f42n]);
    expect(old.vmm.pasidBits('nic0')).toBe(0);
    expect(() => vmmOnRecorder({ properties: { svm: true, dt: false } })).toThrow('Need to set device IOTLB for svm');
    expect(() => vmmOnRecorder({ properties: { svm: true, pasidBits: 0 } })).toThrow(
      'Need to set PASID support for svm',
    );
  });

  it('state comes back from a snapshot', () => {
    const v = translating();
    const saved = v.vmm.save();
    v.pasidEntry('nic0', 0);
    v.flush('PC_INV', { G: 1, DID: 2 });
    expect(v.vmm.units[0]!.state.devices[0]!.bindings).toEqual([]);
    v.vmm.load(saved);
    expect(v.vmm.units[0]!.state.devices[0]!.bindings).toMatchObject([{ pasid: 0, hwpt: 5 }]);
    expect(v.read('GSTS_REG')).toBe(0xc4000000n);
  });
});

describe('registers', () => {
  it('come up as vtd_init leaves them', () => {
    const v = plugged();
    expect(v.read('VER_REG')).toBe(0x10n);
    for (const reg of ['FECTL_REG', 'IECTL_REG', 'PECTL_REG']) expect(v.read(reg)).toBe(0x80000000n);
    for (const reg of ['GCMD_REG', 'GSTS_REG', 'RTADDR_REG', 'IQA_REG', 'FSTS_REG', 'PQA_REG', 'NONSENSE'])
      expect(v.read(reg)).toBe(0n);
  });

  it('take what their masks let through', () => {
    const v = plugged();
    const ones = 2n ** 64n - 1n;
    const written = (reg: string): bigint => {
      v.write(reg, ones);
      return v.read(reg);
    };
    expect(written('CAP_REG')).toBe(0x81d2008c222f0686n);
    expect(written('RTADDR_REG')).toBe(0xfffffffffffffc00n);
    expect(written('FEDATA_REG')).toBe(0xffffn);
    expect(written('FEADDR_REG')).toBe(0xfffffffcn);
    expect(written('FEUADDR_REG')).toBe(0n);
    expect(written('IVA_REG')).toBe(0n);
    expect(written('PQH_REG')).toBe(0x7ffe0n);
    expect(written('PEUADDR_REG')).toBe(0xffffffffn);
    expect(written('IRTA_REG')).toBe(0xfffffffffffff80fn);
    // The base shows only once the queue is on.
    expect(written('IQA_REG')).toBe(0x807n);
  });

  it('without page requests their registers are not there', () => {
    const v = vmmOnRecorder({ properties: { svm: false } });
    v.write('PQA_REG', 0x40000000n);
    expect([v.read('PQA_REG'), v.read('PECTL_REG')]).toEqual([0n, 0n]);
    expect(v.read('ECAP_REG')).toBe(0x0000899800000f46n);
  });

  it('each write is an exit, reads are not', () => {
    const v = plugged();
    const events = v.listen();
    v.trace.resetCounts();
    v.read('GSTS_REG');
    v.write('FEDATA_REG', 0x31);
    v.write('CAP_REG', 1);
    expect(v.trace.exits).toBe(2);
    expect(events.map((e) => ('text' in e ? e.text : ''))).toEqual(['write FEDATA_REG = 0x31', 'write CAP_REG = 0x1']);
  });

  it('invalidation by register works until the queue is on', () => {
    const v = plugged();
    v.write('RTADDR_REG', 0x40100400n);
    v.write('GCMD_REG', 0x40000000n);
    v.write('CCMD_REG', (1n << 63n) | (2n << 61n));
    expect(v.read('CCMD_REG')).toBe((2n << 61n) | (1n << 59n));
    v.write('IOTLB_REG', (1n << 63n) | (3n << 60n) | (7n << 32n));
    expect(v.read('IOTLB_REG')).toBe((3n << 60n) | (3n << 57n) | (7n << 32n));
    v.write('IVA_REG', 19n);
    v.write('IOTLB_REG', (1n << 63n) | (3n << 60n));
    expect(v.read('IOTLB_REG') & (3n << 57n)).toBe(0n);
    v.boot();
    v.write('CCMD_REG', 1n << 63n);
    expect(v.vmm.state.errors).toContain('Queued Invalidation enabled, should not use register-based invalidation');
  });
});
