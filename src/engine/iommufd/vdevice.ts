import { failed, finalize, type IoctlResult, type Kernel, remove } from './kernel.ts';
import { type Context, findAs, mustFind, nextId, type Vdevice } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** IOMMU_VDEVICE_ALLOC (drivers/iommu/iommufd/viommu.c): a device's virtual id in a vIOMMU. */
export function vdeviceAlloc(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  const virtId = a.big('virt_id');
  const viommu = findAs(ctx, a.num('viommu_id'), 'VIOMMU');
  if (!viommu) return failed('ENOENT');
  const dev = findAs(ctx, a.num('dev_id'), 'DEVICE');
  if (!dev) return failed('ENOENT');
  if (viommu.iommu !== k.driver.device(dev.device)!.iommu) return failed('EINVAL');
  if (dev.vdevice !== null) return failed('EEXIST');
  if (viommu.vdevices.some((v) => v.virtId === virtId)) return failed('EEXIST');
  const id = nextId(ctx);
  const errno = k.driver.vdeviceInit?.(viommu.key, dev.device, virtId) ?? '0';
  if (errno !== '0') return failed(errno);
  const vdev: Vdevice = { type: 'VDEVICE', id, users: 1, viommu: viommu.id, device: dev.id, virtId };
  viommu.vdevices.push({ virtId, vdevice: id });
  viommu.users++;
  dev.users++;
  dev.vdevice = id;
  finalize(k, ctx, vdev, `${dev.device} is 0x${virtId.toString(16)} in vIOMMU ${viommu.id}`);
  return { errno: '0', out: { out_vdevice_id: id }, main: id };
}

/** @param tombstone the device goes: the id stays taken as long as the file is open */
export function destroyVdevice(k: Kernel, ctx: Context, vdev: Vdevice, tombstone: boolean): void {
  const viommu = mustFind(ctx, vdev.viommu, 'VIOMMU');
  const dev = mustFind(ctx, vdev.device, 'DEVICE');
  k.driver.vdeviceDestroy?.(viommu.key, dev.device, vdev.virtId);
  viommu.vdevices.splice(
    viommu.vdevices.findIndex((v) => v.vdevice === vdev.id),
    1,
  );
  viommu.users--;
  dev.users--;
  dev.vdevice = null;
  remove(k, ctx, vdev, tombstone);
}
