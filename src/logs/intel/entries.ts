/** Root, context, PASID and paging entries as facts and half sentences. */

import { fieldOf, getField, hexPlain, type Layout, reservedBits } from '../../engine/bits/index.ts';
import { contextLayout, contextLegacyLayout, pasidLayout } from '../../engine/vtd/layout/index.ts';

/** All fields by name: addresses and ids as hexadecimal text, the rest as numbers. */
export function fieldsOf(layout: Layout, words: readonly bigint[]): Record<string, string | number> {
  return Object.fromEntries(
    layout.fields.map((f) => {
      const v = getField(f, words);
      return [f.name, f.format === 'hex' || f.format === 'addr' ? hexPlain(v) : Number(v)];
    }),
  );
}

const get = (layout: Layout, name: string, words: readonly bigint[]): number =>
  Number(getField(fieldOf(layout, name), words));
const addr = (layout: Layout, name: string, words: readonly bigint[]): string =>
  hexPlain(getField(fieldOf(layout, name), words));

const widthLevels = (aw: number): string => ['', '3 levels', '4 levels', '5 levels'][aw] ?? `illegal AW ${aw}`;

/** Name of PGTT as the format's description has it. */
export const pgttName = (value: number): string =>
  ({ 1: 'first-stage only', 2: 'second-stage only', 3: 'nested', 4: 'pass-through' })[value] ?? `reserved (${value})`;

const ttNames = [
  'untranslated requests only',
  'translated requests allowed (Device-TLB)',
  'pass-through',
  'reserved',
] as const;

/** Facts of a PASID entry, under the names of the format's description. */
export function pasidEntryFacts(words: readonly bigint[]): Record<string, unknown> {
  const n = (name: string): number => get(pasidLayout, name, words);
  const pgtt = n('PGTT');
  return {
    P: n('P'),
    ...(n('FPD') ? { FPD: 1 } : {}),
    PGTT: pgtt,
    PGTT_name: pgttName(pgtt),
    domain_id: n('DID'),
    ...(pgtt === 2 || pgtt === 3 ? { slptptr: addr(pasidLayout, 'SSPTPTR', words), AW: n('AW') } : {}),
    ...(pgtt === 1 || pgtt === 3 ? { flptptr: addr(pasidLayout, 'FSPTPTR', words), FLPM: n('FSPM') } : {}),
  };
}

/** Facts of a legacy context entry, under the names of the format's description. */
export function legacyContextFacts(words: readonly bigint[]): Record<string, unknown> {
  const n = (name: string): number => get(contextLegacyLayout, name, words);
  const tt = n('TT');
  return {
    P: n('P'),
    TT: tt,
    TT_name: ttNames[tt],
    slptptr: addr(contextLegacyLayout, 'SSPTPTR', words),
    AW: n('AW'),
    domain_id: n('DID'),
  };
}

/** `first-stage tables at 0x.. (4 levels), domain 5` for a sentence. */
export function pasidEntryText(words: readonly bigint[]): string {
  const n = (name: string): number => get(pasidLayout, name, words);
  if (n('P') === 0)
    return n('FPD') === 1 ? 'not present, with faults silenced (FPD)' : 'not present: every request is blocked';
  const first = `first-stage tables at ${n('PGTT') === 3 ? 'guest address ' : ''}${addr(pasidLayout, 'FSPTPTR', words)} (${n('FSPM') === 1 ? 5 : 4} levels)`;
  const second = `second-stage tables at ${addr(pasidLayout, 'SSPTPTR', words)} (${widthLevels(n('AW'))})`;
  const did = `domain ${n('DID')}`;
  switch (n('PGTT')) {
    case 1:
      return `${first}, ${did}`;
    case 2:
      return `${second}, ${did}`;
    case 3:
      return `nested: ${first} on top of ${second}, ${did}`;
    case 4:
      return `pass-through, ${did}`;
    default:
      return `illegal: PGTT ${n('PGTT')} is reserved`;
  }
}

/** `PASID directory at 0x.. for 2^20 PASIDs, ATS on` for a sentence. */
export function contextText(words: readonly bigint[], scalable: boolean): string {
  const l = scalable ? contextLayout : contextLegacyLayout;
  const n = (name: string): number => get(l, name, words);
  if (n('P') === 0) return 'not present: every request of the device is blocked';
  if (!scalable) {
    if (n('TT') === 2) return `pass-through, domain ${n('DID')}`;
    return `second-stage tables at ${addr(l, 'SSPTPTR', words)} (${widthLevels(n('AW'))}), domain ${n('DID')}${n('TT') === 1 ? ', ATS allowed' : ''}`;
  }
  const allowed = [
    ['DTE', 'ATS'],
    ['PASIDE', 'PASIDs'],
    ['PRE', 'page requests'],
  ]
    .filter(([f]) => n(f as string) === 1)
    .map(([, t]) => t);
  return `PASID directory at ${addr(l, 'PASIDDIRPTR', words)} for ${2 ** (n('PDTS') + 13)} PASIDs; ${allowed.length > 0 ? `${allowed.join(', ')} allowed` : 'neither ATS nor PASIDs nor page requests allowed'}${n('RID_PASID') === 0 ? '' : `; requests without PASID use PASID ${addr(l, 'RID_PASID', words)}`}`;
}

/** Reserved bits that are set, a sentence each. Bits 63:52 of pointers count as in hardware of 52 address bits. */
export function reservedText(layout: Layout, words: readonly bigint[]): string[] {
  return reservedBits(layout, words).flatMap((bits, i) =>
    bits === 0n ? [] : [`reserved bits ${hexPlain(bits)} of word ${i} are set`],
  );
}

/** What makes a PASID entry illegal, whatever the unit supports. Source: Intel VT-d, 9.6. */
export function pasidEntryFaults(words: readonly bigint[]): string[] {
  const n = (name: string): number => get(pasidLayout, name, words);
  if (n('P') === 0) return [];
  const out = reservedText(pasidLayout, words);
  const pgtt = n('PGTT');
  if (pgtt < 1 || pgtt > 4) out.push(`PGTT ${pgtt} is reserved`);
  if ((pgtt === 2 || pgtt === 3) && (n('AW') < 1 || n('AW') > 3)) out.push(`AW ${n('AW')} is illegal`);
  if ((pgtt === 1 || pgtt === 3) && n('FSPM') > 1) out.push(`FSPM ${n('FSPM')} is reserved`);
  return out;
}
