import { scoped } from '../../machine/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import type { UnitView } from '../guest/index.ts';
import { deviceId } from '../hardware/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';

/** What a scene id stands for. `what` is the word after the scope: `cmdq`, `ste`, `s1`; `name` the rest of it. */
export type Place =
  | { readonly band: 'device'; readonly side: 'guest' | 'hardware'; readonly device: PciDevice }
  | {
      readonly band: 'guest';
      readonly guest: Guest;
      readonly unit: UnitView;
      readonly what: string;
      readonly name: string;
    }
  | { readonly band: 'vmm'; readonly guest: Guest; readonly unit: number; readonly what: 'vsmmu' | 'devices' }
  | { readonly band: 'object'; readonly id: string }
  | { readonly band: 'driver'; readonly unit: Unit }
  | { readonly band: 'hardware'; readonly unit: Unit; readonly what: string; readonly name: string };

/** The rest of an id behind a prefix with a scope, split at its first dot; null when it begins otherwise. */
function rest(id: string, prefix: string, scope: string): [what: string, name: string] | null {
  const head = scoped(prefix, scope, '');
  if (!id.startsWith(head)) return null;
  const tail = id.slice(head.length);
  const dot = tail.indexOf('.');
  return dot < 0 ? [tail, ''] : [tail.slice(0, dot), tail.slice(dot + 1)];
}

/** @returns null for an id that names nothing of this machine */
export function placeOf(p: Parts, id: string): Place | null {
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
    const views = guest.linux.views().units;
    for (const [i, unit] of views.entries()) {
      if (id === unit.ids.vsmmu) return { band: 'vmm', guest, unit: i, what: 'vsmmu' };
      const r = rest(id, 'guest', unit.ids.scope);
      // A table belongs to the guest's kernel, whichever unit uses it.
      if (r && r[0] !== 's1') return { band: 'guest', guest, unit, what: r[0], name: r[1] };
    }
    const table = rest(id, 'guest', guest.scope);
    if (table?.[0] === 's1') return { band: 'guest', guest, unit: views[0]!, what: 's1', name: table[1] };
  }
  return null;
}
