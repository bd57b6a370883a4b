/** A descriptor of the invalidation queue as facts and one sentence. */

import { getField, hexPlain, type Layout } from '../../engine/bits/index.ts';
import {
  descriptorLayout,
  descriptorName,
  descriptorType,
  deviceText,
  deviceTlbRange,
  unknownDescriptorLayout,
} from '../../engine/vtd/layout/index.ts';

/** Names as Linux prints them. Source: drivers/iommu/intel/dmar.c (qi_type_string). */
const linuxNames: Readonly<Record<number, string>> = {
  1: 'Context-cache Invalidation',
  2: 'IOTLB Invalidation',
  3: 'Device-TLB Invalidation',
  4: 'Interrupt Entry Cache Invalidation',
  5: 'Invalidation Wait',
  6: 'PASID-based IOTLB Invalidation',
  7: 'PASID-cache Invalidation',
  8: 'PASID-based Device-TLB Invalidation',
  9: 'Page Group Response',
};

const granularities: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  1: { 1: 'global', 2: 'domain', 3: 'device' },
  2: { 1: 'global', 2: 'domain', 3: 'page' },
  4: { 0: 'global', 1: 'index' },
  6: { 2: 'pasid', 3: 'page' },
  7: { 0: 'domain', 1: 'pasid', 3: 'global' },
};

const responses: Readonly<Record<number, string>> = { 0: 'success', 1: 'invalid request', 15: 'response failure' };

/** Reads a field; fields of words that the text does not give are undefined. */
type Maybe = (name: string) => bigint | undefined;

const reader =
  (layout: Layout, words: readonly bigint[]): Maybe =>
  (name) => {
    const f = layout.fields.find((x) => x.name === name);
    return f && f.word < words.length ? getField(f, words) : undefined;
  };

const hex = (v: bigint | undefined): string | undefined => (v === undefined ? undefined : hexPlain(v));
const num = (v: bigint | undefined): number | undefined => (v === undefined ? undefined : Number(v));
const bdf = (v: bigint | undefined): string | undefined => (v === undefined ? undefined : deviceText(Number(v)));

const known = (o: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined));

/** Facts of a range in a device TLB. */
function deviceRange(words: readonly bigint[], size: bigint | undefined): Record<string, unknown> {
  if (words.length < 2) return {};
  const range = deviceTlbRange(words);
  const all = range.size === 1n << 64n;
  return {
    size_bit: num(size),
    whole_address_space: all,
    ...(all ? {} : { addr: hexPlain(range.address), pages: Number(range.size >> 12n) }),
  };
}

function own(type: number, get: Maybe, words: readonly bigint[]): Record<string, unknown> {
  const g = num(get('G'));
  const granularity = g === undefined ? undefined : (granularities[type]?.[g] ?? `illegal (${g})`);
  switch (type) {
    case 1:
      return {
        granularity,
        ...(g === 2 || (g === 3 && get('DID') !== 0n) ? { domain_id: num(get('DID')) } : {}),
        ...(g === 3 ? { sid: hex(get('SID')), sid_bdf: bdf(get('SID')), function_mask: num(get('FM')) } : {}),
      };
    case 2:
    case 6:
      return {
        granularity,
        ...(type === 2 ? { drain_write: num(get('DW')), drain_read: num(get('DR')) } : {}),
        ...(type === 6 || g === 2 || g === 3 ? { domain_id: num(get('DID')) } : {}),
        ...(type === 6 ? { pasid: hex(get('PASID')) } : {}),
        ...(g === 3 ? { addr: hex(get('ADDR')), am: num(get('AM')), ih: num(get('IH')) } : {}),
      };
    case 3:
    case 8:
      return {
        sid: hex(get('SID')),
        sid_bdf: bdf(get('SID')),
        ...(type === 8 ? { pasid: hex(get('PASID')), all_pasids: num(get('G')) } : {}),
        ...deviceRange(words, get('S')),
        queue_depth: get('MIP') === 0n ? 32 : num(get('MIP')),
        pfsid: hexPlain(((get('PFSID_HI') ?? 0n) << 4n) | (get('PFSID_LO') ?? 0n)),
      };
    case 4:
      return { granularity, ...(g === 1 ? { irte_index: hex(get('IIDX')), index_mask: num(get('IM')) } : {}) };
    case 5:
      return {
        interrupt: num(get('IF')),
        status_write: num(get('SW')),
        fence: num(get('FN')),
        page_request_drain: num(get('PD')),
        ...(get('SW') === 1n ? { status_data: hex(get('STDATA')), status_addr: hex(get('STADDR')) } : {}),
      };
    case 7:
      return {
        granularity,
        ...(g === 0 || g === 1 ? { domain_id: num(get('DID')) } : {}),
        ...(g === 1 ? { pasid: hex(get('PASID')) } : {}),
      };
    case 9:
      return {
        rid: hex(get('RID')),
        rid_bdf: bdf(get('RID')),
        pasid: get('PP') === 1n ? hex(get('PASID')) : null,
        group: num(get('PRGI')),
        response: num(get('RC')),
        response_name: responses[num(get('RC')) ?? 99] ?? 'reserved',
      };
    default:
      return {};
  }
}

/** Why hardware refuses a descriptor (IQE), as far as the descriptor alone tells. Source: Intel VT-d, 6.5.2 and 6.5.3. */
export function descriptorFaults(words: readonly bigint[]): string[] {
  const layout = descriptorLayout(words);
  const type = descriptorType(words);
  if (layout === unknownDescriptorLayout) return [`type ${type} is reserved`];
  const out: string[] = [];
  for (const [w, word] of words.entries()) {
    let rest = word;
    for (const f of layout.fields) if (f.word === w) rest &= ~(((1n << BigInt(f.hi - f.lo + 1)) - 1n) << BigInt(f.lo));
    // A page group response may carry private data.
    if (rest !== 0n && !(type === 9 && w > 1)) out.push(`reserved bits of qw${w} are set (${hexPlain(rest)})`);
  }
  const get = reader(layout, words);
  const g = num(get('G')) ?? 0;
  if (granularities[type] && granularities[type][g] === undefined) out.push(`granularity ${g} is illegal`);
  if (type === 5 && get('IF') === 0n && get('SW') === 0n && get('FN') === 0n) out.push('none of IF, SW and FN is set');
  return out;
}

/**
 * Facts of a descriptor.
 * @param words qw0 and as many further words as the text gives
 */
export function descriptorFacts(words: readonly bigint[]): Record<string, unknown> {
  const type = descriptorType(words);
  const layout = descriptorLayout(words);
  const facts = known(own(type, reader(layout, words), words));
  return {
    desc_type: type,
    desc_name: linuxNames[type] ?? 'UNKNOWN',
    ...Object.fromEntries(words.slice(0, 2).map((w, i) => [`qw${i}`, hexPlain(w)])),
    ...(words.slice(2).some((w) => w !== 0n) ? { qw2: hexPlain(words[2] ?? 0n), qw3: hexPlain(words[3] ?? 0n) } : {}),
    ...facts,
  };
}

const pages = (am: unknown): string => {
  const n = 1n << BigInt(Number(am ?? 0));
  return n === 1n ? 'the page' : `${n} pages`;
};

/** What a descriptor asks for: `removes the translations of domain 5 ...`, for use behind a subject. */
export function descriptorMeaning(words: readonly bigint[]): string {
  const f = descriptorFacts(words);
  const incomplete = words.length < 2;
  if (String(f.granularity).startsWith('illegal')) return `is a ${f.desc_name} with a granularity that does not exist`;
  switch (f.desc_type) {
    case 1:
      return f.granularity === 'global'
        ? 'drops every cached context entry'
        : f.granularity === 'device'
          ? `drops the cached context entry of device ${f.sid_bdf}${Number(f.function_mask) > 0 ? ' and its neighbouring functions' : ''}`
          : `drops the cached context entries of domain ${f.domain_id}`;
    case 2:
      return f.granularity === 'global'
        ? 'drops every cached translation'
        : f.granularity === 'domain'
          ? `drops every cached translation of domain ${f.domain_id}`
          : incomplete
            ? `drops cached translations of domain ${f.domain_id}; the address is not in the text`
            : `drops the cached translations of ${pages(f.am)} from ${f.addr} in domain ${f.domain_id}${f.ih === 1 ? ', leaf entries only' : ''}; first-stage and nested entries of that domain all go`;
    case 3:
    case 8: {
      const tags = f.desc_type === 8 ? (f.all_pasids === 1 ? ' in every PASID' : ` of PASID ${f.pasid}`) : '';
      const range = incomplete
        ? '; the address is not in the text'
        : f.whole_address_space
          ? ': all addresses'
          : `: ${f.pages === 1 ? 'the page' : `${f.pages} pages from`} ${f.addr}`;
      return `asks device ${f.sid_bdf} to drop translations${tags} from its own TLB${range}`;
    }
    case 4:
      return f.granularity === 'global'
        ? 'drops every cached interrupt remapping entry'
        : `drops ${2 ** Number(f.index_mask ?? 0)} cached interrupt remapping entr${f.index_mask === 0 ? 'y' : 'ies'} from index ${f.irte_index}`;
    case 5: {
      const how = [
        f.status_write === 1 ? `writes ${f.status_data}${incomplete ? '' : ` to ${f.status_addr}`}` : '',
        f.interrupt === 1 ? 'raises an interrupt' : '',
        f.fence === 1 ? 'holds later descriptors back' : '',
        f.page_request_drain === 1 ? 'drains page requests' : '',
      ].filter((t) => t !== '');
      return `waits until the descriptors before have completed, then ${how.join(' and ') || 'signals nothing'}`;
    }
    case 6:
      return f.granularity === 'pasid'
        ? `drops the cached translations of domain ${f.domain_id} and PASID ${f.pasid}`
        : incomplete
          ? `drops cached translations of domain ${f.domain_id} and PASID ${f.pasid}; the address is not in the text`
          : `drops the cached first-stage and nested translations of ${pages(f.am)} from ${f.addr} in domain ${f.domain_id}, PASID ${f.pasid}${f.ih === 1 ? ', leaf entries only' : ''}`;
    case 7:
      return f.granularity === 'global'
        ? 'drops every cached PASID entry'
        : f.granularity === 'pasid'
          ? `drops the cached PASID entries of domain ${f.domain_id} and PASID ${f.pasid}, of every device`
          : `drops the cached PASID entries of domain ${f.domain_id}`;
    case 9:
      return `answers page request group ${f.group} of device ${f.rid_bdf}${f.pasid === null ? '' : ` and PASID ${f.pasid}`} with ${f.response_name}`;
    default:
      return `is of the reserved type ${f.desc_type}`;
  }
}

/** Spec name of the descriptor: `P_IOTLB_INV`. */
export const descriptorCommand = (words: readonly bigint[]): string => descriptorName(words);

/** Layout and words for the inspector: all four words of the layout, where the text gives at least the first two. */
export function descriptorRaw(words: readonly bigint[]): Record<string, unknown> {
  if (words.length < 2) return {};
  const raw = [0, 1, 2, 3].map((i) => words[i] ?? 0n);
  return { raw: raw.map((w) => `0x${w.toString(16).padStart(16, '0')}`), layout: descriptorLayout(words).id };
}
