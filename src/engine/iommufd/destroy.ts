import type { Op } from '../machine/index.ts';
import { destroyFault } from './fault.ts';
import { destroyHwpt } from './hwpt.ts';
import { unmapRange } from './ioas.ts';
import { ULONG_MAX } from './iova.ts';
import { failed, type IoctlResult, type Kernel, remove } from './kernel.ts';
import { allObjects, type Context, find, type IommufdObject } from './objects.ts';
import type { IoctlArgs } from './structs.ts';
import { destroyVdevice } from './vdevice.ts';
import { destroyVeventq } from './veventq.ts';
import { destroyViommu } from './viommu.ts';

/** IOMMU_DESTROY (drivers/iommu/iommufd/main.c): only what nobody else uses. */
export function* destroyIoctl(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const o = find(ctx, a.num('id'));
  if (!o) return failed('ENOENT');
  if (o.users !== 1) return failed('EBUSY');
  yield* destroyObject(k, ctx, o);
  return { errno: '0', out: {} };
}

function* destroyObject(k: Kernel, ctx: Context, o: IommufdObject): Op<void> {
  switch (o.type) {
    case 'IOAS':
      yield* unmapRange(k, ctx, o, { start: 0n, last: ULONG_MAX });
      return remove(k, ctx, o);
    case 'HWPT_PAGING':
    case 'HWPT_NESTED':
      return yield* destroyHwpt(k, ctx, o);
    case 'VIOMMU':
      return destroyViommu(k, ctx, o);
    case 'VDEVICE':
      return destroyVdevice(k, ctx, o, false);
    case 'VEVENTQ':
      return destroyVeventq(k, ctx, o);
    case 'FAULT':
      return yield* destroyFault(k, ctx, o);
    case 'DEVICE':
      return remove(k, ctx, o);
  }
}

/** iommufd_fops_release: leaves first, until nothing is left; tombstones go last. */
export function* releaseContext(k: Kernel, ctx: Context): Op<void> {
  for (;;) {
    const objects = allObjects(ctx);
    if (objects.length === 0) break;
    let destroyed = 0;
    for (const o of objects) {
      if (o.users !== 1) continue;
      yield* destroyObject(k, ctx, o);
      destroyed++;
    }
    if (destroyed === 0) throw new Error(`iommufd: objects left on release: ${objects.map((o) => o.id).join(', ')}`);
  }
  ctx.objects.clear();
  ctx.groups.clear();
}
