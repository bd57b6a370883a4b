import { hex } from '../../bits/index.ts';
import {
  A,
  ATTR,
  B,
  GLOBAL,
  IPA_HI,
  IPA_LO,
  LEVEL,
  SHIFT,
  SID,
  SSID,
  type TranslationCache,
} from '../../cache/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { NO_PASID, type PciDevice, ridText } from '../../pci/index.ts';
import {
  type Base,
  deviceFacts,
  type Fact,
  fact,
  type Part,
  type Place,
  queueEntry,
  readWords,
  unitOfDevice,
} from '../../platform/index.ts';
import { permText } from '../hardware/cache-text.ts';
import { inputOf, outputOf, type Smmu, sizeText } from '../hardware/index.ts';
import { cdLayout, eventLayout, l1cdLayout, l1stdLayout, steLayout } from '../layout/index.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { registerRecord } from './register-record.ts';
import { rings } from './rings.ts';
import { physicalSteId, queueAt } from './scene-hardware.ts';
import { steText } from './ste-text.ts';

export function inspectHardware(
  p: Parts,
  place: Extract<Place<Unit, Guest>, { band: 'hardware' }>,
  id: string,
  part: Part,
  base: Base,
): Inspection | null {
  const { unit, what } = place;
  const { iommu: smmu } = unit;
  const reg = (n: string): InspectedRecord => registerRecord(n, smmu.readRegister(n));
  const row = (c: TranslationCache): Inspection | null =>
    part?.row === undefined ? base : translationRow(c, part.row, base);
  switch (what) {
    case 'smmu':
      return {
        ...base,
        records: ['CR0', 'CR1', 'CR2', 'GBPA', 'GERROR', 'GERRORN', 'IRQ_CTRL', 'IDR0', 'IDR1', 'IDR3', 'IDR5'].map(
          reg,
        ),
      };
    case 'strtab':
      return { ...base, records: ['STRTAB_BASE', 'STRTAB_BASE_CFG'].map(reg) };
    case 'ste': {
      const m = unit.driver.masters().find((x) => physicalSteId(unit, x.sid) === id);
      if (!m) return null;
      const words = readWords(p.memory, m.steAddress, 8);
      return {
        ...base,
        title: `STE ${hex(m.sid)} of ${m.name}`,
        subtitle: steText(words),
        records: [{ title: 'Stream table entry', layout: steLayout, words, address: m.steAddress, space: 'host' }],
      };
    }
    case 'cmdq':
    case 'evtq':
    case 'priq': {
      const q = queueAt(unit, what);
      const index = part?.index ?? (q.prod - 1) & (q.size - 1);
      const regs = [`${q.prefix}_BASE`, `${q.prefix}_PROD`, `${q.prefix}_CONS`].map(reg);
      return queueEntry(
        p.memory,
        'host',
        base,
        rings[what],
        { base: q.base, index, named: part?.index !== undefined },
        regs,
      );
    }
    case 'config':
      return part?.row === undefined ? base : configRow(smmu, part.row, base);
    case 'iotlb':
      return row(smmu.caches.iotlb);
    case 's1walk':
      return row(smmu.caches.s1walk);
    case 's2tlb':
      return row(smmu.caches.s2tlb);
    case 's2walk':
      return row(smmu.caches.s2walk);
    default:
      return base;
  }
}

/** A device on the bus: its capabilities, what it waits for, and the records of its stalled accesses. */
export function inspectDevice(p: Parts, d: PciDevice, part: Part, base: Base): Inspection | null {
  if (part?.row !== undefined) return translationRow(d.atc, part.row, base);
  const { iommu: smmu } = unitOfDevice(p, d);
  const stalls = smmu.stalled().filter((s) => s.device === d.name);
  return {
    ...base,
    records: stalls.map((s) => ({
      title: `Stalled ${s.access} of ${hex(s.iova)}`,
      layout: eventLayout(s.words),
      words: s.words,
    })),
    facts: [
      fact('StreamID', hex(d.rid), ridText(d.rid)),
      ...deviceFacts(d),
      ...stalls.map((s) => fact(`STAG ${s.stag}`, `${s.access} ${hex(s.iova)}`, s.event)),
    ],
  };
}

function configRow(smmu: Smmu, uid: number, base: Base): Inspection | null {
  const { caches } = smmu;
  const words = (h: Uint32Array): bigint[] =>
    Array.from({ length: 8 }, (_, i) => (BigInt(h[2 * i + 1]!) << 32n) | BigInt(h[2 * i]!));
  for (const e of caches.ste.values())
    if (e.uid === uid)
      return {
        ...base,
        title: `Cached STE ${hex(e.sid)}`,
        subtitle: 'as it was read',
        records: [
          { title: 'Stream table entry', layout: steLayout, words: words(e.words), address: e.address, space: 'host' },
        ],
      };
  for (const of of caches.cd.values())
    for (const e of of.values())
      if (e.uid === uid)
        return {
          ...base,
          title: `Cached CD ${hex(e.sid)}, SSID ${e.ssid}`,
          subtitle: 'as it was read',
          records: [
            { title: 'Context descriptor', layout: cdLayout, words: words(e.words), address: e.address, space: 'host' },
          ],
        };
  for (const e of caches.l1std.values())
    if (e.uid === uid)
      return {
        ...base,
        title: `Cached L1STD ${hex(e.key)}`,
        subtitle: 'as it was read',
        records: [
          { title: 'Level-1 descriptor', layout: l1stdLayout, words: [e.word], address: e.address, space: 'host' },
        ],
      };
  for (const e of caches.l1cd.values())
    if (e.uid === uid)
      return {
        ...base,
        title: `Cached L1CD of ${hex(e.sid)}`,
        subtitle: 'as it was read',
        records: [
          { title: 'Level-1 descriptor', layout: l1cdLayout, words: [e.word], address: e.address, space: 'host' },
        ],
      };
  return null;
}

function translationRow(c: TranslationCache, uid: number, base: Base): Inspection | null {
  const i = c.indexOf(uid);
  if (i < 0) return null;
  const stage2 = c.name.startsWith('S2');
  const walk = c.name.endsWith('walk');
  const facts: Fact[] = [];
  if (c.name !== 'ATC') facts.push(fact('VMID', String(c.e[i + A]), 'put in by the host'));
  if (c.name === 'IOTLB' || c.name === 'S1 walk')
    facts.push(
      fact(
        'ASID',
        c.e[i + B] === GLOBAL ? 'any' : String(c.e[i + B]),
        c.e[i + B] === GLOBAL ? 'global entry (nG = 0)' : 'from the CD',
      ),
    );
  if (c.name === 'ATC') facts.push(fact('PASID', c.e[i + B] === NO_PASID ? 'none' : String(c.e[i + B])));
  facts.push(fact(stage2 ? 'IPA' : 'VA', hex(inputOf(c, i))));
  facts.push(fact(walk ? 'table' : 'PA', hex(outputOf(c, i)), walk ? `level ${c.e[i + LEVEL]}` : undefined));
  if (c.name === 'IOTLB')
    facts.push(fact('IPA', hex((BigInt(c.e[i + IPA_HI]! >>> 0) << 32n) | BigInt(c.e[i + IPA_LO]! >>> 0))));
  facts.push(fact('covers', sizeText(c.e[i + SHIFT]!)));
  if (c.name === 'IOTLB') facts.push(fact('permissions', permText(c.e[i + ATTR]!)));
  facts.push(
    fact('filled by', `stream ${hex(c.e[i + SID]! >>> 0)}${c.e[i + SSID]! >= 0 ? `, SSID ${c.e[i + SSID]}` : ''}`),
  );
  return { ...base, title: `${c.name} entry ${hex(inputOf(c, i))}`, subtitle: `→ ${hex(outputOf(c, i))}`, facts };
}
