import { hex, hexPlain } from '../../bits/index.ts';
import {
  A,
  ATTR,
  B,
  IPA_HI,
  IPA_LO,
  inputOf,
  LEVEL,
  outputOf,
  SHIFT,
  SID,
  sizeText,
  type TranslationCache,
} from '../../cache/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { NO_PASID, type PciDevice, ridText } from '../../pci/index.ts';
import { type Base, deviceFacts, type Fact, fact, type Part, type Place, queueEntry } from '../../platform/index.ts';
import { permText, pgttNames } from '../hardware/cache-text.ts';
import type { VtdUnit } from '../hardware/index.ts';
import { PGTT_SHIFT } from '../hardware/iotlb-tags.ts';
import { contextLayout, contextLegacyLayout, pasidDirLayout, pasidLayout } from '../layout/index.ts';
import { faultRecords } from './faults.ts';
import { inspectEntry, inspectRoot } from './inspect-entry.ts';
import type { Guest, Parts, Unit } from './parts.ts';
import { registerRecord } from './registers.ts';
import { invalidationRing, requestQueue } from './rings.ts';

export function inspectHardware(
  p: Parts,
  place: Extract<Place<Unit, Guest>, { band: 'hardware' }>,
  id: string,
  part: Part,
  base: Base,
): Inspection | null {
  const { unit, what, name } = place;
  const { iommu } = unit;
  const read = (n: string): bigint => iommu.readRegister(n);
  const records = (...names: readonly string[]): InspectedRecord[] => names.map((n) => registerRecord(n, read(n)));
  const row = (c: TranslationCache): Inspection | null =>
    part?.row === undefined ? base : translationRow(c, part.row, base);
  switch (what) {
    case 'unit':
      return { ...base, records: records('GSTS_REG', 'FSTS_REG', 'CAP_REG', 'ECAP_REG', 'FECTL_REG', 'IQERCD_REG') };
    case 'root':
      return unit.probed()
        ? inspectRoot(p.drivers.kernel, p.units.indexOf(unit), base, records('RTADDR_REG'))
        : { ...base, records: records('RTADDR_REG') };
    case 'frcd':
      return { ...base, records: [...faultRecords(read), ...records('FSTS_REG', 'FECTL_REG')] };
    case 'iq':
    case 'prq': {
      const regs = what === 'iq' ? records('IQA_REG', 'IQH_REG', 'IQT_REG') : records('PQA_REG', 'PQH_REG', 'PQT_REG');
      const q = what === 'iq' ? invalidationRing(read) : requestQueue(read);
      if (!p.memory.contains(q.base, q.size * q.kind.words * 8)) return { ...base, records: regs };
      const index = part?.index ?? (q.prod - 1) & (q.size - 1);
      const at = { base: q.base, index, named: part?.index !== undefined };
      return queueEntry(p.memory, 'host', base, q.kind, at, regs);
    }
    case 'context':
      return part?.row === undefined ? base : configRow(iommu, part.row, base);
    case 'pasid':
      // With a name behind it the id means an entry in memory, without one the cache.
      if (name !== '') return inspectEntry(p.drivers.kernel, id, base);
      return part?.row === undefined ? base : configRow(iommu, part.row, base);
    case 'iotlb':
      return row(iommu.caches.iotlb);
    case 'fswalk':
      return row(iommu.caches.fswalk);
    case 'sswalk':
      return row(iommu.caches.sswalk);
    default:
      return base;
  }
}

/** A device on the bus: its capabilities, and what it waits for. */
export const inspectDevice = (d: PciDevice, part: Part, base: Base): Inspection | null =>
  part?.row === undefined
    ? { ...base, facts: [fact('source id', hex(d.rid & 0xffff), ridText(d.rid)), ...deviceFacts(d)] }
    : translationRow(d.atc, part.row, base);

function configRow(unit: VtdUnit, uid: number, base: Base): Inspection | null {
  const { caches } = unit;
  const words = (h: Uint32Array): bigint[] =>
    Array.from({ length: h.length / 2 }, (_, i) => (BigInt(h[2 * i + 1]!) << 32n) | BigInt(h[2 * i]!));
  const subtitle = 'as it was read';
  for (const e of caches.context.values()) {
    if (e.uid !== uid || base.title !== 'Context cache') continue;
    const layout = e.scalable ? contextLayout : contextLegacyLayout;
    return {
      ...base,
      title: `Cached context entry of ${ridText(e.rid)}`,
      subtitle,
      records: [
        {
          title: 'Context entry',
          layout,
          words: words(e.words).slice(0, layout.words),
          address: e.address,
          space: 'host',
        },
      ],
    };
  }
  for (const of of caches.pasid.values())
    for (const e of of.values()) {
      if (e.uid !== uid || base.title !== 'PASID cache') continue;
      return {
        ...base,
        title: `Cached PASID entry ${hexPlain(e.pasid)} of ${ridText(e.rid)}`,
        subtitle,
        records: [
          { title: 'PASID table entry', layout: pasidLayout, words: words(e.words), address: e.address, space: 'host' },
          {
            title: 'PASID directory entry',
            layout: pasidDirLayout,
            words: [e.directory],
            address: e.directoryAddress,
            space: 'host',
          },
        ],
      };
    }
  return null;
}

function translationRow(c: TranslationCache, uid: number, base: Base): Inspection | null {
  const i = c.indexOf(uid);
  if (i < 0) return null;
  const walk = c.name.endsWith('walk');
  const facts: Fact[] = [];
  if (c.name === 'ATC') facts.push(fact('PASID', c.e[i + B] === NO_PASID ? 'none' : hexPlain(c.e[i + B]!)));
  else {
    facts.push(fact('DID', String(c.e[i + A]), 'the host’s'));
    facts.push(fact('PASID', hexPlain(c.e[i + B]!)));
  }
  facts.push(fact(c.name === 'SS walk' ? 'GPA' : 'IOVA', hex(inputOf(c, i))));
  facts.push(fact(walk ? 'table' : 'PA', hex(outputOf(c, i)), walk ? `level ${c.e[i + LEVEL]}` : undefined));
  if (c.name === 'IOTLB') {
    const pgtt = c.e[i + ATTR]! >> PGTT_SHIFT;
    facts.push(fact('type', pgttNames[pgtt] ?? 'illegal'));
    if (pgtt === 3)
      facts.push(fact('GPA', hex((BigInt(c.e[i + IPA_HI]! >>> 0) << 32n) | BigInt(c.e[i + IPA_LO]! >>> 0))));
    facts.push(fact('permissions', permText(c.e[i + ATTR]!)));
  }
  facts.push(fact('covers', sizeText(c.e[i + SHIFT]!)));
  if (c.name !== 'ATC') facts.push(fact('filled by', ridText(c.e[i + SID]! & 0xffff), 'not part of the tag'));
  return { ...base, title: `${c.name} entry ${hex(inputOf(c, i))}`, subtitle: `→ ${hex(outputOf(c, i))}`, facts };
}
