import type { Dump } from './arm/link.ts';
import { armReader } from './arm/reader.ts';
import { ftraceReader } from './ftrace/reader.ts';
import { intelReader } from './intel/reader.ts';
import { type VtdDump, VtdTables } from './intel/tables.ts';
import type { TextLine } from './lines.ts';
import { Lines } from './lines.ts';
import { namingReader } from './naming.ts';
import { qemuReader } from './qemu/reader.ts';
import type { LogReader, Sink } from './reader.ts';
import type { DecodedLog, Draft, Unread } from './record.ts';

/** Every reader, most specific first. The last one names what has no decoder. */
const readers: readonly LogReader[] = [qemuReader, ftraceReader, intelReader, armReader, namingReader];

const NOT_IOMMU = 'no IOMMU message recognised';

/**
 * Reads pasted log text: kernel messages, raw event records and raw commands, in any order, damaged as pasting damages them.
 * Never throws; the cost is linear in the length of the text.
 * @returns the records in the order of the text, and everything that was not decoded, with line numbers
 */
export function decodeLog(text: string): DecodedLog {
  const records: Draft[] = [];
  const unread: Unread[] = [];
  let last: { line: number; text: string; why: string; lines: number } | null = null;

  const flush = (): void => {
    if (!last) return;
    const { lines, ...entry } = last;
    unread.push(lines > 1 ? { ...entry, lines } : entry);
    last = null;
  };
  let dump: Dump | null = null;
  const output: Sink = {
    dump: (d) => {
      dump = d;
    },
    record: (draft) => {
      records.push(draft);
      vtd.seen(draft.arch);
    },
    unread: (line: TextLine, why: string) => {
      if (last && last.why === why && line.number <= last.line + last.lines && line.number >= last.line) {
        last.lines = line.number - last.line + 1;
        return;
      }
      flush();
      last = { line: line.number, text: line.text.trim().slice(0, 200), why, lines: 1 };
    },
  };

  const vtd: VtdTables = new VtdTables(output);
  const sink: Sink = { ...output, vtd };
  const sessions = readers.map((r) => r.start(sink));
  const lines = new Lines(text);
  let alone = true;
  for (let line = lines.peek(0); line; line = lines.peek(0)) {
    // A poster left lines out.
    if (/^\s*(?:\[?(?:\.{3}|…)\]?)?\s*$/.test(line.text)) {
      lines.skip(1);
      continue;
    }
    let read = 0;
    for (const s of sessions) {
      read = s.read(lines);
      if (read > 0) break;
    }
    if (read === 0) {
      alone = false;
      sink.unread(line, NOT_IOMMU);
      read = 1;
    }
    lines.skip(read);
  }
  for (const s of sessions) s.end(alone);
  const tables = tablesOf(dump, vtd.finish());
  flush();
  records.sort((a, b) => a.line - b.line);
  unread.sort((a, b) => a.line - b.line);
  const log: DecodedLog = { records, unread };
  // Not enumerable: a log is printed and compared by what it says.
  if (tables) Object.defineProperty(log, 'dump', { value: tables });
  return log;
}

/** One scenario shows one machine: that of the vendor whose entries the text has. */
function tablesOf(arm: Dump | null, vtd: VtdDump | null): Dump | VtdDump | null {
  if (!arm || !vtd) return arm ?? vtd;
  return arm.stes.length + arm.cds.length > 0 ? arm : vtd;
}
