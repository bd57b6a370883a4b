import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import type { Domain } from './domain.ts';
import { capsOf, type Kernel } from './kernel.ts';
import { setDirtyEntry, setPageSnoop } from './pasid-entry.ts';

/** What changes in the entries of every device that has a domain (iommu.c). */

interface User {
  readonly device: DeviceInfo;
  readonly pasid: number;
}

/** Devices and PASIDs that have the domain attached: first the RIDs, then PASIDs, each in order of the devices. */
export function usersOf(k: Kernel, domain: Domain): User[] {
  const rids = k.state.devices.filter((d) => d.domain === domain.handle).map((device) => ({ device, pasid: 0 }));
  const pasids = k.state.devices.flatMap((device) =>
    [...device.pasids]
      .filter(([, handle]) => handle === domain.handle)
      .sort(([a], [b]) => a - b)
      .map(([pasid]) => ({ device, pasid })),
  );
  return [...rids, ...pasids];
}

/** Nested domains of a parent, oldest first. */
export const childrenOf = (k: Kernel, parent: Domain): Domain[] =>
  [...k.state.domains.values()].filter((d) => d.kind === 'nested' && d.parent === parent.handle);

/**
 * intel_iommu_set_dirty_tracking: SSADE in the entries of the domain's own users, then of its children's. An error undoes
 * what was done.
 */
export function* setDirtyTracking(k: Kernel, domain: Domain, on: boolean): Op<Errno> {
  if (domain.dirtyTracking === on) return '0';
  const own = usersOf(k, domain);
  const children = k.rules.dirtyReachesChildren() ? childrenOf(k, domain).flatMap((c) => usersOf(k, c)) : [];
  const done: User[] = [];
  for (const user of [...own, ...children]) {
    const errno = yield* toggle(k, user, on);
    if (errno === '0') {
      done.push(user);
      continue;
    }
    for (const u of done) yield* toggle(k, u, domain.dirtyTracking);
    return errno;
  }
  domain.dirtyTracking = on;
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
  const users = usersOf(k, domain);
  if (!users.every((u) => capsOf(k, u.device.unit).sc)) return false;
  domain.forceSnooping = true;
  if (domain.kind === 'fs') for (const u of users) yield* setPageSnoop(k, k.units[u.device.unit]!, u.device, u.pasid);
  return true;
}
