/**
 * Fault recording registers (128 bits) and page request descriptors (256 bits).
 * Sources: Intel VT-d specification, 11.4.14 (FRCD_REG) and 7.4.1 (page request descriptor); Linux
 * drivers/iommu/intel/dmar.c (dmar_fault, dmar_fault_do_one) for the log line.
 */

import type { Layout } from '../../bits/index.ts';
import { addrBits, decBits, decode, encode, enumBits, fieldsOf, flag, hexBits, hexPlain } from '../../bits/index.ts';
import type { RequestedPage } from '../../pci/index.ts';
import { faultName, faultReason, faultReasonByName } from './fault-reasons.ts';

type Get = (name: string) => bigint;

const withPasid = (get: Get): boolean => get('PP') === 1n;

const upper = [
  hexBits('SID', 1, 15, 0, 'Requester of the access.'),
  flag('T2', 1, 28, 'With T1 the kind of the request: 00 write, 10 read (T1 first), 01 page request, 11 atomic.'),
  flag('PRIV', 1, 29, 'Supervisor privilege was asked for.', withPasid),
  flag('EXE', 1, 30, 'Execution was asked for.', withPasid),
  flag('PP', 1, 31, 'The request carried a PASID.'),
  hexBits('FR', 1, 39, 32, 'Reason.'),
  hexBits('PV', 1, 59, 40, 'PASID of the request.', withPasid),
  enumBits('AT', 1, 61, 60, 'Address type of the request.', [
    'untranslated',
    'translation request',
    'translated',
    'reserved',
  ]),
  flag('T1', 1, 62, 'Without T2: direction of the request.', undefined, { 0: 'write', 1: 'read' }),
  flag('F', 1, 63, 'The record is valid; software writes 1 to clear it.'),
];

export const frcdLayout: Layout = {
  id: 'vtd.frcd',
  name: 'FRCD',
  title: 'Fault recording register: a DMA request',
  words: 2,
  source: 'Intel VT-d, 11.4.14',
  fields: [addrBits('FI', 0, 63, 12, 'Page that the device addressed.'), ...upper],
};

export const frcdInterruptLayout: Layout = {
  id: 'vtd.frcd.interrupt',
  name: 'FRCD',
  title: 'Fault recording register: an interrupt request',
  words: 2,
  source: 'Intel VT-d, 11.4.14',
  fields: [hexBits('Index', 0, 63, 48, 'Interrupt index of the request.'), ...upper],
};

const reasonOf = (words: ArrayLike<bigint>): number => Number(((words[1] ?? 0n) >> 32n) & 0xffn);

/** Codes that Linux prints as interrupt remapping faults. Source: dmar.c (irq_remap_fault_reasons, seven from 0x20 on). */
const isInterrupt = (code: number): boolean => code >= 0x20 && code <= 0x26;

/** The layout that the reason selects. */
export const faultLayout = (words: ArrayLike<bigint>): Layout =>
  reasonOf(words) >= 0x20 && reasonOf(words) <= 0x2f ? frcdInterruptLayout : frcdLayout;

/**
 * Two 64-bit words of a fault record with F set. Fields left out are zero.
 * @param reason condition (`SFS.2`) or code @param fields FI (page address in place), SID, T1, T2, PRIV, EXE, PP, PV, AT
 * @throws Error for an unknown condition or field name, RangeError for a value that does not fit
 */
export function encodeFault(
  reason: string | number,
  fields: Readonly<Record<string, number | bigint | boolean>> = {},
): bigint[] {
  const code = typeof reason === 'number' ? reason : faultReasonByName(reason)?.code;
  if (code === undefined) throw new Error(`no VT-d fault reason is named ${reason}`);
  const l = 'Index' in fields ? frcdInterruptLayout : frcdLayout;
  return encode(l, { FR: code, F: 1, ...fields });
}

/** Every field of the record's layout by name. */
export const decodeFault = (words: ArrayLike<bigint>): Record<string, bigint> => decode(faultLayout(words), words);

/** `3b:00.0` of a 16-bit requester id, as Linux prints it here: without a segment. */
export function deviceText(rid: number): string {
  const two = (n: number): string => n.toString(16).padStart(2, '0');
  return `${two(rid >> 8)}:${two((rid >> 3) & 31)}.${rid & 7}`;
}

/** The line that Linux prints for the record, with its prefix. Source: dmar.c (dmar_fault_do_one). */
export function faultText(words: readonly bigint[]): string {
  const code = reasonOf(words);
  const second = words[1] ?? 0n;
  const device = deviceText(Number(second & 0xffffn));
  const reason = `[fault reason 0x${code.toString(16).padStart(2, '0')}] ${faultReason(code).text}`;
  const first = words[0] ?? 0n;
  if (isInterrupt(code))
    return `DMAR: [INTR-REMAP] Request device [${device}] fault index ${hexPlain(first >> 48n)} ${reason}`;
  const access = (second >> 62n) & 1n ? 'DMA Read' : 'DMA Write';
  const pasid = (second >> 31n) & 1n ? `PASID ${hexPlain((second >> 40n) & 0xfffffn)}` : 'NO_PASID';
  return `DMAR: [${access} ${pasid}] Request device [${device}] fault addr ${hexPlain(first & ~0xfffn)} ${reason}`;
}

/** One line for the trace: `SFS.2 sid 0x3b00 pasid 0x1234 write 0x7f0012345000`. */
export function faultSummary(words: readonly bigint[]): string {
  const code = reasonOf(words);
  const f = decodeFault(words);
  const out = [faultName(code), `sid ${hexPlain(f.SID as bigint)}`];
  if (f.PP === 1n) out.push(`pasid ${hexPlain(f.PV as bigint)}`);
  if (f.Index !== undefined) return [...out, `index ${hexPlain(f.Index)}`].join(' ');
  const kind = f.T2 === 1n ? (f.T1 === 1n ? 'atomic' : 'page request') : f.T1 === 1n ? 'read' : 'write';
  if (f.AT === 1n) out.push('translation request');
  if (f.AT === 2n) out.push('translated');
  out.push(f.EXE === 1n && f.T1 === 1n ? 'execute' : kind);
  if (f.PRIV === 1n) out.push('supervisor');
  out.push(hexPlain(f.FI as bigint));
  return out.join(' ');
}

export const prqLayout: Layout = {
  id: 'vtd.prq',
  name: 'page request',
  title: 'Page request descriptor',
  words: 4,
  source: 'Intel VT-d, 7.4.1',
  fields: [
    hexBits('Type', 0, 7, 0, 'Always 1.'),
    flag('PP', 0, 8, 'The request carries a PASID.'),
    flag('PDP', 0, 9, 'The last two words hold private data.'),
    hexBits('RID', 0, 31, 16, 'The device.'),
    hexBits('PASID', 0, 51, 32, 'PASID of the request.', withPasid),
    flag('EXE', 0, 52, 'Execution is asked for.', withPasid),
    flag('PRIV', 0, 53, 'Supervisor privilege is asked for.', withPasid),
    flag('RD', 1, 0, 'Reading is asked for.'),
    flag('WR', 1, 1, 'Writing is asked for.'),
    flag('LPIG', 1, 2, 'Last request of its group: an answer is due.'),
    decBits('PRGI', 1, 11, 3, 'Group that the answer must name.'),
    addrBits('ADDR', 1, 63, 12, 'Page that is asked for.'),
    hexBits('PrivateData0', 2, 63, 0, 'Private data of the device.', (get) => get('PDP') === 1n),
    hexBits('PrivateData1', 3, 63, 0, 'Private data of the device.', (get) => get('PDP') === 1n),
  ],
};

/** Four 64-bit words of a page request descriptor; `pasid` -1: none, `page` with its low twelve bits clear. */
export function encodePageRequest(r: RequestedPage & { readonly rid: number; readonly pasid: number }): bigint[] {
  const withPasid: Record<string, number> =
    r.pasid < 0 ? {} : { PP: 1, PASID: r.pasid, EXE: r.exec ? 1 : 0, PRIV: r.priv ? 1 : 0 };
  return encode(prqLayout, {
    Type: 1,
    RID: r.rid,
    RD: r.read ? 1 : 0,
    WR: r.write ? 1 : 0,
    LPIG: r.last ? 1 : 0,
    PRGI: r.group,
    ADDR: r.page,
    ...withPasid,
  });
}

/** Every field of a page request descriptor by name. */
export const decodePageRequest = (words: ArrayLike<bigint>): Record<string, bigint> => decode(prqLayout, words);

/** One line: `page request rid 0x3b00 pasid 0x1234 rw- last group 5 0x7f0012345000`. */
export function pageRequestText(words: readonly bigint[]): string {
  const get = fieldsOf(prqLayout, words);
  const letter = (name: string, c: string): string => (get(name) === 1n ? c : '-');
  const out = ['page request', `rid ${hexPlain(get('RID'))}`];
  if (get('PP') === 1n) out.push(`pasid ${hexPlain(get('PASID'))}`);
  out.push(`${letter('RD', 'r')}${letter('WR', 'w')}${letter('EXE', 'x')}`);
  if (get('PRIV') === 1n) out.push('supervisor');
  if (get('LPIG') === 1n) out.push('last');
  out.push(`group ${get('PRGI')}`, hexPlain(get('ADDR')));
  return out.join(' ');
}
