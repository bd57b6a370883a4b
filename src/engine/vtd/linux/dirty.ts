import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import type { Domain } from './domain.ts';
import { deviceOf } from './domains.ts';
import { capsOf, type Kernel } from './kernel.ts';
import { setDirtyEntry, setPageSnoop } from './pasid-entry.ts';

/** What changes in the entries of every device that has a domain (iommu.c). */

interface User {
  readonly device: DeviceInfo;
  readonly pasid: number;
}

/** Devices and PASIDs that have the domain attached: first the RIDs, then PASIDs, of each the one that came last first. */
export function usersOf(k: Kernel, domain: Domain): User[] {
  const users = domain.users.map((u) => ({ device: deviceOf(k, u.device), pasid: u.pasid }));
  return [...users.filter((u) => u.pasid === 0), ...users.filter((u) => u.pasid !== 0)];
}

/** Nested domains of a parent, the youngest first (list_add in intel_iommu_domain_alloc_nested). */
export const childrenOf = (k: Kernel, parent: Domain): Domain[] =>
  [...k.state.domains.values()].filter((d) => d.kind === 'nested' && d.parent === parent.handle).reverse();

/**
 * intel_iommu_set_dirty_tracking: SSADE in the entries of the domain's own users, then of its children's. An error undoes
 * what was done, the children first; in each domain up to the entry that refuses.
 */
export function* setDirtyTracking(k: Kernel, domain: Domain, on: boolean): Op<Errno> {
  const before = domain.dirtyTracking;
  if (before === on) return '0';
  const children = k.rules.dirtyReachesChildren() ? childrenOf(k, domain) : [];
  let errno = yield* toggleAll(k, domain, on);
  for (const c of errno === '0' ? children : []) {
    errno = yield* toggleAll(k, c, on);
    if (errno === '0') continue;
    for (const back of children) yield* toggleAll(k, back, before);
    break;
  }
  if (errno === '0') domain.dirtyTracking = on;
  else yield* toggleAll(k, domain, before);
  return errno;
}

/** domain_set_dirty_tracking */
function* toggleAll(k: Kernel, domain: Domain, on: boolean): Op<Errno> {
  for (const user of usersOf(k, domain)) {
    const errno = yield* toggle(k, user, on);
    if (errno !== '0') return errno;
  }
  return '0';
}

const toggle = (k: Kernel, u: User, on: boolean): Op<Errno> =>
  setDirtyEntry(k, k.units[u.device.unit]!, u.device, u.pasid, on);

/**
 * intel_iommu_enforce_cache_coherency: a second-stage domain will set SNP in its leaves, a first-stage one sets PGSNP in the
 * entries that it has now.
 * @returns false when a unit in front of one of its devices cannot
 */
export function* enforceCoherency(k: Kernel, domain: Domain): Op<boolean> {
  if (domain.forceSnooping) return true;
  // Devices that have it under a PASID are not in the list that Linux looks at.
  const users = usersOf(k, domain).filter((u) => u.pasid === 0);
  if (!users.every((u) => capsOf(k, u.device.unit).sc)) return false;
  domain.forceSnooping = true;
  if (domain.kind === 'fs') for (const u of users) yield* setPageSnoop(k, k.units[u.device.unit]!, u.device, u.pasid);
  return true;
}
