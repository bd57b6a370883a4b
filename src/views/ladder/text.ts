import { eventSentence } from './draw.ts';
import { groupKey } from './folds.ts';
import type { Ladder } from './rows.ts';
import { costText, plainText, type sayCall, sayRun, troubleOf } from './say.ts';
import type { LadderNode, LadderStep } from './types.ts';

/** A line of the text form: an event, or a group with what is in it. */
export interface LadderTextLine {
  readonly key: string;
  /** Number of the event, counted from 1; of a group that of its first. */
  readonly event: number;
  readonly text: string;
  readonly lines: readonly LadderTextLine[];
}

export interface LadderText {
  readonly title: string;
  readonly lines: readonly LadderTextLine[];
  /** Events that are left out after the last line. */
  readonly more: number;
  readonly cost: string;
  readonly hazards: readonly string[];
  readonly trouble: string;
}

/**
 * A step of the ladder in words: who says what to whom, in order.
 * @param most  events that are written out
 */
export function ladderText(
  ladder: Ladder,
  record: LadderStep,
  title: string,
  most = Number.POSITIVE_INFINITY,
): LadderText {
  const { events, ends, nodes } = ladder.step(record);
  let left = most;
  const write = (list: readonly LadderNode[]): LadderTextLine[] => {
    const out: LadderTextLine[] = [];
    for (const n of list) {
      if (left <= 0) break;
      const event = n.first + 1;
      if (n.kind === 'event') {
        left--;
        out.push({ key: `e${n.first}`, event, text: eventSentence(events[n.first]!, ends[n.first]!), lines: [] });
      } else if (n.kind === 'call') {
        left--;
        const text = eventSentence(events[n.first]!, ends[n.first]!);
        out.push({ key: groupKey(n), event, text: `${text}${ended(n, events)}`, lines: write(n.children) });
      } else out.push({ key: groupKey(n), event, text: plainText(sayRun(n, events)), lines: write(n.children) });
    }
    return out;
  };
  const lines = write(nodes);
  return {
    title,
    lines,
    more: Math.max(0, events.length - most),
    cost: costText(record.cost),
    hazards: record.hazards.map((h) => `${h.text}. Missing: ${h.missing}`),
    trouble: troubleOf(record),
  };
}

function ended(n: LadderNode, events: Parameters<typeof sayCall>[1]): string {
  const exit = events[n.last]!;
  return exit.kind === 'ioctl.exit' && exit.errno !== '0' ? ` (fails with ${exit.errno})` : '';
}

/** The same as plain text, for the clipboard or a terminal. */
export function ladderPlainText(t: LadderText): string {
  const out: string[] = [t.title];
  const walk = (lines: readonly LadderTextLine[], depth: number): void => {
    for (const l of lines) {
      out.push(`${'  '.repeat(depth)}${l.key.startsWith('r') ? '' : `${l.event}. `}${l.text}`);
      walk(l.lines, depth + 1);
    }
  };
  walk(t.lines, 1);
  if (t.more > 0) out.push(`  and ${t.more} more events`);
  for (const h of t.hazards) out.push(`  Stale: ${h}`);
  out.push(`  Cost: ${t.cost}`);
  return out.join('\n');
}
