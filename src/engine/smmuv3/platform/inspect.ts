import { hex, hexPlain } from '../../bits/index.ts';
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
import { ridText } from '../../pci/index.ts';
import { permText } from '../hardware/cache-text.ts';
import { inputOf, outputOf, ring, sizeText } from '../hardware/index.ts';
import {
  cdLayout,
  commandLayout,
  commandText,
  eventLayout,
  eventText,
  l1cdLayout,
  l1stdLayout,
  layoutById,
  registers,
  steLayout,
} from '../layout/index.ts';
import { isProbed } from './operations.ts';
import type { Parts } from './parts.ts';
import { readWords, sceneOf, steText } from './scene.ts';

type Part = { row?: number; index?: number } | undefined;
type Fact = Inspection['facts'][number];

const fact = (name: string, value: string, note?: string): Fact =>
  note === undefined ? { name, value } : { name, value, note };

/** Everything the inspector shows of a scene object, a cache row or a queue entry; null when it is not there (any more). */
export function inspect(p: Parts, id: string, part: Part): Inspection | null {
  const object = sceneOf(p, []).objects.find((o) => o.id === id);
  if (!object) return null;
  const base = {
    title: object.title,
    subtitle: object.lines.join(' · '),
    records: [] as InspectedRecord[],
    facts: [] as Fact[],
  };
  const [, kind, name] = id.split('.') as [string, string, string | undefined];
  if (id.startsWith('guest.')) return guest(p, kind, name ?? '', part, base);
  if (id === 'vmm.vsmmu') return { ...base, records: virtualRegisters(p) };
  if (id === 'vmm.devices')
    return {
      ...base,
      facts: p.vmm.units[0]!.state.devices.map((d) =>
        fact(
          hex(d.vsid),
          d.name,
          d.vdevice ? `vDEVICE ${d.vdevice}, DEVICE ${d.devid}` : `DEVICE ${d.devid}, no vDEVICE yet`,
        ),
      ),
    };
  if (id === 'kernel.driver')
    return { ...base, facts: p.driver.state.log.slice(-12).map((l, i) => fact(i === 0 ? 'kernel log' : '', l)) };
  if (id.startsWith('kernel.obj.'))
    return {
      ...base,
      facts: object.refs.map((r) => fact(r.label ?? 'reference', r.to.replace('kernel.obj.', 'object '))),
      records: nestedSte(p, id),
    };
  return hardware(p, kind, name ?? '', part, base);
}

type Base = { title: string; subtitle: string; records: InspectedRecord[]; facts: Fact[] };

function guest(p: Parts, kind: string, name: string, part: Part, base: Base): Inspection {
  const v = p.guest.views();
  const reg = (n: string): bigint => p.vmm.readVirtual(n);
  switch (kind) {
    case 'cmdq':
    case 'evtq': {
      const q = kind === 'cmdq' ? v.cmdq : v.evtq;
      const prefix = kind === 'cmdq' ? 'CMDQ' : 'EVENTQ';
      const regs = ['BASE', 'PROD', 'CONS'].map((r) => registerRecord(`${prefix}_${r}`, reg(`${prefix}_${r}`)));
      if (!q) return { ...base, records: regs };
      const at = part?.index ?? (Number(reg(`${prefix}_PROD`)) - 1) & (q.size - 1);
      return entryOf(p, 'guest', base, kind, q.base, at, regs, part?.index !== undefined);
    }
    case 'strtab':
      return { ...base, records: ['STRTAB_BASE', 'STRTAB_BASE_CFG'].map((r) => registerRecord(r, reg(r))) };
    case 'ste': {
      const d = v.devices.find((x) => hexPlain(x.vsid) === name);
      if (!d) return base;
      const words = readWords(p.guestMemory, d.steAddress, 8);
      return {
        ...base,
        title: `vSTE ${hex(d.vsid)} of ${d.name}`,
        subtitle: steText(words),
        records: [{ title: 'Stream table entry', layout: steLayout, words, address: d.steAddress, space: 'guest' }],
      };
    }
    case 'cdtable': {
      const d = v.devices.find((x) => x.name === name);
      if (!d?.ownTable) return base;
      const words = readWords(p.guestMemory, d.ownTable.address, 8);
      return {
        ...base,
        title: `CD table of ${name}`,
        subtitle: `${2 ** d.ownTable.s1cdmax} context descriptor${d.ownTable.s1cdmax ? 's' : ''}, linear`,
        records: [
          { title: 'Context descriptor 0', layout: cdLayout, words, address: d.ownTable.address, space: 'guest' },
        ],
        facts: v.devices.filter((x) => x.cdTable?.owner === name).map((x) => fact('used by', x.name)),
      };
    }
    case 's1': {
      const s = v.domains.find((x) => x.name === name);
      if (!s) return base;
      const leaves = s.mappings.slice(-4).flatMap((m) => leafRecord(p, s.root, m.iova));
      return {
        ...base,
        subtitle: `ASID ${s.asid}, TTB0 ${hex(s.root)}`,
        records: leaves,
        facts: s.mappings.map((m) =>
          fact(hex(m.iova), `${hex(m.gpa)}`, `${sizeText(Math.log2(m.size))} ${m.perm}`.replace(/NaN.*? /, '')),
        ),
      };
    }
    case 'device': {
      const d = p.devices.find((x) => x.name === name);
      const g = v.devices.find((x) => x.name === name);
      return {
        ...base,
        facts: [
          fact('vRID', d ? ridText(d.vrid) : ''),
          fact('domain', g?.domain || 'none'),
          fact('ATS', g?.atsEnabled ? 'on' : 'off'),
        ],
      };
    }
    default:
      return base;
  }
}

/** One entry of a queue with the queue's registers behind it. */
function entryOf(
  p: Parts,
  space: 'guest' | 'host',
  base: Base,
  kind: string,
  at: number,
  index: number,
  regs: InspectedRecord[],
  named: boolean,
): Inspection {
  const bus = space === 'guest' ? p.guestMemory : p.memory;
  const bytes = kind === 'cmdq' ? 16 : 32;
  const address = at + index * bytes;
  const words = readWords(bus, address, bytes / 8);
  if (words.every((w) => w === 0n)) return { ...base, records: regs };
  const layout = kind === 'cmdq' ? commandLayout(words) : eventLayout(words);
  const text = kind === 'cmdq' ? commandText(words).text : eventText(words);
  const entry: InspectedRecord = {
    title: kind === 'cmdq' ? `Command ${index}: ${layout.name}` : `Event ${index}: ${layout.name}`,
    layout,
    words,
    address,
    space,
  };
  return named
    ? { ...base, title: `${base.title}, entry ${index}`, subtitle: text, records: [entry] }
    : { ...base, records: [entry, ...regs] };
}

/** The leaf descriptor of an input address in a 4 KiB-granule stage-1 table in guest memory. */
function leafRecord(p: Parts, root: number, iova: number): InspectedRecord[] {
  let table = root;
  for (let level = 0; level < 4; level++) {
    const address = table + (Math.floor(iova / 2 ** (39 - 9 * level)) % 512) * 8;
    const word = p.guestMemory.readWord(address);
    if ((word & 1n) === 0n) return [];
    const form = level === 3 ? 'page' : (word & 2n) !== 0n ? 'table' : 'block';
    if (form !== 'table') {
      const layout = layoutById(`vmsav8.s1.${form}`);
      return layout
        ? [{ title: `${hex(iova)}: level ${level} ${form}`, layout, words: [word], address, space: 'guest' }]
        : [];
    }
    table = Number(word & 0xfffffffff000n);
  }
  return [];
}

const registerRecord = (name: string, value: bigint): InspectedRecord => ({
  title: name,
  layout: registers.find((r) => r.name === name)!.layout,
  words: [value],
});

function virtualRegisters(p: Parts): InspectedRecord[] {
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
  ].map((n) => registerRecord(n, p.vmm.readVirtual(n)));
}

/** The vSTE words that a nested page table was made with. */
function nestedSte(p: Parts, id: string): InspectedRecord[] {
  const o = p.iommufd.object(id);
  const nested = o?.type === 'HWPT_NESTED' ? p.driver.state.nested.get(o.domain) : undefined;
  return nested
    ? [{ title: 'vSTE as accepted', layout: steLayout, words: [...nested.ste, 0n, 0n, 0n, 0n, 0n, 0n] }]
    : [];
}

function hardware(p: Parts, kind: string, name: string, part: Part, base: Base): Inspection | null {
  const { smmu } = p;
  const reg = (n: string): InspectedRecord => registerRecord(n, smmu.readRegister(n));
  switch (kind) {
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
      const m = isProbed(p) ? p.driver.masters().find((x) => hexPlain(x.sid) === name) : undefined;
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
    case 'evtq': {
      const cmd = kind === 'cmdq';
      const prefix = cmd ? 'CMDQ' : 'EVENTQ';
      const q = ring(
        smmu.readRegister(`${prefix}_BASE`),
        cmd ? smmu.features.cmdqsLog2 : smmu.features.eventqsLog2,
        cmd ? 16 : 32,
      );
      const at = part?.index ?? (smmu.regs.num(`${prefix}_PROD`) - 1) & (2 ** q.log2 - 1);
      return entryOf(
        p,
        'host',
        base,
        kind,
        q.base,
        at,
        [`${prefix}_BASE`, `${prefix}_PROD`, `${prefix}_CONS`].map(reg),
        part?.index !== undefined,
      );
    }
    case 'config':
      return part?.row === undefined ? base : configRow(p, part.row, base);
    case 'iotlb':
      return part?.row === undefined ? base : translationRow(smmu.caches.iotlb, part.row, base);
    case 's1walk':
      return part?.row === undefined ? base : translationRow(smmu.caches.s1walk, part.row, base);
    case 's2tlb':
      return part?.row === undefined ? base : translationRow(smmu.caches.s2tlb, part.row, base);
    case 's2walk':
      return part?.row === undefined ? base : translationRow(smmu.caches.s2walk, part.row, base);
    case 'device': {
      const d = p.devices.find((x) => x.name === name);
      if (!d) return null;
      if (part?.row !== undefined) return translationRow(d.atc, part.row, base);
      return {
        ...base,
        facts: [
          fact('StreamID', hex(d.rid), ridText(d.rid)),
          fact('ATS', d.atsCapable ? (d.atsEnabled ? 'enabled' : 'capable, off') : 'not capable'),
          fact('ATC entries', String(d.atc.size)),
          fact('PASID bits', String(d.pasidBits)),
        ],
      };
    }
    default:
      return base;
  }
}

function configRow(p: Parts, uid: number, base: Base): Inspection | null {
  const { caches } = p.smmu;
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
