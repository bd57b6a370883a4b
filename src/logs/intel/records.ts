/** Messages of the driver as records. */

import { decode, hexPlain } from '../../engine/bits/index.ts';
import {
  decodePageRequest,
  deviceText,
  faultReason,
  pageRequestText,
  prqLayout,
  registerByName,
} from '../../engine/vtd/layout/index.ts';
import type { TextLine } from '../lines.ts';
import type { Draft } from '../record.ts';
import { word64 } from '../words.ts';
import { descriptorFacts, descriptorFaults, descriptorMeaning, descriptorRaw } from './descriptor.ts';
import { explainFault, faultPlace, stepOf } from './fault.ts';
import type { Content, Reason } from './messages.ts';

const big = (v: unknown): bigint | undefined =>
  typeof v === 'string' && /^0x[0-9a-f]+$/.test(v) ? BigInt(v) : undefined;

/** 16-bit requester id of `3b:00.0` or `0000:3b:00.0`. */
export function requesterId(device: string): number | null {
  const m = /^(?:[0-9a-f]{4}:)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i.exec(device);
  if (!m) return null;
  const slot = Number.parseInt(m[2] as string, 16);
  return slot > 31 ? null : (Number.parseInt(m[1] as string, 16) << 8) | (slot << 3) | Number(m[3]);
}

/** Facts of a reason. */
export function reasonFields(r: Reason): Record<string, unknown> {
  const { mnemonic } = faultReason(r.value);
  const step = stepOf(r.value);
  return {
    reason: hexPlain(r.value),
    reason_name: r.text,
    reason_printed_as: r.printed,
    ...(mnemonic && mnemonic !== 'IR' ? { condition: mnemonic } : {}),
    ...(step ? { step } : {}),
  };
}

/** Writes the sentence and the place of a fault from its facts. */
export function faultExplained(d: Draft): void {
  const reason = big(d.reason);
  const rid = typeof d.device === 'string' ? requesterId(d.device) : null;
  d.explain = explainFault({
    access: d.access === 'read' || d.access === 'write' ? d.access : undefined,
    device: typeof d.device === 'string' ? d.device : null,
    pasid: big(d.pasid),
    address: big(d.addr),
    reason: reason === undefined ? undefined : Number(reason),
    index: d.type === 'intr_remap_fault' ? (big(d.index) ?? 0n) : undefined,
  });
  d.where = faultPlace(reason === undefined ? undefined : Number(reason), rid === null ? undefined : hexPlain(rid));
}

const statusBits = ['PFO', 'PPF', 'AFO', 'APF', 'IQE', 'ICE', 'ITE', 'PRO'] as const;
const statusTexts: Readonly<Record<string, string>> = {
  PFO: 'fault records overflowed, so that a fault was lost',
  PPF: 'a fault record is waiting',
  AFO: 'the advanced fault log overflowed',
  APF: 'the advanced fault log has a fault',
  IQE: 'the invalidation queue stopped at a bad descriptor',
  ICE: 'a device completed an invalidation that was not asked for',
  ITE: 'a device did not complete an invalidation in time',
  PRO: 'the page request queue overflowed',
};

/** Names of the bits of FSTS that are set. */
export const statusNames = (value: number): string[] => statusBits.filter((_, i) => (value >> i) & 1);

const errorNames = { IQE: 'Queue Error', ITE: 'Time-out Error', ICE: 'Completion Error' } as const;
/** IQERCD_REG.IQEI. */
const queueReasons = [
  'not available',
  'invalid tail',
  'the descriptor could not be read',
  'invalid descriptor type',
  'reserved field set',
  'invalid descriptor width',
  'tail not aligned',
  'invalid table mode',
] as const;

type Fields = Record<string, unknown>;

function queueError(error: 'IQE' | 'ITE' | 'ICE', value: bigint | null): Fields {
  if (error === 'IQE') {
    const text = value === null ? undefined : queueReasons[Number(value & 0xfn)];
    return {
      error,
      ...(value === null ? {} : { reason: hexPlain(value), ...(text ? { reason_name: text } : {}) }),
      explain: `The unit stopped at a descriptor of the invalidation queue that it does not accept${text && value !== 0n ? ` (${text})` : ''}; QI HEAD behind this line is that descriptor.`,
    };
  }
  const sid = value === null ? null : value & 0xffffn;
  const who = sid === null || sid === 0n ? 'A device' : `Device ${deviceText(Number(sid))}`;
  const unknown =
    sid === 0n ? '; the unit does not say which (SID 0), but a Device-TLB Invalidation in QI HEAD or PRIOR does' : '';
  return {
    error,
    ...(sid === null ? {} : { sid: hexPlain(sid) }),
    explain:
      error === 'ITE'
        ? `${who} did not answer a device-TLB invalidation in time${unknown}; usually it was removed, reset or has lost its link while translations were dropped.`
        : `${who} completed a device-TLB invalidation that was not asked for${unknown}; usually a device that was reset in between.`,
  };
}

function explainStatus(value: number): string {
  const names = statusNames(value);
  const fri = (value >> 8) & 0xff;
  const what = names.map((n) => statusTexts[n]).join(', and ');
  const index = names.includes('PPF') ? ` (fault record ${fri})` : '';
  return `The unit reports: ${what || 'nothing'}${index}.`;
}

/** What a message says, without the fields that every record has. */
function fields(c: Content): Fields & { type: string; explain: string; at?: string } {
  switch (c.kind) {
    case 'fault':
      return {
        type: 'dma_fault',
        access: c.access,
        device: c.device,
        ...(c.masked ? { device_masked_by_poster: true } : {}),
        ...(c.pasid === undefined ? {} : { pasid: c.pasid === null ? null : hexPlain(c.pasid) }),
        addr: c.addr === null ? null : hexPlain(c.addr),
        ...(c.cut ? { truncated: 'address cut by the terminal' } : {}),
        ...(c.reason ? reasonFields(c.reason) : {}),
        explain: '',
      };
    case 'interrupt':
      return {
        type: 'intr_remap_fault',
        device: c.device,
        ...(c.masked ? { device_masked_by_poster: true } : {}),
        ...(c.index === null ? {} : { index: hexPlain(c.index) }),
        ...(c.reason ? reasonFields(c.reason) : {}),
        explain: '',
      };
    case 'reason':
      return { type: 'dma_fault', ...reasonFields(c.reason), explain: '' };
    case 'status': {
      const value = Number(c.value);
      const names = statusNames(value);
      return {
        type: 'fault_status',
        value: hexPlain(c.value),
        bits: names,
        fault_record_index: (value >> 8) & 0xff,
        raw: [word64(c.value)],
        layout: 'vtd.reg.fsts_reg',
        explain: explainStatus(value),
        at: names.some((n) => n === 'IQE' || n === 'ICE' || n === 'ITE') ? 'hw.iq' : 'hw.frcd',
      };
    }
    case 'queueError':
      return { type: 'invalidation_error', at: 'hw.iq', ...(queueError(c.error, c.value) as { explain: string }) };
    case 'cleared':
      return {
        type: 'invalidation_error_cleared',
        error: c.error,
        explain: `Linux cleared the Invalidation ${errorNames[c.error]}${c.error === 'ITE' ? '; descriptors that were under way count as aborted and are sent again or given up' : ''}.`,
        at: 'hw.iq',
      };
    case 'descriptor':
      return descriptorMessage(c.which, c.name, c.words);
    case 'badDescriptor':
      return {
        type: 'invalidation_error',
        error: 'IQE',
        ...descriptorFacts(c.words),
        ...illegal(c.words),
        ...descriptorRaw(c.words),
        explain: `The unit stopped at a descriptor of the invalidation queue that it does not accept: it ${descriptorMeaning(c.words)}${illegalText(c.words)}.`,
        at: 'hw.iq',
      };
    case 'suppressed':
      return {
        type: 'suppressed',
        count: c.count,
        explain: `Linux left out ${c.count} lines about faults, since too many came in a short time.`,
        at: 'hw.frcd',
      };
    case 'overflow':
      return {
        type: 'page_request_overflow',
        iommu: c.unit,
        cleared: c.cleared,
        explain: c.cleared
          ? `The page request queue of ${c.unit} takes requests again; groups that were incomplete are dropped.`
          : `The page request queue of ${c.unit} overflowed: requests are answered by hardware until Linux has emptied it.`,
        at: 'hw.prq',
      };
    case 'pageRequest':
      return pageRequest(c.unit, c.problem, c.words);
    case 'unit':
      return unit(c);
    case 'malfunction':
      return {
        type: 'hardware_malfunction',
        explain: 'A status bit of the unit did not follow the command in time, and Linux stops the machine.',
        at: 'hw.unit',
      };
  }
}

const illegal = (words: readonly bigint[]): Fields => {
  const list = descriptorFaults(words);
  return list.length > 0 ? { legal: false, illegal: list } : {};
};
const illegalText = (words: readonly bigint[]): string => {
  const list = descriptorFaults(words);
  return list.length > 0 ? `; illegal: ${list.join('; ')}` : '';
};

function descriptorMessage(
  which: 'HEAD' | 'PRIOR',
  name: string,
  words: readonly bigint[],
): Fields & { type: string; explain: string; at: string } {
  const facts = words.length > 0 ? descriptorFacts(words) : {};
  const place = which === 'HEAD' ? 'where the queue stands' : 'before the one where the queue stands';
  return {
    type: 'qi_descriptor',
    which,
    printed_name: name,
    ...facts,
    ...illegal(words),
    ...descriptorRaw(words),
    explain:
      words.length === 0
        ? `The descriptor ${place}: ${name}; its words are not in the text.`
        : `The descriptor ${place} ${descriptorMeaning(words)}${illegalText(words)}.`,
    at: 'hw.iq',
  };
}

function pageRequest(
  unit: string,
  problem: string,
  words: readonly bigint[],
): Fields & { type: string; explain: string } {
  const whole = words.length === 2;
  const f = whole ? decodePageRequest([...words, 0n, 0n]) : {};
  return {
    type: 'page_request_error',
    iommu: unit,
    problem,
    ...(whole
      ? {
          rid: hexPlain(f.RID ?? 0n),
          rid_bdf: deviceText(Number(f.RID ?? 0n)),
          pasid: f.PP === 1n ? hexPlain(f.PASID ?? 0n) : null,
          addr: hexPlain(f.ADDR ?? 0n),
          group: Number(f.PRGI ?? 0n),
          last: f.LPIG === 1n,
          raw: [...words, 0n, 0n].map(word64),
          layout: prqLayout.id,
        }
      : {}),
    explain: whole
      ? `Linux answered a page request of ${deviceText(Number(f.RID ?? 0n))} as invalid: ${pageRequestText([...words, 0n, 0n])}.`
      : `${unit} received a page request that Linux does not serve: ${problem}.`,
    at: 'hw.prq',
  };
}

function unit(c: Extract<Content, { kind: 'unit' }>): Fields & { type: string; explain: string; at: string } {
  const read = (name: string, value: bigint): Record<string, number> => {
    const layout = registerByName(name)?.layout;
    return layout ? Object.fromEntries(Object.entries(decode(layout, [value])).map(([k, v]) => [k, Number(v)])) : {};
  };
  const cap = read('CAP_REG', c.cap);
  const ecap = read('ECAP_REG', c.ecap);
  const nested = ecap.SMTS === 1 && ecap.NEST === 1;
  const what = [
    ecap.SMTS ? 'scalable mode' : 'legacy mode only',
    nested ? 'nested translation' : 'no nested translation',
    ecap.DT ? 'ATS' : '',
    ecap.PASID ? `${(ecap.PSS ?? 0) + 1}-bit PASIDs` : '',
    ecap.PRS ? 'page requests' : '',
    cap.CM ? 'caching mode (an emulated unit)' : '',
  ].filter((t) => t !== '');
  return {
    type: 'vtd_unit',
    iommu: c.unit,
    reg_base: hexPlain(c.base),
    version: c.version,
    cap: hexPlain(c.cap),
    ecap: hexPlain(c.ecap),
    cap_fields: cap,
    ecap_fields: ecap,
    raw: [word64(c.ecap)],
    layout: 'vtd.reg.ecap_reg',
    explain: `${c.unit} has its registers at ${hexPlain(c.base)} and offers: ${what.join(', ')}.`,
    at: 'hw.unit',
  };
}

/** A message as a record; the sentence of a fault comes when its reason is known. */
export function messageRecord(c: Content, line: TextLine): Draft {
  const { type, explain, at, ...rest } = fields(c);
  return {
    type,
    vendor: 'intel',
    arch: 'vtd',
    line: line.number,
    ...rest,
    ...(line.xen ? { hypervisor: 'xen' } : {}),
    explain,
    ...(at === undefined ? {} : { where: { at } }),
  };
}
