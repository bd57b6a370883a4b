/**
 * The 32-byte records of the event queue and the 16-byte records of the PRI queue.
 * Sources: Arm IHI 0070, 7.3 and 8.1.
 */

import type { Field, Layout } from '../../bits/index.ts';
import { addrBits, decBits, decode, encode, enumBits, fieldsOf, flag, hexBits, hexPlain } from '../../bits/index.ts';
import type { RequestedPage } from '../../pci/index.ts';

type Get = (name: string) => bigint;

const ssvSet = (get: Get): boolean => get('SSV') === 1n;
const stage2 = (get: Get): boolean => get('S2') === 1n;

const eventId = hexBits('EventID', 0, 7, 0, 'Which event this is.');
const ssv = flag('SSV', 0, 11, 'The transaction carried a SubstreamID.');
const ssid = hexBits('SSID', 0, 31, 12, 'SubstreamID (PASID) of the transaction.', ssvSet);
const ssidAlways = hexBits(
  'SSID',
  0,
  31,
  12,
  'SubstreamID (PASID) that was not accepted; always valid in this record.',
);
const sid = hexBits('SID', 0, 63, 32, 'StreamID of the transaction.');
const stag = hexBits('STAG', 1, 15, 0, 'Tag that RESUME must repeat.', (get) => get('Stall') === 1n);
const reason = hexBits('Reason', 1, 15, 0, 'Implementation defined cause.');
const gpcf = flag('GPCF', 1, 16, 'The access failed the granule protection check.');
const stall = flag('Stall', 1, 31, 'The transaction waits for RESUME or STALL_TERM; otherwise it has ended.');
const pnu = flag('PnU', 1, 33, 'Privilege of the transaction, after the override of the STE.', undefined, {
  0: 'unprivileged',
  1: 'privileged',
});
const ind = flag(
  'InD',
  1,
  34,
  'Whether the read was an instruction fetch, after the override of the STE.',
  (get) => get('RnW') === 1n,
  {
    0: 'data',
    1: 'instruction',
  },
);
const rnw = flag('RnW', 1, 35, 'Direction of the transaction itself, also when a table read faulted.', undefined, {
  0: 'write',
  1: 'read',
});
const nsipa = flag('NSIPA', 1, 38, 'The IPA is Non-secure; always 0 on the Non-secure queue.', stage2);
const s2 = flag('S2', 1, 39, 'Which stage faulted.', undefined, { 0: 'stage 1', 1: 'stage 2' });
const cls = enumBits('CLASS', 1, 41, 40, 'What was being translated when the fault came.', [
  'CD: address of a context descriptor',
  'TTD: address of a stage-1 table entry',
  'IN: the input of the stage itself',
  'reserved',
]);
const ttrnw = flag(
  'TTRnW',
  1,
  44,
  'Direction of the stage-1 table access that stage 2 refused.',
  (get) => get('CLASS') === 1n,
  { 0: 'descriptor write', 1: 'descriptor read' },
);
const inputAddr = hexBits('InputAddr', 2, 63, 0, 'Address that the device sent, all 64 bits.');
const ipa = addrBits(
  'IPA',
  3,
  51,
  12,
  'Page of the address that stage 2 was given; unknown for stage-1 faults.',
  stage2,
);
const fetchAddr = addrBits('FetchAddr', 3, 51, 3, 'Physical address of the read that failed.');

const head = [eventId, ssv, ssid, sid];
const access = [pnu, ind, rnw];
const full = [...head, stag, stall, ...access, nsipa, s2, cls, inputAddr, ipa];

/** Name, id, title, section of IHI 0070, fields. */
const table: readonly (readonly [string, number, string, string, readonly Field[]])[] = [
  ['F_UUT', 0x01, 'Unsupported upstream transaction', '7.3.2', [...head, reason, ...access, inputAddr]],
  ['C_BAD_STREAMID', 0x02, 'StreamID outside the stream table', '7.3.3', head],
  ['F_STE_FETCH', 0x03, 'Read of the STE failed', '7.3.4', [...head, reason, gpcf, fetchAddr]],
  ['C_BAD_STE', 0x04, 'STE invalid or illegal', '7.3.5', head],
  [
    'F_BAD_ATS_TREQ',
    0x05,
    'ATS translation request that is not allowed',
    '7.3.6',
    [...head, addrBits('InputAddr', 2, 63, 12, 'Page that the device asked about.')],
  ],
  [
    'F_STREAM_DISABLED',
    0x06,
    'Transaction without SubstreamID, or with 0, where the STE forbids it',
    '7.3.7',
    [eventId, sid],
  ],
  ['F_TRANSL_FORBIDDEN', 0x07, 'ATS-translated transaction that is not allowed', '7.3.8', [...head, rnw, inputAddr]],
  ['C_BAD_SUBSTREAMID', 0x08, 'SubstreamID that the stream does not accept', '7.3.9', [eventId, ssidAlways, sid]],
  ['F_CD_FETCH', 0x09, 'Read of the CD failed', '7.3.10', [...head, reason, gpcf, fetchAddr]],
  ['C_BAD_CD', 0x0a, 'CD invalid or illegal', '7.3.11', head],
  [
    'F_WALK_EABT',
    0x0b,
    'Read of a table entry failed',
    '7.3.12',
    [...head, reason, gpcf, ...access, nsipa, s2, cls, inputAddr, fetchAddr],
  ],
  ['F_TRANSLATION', 0x10, 'Translation fault: no valid table entry, or address out of range', '7.3.13', full],
  ['F_ADDR_SIZE', 0x11, 'Address size fault: output address too large', '7.3.14', full],
  ['F_ACCESS', 0x12, 'Access flag fault', '7.3.15', full],
  ['F_PERMISSION', 0x13, 'Permission fault', '7.3.16', [...full, ttrnw]],
  [
    'F_TLB_CONFLICT',
    0x20,
    'Several TLB entries match',
    '7.3.17',
    [...head, reason, ...access, nsipa, s2, inputAddr, ipa],
  ],
  ['F_CFG_CONFLICT', 0x21, 'Several cached configurations match', '7.3.18', [...head, reason]],
  [
    'E_PAGE_REQUEST',
    0x24,
    'Hint that a device will use a page soon',
    '7.3.19',
    [
      ...head,
      flag('uX', 1, 33, 'Unprivileged execution is expected.'),
      flag('uW', 1, 34, 'Unprivileged writing is expected.'),
      flag('uR', 1, 35, 'Unprivileged reading is expected.'),
      flag('pX', 1, 37, 'Privileged execution is expected.'),
      flag('pW', 1, 38, 'Privileged writing is expected.'),
      flag('pR', 1, 39, 'Privileged reading is expected.'),
      decBits('Span', 1, 51, 44, 'Number of 4 KiB pages.'),
      addrBits('InputAddr', 2, 63, 12, 'First page.'),
    ],
  ],
  ['F_VMS_FETCH', 0x25, 'Read of the virtual machine structure failed', '7.3.20', [...head, reason, gpcf, fetchAddr]],
];

export const eventLayouts: readonly Layout[] = table.map(([name, , title, section, fields]) => ({
  id: `smmuv3.evt.${name.toLowerCase()}`,
  name,
  title,
  words: 4,
  source: `Arm IHI 0070, ${section}`,
  fields,
}));

/** For reserved and implementation defined ids: only the fields that every record has. */
export const unknownEventLayout: Layout = {
  id: 'smmuv3.evt.unknown',
  name: 'event',
  title: 'Reserved or implementation defined event',
  words: 4,
  source: 'Arm IHI 0070, 7.3.21',
  fields: head,
};

export const priLayout: Layout = {
  id: 'smmuv3.pri',
  name: 'page request',
  title: 'PRI queue record',
  words: 2,
  source: 'Arm IHI 0070, 8',
  fields: [
    hexBits('SID', 0, 31, 0, 'StreamID of the device.'),
    hexBits('SSID', 0, 51, 32, 'SubstreamID (PASID) of the request.', ssvSet),
    flag('PermPriv', 0, 58, 'Privileged access is asked for.', ssvSet),
    flag('PermExec', 0, 59, 'Execution is asked for.', ssvSet),
    flag('PermRead', 0, 60, 'Reading is asked for.'),
    flag('PermWrite', 0, 61, 'Writing is asked for.'),
    flag('Last', 0, 62, 'Last request of its group: an answer is due.'),
    flag('SSV', 0, 63, 'The request carries a SubstreamID.'),
    hexBits('PRGIndex', 1, 8, 0, 'Group that the answer must name.'),
    addrBits('Address', 1, 63, 12, 'Page that is asked for.'),
  ],
};

/** Two 64-bit words of a PRI queue record; `ssid` -1: none, `page` with its low twelve bits clear. */
export function encodePageRequest(r: RequestedPage & { readonly sid: number; readonly ssid: number }): bigint[] {
  // Without a SubstreamID execution and privilege are zero. Source: Arm IHI 0070, 8.
  const substream: Record<string, number> =
    r.ssid < 0 ? {} : { SSV: 1, SSID: r.ssid, PermExec: r.exec ? 1 : 0, PermPriv: r.priv ? 1 : 0 };
  return encode(priLayout, {
    SID: r.sid,
    PermRead: r.read ? 1 : 0,
    PermWrite: r.write ? 1 : 0,
    Last: r.last ? 1 : 0,
    PRGIndex: r.group,
    Address: r.page,
    ...substream,
  });
}

/** Every field of a PRI queue record by name. */
export const decodePageRequest = (words: ArrayLike<bigint>): Record<string, bigint> => decode(priLayout, words);

/** Event ids by name. */
export const eventIds: Readonly<Record<string, number>> = Object.freeze(
  Object.fromEntries(table.map(([name, id]) => [name, id])),
);

const byId = new Map<number, Layout>(table.map(([, id], i) => [id, eventLayouts[i] as Layout]));

const idOf = (words: ArrayLike<bigint>): number => Number((words[0] ?? 0n) & 0xffn);

/** `F_TRANSLATION`; `IMPDEF_EVENT_0xe3`, `RESERVED_0x30` for ids without a name. */
export function eventName(id: number): string {
  const l = byId.get(id);
  if (l) return l.name;
  return id >= 0xe0 && id <= 0xef ? `IMPDEF_EVENT_${hexPlain(id)}` : `RESERVED_${hexPlain(id)}`;
}

/** The layout that the event id selects, or the generic one. */
export const eventLayout = (words: ArrayLike<bigint>): Layout => byId.get(idOf(words)) ?? unknownEventLayout;

/**
 * Four 64-bit words of a record. Fields left out are zero.
 * @throws Error for an unknown event or field name, RangeError for a value that does not fit
 */
export function encodeEvent(name: string, fields: Readonly<Record<string, number | bigint | boolean>> = {}): bigint[] {
  const id = eventIds[name];
  if (id === undefined) throw new Error(`no SMMUv3 event is named ${name}`);
  return encode(byId.get(id) as Layout, { EventID: id, ...fields });
}

/** Every field of the record's layout by name. */
export const decodeEvent = (words: ArrayLike<bigint>): Record<string, bigint> => decode(eventLayout(words), words);

export const classNames: readonly string[] = ['CD', 'TTD', 'IN', 'reserved'];

/** One line: `F_TRANSLATION sid 0x108 write 0xfffff040 stage 1 IN`. */
export function eventText(words: readonly bigint[]): string {
  const l = eventLayout(words);
  const has = (f: string): boolean => l.fields.some((x) => x.name === f);
  const get = fieldsOf(l, words);
  const out = [eventName(idOf(words)), `sid ${hexPlain(get('SID'))}`];
  if (has('SSID') && (!has('SSV') || get('SSV') === 1n)) out.push(`ssid ${hexPlain(get('SSID'))}`);
  if (has('RnW')) out.push(get('RnW') === 1n ? (get('InD') === 1n ? 'execute' : 'read') : 'write');
  if (get('PnU') === 1n) out.push('privileged');
  if (has('InputAddr')) out.push(hexPlain(get('InputAddr')));
  if (has('S2')) out.push(`stage ${get('S2') + 1n}`);
  if (has('CLASS')) out.push(classNames[Number(get('CLASS'))] as string);
  if (has('IPA') && get('S2') === 1n) out.push(`ipa ${hexPlain(get('IPA'))}`);
  if (has('FetchAddr')) out.push(`fetch ${hexPlain(get('FetchAddr'))}`);
  if (get('Stall') === 1n) out.push(`stall stag ${hexPlain(get('STAG'))}`);
  return out.join(' ');
}
