import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { type Bed, bed, GiB, nest, UVA, vste } from './testbed.ts';

const devices = [{ name: 'nic0', rid: 0x108, ats: true, pasidBits: 6 }];
const start = (b: Bed): string => runToEnd(b.drivers.resetPrepare('nic0'));
const end = (b: Bed): void => {
  runToEnd(b.drivers.resetDone('nic0'));
};
const ste = (b: Bed): string => b.driver.ste('nic0').words.join();
const dma = (b: Bed, iova: bigint, translated: boolean, pasid = -1) =>
  runToEnd(b.smmu.dma({ device: b.devices[0]!, pasid, iova, write: false, translated }));

/** iommu.c pci_dev_reset_iommu_prepare and _done (arm-smmuv3.md 7.8; real-bugs.md FD-10). */
describe('device reset', () => {
  it('blocks a device with ATS, keeps its domains, and gives them back', () => {
    const b = bed({ devices });
    const n = nest(b);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const nested = vste(b, n, 0x4810000bn, 0x100000d6n);
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: nested }, n.fd);
    const before = ste(b);
    b.posted();
    expect(start(b)).toBe('0');
    expect(b.driver.ste('nic0').words[0]).toBe(1n);
    expect(b.devices[0]!.atsEnabled).toBe(false);
    // The only device of the parent: its VMID is flushed.
    expect(b.posted().slice(-4)).toEqual(['ATC_INV sid 0x108 all', 'SYNC', 'TLBI_S12_VMALL vmid 1', 'SYNC']);
    b.devices[0]!.reset();
    // Nothing is sent to the device meanwhile.
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
    expect(b.posted()).toEqual([]);
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: UVA, length: GiB, iova: 0x40000000 });
    end(b);
    expect(ste(b)).toBe(before);
    expect([b.devices[0]!.atsEnabled, b.devices[0]!.pasidEnabled]).toEqual([true, true]);
    expect(b.driver.state.paging.get(1)!.invalidations.map((e) => e.users)).toEqual([1, 1, 1]);
    // iommufd has seen nothing of it.
    expect(b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: n.parent }, n.fd).errno).toBe('0');
  });

  it('takes the PASIDs away and brings them back in order', () => {
    const b = bed({ devices });
    const fd = b.iommufd.openDevice('nic0');
    const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 4096, iova: 0x10000 });
    const h = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: dev, pt_id: ioas });
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: h }, fd);
    for (const pasid of [9, 5]) b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 1, pt_id: h, pasid }, fd);
    const before = ste(b);
    start(b);
    // With the last PASID the CD table leaves the STE.
    expect(b.driver.ste('nic0').words[0]).toBe(1n);
    expect(b.driver.masters()[0]!.pasids.size).toBe(0);
    b.devices[0]!.reset();
    end(b);
    expect(ste(b)).toBe(before);
    for (const pasid of [-1, 5, 9]) expect(dma(b, 0x10040n, true, pasid).ok).toBe(true);
  });

  it('refuses attachments meanwhile (EBUSY) and lets devices go', () => {
    const b = bed({ devices });
    const n = nest(b);
    const other = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: n.dev, pt_id: n.ioas });
    const attach = (input: Record<string, unknown>): string =>
      b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', input, n.fd).errno;
    start(b);
    expect(attach({ pt_id: other })).toBe('EBUSY');
    expect(attach({ pt_id: n.parent })).toBe('0');
    b.posted();
    expect(b.ioctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd).errno).toBe('0');
    expect(attach({ flags: 1, pt_id: other, pasid: 5 })).toBe('EBUSY');
    expect(b.posted()).toEqual([]);
    end(b);
    expect(b.driver.ste('nic0').words[0]).toBe(1n);
    expect(attach({ pt_id: other })).toBe('0');
  });

  it('counts resets within one another', () => {
    const b = bed({ devices });
    nest(b);
    const before = ste(b);
    start(b);
    start(b);
    end(b);
    expect(b.drivers.resetting('nic0')).toBe(true);
    end(b);
    expect(b.drivers.resetting('nic0')).toBe(false);
    expect(ste(b)).toBe(before);
  });

  it('does nothing for a device without ATS', () => {
    const b = bed();
    nest(b);
    const before = ste(b);
    b.posted();
    start(b);
    b.devices[0]!.reset();
    end(b);
    expect(b.posted()).toEqual([]);
    expect(ste(b)).toBe(before);
  });

  it('gives a bypassing device back to bypass', () => {
    const b = bed({ devices, defaultDomain: 'identity' });
    const before = ste(b);
    start(b);
    expect(dma(b, 0x1000n, false).ok).toBe(false);
    end(b);
    expect(ste(b)).toBe(before);
    expect(dma(b, 0x1000n, false)).toMatchObject({ ok: true, pa: 0x1000 });
  });
});
