/** Linux's trace events about IOMMUs, as `trace`, `trace_pipe`, `trace-cmd report` and `perf script` print them. */

import { type Joined, joinLines } from '../join.ts';
import type { Lines, TextLine } from '../lines.ts';
import type { LineReader, LogReader, Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import { intelEvents } from './intel-events.ts';
import { iommuEvents } from './iommu-events.ts';

/** What an event's arguments say. */
export interface Event {
  readonly vendor: string;
  readonly arch: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly explain: string;
  readonly at: string;
  /** Nothing is missing. */
  readonly complete: boolean;
}

/** Reads the arguments of one event, or null where they have none of its forms. */
export type EventParser = (text: string) => Event | null;

const events: Readonly<Record<string, EventParser>> = { ...iommuEvents, ...intelEvents };

/** `name: ` of an event that this reader knows, at the start or behind a trace's head; `iommu:map: ` in perf and trace-cmd. */
const NAME = new RegExp(`(?:^|[\\s:|])(?:(?:iommu|intel_iommu):)?(${Object.keys(events).join('|')}):(?=\\s|$)`);

/** `  gem_exec_gttfil-1010    [004] .N...    50.126420: ` */
const HEAD =
  /^\s*(.{1,32}?)-(\d{1,8})\s+(?:\(\s*[\d-]{1,8}\)\s+)?\[(\d{1,4})\]\s+(?:[\w.]{4,6}\s+)?(\d{1,10}\.\d{1,9}):\s*(?:(?:iommu|intel_iommu):)?$/;
/** `perf script`: `comm  pid [cpu] time: event: ` */
const PERF = /^\s*(\S.{0,31}?)\s+(\d{1,8})\s+\[(\d{1,4})\]\s+(\d{1,10}\.\d{1,9}):\s*(?:iommu|intel_iommu):$/;

function headFields(head: string): Record<string, unknown> | null {
  if (/^[\s:|>]*(?:(?:iommu|intel_iommu):)?$/.test(head)) return {};
  const m = HEAD.exec(head) ?? PERF.exec(head);
  return m && { task: m[1], pid: Number(m[2]), cpu: Number(m[3]), time: m[4] };
}

interface Parsed {
  readonly event: Event;
  readonly complete: boolean;
  readonly score: number;
}

class FtraceSession implements LineReader {
  readonly #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  read(lines: Lines): number {
    const line = lines.peek(0);
    if (!line?.text.includes(':')) return 0;
    const m = NAME.exec(line.text);
    if (!m) return 0;
    const name = m[1] as string;
    const start = m.index + m[0].length;
    const head = headFields(line.text.slice(0, start - name.length - 1));
    if (!head) return 0;
    const parse = (text: string): Parsed | null => {
      const event = (events[name] as EventParser)(text.replaceAll('\n', ' ').trim());
      return event && { event, complete: event.complete, score: 1 + Object.keys(event.fields).length };
    };
    const joined: Joined<Parsed> = joinLines(lines, line.text.slice(start), 1, parse, (next) => NAME.test(next));
    if (!joined.parsed) {
      if (!/^\s*(?:IOMMU:|dmar\d|\S+ dmar\d)/.test(joined.text)) return 0;
      this.#sink.unread(line, `trace event ${name} in a form that is not known`);
      return 1;
    }
    this.#sink.record(record(name, joined.parsed.event, head, line));
    return 1 + joined.taken;
  }

  end(): void {}
}

function record(name: string, e: Event, head: Record<string, unknown>, line: TextLine): Draft {
  return {
    type: 'trace_event',
    vendor: e.vendor,
    arch: e.arch,
    line: line.number,
    event: name,
    ...head,
    ...e.fields,
    explain: e.explain,
    where: { at: e.at },
  };
}

/** Events of the trace systems `iommu` and `intel_iommu`. */
export const ftraceReader: LogReader = { name: 'ftrace', start: (sink) => new FtraceSession(sink) };
