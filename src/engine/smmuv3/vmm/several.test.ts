import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { bootedMachine, realMachine } from './real-machine.ts';
import { vmmOnRecorder } from './recording-kernel.ts';

const GPA = 0x40200000;
const nic = (i: number, more: object = {}) => ({
  name: `nic${i}`,
  rid: 0x108 + 8 * i,
  vrid: 8 + 8 * i,
  ats: true,
  ...more,
});
const unit = (name: string, ...devices: string[]) => ({ name, devices });

describe('several vSMMUs of one guest behind one SMMU', () => {
  const two = { devices: [nic(0), nic(1)], virtualUnits: [[unit('vsmmu0', 'nic0'), unit('vsmmu1', 'nic1')]] };

  it('share the nesting parent and its VMID, but have a vIOMMU each', () => {
    const m = bootedMachine(two);
    const { vmm, guest } = m.guests[0]!;
    const [a, b] = vmm.units.map((u) => u.state);
    expect(vmm.state.parents).toEqual([{ id: a!.devices[0]!.parent, users: 2 }]);
    expect(b!.devices[0]!.parent).toBe(a!.devices[0]!.parent);
    expect(b!.viommu).not.toBe(a!.viommu);
    for (const [d, dom] of [
      ['nic0', 'dma0'],
      ['nic1', 'dma1'],
    ] as const) {
      m.step(guest.attach({ device: d, domain: dom }));
      m.step(guest.map({ domain: dom, iova: 0x10000, gpa: GPA, size: 4096 }));
      expect(m.dma(d, 0x10000n)).toMatchObject({ ok: true, hit: 'walk' });
      expect(m.dma(d, 0x10000n)).toMatchObject({ ok: true, hit: 'IOTLB' });
    }
    // arm-smmuv3.md 5.4: an NH_ALL of one instance hits the entries of the other.
    const posted = m.step(guest.invalidate(encodeCommand('TLBI_NSNH_ALL', {}), 'vsmmu1'));
    expect(posted).toEqual(['TLBI_NH_ALL vmid 1', 'SYNC']);
    expect(m.dma('nic0', 0x10000n)).toMatchObject({ ok: true, hit: 'walk' });
  });

  it('a command for a StreamID of the other instance goes nowhere', () => {
    const m = bootedMachine(two);
    const posted = m.step(m.guests[0]!.guest.invalidate(encodeCommand('ATC_INV', { SID: 0x10, Size: 52 }), 'vsmmu0'));
    expect(posted).toEqual([]);
  });

  it('the last device of one leaves the other’s objects alone', () => {
    const m = bootedMachine(two);
    const { vmm } = m.guests[0]!;
    m.step(vmm.unplug('nic0'));
    expect(vmm.units[0]!.state).toMatchObject({ viommu: 0, abortHwpt: 0, bypassHwpt: 0, veventq: null });
    expect(vmm.state.parents).toHaveLength(1);
    expect(vmm.units[1]!.state.viommu).not.toBe(0);
    m.step(vmm.unplug('nic1'));
    expect(vmm.state.parents).toEqual([]);
    // What remains in the kernel is the IOAS of this process and nothing else.
    expect(m.iommufd.objects().map((o) => o.type)).toEqual(['IOAS']);
  });

  it('scene ids carry the names of guest and unit', () => {
    const v = vmmOnRecorder({ units: [unit('v0', 'nic0'), unit('v1', 'nic1')], scope: 'vm1' });
    expect(v.vmm.ids.devices).toBe('vmm.vm1.devices');
    expect(v.vmm.units.map((u) => [u.ids.vsmmu, u.ids.evtq])).toEqual([
      ['vmm.vm1.v0.vsmmu', 'guest.vm1.v0.evtq'],
      ['vmm.vm1.v1.vsmmu', 'guest.vm1.v1.evtq'],
    ]);
    expect(v.vmm.unitOf('nic1').name).toBe('v1');
    expect(() => v.vmm.unitOf('nic7')).toThrow('nic7 is behind no vIOMMU of this VMM');
    expect(() => vmmOnRecorder({ units: [unit('v0', 'nic0')] })).toThrow('nic1 is behind no vIOMMU');
  });
});

describe('several SMMUs', () => {
  it('EINVAL of a parent leads to a parent of the other SMMU (iommufd_cdev_autodomains_get)', () => {
    const v = vmmOnRecorder({ units: [unit('v0', 'nic0'), unit('v1', 'nic1')] });
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    v.kernel.take();
    v.kernel.refuse = (call, input) => (/ATTACH/.test(call) && input['pt_id'] === 3 ? 'EINVAL' : null);
    expect(v.run(v.vmm.plug('nic1')).ok).toBe(true);
    expect(v.kernel.take()).toEqual([
      'BIND_IOMMUFD iommufd=0',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'HWPT_ALLOC flags=1 dev_id=7 pt_id=1',
      'ATTACH_IOMMUFD_PT pt_id=8',
      'GET_HW_INFO dev_id=7',
      'VIOMMU_ALLOC dev_id=7 hwpt_id=8',
      'HWPT_ALLOC dev_id=7 pt_id=9 ste=0x1,0x0',
      'HWPT_ALLOC dev_id=7 pt_id=9 ste=0x9,0x0',
      'ATTACH_IOMMUFD_PT pt_id=11',
    ]);
    expect(v.vmm.state.parents).toEqual([
      { id: 8, users: 1 },
      { id: 3, users: 1 },
    ]);
  });

  it('any other errno ends the plug, and a parent that nobody could use goes again', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    v.kernel.take();
    v.kernel.refuse = (call) => (/ATTACH/.test(call) ? 'EBUSY' : null);
    expect(v.run(v.vmm.plug('nic1'))).toMatchObject({ ok: false, errno: 'EBUSY' });
    expect(v.kernel.take()).toEqual(['BIND_IOMMUFD iommufd=0', 'ATTACH_IOMMUFD_PT pt_id=3', 'close 11']);
    v.kernel.refuse = (call) => (/ATTACH/.test(call) ? 'EINVAL' : null);
    expect(v.run(v.vmm.plug('nic1'))).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(v.kernel.take().slice(-3)).toEqual(['ATTACH_IOMMUFD_PT pt_id=9', 'DESTROY id=9', 'close 12']);
    expect(v.vmm.state.parents).toEqual([{ id: 3, users: 1 }]);
  });

  const apart = {
    smmus: 2,
    devices: [nic(0), nic(1, { unit: 1 })],
    virtualUnits: [[unit('vsmmu0', 'nic0'), unit('vsmmu1', 'nic1')]],
  };

  it('a guest behind two has two parents on one IOAS, each with VMID 1 of its SMMU', () => {
    const m = bootedMachine(apart);
    const { vmm, guest } = m.guests[0]!;
    expect(vmm.state.parents).toHaveLength(2);
    for (const i of [0, 1]) {
      m.step(guest.attach({ device: `nic${i}`, domain: `dma${i}` }));
      m.step(guest.map({ domain: `dma${i}`, iova: 0x10000, gpa: GPA + i * 4096, size: 4096 }));
      const r = m.dma(`nic${i}`, 0x10000n);
      expect(r).toMatchObject({ ok: true, pa: m.guests[0]!.memory.resolve(GPA + i * 4096) });
    }
    // An invalidation of one vSMMU stays on its SMMU.
    m.step(guest.invalidate(encodeCommand('TLBI_NSNH_ALL', {}), 'vsmmu1'));
    expect(m.dma('nic0', 0x10000n).hit).toBe('IOTLB');
    expect(m.dma('nic1', 0x10000n).hit).toBe('walk');
  });

  it('a device of another SMMU behind the same vSMMU can be plugged, but never configured', () => {
    const m = realMachine({ ...apart, virtualUnits: [[unit('vsmmu', 'nic0', 'nic1')]] });
    const { vmm, guest } = m.guests[0]!;
    m.step(vmm.start());
    m.step(vmm.plug('nic0'));
    m.step(vmm.plug('nic1'));
    expect(vmm.state.parents).toHaveLength(2);
    expect(runToEnd(vmm.reset())).toMatchObject({ ok: false });
    expect(vmm.state.errors).toEqual(['Failed to attach GBPA hwpt 6 for nic1: EINVAL']);
    // CFGI_ALL of the probe: the vDEVICE of a device of another SMMU is EINVAL, so the guest sees CERROR_ILL.
    runToEnd(guest.boot());
    expect(vmm.state.errors).toContain('IOMMU_VDEVICE_ALLOC: EINVAL');
  });
});

describe('several guests', () => {
  it('have an IOAS, a VMID and a stage 2 each', () => {
    const m = bootedMachine({ devices: [nic(0), nic(1, { guest: 1 })] });
    for (const [i, g] of m.guests.entries()) {
      m.step(g.guest.attach({ device: `nic${i}`, domain: 'dma0' }));
      m.step(g.guest.map({ domain: 'dma0', iova: 0x10000, gpa: GPA, size: 4096 }));
      const r = m.dma(`nic${i}`, 0x10000n);
      expect(r).toMatchObject({ ok: true, pa: g.memory.resolve(GPA) });
    }
    expect(m.guests[0]!.memory.resolve(GPA)).not.toBe(m.guests[1]!.memory.resolve(GPA));
    const [, second] = m.guests;
    const posted = m.step(second!.guest.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }));
    expect(posted.filter((c) => c.startsWith('TLBI'))).toEqual([expect.stringContaining('vmid 2')]);
    expect(m.dma('nic0', 0x10000n).hit).toBe('IOTLB');
    expect(m.dma('nic1', 0x10000n).ok).toBe(false);
  });

  it('one guest’s reset and unplug leave the other running', () => {
    const m = bootedMachine({ devices: [nic(0), nic(1, { guest: 1 })] });
    const [a, b] = m.guests;
    m.step(b!.guest.attach({ device: 'nic1', domain: 'dma0' }));
    m.step(b!.guest.map({ domain: 'dma0', iova: 0x10000, gpa: GPA, size: 4096 }));
    m.step(a!.vmm.reset());
    m.step(a!.vmm.unplug('nic0'));
    expect(m.dma('nic1', 0x10000n)).toMatchObject({ ok: true });
  });
});

describe('hot-plug', () => {
  it('a further device waits on the parent until a CFGI_STE, a GBPA update or a reset (8.2)', () => {
    const m = realMachine({ devices: [nic(0), nic(1)] });
    const { vmm, guest } = m.guests[0]!;
    m.step(vmm.start());
    m.step(vmm.plug('nic0'));
    m.step(vmm.reset());
    m.step(guest.boot());
    m.step(vmm.plug('nic1'));
    const d = vmm.units[0]!.deviceOf('nic1')!;
    expect(d).toMatchObject({ hwpt: d.parent, vdevice: 0, s1Hwpt: 0 });
    m.step(guest.attach({ device: 'nic1', domain: 'dma0' }));
    expect(d.vdevice).not.toBe(0);
    expect(d.hwpt).toBe(d.s1Hwpt);
    m.step(guest.map({ domain: 'dma0', iova: 0x10000, gpa: GPA, size: 4096 }));
    expect(m.dma('nic1', 0x10000n).ok).toBe(true);
  });

  it('unplug and plug again make everything anew', () => {
    const m = bootedMachine();
    const { vmm } = m.guests[0]!;
    m.step(vmm.unplug('nic0'));
    m.step(vmm.plug('nic0'));
    expect(vmm.units[0]!.state.viommu).not.toBe(0);
    // The event queue was on: its vEVENTQ comes with the vIOMMU.
    expect(vmm.units[0]!.state.veventq).not.toBeNull();
  });

  it('a snapshot brings all units back', () => {
    const m = bootedMachine({ devices: [nic(0), nic(1)], virtualUnits: [[unit('a', 'nic0'), unit('b', 'nic1')]] });
    const { vmm } = m.guests[0]!;
    const saved = vmm.save();
    const was = structuredClone(vmm.units.map((u) => u.state));
    m.step(vmm.unplug('nic1'));
    vmm.load(saved);
    expect(vmm.units.map((u) => u.state)).toEqual(was);
  });
});
