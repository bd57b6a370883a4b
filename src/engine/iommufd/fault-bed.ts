import { runToEnd } from '../machine/index.ts';
import { type Bed, bed, MiB, UVA } from '../smmuv3/host/testbed.ts';
import { encodeEvent } from '../smmuv3/layout/index.ts';

/** For tests: a device that may stall, a fault queue, and what goes in and out of it. */

/** A device whose faults may stall, behind an SMMU that leaves the choice. */
export const stalling = {
  features: { STALL_MODEL: 0 },
  devices: [{ name: 'nic0', rid: 0x108, stall: true, pasidBits: 6 }],
};

export interface Set {
  readonly b: Bed;
  readonly fd: number;
  readonly dev: number;
  readonly ioas: number;
  /** Fault queue: object and its file. */
  readonly fault: number;
  readonly qfd: number;
}

export function set(o: Parameters<typeof bed>[0] = stalling): Set {
  const b = bed(o);
  const fd = b.iommufd.openDevice('nic0');
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 2 * MiB, iova: 0x10000000 });
  const q = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', { flags: 0 });
  b.posted();
  return { b, fd, dev, ioas, fault: Number(q.out['out_fault_id']), qfd: Number(q.out['out_fault_fd']) };
}

export const hwpt = (s: Set, more: Record<string, unknown> = {}): number =>
  s.b.make('IOMMU_HWPT_ALLOC', { flags: 4, dev_id: s.dev, pt_id: s.ioas, fault_id: s.fault, ...more });
export const attach = (s: Set, pt: number, pasid = 0): string =>
  s.b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', pasid ? { flags: 1, pt_id: pt, pasid } : { pt_id: pt }, s.fd).errno;
/** A stalled transaction's record arrives. */
export function stall(b: Bed, stag: number, fields: Record<string, number | bigint> = {}): void {
  b.smmu.deliverEvent(encodeEvent('F_TRANSLATION', { SID: 0x108, Stall: 1, STAG: stag, CLASS: 2, ...fields }));
  runToEnd(b.driver.interrupt());
}
export const read = (s: Set, count = 4096 - (4096 % 40)) => s.b.iommufd.read(s.qfd, count);
export const write = (s: Set, records: unknown[], count?: number) => runToEnd(s.b.iommufd.write(s.qfd, records, count));
export const resumes = (b: Bed): string[] => b.posted().filter((c) => c.startsWith('RESUME'));
/** CMD_RESUME as the kernel builds it: Ac is RETRY, Ab is ABORT (arm-smmuv3.md 2.1). */
export const retry = (stag: number): string => `RESUME sid 0x108 stag 0x${stag.toString(16)} retry`;
export const abort = (stag: number): string => `RESUME sid 0x108 stag 0x${stag.toString(16)} abort`;
