import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { attachBlocked, attachDomain, attachIdentity } from './attach.ts';
import { clearPasid, setPasid } from './pasid.ts';
import { BLOCKED, type Host, IDENTITY, masterOf, pciOf } from './state.ts';
import { atsSupported } from './transition.ts';

/**
 * Around a reset of a function (drivers/iommu/iommu.c pci_dev_reset_iommu_prepare, _done): it may not answer invalidations
 * meanwhile, so a device with ATS is moved to the blocking domain and what it had is kept for later.
 */

/** RID and PASIDs are blocked. Resets may lie within one another; only the outermost does something. */
export function* resetPrepare(h: Host, device: string): Op<Errno> {
  const m = masterOf(h, device);
  if (m.reset) {
    m.reset.depth++;
    return '0';
  }
  if (!h.rules.resetBlocks(atsSupported(h, m))) return '0';
  const kept = { depth: 1, domain: m.domain, pasids: new Map(m.pasids) };
  yield* attachBlocked(h, m);
  m.reset = kept;
  for (const pasid of [...m.pasids.keys()].sort((a, b) => a - b)) yield* clearPasid(h, device, pasid);
  return '0';
}

/** The PCI core has restored the configuration space; the domains come back, which switches ATS on again. */
export function* resetDone(h: Host, device: string): Op<void> {
  const m = masterOf(h, device);
  const pci = pciOf(h, m);
  if (pci.pasidEnabled !== undefined) pci.pasidEnabled = m.ssidBits > 0;
  if (!m.reset) {
    // Saved and restored like the rest of the configuration space.
    pci.atsEnabled = m.atsEnabled;
    return;
  }
  if (--m.reset.depth > 0) return;
  const { domain, pasids } = m.reset;
  m.reset = null;
  if (domain === IDENTITY) yield* attachIdentity(h, m);
  else if (domain !== BLOCKED) yield* attachDomain(h, device, domain);
  for (const [pasid, d] of [...pasids].sort(([a], [b]) => a - b)) yield* setPasid(h, device, pasid, d);
}

/** Detached during a reset: there is nothing to come back to. @returns false outside a reset */
export function forgetDuringReset(
  h: Host,
  device: string,
  pasid: number,
  domain: typeof BLOCKED | typeof IDENTITY,
): boolean {
  const { reset } = masterOf(h, device);
  if (!reset) return false;
  if (pasid) reset.pasids.delete(pasid);
  else reset.domain = domain;
  return true;
}
