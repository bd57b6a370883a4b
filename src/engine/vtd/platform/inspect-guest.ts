import { hex, hexPlain } from '../../bits/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
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
} from '../../platform/index.ts';
import { vtdLevelShift, x86EntryLayout } from '../layout/index.ts';
import { faultRecords } from './faults.ts';
import { inspectEntry } from './inspect-entry.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { registerRecord } from './registers.ts';
import { invalidationRing, requestQueue } from './rings.ts';

type GuestPlace = Extract<Place<Unit, Guest>, { band: 'guest' }>;

export function inspectGuest(place: GuestPlace, id: string, part: Part, base: Base): Inspection {
  const { guest: g, what, name } = place;
  const unit = g.vmm.units[place.unit]!;
  const reg = (n: string): bigint => unit.readVirtual(n);
  const records = (...names: readonly string[]): InspectedRecord[] => names.map((n) => registerRecord(n, reg(n)));
  switch (what) {
    case 'iq':
    case 'prq': {
      const regs = what === 'iq' ? records('IQA_REG', 'IQH_REG', 'IQT_REG') : records('PQA_REG', 'PQH_REG', 'PQT_REG');
      const q = what === 'iq' ? invalidationRing(reg) : requestQueue(reg);
      if (q.base === 0 || !g.memory.contains(q.base, q.size * q.kind.words * 8)) return { ...base, records: regs };
      const index = part?.index ?? (q.prod - 1) & (q.size - 1);
      const at = { base: q.base, index, named: part?.index !== undefined };
      return queueEntry(g.memory, 'guest', base, q.kind, at, regs);
    }
    case 'frcd':
      return { ...base, records: [...faultRecords(reg), ...records('FSTS_REG', 'FECTL_REG')] };
    case 'root':
      return { ...base, records: records('RTADDR_REG') };
    case 'context':
    case 'pasid':
      return inspectEntry(g.linux.kernel, id, base);
    case 'fs':
      return table(g, name, base);
    default:
      return base;
  }
}

/** The page table of a domain or of a process with a few of its leaves. */
function table(g: Guest, name: string, base: Base): Inspection {
  const v = g.linux.views();
  const d = v.domains.find((x) => x.name === name);
  const s = v.processes.find((x) => x.name === name);
  const root = d?.root ?? s?.pgd;
  if (root === undefined) return base;
  const maps = d?.mappings ?? s!.areas;
  const tags = (d?.tags ?? s!.tags).filter((t) => t.type === 'iotlb');
  const users = tags.map((t) => `DID ${t.did} PASID ${hexPlain(t.pasid)}`).join(', ') || 'not in use';
  const levels = d?.levels ?? 4;
  return {
    ...base,
    subtitle: `${users}, root ${hex(root)}${s?.pasid ? `, PASID ${hexPlain(s.pasid)}` : ''}`,
    records: d?.stage === 'second' ? [] : maps.slice(-4).flatMap((m) => leafRecord(g, root, levels, m.iova)),
    facts: [
      ...mapFacts(maps),
      ...(d?.tags ?? s!.tags).map((t) =>
        fact('cache tag', `${t.type} DID ${t.did} PASID ${hexPlain(t.pasid)}`, t.device),
      ),
    ],
  };
}

/** The leaf of an input address in a first-stage table in guest memory. */
function leafRecord(g: Guest, root: number, levels: number, iova: number): InspectedRecord[] {
  let at = root;
  for (let level = levels; level > 0; level--) {
    const address = at + (Math.floor(iova / 2 ** vtdLevelShift(level)) % 512) * 8;
    const word = g.memory.readWord(address);
    if ((word & 1n) === 0n) return [];
    if (level === 1 || (level < 4 && (word & 0x80n) !== 0n)) {
      const layout = x86EntryLayout(level, word);
      return [{ title: `${hex(iova)}: level ${level}`, layout, words: [word], address, space: 'guest' }];
    }
    at = Number(word & 0xf_ffff_ffff_f000n);
  }
  return [];
}

export function inspectGuestDevice(p: Parts, device: PciDevice, base: Base): Inspection {
  const d = guestOfDevice(p, device)
    .linux.views()
    .devices.find((x) => x.name === device.name);
  const pri = fact('PRI', d?.priEnabled ? 'on' : 'off');
  return { ...base, facts: [...guestDeviceFacts(p, device, 'unit', hexPlain), pri] };
}

export const virtualRegisters = (g: Guest, unit: number): InspectedRecord[] =>
  [
    'GSTS_REG',
    'FSTS_REG',
    'RTADDR_REG',
    'IQA_REG',
    'IQH_REG',
    'IQT_REG',
    'PQA_REG',
    'PRS_REG',
    'CAP_REG',
    'ECAP_REG',
  ].map((n) => registerRecord(n, g.vmm.units[unit]!.readVirtual(n)));
