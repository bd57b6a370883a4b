import { hex } from '../../bits/index.ts';
import type { TableEntry, TableRef, TableRoot } from '../../machine/index.ts';
import { placeIn, ringAbout, ringRef, type TableFormats } from '../../platform/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { invalidationRing, requestQueue } from './rings.ts';
import { entryOf, pageTable, pasidDirectory, rootTable } from './table-entries.ts';

/** Where the tables of a machine with VT-d units begin: registers, and what its kernels have made. */

type Add = (title: string, object: string, ref: TableRef | null, more?: string, rest?: Partial<TableRoot>) => void;

const adder =
  (out: TableRoot[], of: string): Add =>
  (title, object, ref, more = '', rest = {}) => {
    const about = ref && `${ref.space} memory ${hex(ref.address)}${more && `, ${more}`}`;
    if (ref && about) out.push({ title: `${title}${of}`, about, object, ref, ...rest });
  };

/** Root table and rings, as the registers of a unit say. Without a bus 0 entry the table still is one. */
function fromRegisters(
  add: Add,
  reg: (n: string) => bigint,
  o: {
    readonly guest: string | null;
    readonly unit: number;
    readonly prefix: string;
    readonly name: string;
    readonly ids: { readonly root: string; readonly iq: string; readonly prq: string };
    readonly devices: readonly { readonly name: string; readonly id: bigint }[];
    readonly contains: (at: number, bytes: number) => boolean;
  },
): void {
  const rtaddr = reg('RTADDR_REG');
  const mode = (rtaddr >> 10n) & 3n;
  const { guest, ids, prefix, name, devices } = o;
  if (rtaddr !== 0n && mode < 2n) {
    const ref = rootTable(placeIn(guest, Number(rtaddr & ~0xfffn)), o.unit, mode === 1n);
    add(`${prefix}Root table${name}`, ids.root, ref, mode === 1n ? 'scalable' : 'legacy', { devices });
  }
  const iq = invalidationRing(reg);
  if ((reg('GSTS_REG') >> 26n) & 1n && o.contains(iq.base, iq.size * iq.kind.words * 8)) {
    const title = `${prefix}IQ${name}`;
    add(title, ids.iq, ringRef(placeIn(guest, iq.base), 'iq', title, iq.kind, iq.size), ringAbout(iq));
  }
  const prq = requestQueue(reg);
  if (reg('PQA_REG') !== 0n && o.contains(prq.base, prq.size * 32)) {
    const title = `${prefix}PRQ${name}`;
    add(title, ids.prq, ringRef(placeIn(guest, prq.base), 'prq', title, prq.kind, prq.size), ringAbout(prq));
  }
}

function guestRoots(p: Parts, g: Guest): TableRoot[] {
  if (!g.vmm.state.started) return [];
  const v = g.linux.views();
  const { kernel } = g.linux;
  const out: TableRoot[] = [];
  const add = adder(out, p.guests.length > 1 ? ` of ${g.name}` : '');
  for (const [i, u] of v.units.entries()) {
    const devices = kernel.state.devices.filter((d) => d.unit === i);
    fromRegisters(add, (n) => g.vmm.units[i]!.readVirtual(n), {
      guest: g.name,
      unit: -1,
      prefix: 'v',
      name: v.units.length > 1 ? ` ${u.name}` : '',
      ids: u.ids,
      devices: devices.map((d) => ({ name: d.name, id: BigInt(d.sid) })),
      contains: (at, bytes) => g.memory.contains(at, bytes),
    });
    for (const d of devices) {
      if (!d.pasidTable) continue;
      const { directory, order } = d.pasidTable;
      const ref = pasidDirectory(placeIn(g.name, directory), -1, d.sid, order + 15, 0n);
      add(`PASID tables ${d.name}`, kernel.units[i]!.ids.context(d.sid), ref);
    }
  }
  for (const d of v.domains) {
    const stage = d.stage === 'first' ? 1 : 2;
    const ref = pageTable(placeIn(g.name, d.root), stage, d.levels, d.levels);
    add(`${stage === 1 ? 'FS' : 'SS'} tables ${d.name}`, d.id, ref, d.dids.map((x) => `DID ${x.did}`).join(', '));
  }
  for (const s of v.processes)
    add(
      `FS tables ${s.name}`,
      s.id,
      pageTable(placeIn(g.name, s.pgd), 1, 4, 4),
      s.pasid ? `PASID ${hex(s.pasid)}` : 'not bound',
    );
  return out;
}

function hardwareRoots(p: Parts, u: Unit, index: number): TableRoot[] {
  const { iommu } = u;
  const out: TableRoot[] = [];
  const add = adder(out, p.units.length > 1 ? ` of ${u.name}` : '');
  fromRegisters(add, (n) => iommu.readRegister(n), {
    guest: null,
    unit: index,
    prefix: '',
    name: '',
    ids: iommu.ids,
    devices: u.devices.map((d) => ({ name: d.name, id: BigInt(d.rid & 0xffff) })),
    contains: (at, bytes) => p.memory.contains(at, bytes),
  });
  if (!u.probed()) return out;
  for (const d of p.drivers.kernel.state.devices) {
    if (d.unit !== index || !d.pasidTable) continue;
    const ref = pasidDirectory(placeIn(null, d.pasidTable.directory), index, d.sid, d.pasidTable.order + 15, 0n);
    add(`PASID tables ${d.name}`, iommu.ids.root, ref);
  }
  return out;
}

/** Page tables of the host's kernel, which any unit may use. */
function kernelRoots(p: Parts): TableRoot[] {
  if (!p.units.some((u) => u.probed())) return [];
  const out: TableRoot[] = [];
  const add = adder(out, '');
  for (const o of p.iommufd.objects()) {
    const object = p.iommufd.object(o.id);
    if (object?.type !== 'HWPT_PAGING') continue;
    const d = p.drivers.kernel.state.domains.get(object.domain);
    if (!d || (d.kind !== 'fs' && d.kind !== 'ss')) continue;
    const stage = d.kind === 'fs' ? 1 : 2;
    const ref = pageTable(placeIn(null, Number(d.root)), stage, d.levels, d.levels);
    const dids = [...new Set(d.dids.map((x) => x.did))].map((x) => `DID ${x}`).join(', ');
    add(`${stage === 1 ? 'FS' : 'SS'} tables ${o.title}`, o.id, ref, dids);
  }
  return out;
}

/** Tables that only the bytes of a device's entries name: those of a machine that no kernel has set up. */
function foundRoots(
  roots: readonly TableRoot[],
  entryAt: (r: TableRef, i: number) => TableEntry | undefined,
): TableRoot[] {
  const out: TableRoot[] = [];
  const add = adder(out, '');
  for (const { ref, devices } of roots) {
    if (ref.space !== 'host') continue;
    for (const d of devices ?? []) {
      const bus = entryAt(ref, Number(d.id >> 8n))?.children.find(
        (c) => d.id >= c.base && d.id < c.base + BigInt(c.entries),
      );
      const context = bus && entryAt(bus, Number(d.id - bus.base));
      for (const child of context?.children ?? []) {
        if (child.format !== 'pasiddir') {
          add(`SS tables ${d.name}`, '', child);
          continue;
        }
        add(`PASID tables ${d.name}`, '', child);
        const table = entryAt(child, 0)?.children[0];
        for (const t of (table && entryAt(table, 0)?.children) ?? [])
          add(`${t.stage === 1 ? 'FS' : 'SS'} tables ${d.name}`, '', t);
      }
    }
  }
  return out;
}

export const tables: TableFormats<Parts> = {
  roots: (p, entryAt) => {
    const hardware = p.units.flatMap((u, i) => hardwareRoots(p, u, i));
    return [
      ...p.guests.flatMap((g) => guestRoots(p, g)),
      ...hardware,
      ...kernelRoots(p),
      ...foundRoots(hardware, entryAt),
    ];
  },
  entry: entryOf,
};
