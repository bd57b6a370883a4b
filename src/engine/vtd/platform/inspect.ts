import { hexPlain } from '../../bits/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { ridText } from '../../pci/index.ts';
import { type Base, fact, inspectDriver, inspectObject, type Part, placeOf } from '../../platform/index.ts';
import { pasidLayout, s1Layout } from '../layout/index.ts';
import { pasidText } from './entry-text.ts';
import { inspectGuest, inspectGuestDevice, virtualRegisters } from './inspect-guest.ts';
import { inspectDevice, inspectHardware } from './inspect-hardware.ts';
import type { Guest, Parts } from './parts.ts';
import { sceneOf } from './scene.ts';
import { domainOfObject } from './scene-kernel.ts';

/** Everything the inspector shows of a scene object, a cache row or a queue entry; null when it is not there (any more). */
export function inspect(p: Parts, id: string, part: Part): Inspection | null {
  const object = sceneOf(p, []).objects.find((o) => o.id === id);
  const place = object && placeOf(p, id, 'fs');
  if (!object || !place) return null;
  const base: Base = { title: object.title, subtitle: object.lines.join(' · '), records: [], facts: [] };
  switch (place.band) {
    case 'guest':
      return inspectGuest(place, id, part, base);
    case 'device':
      return place.side === 'guest'
        ? inspectGuestDevice(p, place.device, base)
        : inspectDevice(place.device, part, base);
    case 'vmm':
      return place.what === 'viommu'
        ? { ...base, records: virtualRegisters(place.guest, place.unit) }
        : inspectBindings(place.guest, base);
    case 'driver': {
      const shown = inspectDriver(place.unit, base);
      return { ...shown, facts: [...tagFacts(p, p.units.indexOf(place.unit)), ...shown.facts] };
    }
    case 'object': {
      const shown = inspectObject(p, object, base, nestedData(p, id));
      return { ...shown, facts: [...shown.facts, ...domainFacts(p, id)] };
    }
    case 'hardware':
      return inspectHardware(p, place, id, part, base);
  }
}

/** The copies of guest PASID entries that the VMM has bound. */
function inspectBindings(g: Guest, base: Base): Inspection {
  const bound = g.vmm.units.flatMap((u) => u.state.devices.flatMap((d) => d.bindings.map((b) => ({ d, b }))));
  return {
    ...base,
    facts: g.vmm.units
      .flatMap((u) => u.state.devices)
      .map((d) => fact(ridText(d.vrid), d.name, `DEVICE ${d.devid}, parent HWPT ${d.parent}`)),
    records: bound.map(({ d, b }) => ({
      title: `${d.name} PASID ${hexPlain(b.pasid)}, ${b.hwpt ? `HWPT ${b.hwpt}` : `parent ${d.parent}`}: ${pasidText(b.entry).text}`,
      layout: pasidLayout,
      words: b.entry,
    })),
  };
}

const tagText = (t: { type: string; did: number; pasid: number }): string =>
  `${t.type} DID ${t.did} PASID ${hexPlain(t.pasid)}`;

const kindText: Readonly<Record<string, string>> = { ss: 'second stage', fs: 'first stage' };

/** Cache tags of all domains behind a unit, in the order in which a flush goes through them. */
const tagFacts = (p: Parts, unit: number): Base['facts'] =>
  [...p.drivers.kernel.state.domains.values()].flatMap((d) =>
    d.tags.filter((t) => t.unit === unit).map((t) => fact(kindText[d.kind] ?? d.kind, tagText(t), t.device)),
  );

/** A domain's DIDs and cache tags. */
function domainFacts(p: Parts, id: string): Base['facts'] {
  const d = domainOfObject(p, id);
  if (!d) return [];
  return [
    ...d.dids.map((x) => fact('DID', String(x.did), p.units[x.unit]?.name)),
    ...d.tags.map((t, i) => fact(i === 0 ? 'cache tags' : '', tagText(t), t.device)),
  ];
}

/** What a nested page table was made with. */
function nestedData(p: Parts, id: string): InspectedRecord[] {
  const d = domainOfObject(p, id);
  if (d?.kind !== 'nested') return [];
  return [{ title: 'As user space gave it', layout: s1Layout, words: [BigInt(d.s1Flags), d.root, BigInt(d.s1Width)] }];
}
