import type { Op } from '../machine/index.ts';
import type { Errno } from './errno.ts';
import { answerAll } from './fault.ts';
import { destroyHwpt } from './hwpt.ts';
import { reserve, unreserve } from './ioas.ts';
import type { Kernel } from './kernel.ts';
import {
  type Attach,
  type Context,
  type Device,
  find,
  type Group,
  type Hwpt,
  type HwptPaging,
  type Ioas,
  mustFind,
  NO_PASID,
  pagingOf,
  sceneId,
} from './objects.ts';

/**
 * Attaching a page table to a device's RID or to one of its PASIDs, replacing it, taking it away
 * (drivers/iommu/iommufd/device.c, and what drivers/iommu/iommu.c does between iommufd and the driver).
 */

const groupOf = (ctx: Context, dev: Device): Group => ctx.groups.get(dev.group)!;
const deviceOwner = (name: string): string => `device:${name}`;
const hwptOf = (ctx: Context, a: Attach): Hwpt => find(ctx, a.hwpt) as Hwpt;

/** iopt_table_enforce_dev_resv_regions */
function enforceReserved(k: Kernel, ioas: Ioas, name: string): boolean {
  return reserve(ioas, k.driver.device(name)!.reserved, deviceOwner(name));
}

function ioasOf(ctx: Context, hwpt: Hwpt): Ioas {
  return mustFind(ctx, pagingOf(ctx, hwpt).ioas, 'IOAS');
}

/** iommufd_hw_pagetable_attach. Reserved regions are entered for the RID only. */
export function* attachHwpt(k: Kernel, ctx: Context, dev: Device, hwpt: Hwpt, pasid: number): Op<Errno> {
  const group = groupOf(ctx, dev);
  const attach = group.attaches.get(pasid);
  if (attach?.devices.includes(dev.id)) return 'EBUSY';
  if (attach && attach.hwpt !== hwpt.id) return 'EINVAL';
  const ioas = ioasOf(ctx, hwpt);
  if (pasid === NO_PASID && !enforceReserved(k, ioas, dev.device)) return 'EADDRINUSE';
  if (attach) attach.devices.push(dev.id);
  else {
    const errno = yield* setDomain(k, ctx, group, dev, hwpt, pasid, null);
    if (errno !== '0') {
      if (pasid === NO_PASID) unreserve(ioas, deviceOwner(dev.device));
      return errno;
    }
    group.attaches.set(pasid, { hwpt: hwpt.id, devices: [dev.id] });
  }
  hwpt.users++;
  dev.users++;
  return '0';
}

/** iommufd_device_do_replace. Page requests of the old attachment are answered as invalid. */
export function* replaceHwpt(k: Kernel, ctx: Context, dev: Device, hwpt: Hwpt, pasid: number): Op<Errno> {
  const group = groupOf(ctx, dev);
  const attach = group.attaches.get(pasid);
  if (!attach?.devices.includes(dev.id)) return 'EINVAL';
  if (attach.hwpt === hwpt.id) return '0';
  const old = hwptOf(ctx, attach);
  const ioas = ioasOf(ctx, hwpt);
  const oldIoas = ioasOf(ctx, old);
  const moves = pasid === NO_PASID && ioas !== oldIoas;
  const members = attach.devices.map((id) => mustFind(ctx, id, 'DEVICE'));
  const undo = (): void => {
    if (moves) for (const m of members) unreserve(ioas, deviceOwner(m.device));
  };
  if (moves && !members.every((m) => enforceReserved(k, ioas, m.device))) {
    undo();
    return 'EADDRINUSE';
  }
  const errno = yield* setDomain(k, ctx, group, dev, hwpt, pasid, old);
  if (errno !== '0') {
    undo();
    return errno;
  }
  attach.hwpt = hwpt.id;
  yield* answerAll(k, ctx, old, dev, pasid);
  if (moves) for (const m of members) unreserve(oldIoas, deviceOwner(m.device));
  hwpt.users += members.length;
  old.users -= members.length;
  yield* dropUnusedAuto(k, ctx, old);
  return '0';
}

/** iommufd_device_detach: the last device of the group leaves it, or the PASID, on the blocking domain. */
export function* detachDevice(k: Kernel, ctx: Context, dev: Device, pasid: number): Op<void> {
  const group = groupOf(ctx, dev);
  const attach = group.attaches.get(pasid);
  if (!attach?.devices.includes(dev.id)) return;
  const hwpt = hwptOf(ctx, attach);
  attach.devices = attach.devices.filter((id) => id !== dev.id);
  if (attach.devices.length === 0) {
    for (const name of k.driver.groupDevices(group.group)) {
      if (pasid === NO_PASID) yield* k.driver.block(name);
      else if (k.driver.device(name)!.maxPasidLog2) yield* k.driver.detachPasid(name, pasid);
    }
    yield* answerAll(k, ctx, hwpt, dev, pasid);
    group.attaches.delete(pasid);
    const what = pasid === NO_PASID ? 'its DMA is blocked' : `pasid ${pasid} is empty`;
    k.trace.listener?.({
      kind: 'attach',
      actor: 'iommufd',
      at: sceneId(ctx, dev.id),
      device: dev.device,
      hwpt: 0,
      text: `${dev.device} detached from ${hwpt.type} ${hwpt.id}, ${what}`,
    });
  }
  if (pasid === NO_PASID) unreserve(ioasOf(ctx, hwpt), deviceOwner(dev.device));
  hwpt.users--;
  dev.users--;
  yield* dropUnusedAuto(k, ctx, hwpt);
}

/**
 * iommufd_hwpt_attach_device or _replace_device: may this page table stand beside the other attachments, then the IOMMU
 * core's part, then the driver's for every device of the group. If one refuses, those before it go back.
 */
function* setDomain(
  k: Kernel,
  ctx: Context,
  group: Group,
  dev: Device,
  hwpt: Hwpt,
  pasid: number,
  old: Hwpt | null,
): Op<Errno> {
  if (!pasidCompatible(ctx, group, hwpt, pasid)) return 'EINVAL';
  const errno = pasid === NO_PASID ? coreRid(k, dev) : corePasid(k, group, hwpt, pasid, old);
  if (errno !== '0') return errno;
  const { driver } = k;
  // A domain of another SMMU: the driver itself calls it incompatible.
  if (hwpt.iommu !== driver.device(dev.device)!.iommu) return 'EINVAL';
  const members = driver.groupDevices(group.group).filter((n) => pasid === NO_PASID || driver.device(n)!.maxPasidLog2);
  for (const [i, name] of members.entries()) {
    const refused = yield* pasid === NO_PASID
      ? driver.attach(name, hwpt.domain)
      : driver.attachPasid(name, pasid, hwpt.domain);
    if (refused === '0') continue;
    for (const back of members.slice(0, i)) {
      if (pasid === NO_PASID) yield* old ? driver.attach(back, old.domain) : driver.block(back);
      else yield* old ? driver.attachPasid(back, pasid, old.domain) : driver.detachPasid(back, pasid);
    }
    return refused;
  }
  const where = pasid === NO_PASID ? '' : ` pasid ${pasid}`;
  k.trace.listener?.({
    kind: 'attach',
    actor: 'iommufd',
    at: sceneId(ctx, dev.id),
    to: sceneId(ctx, hwpt.id),
    device: dev.device,
    hwpt: hwpt.id,
    text: `${dev.device}${where} ${old ? 'moved' : 'attached'} to ${hwpt.type} ${hwpt.id}`,
  });
  return '0';
}

/** iommufd_hwpt_pasid_compat: RID and PASIDs of a group need page tables that were allocated for use with PASIDs. */
function pasidCompatible(ctx: Context, group: Group, hwpt: Hwpt, pasid: number): boolean {
  if (pasid === NO_PASID) return hwpt.pasidCompatible || ![...group.attaches.keys()].some((p) => p !== NO_PASID);
  const rid = group.attaches.get(NO_PASID);
  return hwpt.pasidCompatible && (!rid || hwptOf(ctx, rid).pasidCompatible);
}

/** __iommu_group_set_domain_internal: nothing is attached while a device is being reset. */
const coreRid = (k: Kernel, dev: Device): Errno => (k.driver.resetting(dev.device) ? 'EBUSY' : '0');

/**
 * iommu_attach_device_pasid and iommu_replace_device_pasid. Devices without PASIDs are passed over: they cannot use one
 * (since v6.15, b3f6fcd8404f).
 */
function corePasid(k: Kernel, group: Group, hwpt: Hwpt, pasid: number, old: Hwpt | null): Errno {
  const { driver } = k;
  if (!driver.pasidCapable(hwpt.domain)) return 'EOPNOTSUPP';
  const names = driver.groupDevices(group.group);
  if (names.some((n) => driver.resetting(n))) return 'EBUSY';
  if (old) return '0';
  const tooLarge = (bits: number): boolean => bits > 0 && pasid >= 2 ** bits;
  return names.some((n) => tooLarge(driver.device(n)!.maxPasidLog2)) ? 'EINVAL' : '0';
}

function* dropUnusedAuto(k: Kernel, ctx: Context, hwpt: Hwpt): Op<void> {
  const auto = hwpt.type === 'HWPT_PAGING' && (hwpt as HwptPaging).auto;
  if (auto && hwpt.users === 1 && ctx.objects.get(hwpt.id) === hwpt) yield* destroyHwpt(k, ctx, hwpt);
}
