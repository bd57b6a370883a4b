import type { TraceEvent } from '../../engine/trace/index.ts';
import type { StepRecord } from '../../store/index.ts';
import { actorNames, eventText } from '../../views/trace/text.ts';

/** One event as a line of the list. */
export interface TraceRow {
  readonly step: number;
  /** Place of the head when it has just happened: 1 for the first event. */
  readonly event: number;
  readonly actor: TraceEvent['actor'];
  readonly who: string;
  readonly text: string;
}

/** More lines than anyone reads; a filter or a single step shows the rest. */
export const mostRows = 50_000;

export function rowsOf(records: readonly StepRecord[], step: number | 'all'): TraceRow[] {
  const out: TraceRow[] = [];
  const take = (i: number): void => {
    records[i]?.events.forEach((e, k) => {
      if (out.length < mostRows)
        out.push({ step: i, event: k + 1, actor: e.actor, who: actorNames[e.actor], text: eventText(e) });
    });
  };
  if (step === 'all') for (let i = 0; i < records.length; i++) take(i);
  else take(step);
  return out;
}

/** Lines that hold all words of the filter, in text or actor. */
export function filterRows(rows: readonly TraceRow[], filter: string): readonly TraceRow[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((r) => {
    const line = `${r.who} ${r.text}`.toLowerCase();
    return words.every((w) => line.includes(w));
  });
}

/** Lines for the clipboard: step, event, actor, text. */
export const rowsAsText = (rows: readonly TraceRow[]): string =>
  rows.map((r) => `${r.step}.${r.event}\t${r.who}\t${r.text}`).join('\n');

/** The line of the head's last event, or of the last one before it that passed the filter; -1 before the first. */
export function rowAt(rows: readonly TraceRow[], step: number, event: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    const r = rows[mid]!;
    if (r.step < step || (r.step === step && r.event <= event)) low = mid + 1;
    else high = mid;
  }
  return low - 1;
}
