import { fieldsOf, hex } from '../../bits/index.ts';
import { fieldsLine, sizeOf, type TableRef } from '../../machine/index.ts';
import { descriptorLayout, type Granule, levelShift } from '../../pagetable/vmsav8-layout.ts';
import { guestOfDevice, isZero, type Locate, ringEntry, type Said, tableRef } from '../../platform/index.ts';
import { cdLayout, l1cdLayout, l1stdLayout, steLayout } from '../layout/index.ts';
import type { Parts } from './parts.ts';
import { type RingName, rings } from './rings.ts';
import { steText } from './ste-text.ts';

/** What entries of the SMMU's tables say, and which tables they lead to. Source: Arm IHI 0070 chapter 5, Arm DDI 0487 D8. */

type Words = readonly bigint[];

const STREAMS = { bytes: 64, input: 'device', inputName: 'StreamID' } as const;
const CDS = { bytes: 64, input: 'PASID', inputName: 'SSID' } as const;
/** Granules by TG0 and S2TG, and by TG1. */
const tg0: readonly (Granule | 0)[] = [12, 16, 14, 0];
const tg1: readonly (Granule | 0)[] = [0, 14, 12, 16];

/** A linear stream table or a leaf of a two-level one. `unit`: number of the physical SMMU that has it, -1 for a guest's. */
export const streamTable = (
  place: Pick<TableRef, 'space' | 'guest' | 'address'>,
  unit: number,
  entries: number,
  base = 0n,
) => tableRef(place, 'ste', [unit], { ...STREAMS, title: 'Stream table', entries, base });

export const streamDirectory = (
  place: Pick<TableRef, 'space' | 'guest' | 'address'>,
  unit: number,
  entries: number,
  split: number,
) =>
  tableRef(place, 'l1std', [unit, split], {
    ...STREAMS,
    bytes: 8,
    title: 'Level-1 stream table',
    entries,
    span: 1n << BigInt(split),
  });

const alignedTo = (address: number, bytes: number): number => address - (address % bytes);

/** The table of context descriptors, as STE.S1Fmt and S1CDMax shape it. */
export function contextTable(
  place: Pick<TableRef, 'space' | 'guest' | 'address'>,
  s1Fmt: number,
  s1CdMax: number,
  more: Pick<TableRef, 'through' | 'without'> = {},
): TableRef {
  const format = s1CdMax === 0 || s1Fmt === 3 ? 0 : s1Fmt;
  if (format === 0) {
    const title = s1CdMax === 0 ? 'Context descriptor' : 'CD table';
    return tableRef(place, 'cd', [], { ...CDS, title, entries: 2 ** s1CdMax }, { stage: 1, ...more });
  }
  const bits = format === 1 ? 6 : 10;
  const shape = { ...CDS, bytes: 8, title: 'Level-1 CD table', entries: Math.max(1, 2 ** (s1CdMax - bits)) };
  return tableRef(place, 'l1cd', [bits], { ...shape, span: 1n << BigInt(bits) }, { stage: 1, ...more });
}

/** A page table of either stage, from its first level on. Null for sizes that no walk can have. */
export function pageTable(
  place: Pick<TableRef, 'space' | 'guest' | 'address'>,
  stage: 1 | 2,
  o: {
    readonly granule: number;
    readonly inputBits: number;
    readonly startLevel: number;
    readonly wide: boolean;
    readonly upper?: boolean;
  },
  through?: TableRef,
): TableRef | null {
  const { granule, inputBits, startLevel: level } = o;
  if (![12, 14, 16].includes(granule) || level < 0 || level > 3) return null;
  const bits = inputBits - levelShift(granule as Granule, level);
  if (bits < 0 || bits > granule - 3 + 4 || inputBits > 52) return null;
  const entries = 2 ** bits;
  const base = o.upper ? (1n << 64n) - (1n << BigInt(inputBits)) : 0n;
  const at = { ...place, address: alignedTo(place.address, Math.max(16, entries * 8)) };
  return levelTable(at, stage, level, granule as Granule, o.wide, entries, base, through);
}

function levelTable(
  place: Pick<TableRef, 'space' | 'guest' | 'address'>,
  stage: 1 | 2,
  level: number,
  granule: Granule,
  wide: boolean,
  entries: number,
  base: bigint,
  through: TableRef | undefined,
): TableRef {
  const shape = {
    title: `Level ${level} table`,
    entries,
    bytes: 8,
    input: 'address',
    inputName: stage === 1 ? 'VA' : 'IPA',
    base,
    span: 1n << BigInt(levelShift(granule, level)),
  } as const;
  return tableRef(place, stage === 1 ? 's1' : 's2', [level, granule, wide ? 1 : 0], shape, {
    stage,
    ...(through ? { through } : {}),
    ...(level === 3 ? { last: true as const } : {}),
  });
}

/** @param unit number of the physical SMMU, whose devices tell whose addresses a nested STE holds */
function ste(p: Parts, ref: TableRef, index: number, words: Words, locate: Locate): Said {
  const said = { layout: steLayout, attributes: '', children: [] } as const;
  if (isZero(words)) return { ...said, kind: 'empty', text: 'abort: V=0' };
  const get = fieldsOf(steLayout, words);
  const n = (name: string): number => Number(get(name));
  const text = steText(words);
  if (!n('V')) return { ...said, kind: 'invalid', text: `${text}: every transaction is aborted` };
  const config = n('Config');
  const same = words.map((w) => w.toString(16)).join(' ');
  if (config === 4)
    return { ...said, kind: 'record', text: 'bypass: addresses pass as they are', attributes: same, bypass: true };
  if (config < 4) return { ...said, kind: 'record', text: 'abort', attributes: same };
  const children: TableRef[] = [];
  const [unit] = ref.args as [number];
  const sid = Number(ref.base) + index;
  const device = unit < 0 ? undefined : p.units[unit]!.devices.find((d) => d.rid === sid);
  const vmid = ` · VMID ${n('S2VMID')}`;
  let second: TableRef | null = null;
  if (config & 2) {
    const granule = tg0[n('S2TG')]!;
    const sl0 = n('S2SL0');
    const startLevel = granule === 12 ? (sl0 === 3 ? 3 : 2 - sl0) : 3 - sl0;
    const wide = p.units[0]!.iommu.features.oas >= 52;
    const place = { space: ref.space, ...(ref.guest ? { guest: ref.guest } : {}), address: n('S2TTB') };
    second = pageTable(place, 2, { granule, inputBits: 64 - n('S2T0SZ'), startLevel, wide });
  }
  if (config & 1) {
    const from: TableRef =
      second && device ? { ...ref, through: second, guest: guestOfDevice(p, device).name } : { ...ref };
    const max = n('S1CDMax');
    const fmt = max === 0 || n('S1Fmt') === 3 ? 0 : n('S1Fmt');
    const bytes = fmt === 0 ? 64 * 2 ** max : Math.max(64, 8 * 2 ** (max - (fmt === 1 ? 6 : 10)));
    const place = locate(from, alignedTo(n('S1ContextPtr'), bytes), 64);
    const dss = n('S1DSS');
    const without = max === 0 || dss === 2 ? 0n : dss === 1 ? 'bypass' : 'fault';
    if (place) children.push(contextTable(place, fmt, max, { without, ...(second ? { through: second } : {}) }));
  }
  if (second) children.push(second);
  const ptr = config & 1 ? ` · CDs at ${hex(get('S1ContextPtr'))}` : '';
  const s2 = config & 2 ? ` · S2TTB ${hex(get('S2TTB'))}` : '';
  return { ...said, kind: children.length ? 'table' : 'record', text: `${text}${vmid}${ptr}${s2}`, children };
}

function l1std(ref: TableRef, index: number, words: Words): Said {
  const said = { layout: l1stdLayout, attributes: '', children: [] } as const;
  const get = fieldsOf(l1stdLayout, words);
  const span = Number(get('Span'));
  const [unit, split] = ref.args as [number, number];
  if (words[0] === 0n) return { ...said, kind: 'empty', text: 'no table: Span 0' };
  if (span === 0 || span > 11 || span > split + 1) return { ...said, kind: 'invalid', text: `no table: Span ${span}` };
  const entries = 2 ** (span - 1);
  const address = alignedTo(Number(get('L2Ptr')), entries * 64);
  const place = { space: ref.space, ...(ref.guest ? { guest: ref.guest } : {}), address };
  const table = streamTable(place, unit, entries, BigInt(index) << BigInt(split));
  return { ...said, kind: 'table', text: `table of ${entries} STEs at ${hex(address)}`, children: [table] };
}

function l1cd(ref: TableRef, index: number, words: Words, locate: Locate): Said {
  const said = { layout: l1cdLayout, attributes: '', children: [] } as const;
  if (words[0] === 0n) return { ...said, kind: 'empty', text: 'no table: V=0' };
  const get = fieldsOf(l1cdLayout, words);
  if (get('V') === 0n) return { ...said, kind: 'invalid', text: 'no table: V=0' };
  const [bits] = ref.args as [number];
  const address = alignedTo(Number(get('L2Ptr')), 2 ** bits * 64);
  const place = locate(ref, address, 64);
  const shape = { ...CDS, title: 'CD table', entries: 2 ** bits, base: BigInt(index) << BigInt(bits) };
  const through = ref.through ? { through: ref.through } : {};
  const without = ref.without === undefined ? {} : { without: ref.without };
  const children = place ? [tableRef(place, 'cd', [], shape, { stage: 1, ...without, ...through })] : [];
  return { ...said, kind: 'table', text: `table of ${2 ** bits} CDs at ${hex(address)}`, children };
}

function cd(p: Parts, ref: TableRef, words: Words, locate: Locate): Said {
  const said = { layout: cdLayout, attributes: '', children: [] } as const;
  if (isZero(words)) return { ...said, kind: 'empty', text: 'V=0' };
  const get = fieldsOf(cdLayout, words);
  const n = (name: string): number => Number(get(name));
  if (!n('V')) return { ...said, kind: 'invalid', text: 'V=0: every transaction is aborted' };
  const wide = p.units[0]!.iommu.features.oas >= 52;
  const half = (upper: boolean): TableRef[] => {
    const k = upper ? 1 : 0;
    const granule = (upper ? tg1 : tg0)[n(`TG${k}`)]!;
    const inputBits = 64 - n(`T${k}SZ`);
    const place = n(`EPD${k}`) || granule === 0 ? null : locate(ref, n(`TTB${k}`), 8);
    if (!place) return [];
    const startLevel = 4 - Math.ceil((inputBits - granule) / (granule - 3));
    const t = pageTable(place, 1, { granule, inputBits, startLevel, wide, upper }, ref.through);
    return t ? [{ ...t, title: `TTB${k}, ${t.title.toLowerCase()}` }] : [];
  };
  const children = [...half(false), ...half(true)];
  const names = [0, 1].filter((k) => !n(`EPD${k}`)).map((k) => ` · TTB${k} ${hex(get(`TTB${k}`))}`);
  const text = `ASID ${n('ASID')}${names.join('') || ' · no table: both halves are off'}`;
  return { ...said, kind: children.length ? 'table' : 'record', text, children };
}

/** Texts of attributes by what decides them: a table of a million pages has few. */
const attributeTexts = new Map<string, string>();

function descriptor(ref: TableRef, index: number, words: Words, locate: Locate): Said {
  const word = words[0]!;
  const [level, granule, wide] = ref.args as [number, Granule, number];
  const stage = ref.format === 's1' ? 1 : 2;
  const layout = descriptorLayout(stage, level, word, granule, wide === 1);
  const get = fieldsOf(layout, words);
  const said = { layout, attributes: '', children: [] } as const;
  if (word === 0n) return { ...said, kind: 'empty', text: 'invalid' };
  if (layout.id.endsWith('.invalid'))
    return { ...said, kind: 'invalid', text: `invalid, with ${hex(word)} in it`, attributes: word.toString(16) };
  const top = wide && granule === 16 ? get('AddressTop') << 48n : 0n;
  if (layout.id.includes('.table')) {
    const address = Number(get('NextLevelTable') | top);
    const place = locate(ref, address, 8);
    const base = ref.base + ref.span * BigInt(index);
    const child =
      place && levelTable(place, stage, level + 1, granule, wide === 1, 2 ** (granule - 3), base, ref.through);
    const limits = fieldsLine(layout, words, ['Type', 'NextLevelTable', 'AddressTop']);
    const text = `table ${hex(address)}${limits && ` · ${limits}`}${child ? '' : ' · outside memory'}`;
    return { ...said, kind: 'table', text, children: child ? [child] : [] };
  }
  const output = get('OutputAddress') | top;
  const rest = word & ~get('OutputAddress') & (top ? ~0xf000n : ~0n);
  const key = `${layout.id} ${rest.toString(16)}`;
  let attributes = attributeTexts.get(key);
  if (attributes === undefined) {
    attributes = fieldsLine(layout, words, [
      'Type',
      'OutputAddress',
      'AddressTop',
      ...(stage === 1 ? ['AP'] : ['S2AP']),
    ]);
    const perms =
      stage === 1
        ? `${get('AP') & 2n ? 'RO' : 'RW'}${get('AP') & 1n ? '' : ' privileged'}`
        : ['no access', 'RO', 'WO', 'RW'][Number(get('S2AP'))]!;
    attributes = `${sizeOf(ref.span)} ${perms}${attributes && ` · ${attributes}`}`;
    attributeTexts.set(key, attributes);
  }
  return { ...said, kind: 'page', text: `${hex(output)} · ${attributes}`, output, attributes };
}

export function entryOf(p: Parts, ref: TableRef, index: number, words: Words, locate: Locate): Said {
  switch (ref.format) {
    case 'ste':
      return ste(p, ref, index, words, locate);
    case 'l1std':
      return l1std(ref, index, words);
    case 'cd':
      return cd(p, ref, words, locate);
    case 'l1cd':
      return l1cd(ref, index, words, locate);
    case 's1':
    case 's2':
      return descriptor(ref, index, words, locate);
    default:
      return ringEntry(rings[ref.format as RingName], words);
  }
}
