import type { Op } from '../../machine/index.ts';
import { attachPasid, BLOCKED, capsOf, detachPasid, domainOf, IDENTITY } from '../linux/index.ts';
import { type DmaDomain, type Endpoint, type Guest, infoOf } from './state.ts';

/** PASIDs of a device: dev->iommu->max_pasids; 0 where the device or the unit has none. */
export function maxPasids(g: Guest, e: Endpoint): number {
  const d = infoOf(g, e);
  const c = capsOf(g.kernel, e.unit);
  const device = g.pci.find((x) => x.name === e.name)?.pasidBits ?? 0;
  return d.pasidSupported && c.pasids ? 2 ** Math.min(device, c.pasidBits) : 0;
}

/** The core's domain that a name stands for. */
export const handleOf = (d: DmaDomain | 'bypass' | 'blocked'): number =>
  d === 'bypass' ? IDENTITY : d === 'blocked' ? BLOCKED : d.handle;

/** iommu_attach_device_pasid or its replacement. @returns '0' or the kernel's error */
export function* setPasid(g: Guest, e: Endpoint, pasid: number, to: DmaDomain | 'bypass'): Op<string> {
  const errno = yield* attachPasid(g.kernel, infoOf(g, e), pasid, domainOf(g.kernel, handleOf(to)));
  if (errno !== '0') return errno;
  const a = { pasid, kind: 'domain', name: to === 'bypass' ? to : to.name, users: 1 } as const;
  e.pasids = [...e.pasids.filter((x) => x.pasid !== pasid), a].sort((x, y) => x.pasid - y.pasid);
  return '0';
}

/** iommu_detach_device_pasid. */
export function* removePasid(g: Guest, e: Endpoint, pasid: number): Op<void> {
  yield* detachPasid(g.kernel, infoOf(g, e), pasid);
  e.pasids = e.pasids.filter((a) => a.pasid !== pasid);
}
