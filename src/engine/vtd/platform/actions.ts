import { hexPlain } from '../../bits/index.ts';
import { B, inputOf, SHIFT, SID } from '../../cache/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import {
  type Action,
  actionsOf,
  attachActions,
  commandOperation,
  type Place,
  type Queue,
  queueOf,
  tableActions,
  whose,
} from '../../platform/index.ts';
import { type Bound, bindingOf, bindingsOf } from './bindings.ts';
import type { Guest, Parts, Unit } from './parts.ts';

type Part = { row?: number } | undefined;
type Fields = Readonly<Record<string, number | bigint>>;

/** One descriptor on the queue that it belongs on. */
const descriptor = (title: string, queue: Queue, name: string, fields: Fields): Action => ({
  title,
  operation: commandOperation(queue, name, fields),
});

/** What a person may want to do with an object, with all fields filled in. */
export const actionsFor = (p: Parts, id: string, part?: { row?: number }): Action[] =>
  actionsOf<Unit, Guest>(p, id, 'fs', {
    entry: (d) => atcRow(p, d, part),
    flush: (d) => wholePasids(p, d),
    guest: (place) => guestActions(p, place),
    iotlb: (u) => iotlbActions(p, u, part),
  });

const flushPasid = (queue: Queue, did: number, pasid: number): Action =>
  descriptor(`Send P_IOTLB_INV for PASID ${hexPlain(pasid)}`, queue, 'P_IOTLB_INV', { G: 2, DID: did, PASID: pasid });

/** One page table as a guest flushes it: all of a binding's input addresses, and with them the device's ATC. */
const wholePasids = (p: Parts, d: PciDevice): Action[] =>
  bindingsOf(p, d).map((b) => flushPasid(queueOf(p, d) ?? {}, b.vdid, b.binding.pasid));

/** Removes the pages that a cached entry covers. */
const flushEntry = (queue: Queue, b: Bound, address: bigint, shift: number): Action =>
  descriptor('Send P_IOTLB_INV for it', queue, 'P_IOTLB_INV', {
    G: 3,
    DID: b.vdid,
    PASID: b.binding.pasid,
    AM: shift - 12,
    IH: 1,
    ADDR: (address >> BigInt(shift)) << BigInt(shift),
  });

function atcRow(p: Parts, d: PciDevice, part: Part): Action[] {
  const c = d.atc;
  const row = part?.row === undefined ? -1 : c.indexOf(part.row);
  if (row < 0) return [];
  const tag = c.e[row + B]!;
  const bound = bindingOf(p, d, tag === NO_PASID ? 0 : tag);
  return bound ? [flushEntry(queueOf(p, d) ?? {}, bound, inputOf(c, row), c.e[row + SHIFT]!)] : [];
}

function iotlbActions(p: Parts, u: Unit, part: Part): Action[] {
  const c = u.iommu.caches.iotlb;
  const i = part?.row === undefined ? -1 : c.indexOf(part.row);
  const filler = i < 0 ? u.devices[0] : u.devices.find((d) => (d.rid & 0xffff) === (c.e[i + SID]! & 0xffff));
  const queue = queueOf(p, filler);
  if (!queue || !filler) return [];
  if (i < 0) return wholePasids(p, filler);
  const bound = bindingOf(p, filler, c.e[i + B]!);
  if (!bound) return [];
  return [flushEntry(queue, bound, inputOf(c, i), c.e[i + SHIFT]!), flushPasid(queue, bound.vdid, bound.binding.pasid)];
}

function guestActions(p: Parts, place: Extract<Place<Unit, Guest>, { band: 'guest' }>): Action[] {
  const { guest: g, what, name } = place;
  const v = g.linux.views();
  const unit = v.units[place.unit]!;
  const queue: Queue = { ...whose(p, g), ...(v.units.length > 1 ? { unit: unit.name } : {}) };
  const device = (rid: string): PciDevice | undefined => g.devices.find((d) => hexPlain(d.vrid & 0xffff) === rid);
  switch (what) {
    case 'fs':
      return tableActions(p, g, name, tableFlushes(p, g, name));
    case 'context': {
      const d = device(name);
      const known = v.devices.find((x) => x.name === d?.name);
      const send = d && descriptor('Send CC_INV for it', queue, 'CC_INV', { G: 3, SID: d.vrid & 0xffff });
      return [...(send ? [send] : []), ...(known ? attachActions(known) : [])];
    }
    case 'pasid': {
      const [rid, pasid] = name.split('.');
      const bound = bindingOf(p, device(rid ?? ''), Number(pasid));
      if (!bound) return [];
      const fields = { G: 1, DID: bound.vdid, PASID: bound.binding.pasid };
      return [
        descriptor('Send PC_INV for it', queue, 'PC_INV', fields),
        flushPasid(queue, bound.vdid, bound.binding.pasid),
      ];
    }
    case 'iq':
      return [
        descriptor('Send PC_INV for all', queue, 'PC_INV', { G: 3 }),
        descriptor('Send CC_INV for all', queue, 'CC_INV', { G: 1 }),
      ];
    default:
      return [];
  }
}

/** What removes the entries of a domain or a process: a descriptor for each (DID, PASID) that it has a cache tag for. */
function tableFlushes(p: Parts, g: Guest, name: string): Action[] {
  const v = g.linux.views();
  const table = v.domains.find((x) => x.name === name) ?? v.processes.find((x) => x.name === name);
  const pairs = new Map(
    (table?.tags ?? []).filter((t) => t.type === 'iotlb').map((t) => [`${t.unit} ${t.did} ${t.pasid}`, t] as const),
  );
  return [...pairs.values()].map((t) =>
    flushPasid({ ...whose(p, g), ...(v.units.length > 1 ? { unit: t.unit } : {}) }, t.did, t.pasid),
  );
}
