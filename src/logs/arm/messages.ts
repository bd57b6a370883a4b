/**
 * The messages of Linux's arm-smmu-v3 driver, one parser a message. Sources: arm_smmu_dump_raw_event, arm_smmu_dump_event,
 * arm_smmu_evtq_thread, arm_smmu_handle_ppr, arm_smmu_priq_thread, arm_smmu_gerror_handler, __arm_smmu_cmdq_skip_err,
 * arm_smmu_cmdq_issue_cmdlist, arm_smmu_device_hw_probe and arm_smmu_init_one_queue in drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c,
 * tegra241_cmdqv_isr in tegra241-cmdqv.c; forms of 3.18 to 7.1.
 */

import { Cursor } from '../cursor.ts';
import { done, type Message as Found } from '../message.ts';
import { rawWords } from './words.ts';

export interface EventHeader {
  readonly kind: 'event';
  readonly id: number;
}
export interface EventLine {
  readonly kind: 'eventLine';
  readonly event: string;
  readonly client: string | null;
  readonly sid: bigint | null;
  readonly ssid: bigint | null;
  readonly iova: bigint | null;
  readonly ipa: bigint | null;
  readonly fetchAddr: bigint | null;
}
export interface AccessLine {
  readonly kind: 'access';
  readonly privileged: boolean;
  readonly instruction: boolean | null;
  readonly access: 'read' | 'write' | null;
  readonly stage: 1 | 2 | null;
  readonly classText: string | null;
  readonly ttd: 'read' | 'write' | null;
  readonly stall: boolean | null;
  readonly stag: bigint | null;
}
export interface Words {
  readonly kind: 'words';
  readonly words: readonly bigint[];
  /** Digits of a last word that has fewer than sixteen. */
  readonly cut: string | null;
}
export interface PriDetail {
  readonly kind: 'priDetail';
  readonly sid: bigint;
  readonly ssid: bigint;
  readonly group: number;
  readonly last: boolean;
  readonly privileged: boolean;
  readonly permissions: string;
  readonly iova: bigint | null;
}

export type Content =
  | EventHeader
  | EventLine
  | AccessLine
  | Words
  | PriDetail
  | { readonly kind: 'gerror'; readonly value: bigint }
  | { readonly kind: 'gerrorDetail'; readonly bit: string; readonly printed: string }
  | { readonly kind: 'cmdqError'; readonly cons: bigint; readonly printed: string | null }
  | { readonly kind: 'skipping' }
  | { readonly kind: 'retrying' }
  | {
      readonly kind: 'syncTimeout';
      readonly at: bigint | null;
      readonly hwprod: bigint | null;
      readonly hwcons: bigint | null;
    }
  | { readonly kind: 'cmdqTimeout' }
  | { readonly kind: 'overflow'; readonly queue: 'evtq' | 'priq' }
  | { readonly kind: 'pri' }
  | { readonly kind: 'vcmdqError'; readonly vintfMap: string; readonly vcmdqMap: string | null }
  | { readonly kind: 'probe'; readonly facts: Readonly<Record<string, number | string>> }
  | { readonly kind: 'suppressed'; readonly count: number };

export type Message = Found<Content>;

function eventHeader(c: Cursor): Message | null {
  if (!c.lit('event ')) return null;
  const id = c.hex('received');
  if (id === null || id > 0xffn) return null;
  return done(c, { kind: 'event', id: Number(id) }, c.lit('received') ? 2 : 1, c.lit(':'));
}

const WITH_ADDRESS = ['F_TRANSLATION', 'F_ADDR_SIZE', 'F_ACCESS', 'F_PERMISSION'];
const WITH_FETCH = ['F_STE_FETCH', 'F_CD_FETCH', 'F_VMS_FETCH'];

function eventLine(c: Cursor): Message | null {
  if (!c.lit('event:')) return null;
  const event = c.name();
  if (event === '') return null;
  let client: string | null = null;
  let sid: bigint | null = null;
  let ssid: bigint | null = null;
  let iova: bigint | null = null;
  let ipa: bigint | null = null;
  let fetchAddr: bigint | null = null;
  let score = 1;
  let complete = false;
  if (c.lit('client:')) {
    const raw = c.until('sid:', 100);
    if (raw !== null) {
      client = raw.replace(/\s/g, '') === '(unassignedsid)' ? '(unassigned sid)' : raw.replaceAll('\n', '');
      score++;
      if (c.lit('sid:')) sid = c.hex('ssid:');
      if (sid !== null) score++;
      if (c.lit('ssid:'))
        ssid = c.hex(WITH_FETCH.includes(event) ? 'fetch_addr:' : WITH_ADDRESS.includes(event) ? 'iova:' : undefined);
      if (ssid !== null) score++;
      complete = ssid !== null;
      if (WITH_ADDRESS.includes(event)) {
        if (c.lit('iova:')) iova = c.hex('ipa:');
        if (c.lit('ipa:')) ipa = c.hex();
        score += Number(iova !== null) + Number(ipa !== null);
        complete = ipa !== null;
      } else if (WITH_FETCH.includes(event)) {
        if (c.lit('fetch_addr:')) fetchAddr = c.hex();
        score += Number(fetchAddr !== null);
        complete = fetchAddr !== null;
      }
    }
  }
  return done(c, { kind: 'eventLine', event, client, sid, ssid, iova, ipa, fetchAddr }, score, complete);
}

/** What the driver prints for CLASS. */
export const classTexts = [
  'CD fetch',
  'Stage 1 translation table fetch',
  'Input address caused fault',
  'Reserved',
] as const;

function accessLine(c: Cursor): Message | null {
  const privileged = c.oneOf('unpriv ', 'priv ');
  if (privileged === null) return null;
  const kind = c.oneOf('inst', 'data');
  if (kind === null) return null;
  const access = c.oneOf('read', 'write');
  const stage = access ? c.oneOf('s1', 's2') : null;
  let score = 1 + Number(access !== null) + Number(stage !== null);
  let classText: string | null = null;
  if (stage && c.lit('"')) {
    classText = c.oneOf(...classTexts) ?? c.until('"', 60);
    if (classText !== null && c.lit('"')) score++;
  }
  const ttd = classText ? c.oneOf('ttd_read', 'ttd_write') : null;
  const stall = classText ? c.lit('stall') : null;
  const stag = c.lit('stag:') ? c.hex() : null;
  if (stag !== null) score++;
  return done(
    c,
    {
      kind: 'access',
      privileged: privileged === 'priv ',
      instruction: kind === 'inst',
      access,
      stage: stage ? (stage === 's1' ? 1 : 2) : null,
      classText,
      ttd: ttd ? (ttd === 'ttd_read' ? 'read' : 'write') : null,
      stall,
      stag,
    },
    score,
    stag !== null,
  );
}

function gerror(c: Cursor): Message | null {
  if (!c.lit('unexpected global error reported')) return null;
  if (!c.lit('(')) return null;
  const value = c.hex(')');
  if (value === null || value > 0xffffffffn) return null;
  c.lit(')');
  const tail = c.lit(', this could be serious');
  return done(c, { kind: 'gerror', value }, tail ? 2 : 1, tail);
}

/** What the driver prints for each bit after the line with the value. */
const gerrorDetails: readonly (readonly [string, string])[] = [
  ['device has entered Service Failure Mode!', 'SFM_ERR'],
  ['GERROR MSI write aborted', 'MSI_GERROR_ABT_ERR'],
  ['PRIQ MSI write aborted', 'MSI_PRIQ_ABT_ERR'],
  ['EVTQ MSI write aborted', 'MSI_EVENTQ_ABT_ERR'],
  ['CMDQ MSI write aborted', 'MSI_CMDQ_ABT_ERR'],
  ['PRIQ write aborted -- events may have been lost', 'PRIQ_ABT_ERR'],
  ['EVTQ write aborted -- events may have been lost', 'EVENTQ_ABT_ERR'],
];

function gerrorDetail(c: Cursor): Message | null {
  for (const [printed, bit] of gerrorDetails)
    if (c.lit(printed)) return done(c, { kind: 'gerrorDetail', bit, printed }, 2, true);
  for (const [bit, name] of [
    ['PRIQ', 'PRIQ_ABT_ERR'],
    ['EVTQ', 'EVENTQ_ABT_ERR'],
  ] as const)
    if (c.lit(`${bit} write aborted`))
      return done(c, { kind: 'gerrorDetail', bit: name, printed: `${bit} write aborted` }, 1, false);
  return null;
}

/** What the driver prints for CMDQ_CONS.ERR. */
const cmdqTexts = [
  'No error',
  'Illegal command',
  'Abort on command fetch',
  'ATC invalidate timeout',
  'Unknown',
] as const;

function cmdqError(c: Cursor): Message | null {
  if (!c.lit('CMDQ error (cons')) return null;
  const cons = c.hex(')');
  if (cons === null || cons > 0xffffffffn) return null;
  c.lit('):');
  const known = c.oneOf(...cmdqTexts);
  const printed = known ?? (c.rest() || null);
  return done(c, { kind: 'cmdqError', cons, printed }, known ? 3 : printed ? 2 : 1, known !== null);
}

function syncTimeout(c: Cursor): Message | null {
  if (!c.lit('CMD_SYNC timeout')) return null;
  const at = c.lit('at') ? c.hex('[') : null;
  let hwprod: bigint | null = null;
  let hwcons: bigint | null = null;
  if (at !== null && c.lit('[hwprod')) {
    hwprod = c.hex(',');
    if (c.lit(', hwcons')) hwcons = c.hex(']');
  }
  const complete = hwcons !== null && c.lit(']');
  return done(
    c,
    { kind: 'syncTimeout', at, hwprod, hwcons },
    1 + Number(at !== null) + Number(hwprod !== null) + Number(hwcons !== null),
    complete,
  );
}

function priDetail(c: Cursor): Message | null {
  if (!c.lit('sid ')) return null;
  const sid = c.hex('.');
  if (sid === null || !c.lit('.')) return null;
  const ssid = c.hex(':');
  if (ssid === null || !c.lit(': [')) return null;
  const group = c.dec();
  if (group === null) return null;
  const last = c.lit('L');
  if (!c.lit(']')) return null;
  const privileged = c.oneOf('unprivileged', 'privileged');
  if (privileged === null) return null;
  let permissions = '';
  for (const p of ['R', 'W', 'X']) if (c.lit(p)) permissions += p;
  const iova = c.lit('access at iova') ? c.hex() : null;
  return done(
    c,
    { kind: 'priDetail', sid, ssid, group, last, privileged: privileged === 'privileged', permissions, iova },
    iova === null ? 1 : 2,
    iova !== null,
  );
}

function words(c: Cursor): Message | null {
  const w = rawWords(c);
  return w && done(c, { kind: 'words', ...w }, w.words.length * 2 + Number(w.cut !== null), w.cut === null);
}

function probe(c: Cursor): Message | null {
  if (c.lit('ias ')) {
    const ias = c.dec();
    if (ias === null || !c.lit('-bit, oas ')) return null;
    const oas = c.dec();
    if (oas === null) return null;
    const facts: Record<string, number | string> = { ias, oas };
    if (c.lit('-bit (features')) {
      const f = c.hex(')');
      if (f !== null) facts.features = `0x${f.toString(16).padStart(8, '0')}`;
    }
    return done(c, { kind: 'probe', facts }, Object.keys(facts).length, facts.features !== undefined);
  }
  if (c.lit('option mask ')) {
    const mask = c.hex();
    return mask === null ? null : done(c, { kind: 'probe', facts: { options: `0x${mask.toString(16)}` } }, 2, true);
  }
  if (c.lit('allocated ')) {
    const n = c.dec();
    if (n === null || !c.lit('entries for ')) return null;
    const queue = c.oneOf('cmdq', 'evtq', 'priq', 'vcmdq');
    return queue ? done(c, { kind: 'probe', facts: { [`${queue}_entries`]: n } }, 2, true) : null;
  }
  return null;
}

function vcmdqError(c: Cursor): Message | null {
  if (!c.lit('unexpected error reported. vintf_map:')) return null;
  c.skipSpace();
  const m = /^([0-9a-f]{16})(?:,\s*vcmdq_map:\s*([0-9a-f]{32}))?/.exec(c.text.slice(c.pos, c.pos + 80));
  if (!m) return null;
  c.pos += m[0].length;
  return done(
    c,
    { kind: 'vcmdqError', vintfMap: m[1] as string, vcmdqMap: m[2] ?? null },
    m[2] ? 2 : 1,
    m[2] !== undefined,
  );
}

const fixed: readonly (readonly [string, Content])[] = [
  ['skipping command in error state:', { kind: 'skipping' }],
  ['retrying command fetch', { kind: 'retrying' }],
  ['EVTQ overflow detected -- events lost', { kind: 'overflow', queue: 'evtq' }],
  ['PRIQ overflow detected -- requests lost', { kind: 'overflow', queue: 'priq' }],
  ['EVTQ overflow detected', { kind: 'overflow', queue: 'evtq' }],
  ['PRIQ overflow detected', { kind: 'overflow', queue: 'priq' }],
  ['unexpected PRI request received:', { kind: 'pri' }],
  ['CMDQ timeout', { kind: 'cmdqTimeout' }],
];

function fixedText(c: Cursor): Message | null {
  for (const [text, content] of fixed) {
    if (c.lit(text))
      return done(
        c,
        content,
        text.length > 30 || content.kind !== 'overflow' ? 2 : 1,
        content.kind !== 'overflow' || text.includes('--'),
      );
  }
  return null;
}

function suppressed(c: Cursor): Message | null {
  if (!c.lit('arm_smmu_')) return null;
  const name = c.until(':', 60);
  if (name === null || !c.lit(':')) return null;
  // These functions are the SMMUv2 driver's.
  if (/^(?:context_fault|global_fault|tlb_)/.test(name)) return null;
  const count = c.dec();
  return count !== null && c.lit('callbacks suppressed') ? done(c, { kind: 'suppressed', count }, 2, true) : null;
}

const parsers = [
  eventHeader,
  words,
  eventLine,
  accessLine,
  gerror,
  cmdqError,
  syncTimeout,
  fixedText,
  gerrorDetail,
  priDetail,
  vcmdqError,
  probe,
  suppressed,
];

/** Parses the message that begins at `pos`, or null. The text is a message body; wrapped pieces are joined by newlines. */
export function parseMessage(text: string, pos = 0): Message | null {
  for (const parse of parsers) {
    const m = parse(new Cursor(text, pos));
    if (m) return m;
  }
  return null;
}

/** Where a message may begin in a line that has no driver name in front. */
const START =
  /\bevent 0x[0-9a-f]{1,2}\b(?=\s|$)|\bevent: (?:[CFE]_[A-Z]|UNKNOWN\b)|\b(?:un)?priv (?:inst|data)\b|\bunexpected global error|\bunexpected error reported\. vintf_map|\bCMDQ error \(|\bskipping command in error|\bretrying command fetch|\bCMD_SYNC timeout|\b(?:EVTQ|PRIQ) overflow|\bunexpected PRI request|\bsid 0x[0-9a-f]{8}\.0x|\bdevice has entered Service Failure|\b(?:GERROR|PRIQ|EVTQ|CMDQ) (?:MSI )?write aborted|\barm_smmu_\w{1,40}: \d|\bias \d{1,3}-bit, oas|\ballocated \d{1,9} entries for (?:cmdq|evtq|priq)\b/;

/** The first words of a message at the end of a line that was wrapped early. */
const START_CUT =
  /\b(?:event:?|CMDQ|CMDQ error|CMD_SYNC|EVTQ|PRIQ|unexpected|unexpected global|unexpected PRI|skipping|skipping command|(?:un)?priv)$/;

/** Index of the first message in a line without a driver name, or -1. */
export const findMessage = (body: string): number => START.exec(body)?.index ?? START_CUT.exec(body)?.index ?? -1;
