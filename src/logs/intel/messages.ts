/**
 * The messages of Linux's VT-d driver and of Xen's, one parser a message. Sources: dmar_fault, dmar_fault_do_one,
 * qi_check_fault, qi_dump_fault in drivers/iommu/intel/dmar.c; prq_event_thread in prq.c; forms of 2.6 to 7.1;
 * xen/drivers/passthrough/vtd/utils.c and iommu.c.
 */

import { faultReason } from '../../engine/vtd/layout/index.ts';
import { Cursor } from '../cursor.ts';
import { done, type Message as Found } from '../message.ts';

export type Access = 'read' | 'write';

export interface Reason {
  readonly value: number;
  readonly printed: 'decimal' | 'hex' | 'hex (Xen)';
  /** The kernel's text for it, whole even where the log cuts it. */
  readonly text: string;
}

export interface FaultMessage {
  readonly kind: 'fault';
  readonly access: Access;
  /** As printed: `3b:00.0`, `0000:3b:00.0`; null where it is masked or cut. */
  readonly device: string | null;
  readonly masked: boolean;
  /** undefined: the form has none; null: printed as none. */
  readonly pasid: bigint | null | undefined;
  readonly addr: bigint | null;
  /** The address was printed but is cut. */
  readonly cut: boolean;
  readonly reason: Reason | null;
}

export interface InterruptMessage {
  readonly kind: 'interrupt';
  readonly device: string | null;
  readonly masked: boolean;
  readonly index: bigint | null;
  readonly reason: Reason | null;
}

export type Content =
  | FaultMessage
  | InterruptMessage
  /** The second line of old forms. */
  | { readonly kind: 'reason'; readonly reason: Reason }
  | { readonly kind: 'status'; readonly value: bigint }
  | { readonly kind: 'queueError'; readonly error: 'IQE' | 'ITE' | 'ICE'; readonly value: bigint | null }
  | { readonly kind: 'cleared'; readonly error: 'IQE' | 'ITE' | 'ICE' }
  | {
      readonly kind: 'descriptor';
      readonly which: 'HEAD' | 'PRIOR';
      readonly name: string;
      readonly words: readonly bigint[];
    }
  | { readonly kind: 'badDescriptor'; readonly words: readonly bigint[] }
  | { readonly kind: 'suppressed'; readonly count: number }
  | { readonly kind: 'pageRequest'; readonly unit: string; readonly problem: string; readonly words: readonly bigint[] }
  | { readonly kind: 'overflow'; readonly unit: string; readonly cleared: boolean }
  | {
      readonly kind: 'unit';
      readonly unit: string;
      readonly base: bigint;
      readonly version: string;
      readonly cap: bigint;
      readonly ecap: bigint;
    }
  | { readonly kind: 'malfunction' };

export type Message = Found<Content>;

/** `[00:02.0]`; the digits may be masked by the poster. */
function device(c: Cursor): { device: string | null; masked: boolean } | null {
  if (!c.lit('Request device [')) return null;
  c.lit('[');
  const raw = c.until(']', 24)?.replace(/\s/g, '') ?? null;
  if (raw === null || !c.lit(']')) return null;
  if (/^(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(raw))
    return { device: raw.toLowerCase(), masked: false };
  return /^[0-9a-fx*.?:_-]{1,16}$/i.test(raw) ? { device: null, masked: true } : null;
}

/** Text behind a reason: the kernel's, whole, wrapped or cut. Returns the score: 2 whole, 1 a beginning, 0 another text. */
function reasonTail(c: Cursor, text: string): number {
  if (text !== '' && c.lit(text)) return 2;
  const start = c.pos;
  const rest = c.rest();
  const plain = rest.replace(/[$.…\s]+$/, '');
  if (plain !== '' && text.startsWith(plain)) return 1;
  c.pos = start;
  return 0;
}

/** Both readings of a number without `0x`; the text behind it decides, else `first`. */
function choose(c: Cursor, digits: string, first: 'decimal' | 'hex (Xen)'): { reason: Reason; tail: number } {
  const decimal = Number.parseInt(digits, 10);
  const hex = Number.parseInt(digits, 16);
  const readings: [number, Reason['printed']][] =
    first === 'decimal'
      ? [
          [decimal, 'decimal'],
          [hex, 'hex'],
        ]
      : [[hex, 'hex (Xen)']];
  const start = c.pos;
  let best: { reason: Reason; tail: number; pos: number } | null = null;
  for (const [value, printed] of readings) {
    if (Number.isNaN(value) || value > 0xff) continue;
    c.pos = start;
    const text = faultReason(value).text;
    const tail = reasonTail(c, text);
    if (!best || tail > best.tail) best = { reason: { value, printed, text }, tail, pos: c.pos };
  }
  if (!best) return { reason: { value: 0, printed: first, text: 'Software' }, tail: 0 };
  c.pos = best.pos;
  if (best.tail > 0) return best;
  // A text that this list does not have is kept as it is printed.
  const other = c.rest();
  return { reason: { ...best.reason, text: other === '' ? best.reason.text : other }, tail: other === '' ? 0 : 1 };
}

/** `[fault reason 0x71] SM: ..`, `[fault reason 05] ..`, Xen's `reason 02 - ..` */
function reason(c: Cursor): { reason: Reason; score: number } | null {
  const start = c.pos;
  c.lit('DMAR:') || c.lit('INTR-REMAP:');
  if (c.lit('[fault reason')) {
    const number = c.until(']', 12)?.replace(/\s/g, '') ?? '';
    const m = /^(0x)?([0-9a-f]{1,3})$/i.exec(number);
    if (m) {
      c.lit(']');
      if (m[1]) {
        const value = Number.parseInt(m[2] as string, 16) & 0xff;
        const text = faultReason(value).text;
        let tail = reasonTail(c, text);
        // A text that this list does not have is kept as it is printed.
        const other = tail === 0 ? c.rest() : '';
        if (other !== '') tail = 1;
        const printed = other === '' ? text : other;
        return { reason: { value, printed: 'hex', text: printed }, score: 1 + tail };
      }
      const { reason: r, tail } = choose(c, m[2] as string, 'decimal');
      return { reason: r, score: 1 + tail };
    }
  }
  c.pos = start;
  const xen = /^\s*(?:DMAR:|INTR-REMAP:)?\s*reason ([0-9a-f]{2}) - /.exec(c.text.slice(c.pos, c.pos + 40));
  if (xen) {
    c.pos += xen[0].length;
    const { reason: r, tail } = choose(c, xen[1] as string, 'hex (Xen)');
    return { reason: r, score: 1 + tail };
  }
  c.pos = start;
  return null;
}

/** What may stand between a fault's line and its reason, where a paste joined the two: the drivers' names. */
function between(c: Cursor): void {
  for (const name of ['dmar:', 'DMAR:', '[VT-D]DMAR:', '[VT-D]INTR-REMAP:', 'INTR-REMAP:']) c.lit(name);
}

const NO_PASID = 0xffffffffn;

/** The reason stands on a line of its own, as old kernels print it. */
const OWN_LINE = /^\s*\n\s*(?:dmar: ?)?DMAR:/;

/** A missing write permission is no reason for a read to fail, and the other way round. */
export const contradicts = (access: unknown, reason: number): boolean =>
  (reason === 5 && access === 'read') || (reason === 6 && access === 'write');

function fault(c: Cursor): Message | null {
  if (!c.lit('[DMA ')) return null;
  const word = c.oneOf('Read', 'Write', 'read', 'write');
  if (!word) return null;
  const access = word.toLowerCase() as Access;
  let pasid: bigint | null | undefined;
  if (c.lit('NO_PASID')) pasid = null;
  else if (c.lit('PASID')) pasid = c.hex(']');
  if (!c.lit(']')) return null;
  const named = pasid !== undefined;
  const d = device(c);
  let score = 1 + Number(d !== null);
  if (!d)
    return done(
      c,
      { kind: 'fault', access, device: null, masked: false, pasid, addr: null, cut: false, reason: null },
      score,
      false,
    );
  if (pasid === undefined && c.lit('PASID')) {
    const value = c.hex('fault', true);
    pasid = value === null || value === NO_PASID ? null : value;
    score++;
  }
  let addr: bigint | null = null;
  let cut = false;
  if (c.lit('fault addr')) {
    // Kernels that name the PASID in front print all numbers with 0x.
    addr = c.hex('[fault reason', !named);
    if (addr !== null && /^[0-9a-z$_]/i.test(c.text.slice(c.pos))) {
      addr = null;
      cut = true;
    }
    if (addr !== null) score++;
  }
  const at = c.pos;
  between(c);
  const found = addr === null ? null : reason(c);
  // Of two faults printed at once the reasons come by turns: that of the other one is left to the reader.
  const r = found && contradicts(access, found.reason.value) && OWN_LINE.test(c.text.slice(at, at + 40)) ? null : found;
  if (!r) c.pos = at;
  return done(
    c,
    { kind: 'fault', access, ...d, pasid, addr, cut, reason: r?.reason ?? null },
    score + (r?.score ?? 0),
    cut || (r?.score ?? 0) === 3,
  );
}

function interrupt(c: Cursor): Message | null {
  if (!c.lit('[INTR-REMAP]') && !c.lit('INTR-REMAP:')) return null;
  const d = device(c);
  if (!d) {
    const r = reason(c);
    return r ? done(c, { kind: 'reason', reason: r.reason }, r.score, r.score === 3) : null;
  }
  const index = c.lit('fault index') ? c.hex('[fault reason', true) : null;
  const at = c.pos;
  between(c);
  const r = index === null ? null : reason(c);
  if (!r) c.pos = at;
  return done(
    c,
    { kind: 'interrupt', ...d, index, reason: r?.reason ?? null },
    1 + Number(index !== null) + (r?.score ?? 0),
    (r?.score ?? 0) === 3,
  );
}

function lonelyReason(c: Cursor): Message | null {
  const r = reason(c);
  return r && done(c, { kind: 'reason', reason: r.reason }, r.score, r.score === 3);
}

function status(c: Cursor): Message | null {
  if (!c.lit('DRHD: handling fault status reg')) return null;
  const value = c.hex(undefined, true);
  return value === null || value > 0xffffffffn ? null : done(c, { kind: 'status', value }, 2, true);
}

const errors = [
  ['Queue', 'IQE', 'Reason'],
  ['Time-out', 'ITE', 'SID'],
  ['Completion', 'ICE', 'SID'],
] as const;

function queueError(c: Cursor): Message | null {
  const start = c.pos;
  for (const [name, error, what] of errors) {
    c.pos = start;
    if (c.lit(`VT-d detected Invalidation ${name} Error`)) {
      const value = c.lit(`: ${what}`) ? c.hex(undefined, true) : null;
      return done(c, { kind: 'queueError', error, value }, 1 + Number(value !== null), value !== null);
    }
    if (c.lit(`Invalidation ${name} Error (${error}) cleared`)) return done(c, { kind: 'cleared', error }, 2, true);
  }
  c.pos = start;
  if (!c.lit('VT-d detected invalid descriptor: low=')) return null;
  const low = c.hex(',', true);
  const high = low !== null && c.lit(', high=') ? c.hex(undefined, true) : null;
  const words = [low, high].filter((w) => w !== null);
  return done(c, { kind: 'badDescriptor', words }, 1 + words.length, high !== null);
}

function descriptor(c: Cursor): Message | null {
  const which = c.oneOf('QI HEAD:', 'QI PRIOR:');
  if (!which) return null;
  const name = c.until('qw0 =', 60);
  const words: bigint[] = [];
  if (name !== null && c.lit('qw0 =')) {
    const qw0 = c.hex(',');
    if (qw0 !== null) words.push(qw0);
    if (qw0 !== null && c.lit(', qw1 =')) {
      const qw1 = c.hex();
      if (qw1 !== null) words.push(qw1);
    }
  }
  return done(
    c,
    {
      kind: 'descriptor',
      which: which === 'QI HEAD:' ? 'HEAD' : 'PRIOR',
      name: (name ?? '').replaceAll('\n', ' '),
      words,
    },
    1 + words.length,
    words.length === 2,
  );
}

function suppressed(c: Cursor): Message | null {
  if (!c.lit('dmar_fault:')) return null;
  const count = c.dec();
  return count !== null && c.lit('callbacks suppressed') ? done(c, { kind: 'suppressed', count }, 2, true) : null;
}

const problems = [
  'Address is not canonical',
  'Page request in Privilege Mode',
  'Page request without PASID',
  'Execution request not supported',
] as const;

const twoWords = (c: Cursor): bigint[] => [c.hex(undefined, true), c.hex(undefined, true)].filter((w) => w !== null);

/** Messages that name the unit in front: `dmar0: PRQ overflow detected`. */
function ofUnit(c: Cursor): Message | null {
  const m = /^\s*(?:IOMMU:\s*)?(dmar\d{1,3}):\s*/.exec(c.text.slice(c.pos, c.pos + 40));
  if (!m) return null;
  const unit = m[1] as string;
  c.pos += m[0].length;
  if (c.lit('PRQ overflow')) {
    const word = c.oneOf('detected', 'cleared');
    return word && done(c, { kind: 'overflow', unit, cleared: word === 'cleared' }, 2, true);
  }
  for (const problem of problems)
    if (c.lit(problem)) {
      const words = c.lit(':') ? twoWords(c) : [];
      return done(c, { kind: 'pageRequest', unit, problem, words }, 2, true);
    }
  if (c.lit('Invalid page request:')) {
    const words = twoWords(c);
    return done(
      c,
      { kind: 'pageRequest', unit, problem: 'Invalid page request', words },
      words.length,
      words.length === 2,
    );
  }
  const probe =
    /^reg_base_addr\s+([0-9a-f]{4,16})\s+ver\s+(\d{1,2}:\d{1,2})\s+cap\s+([0-9a-f]{1,16})\s+ecap\s+([0-9a-f]{1,16})\b/.exec(
      c.text.slice(c.pos, c.pos + 120),
    );
  if (!probe) return null;
  c.pos += probe[0].length;
  const [, base, version, cap, ecap] = probe as unknown as [string, string, string, string, string];
  return done(
    c,
    {
      kind: 'unit',
      unit,
      base: BigInt(`0x${base}`),
      version: version.replace(':', '.'),
      cap: BigInt(`0x${cap}`),
      ecap: BigInt(`0x${ecap}`),
    },
    4,
    true,
  );
}

function malfunction(c: Cursor): Message | null {
  return c.lit('DMAR hardware is malfunctioning') ? done(c, { kind: 'malfunction' }, 2, true) : null;
}

const parsers = [fault, interrupt, lonelyReason, status, queueError, descriptor, suppressed, ofUnit, malfunction];

/** Parses the message that begins at `pos`, or null. Wrapped pieces are joined by newlines. */
export function parseMessage(text: string, pos = 0): Message | null {
  for (const parse of parsers) {
    const m = parse(new Cursor(text, pos));
    if (m) return m;
  }
  return null;
}

/** Where a message may begin. The reason may also be the rest of a fault. */
const START =
  /\[DMA (?:Read|Write|read|write)\b|\[INTR-REMAP\]|\bINTR-REMAP: ?(?:Request|\[fault|reason)|\[fault reason\b|(?<=DMAR: )reason [0-9a-f]{2} - |\bDRHD: handling fault\b|\bVT-d detected (?:Inv|inv)|\bInvalidation (?:Queue|Time-out|Completion) Error \(|\bQI (?:HEAD|PRIOR):|\bdmar_fault: \d|\b(?:IOMMU: )?dmar\d{1,3}: (?:PRQ overflow|Address is not|Page request|Execution request|Invalid page|reg_base_addr)|\bDMAR hardware is malf/;

/** Index of the first message in a body, or -1. */
export const findMessage = (body: string): number => START.exec(body)?.index ?? -1;

/** Whether a line's body begins a message of its own, which is not the rest of the one before. */
export function beginsMessage(body: string): boolean {
  const at = findMessage(body);
  if (at < 0) return false;
  if (body.startsWith('[fault reason', at) || /^reason [0-9a-f]{2} - /.test(body.slice(at))) return false;
  return at < 24;
}
