import { hex } from '../../bits/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { descriptorLayout, type Granule } from '../../pagetable/vmsav8-layout.ts';
import { tableGeometry } from '../../pagetable/vmsav8-table.ts';
import type { PciDevice } from '../../pci/index.ts';
import {
  type Base,
  fact,
  guestDeviceFacts,
  guestOfDevice,
  mapFacts,
  type Part,
  type Place,
  queueEntry,
  readWords,
} from '../../platform/index.ts';
import { cdAddress } from '../guest/cd-table.ts';
import type { DeviceView } from '../guest/index.ts';
import { cdLayout, steLayout } from '../layout/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { registerRecord } from './register-record.ts';
import { rings } from './rings.ts';
import { steText } from './ste-text.ts';

type GuestPlace = Extract<Place<Unit, Guest>, { band: 'guest' }>;

export function inspectGuest(place: GuestPlace, part: Part, base: Base): Inspection {
  const { guest: g, what, name } = place;
  const v = g.linux.views();
  const unit = v.units[place.unit]!;
  const vsmmu = g.vmm.units[place.unit]!;
  const reg = (n: string): bigint => vsmmu.readVirtual(n);
  switch (what) {
    case 'cmdq':
    case 'evtq':
    case 'priq': {
      const q = unit[what];
      const prefix = what === 'cmdq' ? 'CMDQ' : what === 'evtq' ? 'EVENTQ' : 'PRIQ';
      const regs = ['BASE', 'PROD', 'CONS'].map((r) => registerRecord(`${prefix}_${r}`, reg(`${prefix}_${r}`)));
      if (!q) return { ...base, records: regs };
      const index = part?.index ?? (Number(reg(`${prefix}_PROD`)) - 1) & (q.size - 1);
      const entry = { base: q.base, index, named: part?.index !== undefined };
      return queueEntry(g.memory, 'guest', base, rings[what], entry, regs);
    }
    case 'strtab':
      return { ...base, records: ['STRTAB_BASE', 'STRTAB_BASE_CFG'].map((r) => registerRecord(r, reg(r))) };
    case 'ste': {
      const d = v.devices.find((x) => x.unit === unit.name && `0x${x.vsid.toString(16)}` === name);
      if (!d) return base;
      const words = readWords(g.memory, d.steAddress, 8);
      return {
        ...base,
        title: `vSTE ${hex(d.vsid)} of ${d.name}`,
        subtitle: steText(words),
        records: [{ title: 'Stream table entry', layout: steLayout, words, address: d.steAddress, space: 'guest' }],
      };
    }
    case 'cdtable': {
      const d = v.devices.find((x) => x.name === name);
      return d?.ownTable ? cdTable(g, d, v.devices, base) : base;
    }
    case 's1':
      return table(g, name, base);
    default:
      return base;
  }
}

/** Descriptors in use: that of the RID, and one for each PASID. */
function cdTable(g: Guest, d: DeviceView, devices: readonly DeviceView[], base: Base): Inspection {
  const t = d.ownTable!;
  const users = devices.filter((x) => x.unit === d.unit && x.cdTable?.owner === d.name);
  const pasids = [...new Set([0, ...users.flatMap((x) => x.pasids.map((a) => a.pasid))])].sort((a, b) => a - b);
  const records = pasids.flatMap((ssid): InspectedRecord[] => {
    const address = cdAddress(t, ssid);
    if (address === null) return [];
    const words = readWords(g.memory, address, 8);
    return [{ title: `Context descriptor ${ssid}`, layout: cdLayout, words, address, space: 'guest' }];
  });
  const n = 2 ** t.s1cdmax;
  return {
    ...base,
    title: `CD table of ${d.name}`,
    subtitle: `${n} context descriptor${n === 1 ? '' : 's'}, ${t.format === 0 ? 'linear' : 'two-level'}`,
    records,
    facts: users.map((x) => fact('used by', x.name)),
  };
}

/** The page table of a domain or of a process with a few of its leaves. */
function table(g: Guest, name: string, base: Base): Inspection {
  const { domains, processes } = g.linux.state;
  const d = domains.find((x) => x.name === name);
  const s = processes.find((x) => x.name === name);
  const root = d?.root ?? s?.pgd;
  if (root === undefined) return base;
  const maps = d?.mappings ?? s!.areas;
  const granule = d?.granule ?? g.linux.page;
  const bits = d ? { inputBits: d.inputBits, outputBits: d.outputBits } : { inputBits: 48, outputBits: 48 };
  const geometry = tableGeometry({ stage: 1, granule, ...bits });
  const asid = d ? `ASID ${d.asid}` : s!.spaces.map((x) => `ASID ${x.asid}`).join(', ') || 'no ASID';
  return {
    ...base,
    subtitle: `${asid}, TTB0 ${hex(root)}${s?.pasid ? `, PASID ${s.pasid}` : ''}`,
    records: maps.slice(-4).flatMap((m) => leafRecord(g, geometry, root, m.iova)),
    facts: mapFacts(maps),
  };
}

/** The leaf descriptor of an input address in a stage-1 table in guest memory. */
function leafRecord(g: Guest, t: ReturnType<typeof tableGeometry>, root: number, iova: number): InspectedRecord[] {
  let at = root;
  const granuleLg2 = t.granuleLg2 as Granule;
  for (let level = t.startLevel; level < 4; level++) {
    const count = level === t.startLevel ? t.rootEntries : 2 ** t.bitsPerLevel;
    const index = Math.floor(iova / 2 ** (granuleLg2 + (3 - level) * t.bitsPerLevel)) % count;
    const address = at + index * 8;
    const word = g.memory.readWord(address);
    if ((word & 1n) === 0n) return [];
    if (level === 3 || (word & 2n) === 0n) {
      const layout = descriptorLayout(1, level, word, granuleLg2);
      const form = level === 3 ? 'page' : 'block';
      return [{ title: `${hex(iova)}: level ${level} ${form}`, layout, words: [word], address, space: 'guest' }];
    }
    at = Number(word & 0xfffffffff000n & ~(2n ** BigInt(granuleLg2) - 1n));
  }
  return [];
}

export function inspectGuestDevice(p: Parts, device: PciDevice, base: Base): Inspection {
  const d = guestOfDevice(p, device)
    .linux.views()
    .devices.find((x) => x.name === device.name);
  const stall = d?.stall ? [fact('faults', 'stall')] : [];
  return { ...base, facts: [...guestDeviceFacts(p, device, 'vSMMU', String), ...stall] };
}

export function virtualRegisters(g: Guest, unit: number): InspectedRecord[] {
  return [
    'CR0',
    'GBPA',
    'GERROR',
    'GERRORN',
    'STRTAB_BASE',
    'STRTAB_BASE_CFG',
    'CMDQ_BASE',
    'CMDQ_PROD',
    'CMDQ_CONS',
    'EVENTQ_BASE',
    'EVENTQ_PROD',
    'EVENTQ_CONS',
    'IDR0',
    'IDR1',
    'IDR3',
    'IDR5',
  ].map((n) => registerRecord(n, g.vmm.units[unit]!.readVirtual(n)));
}
