import type { Op } from '../machine/index.ts';
import type { Errno } from './errno.ts';
import { addPaging, destroyHwpt, finalizeHwpt, newPaging } from './hwpt.ts';
import { reserve, unreserve } from './ioas.ts';
import { finalize, type Kernel, remove } from './kernel.ts';
import {
  type Context,
  type Device,
  find,
  type Group,
  type Hwpt,
  type HwptPaging,
  type Ioas,
  mustFind,
  nextId,
  pagingOf,
  sceneId,
} from './objects.ts';
import { destroyVdevice } from './vdevice.ts';

/** Binding, attaching, replacing and detaching devices (drivers/iommu/iommufd/device.c). Only the RID, no PASIDs. */

/** iommufd_device_bind; the caller has taken DMA ownership of the group. */
export function bindDevice(k: Kernel, ctx: Context, name: string): Device {
  const info = k.driver.device(name)!;
  if (!ctx.groups.has(info.group)) ctx.groups.set(info.group, { group: info.group, hwpt: null, devices: [] });
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

/** VFIO_DEVICE_ATTACH_IOMMUFD_PT: attach, or replace where something is attached. */
export function* attachDevice(
  k: Kernel,
  ctx: Context,
  dev: Device,
  ptId: number,
  replace: boolean,
): Op<{ readonly errno: Errno; readonly hwpt: number }> {
  const pt = find(ctx, ptId);
  const one = replace ? replaceHwpt : attachHwpt;
  switch (pt?.type) {
    case 'HWPT_PAGING':
    case 'HWPT_NESTED':
      return { errno: yield* one(k, ctx, dev, pt), hwpt: pt.id };
    case 'IOAS':
      return yield* autoDomain(k, ctx, dev, pt, replace);
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
  replace: boolean,
): Op<{ readonly errno: Errno; readonly hwpt: number }> {
  for (const id of ioas.hwpts) {
    const hwpt = mustFind(ctx, id, 'HWPT_PAGING');
    if (!hwpt.auto) continue;
    const errno = yield* (replace ? replaceHwpt : attachHwpt)(k, ctx, dev, hwpt);
    if (errno !== 'EINVAL') return { errno, hwpt: id };
  }
  const hwpt = newPaging(k, ctx, ioas, dev, 0, null, true);
  if (typeof hwpt === 'string') return { errno: hwpt, hwpt: 0 };
  const errno = yield* (replace ? addThenReplace : attachThenAdd)(k, ctx, dev, ioas, hwpt);
  if (errno !== '0') {
    yield* destroyHwpt(k, ctx, hwpt, false);
    return { errno, hwpt: 0 };
  }
  return { errno, hwpt: hwpt.id };
}

function* addThenReplace(k: Kernel, ctx: Context, dev: Device, ioas: Ioas, hwpt: HwptPaging): Op<Errno> {
  const errno = yield* addPaging(k, ctx, ioas, hwpt);
  if (errno !== '0') return errno;
  const replaced = yield* replaceHwpt(k, ctx, dev, hwpt);
  if (replaced === '0') finalizeHwpt(k, ctx, hwpt);
  return replaced;
}

/** The kernel attaches a new automatic page table before it fills it, for drivers that finish a domain only then. */
function* attachThenAdd(k: Kernel, ctx: Context, dev: Device, ioas: Ioas, hwpt: HwptPaging): Op<Errno> {
  ctx.objects.set(hwpt.id, hwpt);
  const attached = yield* attachHwpt(k, ctx, dev, hwpt);
  if (attached !== '0') return attached;
  const errno = yield* addPaging(k, ctx, ioas, hwpt);
  if (errno === '0') {
    finalizeHwpt(k, ctx, hwpt);
    return errno;
  }
  // Detaching drops an automatic page table that nobody uses; this one is the caller's to undo.
  ctx.objects.set(hwpt.id, hwpt);
  hwpt.users++;
  yield* detachDevice(k, ctx, dev);
  hwpt.users--;
  return errno;
}

function groupOf(ctx: Context, dev: Device): Group {
  return ctx.groups.get(dev.group)!;
}

const deviceOwner = (name: string): string => `device:${name}`;

/** iopt_table_enforce_dev_resv_regions */
function enforceReserved(k: Kernel, ioas: Ioas, name: string): boolean {
  return reserve(ioas, k.driver.device(name)!.reserved, deviceOwner(name));
}

function ioasOf(ctx: Context, hwpt: Hwpt): Ioas {
  return mustFind(ctx, pagingOf(ctx, hwpt).ioas, 'IOAS');
}

/** iommufd_hw_pagetable_attach */
function* attachHwpt(k: Kernel, ctx: Context, dev: Device, hwpt: Hwpt): Op<Errno> {
  const group = groupOf(ctx, dev);
  if (group.devices.includes(dev.id)) return 'EBUSY';
  if (group.hwpt !== null && group.hwpt !== hwpt.id) return 'EINVAL';
  const ioas = ioasOf(ctx, hwpt);
  if (!enforceReserved(k, ioas, dev.device)) return 'EADDRINUSE';
  if (group.devices.length === 0) {
    const errno = yield* attachGroup(k, ctx, group, dev, hwpt);
    if (errno !== '0') {
      unreserve(ioas, deviceOwner(dev.device));
      return errno;
    }
    group.hwpt = hwpt.id;
  }
  group.devices.push(dev.id);
  hwpt.users++;
  dev.users++;
  return '0';
}

/**
 * The IOMMU core's part (__iommu_group_set_domain): a domain of another IOMMU is incompatible; then the driver attaches
 * every device of the group. If one refuses, those before it go back.
 */
function* attachGroup(k: Kernel, ctx: Context, group: Group, dev: Device, hwpt: Hwpt): Op<Errno> {
  if (hwpt.iommu !== k.driver.device(dev.device)!.iommu) return 'EINVAL';
  const members = k.driver.groupDevices(group.group);
  const old = group.hwpt === null ? null : (find(ctx, group.hwpt) as Hwpt);
  for (const [i, name] of members.entries()) {
    const errno = yield* k.driver.attach(name, hwpt.domain);
    if (errno === '0') continue;
    for (const back of members.slice(0, i)) {
      if (old) yield* k.driver.attach(back, old.domain);
      else yield* k.driver.block(back);
    }
    return errno;
  }
  k.trace.listener?.({
    kind: 'attach',
    actor: 'iommufd',
    at: sceneId(ctx, dev.id),
    to: sceneId(ctx, hwpt.id),
    device: dev.device,
    hwpt: hwpt.id,
    text: `${dev.device} ${old ? 'moved' : 'attached'} to ${hwpt.type} ${hwpt.id}`,
  });
  return '0';
}

/** iommufd_device_do_replace */
function* replaceHwpt(k: Kernel, ctx: Context, dev: Device, hwpt: Hwpt): Op<Errno> {
  const group = groupOf(ctx, dev);
  if (group.hwpt === null || !group.devices.includes(dev.id)) return 'EINVAL';
  if (group.hwpt === hwpt.id) return '0';
  const old = find(ctx, group.hwpt) as Hwpt;
  const ioas = ioasOf(ctx, hwpt);
  const oldIoas = ioasOf(ctx, old);
  const members = group.devices.map((id) => mustFind(ctx, id, 'DEVICE'));
  const undo = (): void => {
    if (ioas !== oldIoas) for (const m of members) unreserve(ioas, deviceOwner(m.device));
  };
  if (ioas !== oldIoas && !members.every((m) => enforceReserved(k, ioas, m.device))) {
    undo();
    return 'EADDRINUSE';
  }
  const errno = yield* attachGroup(k, ctx, group, dev, hwpt);
  if (errno !== '0') {
    undo();
    return errno;
  }
  if (ioas !== oldIoas) for (const m of members) unreserve(oldIoas, deviceOwner(m.device));
  group.hwpt = hwpt.id;
  hwpt.users += members.length;
  old.users -= members.length;
  yield* dropUnusedAuto(k, ctx, old);
  return '0';
}

/** iommufd_device_detach: the last device of the group leaves it on the blocking domain. */
export function* detachDevice(k: Kernel, ctx: Context, dev: Device): Op<void> {
  const group = groupOf(ctx, dev);
  if (!group.devices.includes(dev.id)) return;
  const hwpt = find(ctx, group.hwpt!) as Hwpt;
  group.devices = group.devices.filter((id) => id !== dev.id);
  if (group.devices.length === 0) {
    for (const name of k.driver.groupDevices(group.group)) yield* k.driver.block(name);
    group.hwpt = null;
    k.trace.listener?.({
      kind: 'attach',
      actor: 'iommufd',
      at: sceneId(ctx, dev.id),
      device: dev.device,
      hwpt: 0,
      text: `${dev.device} detached from ${hwpt.type} ${hwpt.id}, its DMA is blocked`,
    });
  }
  unreserve(ioasOf(ctx, hwpt), deviceOwner(dev.device));
  hwpt.users--;
  dev.users--;
  yield* dropUnusedAuto(k, ctx, hwpt);
}

function* dropUnusedAuto(k: Kernel, ctx: Context, hwpt: Hwpt): Op<void> {
  const auto = hwpt.type === 'HWPT_PAGING' && (hwpt as HwptPaging).auto;
  if (auto && hwpt.users === 1 && ctx.objects.get(hwpt.id) === hwpt) yield* destroyHwpt(k, ctx, hwpt);
}
