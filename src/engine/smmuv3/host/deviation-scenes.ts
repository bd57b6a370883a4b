import { type Op, runToEnd } from '../../machine/index.ts';
import { guestStage1 } from './guest-tables.ts';
import { type Bed, bed, GiB, MiB, type Nest, nest, UVA, vste } from './testbed.ts';

/** For tests: small machines in which a deviation of the host driver can show what it does. */

export const ats = { name: 'nic0', rid: 0x108, ats: true, pasidBits: 6 };
export const CDS = 0x48100000;
export const ROOT = 0x48200000;
export const TRANSLATE = BigInt(CDS) | 0xbn;
export const SLOT = 2 * MiB;
export const DW1 = 0xd6n;
export const EATS = 1n << 28n;

/** A nested device with a guest table: IOVA 0x10000 leads to IPA 0x8000_0000, which is a memory slot of its own. */
export function nested(
  deviations: string[],
  o: { eats?: boolean; chunk?: number } = {},
): { b: Bed; n: Nest; hwpt: number } {
  const b = bed({ devices: [ats, { name: 'nic1', rid: 0x110, ats: true, pasidBits: 6 }], deviations, ...o });
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: UVA + GiB / 2, length: SLOT, iova: 0x80000000 });
  guestStage1(b, { cds: CDS, asid: 7, root: ROOT, iova: 0x10000, page: 0x80000000 });
  const hwpt = vste(b, n, TRANSLATE, DW1 | (o.eats ? EATS : 0n));
  attach(b, n, hwpt);
  b.posted();
  return { b, n, hwpt };
}

export const attach = (b: Bed, n: Nest, pt: number): number =>
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: pt }, n.fd);
export const dma = (b: Bed, iova: number, translated = false, pasid = -1, device = 0) => {
  const d = b.devices[device]!;
  const r = runToEnd(b.smmu.dma({ device: d, pasid, iova: BigInt(iova), write: false, translated }));
  return r;
};
/** The slot goes; the guest's tables stay. */
export const unmapSlot = (b: Bed, n: Nest): void => {
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x80000000, length: SLOT });
};
export const invalidate = (b: Bed, n: Nest, ...entries: [bigint, bigint][]): string =>
  b.ioctl('IOMMU_HWPT_INVALIDATE', {
    hwpt_id: n.viommu,
    data_type: 1,
    entry_len: 16,
    entry_num: entries.length,
    entries: entries.map((cmd) => ({ cmd })),
  }).errno;

/** Runs an operation until something is true, lets others act, and ends it. */
export function between<T>(op: Op<T>, when: () => boolean, act: () => void): T {
  let acted = false;
  for (;;) {
    const r = op.next();
    if (!acted && when()) {
      acted = true;
      act();
    }
    if (r.done) return r.value;
  }
}

/** A bound device with two page tables for PASIDs; IOVA 0x10000 is mapped. */
export function pasids(deviations: string[], pasidBits = 6) {
  const b = bed({ devices: [{ ...ats, pasidBits }], deviations });
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const table = (user_va: number): number => {
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va, length: 4096, iova: 0x10000 });
    return b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: dev, pt_id: ioas });
  };
  const [a, c] = [table(UVA), table(UVA + 64 * 4096)];
  const set = (pt: number, pasid: number): number =>
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 1, pt_id: pt, pasid }, fd);
  const clear = (pasid: number): number => b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 1, pasid }, fd);
  return { b, fd, a, c, set, clear };
}

/** A second owner of a freed VMID: other pages at the same addresses. */
export function nextOwner(b: Bed, n: Nest): void {
  b.make('IOMMU_DESTROY', { id: n.viommu });
  b.make('IOMMU_DESTROY', { id: n.parent });
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA + 4 * MiB, length: 4 * MiB, iova: 0x40000000 });
  attach(b, n, b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: n.dev, pt_id: ioas }));
}
