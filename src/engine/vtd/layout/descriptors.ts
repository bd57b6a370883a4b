/**
 * Descriptors of the invalidation queue: types, layouts, encoding and one line of text. All have four words here; a queue of
 * 128-bit entries holds the first two of them.
 * Source: Intel VT-d specification, 6.5.2 (queued invalidation interface).
 */

import type { Field, Layout } from '../../bits/index.ts';
import { addrBits, decBits, encode, enumBits, fieldsOf, flag, hexBits, hexPlain } from '../../bits/index.ts';
import type { CommandText } from '../../trace/index.ts';

type Get = (name: string) => bigint;

const SOURCE = 'Intel VT-d, 6.5.2';

const type = hexBits('Type', 0, 3, 0, 'Which descriptor this is (with bits 11:9 as the upper bits of the type).');
const granularity = (names: readonly string[]): Field => enumBits('G', 0, 5, 4, 'What is removed.', names);
const is =
  (...values: readonly bigint[]) =>
  (get: Get): boolean =>
    values.includes(get('G'));
const did = (when?: Field['when']): Field => decBits('DID', 0, 31, 16, 'Only entries of this domain id.', when);
const pasid = (when?: Field['when']): Field => hexBits('PASID', 0, 51, 32, 'Only entries of this PASID.', when);
const pfsidLow = hexBits('PFSID_LO', 0, 15, 12, 'Bits 3:0 of the physical function; 0 without ECAP.DIT.');
const pfsidHigh = hexBits('PFSID_HI', 0, 63, 52, 'Bits 15:4 of the physical function; 0 without ECAP.DIT.');
const pending = 'How many invalidations the device takes at once; 32 is coded as 0.';
const am = (when: Field['when']): Field => decBits('AM', 1, 5, 0, 'The range is 2^AM pages of 4 KiB.', when);
const ih = (when: Field['when']): Field =>
  flag('IH', 1, 6, 'Only leaf entries changed: entries that point to tables may stay cached.', when, {
    0: 'leaf and table entries',
    1: 'leaf entries only',
  });
const addr = (when?: Field['when']): Field =>
  addrBits('ADDR', 1, 63, 12, 'First input address of what is removed; its low AM page bits are ignored.', when);
const deviceAddr =
  'First address of what is removed; with S set, the lowest zero bit from bit 12 on gives the size too.';

const layout = (name: string, title: string, fields: readonly Field[]): Layout => ({
  id: `vtd.desc.${name.toLowerCase()}`,
  name,
  title,
  words: 4,
  source: SOURCE,
  fields: [type, ...fields],
});

/** Name, type, title, fields. */
const table: readonly (readonly [string, number, string, readonly Field[]])[] = [
  [
    'CC_INV',
    1,
    'Drop cached context entries',
    [
      granularity(['illegal', 'all', 'of a domain', 'of a device']),
      did(is(2n, 3n)),
      hexBits('SID', 0, 47, 32, 'Requester whose entry is removed.', is(3n)),
      enumBits(
        'FM',
        0,
        49,
        48,
        'Which function bits of SID are ignored.',
        ['none', 'bit 2', 'bits 2:1', 'bits 2:0'],
        is(3n),
      ),
    ],
  ],
  [
    'IOTLB_INV',
    2,
    'Drop cached translations of a domain',
    [
      granularity(['illegal', 'all', 'of a domain', 'of a domain, in a range']),
      flag('DW', 0, 6, 'Writes under way are finished first; needs CAP.DWD.'),
      flag('DR', 0, 7, 'Reads under way are finished first; needs CAP.DRD.'),
      did(is(2n, 3n)),
      am(is(3n)),
      ih(is(3n)),
      addr(is(3n)),
    ],
  ],
  [
    'DEV_TLB_INV',
    3,
    'Ask a device to drop translations without PASID from its device TLB',
    [
      pfsidLow,
      decBits('MIP', 0, 20, 16, pending),
      hexBits('SID', 0, 47, 32, 'The device.'),
      pfsidHigh,
      flag('S', 1, 0, 'ADDR codes a range; otherwise it is one page.'),
      addrBits('ADDR', 1, 63, 12, deviceAddr),
    ],
  ],
  [
    'IEC_INV',
    4,
    'Drop cached interrupt remapping entries',
    [
      flag('G', 0, 4, 'What is removed.', undefined, { 0: 'all', 1: 'by index' }),
      decBits('IM', 0, 31, 27, 'The range is 2^IM entries.', is(1n)),
      hexBits('IIDX', 0, 47, 32, 'First interrupt index.', is(1n)),
    ],
  ],
  [
    'INV_WAIT',
    5,
    'Complete when everything before it has completed',
    [
      flag('IF', 0, 4, 'Completion raises the invalidation completion interrupt.'),
      flag('SW', 0, 5, 'Completion writes STDATA to STADDR.'),
      flag('FN', 0, 6, 'Fence: later descriptors wait for all earlier ones.'),
      flag('PD', 0, 7, 'Page requests that were received are delivered first; needs ECAP.PDS.'),
      hexBits('STDATA', 0, 63, 32, 'What is written.', (get) => get('SW') === 1n),
      addrBits('STADDR', 1, 63, 2, 'Where the four bytes are written.', (get) => get('SW') === 1n),
    ],
  ],
  [
    'P_IOTLB_INV',
    6,
    'Drop cached first-stage and nested translations of a PASID',
    [
      granularity(['illegal', 'illegal', 'of a PASID', 'of a PASID, in a range']),
      did(),
      pasid(),
      am(is(3n)),
      ih(is(3n)),
      addr(is(3n)),
    ],
  ],
  [
    'PC_INV',
    7,
    'Drop cached PASID entries',
    [granularity(['of a domain', 'of a domain, one PASID', 'illegal', 'all']), did(is(0n, 1n)), pasid(is(1n))],
  ],
  [
    'P_DEV_TLB_INV',
    8,
    'Ask a device to drop translations of a PASID from its device TLB',
    [
      decBits('MIP', 0, 8, 4, pending),
      pfsidLow,
      hexBits('SID', 0, 31, 16, 'The device.'),
      pasid(is(0n)),
      pfsidHigh,
      flag('G', 1, 0, 'In every PASID of the device.'),
      flag('S', 1, 11, 'ADDR codes a range; otherwise it is one page.'),
      addrBits('ADDR', 1, 63, 12, deviceAddr),
    ],
  ],
  [
    'PAGE_GRP_RESP',
    9,
    'Answer a page request group of a device',
    [
      flag('PP', 0, 4, 'The answer names a PASID.'),
      {
        ...hexBits('RC', 0, 15, 12, 'The answer.'),
        format: 'enum',
        values: { 0: 'success', 1: 'invalid request', 15: 'response failure' },
      },
      hexBits('RID', 0, 31, 16, 'The device.'),
      hexBits('PASID', 0, 51, 32, 'PASID of the requests.', (get) => get('PP') === 1n),
      decBits('PRGI', 1, 11, 3, 'The group that is answered.'),
    ],
  ],
];

export const descriptorLayouts: readonly Layout[] = table.map(([name, , title, fields]) => layout(name, title, fields));

/** For types that the specification reserves. */
export const unknownDescriptorLayout: Layout = {
  id: 'vtd.desc.unknown',
  name: 'descriptor',
  title: 'Reserved type: the queue stops with IQE',
  words: 4,
  source: SOURCE,
  fields: [type, hexBits('TypeHigh', 0, 11, 9, 'Upper bits of the type.')],
};

/** Types by name. */
export const descriptorTypes: Readonly<Record<string, number>> = Object.freeze(
  Object.fromEntries(table.map(([name, t]) => [name, t])),
);

const byType = new Map<number, Layout>(table.map(([, t], i) => [t, descriptorLayouts[i] as Layout]));
const byName = new Map<string, Layout>(table.map(([name], i) => [name, descriptorLayouts[i] as Layout]));

/** Bits 3:0, with bits 11:9 as bits 6:4 of the type. */
export const descriptorType = (words: ArrayLike<bigint>): number => {
  const low = Number((words[0] ?? 0n) & 0xfffn);
  return (low & 0xf) | ((low >> 5) & 0x70);
};

/** The layout that the type selects, or the generic one. */
export const descriptorLayout = (words: ArrayLike<bigint>): Layout =>
  byType.get(descriptorType(words)) ?? unknownDescriptorLayout;

/** `P_IOTLB_INV`; `0x1a` for a reserved type. */
export function descriptorName(words: ArrayLike<bigint>): string {
  const l = descriptorLayout(words);
  return l === unknownDescriptorLayout ? hexPlain(descriptorType(words)) : l.name;
}

/**
 * Four 64-bit words of a descriptor. Fields left out are zero; `PFSID` (16 bits) is split into its two parts.
 * @throws Error for an unknown descriptor or field name, RangeError for a value that does not fit
 */
export function encodeDescriptor(
  name: string,
  fields: Readonly<Record<string, number | bigint | boolean>> = {},
): bigint[] {
  const l = byName.get(name);
  if (!l) throw new Error(`no VT-d descriptor is named ${name}`);
  const { PFSID, ...rest } = fields;
  const split: Record<string, bigint> =
    PFSID === undefined ? {} : { PFSID_LO: BigInt(PFSID) & 0xfn, PFSID_HI: BigInt(PFSID) >> 4n };
  return encode(l, { Type: descriptorTypes[name] as number, ...split, ...rest });
}

const PAGE = 12n;
const TOP = 1n << 63n;

/**
 * The range of a DEV_TLB_INV or P_DEV_TLB_INV, from S and ADDR: `size` is a power of two of bytes, `2^64` for everything.
 * With S set, the lowest zero bit from bit 12 on ends the size: bit 12 clear means 8 KiB. Source: PCIe ATS, and VT-d 6.5.2.5.
 */
export function deviceTlbRange(words: ArrayLike<bigint>): { readonly address: bigint; readonly size: bigint } {
  const second = words[1] ?? 0n;
  const sizeBit = descriptorType(words) === 8 ? 11n : 0n;
  const address = (second >> PAGE) << PAGE;
  if (((second >> sizeBit) & 1n) === 0n) return { address, size: 1n << PAGE };
  let bit = PAGE;
  while (bit < 63n && ((address >> bit) & 1n) === 1n) bit++;
  if (bit === 63n && (address & TOP) === 0n) return { address: 0n, size: 1n << 64n };
  const size = 1n << (bit + 1n);
  return { address: address & ~(size - 1n), size };
}

/** Name, layout and one line: `P_IOTLB_INV did 5 pasid 0x1234 addr 0x7f0012340000 pages 16 leaf`. */
export function descriptorText(words: readonly bigint[]): CommandText {
  const l = descriptorLayout(words);
  const name = descriptorName(words);
  const get = fieldsOf(l, words);
  const parts = l === unknownDescriptorLayout ? ['reserved type', name] : [name, ...argumentTexts(name, get, words)];
  return { words, layout: l.id, name, text: parts.join(' ') };
}

const granularityOf: Readonly<Record<string, readonly string[]>> = {
  CC_INV: ['illegal granularity 0', 'all', 'domain', 'device'],
  IOTLB_INV: ['illegal granularity 0', 'all', '', ''],
  P_IOTLB_INV: ['illegal granularity 0', 'illegal granularity 1', '', ''],
  PC_INV: ['', '', 'illegal granularity 2', 'all'],
};

/** Arguments in reading order: who, what, how. */
function argumentTexts(name: string, get: Get, words: ArrayLike<bigint>): string[] {
  const g = Number(get('G'));
  const out: string[] = [];
  const first = granularityOf[name]?.[g];
  if (first) out.push(first);
  if (first?.startsWith('illegal')) return out;
  switch (name) {
    case 'CC_INV':
      if (g === 3) out.push(`sid ${hexPlain(get('SID'))}`);
      if (g === 2 || (g === 3 && get('DID') !== 0n)) out.push(`did ${get('DID')}`);
      if (g === 3 && get('FM') !== 0n) out.push(`fm ${get('FM')}`);
      return out;
    case 'IOTLB_INV':
    case 'P_IOTLB_INV':
      if (name === 'P_IOTLB_INV' || g > 1) out.push(`did ${get('DID')}`);
      if (name === 'P_IOTLB_INV') out.push(`pasid ${hexPlain(get('PASID'))}`);
      if (g === 3) out.push(`addr ${hexPlain(get('ADDR'))}`, `pages ${1n << get('AM')}`);
      if (g === 3 && get('IH') === 1n) out.push('leaf');
      return out;
    case 'PC_INV':
      if (g < 2) out.push(`did ${get('DID')}`);
      if (g === 1) out.push(`pasid ${hexPlain(get('PASID'))}`);
      return out;
    case 'DEV_TLB_INV':
    case 'P_DEV_TLB_INV': {
      const { address, size } = deviceTlbRange(words);
      out.push(`sid ${hexPlain(get('SID'))}`);
      if (name === 'P_DEV_TLB_INV') out.push(g === 1 ? 'every pasid' : `pasid ${hexPlain(get('PASID'))}`);
      if (size === 1n << 64n) out.push('all');
      else out.push(`addr ${hexPlain(address)}`, `pages ${size >> PAGE}`);
      return out;
    }
    case 'IEC_INV':
      out.push(...(g === 0 ? ['all'] : [`index ${hexPlain(get('IIDX'))}`, `entries ${1n << get('IM')}`]));
      return out;
    case 'INV_WAIT':
      if (get('SW') === 1n) out.push(`status ${get('STDATA')} to ${hexPlain(get('STADDR'))}`);
      if (get('IF') === 1n) out.push('irq');
      if (get('FN') === 1n) out.push('fence');
      if (get('PD') === 1n) out.push('page-request drain');
      return out;
    default: {
      const rc = Number(get('RC'));
      out.push(`rid ${hexPlain(get('RID'))}`);
      if (get('PP') === 1n) out.push(`pasid ${hexPlain(get('PASID'))}`);
      out.push(
        `group ${get('PRGI')}`,
        ({ 0: 'success', 1: 'invalid', 15: 'failure' } as const)[rc as 0] ?? `code ${rc}`,
      );
      return out;
    }
  }
}
