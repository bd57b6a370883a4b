import { scopeOf } from './scope.ts';
import type { DeviceSpec, PlatformSpec } from './vendor.ts';

/** One virtual IOMMU: the guest that has it, the physical unit behind it, the devices in front of which it stands. */
export interface VirtualUnit {
  readonly guest: string;
  readonly name: string;
  readonly iommu: string;
  readonly devices: readonly string[];
}

type Machine = Pick<PlatformSpec, 'iommus' | 'guests'>;

/** Name of the guest that has a device. */
export const guestOf = (m: Machine, d: DeviceSpec): string => d.guest ?? m.guests[0]!.name;
/** Name of the physical unit in front of a device. */
export const iommuOf = (m: Machine, d: DeviceSpec): string => d.iommu ?? m.iommus[0]!;
/** Name of the virtual unit in front of a device in its guest; without one of its own that of the physical unit. */
export const viommuOf = (m: Machine, d: DeviceSpec): string => d.viommu ?? `v${iommuOf(m, d)}`;

/** The virtual units of all guests, guest by guest, each guest's in the order of its devices. A guest without devices has one. */
export function virtualUnits(m: Machine, devices: readonly DeviceSpec[]): VirtualUnit[] {
  return m.guests.flatMap((g) => {
    const units = new Map<string, { iommu: string; devices: string[] }>();
    for (const d of devices) {
      if (guestOf(m, d) !== g.name) continue;
      const name = viommuOf(m, d);
      const unit = units.get(name) ?? { iommu: iommuOf(m, d), devices: [] };
      unit.devices.push(d.name);
      units.set(name, unit);
    }
    if (units.size === 0) units.set(`v${m.iommus[0]!}`, { iommu: m.iommus[0]!, devices: [] });
    return [...units].map(([name, u]) => ({ guest: g.name, name, ...u }));
  });
}

/** Scope of a guest's scene objects: empty when it is the only guest. */
export const guestScope = (m: Machine, guest: string): string =>
  scopeOf(
    m.guests.map((g) => g.name),
    guest,
  );

/** Scope of a virtual unit among the units of its guest: empty when it is the only one. */
export const viommuScope = (units: readonly VirtualUnit[], u: Pick<VirtualUnit, 'guest' | 'name'>): string =>
  scopeOf(
    units.filter((x) => x.guest === u.guest).map((x) => x.name),
    u.name,
  );
