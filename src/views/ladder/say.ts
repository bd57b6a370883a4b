import type { TraceEvent } from '../../engine/trace/index.ts';
import { eventText } from '../trace/text.ts';
import type { LadderCost, LadderNode, LadderStep, Run, Saying, Tone } from './types.ts';

const hex = (v: bigint): string => `0x${v.toString(16)}`;
const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
const literal = (s: string): string => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** What becomes of what an event meets, or who acts. */
export function toneOf(e: TraceEvent): Tone {
  switch (e.kind) {
    case 'cache.fill':
      return 'filled';
    case 'cache.hit':
      return 'hit';
    case 'cache.remove':
      return e.valid ? 'wasted' : 'removed';
    case 'fault':
    case 'dma.abort':
    case 'command.error':
    case 'inject':
      return 'fault';
    case 'ioctl.exit':
      return e.errno === '0' ? e.actor : 'fault';
    case 'ats':
      return e.message === 'timeout' ? 'fault' : e.actor;
    case 'page.request':
      return e.recorded === false ? 'fault' : e.actor;
    case 'page.response':
      return e.code === 'success' ? e.actor : 'fault';
    default:
      return e.actor;
  }
}

/** The sign in front of what is an error or a cache's change: colour alone says nothing. */
const signs: Readonly<Partial<Record<Tone, string>>> = {
  filled: '+ ',
  hit: '= ',
  removed: '− ',
  wasted: '− ',
  fault: '✕ ',
  stale: '⚠ ',
};

type Rewrite = TraceEvent & { readonly kind: 'command.rewrite' | 'record.rewrite' };

/** The command or record as it goes on, with old and new of each changed field in its place. */
function rewriteRuns(e: Rewrite): Run[] {
  let text = e.kind === 'command.rewrite' ? e.command.text : e.text;
  if (e.kind === 'record.rewrite') {
    // The engine's text ends with the changes.
    const colon = text.indexOf(': ');
    if (e.changes.length > 0 && colon > 0 && e.changes.every((c) => text.includes(c.field)))
      text = text.slice(0, colon);
  }
  const places: { at: number; end: number; run: Run }[] = [];
  const rest: Run[] = [];
  for (const c of e.changes) {
    // What stays is named by some rewrites too: nothing is marked then.
    const value: Run =
      c.from === c.to
        ? { text: c.to }
        : { text: c.from === '-' || c.from === '' ? c.to : `${c.from} → ${c.to}`, changed: true };
    const m = new RegExp(`\\b${literal(c.field)} (${literal(c.to)})(?![\\w])`, 'i').exec(text);
    if (m && e.kind === 'command.rewrite') {
      const at = m.index + m[0].length - m[1]!.length;
      places.push({ at, end: at + m[1]!.length, run: value });
    } else if (c.field === 'opcode' && text.startsWith(c.to)) places.push({ at: 0, end: c.to.length, run: value });
    else rest.push({ text: `${rest.length > 0 ? ', ' : ' '}${c.field} ` }, value);
  }
  places.sort((a, b) => a.at - b.at);
  const runs: Run[] = [];
  let at = 0;
  for (const p of places) {
    if (p.at < at) continue;
    if (p.at > at) runs.push({ text: text.slice(at, p.at) });
    runs.push(p.run);
    at = p.end;
  }
  if (at < text.length) runs.push({ text: text.slice(at) });
  if (rest.length > 0) runs.push({ text: e.kind === 'record.rewrite' ? ':' : '' }, ...rest);
  if (e.changes.length === 0) runs.push({ text: ' (unchanged)' });
  return runs.filter((r) => r.text !== '');
}

/** What the line of an event says: shorter than the trace's line, since actor and place can be seen. */
export function sayEvent(e: TraceEvent): Saying {
  const tone = toneOf(e);
  const sign = signs[tone] ?? '';
  const say = (text: string): Saying => ({ runs: [{ text: sign + text }], tone });
  switch (e.kind) {
    case 'register.write':
      return say(`write ${e.reg} = ${hex(e.value)}`);
    case 'register.read':
      return say(`read ${e.reg} = ${hex(e.value)}`);
    case 'command.post':
      return say(`${e.command.text}  [${e.index}]`);
    case 'command.fetch':
      return say(`fetch ${e.command.text}  [${e.index}]`);
    case 'command.rewrite':
    case 'record.rewrite':
      return { runs: [{ text: '✎ ' }, ...rewriteRuns(e)], tone };
    case 'table.write':
      return say(`write ${e.text}`);
    case 'memory.read':
      return say(`read ${e.text} at 0x${e.address.toString(16)}`);
    case 'trap':
      return say(`VM exit: ${e.text}`);
    case 'sync':
      return say(e.text === '' ? 'sync done' : `sync done: ${e.text}`);
    case 'ioctl.exit': {
      const text = eventText(e);
      return say(text.startsWith(e.call) ? text.slice(e.call.length).trim() : text);
    }
    default:
      return say(eventText(e));
  }
}

/** Each name once; of very many the first ones. */
function distinct(names: readonly string[]): string {
  const all = [...new Set(names)];
  return all.length <= 16 ? all.join(', ') : `${all.slice(0, 16).join(', ')} and ${all.length - 16} more`;
}

/** What the head of a run says: how many of what. */
export function sayRun(node: LadderNode, events: readonly TraceEvent[]): Saying {
  const all = events.slice(node.first, node.last + 1);
  const first = all[0]!;
  const n = all.length;
  const text = (t: string, tone: Tone = first.actor): Saying => ({ runs: [{ text: t, strong: true }], tone });
  const names = (head: string, list: readonly string[]): Saying => ({
    runs: [{ text: head, strong: true }, { text: `: ${distinct(list)}` }],
    tone: first.actor,
  });
  switch (first.kind) {
    case 'memory.read':
    case 'cache.hit':
    case 'cache.fill': {
      const kinds = new Map<string, number>();
      let fills = 0;
      let hits = 0;
      let reads = 0;
      for (const e of all)
        if (e.kind === 'memory.read') {
          reads++;
          kinds.set(e.step.what, (kinds.get(e.step.what) ?? 0) + 1);
        } else if (e.kind === 'cache.fill') fills++;
        else hits++;
      const of = [...kinds].map(([k, v]) => `${v} ${k}`).join(', ');
      const runs: Run[] = [{ text: reads > 0 ? `walk: ${count(reads, 'read')}` : 'look-ups', strong: true }];
      if (reads > 0) runs.push({ text: ` (${of})` });
      if (fills > 0) runs.push({ text: `, ${fills} filled` });
      if (hits > 0) runs.push({ text: `, ${count(hits, 'hit')}` });
      return { runs, tone: first.actor };
    }
    case 'table.write':
      return names(
        `${n} table writes`,
        all.map((e) => (e.kind === 'table.write' ? (e.text.split(/[:=]/)[0] ?? '').trim() : '')),
      );
    case 'trap':
    case 'register.write':
    case 'register.read': {
      const regs = all.flatMap((e) => (e.kind === 'register.write' || e.kind === 'register.read' ? [e.reg] : []));
      const exits = n - regs.length;
      const what = all.some((e) => e.kind === 'register.read')
        ? all.some((e) => e.kind === 'register.write')
          ? 'register access'
          : 'register read'
        : 'register write';
      const plural = what.endsWith('s') ? `${what}es` : `${what}s`;
      return names(`${count(regs.length, what, plural)}${exits > 0 ? `, ${count(exits, 'VM exit')}` : ''}`, regs);
    }
    case 'command.post':
    case 'command.fetch':
      return names(
        first.kind === 'command.post' ? `${n} commands` : `fetch ${n} commands`,
        all.map((e) => (e.kind === 'command.post' || e.kind === 'command.fetch' ? e.command.name : '')),
      );
    case 'cache.remove': {
      const valid = all.filter((e) => e.kind === 'cache.remove' && e.valid).length;
      const caches = distinct(all.map((e) => (e.kind === 'cache.remove' ? e.entry.cache : '')));
      return text(
        `− remove ${n} entries of ${caches}${valid > 0 ? `, ${valid} still valid` : ''}`,
        valid > 0 ? 'wasted' : 'removed',
      );
    }
    case 'object.create':
    case 'object.destroy':
      return names(
        `${first.kind === 'object.create' ? 'create' : 'destroy'} ${n} objects`,
        all.map((e) => (e.kind === 'object.create' || e.kind === 'object.destroy' ? `${e.type} ${e.id}` : '')),
      );
    case 'note':
      return names(
        `${n} notes`,
        all.map((e) => eventText(e)),
      );
    default:
      return text(`${n} events`);
  }
}

/** What the head of a folded call says: the call, how it ended and what it hides. */
export function sayCall(node: LadderNode, events: readonly TraceEvent[]): Saying {
  const enter = sayEvent(events[node.first]!);
  const exit = events[node.last]!;
  const inside = node.last - node.first - 1;
  const failed = exit.kind === 'ioctl.exit' && exit.errno !== '0';
  const back = exit.kind === 'ioctl.exit' ? (failed ? `✕ -${exit.errno}` : sayEvent(exit).runs[0]!.text) : '';
  return {
    runs: [
      ...enter.runs,
      { text: ` → ${back}`, strong: true },
      ...(inside > 0 ? [{ text: `  (${count(inside, 'event')} inside)` }] : []),
    ],
    tone: failed ? 'fault' : enter.tone,
  };
}

/** What a step cost, without what it did not; '' when it cost nothing. */
export function costParts(c: LadderCost): string {
  const parts = [
    c.exits > 0 ? count(c.exits, 'VM exit') : '',
    c.ioctls > 0 ? count(c.ioctls, 'ioctl') : '',
    c.commands > 0 ? count(c.commands, 'command') : '',
    c.syncs > 0 ? count(c.syncs, 'sync') : '',
    c.reads > 0 ? count(c.reads, 'read') : '',
    c.removed > 0 ? `${c.removed} removed` : '',
    c.stillValid > 0 ? `${c.stillValid} of them still valid` : '',
  ].filter((x) => x !== '');
  return parts.join(' · ');
}

export const costText = (c: LadderCost): string => costParts(c) || 'no exit, ioctl, command or read';

/** How a step ended, when it did not simply succeed. */
export function troubleOf(step: LadderStep): string {
  const parts: string[] = [];
  const { errno } = step.result;
  if (errno !== undefined && errno !== '0') parts.push(`✕ ${errno}`);
  if (step.failures.length > 0) parts.push(`✕ ${count(step.failures.length, 'expectation')} not met`);
  if (step.hazards.length > 0) parts.push(`⚠ ${step.hazards.length} stale`);
  return parts.join('  ');
}

/** The whole text of a line in one piece. */
export const plainText = (s: Saying): string => s.runs.map((r) => r.text).join('');
