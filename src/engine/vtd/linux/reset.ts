import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { attachNow } from './attach.ts';
import type { DeviceInfo } from './device-info.ts';
import { BLOCKED } from './domain.ts';
import { domainOf } from './domains.ts';
import type { Kernel } from './kernel.ts';
import { attachPasidNow, detachPasidNow } from './pasid.ts';

/**
 * Around a reset of a function (drivers/iommu/iommu.c pci_dev_reset_iommu_prepare, _done): it may not answer invalidations
 * meanwhile, so a device with ATS is moved to the blocking domain and what it had is kept for later.
 */

/** The RID and every PASID are blocked. Resets may lie within one another; only the outermost does something. */
export function* resetPrepare(k: Kernel, d: DeviceInfo): Op<Errno> {
  if (d.reset) {
    d.reset.depth++;
    return '0';
  }
  if (!k.rules.resetBlocks(d.atsSupported)) return '0';
  const kept = { depth: 1, domain: d.domain, pasids: new Map(d.pasids) };
  yield* attachNow(k, d, domainOf(k, BLOCKED));
  for (const pasid of sorted(d)) yield* detachPasidNow(k, d, pasid);
  d.reset = kept;
  return '0';
}

const sorted = (d: { readonly pasids: ReadonlyMap<number, number> }): number[] =>
  [...d.pasids.keys()].sort((a, b) => a - b);

/** The PCI core has restored the configuration space, enables included; the domains come back. */
export function* resetDone(k: Kernel, d: DeviceInfo): Op<void> {
  const pci = k.pci.get(d.name)!;
  pci.pasidEnabled = d.pasidEnabled;
  pci.atsEnabled = d.atsEnabled;
  pci.priEnabled = d.priEnabled;
  if (!d.reset || --d.reset.depth > 0) return;
  const { domain, pasids } = d.reset;
  d.reset = null;
  if (domain !== BLOCKED) yield* attachNow(k, d, domainOf(k, domain));
  for (const pasid of sorted({ pasids })) yield* attachPasidNow(k, d, pasid, domainOf(k, pasids.get(pasid)!));
}
