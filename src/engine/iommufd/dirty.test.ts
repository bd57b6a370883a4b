import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, MiB, UVA } from '../smmuv3/host/testbed.ts';

interface Set {
  readonly b: Bed;
  readonly ioas: number;
  readonly hwpt: number;
}

/** 64 KiB at 0x10000 in 4 KiB pages, 2 MiB in one block at 0x4000_0000; the RID is on a page table with dirty tracking. */
function set(o: Parameters<typeof bed>[0] = {}): Set {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true }], ...o });
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA + 0x100000, length: 0x10000, iova: 0x10000 });
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA + 4 * MiB, length: 2 * MiB, iova: 0x40000000 });
  const hwpt = b.make('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: dev, pt_id: ioas });
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: hwpt }, fd);
  track(b, hwpt, 1);
  b.posted();
  return { b, ioas, hwpt };
}

const track = (b: Bed, hwpt_id: number, flags: number): string =>
  b.ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', { flags, hwpt_id }).errno;
const get = (s: Set, input: Record<string, unknown> = {}) =>
  s.b.ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', {
    hwpt_id: s.hwpt,
    iova: 0x10000,
    length: 0x10000,
    page_size: 4096,
    ...input,
  });
const bitmap = (s: Set, input: Record<string, unknown> = {}): unknown => get(s, input).out['bitmap'];
const dma = (s: Set, iova: bigint, write: boolean): boolean =>
  runToEnd(s.b.smmu.dma({ device: s.b.devices[0]!, pasid: -1, iova, write, translated: false })).ok;

describe('errors, in order (iommufd-uapi.md 2.14, 2.15)', () => {
  it('IOMMU_HWPT_SET_DIRTY_TRACKING', () => {
    const s = set();
    expect(track(s.b, 99, 2)).toBe('EOPNOTSUPP');
    expect(track(s.b, 99, 1)).toBe('ENOENT');
    expect(track(s.b, s.ioas, 1)).toBe('ENOENT');
    const plain = s.b.make('IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: s.ioas });
    expect(track(s.b, plain, 1)).toBe('EOPNOTSUPP');
    expect(track(s.b, s.hwpt, 0)).toBe('0');
  });

  it('IOMMU_HWPT_GET_DIRTY_BITMAP', () => {
    const s = set();
    const errno = (input: Record<string, unknown>): string => get(s, input).errno;
    expect(errno({ flags: 2, hwpt_id: 99 })).toBe('EOPNOTSUPP');
    expect(errno({ __reserved: 1 })).toBe('EOPNOTSUPP');
    expect(errno({ hwpt_id: 99, iova: 2n ** 64n - 1n, length: 2 })).toBe('ENOENT');
    expect(errno({ iova: 2n ** 64n - 0x1000n, length: 0x2000, page_size: 0 })).toBe('EOVERFLOW');
    expect(errno({ iova: 0x10800, page_size: 0 })).toBe('EINVAL');
    expect(errno({ page_size: 0 })).toBe('EINVAL');
    expect(errno({ page_size: 0x8000, iova: 0x11000 })).toBe('EINVAL');
    expect(errno({ page_size: 0x4000, length: 0x11000 })).toBe('EINVAL');
    const plain = s.b.make('IOMMU_HWPT_ALLOC', { dev_id: 1, pt_id: s.ioas });
    expect(errno({ hwpt_id: plain })).toBe('EOPNOTSUPP');
    expect(errno({ length: 2n ** 40n, iova: 0 })).toBe('ENOMEM');
    // What is not mapped is no error.
    expect(get(s, { iova: 0x900000 })).toMatchObject({ errno: '0', out: { bitmap: '0000' } });
  });

  it('needs hardware that marks (HTTU 2) and snoops', () => {
    const lacking: Record<string, number | boolean>[] = [{ HTTU: 1 }, { HTTU: 0 }, { COHACC: false }];
    for (const features of lacking) {
      const b = bed({ features });
      const fd = b.iommufd.openDevice('nic0');
      const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const ioas = b.make('IOMMU_IOAS_ALLOC');
      expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: dev, pt_id: ioas }).errno).toBe('EOPNOTSUPP');
      expect(b.ioctl('IOMMU_GET_HW_INFO', { dev_id: dev }).out['out_capabilities']).toBe(8n);
    }
    const s = set();
    expect(s.b.ioctl('IOMMU_GET_HW_INFO', { dev_id: 1 }).out['out_capabilities']).toBe(1n);
    // NEST_PARENT with it is refused by the driver (arm-smmuv3.md 5.4).
    expect(s.b.ioctl('IOMMU_HWPT_ALLOC', { flags: 3, dev_id: 1, pt_id: s.ioas }).errno).toBe('EOPNOTSUPP');
  });
});

describe('what was written', () => {
  it('starts dirty as Linux maps it, and is clean once tracking is on', () => {
    const s = set();
    expect(bitmap(s)).toBe('0000');
    // Mapped while tracking is on: writable and dirty, so the first reading reports it.
    s.b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: s.ioas, user_va: UVA, length: 4096, iova: 0x20000 });
    expect(bitmap(s, { iova: 0x20000, length: 4096 })).toBe('01');
    expect(bitmap(s, { iova: 0x20000, length: 4096 })).toBe('00');
  });

  it('one bit for each page, reads leave none, and reading clears', () => {
    const s = set();
    expect(dma(s, 0x11000n, true)).toBe(true);
    expect(dma(s, 0x1f123n, true)).toBe(true);
    expect(dma(s, 0x12000n, false)).toBe(true);
    expect(bitmap(s, { flags: 1 })).toBe('0280');
    expect(bitmap(s, { page_size: 0x4000, flags: 1 })).toBe('09');
    // A size that is no power of two counts as its lowest bit.
    expect(bitmap(s, { page_size: 0xc000, flags: 1, length: 0x10000, iova: 0x10000 })).toBe('09');
    expect(bitmap(s, { iova: 0x11000, length: 0x1000, flags: 1 })).toBe('01');
    expect(bitmap(s)).toBe('0280');
    expect(bitmap(s)).toBe('0000');
    // The flush makes the next write leave its mark again.
    expect(dma(s, 0x11000n, true)).toBe(true);
    expect(bitmap(s)).toBe('0200');
  });

  it('a block is dirty as a whole', () => {
    const s = set();
    dma(s, 0x40123456n, true);
    const whole = bitmap(s, { iova: 0x40000000, length: 2 * MiB });
    expect(whole).toBe('ff'.repeat(64));
  });

  it('flushes from the first to the last page that became clean, TLB then ATC', () => {
    const s = set();
    dma(s, 0x11000n, true);
    dma(s, 0x13000n, true);
    s.b.posted();
    bitmap(s, { flags: 1 });
    expect(s.b.posted()).toEqual([]);
    bitmap(s);
    // 3 pages from 0x11000; the ATC span around them is 4 pages.
    expect(s.b.posted()).toEqual([
      'TLBI_EL2_VA asid 1 va 0x11000 pages 3 of 4K level 3 leaf',
      'SYNC',
      'ATC_INV sid 0x108 va 0x10000 pages 4',
      'SYNC',
    ]);
    bitmap(s);
    expect(s.b.posted()).toEqual([]);
  });

  it('stops at a gap, as the kernel’s walk does', () => {
    const s = set();
    s.b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: s.ioas, user_va: UVA, length: 4096, iova: 0x22000 });
    dma(s, 0x11000n, true);
    expect(bitmap(s, { iova: 0x10000, length: 0x20000 })).toBe('02000000');
    expect(bitmap(s, { iova: 0x22000, length: 0x1000 })).toBe('01');
  });
});
