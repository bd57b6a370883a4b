import type { Op } from '../machine/index.ts';
import type { UserArray } from './driver.ts';
import type { Errno } from './errno.ts';
import type { IoctlResult, Kernel } from './kernel.ts';
import { type Context, find } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

const MAX_ENTRY_BYTES = 4096;
const MAX_ENTRIES = 1 << 19;

/**
 * IOMMU_HWPT_INVALIDATE (drivers/iommu/iommufd/hw_pagetable.c): checks of the core, then the driver of the nested page
 * table or of the vIOMMU. entry_num always comes back, 0 for what the core refuses.
 */
export function* hwptInvalidate(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const answer = (errno: Errno, done: number): IoctlResult => ({ errno, out: { entry_num: done }, writesBack: true });
  const entryNum = a.num('entry_num');
  const entryLen = a.num('entry_len');
  if (a.num('__reserved') !== 0) return answer('EOPNOTSUPP', 0);
  if (entryNum && (a.big('data_uptr') === 0n || entryLen === 0)) return answer('EINVAL', 0);
  if (entryNum && (entryLen > MAX_ENTRY_BYTES || entryNum > MAX_ENTRIES)) return answer('EINVAL', 0);
  const target = a.target('data_uptr');
  const array: UserArray = {
    type: a.num('data_type'),
    entryLen,
    entryNum,
    entries: Array.isArray(target) ? target : null,
  };
  const pt = find(ctx, a.num('hwpt_id'));
  let op: Op<{ readonly errno: Errno; readonly done: number }> | undefined;
  switch (pt?.type) {
    case 'HWPT_NESTED':
      op = k.driver.nestedInvalidate?.(pt.domain, array);
      break;
    case 'VIOMMU':
      op = k.driver.viommuInvalidate?.(pt.key, array);
      break;
    case undefined:
      return answer('ENOENT', 0);
    default:
      return answer('EINVAL', 0);
  }
  if (!op) return answer('EOPNOTSUPP', 0);
  const r = yield* op;
  return answer(r.errno, r.done);
}
