/** Events of the trace system `intel_iommu`, of 5.12 to 7.1. Source: Linux drivers/iommu/intel/trace.h and iommu.h. */

import { deviceText } from '../../engine/vtd/layout/index.ts';
import { descriptorFacts, descriptorFaults, descriptorMeaning, descriptorRaw } from '../intel/descriptor.ts';
import type { Event, EventParser } from './reader.ts';

const value = (digits: string): bigint => BigInt(`0x${digits}`);
const hex = (digits: string): string => `0x${value(digits).toString(16)}`;

const event = (fields: Event['fields'], explain: string, at: string, complete = true): Event => ({
  vendor: 'intel',
  arch: 'vtd',
  fields,
  explain,
  at,
  complete,
});

const SUBMIT = /^(\w{1,24})\s+(dmar\d{1,3}):((?:\s+0x[0-9a-f]{1,16}){1,4})/i;

const submit: EventParser = (text) => {
  const m = SUBMIT.exec(text);
  if (!m) return null;
  const words = (m[3] as string)
    .trim()
    .split(/\s+/)
    .map((w) => value(w.slice(2)));
  const illegal = descriptorFaults(words);
  return event(
    {
      printed_type: m[1],
      iommu: m[2],
      ...descriptorFacts(words),
      ...(illegal.length > 0 ? { legal: false, illegal } : {}),
      ...descriptorRaw(words),
    },
    `Linux put a descriptor into the queue of ${m[2]} that ${descriptorMeaning(words)}.`,
    'hw.iq',
    words.length === 4,
  );
};

const PRQ =
  /^(dmar\d{1,3})\/(\S{1,40})\s+seq#\s+(\d{1,20}):\s+rid=0x([0-9a-f]{1,4})\s+addr=0x([0-9a-f]{1,16})\s+([r-][w-][x-][p-][l-])\s+pasid=0x([0-9a-f]{1,8})\s+index=0x([0-9a-f]{1,4})(?:\s+private=0x([0-9a-f]{1,16})\/0x([0-9a-f]{1,16}))?/i;

const prq: EventParser = (text) => {
  const m = PRQ.exec(text);
  if (!m) return null;
  const flags = m[6] as string;
  const on = (i: number): boolean => flags[i] !== '-';
  const page = BigInt.asUintN(64, value(m[5] as string) << 12n);
  const bdf = deviceText(Number.parseInt(m[4] as string, 16));
  const wants = [on(0) ? 'reading' : '', on(1) ? 'writing' : '', on(2) ? 'executing' : ''].filter((t) => t !== '');
  return event(
    {
      iommu: m[1],
      device: m[2],
      seq: Number(m[3]),
      rid: hex(m[4] as string),
      rid_bdf: bdf,
      addr_printed: hex(m[5] as string),
      addr: `0x${page.toString(16)}`,
      pasid: hex(m[7] as string),
      group: hex(m[8] as string),
      read: on(0),
      write: on(1),
      exec: on(2),
      privileged: on(3),
      last: on(4),
      flags,
      ...(m[9] ? { private_data: [hex(m[9]), hex(m[10] as string)] } : {}),
    },
    `Device ${bdf} with PASID ${hex(m[7] as string)} asked for ${wants.join(' and ') || 'no access'} at 0x${page.toString(16)} (printed as page number), group ${hex(m[8] as string)}${on(4) ? ', the last of its group: an answer is due' : ''}.`,
    'hw.prq',
  );
};

const tagNames: Readonly<Record<string, string>> = {
  iotlb: 'IOTLB',
  devtlb: 'device TLB',
  nesting_iotlb: 'IOTLB of a nested child',
  nesting_devtlb: 'device TLB of a nested child',
};

const TAG =
  /^(dmar\d{1,3})\/(\S{1,40})\s+type\s+(\w{1,20})\s+did\s+(\d{1,6})\s+pasid\s+(-?\d{1,10})\s+ref\s+(-?\d{1,10})/;

const tag =
  (what: (users: number) => string): EventParser =>
  (text) => {
    const m = TAG.exec(text);
    if (!m) return null;
    const ref = Number(m[6]);
    return event(
      { iommu: m[1], device: m[2], tag: m[3], did: Number(m[4]), pasid: Number(m[5]), ref },
      `The ${tagNames[m[3] as string] ?? m[3]} entries of domain ${m[4]} and PASID ${m[5]} on ${m[2]} (${m[1]}) ${what(ref)}.`,
      'kernel.driver',
    );
  };

const RANGE =
  /^(dmar\d{1,3})\s+([^\s[]{1,40})\[(-?\d{1,10})\]\s+type\s+(\w{1,20})\s+did\s+(\d{1,6})\s+\[0x([0-9a-f]{1,16})-0x([0-9a-f]{1,16})\]\s+addr\s+0x([0-9a-f]{1,16})\s+(?:pages\s+0x([0-9a-f]{1,16})\s+)?mask\s+0x([0-9a-f]{1,8})/i;

/** Mask of a flush of everything: 2^52 pages. */
const ALL = 52;

const range: EventParser = (text) => {
  const m = RANGE.exec(text);
  if (!m) return null;
  const mask = Number.parseInt(m[10] as string, 16);
  const first = value(m[6] as string);
  const last = value(m[7] as string);
  const asked = last >= first ? (last >> 12n) - (first >> 12n) + 1n : 0n;
  const flushed = mask < ALL ? 1n << BigInt(mask) : null;
  const name = tagNames[m[4] as string] ?? m[4];
  const how =
    flushed === null
      ? 'all addresses were flushed'
      : `${flushed} page${flushed === 1n ? '' : 's'} from ${hex(m[8] as string)} were flushed`;
  const more = flushed === null || flushed > asked ? `, for ${asked} that changed` : '';
  return event(
    {
      iommu: m[1],
      device: m[2],
      pasid: Number(m[3]),
      tag: m[4],
      did: Number(m[5]),
      start: hex(m[6] as string),
      end: hex(m[7] as string),
      addr: hex(m[8] as string),
      ...(m[9] ? { pages: Number(value(m[9])) } : {}),
      mask,
      whole_address_space: flushed === null,
    },
    `In the ${name} (${m[2]}, domain ${m[5]}, PASID ${m[3]}) ${how}${more}.`,
    'kernel.driver',
  );
};

export const intelEvents: Readonly<Record<string, EventParser>> = {
  qi_submit: submit,
  prq_report: prq,
  cache_tag_assign: tag((users) => `must be flushed from now on (${users} user${users === 1 ? '' : 's'})`),
  cache_tag_unassign: tag((users) => (users <= 1 ? 'need no flushing any more' : `lost one of ${users} users`)),
  cache_tag_flush_all: tag(() => 'were flushed as a whole'),
  cache_tag_flush_range: range,
  cache_tag_flush_range_np: range,
};
