import type { Op } from '../machine/index.ts';
import { ioctl, report, type UnitBase } from './context.ts';
import { outputOf } from './kernel.ts';

/** An IOMMUFD_OBJ_FAULT of the VMM: where the kernel puts page requests, and takes the answers. */
export interface FaultQueue {
  readonly id: number;
  readonly fd: number;
}

/** One struct iommu_hwpt_pgfault. */
export interface PageFault {
  readonly devid: number;
  /** null: without PASID. */
  readonly pasid: number | null;
  readonly group: number;
  /** READ 1, WRITE 2, EXEC 4, PRIV 8. */
  readonly perm: number;
  readonly address: bigint;
  /** Last one of its group. */
  readonly last: boolean;
  /** The kernel's, for the answer to the group. */
  readonly cookie: number;
}

export const faultPerm = { read: 1, write: 2, exec: 4, priv: 8 } as const;

/** sizeof(struct iommu_hwpt_pgfault). */
const FAULT_BYTES = 40;
const PASID_VALID = 1;
const LAST_PAGE = 2;

/** IOMMU_FAULT_QUEUE_ALLOC. @returns the queue, or the errno */
export function* allocFaultQueue(u: UnitBase): Op<FaultQueue | string> {
  const r = yield* ioctl(u, 'IOMMU_FAULT_QUEUE_ALLOC', { flags: 0 });
  if (r.errno !== '0') return r.errno;
  return { id: outputOf(r.out, 'out_fault_id'), fd: outputOf(r.out, 'out_fault_fd') };
}

/**
 * One read() of the queue with room for so many records. The kernel gives whole groups only, and none at all while the first
 * group is larger than the room.
 */
export function readFaults(u: UnitBase, q: FaultQueue, room: number): PageFault[] {
  return u.vmm.kernel.read(q.fd, room * FAULT_BYTES).out.records.map((r) => {
    const n = (name: string): number => Number(r[name] ?? 0);
    return {
      devid: n('dev_id'),
      pasid: n('flags') & PASID_VALID ? n('pasid') : null,
      group: n('grpid'),
      perm: n('perm'),
      address: BigInt((r['addr'] ?? 0) as bigint | number | string),
      last: (n('flags') & LAST_PAGE) !== 0,
      cookie: n('cookie'),
    };
  });
}

/** struct iommu_hwpt_page_response, written to the fault queue. */
export function* answerFault(u: UnitBase, q: FaultQueue, cookie: number, code: number): Op<void> {
  const r = yield* u.vmm.kernel.write(q.fd, [{ cookie, code }]);
  if (r.errno !== '0') report(u, `page response for cookie ${cookie} failed: ${r.errno}`);
}
