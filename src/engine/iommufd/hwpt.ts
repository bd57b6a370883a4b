import type { Op } from '../machine/index.ts';
import type { UserData } from './driver.ts';
import type { Errno } from './errno.ts';
import { addDomain, removeDomain } from './ioas.ts';
import { failed, finalize, type IoctlResult, type Kernel, remove } from './kernel.ts';
import {
  type Context,
  type Device,
  find,
  findAs,
  type Hwpt,
  type HwptNested,
  type HwptPaging,
  type Ioas,
  mustFind,
  nextId,
  type Viommu,
} from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** IOMMU_HWPT_ALLOC and the life of page tables (drivers/iommu/iommufd/hw_pagetable.c). */

export const HWPT_NEST_PARENT = 1;
export const HWPT_DIRTY_TRACKING = 2;
export const HWPT_FAULT_ID_VALID = 4;
export const HWPT_PASID = 8;

export function* hwptAlloc(k: Kernel, ctx: Context, a: IoctlArgs): Op<IoctlResult> {
  const flags = a.num('flags');
  const dataType = a.num('data_type');
  const dataLen = a.num('data_len');
  if (a.num('__reserved') !== 0) return failed('EOPNOTSUPP');
  if ((dataType === 0) !== (dataLen === 0)) return failed('EINVAL');
  const dev = findAs(ctx, a.num('dev_id'), 'DEVICE');
  if (!dev) return failed('ENOENT');
  const data: UserData = { type: dataType, len: dataLen, fields: a.target('data_uptr') as UserData['fields'] };
  const pt = find(ctx, a.num('pt_id'));
  let made: Hwpt | Errno;
  switch (pt?.type) {
    case 'IOAS':
      made = yield* pagingAlloc(k, ctx, pt, dev, flags, dataLen ? data : null);
      break;
    case 'HWPT_PAGING':
      made = nestedOnParent(k, ctx, pt, dev, flags, data);
      break;
    case 'VIOMMU':
      made = nestedOnViommu(k, ctx, pt, dev, flags, data);
      break;
    default:
      return failed('EINVAL');
  }
  if (typeof made === 'string') return failed(made);
  if (flags & HWPT_FAULT_ID_VALID) {
    const fault = findAs(ctx, a.num('fault_id'), 'FAULT');
    if (!fault) {
      yield* destroyHwpt(k, ctx, made, false);
      return failed('ENOENT');
    }
    made.fault = fault.id;
    fault.users++;
    k.driver.handleFaults(made.domain);
  }
  finalizeHwpt(k, ctx, made);
  return { errno: '0', out: { out_hwpt_id: made.id }, main: made.id };
}

export function finalizeHwpt(k: Kernel, ctx: Context, hwpt: Hwpt): void {
  finalize(k, ctx, hwpt, k.driver.domainLines(hwpt.domain).join(', '));
}

/** The domain alone: not yet in its IOAS. The caller adds it and finalizes. */
export function newPaging(
  k: Kernel,
  ctx: Context,
  ioas: Ioas,
  dev: Device,
  flags: number,
  data: UserData | null,
  auto: boolean,
): HwptPaging | Errno {
  const info = k.driver.device(dev.device)!;
  if (flags & ~(HWPT_NEST_PARENT | HWPT_DIRTY_TRACKING | HWPT_FAULT_ID_VALID | HWPT_PASID)) return 'EOPNOTSUPP';
  if (flags & HWPT_DIRTY_TRACKING && !info.dirtyTracking) return 'EOPNOTSUPP';
  if (flags & HWPT_FAULT_ID_VALID && flags & HWPT_NEST_PARENT) return 'EOPNOTSUPP';
  const domain = k.driver.allocPaging(dev.device, flags & ~HWPT_FAULT_ID_VALID, data);
  if (domain.errno !== '0') return domain.errno;
  ioas.users++;
  return {
    type: 'HWPT_PAGING',
    id: nextId(ctx),
    users: 1,
    domain: domain.value.handle,
    ioas: ioas.id,
    iommu: info.iommu,
    nestParent: (flags & HWPT_NEST_PARENT) !== 0,
    pasidCompatible: (flags & HWPT_PASID) !== 0,
    fault: null,
    auto,
    minPageSize: domain.value.minPageSize,
    aperture: domain.value.aperture,
  };
}

function* pagingAlloc(
  k: Kernel,
  ctx: Context,
  ioas: Ioas,
  dev: Device,
  flags: number,
  data: UserData | null,
): Op<HwptPaging | Errno> {
  const hwpt = newPaging(k, ctx, ioas, dev, flags, data, false);
  if (typeof hwpt === 'string') return hwpt;
  const errno = yield* addPaging(k, ctx, ioas, hwpt);
  if (errno === '0') return hwpt;
  yield* destroyHwpt(k, ctx, hwpt, false);
  return errno;
}

/** Enters the domain into its IOAS; the object needs to be in the table for that. */
export function* addPaging(k: Kernel, ctx: Context, ioas: Ioas, hwpt: HwptPaging): Op<Errno> {
  ctx.objects.set(hwpt.id, hwpt);
  const errno = yield* addDomain(k, ioas, hwpt);
  if (errno !== '0') ctx.objects.delete(hwpt.id);
  return errno;
}

function nestedOnParent(
  k: Kernel,
  ctx: Context,
  parent: HwptPaging,
  dev: Device,
  flags: number,
  data: UserData,
): HwptNested | Errno {
  if (flags & ~(HWPT_FAULT_ID_VALID | HWPT_PASID) || data.len === 0 || !k.driver.allocNestedOnParent)
    return 'EOPNOTSUPP';
  const info = k.driver.device(dev.device)!;
  if (parent.auto || !parent.nestParent || parent.iommu !== info.iommu) return 'EINVAL';
  const domain = k.driver.allocNestedOnParent(dev.device, parent.domain, flags & ~HWPT_FAULT_ID_VALID, data);
  if (domain.errno !== '0') return domain.errno;
  parent.users++;
  return newNested(ctx, dev, domain.value.handle, info.iommu, parent.id, null, flags);
}

function nestedOnViommu(
  k: Kernel,
  ctx: Context,
  viommu: Viommu,
  dev: Device,
  flags: number,
  data: UserData,
): HwptNested | Errno {
  const info = k.driver.device(dev.device)!;
  if (viommu.iommu !== info.iommu) return 'EINVAL';
  if (flags & ~(HWPT_FAULT_ID_VALID | HWPT_PASID) || data.len === 0 || !k.driver.viommuAllocNested) return 'EOPNOTSUPP';
  const domain = k.driver.viommuAllocNested(viommu.key, flags & ~HWPT_FAULT_ID_VALID, data);
  if (domain.errno !== '0') return domain.errno;
  viommu.users++;
  return newNested(ctx, dev, domain.value.handle, info.iommu, viommu.parent, viommu.id, flags);
}

function newNested(
  ctx: Context,
  dev: Device,
  domain: number,
  iommu: number,
  parent: number,
  viommu: number | null,
  flags: number,
): HwptNested {
  const pasidCompatible = (flags & HWPT_PASID) !== 0;
  return {
    type: 'HWPT_NESTED',
    id: nextId(ctx),
    users: 1,
    domain,
    iommu,
    parent,
    viommu,
    pasidCompatible,
    madeFor: dev.device,
    fault: null,
  };
}

/**
 * Gives back what a page table holds: its mappings, its domain, its reference.
 * @param known false while the object was never finished: nothing is said then
 */
export function* destroyHwpt(k: Kernel, ctx: Context, hwpt: Hwpt, known = true): Op<void> {
  if (known) remove(k, ctx, hwpt);
  else ctx.objects.delete(hwpt.id);
  if (hwpt.fault !== null) mustFind(ctx, hwpt.fault, 'FAULT').users--;
  if (hwpt.type === 'HWPT_PAGING') {
    const ioas = mustFind(ctx, hwpt.ioas, 'IOAS');
    yield* removeDomain(k, ctx, ioas, hwpt);
    k.driver.freeDomain(hwpt.domain);
    ioas.users--;
  } else {
    k.driver.freeDomain(hwpt.domain);
    if (hwpt.viommu !== null) mustFind(ctx, hwpt.viommu, 'VIOMMU').users--;
    else mustFind(ctx, hwpt.parent, 'HWPT_PAGING').users--;
  }
}
