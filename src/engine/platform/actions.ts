import { hexPlain } from '../bits/index.ts';
import type { Operation } from '../machine/index.ts';
import type { PciDevice } from '../pci/index.ts';
import { type Guest, type GuestViews, guestOfDevice, type Machine, type Unit } from './machine.ts';
import { type Place, placeOf } from './place.ts';
import { whose } from './remedy.ts';

/** What a person may want to do, with all fields filled in, as far as it is the same whoever made the IOMMU. */
export interface Action {
  readonly title: string;
  readonly operation: Operation;
}

const addMemory = (p: Machine, g: Guest): Action => ({
  title: p.guests.length > 1 ? `Add memory to ${g.name}` : 'Add guest memory',
  operation: {
    do: 'vmm.map',
    ...whose(p, g),
    gpa: hexPlain(g.spec.base + g.spec.memory + 0x1000_0000),
    size: '2MiB',
  },
});

/**
 * What a person may want to do with an object.
 * @param table the word that marks a guest's page tables
 * @param own a vendor's part: `entry` and `flush` for a device's ATC, the guest's objects, the IOTLB
 */
export function actionsOf<U extends Unit, G extends Guest>(
  p: Machine<U, G>,
  id: string,
  table: string,
  own: {
    readonly entry: (d: PciDevice) => readonly Action[];
    readonly flush: (d: PciDevice) => readonly Action[];
    readonly guest: (place: Extract<Place<U, G>, { band: 'guest' }>) => Action[];
    readonly iotlb: (u: U) => Action[];
  },
): Action[] {
  const place = placeOf(p, id, table);
  switch (place?.band) {
    case 'device':
      return [...own.entry(place.device), ...deviceActions(p, place.device, own.flush(place.device))];
    case 'guest':
      return own.guest(place);
    case 'vmm':
      return place.what === 'devices' ? [addMemory(p, place.guest)] : [];
    case 'driver':
      return p.guests.map((g) => addMemory(p, g));
    case 'object':
      return objectActions(p, id);
    case 'hardware':
      return place.what === 'iotlb' ? own.iotlb(place.unit) : [];
    default:
      return [];
  }
}

/** IOMMU_DESTROY by the process that has the object's file. */
function objectActions(p: Machine, id: string): Action[] {
  const [context, number] = id.slice('kernel.obj.'.length).split('.').map(Number) as [number, number?];
  const process = number === undefined ? 0 : context;
  const g = p.guests[process];
  if (!g) return [];
  const input = { id: number ?? context };
  return [{ title: 'IOMMU_DESTROY', operation: { do: 'ioctl', ...whose(p, g), call: 'IOMMU_DESTROY', in: input } }];
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

/**
 * The page table of a domain or a process.
 * @param flush commands that remove what the hardware holds of it
 */
export function tableActions(p: Machine, g: Guest, name: string, flush: readonly Action[]): Action[] {
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
  out.push(...flush);
  if (d && d.queued > 0)
    out.push({ title: 'Flush the queue', operation: { do: 'guest.flush', ...whose(p, g), domain: name } });
  if (s) out.push({ title: 'End the process', operation: { do: 'guest.exit', ...whose(p, g), process: name } });
  return out;
}

type Device = GuestViews['devices'][number];

/** Domains that a device may go to. */
export const attachActions = (d: Device): Action[] =>
  ['dma0', 'bypass', 'blocked']
    .filter((x) => x !== d.domain)
    .map((domain) => ({
      title: `Attach to ${domain}`,
      operation: { do: 'guest.attach', device: d.name, domain },
    }));

/** What the guest does with a device's PASIDs. */
function pasidActions(v: GuestViews, d: Device): Action[] {
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

/**
 * Accesses, attachments and the reset of a device.
 * @param flush the command that empties its ATC, if it has something in it
 */
function deviceActions(p: Machine, d: PciDevice, flush: readonly Action[]): Action[] {
  const v = guestOfDevice(p, d).linux.views();
  const known = v.devices.find((x) => x.name === d.name);
  const device = d.name;
  const out: Action[] = [];
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
  if (d.atc.size > 0) out.push(...flush);
  if (known) out.push(...attachActions(known));
  if (known && d.pasidBits > 0) out.push(...pasidActions(v, known));
  out.push({ title: 'Reset the device', operation: { do: 'device.reset', device } });
  return out;
}
