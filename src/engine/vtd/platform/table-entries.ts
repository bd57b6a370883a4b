import { fieldsOf, hex } from '../../bits/index.ts';
import { fieldsLine, inputRange, type MemoryPlace, sizeOf, type TableRef } from '../../machine/index.ts';
import { guestOfDevice, isZero, type Locate, ringEntry, type Said, tableRef } from '../../platform/index.ts';
import {
  contextLayout,
  contextLegacyLayout,
  pasidDirLayout,
  pasidLayout,
  rootLayout,
  rootLegacyLayout,
  secondStageEntryLayout,
  vtdLevelShift,
  x86EntryLayout,
} from '../layout/index.ts';
import { contextText, pasidText } from './entry-text.ts';
import type { Parts } from './parts.ts';
import { invalidationKind, requestRing } from './rings.ts';

/** What entries of VT-d's tables say, and which tables they lead to. Source: Intel VT-d specification, chapter 9. */

type Words = readonly bigint[];

const DEVICES = { input: 'device', inputName: 'RID' } as const;
const PASIDS = { input: 'PASID', inputName: 'PASID' } as const;

/** @param unit number of the physical unit that has it, -1 for a guest's */
export const rootTable = (place: MemoryPlace, unit: number, scalable: boolean): TableRef =>
  tableRef(place, 'root', [unit, scalable ? 1 : 0], {
    ...DEVICES,
    title: 'Root table',
    entries: 256,
    bytes: 16,
    span: 256n,
  });

const besides = (ref: TableRef, address: number): MemoryPlace => ({
  space: ref.space,
  ...(ref.guest ? { guest: ref.guest } : {}),
  address,
});

/** @param more of a first stage: the second one below it */
export function pageTable(
  place: MemoryPlace,
  stage: 1 | 2,
  level: number,
  top: number,
  base = 0n,
  more: Pick<TableRef, 'through'> = {},
  exec = false,
): TableRef {
  const first = level === top;
  return tableRef(
    place,
    stage === 1 ? 'fs' : 'ss',
    [level, top, exec ? 1 : 0],
    {
      title: `Level ${level} table`,
      entries: 512,
      bytes: 8,
      input: 'address',
      inputName: stage === 1 ? 'IOVA' : more.through ? 'GPA' : 'address',
      base,
      span: 1n << BigInt(vtdLevelShift(level)),
    },
    {
      stage,
      ...more,
      ...(stage === 1 && first ? { signed: 12 + 9 * top } : {}),
      ...(level === 1 ? { last: true as const } : {}),
    },
  );
}

/** @param order log2 of the PASIDs that the directory holds */
export const pasidDirectory = (
  place: MemoryPlace,
  unit: number,
  rid: number,
  order: number,
  without: bigint,
): TableRef =>
  tableRef(
    place,
    'pasiddir',
    [unit, rid],
    { ...PASIDS, title: 'PASID directory', entries: 2 ** (order - 6), bytes: 8, span: 64n },
    { without },
  );

function root(ref: TableRef, index: number, words: Words): Said {
  const [unit, scalable] = ref.args as [number, number];
  const layout = scalable ? rootLayout : rootLegacyLayout;
  const said = { layout, attributes: '', children: [] } as const;
  if (isZero(words)) return { ...said, kind: 'empty', text: 'no context table' };
  const get = fieldsOf(layout, words);
  const bus = BigInt(index) * 256n;
  const table = (pointer: string, base: bigint, title: string): TableRef =>
    tableRef(besides(ref, Number(get(pointer))), 'context', [unit, scalable], {
      ...DEVICES,
      title,
      entries: scalable ? 128 : 256,
      bytes: scalable ? 32 : 16,
      base,
    });
  const children = scalable
    ? [
        ...(get('LP') ? [table('LCTP', bus, 'Lower context table')] : []),
        ...(get('UP') ? [table('UCTP', bus + 128n, 'Upper context table')] : []),
      ]
    : get('P')
      ? [table('CTP', bus, 'Context table')]
      : [];
  if (children.length === 0) return { ...said, kind: 'invalid', text: 'not present' };
  const text = children.map((c) => `${c.title.toLowerCase()} ${hex(c.address)}`).join(' · ');
  return { ...said, kind: 'table', text, children };
}

const levelsOf = (aw: bigint): number => (aw >= 1n && aw <= 3n ? Number(aw) + 2 : 0);

function context(p: Parts, ref: TableRef, index: number, words: Words): Said {
  const [unit, scalable] = ref.args as [number, number];
  const layout = scalable ? contextLayout : contextLegacyLayout;
  const said = { layout, attributes: '', children: [] } as const;
  if (isZero(words)) return { ...said, kind: 'empty', text: 'not present' };
  const get = fieldsOf(layout, words);
  if (!get('P')) return { ...said, kind: 'invalid', text: 'not present' };
  if (!scalable) {
    if (get('TT') === 2n) return { ...said, kind: 'record', text: `pass-through · DID ${get('DID')}`, bypass: true };
    const levels = levelsOf(get('AW'));
    const at = get('SSPTPTR');
    const children = levels && get('TT') < 2n ? [pageTable(besides(ref, Number(at)), 2, levels, levels)] : [];
    return { ...said, kind: 'table', text: `DID ${get('DID')} · SS ${hex(at)}`, children };
  }
  const rps = unit < 0 || p.units[unit]!.iommu.features.rps;
  const rid = Number(ref.base) + index;
  const at = get('PASIDDIRPTR');
  const without = rps ? get('RID_PASID') : 0n;
  const child = pasidDirectory(besides(ref, Number(at)), unit, rid, Number(get('PDTS')) + 13, without);
  return { ...said, kind: 'table', text: `PASID directory ${hex(at)} · ${contextText(words)}`, children: [child] };
}

function directory(ref: TableRef, index: number, words: Words): Said {
  const said = { layout: pasidDirLayout, attributes: '', children: [] } as const;
  if (words[0] === 0n) return { ...said, kind: 'empty', text: 'not present' };
  const get = fieldsOf(pasidDirLayout, words);
  if (!get('P')) return { ...said, kind: 'invalid', text: 'not present' };
  const at = get('SMPTBLPTR');
  const shape = { ...PASIDS, title: 'PASID table', entries: 64, bytes: 64, base: BigInt(index) * 64n };
  const without = ref.without === undefined ? {} : { without: ref.without };
  const child = tableRef(besides(ref, Number(at)), 'pasid', ref.args, shape, without);
  return { ...said, kind: 'table', text: `PASID table ${hex(at)}`, children: [child] };
}

function pasid(p: Parts, ref: TableRef, words: Words, locate: Locate): Said {
  const said = { layout: pasidLayout, attributes: '', children: [] } as const;
  const t = pasidText(words);
  if (isZero(words)) return { ...said, kind: 'empty', text: 'not present' };
  if (!t.present) return { ...said, kind: 'invalid', text: t.text };
  if (t.type === 4) return { ...said, kind: 'record', text: t.text, bypass: true };
  const get = fieldsOf(pasidLayout, words);
  const [unit, rid] = ref.args as [number, number];
  const device = unit < 0 ? undefined : p.units[unit]!.devices.find((d) => (d.rid & 0xffff) === rid);
  const children: TableRef[] = [];
  const levels = levelsOf(get('AW'));
  const exec = get('SSEE') === 1n;
  const second =
    (t.type === 2 || t.type === 3) && levels
      ? pageTable(besides(ref, Number(t.ss)), 2, levels, levels, 0n, {}, exec)
      : null;
  if (t.type === 1 || t.type === 3) {
    const nested = t.type === 3 && second ? { through: second } : {};
    const guest = t.type === 3 && device ? { guest: guestOfDevice(p, device).name } : {};
    const place = locate({ ...ref, ...guest, ...nested }, Number(t.fs), 8);
    const top = get('FSPM') === 1n ? 5 : 4;
    if (place && get('FSPM') < 2n) children.push(pageTable(place, 1, top, top, 0n, nested));
  }
  if (second) children.push(second);
  return { ...said, kind: 'table', text: [t.text, ...t.tables].join(' · '), children };
}

/** Texts of attributes by what decides them: a table of a million pages has few. */
const attributeTexts = new Map<string, string>();

function paging(ref: TableRef, index: number, words: Words, locate: Locate): Said {
  const word = words[0]!;
  const [level, top, exec] = ref.args as [number, number, number];
  const stage = ref.format === 'fs' ? 1 : 2;
  const layout = stage === 1 ? x86EntryLayout(level, word) : secondStageEntryLayout(level, word, exec === 1);
  const said = { layout, attributes: '', children: [] } as const;
  if (word === 0n) return { ...said, kind: 'empty', text: 'not present' };
  if (layout.id.endsWith('.absent'))
    return { ...said, kind: 'invalid', text: `not present, with ${hex(word)} in it`, attributes: word.toString(16) };
  const get = fieldsOf(layout, words);
  const address = get('ADDR');
  const flags = (skip: readonly string[]): string => fieldsLine(layout, words, ['ADDR', 'PS', ...skip]);
  if (layout.id.endsWith('.table')) {
    const text = `table ${hex(address)} · ${flags(['P'])}`;
    const place = level > 1 ? locate(ref, Number(address), 8) : null;
    if (!place) return { ...said, kind: 'table', text: `${text} · outside memory` };
    const through = ref.through ? { through: ref.through } : {};
    const { from } = inputRange(ref, index);
    return {
      ...said,
      kind: 'table',
      text,
      children: [pageTable(place, stage, level - 1, top, from, through, exec === 1)],
    };
  }
  const key = `${layout.id} ${(word & ~address).toString(16)}`;
  let attributes = attributeTexts.get(key);
  if (attributes === undefined) {
    const perms =
      stage === 1
        ? `${get('R/W') ? 'RW' : 'RO'}${get('U/S') ? '' : ' supervisor'}`
        : ['no access', 'RO', 'WO', 'RW'][Number(get('R') | (get('W') << 1n))]!;
    const rest = flags(stage === 1 ? ['P', 'R/W', 'U/S'] : ['R', 'W']);
    attributes = `${sizeOf(ref.span)} ${perms}${rest && ` · ${rest}`}`;
    attributeTexts.set(key, attributes);
  }
  return { ...said, kind: 'page', text: `${hex(address)} · ${attributes}`, output: address, attributes };
}

export function entryOf(p: Parts, ref: TableRef, index: number, words: Words, locate: Locate): Said {
  switch (ref.format) {
    case 'root':
      return root(ref, index, words);
    case 'context':
      return context(p, ref, index, words);
    case 'pasiddir':
      return directory(ref, index, words);
    case 'pasid':
      return pasid(p, ref, words, locate);
    case 'fs':
    case 'ss':
      return paging(ref, index, words, locate);
    case 'prq':
      return ringEntry(requestRing, words);
    default:
      return ringEntry(invalidationKind(words.length), words);
  }
}
