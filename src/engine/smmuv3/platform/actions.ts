import { hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT, SID } from '../../cache/index.ts';
import type { Operation } from '../../machine/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import type { DeviceView } from '../guest/index.ts';
import { EL2, inputOf } from '../hardware/index.ts';
import { queueOf } from './hazards.ts';
import { type Guest, guestOfDevice, type Parts, type Unit } from './parts.ts';
import { type Place, placeOf } from './place.ts';

interface Action {
  readonly title: string;
  readonly operation: Operation;
}
type Queue = { readonly guest?: string; readonly unit?: string };
type Values = Readonly<Record<string, number | bigint>>;

/** One command on the queue that it belongs on. */
const command = (title: string, queue: Queue, name: string, fields: Values = {}): Action => ({
  title,
  operation: {
    do: 'guest.invalidate',
    ...queue,
    command: { name, ...Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, hexPlain(v)])) },
  },
});

const whose = (p: Parts, g: Guest): { guest?: string } => (p.guests.length > 1 ? { guest: g.name } : {});

/** What a person may want to do with an object, with all fields filled in. */
export function actionsFor(p: Parts, id: string, part?: { row?: number }): Action[] {
  const place = placeOf(p, id);
  switch (place?.band) {
    case 'device':
      return deviceActions(p, place.device, part);
    case 'guest':
      return guestActions(p, place);
    case 'vmm':
      return place.what === 'devices' ? [addMemory(p, place.guest)] : [];
    case 'driver':
      return p.guests.map((g) => addMemory(p, g));
    case 'object':
      return objectActions(p, id);
    case 'hardware':
      return place.what === 'iotlb' ? iotlbActions(p, place.unit, part) : [];
    default:
      return [];
  }
}

const addMemory = (p: Parts, g: Guest): Action => ({
  title: p.guests.length > 1 ? `Add memory to ${g.name}` : 'Add guest memory',
  operation: {
    do: 'vmm.map',
    ...whose(p, g),
    gpa: hexPlain(g.spec.base + g.spec.memory + 0x1000_0000),
    size: '2MiB',
  },
});

/** IOMMU_DESTROY by the process that has the object's file. */
function objectActions(p: Parts, id: string): Action[] {
  const [context, number] = id.slice('kernel.obj.'.length).split('.').map(Number) as [number, number?];
  const process = number === undefined ? 0 : context;
  const g = p.guests[process];
  if (!g) return [];
  const input = { id: number ?? context };
  return [{ title: 'IOMMU_DESTROY', operation: { do: 'ioctl', ...whose(p, g), call: 'IOMMU_DESTROY', in: input } }];
}

function guestActions(p: Parts, place: Extract<Place, { band: 'guest' }>): Action[] {
  const { guest: g, unit, what, name } = place;
  const v = g.linux.views();
  const queue: Queue = { ...whose(p, g), ...(v.units.length > 1 ? { unit: unit.name } : {}) };
  switch (what) {
    case 's1':
      return tableActions(p, g, name);
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

/** Next free 4 KiB input address of a table and next unused guest page, for the map that a person most likely wants. */
function freshPage(g: Guest, name: string): { iova: string; gpa: string } {
  const v = g.linux.views();
  const of = (s: { name: string }, maps: readonly { iova: number; size: number; gpa: number }[]) =>
    maps.map((m) => ({ ...m, in: s.name }));
  const maps = [...v.domains.flatMap((d) => of(d, d.mappings)), ...v.processes.flatMap((s) => of(s, s.areas))];
  const top = (list: number[], first: number): number => list.reduce((a, b) => Math.max(a, b), first);
  const iova = top(
    maps.filter((m) => m.in === name).map((m) => m.iova + m.size),
    0x10000,
  );
  const gpa = top(
    maps.map((m) => m.gpa + m.size),
    g.spec.base + 0x200000,
  );
  return { iova: hexPlain(iova), gpa: hexPlain(gpa) };
}

function tableActions(p: Parts, g: Guest, name: string): Action[] {
  const v = g.linux.views();
  const d = v.domains.find((x) => x.name === name);
  const s = v.processes.find((x) => x.name === name);
  if (!d && (!s || s.exited)) return [];
  const map = { do: 'guest.map', ...whose(p, g), domain: name, ...freshPage(g, name), size: '4KiB' };
  const out: Action[] = [{ title: 'Map a page here', operation: map }];
  if (s) out.push({ title: 'Map a page that faults in', operation: { ...map, present: false } });
  for (const m of (d?.mappings ?? s!.areas).slice(-4))
    out.push({
      title: `Unmap ${hexPlain(m.iova)}`,
      operation: {
        do: 'guest.unmap',
        ...whose(p, g),
        domain: name,
        iova: hexPlain(m.iova),
        size: hexPlain(m.size),
      },
    });
  for (const space of d ? [d] : s!.spaces) {
    const queue: Queue = { ...whose(p, g), ...(v.units.length > 1 ? { unit: space.unit } : {}) };
    // A domain that no device has used yet has no unit to send to.
    if (v.units.length === 1 || space.unit)
      out.push(command('Send TLBI_NH_ASID', queue, 'TLBI_NH_ASID', { ASID: space.asid }));
  }
  if (d && d.queued > 0)
    out.push({ title: 'Flush the queue', operation: { do: 'guest.flush', ...whose(p, g), domain: name } });
  if (s) out.push({ title: 'End the process', operation: { do: 'guest.exit', ...whose(p, g), process: name } });
  return out;
}

const attachActions = (d: DeviceView): Action[] =>
  ['dma0', 'bypass', 'blocked']
    .filter((x) => x !== d.domain)
    .map((domain) => ({
      title: `Attach to ${domain}`,
      operation: { do: 'guest.attach', device: d.name, domain },
    }));

/** What the guest does with a device's PASIDs. */
function pasidActions(g: Guest, d: DeviceView): Action[] {
  const v = g.linux.views();
  const bound = d.pasids.filter((a) => a.kind === 'process');
  const out: Action[] = [];
  const process = v.processes.find((s) => !s.exited && !bound.some((a) => a.name === s.name))?.name;
  if (process !== undefined || bound.length === 0)
    out.push({
      title: `Bind to process ${process ?? 'app'}`,
      operation: { do: 'guest.bind', device: d.name, process: process ?? 'app' },
    });
  for (const a of bound)
    out.push({
      title: `Unbind from ${a.name}`,
      operation: { do: 'guest.unbind', device: d.name, process: a.name },
    });
  const free =
    [...v.processes.map((s) => s.pasid), ...d.pasids.map((a) => a.pasid)].reduce((a, b) => Math.max(a, b), 0) + 1;
  out.push({
    title: `Attach PASID ${free} to pasid${free}`,
    operation: { do: 'guest.attach', device: d.name, domain: `pasid${free}`, pasid: free },
  });
  for (const a of d.pasids)
    if (a.kind === 'domain')
      out.push({
        title: `Detach PASID ${a.pasid}`,
        operation: { do: 'guest.detach', device: d.name, pasid: a.pasid },
      });
  return out;
}

function deviceActions(p: Parts, d: PciDevice, part?: { row?: number }): Action[] {
  const g = guestOfDevice(p, d);
  const v = g.linux.views();
  const known = v.devices.find((x) => x.name === d.name);
  const queue = queueOf(p, d) ?? {};
  const device = d.name;
  const out: Action[] = [];
  const row = part?.row === undefined ? -1 : d.atc.indexOf(part.row);
  if (row >= 0) {
    const tag = d.atc.e[row + B]!;
    const pasid: Record<string, number> = tag === NO_PASID ? {} : { SSV: 1, SSID: tag };
    const Size = d.atc.e[row + SHIFT]! - 12;
    out.push(
      command('Send ATC_INV for it', queue, 'ATC_INV', { SID: d.vrid, ...pasid, Size, Address: inputOf(d.atc, row) }),
    );
  }
  const map = v.domains.find((x) => x.name === known?.domain)?.mappings.at(-1);
  const iova = hexPlain(map?.iova ?? 0x10000);
  const ats = d.atsEnabled ? { ats: 'translated' } : {};
  for (const access of ['read', 'write'] as const)
    out.push({
      title: `${access === 'read' ? 'Read' : 'Write'} ${iova}`,
      operation: { do: 'device.dma', device, iova, access, ...ats },
    });
  for (const a of known?.pasids ?? []) {
    const area =
      a.kind === 'process'
        ? v.processes.find((s) => s.name === a.name)?.areas.at(-1)
        : v.domains.find((s) => s.name === a.name)?.mappings.at(-1);
    if (area)
      out.push({
        title: `Read ${hexPlain(area.iova)} with PASID ${a.pasid}`,
        operation: { do: 'device.dma', device, pasid: a.pasid, iova: hexPlain(area.iova), access: 'read', ...ats },
      });
  }
  if (d.atsEnabled)
    out.push({ title: `Ask for a translation of ${iova}`, operation: { do: 'device.ats', device, iova } });
  if (d.priCapable && d.pri.enabled)
    out.push({ title: `Request the page at ${iova}`, operation: { do: 'device.pri', device, iova } });
  if (d.atc.size > 0) out.push(command('Send ATC_INV for all', queue, 'ATC_INV', { SID: d.vrid, Size: 52 }));
  if (known) out.push(...attachActions(known));
  if (known && d.pasidBits > 0) out.push(...pasidActions(g, known));
  out.push({ title: 'Reset the device', operation: { do: 'device.reset', device } });
  return out;
}

function iotlbActions(p: Parts, u: Unit, part?: { row?: number }): Action[] {
  const c = u.smmu.caches.iotlb;
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
