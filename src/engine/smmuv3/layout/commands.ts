/**
 * The sixteen-byte commands of the command queue: opcodes, layouts, encoding and one line of text.
 * Sources: Arm IHI 0070, 4.1 to 4.7; names without CMD_.
 */

import type { Field, Layout } from '../../bits/index.ts';
import { addrBits, decBits, encode, enumBits, fieldsOf, flag, hexBits, hexPlain } from '../../bits/index.ts';
import type { CommandText } from '../../trace/index.ts';

type Get = (name: string) => bigint;

const ssv = (get: Get): boolean => get('SSV') === 1n;
const ranged = (get: Get): boolean => get('TG') !== 0n;

const opcode = hexBits('Opcode', 0, 7, 0, 'Which command this is.');
const ssec = flag('SSec', 0, 10, 'StreamID of the Secure state; must be 0 on the Non-secure queue, else CERROR_ILL.');
const ssvBit = flag('SSV', 0, 11, 'A SubstreamID is given.');
const ssid = hexBits('SSID', 0, 31, 12, 'SubstreamID (PASID).', ssv);
/** CFGI_CD has no SSV: its SubstreamID always counts. */
const ssidAlways = hexBits('SSID', 0, 31, 12, 'SubstreamID (PASID) of the CD; 0 where the stream has no substreams.');
const sid = hexBits('SID', 0, 63, 32, 'StreamID.');
const vmid = decBits('VMID', 0, 47, 32, 'Only entries of this virtual machine; ignored without stage 2.');
const asid = decBits('ASID', 0, 63, 48, 'Only entries of this address space, and global ones.');
const num = decBits('NUM', 0, 16, 12, 'The range is (NUM+1) x 2^SCALE granules.', ranged);
const scale = decBits('SCALE', 0, 24, 20, 'Exponent of the range (bit 25 joins it where IDR5.DS is set).', ranged);
const leafCfg = flag('Leaf', 1, 0, 'Leave first-level table entries cached.', undefined, {
  0: 'all levels',
  1: 'last level only',
});
const leafTlb = flag(
  'Leaf',
  1,
  0,
  'Only leaf entries need to go; otherwise table entries that cover the address go too.',
  undefined,
  {
    0: 'leaf and table entries',
    1: 'leaf entries only',
  },
);
const ttl128 = flag('TTL128', 1, 7, 'The entries come from 128-bit descriptors.', ranged);
const ttl = enumBits(
  'TTL',
  1,
  9,
  8,
  'Level of the leaf that must go, as a hint.',
  ['any level', 'level 1', 'level 2', 'level 3'],
  ranged,
);
const tg = enumBits('TG', 1, 11, 10, 'Granule of the range; without one the command names a single address.', [
  'no range',
  '4 KiB',
  '16 KiB',
  '64 KiB',
]);
const va = addrBits('Address', 1, 63, 12, 'First input address of what is removed.');
const ipa = addrBits(
  'Address',
  1,
  51,
  12,
  'First intermediate physical address of what is removed (bits 55:52 from SMMUv3.4).',
);

const SOURCE_CFGI = 'Arm IHI 0070, 4.3';
const SOURCE_TLBI = 'Arm IHI 0070, 4.4';

const layout = (name: string, title: string, source: string, fields: readonly Field[]): Layout => ({
  id: `smmuv3.cmd.${name.toLowerCase()}`,
  name: `CMD_${name}`,
  title,
  words: 2,
  source,
  fields: [opcode, ...fields],
});

const byVa = [num, scale, vmid, asid, leafTlb, ttl128, ttl, tg, va];

/** Name, opcode, title, source, fields: the order is the opcode's. */
const table: readonly (readonly [string, number, string, string, readonly Field[]])[] = [
  ['PREFETCH_CONFIG', 0x01, 'Hint: load STE and CD', 'Arm IHI 0070, 4.2.1', [ssec, ssvBit, ssid, sid]],
  [
    'PREFETCH_ADDR',
    0x02,
    'Hint: load STE, CD and translations',
    'Arm IHI 0070, 4.2.2',
    [
      ssec,
      ssvBit,
      ssid,
      sid,
      decBits('Size', 1, 4, 0, 'Translations of 2^Size addresses are loaded.'),
      decBits('Stride', 1, 9, 5, 'Distance of the addresses: 2^(12+Stride) bytes; zero in SMMUv3.0.'),
      addrBits('Address', 1, 63, 12, 'First input address.'),
    ],
  ],
  [
    'CFGI_STE',
    0x03,
    'Drop the STE of a stream from the caches, and the CDs found through it',
    `${SOURCE_CFGI}.1`,
    [ssec, sid, leafCfg],
  ],
  [
    'CFGI_STE_RANGE',
    0x04,
    'Drop the STEs of an aligned range of streams; Range 31 is CFGI_ALL',
    `${SOURCE_CFGI}.2`,
    [ssec, sid, decBits('Range', 1, 4, 0, 'The aligned block of 2^(Range+1) StreamIDs around SID; 31 is all of them.')],
  ],
  ['CFGI_CD', 0x05, 'Drop one CD of a stream from the caches', `${SOURCE_CFGI}.3`, [ssec, ssidAlways, sid, leafCfg]],
  ['CFGI_CD_ALL', 0x06, 'Drop all CDs of a stream from the caches', `${SOURCE_CFGI}.4`, [ssec, sid]],
  ['CFGI_VMS_PIDM', 0x07, 'Drop cached PARTID maps of a virtual machine', `${SOURCE_CFGI}.5`, [ssec, vmid]],
  ['TLBI_NH_ALL', 0x10, 'Drop all stage-1 translations of a VMID', SOURCE_TLBI, [vmid]],
  ['TLBI_NH_ASID', 0x11, 'Drop the non-global stage-1 translations of an ASID', SOURCE_TLBI, [vmid, asid]],
  ['TLBI_NH_VA', 0x12, 'Drop stage-1 translations of an address in one ASID, and global ones', SOURCE_TLBI, byVa],
  [
    'TLBI_NH_VAA',
    0x13,
    'Drop stage-1 translations of an address in every ASID',
    SOURCE_TLBI,
    byVa.filter((f) => f !== asid),
  ],
  ['TLBI_EL3_ALL', 0x18, 'Drop all EL3 translations; Secure queue only', SOURCE_TLBI, []],
  [
    'TLBI_EL3_VA',
    0x1a,
    'Drop EL3 translations of an address; Secure queue only',
    SOURCE_TLBI,
    byVa.filter((f) => f !== asid && f !== vmid),
  ],
  ['TLBI_EL2_ALL', 0x20, 'Drop all EL2 translations', SOURCE_TLBI, []],
  ['TLBI_EL2_ASID', 0x21, 'Drop the EL2 translations of an ASID', SOURCE_TLBI, [asid]],
  ['TLBI_EL2_VA', 0x22, 'Drop EL2 translations of an address in one ASID', SOURCE_TLBI, byVa.filter((f) => f !== vmid)],
  [
    'TLBI_EL2_VAA',
    0x23,
    'Drop EL2 translations of an address in every ASID',
    SOURCE_TLBI,
    byVa.filter((f) => f !== asid && f !== vmid),
  ],
  ['TLBI_S12_VMALL', 0x28, 'Drop all translations of a VMID, both stages', SOURCE_TLBI, [vmid]],
  [
    'TLBI_S2_IPA',
    0x2a,
    'Drop stage-2 translations of an IPA; combined entries may stay',
    SOURCE_TLBI,
    [num, scale, vmid, leafTlb, ttl128, ttl, tg, ipa],
  ],
  ['TLBI_NSNH_ALL', 0x30, 'Drop all Non-secure translations of every VMID, except EL2', SOURCE_TLBI, []],
  [
    'ATC_INV',
    0x40,
    'Ask a device to drop translations from its ATC',
    'Arm IHI 0070, 4.5.1',
    [
      flag('Global', 0, 9, 'In every PASID of the device; needs SSV.', ssv),
      ssvBit,
      ssid,
      sid,
      decBits('Size', 1, 5, 0, 'The aligned span is 4096 x 2^Size bytes; 52 is everything.'),
      addrBits('Address', 1, 63, 12, 'An address within the span.', (get) => get('Size') < 52n),
    ],
  ],
  [
    'PRI_RESP',
    0x41,
    'Answer a page request group of a device',
    'Arm IHI 0070, 4.5.2',
    [
      ssvBit,
      ssid,
      sid,
      decBits('PRGIndex', 1, 8, 0, 'The group that is answered.'),
      enumBits('Resp', 1, 13, 12, 'The answer.', ['Response Failure', 'Invalid Request', 'Success', 'illegal']),
    ],
  ],
  [
    'RESUME',
    0x44,
    'Retry or end one stalled transaction',
    'Arm IHI 0070, 4.7.1',
    [
      ssec,
      flag('Ac', 0, 12, 'What to do with the transaction.', undefined, { 0: 'terminate', 1: 'retry' }),
      flag('Ab', 0, 13, 'How a terminated transaction ends.', (get) => get('Ac') === 0n, {
        0: 'read as zero, write ignored',
        1: 'abort',
      }),
      sid,
      hexBits('STAG', 1, 15, 0, 'Tag from the event record of the stall.'),
    ],
  ],
  ['STALL_TERM', 0x45, 'End every stalled transaction of a stream', 'Arm IHI 0070, 4.7.2', [ssec, sid]],
  [
    'SYNC',
    0x46,
    'Complete when everything before it has completed',
    'Arm IHI 0070, 4.7.3',
    [
      enumBits('CS', 0, 13, 12, 'How completion is signalled.', [
        'none',
        'interrupt (MSI)',
        'wake-up event',
        'illegal',
      ]),
      enumBits(
        'MSH',
        0,
        23,
        22,
        'Shareability of the MSI write.',
        ['non-shareable', 'reserved', 'outer shareable', 'inner shareable'],
        (get) => get('CS') === 1n,
      ),
      hexBits('MSIAttr', 0, 27, 24, 'Memory type of the MSI write.', (get) => get('CS') === 1n),
      hexBits('MSIData', 0, 63, 32, 'What the MSI writes.', (get) => get('CS') === 1n),
      addrBits('MSIAddress', 1, 51, 2, 'Where the MSI writes; 0 means no MSI.', (get) => get('CS') === 1n),
    ],
  ],
  ['TLBI_S_EL2_ALL', 0x50, 'Drop all Secure EL2 translations; Secure queue only', SOURCE_TLBI, []],
  ['TLBI_S_EL2_ASID', 0x51, 'Drop Secure EL2 translations of an ASID; Secure queue only', SOURCE_TLBI, [asid]],
  [
    'TLBI_S_EL2_VA',
    0x52,
    'Drop Secure EL2 translations of an address; Secure queue only',
    SOURCE_TLBI,
    byVa.filter((f) => f !== vmid),
  ],
  [
    'TLBI_S_EL2_VAA',
    0x53,
    'Drop Secure EL2 translations of an address in every ASID; Secure queue only',
    SOURCE_TLBI,
    byVa.filter((f) => f !== asid && f !== vmid),
  ],
  ['TLBI_S_S12_VMALL', 0x58, 'Drop all Secure translations of a VMID; Secure queue only', SOURCE_TLBI, [vmid]],
  [
    'TLBI_S_S2_IPA',
    0x5a,
    'Drop Secure stage-2 translations of an IPA; Secure queue only',
    SOURCE_TLBI,
    [num, scale, vmid, leafTlb, ttl128, ttl, tg, ipa],
  ],
  ['TLBI_SNH_ALL', 0x60, 'Drop all Secure translations except EL2; Secure queue only', SOURCE_TLBI, []],
  ['DPTI_ALL', 0x70, 'Drop all cached device permission table entries', 'Arm IHI 0070, 4.6.1', []],
  ['DPTI_PA', 0x73, 'Drop cached device permission table entries of an address', 'Arm IHI 0070, 4.6.2', []],
];

export const commandLayouts: readonly Layout[] = table.map(([name, , title, source, fields]) =>
  layout(name, title, source, fields),
);

/** For opcodes that the architecture reserves: the opcode alone is known. */
export const unknownCommandLayout: Layout = {
  id: 'smmuv3.cmd.unknown',
  name: 'CMD',
  title: 'Reserved opcode: the queue stops with CERROR_ILL',
  words: 2,
  source: 'Arm IHI 0070, 4.1.1',
  fields: [opcode],
};

/** Opcodes by architectural name without CMD_. CFGI_ALL is CFGI_STE_RANGE with Range 31. */
export const opcodes: Readonly<Record<string, number>> = Object.freeze({
  ...Object.fromEntries(table.map(([name, op]) => [name, op])),
  CFGI_ALL: 0x04,
});

const byOpcode = new Map<number, Layout>(table.map(([, op], i) => [op, commandLayouts[i] as Layout]));
const byName = new Map<string, Layout>(table.map(([name], i) => [name, commandLayouts[i] as Layout]));

const opcodeOf = (words: ArrayLike<bigint>): number => Number((words[0] ?? 0n) & 0xffn);

/** The layout that the opcode selects, or the generic one. */
export const commandLayout = (words: ArrayLike<bigint>): Layout =>
  byOpcode.get(opcodeOf(words)) ?? unknownCommandLayout;

/**
 * Two 64-bit words of a command. Fields left out are zero; `CFGI_ALL` sets Range 31 itself.
 * @throws Error for an unknown command or field name, RangeError for a value that does not fit
 */
export function encodeCommand(
  name: string,
  fields: Readonly<Record<string, number | bigint | boolean>> = {},
): bigint[] {
  if (name === 'CFGI_ALL') return encodeCommand('CFGI_STE_RANGE', { Range: 31, ...fields });
  const l = byName.get(name);
  if (!l) throw new Error(`no SMMUv3 command is named ${name}`);
  return encode(l, { Opcode: opcodes[name] as number, ...fields });
}

/** Architectural name without CMD_; `CFGI_ALL` for CFGI_STE_RANGE with Range 31; `0xNN` for a reserved opcode. */
export function commandName(words: ArrayLike<bigint>): string {
  const l = commandLayout(words);
  if (l === unknownCommandLayout) return hexPlain(opcodeOf(words));
  if (l.id === 'smmuv3.cmd.cfgi_ste_range' && ((words[1] ?? 0n) & 31n) === 31n) return 'CFGI_ALL';
  return l.name.slice(4);
}

/** Name, layout and one line: `TLBI_NH_VA asid 1 va 0x10000 leaf`. */
export function commandText(words: readonly bigint[]): CommandText {
  const l = commandLayout(words);
  const name = commandName(words);
  const parts = l === unknownCommandLayout ? ['reserved opcode', name] : [name, ...argumentTexts(l, words, name)];
  return { words, layout: l.id, name, text: parts.join(' ') };
}

const granules = ['', '4K', '16K', '64K'];

/** Arguments in reading order: who, what, how. A VMID of 0 is left out where another tag names the target. */
function argumentTexts(l: Layout, words: readonly bigint[], name: string): string[] {
  const has = (f: string): boolean => l.fields.some((x) => x.name === f);
  const get = fieldsOf(l, words);
  const out: string[] = [];
  if (name === 'CFGI_ALL') return out;
  if (has('SID')) out.push(`sid ${hexPlain(get('SID'))}`);
  if (has('SSID') && (l.id === 'smmuv3.cmd.cfgi_cd' || get('SSV') === 1n)) out.push(`ssid ${hexPlain(get('SSID'))}`);
  if (has('VMID') && (get('VMID') !== 0n || !(has('ASID') || has('Address')))) out.push(`vmid ${get('VMID')}`);
  if (has('ASID')) out.push(`asid ${get('ASID')}`);
  if (l.id === 'smmuv3.cmd.atc_inv') {
    if (get('Size') >= 52n) out.push('all');
    else out.push(`va ${hexPlain(get('Address'))}`, `pages ${1n << get('Size')}`);
    if (get('Global') === 1n) out.push('global');
  } else if (has('Address')) {
    out.push(`${l.id.endsWith('s2_ipa') ? 'ipa' : 'va'} ${hexPlain(get('Address'))}`);
  }
  if (has('TG') && get('TG') !== 0n) {
    const shift = get('SCALE') > 39n ? 39n : get('SCALE');
    out.push(`pages ${(get('NUM') + 1n) << shift} of ${granules[Number(get('TG'))]}`);
    if (get('TTL') !== 0n) out.push(`level ${get('TTL')}`);
  }
  if (has('Range')) out.push(`range ${get('Range')}`);
  if (get('Leaf') === 1n) out.push('leaf');
  if (has('PRGIndex'))
    out.push(`group ${get('PRGIndex')}`, ['failure', 'invalid', 'success', 'illegal'][Number(get('Resp'))] as string);
  if (has('STAG'))
    out.push(`stag ${hexPlain(get('STAG'))}`, get('Ac') === 1n ? 'retry' : get('Ab') === 1n ? 'abort' : 'terminate');
  if (has('CS')) {
    const cs = Number(get('CS'));
    out.push(['no signal', 'irq', 'sev', 'illegal'][cs] as string);
    if (cs === 1 && get('MSIAddress') !== 0n) out.push(`msi ${hexPlain(get('MSIAddress'))}`);
  }
  return out;
}
