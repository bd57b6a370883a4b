import { describe, expect, it } from 'vitest';
import { bootedMachine } from './fixtures/real-machine.ts';
import { vmmOnRecorder } from './fixtures/recording-vmm.ts';

const GPA0 = 0x41000000;
const nic = (i: number, more: object = {}) => ({
  name: `nic${i}`,
  rid: 0x3b00 + 8 * i,
  vrid: 0x18 + 8 * i,
  ats: true,
  pasidBits: 20,
  ...more,
});
const unit = (name: string, ...devices: string[]) => ({ name, devices });

describe('several virtual units of one guest', () => {
  it('share the nesting parent; each has its own queue, tables and bindings', () => {
    const m = bootedMachine({
      devices: [nic(0), nic(1)],
      virtualUnits: [[unit('vdmar0', 'nic0'), unit('vdmar1', 'nic1')]],
    });
    const { vmm, guest } = m.guests[0]!;
    for (const [device, domain] of [
      ['nic0', 'dma0'],
      ['nic1', 'dma1'],
    ] as const) {
      m.step(guest.attach({ device, domain }));
      m.step(guest.map({ domain, iova: 0x10000, gpa: GPA0, size: 4096 }));
      expect(m.dma(device, 0x10000n)).toMatchObject({ ok: true, hit: 'walk' });
      expect(m.dma(device, 0x10000n)).toMatchObject({ ok: true, hit: 'IOTLB' });
    }
    expect(vmm.state.parents).toMatchObject([{ users: 2 }]);
    const [a, b] = vmm.units.map((u) => u.state.devices.flatMap((d) => d.bindings));
    expect([a, b]).toMatchObject([[{ pasid: 0 }], [{ pasid: 0 }]]);
    // Both guest domains may have the same DID: an invalidation stays within its unit.
    const posted = m.step(guest.invalidate([0x0000000000020026n, 0n, 0n, 0n], 'vdmar1'));
    expect(posted).toHaveLength(2);
    expect(m.dma('nic0', 0x10000n)).toMatchObject({ hit: 'IOTLB' });
    expect(m.dma('nic1', 0x10000n)).toMatchObject({ hit: 'walk' });
  });

  it('scene ids carry the names of guest and unit', () => {
    const v = vmmOnRecorder({ units: [unit('v0', 'nic0'), unit('v1', 'nic1')], scope: 'vm1' });
    expect(v.vmm.ids.devices).toBe('vmm.vm1.devices');
    expect(v.vmm.units.map((u) => u.ids)).toEqual(
      ['v0', 'v1'].map((n) => ({
        viommu: `vmm.vm1.${n}.viommu`,
        iq: `guest.vm1.${n}.iq`,
        prq: `guest.vm1.${n}.prq`,
        frcd: `guest.vm1.${n}.frcd`,
      })),
    );
    expect(v.vmm.unitOf('nic1').name).toBe('v1');
    expect(() => vmmOnRecorder({ units: [unit('v0', 'nic0')] })).toThrow('nic1 is behind no vIOMMU');
  });
});

describe('several physical units and guests', () => {
  it('one parent serves the devices of both units', () => {
    const m = bootedMachine({
      units: 2,
      devices: [nic(0), nic(1, { unit: 1 })],
      virtualUnits: [[unit('vdmar0', 'nic0'), unit('vdmar1', 'nic1')]],
    });
    const { vmm, guest } = m.guests[0]!;
    expect(vmm.state.parents).toMatchObject([{ users: 2 }]);
    for (const device of ['nic0', 'nic1']) m.step(guest.attach({ device, domain: device }));
    m.step(guest.map({ domain: 'nic1', iova: 0x10000, gpa: GPA0, size: 4096 }));
    expect(m.dma('nic1', 0x10000n).ok).toBe(true);
    m.step(guest.unmap({ domain: 'nic1', iova: 0x10000, size: 4096, flush: 'strict' }));
    expect(m.dma('nic1', 0x10000n).ok).toBe(false);
    expect(m.stale()).toEqual([]);
  });

  it('a guest’s invalidation never reaches another guest with the same DID and PASID', () => {
    const m = bootedMachine({ devices: [nic(0), nic(1, { guest: 1, vrid: 0x18 })] });
    for (const [i, g] of m.guests.entries()) {
      m.step(g.guest.attach({ device: `nic${i}`, domain: 'dma0' }));
      m.step(g.guest.map({ domain: 'dma0', iova: 0x10000, gpa: GPA0, size: 4096 }));
      m.dma(`nic${i}`, 0x10000n);
    }
    m.step(m.guests[0]!.guest.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'strict' }));
    expect(m.dma('nic0', 0x10000n).ok).toBe(false);
    expect(m.dma('nic1', 0x10000n)).toMatchObject({ ok: true, hit: 'IOTLB' });
    expect(m.guests.map((g) => g.vmm.units[0]!.ids.viommu)).toEqual(['vmm.vm0.viommu', 'vmm.vm1.viommu']);
  });

  it('EINVAL of a parent leads to a new one, which the device’s nested HWPTs then sit on', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    v.kernel.refuse = (call, input) => (/ATTACH/.test(call) && input['pt_id'] === 3 ? 'EINVAL' : null);
    v.run(v.vmm.plug('nic1'));
    v.kernel.refuse = () => null;
    v.context('nic1');
    v.firstStage('nic1', 0, 2, 0x40500000);
    v.kernel.take();
    v.boot();
    expect(v.kernel.take()[0]).toBe('HWPT_ALLOC flags=8 dev_id=4 pt_id=5 s1=0,0x40500000,48');
  });
});
