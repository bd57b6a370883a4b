/** Follows the messages of VT-d units line by line: joins wrapped ones, and the parts that old kernels print on lines of their own. */

import { type Joined, joinLines } from '../join.ts';
import type { Lines, TextLine } from '../lines.ts';
import type { LineReader, Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import { DebugFiles } from './debugfs/reader.ts';
import { findDumpLine, parseDumpLine } from './dump-lines.ts';
import {
  beginsMessage,
  type Content,
  contradicts,
  findMessage,
  type Message,
  parseMessage,
  type Reason,
} from './messages.ts';
import { faultExplained, messageRecord, reasonFields } from './records.ts';
import { TableDumps } from './table-dump.ts';

/** A reason on a line of its own belongs to a fault at most this many lines above. */
const NEAR = 20;

/** A line of the driver that is no message of this reader. */
const DRIVER = /(?:^|[\s\]])(?:DMAR|dmar|DMAR-IR|IOMMU: dmar\d{1,3}):|\[VT-D\]/;

const stops = (body: string): boolean =>
  beginsMessage(body) || findDumpLine(body) === 0 || /^(?:DMAR|dmar|DRHD|\[VT-D\])/.test(body);
/** The reason on the next line may have the driver's name in front. */
const stopsFault = (body: string): boolean =>
  !/^(?:dmar: ?)?(?:\[VT-D\])?(?:DMAR|INTR-REMAP): ?(?:\[fault reason|reason [0-9a-f]{2} -)/.test(body) && stops(body);

export class IntelSession implements LineReader {
  readonly #sink: Sink;
  readonly #dumps: TableDumps;
  readonly #files: DebugFiles;
  /** Faults whose reason may still come, the last one first. */
  #pending: { draft: Draft; line: number }[] = [];
  #lastFault: Draft | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
    this.#dumps = new TableDumps(sink);
    this.#files = new DebugFiles(sink);
  }

  read(lines: Lines): number {
    const line = lines.peek(0);
    if (!line) return 0;
    const file = this.#files.read(lines);
    if (file > 0) return file;
    const at = findMessage(line.body);
    if (at >= 0) return this.#message(lines, line, at);
    const dump = findDumpLine(line.body);
    // `root entry:` may also be what somebody wrote above a dump of bytes.
    if (dump >= 0 && (dump > 0 || this.#dumps.open || /^(?:Dump|scalable|pasid table|pte)/.test(line.body))) {
      const joined = joinLines(lines, line.body.slice(dump), 1, parseDumpLine, stops);
      if (joined.parsed) {
        this.#dumps.take(joined.parsed.line, line, this.#lastFault);
        return 1 + joined.taken;
      }
    }
    const driver = DRIVER.exec(line.body);
    if (!driver) return 0;
    // Wrapped before the words by which it is known.
    const rest = line.body.slice(driver.index + driver[0].length).trim();
    const wrapped = dump < 0 && rest !== '' ? joinLines(lines, rest, 1, parseDumpLine, stops) : null;
    if (wrapped?.parsed) {
      this.#dumps.take(wrapped.parsed.line, line, this.#lastFault);
      return 1 + wrapped.taken;
    }
    // A line break may stand between the driver's name and its message.
    const next = lines.peek(1);
    if (next && !next.headed && /(?:DMAR|dmar):$/.test(line.body) && findMessage(next.body) === 0) return 1;
    this.#sink.unread(line, 'Intel VT-d message that holds no fault, or that has no decoder');
    return 1;
  }

  end(): void {
    this.#files.end();
    this.#dumps.end();
    for (const p of this.#pending) faultExplained(p.draft);
    this.#pending = [];
  }

  #message(lines: Lines, line: TextLine, from: number): number {
    let used = 1;
    let at = from;
    let body = line.body;
    for (let i = 0; i < 8 && at >= 0; i++) {
      const joined: Joined<Message> = joinLines(lines, body.slice(at), used, parseMessage, stopsFault);
      used += joined.taken;
      if (!joined.parsed) {
        if (i === 0) this.#sink.unread(line, 'Intel VT-d message that is cut too short to be read');
        break;
      }
      this.#take(joined.parsed.content, line);
      body = joined.text.slice(joined.parsed.end);
      at = findMessage(body);
    }
    return used;
  }

  #take(c: Content, line: TextLine): void {
    if (c.kind === 'reason') {
      this.#reason(c.reason, line);
      return;
    }
    const draft = messageRecord(c, line);
    this.#sink.record(draft);
    if (c.kind !== 'fault' && c.kind !== 'interrupt') return;
    if (c.kind === 'fault') this.#lastFault = draft;
    if (c.reason) faultExplained(draft);
    else {
      this.#pending = [{ draft, line: line.number }, ...this.#pending].slice(0, 8);
      faultExplained(draft);
    }
  }

  /** A reason on its own line: the nearest fault above that it fits. */
  #reason(reason: Reason, line: TextLine): void {
    const interrupt = reason.value >= 0x20 && reason.value <= 0x29;
    const fits = (d: Draft): boolean =>
      interrupt === (d.type === 'intr_remap_fault') && !contradicts(d.access, reason.value);
    const i = this.#pending.findIndex((p) => line.number - p.line <= NEAR && fits(p.draft));
    const found = i < 0 ? undefined : this.#pending.splice(i, 1)[0];
    if (found) {
      Object.assign(found.draft, reasonFields(reason));
      faultExplained(found.draft);
      return;
    }
    const draft: Draft = {
      type: interrupt ? 'intr_remap_fault' : 'dma_fault',
      vendor: 'intel',
      arch: 'vtd',
      line: line.number,
      ...reasonFields(reason),
      incomplete: 'the line that names the device is not in the text',
      explain: '',
    };
    if (line.xen) draft.hypervisor = 'xen';
    faultExplained(draft);
    this.#sink.record(draft);
  }
}
