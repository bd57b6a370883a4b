import type { Actor, TraceEvent } from '../../engine/trace/index.ts';
import { eventText } from '../trace/text.ts';
import type { Run } from './label.ts';

/** Colour of a message: who sends it, or what becomes of what it meets. */
export type Tone = Actor | 'removed' | 'wasted' | 'fault';

/** Where an event is, and where it leads: the next event without a sender of its own comes from there. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  /** Leaves a trail. A read of a table or a cache look-up doesn't: there are too many. */
  readonly lasting: boolean;
}

/**
 * Who sends what an event without `to` shows: whoever was reached last. Only for kinds that are the consequence of a message.
 */
const arrives: ReadonlySet<TraceEvent['kind']> = new Set([
  'trap',
  'command.post',
  'cache.remove',
  'fault',
  'guest.event',
  'record.rewrite',
]);
const fleeting: ReadonlySet<TraceEvent['kind']> = new Set([
  'memory.read',
  'cache.fill',
  'cache.hit',
  'table.write',
  'register.read',
]);

/** The hops of the events 0..index, null where an event stays in its place. */
export function hopsOf(
  events: readonly TraceEvent[],
  index: number,
  bandOfId: (id: string) => string | undefined,
): (Hop | null)[] {
  const out: (Hop | null)[] = [];
  const calls: { from: string; to: string }[] = [];
  let cursor: string | null = null;
  for (let i = 0; i <= index && i < events.length; i++) {
    const e = events[i]!;
    const lasting = !fleeting.has(e.kind);
    let hop: Hop | null = null;
    if (e.to !== undefined && e.to !== e.at) hop = { from: e.at, to: e.to, lasting };
    else if (e.kind === 'ioctl.exit' && calls.length > 0) {
      const call = calls[calls.length - 1]!;
      if (call.from !== call.to) hop = { from: call.to, to: call.from, lasting };
    } else if (cursor !== null && cursor !== e.at && arrives.has(e.kind)) {
      // Who fills a queue of its own band has been writing tables before: nothing was sent.
      if (e.kind !== 'command.post' || bandOfId(cursor) !== bandOfId(e.at)) hop = { from: cursor, to: e.at, lasting };
    }
    if (e.kind === 'ioctl.enter') calls.push({ from: e.at, to: e.to ?? e.at });
    if (e.kind === 'ioctl.exit') calls.pop();
    out.push(hop);
    cursor = hop?.to ?? e.at;
  }
  return out;
}

export function toneOf(e: TraceEvent): Tone {
  if (e.kind === 'cache.remove') return e.valid ? 'wasted' : 'removed';
  if (e.kind === 'fault' || e.kind === 'dma.abort' || e.kind === 'command.error') return 'fault';
  if (e.kind === 'ioctl.exit' && e.errno !== '0') return 'fault';
  if (e.kind === 'ats' && e.message === 'timeout') return 'fault';
  if (e.kind === 'page.request' && e.recorded === false) return 'fault';
  if (e.kind === 'page.response' && e.code === 'failure') return 'fault';
  return e.actor;
}

/** Text on the message; shorter than the trace's line, since place and actor can be seen. */
export function messageRuns(e: TraceEvent): Run[][] {
  const plain = (text: string): Run[][] => [[{ text, tone: 'plain' }]];
  const command = (text: string): Run[][] => [[{ text, tone: 'plain', fromEnd: true }]];
  switch (e.kind) {
    case 'command.post':
      return command(e.command.text);
    case 'command.fetch':
      return command(`fetch ${e.command.text}`);
    case 'command.rewrite':
    case 'record.rewrite':
      return rewriteRuns(e);
    case 'ioctl.exit':
      return plain(e.errno === '0' ? 'returns 0' : `returns -${e.errno}`);
    case 'register.write':
      return plain(`write ${e.reg} = 0x${e.value.toString(16)}`);
    case 'register.read':
      return plain(`read ${e.reg} = 0x${e.value.toString(16)}`);
    case 'cache.remove':
      // The command's fields are on the message that brought it.
      return plain(e.by.split(' ')[0] || 'remove');
    case 'table.write':
      return plain(`write ${e.text}`);
    case 'memory.read':
      return plain(`read ${e.text}`);
    case 'trap':
      return plain(eventText(e));
    case 'ioctl.enter':
      return command(e.text === '' ? eventText(e) : e.text);
    case 'sync':
    case 'fault':
      return plain(e.text === '' ? eventText(e) : e.text);
    case 'object.create':
    case 'object.destroy':
    case 'attach':
    case 'command.error':
    case 'cache.fill':
    case 'cache.hit':
    case 'dma':
    case 'dma.done':
    case 'dma.abort':
    case 'ats':
    case 'page.request':
    case 'page.response':
    case 'stall':
    case 'resume':
    case 'guest.event':
    case 'inject':
    case 'note':
      return plain(eventText(e));
  }
}

/** First line: what was rewritten, old and new; second line: the rest of the message, as it goes on. */
function rewriteRuns(e: TraceEvent & { readonly kind: 'command.rewrite' | 'record.rewrite' }): Run[][] {
  const name = e.kind === 'command.rewrite' ? e.command.name : (e.layout.split('.').pop() ?? '').toUpperCase();
  const first: Run[] = [{ text: name, tone: 'plain' }];
  if (e.changes.length === 0) first.push({ text: ' unchanged', tone: 'faint' });
  for (const c of e.changes) {
    // The new command's name stands there already.
    if (c.field === 'opcode' && c.to === name) continue;
    first.push(
      { text: ` ${c.field} `, tone: 'plain' },
      { text: c.from === '-' ? c.to : `${c.from} → ${c.to}`, tone: 'changed' },
    );
  }
  let rest = e.kind === 'command.rewrite' ? e.command.text : e.text;
  if (rest.startsWith(name)) rest = rest.slice(name.length);
  for (const c of e.changes) rest = rest.replace(new RegExp(`\\b${literal(c.field)} ${literal(c.to)}\\b`, 'i'), '');
  rest = rest.replace(/\s+/g, ' ').trim();
  return rest === '' ? [first] : [first, [{ text: rest, tone: 'faint' }]];
}

const literal = (s: string): string => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
