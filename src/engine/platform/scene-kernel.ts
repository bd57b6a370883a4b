import type { SceneObject } from '../machine/index.ts';
import { type Guest, isProbed, type Machine, type Unit } from './machine.ts';

/** An iommufd object with what places it: what its title, its lines and its column are. */
type Adjust = (o: SceneObject, all: readonly SceneObject[]) => SceneObject;

/**
 * The iommufd objects of all processes and a box for each unit's driver.
 * @param adjust a vendor's last word on an object
 */
export function kernelObjects<U extends Unit>(
  p: Machine<U>,
  adjust: Adjust,
  driver: (u: U) => { readonly title: string; readonly lines: readonly string[] },
): SceneObject[] {
  if (!isProbed(p)) return [];
  // Two guests have objects of the same numbers, each in the iommufd file of its VMM.
  const ownerOf = (o: { readonly id: string; readonly object: number }): string | undefined =>
    p.guests.length > 1 ? p.guests.find((g) => g.vmm.ids.kernelObject(o.object) === o.id)?.name : undefined;
  const sectionOf = (owner: string | undefined) => (owner === undefined ? {} : { section: owner });
  const out: SceneObject[] = p.iommufd.objects().map((o) => ({
    ...sectionOf(ownerOf(o)),
    id: o.id,
    band: 'kernel',
    type: o.type,
    title: o.title,
    lines: o.lines,
    refs: o.refs,
    ...(o.device === undefined ? {} : { device: o.device }),
  }));
  const placed = out.map((o) => adjust(o, out));
  for (const u of p.units)
    placed.push({ id: u.driver.sceneId(), band: 'kernel', type: 'driver', refs: [], ...driver(u) });
  return placed;
}

/**
 * What is to be seen of one VMM: a box for each virtual IOMMU, and the list of its devices.
 * @param type what the virtual IOMMU is called
 * @param unit lines and references of the box of the `index`th
 */
export function vmmObjects(
  p: Machine,
  g: Guest,
  type: string,
  unit: (index: number) => Pick<SceneObject, 'lines' | 'refs'>,
  map: Pick<SceneObject, 'type' | 'title' | 'lines'>,
): SceneObject[] {
  const section = p.guests.length > 1 ? { section: g.name } : {};
  const units = g.ends.map((end, i): SceneObject => {
    const title = g.ends.length > 1 ? `${type} ${end.name}` : type;
    return { id: end.viommu, band: 'vmm', type, title, ...unit(i), ...section };
  });
  return [...units, { id: g.vmm.ids.devices, band: 'vmm', ...map, listed: true, refs: [], ...section }];
}

/** A page table that only one device uses stands with that device. */
export function withItsUser(o: SceneObject, all: readonly SceneObject[]): SceneObject {
  if (o.device !== undefined) return o;
  const users = all.filter((d) => d.type === 'DEVICE' && d.refs.some((r) => r.to === o.id));
  return users.length === 1 && users[0]!.device !== undefined ? { ...o, device: users[0]!.device } : o;
}
