import type { Descriptor, DeviceTlb } from './descriptors.ts';
import type { DeviceInfo } from './device-info.ts';
import { capsOf, type IntelIommu, type Kernel } from './kernel.ts';
import { GCMD } from './mmio.ts';

/** When a device's TLB is told, and what a descriptor says of the device (pasid.c devtlb_invalidation_with_pasid). */

/** What empties the device's TLB of a PASID; nothing without ATS, with TE off, or for a device that does not answer. */
export function wholeDeviceTlb(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Descriptor[] {
  if (!d.atsEnabled || !asks(k, d) || !(k.state.units[u.index]!.gcmd & GCMD.te)) return [];
  return k.rules.wholeDeviceTlb(tlbOf(k, d), pasid);
}

/** A device that is gone would never complete an invalidation. */
export const asks = (k: Kernel, d: DeviceInfo): boolean => k.pci.get(d.name)?.present !== false || k.rules.asksAbsent();

/** What descriptors say of a device's TLB: PFSID only where the unit throttles by it. */
export const tlbOf = (k: Kernel, d: DeviceInfo): DeviceTlb => ({
  sid: d.sid,
  pfsid: capsOf(k, d.unit).dit ? d.pfsid : 0,
  atsQdep: d.atsQdep,
});
