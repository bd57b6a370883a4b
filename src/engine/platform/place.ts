import { deviceId, scoped } from '../machine/index.ts';
import type { PciDevice } from '../pci/index.ts';
import type { Guest, Machine, Unit } from './machine.ts';

/** What a scene id stands for. `what` is the word after the scope: `cmdq`, `ste`, `iotlb`; `name` the rest of it. */
export type Place<U extends Unit = Unit, G extends Guest = Guest> =
  | { readonly band: 'device'; readonly side: 'guest' | 'hardware'; readonly device: PciDevice }
  | {
      readonly band: 'guest';
      readonly guest: G;
      /** Which of the guest's virtual units. */
      readonly unit: number;
      readonly what: string;
      readonly name: string;
    }
  | { readonly band: 'vmm'; readonly guest: G; readonly unit: number; readonly what: 'viommu' | 'devices' }
  | { readonly band: 'object'; readonly id: string }
  | { readonly band: 'driver'; readonly unit: U }
  | { readonly band: 'hardware'; readonly unit: U; readonly what: string; readonly name: string };

/** The rest of an id behind a prefix with a scope, split at its first dot; null when it begins otherwise. */
function rest(id: string, prefix: string, scope: string): [what: string, name: string] | null {
  const head = scoped(prefix, scope, '');
  if (!id.startsWith(head)) return null;
  const tail = id.slice(head.length);
  const dot = tail.indexOf('.');
  return dot < 0 ? [tail, ''] : [tail.slice(0, dot), tail.slice(dot + 1)];
}

/** Scope of a virtual unit's scene objects, from the id of one of them. */
const scopeOfQueue = (queue: string): string => queue.split('.').slice(1, -1).join('.');

/**
 * @param table the word that marks a guest's page tables, which belong to its kernel, whichever unit uses them
 * @returns null for an id that names nothing of this machine
 */
export function placeOf<U extends Unit, G extends Guest>(
  p: Machine<U, G>,
  id: string,
  table: string,
): Place<U, G> | null {
  for (const device of p.devices) {
    if (id === deviceId(device)) return { band: 'device', side: 'hardware', device };
    if (id === `guest.device.${device.name}`) return { band: 'device', side: 'guest', device };
  }
  if (id.startsWith('kernel.obj.')) return { band: 'object', id };
  for (const unit of p.units) {
    if (id === unit.driver.sceneId()) return { band: 'driver', unit };
    const r = rest(id, 'hw', unit.scope);
    if (r) return { band: 'hardware', unit, what: r[0], name: r[1] };
  }
  for (const guest of p.guests) {
    if (id === guest.vmm.ids.devices) return { band: 'vmm', guest, unit: 0, what: 'devices' };
    for (const [unit, end] of guest.ends.entries()) {
      if (id === end.viommu) return { band: 'vmm', guest, unit, what: 'viommu' };
      const r = rest(id, 'guest', scopeOfQueue(end.queue));
      if (r && r[0] !== table) return { band: 'guest', guest, unit, what: r[0], name: r[1] };
    }
    const r = rest(id, 'guest', guest.scope);
    if (r?.[0] === table) return { band: 'guest', guest, unit: 0, what: table, name: r[1] };
  }
  return null;
}
