import type { Op } from '../machine/index.ts';
import { machineIoctl, type ParentHwpt, type VmmContext } from './context.ts';
import { outputOf } from './kernel.ts';

/** QEMU's hw/vfio/iommufd.c: how a device gets from its cdev to a nesting parent, and back. */

/** A device that VFIO has bound and attached. */
export interface Attached {
  readonly fd: number;
  readonly devid: number;
  readonly parent: number;
}

/** Why a step failed: the call and the errno. */
export interface VfioFailure {
  readonly failure: string;
}

/** VFIO binds only devices that an IOMMU's driver has taken. */
export const noDevice = (device: string): string =>
  `VFIO has no file of ${device}, which no IOMMU's driver has taken (the kernel's log says why): ENOENT`;

/**
 * iommufd_cdev_attach: open, bind, then a nesting parent of the guest's IOAS that fits the device's IOMMU, or a new one.
 * What a failure leaves is undone.
 */
export function* vfioAttach(m: VmmContext, device: string): Op<Attached | VfioFailure> {
  if (!m.kernel.hasDevice(device)) return { failure: noDevice(device) };
  const fd = m.kernel.openDevice(device);
  const bind = yield* machineIoctl(m, 'VFIO_DEVICE_BIND_IOMMUFD', { flags: 0, iommufd: 0 }, fd);
  if (bind.errno !== '0') {
    yield* m.kernel.close(fd);
    return { failure: `VFIO_DEVICE_BIND_IOMMUFD: ${bind.errno}` };
  }
  const devid = outputOf(bind.out, 'out_devid');
  const parent = yield* findParent(m, fd, devid);
  if (typeof parent === 'string') {
    yield* m.kernel.close(fd);
    return { failure: parent };
  }
  parent.users++;
  return { fd, devid, parent: parent.id };
}

/**
 * iommufd_cdev_autodomains_get: every parent that exists is tried, EINVAL means that it belongs to another IOMMU; then a new
 * one is made. @returns the parent that the device is attached to, or why there is none
 */
function* findParent(m: VmmContext, fd: number, devid: number): Op<ParentHwpt | string> {
  for (const p of m.rules.sharesParents() ? m.state.parents : []) {
    const errno = yield* attachTo(m, fd, p.id);
    if (errno === '0') return p;
    if (m.rules.parentRefused(errno) === 'fail') return `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`;
  }
  const made = yield* machineIoctl(m, 'IOMMU_HWPT_ALLOC', {
    flags: m.parentFlags,
    dev_id: devid,
    pt_id: m.state.ioas,
  });
  if (made.errno !== '0') return `IOMMU_HWPT_ALLOC: ${made.errno}`;
  const parent: ParentHwpt = { id: outputOf(made.out, 'out_hwpt_id'), users: 0 };
  const errno = yield* attachTo(m, fd, parent.id);
  if (errno !== '0') {
    yield* machineIoctl(m, 'IOMMU_DESTROY', { id: parent.id });
    return `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`;
  }
  m.state.parents.unshift(parent);
  return parent;
}

function* attachTo(m: VmmContext, fd: number, id: number): Op<string> {
  return (yield* machineIoctl(m, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 0, pt_id: id }, fd)).errno;
}

/** iommufd_cdev_detach: detach, the parent with its last user, close. */
export function* vfioDetach(m: VmmContext, d: Pick<Attached, 'fd' | 'parent'>): Op<void> {
  yield* machineIoctl(m, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 0 }, d.fd);
  const parent = m.state.parents.find((p) => p.id === d.parent)!;
  parent.users--;
  if (parent.users === 0) {
    m.state.parents = m.state.parents.filter((p) => p !== parent);
    yield* machineIoctl(m, 'IOMMU_DESTROY', { id: parent.id });
  }
  yield* m.kernel.close(d.fd);
}
