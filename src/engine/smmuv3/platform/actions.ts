import { hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT, SID } from '../../cache/index.ts';
import type { Operation } from '../../machine/index.ts';
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
import { EL2, inputOf } from '../hardware/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';

type Part = { row?: number } | undefined;

/** One command on the queue that it belongs on. */
const command = (
  title: string,
  queue: Queue,
  name: string,
  fields: Readonly<Record<string, number | bigint>> = {},
): { title: string; operation: Operation } => ({ title, operation: commandOperation(queue, name, fields) });

/** What a person may want to do with an object, with all fields filled in. */
export const actionsFor = (p: Parts, id: string, part?: { row?: number }): Action[] =>
  actionsOf<Unit, Guest>(p, id, 's1', {
    entry: (d) => atcRow(p, d, part),
    flush: (d) => atcActions(p, d),
    guest: (place) => guestActions(p, place),
    iotlb: (u) => iotlbActions(p, u, part),
  });

function guestActions(p: Parts, place: Extract<Place<Unit, Guest>, { band: 'guest' }>): Action[] {
  const { guest: g, what, name } = place;
  const v = g.linux.views();
  const unit = v.units[place.unit]!;
  const queue: Queue = { ...whose(p, g), ...(v.units.length > 1 ? { unit: unit.name } : {}) };
  switch (what) {
    case 's1':
      return tableActions(p, g, name, asidActions(p, g, name));
    case 'ste': {
      const d = v.devices.find((x) => x.unit === unit.name && hexPlain(x.vsid) === name);
      if (!d) return [];
      return [command('Send CFGI_STE for it', queue, 'CFGI_STE', { SID: d.vsid, Leaf: 1 }), ...attachActions(d)];
    }
    case 'cdtable': {
      const d = v.devices.find((x) => x.name === name);
      return d ? [command('Send CFGI_CD for it', queue, 'CFGI_CD', { SID: d.vsid, Leaf: 1 })] : [];
    }
    case 'cmdq':
      return [
        command('Send CMD_SYNC', queue, 'SYNC', { CS: 2 }),
        command('Send TLBI_NSNH_ALL', queue, 'TLBI_NSNH_ALL'),
      ];
    default:
      return [];
  }
}

/** Commands that remove a page table's entries: one for each vSMMU that has an ASID for it. */
function asidActions(p: Parts, g: Guest, name: string): Action[] {
  const v = g.linux.views();
  const d = v.domains.find((x) => x.name === name);
  const spaces = d ? [d] : (v.processes.find((x) => x.name === name)?.spaces ?? []);
  return spaces.flatMap((space) => {
    const queue: Queue = { ...whose(p, g), ...(v.units.length > 1 ? { unit: space.unit } : {}) };
    // A domain that no device has used yet has no unit to send to.
    if (v.units.length > 1 && !space.unit) return [];
    return [command('Send TLBI_NH_ASID', queue, 'TLBI_NH_ASID', { ASID: space.asid })];
  });
}

const atcActions = (p: Parts, d: PciDevice): Action[] => [
  command('Send ATC_INV for all', queueOf(p, d) ?? {}, 'ATC_INV', { SID: d.vrid, Size: 52 }),
];

/** The command that removes one row of an ATC. */
function atcRow(p: Parts, d: PciDevice, part: Part): Action[] {
  const row = part?.row === undefined ? -1 : d.atc.indexOf(part.row);
  if (row < 0) return [];
  const tag = d.atc.e[row + B]!;
  const pasid: Record<string, number> = tag === NO_PASID ? {} : { SSV: 1, SSID: tag };
  const Size = d.atc.e[row + SHIFT]! - 12;
  const fields = { SID: d.vrid, ...pasid, Size, Address: inputOf(d.atc, row) };
  return [command('Send ATC_INV for it', queueOf(p, d) ?? {}, 'ATC_INV', fields)];
}

function iotlbActions(p: Parts, u: Unit, part: Part): Action[] {
  const c = u.iommu.caches.iotlb;
  const i = part?.row === undefined ? -1 : c.indexOf(part.row);
  // Whoever is behind the unit can send it; with several queues the first one's guest does.
  const filler = i < 0 ? u.devices[0] : u.devices.find((d) => d.rid === c.e[i + SID]! >>> 0);
  const queue = queueOf(p, filler);
  if (!queue) return [];
  if (i < 0) return [command('Send TLBI_NSNH_ALL', queue, 'TLBI_NSNH_ALL')];
  if (c.e[i + A] === EL2) return [];
  const Address = inputOf(c, i);
  const ASID = c.e[i + B]!;
  if (ASID === GLOBAL) return [command('Send TLBI_NH_VAA for it', queue, 'TLBI_NH_VAA', { Address, Leaf: 1 })];
  return [
    command('Send TLBI_NH_VA for it', queue, 'TLBI_NH_VA', { ASID, Address, Leaf: 1 }),
    command(`Send TLBI_NH_ASID ${ASID}`, queue, 'TLBI_NH_ASID', { ASID }),
  ];
}
