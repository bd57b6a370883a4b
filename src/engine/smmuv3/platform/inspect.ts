import { hex } from '../../bits/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { type Base, fact, inspectDriver, inspectObject, type Part, placeOf } from '../../platform/index.ts';
import { steLayout } from '../layout/index.ts';
import { inspectGuest, inspectGuestDevice, virtualRegisters } from './inspect-guest.ts';
import { inspectDevice, inspectHardware } from './inspect-hardware.ts';
import type { Parts } from './parts.ts';
import { sceneOf } from './scene.ts';

/** Everything the inspector shows of a scene object, a cache row or a queue entry; null when it is not there (any more). */
export function inspect(p: Parts, id: string, part: Part): Inspection | null {
  const object = sceneOf(p, []).objects.find((o) => o.id === id);
  const place = object && placeOf(p, id, 's1');
  if (!object || !place) return null;
  const base: Base = { title: object.title, subtitle: object.lines.join(' · '), records: [], facts: [] };
  switch (place.band) {
    case 'guest':
      return inspectGuest(place, part, base);
    case 'device':
      return place.side === 'guest'
        ? inspectGuestDevice(p, place.device, base)
        : inspectDevice(p, place.device, part, base);
    case 'vmm':
      return place.what === 'viommu'
        ? { ...base, records: virtualRegisters(place.guest, place.unit) }
        : { ...base, facts: place.guest.vmm.units.flatMap((u) => u.state.devices.map(deviceFact)) };
    case 'driver':
      return inspectDriver(place.unit, base);
    case 'object':
      return inspectObject(p, object, base, nestedSte(p, id));
    case 'hardware':
      return inspectHardware(p, place, id, part, base);
  }
}

const deviceFact = (d: { vsid: number; name: string; vdevice: number; devid: number }) =>
  fact(
    hex(d.vsid),
    d.name,
    d.vdevice ? `vDEVICE ${d.vdevice}, DEVICE ${d.devid}` : `DEVICE ${d.devid}, no vDEVICE yet`,
  );

/** The vSTE words that a nested page table was made with. */
function nestedSte(p: Parts, id: string): InspectedRecord[] {
  const o = p.iommufd.object(id);
  if (o?.type !== 'HWPT_NESTED') return [];
  for (const u of p.units) {
    const nested = u.driver.state.nested.get(o.domain);
    if (nested)
      return [{ title: 'vSTE as accepted', layout: steLayout, words: [...nested.ste, 0n, 0n, 0n, 0n, 0n, 0n] }];
  }
  return [];
}
