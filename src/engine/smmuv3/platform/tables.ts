import { hex } from '../../bits/index.ts';
import type { TableEntry, TableRef, TableRoot } from '../../machine/index.ts';
import { tableGeometry } from '../../pagetable/vmsav8-table.ts';
import { placeIn, ringAbout, ringRef, type TableFormats } from '../../platform/index.ts';
import { cdTableId } from '../guest/index.ts';
import { type StreamTable, streamTableGeometry } from '../hardware/stream-table.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { type RingName, rings } from './rings.ts';
import { physicalSteId, queueAt } from './scene-hardware.ts';
import { contextTable, entryOf, pageTable, streamDirectory, streamTable } from './table-entries.ts';

/** Where the tables of a machine with SMMUs begin: registers, and what its kernels have made. */

const where = (r: TableRef): string => `${r.space} memory ${hex(r.address)}`;

/** A stream table as the registers say. */
function streams(guest: string | null, unit: number, t: StreamTable): TableRef {
  const place = placeIn(guest, t.base);
  return t.twoLevel
    ? streamDirectory(place, unit, 2 ** Math.max(0, t.log2Size - t.split), t.split)
    : streamTable(place, unit, 2 ** Math.min(t.log2Size, 20));
}

const ringNames: readonly RingName[] = ['cmdq', 'evtq', 'priq'];

function guestRoots(p: Parts, g: Guest): TableRoot[] {
  if (!g.vmm.state.started) return [];
  const v = g.linux.views();
  const out: TableRoot[] = [];
  const of = p.guests.length > 1 ? ` of ${g.name}` : '';
  const add = (title: string, object: string, ref: TableRef | null, more = '', rest: Partial<TableRoot> = {}): void => {
    if (ref) out.push({ title: `${title}${of}`, about: `${where(ref)}${more && `, ${more}`}`, object, ref, ...rest });
  };
  const wide = p.units[0]!.iommu.features.oas >= 52;
  for (const [i, u] of v.units.entries()) {
    const reg = (n: string): bigint => g.vmm.units[i]!.readVirtual(n);
    const name = v.units.length > 1 ? ` ${u.name}` : '';
    if (reg('STRTAB_BASE') !== 0n) {
      const ref = streams(g.name, -1, streamTableGeometry(reg('STRTAB_BASE'), reg('STRTAB_BASE_CFG')));
      const devices = v.devices.filter((d) => d.unit === u.name);
      add(`vStream table${name}`, u.ids.strtab, ref, '', {
        devices: devices.map((d) => ({ name: d.name, id: BigInt(d.vsid) })),
      });
    }
    for (const d of v.devices) {
      if (d.unit !== u.name || !d.ownTable) continue;
      const { address, format, s1cdmax } = d.ownTable;
      add(`CD table ${d.name}`, cdTableId(d.scope, d.name), contextTable(placeIn(g.name, address), format, s1cdmax));
    }
    for (const kind of ringNames) {
      const q = u[kind];
      const title = `v${kind.toUpperCase()}${name}`;
      if (q) add(title, u.ids[kind], ringRef(placeIn(g.name, q.base), kind, title, rings[kind], q.size), ringAbout(q));
    }
  }
  for (const d of g.linux.state.domains) {
    const view = v.domains.find((x) => x.name === d.name)!;
    const t = tableGeometry({ stage: 1, granule: d.granule, inputBits: d.inputBits, outputBits: d.outputBits });
    const shape = { granule: t.granuleLg2, inputBits: d.inputBits, startLevel: t.startLevel, wide };
    add(`S1 tables ${d.name}`, view.id, pageTable(placeIn(g.name, d.root), 1, shape), `ASID ${d.asid}`);
  }
  for (const s of v.processes) {
    const t = tableGeometry({ stage: 1, granule: g.linux.page, inputBits: 48, outputBits: 48 });
    const shape = { granule: t.granuleLg2, inputBits: 48, startLevel: t.startLevel, wide };
    const asids = s.spaces.map((x) => `ASID ${x.asid}`).join(', ');
    add(`S1 tables ${s.name}`, s.id, pageTable(placeIn(g.name, s.pgd), 1, shape), asids);
  }
  return out;
}

function hardwareRoots(p: Parts, u: Unit, index: number): TableRoot[] {
  const { iommu } = u;
  const out: TableRoot[] = [];
  const of = p.units.length > 1 ? ` of ${u.name}` : '';
  const add = (title: string, object: string, ref: TableRef | null, more = '', rest: Partial<TableRoot> = {}): void => {
    if (ref) out.push({ title: `${title}${of}`, about: `${where(ref)}${more && `, ${more}`}`, object, ref, ...rest });
  };
  const { sidBits, twoLevelStreamTable, oas } = iommu.features;
  const base = iommu.readRegister('STRTAB_BASE');
  if (base !== 0n) {
    const cfg = iommu.readRegister('STRTAB_BASE_CFG');
    const ref = streams(null, index, streamTableGeometry(base, cfg, sidBits, twoLevelStreamTable));
    const devices = u.devices.map((d) => ({ name: d.name, id: BigInt(d.rid) }));
    add('Stream table', iommu.ids.strtab, ref, '', { devices });
  }
  const hwpts = p.iommufd.objects().flatMap((o) => (o.type === 'HWPT_PAGING' ? [o] : []));
  for (const d of u.driver.state.paging.values()) {
    const owner = hwpts.find((o) => {
      const object = p.iommufd.object(o.id);
      return object?.type === 'HWPT_PAGING' && object.domain === d.handle;
    });
    const t = tableGeometry(d.table);
    const shape = {
      granule: t.granuleLg2,
      inputBits: d.table.inputBits,
      startLevel: t.startLevel,
      wide: oas >= 52,
    };
    const tag = `${d.stage === 1 ? 'ASID' : 'VMID'} ${d.tag}`;
    const title = `S${d.stage} tables${owner ? ` ${owner.title}` : ''}`;
    add(title, owner?.id ?? '', pageTable(placeIn(null, d.root), d.stage, shape), tag);
  }
  for (const kind of ringNames) {
    const q = queueAt(u, kind);
    const title = kind.toUpperCase();
    if (!q.on || !p.memory.contains(q.base, q.size * q.bytes)) continue;
    add(title, iommu.ids[kind], ringRef(placeIn(null, q.base), kind, title, rings[kind], q.size), ringAbout(q));
  }
  return out;
}

/** Tables that only the bytes of a device's STE name: those of a machine that no kernel has set up. */
function foundRoots(p: Parts, entryAt: (ref: TableRef, index: number) => TableEntry | undefined): TableRoot[] {
  return p.units.flatMap((u, index) => {
    const base = u.iommu.readRegister('STRTAB_BASE');
    if (base === 0n) return [];
    const { sidBits, twoLevelStreamTable } = u.iommu.features;
    const t = streamTableGeometry(base, u.iommu.readRegister('STRTAB_BASE_CFG'), sidBits, twoLevelStreamTable);
    const table = streams(null, index, t);
    return u.devices.flatMap((d) => {
      const object = u.driver.state.features === null ? '' : physicalSteId(u, d.rid);
      const found: TableRoot[] = [];
      const add = (ref: TableRef, title: string): void => {
        found.push({ title: `${title} ${d.name}`, about: where(ref), object, ref });
      };
      let l = entryAt(table, Math.floor(d.rid / Number(table.span)));
      if (table.format === 'l1std') {
        const leaf = l?.children[0];
        l = leaf && entryAt(leaf, d.rid - Number(leaf.base));
      }
      for (const child of l?.children ?? []) {
        if (child.format === 's2') add(child, 'S2 tables');
        else {
          add(child, 'CD table');
          const cds = child.format === 'l1cd' ? entryAt(child, 0)?.children[0] : child;
          for (const t1 of (cds && entryAt(cds, 0)?.children) ?? []) add(t1, 'S1 tables');
        }
      }
      return found;
    });
  });
}

export const tables: TableFormats<Parts> = {
  roots: (p, entryAt) => [
    ...p.guests.flatMap((g) => guestRoots(p, g)),
    ...p.units.flatMap((u, i) => hardwareRoots(p, u, i)),
    ...foundRoots(p, entryAt),
  ],
  entry: entryOf,
};
