import { hex } from '../../bits/index.ts';
import type { PageRequest } from '../../iommufd/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { steLayout } from '../layout/index.ts';
import { inspectGuest, inspectGuestDevice, virtualRegisters } from './inspect-guest.ts';
import { inspectDevice, inspectHardware } from './inspect-hardware.ts';
import { type Base, fact, type Part } from './inspect-queue.ts';
import type { Parts } from './parts.ts';
import { placeOf } from './place.ts';
import { sceneOf } from './scene.ts';

/** Everything the inspector shows of a scene object, a cache row or a queue entry; null when it is not there (any more). */
export function inspect(p: Parts, id: string, part: Part): Inspection | null {
  const object = sceneOf(p, []).objects.find((o) => o.id === id);
  const place = object && placeOf(p, id);
  if (!object || !place) return null;
  const base: Base = { title: object.title, subtitle: object.lines.join(' · '), records: [], facts: [] };
  switch (place.band) {
    case 'guest':
      return inspectGuest(place, part, base);
    case 'device':
      return place.side === 'guest' ? inspectGuestDevice(p, place, base) : inspectDevice(p, place.device, part, base);
    case 'vmm':
      return place.what === 'vsmmu'
        ? { ...base, records: virtualRegisters(place.guest, place.unit) }
        : { ...base, facts: place.guest.vmm.units.flatMap((u) => u.state.devices.map(deviceFact)) };
    case 'driver': {
      const { log } = place.unit.driver.state;
      return { ...base, facts: log.slice(-12).map((l, i) => fact(i === 0 ? 'kernel log' : '', l)) };
    }
    case 'object':
      return {
        ...base,
        facts: [
          ...object.refs.map((r) => fact(r.label ?? 'reference', r.to.replace('kernel.obj.', 'object '))),
          ...pageFaults(p, id),
        ],
        records: nestedSte(p, id),
      };
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

/** The page requests in a fault queue: those that nobody has read, and those that wait for an answer, by their cookie. */
function pageFaults(p: Parts, id: string): Base['facts'] {
  const o = p.iommufd.object(id);
  if (o?.type !== 'FAULT') return [];
  const one = (name: string, device: number, r: PageRequest) =>
    fact(
      name,
      `DEVICE ${device}${r.pasid === null ? '' : ` PASID ${r.pasid}`} at ${hex(r.address)}`,
      `group ${r.group}${r.last ? ', last of it' : ''}; wants ${permText(r.perm)}`,
    );
  return [
    ...o.deliver.flatMap((g) => g.requests.map((r) => one('not read yet', g.device, r))),
    ...[...o.response].flatMap(([cookie, g]) => g.requests.map((r) => one(`cookie ${cookie}`, g.device, r))),
  ];
}

/** enum iommu_hwpt_pgfault_perm. */
const permText = (perm: number): string =>
  ['read', 'write', 'execute', 'privileged'].filter((_, i) => (perm >> i) & 1).join(', ') || 'nothing';

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
