/** A raw event record as facts and one sentence. */

import { fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { classNames, eventLayout, eventName } from '../../engine/smmuv3/layout/index.ts';
import type { Where } from '../record.ts';
import { word64 } from '../words.ts';

const hex = (v: bigint | number): string => hexPlain(v);

/** Facts of one event, whether from raw words or from the printed line; what is unknown is undefined. */
export interface EventFacts {
  readonly event: string;
  readonly sid?: bigint;
  readonly ssid?: bigint;
  readonly client?: string;
  readonly access?: 'read' | 'write';
  readonly instruction?: boolean;
  readonly privileged?: boolean;
  readonly stage?: 1 | 2;
  readonly class?: number;
  readonly address?: bigint;
  readonly ipa?: bigint;
  readonly fetchAddr?: bigint;
  readonly stag?: bigint;
  readonly stall?: boolean;
}

/**
 * The facts that `words` hold, under the names of the log format: only those of words that are there, and only those that
 * the event's record has.
 * @param words up to four 64-bit words, the first one first
 */
export function eventFields(words: readonly bigint[]): { fields: Record<string, unknown>; facts: EventFacts } {
  const id = Number((words[0] ?? 0n) & 0xffn);
  const layout = eventLayout(words);
  const event = eventName(id);
  const has = (name: string): boolean => layout.fields.some((f) => f.name === name && f.word < words.length);
  const get = (name: string): bigint => getField(fieldOf(layout, name), words);

  const ssv = has('SSV') ? Number(get('SSV')) : 0;
  // C_BAD_SUBSTREAMID has no SSV: its SubstreamID always counts.
  const ssid = has('SSID') && (ssv === 1 || !has('SSV')) ? get('SSID') : undefined;
  const sid = get('SID');
  const fields: Record<string, unknown> = {
    event_id: hex(id),
    event,
    sid: hex(sid),
    ssv,
    raw: words.map(word64),
    ssid: ssid === undefined ? null : hex(ssid),
  };
  const rnw = has('RnW') ? Number(get('RnW')) : undefined;
  if (rnw !== undefined) {
    fields.rnw = rnw;
    fields.access = rnw ? 'read' : 'write';
  }
  if (has('PnU')) fields.pnu = Number(get('PnU'));
  if (has('InD')) fields.ind = Number(get('InD'));
  const stage = has('S2') ? ((Number(get('S2')) + 1) as 1 | 2) : undefined;
  if (stage !== undefined) {
    fields.s2 = stage - 1;
    fields.stage = stage;
  }
  const cls = has('CLASS') ? Number(get('CLASS')) : undefined;
  if (cls !== undefined) {
    fields.class = cls;
    fields.class_name = classNames[cls];
  }
  if (has('Stall')) fields.stall = Number(get('Stall'));
  if (has('STAG')) fields.stag = hex(get('STAG'));
  if (has('TTRnW') && cls === 1) fields.ttrnw = Number(get('TTRnW'));
  if (has('Reason')) fields.reason = hex(get('Reason'));
  if (has('GPCF')) fields.gpcf = Number(get('GPCF'));
  if (has('Span')) {
    fields.span = Number(get('Span'));
    fields.permissions = ['uX', 'uW', 'uR', 'pX', 'pW', 'pR'].filter((p) => get(p) === 1n);
  }
  if (has('InputAddr')) fields.input_addr = hex(get('InputAddr'));
  if (has('IPA')) {
    fields.ipa_field = hex(get('IPA'));
    fields.ipa_valid = stage === 2;
  }
  if (has('FetchAddr')) fields.fetch_addr = hex(get('FetchAddr'));

  const facts: EventFacts = {
    event,
    sid,
    ssid,
    access: rnw === undefined ? undefined : rnw ? 'read' : 'write',
    instruction: has('InD') ? get('InD') === 1n : undefined,
    privileged: has('PnU') ? get('PnU') === 1n : undefined,
    stage,
    class: cls,
    address: has('InputAddr') ? get('InputAddr') : undefined,
    ipa: has('IPA') && stage === 2 ? get('IPA') : undefined,
    fetchAddr: has('FetchAddr') ? get('FetchAddr') : undefined,
    stag: has('STAG') ? get('STAG') : undefined,
    stall: has('Stall') ? get('Stall') === 1n : undefined,
  };
  return { fields, facts };
}

/** The scene object where an event arises. */
export function eventPlace(f: EventFacts): Where {
  const at = (): string => {
    switch (f.event) {
      case 'C_BAD_STREAMID':
      case 'F_STE_FETCH':
      case 'C_BAD_STE':
        return 'hw.strtab';
      case 'F_STREAM_DISABLED':
      case 'C_BAD_SUBSTREAMID':
      case 'F_CD_FETCH':
      case 'C_BAD_CD':
      case 'F_CFG_CONFLICT':
      case 'F_VMS_FETCH':
        return 'hw.config';
      case 'F_WALK_EABT':
      case 'F_TRANSLATION':
      case 'F_ADDR_SIZE':
      case 'F_ACCESS':
      case 'F_PERMISSION':
        return f.stage === 2 ? 'hw.s2tlb' : f.stage === 1 ? 'hw.s1walk' : 'hw.evtq';
      case 'F_TLB_CONFLICT':
        return 'hw.iotlb';
      case 'F_UUT':
      case 'F_BAD_ATS_TREQ':
      case 'F_TRANSL_FORBIDDEN':
      case 'E_PAGE_REQUEST':
        return 'hw.smmu';
      default:
        return 'hw.evtq';
    }
  };
  return {
    at: at(),
    ...(f.stage !== undefined ? { stage: f.stage } : {}),
    ...(f.sid !== undefined ? { sid: hex(f.sid) } : {}),
    ...(f.class !== undefined ? { class: classNames[f.class] as string } : {}),
  };
}

function who(f: EventFacts): string {
  const sid = f.sid === undefined ? 'a device (StreamID not in the text)' : `StreamID ${hex(f.sid)}`;
  const named = f.client && !f.client.startsWith('(') ? `${f.client} (${sid})` : sid;
  return f.ssid !== undefined && (f.ssid !== 0n || f.event === 'C_BAD_SUBSTREAMID')
    ? `${named} with PASID ${hex(f.ssid)}`
    : named;
}

/** `A privileged read of 0x1000 by StreamID 0x8` */
function what(f: EventFacts): string {
  const verb =
    f.access === undefined ? 'access' : f.access === 'read' ? (f.instruction ? 'instruction fetch' : 'read') : 'write';
  const level = f.privileged ? 'privileged ' : '';
  const where =
    f.address === undefined ? '' : `${f.access === 'write' ? ' to' : f.access ? ' from' : ' at'} ${hex(f.address)}`;
  const article = level === '' && /^[aei]/.test(verb) ? 'An' : 'A';
  return `${article} ${level}${verb}${where} by ${who(f)}`;
}

/** What stage 2 was translating. */
function stage2Target(f: EventFacts): string {
  const ipa = f.ipa === undefined ? 'an IPA' : `IPA page ${hex(f.ipa)}`;
  if (f.class === 0) return `${ipa} (where the context descriptor lies)`;
  if (f.class === 1) return `${ipa} (where a stage-1 table entry lies)`;
  return `${ipa} (the output of stage 1, or the input where only stage 2 translates)`;
}

const ending = (f: EventFacts): string => {
  if (f.stall)
    return `; the transaction is stalled with STAG ${hex(f.stag ?? 0n)} until software resumes or terminates it.`;
  return f.stall === false ? '; the transaction was terminated.' : '.';
};

/** One sentence: what failed, at which stage, for whom, what that usually means, and what became of the transaction. */
export function explainEvent(f: EventFacts): string {
  /** A device's name keeps its case at the start of a sentence. */
  const cap = (s: string): string => (s.startsWith('a device') ? `A${s.slice(1)}` : s);
  switch (f.event) {
    case 'F_TRANSLATION':
      if (f.stage === 2)
        return `${what(f)} failed at stage 2 (F_TRANSLATION): nothing is mapped at ${stage2Target(f)}; usually guest memory that the host never mapped or has already unmapped${ending(f)}`;
      if (f.stage === undefined) return `${what(f)} found no valid translation (F_TRANSLATION)${ending(f)}`;
      return `${what(f)} failed at stage 1 (F_TRANSLATION): the address is not mapped in the tables of its context; usually the driver unmapped the buffer too early, never mapped it, or the device used a wrong address${ending(f)}`;
    case 'F_ADDR_SIZE':
      return `${what(f)} failed at ${f.stage ? `stage ${f.stage}` : 'an unknown stage'} (F_ADDR_SIZE): ${f.stage === 2 ? `translating ${stage2Target(f)} gave an address larger than STE.S2PS allows` : 'a table entry or a bypassed address is larger than CD.IPS or the input size allows'}; usually a corrupt table entry or a wrong address size setting${ending(f)}`;
    case 'F_ACCESS':
      return `${what(f)} failed at ${f.stage ? `stage ${f.stage}` : 'an unknown stage'} (F_ACCESS): ${f.stage === 2 ? `the descriptor for ${stage2Target(f)}` : 'the page descriptor'} has its access flag clear, and hardware does not set it here${ending(f)}`;
    case 'F_PERMISSION':
      return `${what(f)} failed at ${f.stage ? `stage ${f.stage}` : 'an unknown stage'} (F_PERMISSION): ${f.stage === 2 ? `the mapping of ${stage2Target(f)}` : 'the page'} exists but does not allow this access; usually a buffer mapped for the other direction or read-only memory${ending(f)}`;
    case 'F_WALK_EABT':
      return `${what(f)} ended because reading a stage-${f.stage ?? '?'} table entry${f.fetchAddr === undefined ? '' : ` at physical address ${hex(f.fetchAddr)}`} was aborted by the memory system (F_WALK_EABT); usually a corrupt table pointer or freed table memory.`;
    case 'C_BAD_STREAMID':
      return `${cap(who(f))} is outside the stream table, or its first-level entry has no table (C_BAD_STREAMID): the device's ID is not one that the driver set up; usually a wrong iommu-map, IORT entry or an unexpected requester ID.`;
    case 'F_STE_FETCH':
      return `Reading the stream table entry of ${who(f)}${f.fetchAddr === undefined ? '' : ` at physical address ${hex(f.fetchAddr)}`} was aborted by the memory system (F_STE_FETCH); usually a wrong stream table address or broken memory.`;
    case 'C_BAD_STE':
      return `The stream table entry of ${who(f)} is not valid or holds an illegal combination (C_BAD_STE), so the transaction was aborted; usually the stream is not set up, or V, Config, S1CDMax, EATS or a stage-2 field contradict what the SMMU supports.`;
    case 'F_BAD_ATS_TREQ':
      return `${cap(who(f))} sent an ATS translation request${f.address === undefined ? '' : ` for page ${hex(f.address)}`} that its stream table entry does not allow (F_BAD_ATS_TREQ); usually ATS is enabled in the device but STE.EATS is 0.`;
    case 'F_STREAM_DISABLED':
      return `${cap(who(f))} sent a transaction without SubstreamID where STE.S1DSS terminates those, or with SubstreamID 0 where CD 0 is kept for them (F_STREAM_DISABLED).`;
    case 'F_TRANSL_FORBIDDEN':
      return `${cap(who(f))} sent an ATS-translated ${f.access ?? 'access'}${f.address === undefined ? '' : ` at ${hex(f.address)}`} that is not allowed for the stream (F_TRANSL_FORBIDDEN); usually the device kept translations after ATS was turned off.`;
    case 'C_BAD_SUBSTREAMID':
      return `${cap(who(f))} was refused (C_BAD_SUBSTREAMID): the stream has no stage 1, no substreams, too few context descriptors or no leaf table for that PASID.`;
    case 'F_CD_FETCH':
      return `Reading the context descriptor of ${who(f)}${f.fetchAddr === undefined ? '' : ` at physical address ${hex(f.fetchAddr)}`} was aborted by the memory system (F_CD_FETCH); usually a wrong or freed CD table address.`;
    case 'C_BAD_CD':
      return `The context descriptor of ${who(f)} is not valid or holds an illegal combination (C_BAD_CD), so the transaction was aborted; usually an address space that was not set up or is being torn down.`;
    case 'F_TLB_CONFLICT':
      return `${what(f)} matched several TLB entries (F_TLB_CONFLICT); usually a block and its pages were exchanged without break-before-make and invalidation.`;
    case 'F_CFG_CONFLICT':
      return `A transaction of ${who(f)} matched several cached configurations (F_CFG_CONFLICT); usually STE.CONT marks neighbours that differ.`;
    case 'E_PAGE_REQUEST':
      return `${cap(who(f))} hints that it will soon use page ${hex(f.address ?? 0n)} (E_PAGE_REQUEST): no fault, no answer is needed.`;
    case 'F_VMS_FETCH':
      return `Reading the virtual machine structure of ${who(f)}${f.fetchAddr === undefined ? '' : ` at physical address ${hex(f.fetchAddr)}`} was aborted by the memory system (F_VMS_FETCH); usually a wrong STE.VMSPtr.`;
    case 'F_UUT':
      return `${what(f)} is of a kind that the SMMU does not support (F_UUT); the reason field is implementation defined.`;
    default:
      return f.event.startsWith('IMPDEF')
        ? `An event that the SMMU's maker defines (${f.event}), for ${who(f)}: only StreamID and SubstreamID can be read.`
        : f.event.startsWith('RESERVED')
          ? `An event number that the architecture reserves (${f.event}), for ${who(f)}: only StreamID and SubstreamID can be read.`
          : `An event that the driver has no name for (${f.event}), for ${who(f)}.`;
  }
}
