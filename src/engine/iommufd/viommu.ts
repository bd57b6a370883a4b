import type { UserData } from './driver.ts';
import { failed, finalize, type IoctlResult, type Kernel, remove } from './kernel.ts';
import { type Context, findAs, mustFind, nextId, type Viommu } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** IOMMU_VIOMMU_ALLOC (drivers/iommu/iommufd/viommu.c). */
export function viommuAlloc(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  const type = a.num('type');
  if (a.num('flags') !== 0 || type === 0) return failed('EOPNOTSUPP');
  const dev = findAs(ctx, a.num('dev_id'), 'DEVICE');
  if (!dev) return failed('ENOENT');
  if (!k.driver.viommuSupported(dev.device, type)) return failed('EOPNOTSUPP');
  const parent = findAs(ctx, a.num('hwpt_id'), 'HWPT_PAGING');
  if (!parent) return failed('ENOENT');
  if (!parent.nestParent) return failed('EINVAL');
  const len = a.num('data_len');
  const data: UserData | null = len ? { type, len, fields: a.target('data_uptr') as UserData['fields'] } : null;
  const key = k.newViommuKey();
  const errno = k.driver.viommuInit(key, type, dev.device, parent.domain, data);
  if (errno !== '0') return failed(errno);
  const viommu: Viommu = {
    type: 'VIOMMU',
    id: nextId(ctx),
    users: 1,
    key,
    viommuType: type,
    iommu: k.driver.device(dev.device)!.iommu,
    parent: parent.id,
    vdevices: [],
    veventqs: [],
  };
  parent.users++;
  finalize(k, ctx, viommu, k.driver.viommuLines(key).join(', '));
  return { errno: '0', out: { out_viommu_id: viommu.id }, main: viommu.id };
}

export function destroyViommu(k: Kernel, ctx: Context, viommu: Viommu): void {
  remove(k, ctx, viommu);
  k.driver.viommuDestroy(viommu.key);
  mustFind(ctx, viommu.parent, 'HWPT_PAGING').users--;
}
