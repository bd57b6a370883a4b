import type { PciDevice } from '../../pci/index.ts';
import { guestOfDevice } from '../../platform/index.ts';
import { type Binding, didOf, type VmmDevice, type VVtd } from '../vmm/index.ts';
import type { Parts } from './parts.ts';

/** What the VMM has bound for a device, and to whom that belongs. */
export interface Bound {
  readonly unit: VVtd;
  readonly device: VmmDevice;
  readonly binding: Binding;
  /** DID as the guest wrote it into the entry that is bound: the one that its invalidations have to name. */
  readonly vdid: number;
}

/** All bindings of a device. */
export function bindingsOf(p: Parts, d: PciDevice): Bound[] {
  for (const unit of guestOfDevice(p, d).vmm.units) {
    const device = unit.state.devices.find((x) => x.name === d.name);
    if (device) return device.bindings.map((binding) => ({ unit, device, binding, vdid: didOf(binding.entry) }));
  }
  return [];
}

/** The binding of one PASID, 0 that of requests without one. */
export const bindingOf = (p: Parts, d: PciDevice | undefined, pasid: number): Bound | undefined =>
  d && bindingsOf(p, d).find((b) => b.binding.pasid === pasid);
