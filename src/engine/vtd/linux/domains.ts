import type { Errno } from '../../iommufd/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { type Domain, type DomainOptions, makeDomain } from './domain.ts';
import { capsOf, type Kernel } from './kernel.ts';

/** Domains of a kernel, and whether one fits a unit (iommu.c paging_domain_compatible). */

export function newDomain(k: Kernel, o: DomainOptions): Domain {
  const d = makeDomain(k.state.nextDomain++, o);
  k.state.domains.set(d.handle, d);
  return d;
}

/** @throws Error for a handle that names nothing: a mistake of the caller */
export function domainOf(k: Kernel, handle: number): Domain {
  const d = k.state.domains.get(handle);
  if (!d) throw new Error(`no domain ${handle}`);
  return d;
}

/** Its devices have left it, and their caches were flushed then: nothing is sent. */
export function freeDomain(k: Kernel, domain: Domain): void {
  k.state.domains.delete(domain.handle);
}

/** @throws Error for a name that was not probed: a mistake of the caller */
export function deviceOf(k: Kernel, name: string): DeviceInfo {
  const d = k.state.devices.find((x) => x.name === name);
  if (!d) throw new Error(`no device ${name} behind a remapping unit`);
  return d;
}

const PAGE_1G = 2;

/** EINVAL when the unit in front of the device cannot walk this table; nested domains ask for their parent. */
export function pagingCompatible(k: Kernel, domain: Domain, d: DeviceInfo): Errno {
  const c = capsOf(k, d.unit);
  const coherent = c.scalable ? c.smpwcs : c.c;
  if (domain.kind === 'nested') return pagingCompatible(k, domainOf(k, domain.parent), d);
  if (domain.kind === 'fs') {
    if (!c.scalable || !c.fsts) return 'EINVAL';
    if (domain.coherent && !c.smpwcs) return 'EINVAL';
    if (domain.levels === 5 && !c.fs5lp) return 'EINVAL';
    if (domain.superPages & PAGE_1G && !c.fs1gp) return 'EINVAL';
    return c.rwbf && !domain.syncMap ? 'EINVAL' : '0';
  }
  if (domain.kind !== 'ss') return '0';
  if (domain.dirtyOps && !c.dirtyTracking) return 'EINVAL';
  if (domain.nestParent && !c.nested) return 'EINVAL';
  if (c.scalable && !c.ssts) return 'EINVAL';
  if (!coherent && domain.coherent) return 'EINVAL';
  if (c.mgaw < domain.inputBits) return 'EINVAL';
  if (!(c.sagaw & (1 << (domain.levels - 2)))) return 'EINVAL';
  if (domain.superPages & ~c.sslps) return 'EINVAL';
  if ((c.cm || c.rwbf) && !domain.syncMap) return 'EINVAL';
  return domain.forceSnooping && !c.sc ? 'EINVAL' : '0';
}
