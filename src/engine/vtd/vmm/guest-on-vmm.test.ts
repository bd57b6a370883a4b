import { describe, expect, it } from 'vitest';
import { bootedMachine, type RealOptions } from './fixtures/real-machine.ts';

const GPA0 = 0x41000000;
const nic = (i: number, more: object = {}) => ({
  name: `nic${i}`,
  rid: 0x3b00 + 8 * i,
  vrid: 0x18 + 8 * i,
  ats: true,
  pri: true,
  pasidBits: 20,
  ...more,
});

/** nic0 in dma0 with one page at 0xfffff000. */
function mapped(o: RealOptions = {}) {
  const m = bootedMachine(o);
  const g = m.guests[0]!;
  m.step(g.guest.attach({ device: 'nic0', domain: 'dma0' }));
  m.step(g.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: GPA0, size: 4096 }));
  return { ...m, ...g };
}

describe('a Linux guest on the VMM, the kernel and the unit', () => {
  it('9.5: unmap of a page, from the guest’s descriptor to the device TLB', () => {
    const m = mapped();
    expect(m.dma('nic0', 0xfffff000n)).toMatchObject({ ok: true, pa: m.process.resolve(0x7f0001000000) });
    const from = m.events.length;
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096, flush: 'strict' }))).toEqual([
      'P_IOTLB_INV did 2 pasid 0x0 addr 0xfffff000 pages 1 leaf',
      'DEV_TLB_INV sid 0x3b00 addr 0xfffff000 pages 1',
    ]);
    const story = m.events
      .slice(from)
      .flatMap((e) =>
        ['trap', 'ioctl.enter', 'ioctl.exit', 'cache.remove', 'sync'].includes(e.kind) ||
        (e.kind === 'command.fetch' && e.actor === 'vmm') ||
        (e.kind === 'command.rewrite' && e.actor === 'vmm')
          ? [`${e.kind} ${e.at}`]
          : [],
      );
    expect(story).toEqual([
      'trap vmm.viommu',
      'command.fetch vmm.viommu',
      'command.rewrite vmm.viommu',
      'ioctl.enter vmm.viommu',
      'cache.remove hw.iotlb',
      'sync hw.iq',
      'ioctl.exit kernel.obj.1.4',
      'command.fetch vmm.viommu',
      'command.fetch vmm.viommu',
      'sync vmm.viommu',
    ]);
    expect(m.dma('nic0', 0xfffff000n)).toMatchObject({ ok: false, fault: { name: 'SFS.2' } });
    expect(m.stale()).toEqual([]);
  });

  it('two devices of one domain have two HWPTs and two host DIDs: one guest flush becomes two ioctls', () => {
    const m = mapped({ devices: [nic(0), nic(1)] });
    m.step(m.guest.attach({ device: 'nic1', domain: 'dma0' }));
    for (const d of ['nic0', 'nic1']) expect(m.dma(d, 0xfffff000n).ok).toBe(true);
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096, flush: 'strict' }))).toEqual([
      // The parent kept DID 2 as long as nic1 was on it.
      'P_IOTLB_INV did 3 pasid 0x0 addr 0xfffff000 pages 1 leaf',
      'DEV_TLB_INV sid 0x3b00 addr 0xfffff000 pages 1',
      'P_IOTLB_INV did 2 pasid 0x0 addr 0xfffff000 pages 1 leaf',
      'DEV_TLB_INV sid 0x3b08 addr 0xfffff000 pages 1',
    ]);
    expect(m.stale()).toEqual([]);
  });

  it('pass-through moves the device to the nesting parent and back', () => {
    const m = mapped();
    m.step(m.guest.attach({ device: 'nic0', domain: 'bypass' }));
    expect(m.dma('nic0', BigInt(GPA0))).toMatchObject({ ok: true, pa: m.process.resolve(0x7f0001000000) });
    expect(m.vmm.units[0]!.state.devices[0]!.bindings).toMatchObject([{ pasid: 0, hwpt: 0 }]);
    m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    expect(m.dma('nic0', 0xfffff000n).ok).toBe(true);
    expect(m.dma('nic0', BigInt(GPA0)).ok).toBe(false);
    expect(m.stale()).toEqual([]);
  });

  it('a detached device is blocked; one that was never attached reaches guest memory', () => {
    const m = bootedMachine();
    const { guest } = m.guests[0]!;
    // TE is on, PASID 0 was never present: VFIO's attachment to the nesting parent still holds.
    expect(m.dma('nic0', BigInt(GPA0)).ok).toBe(true);
    m.step(guest.attach({ device: 'nic0', domain: 'dma0' }));
    m.step(guest.detach({ device: 'nic0' }));
    expect(m.dma('nic0', BigInt(GPA0))).toMatchObject({ ok: false, fault: { name: 'SPT.2' } });
  });

  it('SVA: a page request goes up to the guest and its answer comes back', () => {
    const m = mapped({ devices: [nic(0)], pageFaults: 'forwarded' });
    const bound = m.run(m.guest.bind({ device: 'nic0', process: 'app' }));
    const pasid = Number(bound.main);
    m.step(m.guest.map({ domain: 'app', iova: 0x7f0012345000, gpa: GPA0, size: 4096, present: false }));
    const device = m.devices[0]!;
    const from = m.events.length;
    const sent = m.run(m.unit.pri(device, pasid, 0x7f0012345000n, { read: true, write: true }, 5, true));
    expect(sent).toMatchObject({ recorded: true });
    m.settle();
    const story = m.events.slice(from).map((e) => `${e.kind} ${e.at}`);
    expect(story).toContain('guest.event guest.prq');
    const answer = m.events
      .slice(from)
      .find((e) => e.kind === 'command.fetch' && e.actor === 'vmm' && e.command.name === 'PAGE_GRP_RESP');
    expect(answer).toMatchObject({
      command: { text: `PAGE_GRP_RESP rid 0x18 pasid 0x${pasid.toString(16)} group 5 success` },
    });
    expect(m.events.slice(from).find((e) => e.kind === 'page.response')).toMatchObject({ code: 'success' });
    expect(m.dma('nic0', 0x7f0012345000n, { pasid, write: true }).ok).toBe(true);
    expect(m.stale()).toEqual([]);
  });

  it('an unplug that the guest has prepared, and one that it has not, leave nothing but the IOAS', () => {
    for (const prepared of [true, false]) {
      const m = mapped({ devices: [nic(0)] });
      m.step(m.guest.bind({ device: 'nic0', process: 'app' }));
      if (prepared) m.step(m.guest.remove({ device: 'nic0' }));
      m.step(m.vmm.unplug('nic0'));
      expect(m.vmm.state.errors).toEqual([]);
      expect(m.vmm.state.parents).toEqual([]);
    }
  });

  it('10.7 on the whole chain: unmapping a misaligned 1 GiB stops the guest’s queue', () => {
    const m = mapped();
    m.step(m.guest.map({ domain: 'dma0', iova: 0x1000, gpa: 0x41200000, size: 4096 }));
    const r = m.run(m.guest.invalidate([0x0000000000020036n, 0x13n, 0n, 0n]));
    expect(r.ok).toBe(false);
    expect(m.vmm.readVirtual('IQH_REG')).toBeGreaterThan(0n);
  });
});
