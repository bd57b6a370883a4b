import { describe, expect, it } from 'vitest';
import { fieldOf, getField } from '../../bits/index.ts';
import { runToEnd } from '../../machine/index.ts';
import { steLayout } from '../layout/index.ts';
import { bed, MiB, UVA } from './testbed.ts';

/** Sizes: arm-smmuv3.md 1.7 (TG, start level, output size), io-pgtable-arm.c arm_lpae_restrict_pgsizes. */
describe('kernels with other pages', () => {
  it.each([
    // page, S2TG, leaf of a table, block
    [4096, {}, 0, 4096],
    [16384, {}, 2, 16384],
    [65536, {}, 1, 65536],
    // Without that granule: the largest smaller one, else the smallest larger one.
    [65536, { GRAN64K: false }, 2, 16384],
    [4096, { GRAN4K: false }, 2, 16384],
    [65536, { GRAN64K: false, GRAN16K: false }, 0, 4096],
  ] as const)('pages of %i with %o', (page, features, tg, granule) => {
    const b = bed({ page, features, chunk: 64 * MiB });
    const fd = b.iommufd.openDevice('nic0');
    const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const alloc = b.ioctl('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
    if (granule > page) {
      // iommufd maps no page in part.
      expect(alloc.errno).toBe('EINVAL');
      return;
    }
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: alloc.main! }, fd);
    const ste = b.driver.ste('nic0').words;
    expect(Number(getField(fieldOf(steLayout, 'S2TG'), ste))).toBe(tg);
    const ranges = b.ioctl('IOMMU_IOAS_IOVA_RANGES', { ioas_id: ioas, num_iovas: 9 }).out;
    expect(ranges['out_iova_alignment']).toBe(granule);
    const map = { flags: 7, ioas_id: ioas, user_va: UVA, length: granule, iova: 0x40000000 };
    expect(b.ioctl('IOMMU_IOAS_MAP', { ...map, length: granule / 2 }).errno).toBe('EINVAL');
    b.make('IOMMU_IOAS_MAP', map);
    const device = b.devices[0]!;
    const at = (iova: bigint) => runToEnd(b.smmu.dma({ device, pasid: -1, iova, write: false, translated: false }));
    expect(at(0x40000000n + BigInt(granule - 1))).toMatchObject({ ok: true, pa: 0x880804000000 + granule - 1 });
    expect(at(0x40000000n + BigInt(granule)).ok).toBe(false);
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova: 0x40000000, length: granule });
    const g = { 4096: '4K', 16384: '16K', 65536: '64K' }[granule];
    expect(b.posted()[0]).toContain(`pages 1 of ${g} level 3 leaf`);
    expect(at(0x40000000n).ok).toBe(false);
  });

  it('the kernel places mappings at its own pages', () => {
    const place = (page: number): unknown => {
      const b = bed({ page });
      const ioas = b.make('IOMMU_IOAS_ALLOC');
      // The first page stays free, whatever the size.
      return b.ioctl('IOMMU_IOAS_MAP', { flags: 6, ioas_id: ioas, user_va: UVA, length: 4096 }).out['iova'];
    };
    expect([4096, 16384, 65536].map(place)).toEqual([0x1000n, 0x4000n, 0x10000n]);
  });

  it('52 bits of output with the 64 KiB granule only', () => {
    const ps = (page: number): number => {
      const b = bed({ page, features: { OAS: 52 } });
      const fd = b.iommufd.openDevice('nic0');
      const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const ioas = b.make('IOMMU_IOAS_ALLOC');
      const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd);
      return Number(getField(fieldOf(steLayout, 'S2PS'), b.driver.ste('nic0').words));
    };
    expect([ps(4096), ps(65536)]).toEqual([5, 6]);
  });
});
