import type { Op } from '../machine/index.ts';
import { attachHwpt, detachDevice, replaceHwpt } from './attach.ts';
import type { Errno } from './errno.ts';
import { addPaging, destroyHwpt, finalizeHwpt, newPaging } from './hwpt.ts';
import { finalize, type Kernel, remove } from './kernel.ts';
import { type Context, type Device, find, type HwptPaging, type Ioas, mustFind, nextId } from './objects.ts';
import { destroyVdevice } from './vdevice.ts';

/** Binding devices, and what an attachment by id leads to (drivers/iommu/iommufd/device.c). */

/** iommufd_device_bind; the caller has taken DMA ownership of the group. */
export function bindDevice(k: Kernel, ctx: Context, name: string): Device {
  const info = k.driver.device(name)!;
  if (!ctx.groups.has(info.group)) ctx.groups.set(info.group, { group: info.group, attaches: new Map() });
  // One reference is the table's, one the binding driver's.
  const dev: Device = { type: 'DEVICE', id: nextId(ctx), users: 2, device: name, group: info.group, vdevice: null };
  finalize(k, ctx, dev, name);
  return dev;
}

/** iommufd_device_unbind: a vDEVICE goes first and leaves its id taken. The device is detached already. */
export function unbindDevice(k: Kernel, ctx: Context, dev: Device): void {
  if (dev.vdevice !== null) destroyVdevice(k, ctx, mustFind(ctx, dev.vdevice, 'VDEVICE'), true);
  remove(k, ctx, dev);
}

/** VFIO_DEVICE_ATTACH_IOMMUFD_PT: attach, or replace where something is attached. `pasid` 0: the RID. */
export function* attachDevice(
  k: Kernel,
  ctx: Context,
  dev: Device,
  ptId: number,
  pasid: number,
  replace: boolean,
): Op<{ readonly errno: Errno; readonly hwpt: number }> {
  const pt = find(ctx, ptId);
  const one = replace ? replaceHwpt : attachHwpt;
  switch (pt?.type) {
    case 'HWPT_PAGING':
    case 'HWPT_NESTED':
      return { errno: yield* one(k, ctx, dev, pt, pasid), hwpt: pt.id };
    case 'IOAS':
      return yield* autoDomain(k, ctx, dev, pt, pasid, replace);
    case undefined:
      return { errno: 'ENOENT', hwpt: 0 };
    default:
      return { errno: 'EINVAL', hwpt: 0 };
  }
}

/** iommufd_device_auto_get_domain: a fitting automatic page table of the IOAS, or a new one. */
function* autoDomain(
  k: Kernel,
  ctx: Context,
  dev: Device,
  ioas: Ioas,
  pasid: number,
  replace: boolean,
): Op<{ readonly errno: Errno; readonly hwpt: number }> {
  for (const id of ioas.hwpts) {
    const hwpt = mustFind(ctx, id, 'HWPT_PAGING');
    if (!hwpt.auto) continue;
    const errno = yield* (replace ? replaceHwpt : attachHwpt)(k, ctx, dev, hwpt, pasid);
    if (errno !== 'EINVAL') return { errno, hwpt: id };
  }
  const hwpt = newPaging(k, ctx, ioas, dev, 0, null, true);
  if (typeof hwpt === 'string') return { errno: hwpt, hwpt: 0 };
  const errno = yield* (replace ? addThenReplace : attachThenAdd)(k, ctx, dev, ioas, hwpt, pasid);
  if (errno !== '0') {
    yield* destroyHwpt(k, ctx, hwpt, false);
    return { errno, hwpt: 0 };
  }
  return { errno, hwpt: hwpt.id };
}

function* addThenReplace(k: Kernel, ctx: Context, dev: Device, ioas: Ioas, hwpt: HwptPaging, pasid: number): Op<Errno> {
  const errno = yield* addPaging(k, ctx, ioas, hwpt);
  if (errno !== '0') return errno;
  const replaced = yield* replaceHwpt(k, ctx, dev, hwpt, pasid);
  if (replaced === '0') finalizeHwpt(k, ctx, hwpt);
  return replaced;
}

/** The kernel attaches a new automatic page table before it fills it, for drivers that finish a domain only then. */
function* attachThenAdd(k: Kernel, ctx: Context, dev: Device, ioas: Ioas, hwpt: HwptPaging, pasid: number): Op<Errno> {
  ctx.objects.set(hwpt.id, hwpt);
  const attached = yield* attachHwpt(k, ctx, dev, hwpt, pasid);
  if (attached !== '0') return attached;
  const errno = yield* addPaging(k, ctx, ioas, hwpt);
  if (errno === '0') {
    finalizeHwpt(k, ctx, hwpt);
    return errno;
  }
  // Detaching drops an automatic page table that nobody uses; this one is the caller's to undo.
  ctx.objects.set(hwpt.id, hwpt);
  hwpt.users++;
  yield* detachDevice(k, ctx, dev, pasid);
  hwpt.users--;
  return errno;
}
