/** Puts the messages of one or several SMMUv3s together into records. */

import { hexPlain } from '../../engine/bits/index.ts';
import { eventLayout, eventName } from '../../engine/smmuv3/layout/index.ts';
import type { TextLine } from '../lines.ts';
import type { Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import {
  commandFields,
  consFields,
  explainCmdqError,
  explainCommand,
  explainGerror,
  explainPri,
  explainSyncTimeout,
  gerrorNames,
  gerrorPlace,
  priFields,
} from './errors.ts';
import type { EventFacts } from './event.ts';
import { eventFields, eventPlace, explainEvent } from './event.ts';
import { plausibleEvent } from './judge.ts';
import type { AccessLine, EventLine, Message, Words } from './messages.ts';
import { accessFields, explainLine, lineFields, omitUndefined } from './printed-line.ts';
import { commandRecord, eventRecord } from './raw-blocks.ts';
import type { SmmuState, Waiting } from './state.ts';
import { full, newState } from './state.ts';

/** An unprefixed word belongs to a record at most this many lines above. */
const NEAR = 12;

export class Smmuv3Log {
  readonly #sink: Sink;
  readonly #states = new Map<string, SmmuState>();
  /** The state that last began to wait for words. */
  #latest: SmmuState | null = null;
  #suppressed: { count: number; line: number; used: boolean } | null = null;
  #policy: string | null = null;
  #any = false;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Takes one message of the SMMU with that name (null: the text does not say). Returns false when it means nothing here. */
  message(m: Message, smmu: string | null, line: TextLine): boolean {
    const c = m.content;
    const s = this.#state(smmu);
    if (c.kind === 'words') return this.#words(c, smmu, s, line);
    if (c.kind === 'suppressed') {
      this.#endSuppressed();
      this.#suppressed = { count: c.count, line: line.number, used: false };
      return true;
    }
    if (c.kind === 'retrying') return true;
    if (c.kind === 'probe') {
      if (!s.context) s.probed = line.number;
      s.context = { ...s.context, ...c.facts };
      return true;
    }
    this.#flushOrphans(s);
    switch (c.kind) {
      case 'event':
        this.#finish(s);
        s.waiting = {
          kind: 'event',
          draft: this.#add('smmuv3_event', s, line, { event_id: hexPlain(c.id), event: eventName(c.id) }),
          id: c.id,
          words: [],
          cut: null,
          last: line.number,
        };
        this.#latest = s;
        return true;
      case 'eventLine':
        this.#finish(s);
        this.#eventLine(c, s, line);
        return true;
      case 'access':
        this.#accessLine(c, s, line);
        return true;
      case 'gerror': {
        const bits = gerrorNames(c.value);
        s.gerror = this.#add('smmuv3_gerror', s, line, { gerror: hexPlain(c.value), bits });
        s.gerror.explain = explainGerror(bits);
        s.gerror.where = { at: gerrorPlace(bits) };
        return true;
      }
      case 'gerrorDetail': {
        const bits = s.gerror?.bits as string[] | undefined;
        if (s.gerror && bits?.includes(c.bit)) {
          s.gerror.printed = [...((s.gerror.printed as string[] | undefined) ?? []), c.printed];
          return true;
        }
        const draft = this.#add('smmuv3_gerror', s, line, { gerror: null, bits: [c.bit], printed: [c.printed] });
        draft.explain = explainGerror([c.bit]);
        draft.where = { at: gerrorPlace([c.bit]) };
        return true;
      }
      case 'cmdqError': {
        const draft = this.#add('smmuv3_cmdq_error', s, line, {
          ...consFields(c.cons),
          ...(c.printed ? { printed: c.printed } : {}),
        });
        draft.explain = explainCmdqError(c.cons);
        draft.where = { at: 'hw.cmdq' };
        s.cmdq = { draft, cons: c.cons };
        return true;
      }
      case 'skipping': {
        this.#finish(s);
        const draft = s.cmdq?.draft ?? this.#add('smmuv3_command', s, line, {});
        s.waiting = { kind: 'command', draft, id: null, words: [], cut: null, last: line.number };
        this.#latest = s;
        return true;
      }
      case 'syncTimeout': {
        const hex = (v: bigint | null): string | undefined => (v === null ? undefined : hexPlain(v));
        const draft = this.#add(
          'smmuv3_cmd_sync_timeout',
          s,
          line,
          omitUndefined({ at: hex(c.at), hwprod: hex(c.hwprod), hwcons: hex(c.hwcons) }),
        );
        draft.explain = explainSyncTimeout(c.at, c.hwprod, c.hwcons);
        draft.where = { at: 'hw.cmdq' };
        return true;
      }
      case 'cmdqTimeout': {
        const draft = this.#add('smmuv3_cmdq_timeout', s, line, {});
        draft.explain =
          'The driver waited in vain for room in the command queue; usually the SMMU stopped on an error or does not run.';
        draft.where = { at: 'hw.cmdq' };
        return true;
      }
      case 'overflow': {
        const events = c.queue === 'evtq';
        const draft = this.#add(`smmuv3_${c.queue}_overflow`, s, line, {});
        draft.explain = events
          ? 'The event queue was full and records were lost; usually a device faults faster than the driver reads, so the first record before this line matters most.'
          : 'The PRI queue was full and page requests were lost; the SMMU answers those by itself, and the devices will ask again or give up.';
        draft.where = { at: events ? 'hw.evtq' : 'hw.smmu' };
        return true;
      }
      case 'pri': {
        s.pri = this.#add('smmuv3_pri_request', s, line, {});
        s.pri.explain = explainPri(null);
        s.pri.where = { at: 'hw.smmu' };
        return true;
      }
      case 'priDetail': {
        const draft = s.pri ?? this.#add('smmuv3_pri_request', s, line, {});
        s.pri = null;
        Object.assign(draft, priFields(c));
        draft.explain = explainPri(c);
        draft.where = { at: 'hw.smmu', sid: hexPlain(c.sid) };
        return true;
      }
      case 'vcmdqError': {
        const draft = this.#add('tegra241_cmdqv_error', s, line, {
          vintf_map: hexPlain(BigInt(`0x${c.vintfMap}`)),
          ...(c.vcmdqMap ? { vcmdq_map: hexPlain(BigInt(`0x${c.vcmdqMap}`)) } : {}),
        });
        draft.explain = `The CMDQV extension reports errors of the virtual interfaces in the bit map 0x${c.vintfMap.replace(/^0+(?=.)/, '')}; bit 0 is the kernel's own, others belong to guests.`;
        draft.where = { at: 'hw.cmdq' };
        return true;
      }
    }
  }

  /** `iommu: DMA domain TLB invalidation policy: strict mode` */
  policy(body: string): boolean {
    const m = /\bDMA domain TLB invalidation policy: (\w{1,10}) mode/.exec(body);
    if (m) this.#policy = m[1] as string;
    return m !== null || /^iommu: Default domain type: /.test(body);
  }

  /** Whether a record close above this line still wants words. */
  awaitsWords(line: number): boolean {
    const w = this.#latest?.waiting;
    return w !== undefined && w !== null && !full(w) && line - w.last <= NEAR;
  }

  end(): void {
    for (const s of this.#states.values()) {
      this.#finish(s);
      this.#flushOrphans(s);
    }
    const any = this.#any;
    this.#endSuppressed();
    if (!any)
      for (const s of this.#states.values()) {
        const context = this.#context(s);
        if (!s.context || !context) continue;
        this.#sink.record({
          type: 'smmuv3_probe',
          vendor: 'arm',
          arch: 'smmuv3',
          line: s.probed,
          ...(s.smmu ? { smmu: s.smmu } : {}),
          ...context,
          explain:
            'The driver reports the address sizes, features and queue sizes of an SMMUv3 as it starts; this is no fault.',
          where: { at: 'hw.smmu' },
        });
      }
  }

  #state(smmu: string | null): SmmuState {
    const key = smmu ?? '';
    let s = this.#states.get(key);
    if (!s) {
      s = newState(smmu);
      this.#states.set(key, s);
    }
    return s;
  }

  #context(s: SmmuState): Record<string, number | string> | null {
    if (!s.context && !this.#policy) return null;
    return { ...s.context, ...(this.#policy ? { policy: this.#policy } : {}) };
  }

  #add(type: string, s: SmmuState, line: TextLine, fields: Record<string, unknown>): Draft {
    const context = this.#context(s);
    const draft: Draft = {
      type,
      vendor: 'arm',
      arch: 'smmuv3',
      ...(line.xen ? { hypervisor: 'xen' } : {}),
      line: line.number,
      ...(s.smmu ? { smmu: s.smmu } : {}),
      ...fields,
      explain: '',
      ...(context ? { context } : {}),
    };
    if (this.#suppressed && !this.#suppressed.used) {
      draft.suppressed_callbacks = this.#suppressed.count;
      this.#suppressed.used = true;
    }
    this.#any = true;
    this.#sink.record(draft);
    return draft;
  }

  #endSuppressed(): void {
    const p = this.#suppressed;
    if (!p || p.used) return;
    this.#any = true;
    this.#sink.record({
      type: 'smmuv3_suppressed',
      vendor: 'arm',
      arch: 'smmuv3',
      line: p.line,
      count: p.count,
      explain: `The kernel left out ${p.count} messages of the SMMUv3 driver because they came too fast.`,
      where: { at: 'kernel.driver' },
    });
    this.#suppressed = null;
  }

  /** Gives words to the record that waits for them. */
  #words(c: Words, smmu: string | null, own: SmmuState, line: TextLine): boolean {
    const open = (s: SmmuState | null | undefined): s is SmmuState => !!s?.waiting && !full(s.waiting);
    // A named SMMU's words are its own; if its header lacked the name, or the words lack it, the latest record takes them.
    const nameless = this.#states.get('');
    const s = open(own) ? own : smmu === null && open(this.#latest) ? this.#latest : open(nameless) ? nameless : null;
    if (s?.waiting) {
      const w = s.waiting;
      for (const word of c.words) if (!full(w)) w.words.push(word);
      w.cut = c.cut;
      w.last = line.number;
      // Behind a word with digits missing nobody knows which word comes next.
      if (full(w) || c.cut !== null) this.#finish(s);
      return true;
    }
    if (c.words.length === 0) return false;
    own.orphans ??= { words: [], lines: [] };
    own.orphans.words.push(...c.words);
    own.orphans.lines.push(line);
    if (own.orphans.words.length >= 4) this.#flushOrphans(own);
    return true;
  }

  #flushOrphans(s: SmmuState): void {
    const o = s.orphans;
    if (!o) return;
    s.orphans = null;
    if (o.words.length === 4 && plausibleEvent(o.words)) {
      const record = eventRecord(o.words, o.lines[0]?.number ?? 1);
      if (s.smmu) record.smmu = s.smmu;
      record.header = false;
      this.#any = true;
      s.lastEvent = record;
      this.#sink.record(record);
      return;
    }
    for (const line of o.lines) this.#sink.unread(line, 'words that belong to no record in the text');
  }

  /** Nothing more comes for the record that waits. */
  #finish(s: SmmuState): void {
    const w = s.waiting;
    if (!w) return;
    s.waiting = null;
    if (w.kind === 'command') this.#finishCommand(s, w);
    else this.#finishEvent(s, w);
  }

  #finishCommand(s: SmmuState, w: Waiting): void {
    const complete = w.words.length === 2;
    if (w.draft.type === 'smmuv3_cmdq_error' && s.cmdq) {
      if (complete) Object.assign(w.draft, commandFields(w.words));
      else w.draft.incomplete = `${w.words.length} of 2 words of the command`;
      w.draft.explain = explainCmdqError(s.cmdq.cons, complete ? w.words : undefined);
      s.cmdq = null;
      return;
    }
    if (complete) {
      const { line: _, type: __, ...rest } = commandRecord(w.words, w.draft.line);
      Object.assign(w.draft, rest);
      w.draft.explain = `The driver skips a command that the SMMU refused: ${explainCommand(w.words)}`;
    } else {
      w.draft.incomplete = `${w.words.length} of 2 words of the command`;
      w.draft.explain = 'The driver skips a command that the SMMU refused; the command itself is not all in the text.';
      w.draft.where = { at: 'hw.cmdq' };
    }
  }

  #finishEvent(s: SmmuState, w: Waiting): void {
    const first = w.words[0];
    const d = w.draft;
    const id = w.id as number;
    if (first === undefined || Number(first & 0xffn) !== id) {
      d.raw = w.words.map((x) => `0x${x.toString(16).padStart(16, '0')}`);
      d.incomplete =
        first === undefined ? '0 of 4 words' : 'the first word is not that of the event in the header line';
      const facts: EventFacts = { event: eventName(id) };
      d.explain = `${explainEvent(facts)} ${first === undefined ? 'The words of the record are not in the text.' : 'The words that follow belong to another record or lack the first.'}`;
      d.where = { at: 'hw.evtq' };
      return;
    }
    const { fields, facts } = eventFields(w.words);
    Object.assign(d, fields);
    d.layout = eventLayout(w.words).id;
    if (w.words.length < 4) {
      d.incomplete = `${w.words.length} of 4 words`;
      if (w.cut) d.cut_word = `0x${w.cut}`;
    }
    d.explain = explainEvent(facts);
    d.where = eventPlace(facts);
    s.lastEvent = d;
  }

  #eventLine(c: EventLine, s: SmmuState, line: TextLine): void {
    const draft = this.#add('smmuv3_event_line', s, line, lineFields(c));
    const raw = s.lastEvent;
    const same =
      raw &&
      (raw.event === c.event || c.event === 'UNKNOWN') &&
      raw.sid === draft.sid &&
      (c.iova === null || raw.input_addr === draft.iova);
    if (same) draft.repeats_line = raw.line;
    s.lastEvent = null;
    explainLine(draft, c, null);
    s.halfLine = c.iova !== null || c.ipa !== null ? { draft, line: c } : null;
  }

  #accessLine(c: AccessLine, s: SmmuState, line: TextLine): void {
    const half = s.halfLine;
    s.halfLine = null;
    const draft = half?.draft ?? this.#add('smmuv3_event_line', s, line, { event: null });
    Object.assign(draft, accessFields(c));
    explainLine(draft, half?.line ?? null, c);
  }
}
