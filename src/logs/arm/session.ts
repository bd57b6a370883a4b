/**
 * Follows a log line by line: splits off driver prefixes, joins wrapped messages, and hands words and details to the message
 * of the same SMMU that waits for them.
 */

import { heading, hexLine } from '../hex-line.ts';
import { type Joined, joinLines, type Parsed } from '../join.ts';
import type { Lines, TextLine } from '../lines.ts';
import type { LineReader, Sink } from '../reader.ts';
import type { Message } from './messages.ts';
import { findMessage, parseMessage } from './messages.ts';
import { noticeRecord } from './notices.ts';
import { RawBlocks } from './raw-blocks.ts';
import { findV2, isV2Detail, isV2DetailRest, parseV2, v2Record } from './smmuv2.ts';
import { Smmuv3Log } from './smmuv3.ts';

/** `arm-smmu-v3 arm-smmu-v3.2.auto: `, `platform arm-smmu-v3.0.auto: `, `arm-smmu 15000000.iommu: `, `SMMUv3: /iommu@4f000000: ` */
const PREFIX =
  /(?:^|[\s\]])(?:(arm-smmu-v3(?:-kvm)?|arm-smmu|SMMUv3:|smmu:)[ \t\n]{1,8}([\w.,/@-]{1,64}(?::[\w.@-]{1,32}){0,4}):(?=\s|$)|(?:platform[ \t]{1,4})?(arm-smmu-v3\.\d{1,4}\.auto):(?=\s|$)|(arm-smmu-v3):(?=\s))[ \t]*/g;

/** A driver name whose instance or colon stands on the next line. */
const PREFIX_CUT = /(?:^|[\s\]])(?:arm-smmu-v3|arm-smmu|SMMUv3:)(?:[ \t]+[\w.,/@:-]{0,64})?$/;

interface Segment {
  readonly driver: 'v3' | 'v2' | null;
  readonly smmu: string | null;
  readonly body: string;
}

/** Cuts a body at its driver prefixes. Text before the first one is dropped if there is one. */
function segments(body: string): Segment[] {
  const found: { driver: 'v3' | 'v2'; smmu: string | null; start: number; at: number }[] = [];
  if (body.includes('smmu') || body.includes('SMMU'))
    for (const m of body.matchAll(PREFIX)) {
      const name = m[1] ?? m[3] ?? m[4] ?? '';
      const v3 = name.startsWith('arm-smmu-v3') || name.startsWith('SMMUv3');
      found.push({ driver: v3 ? 'v3' : 'v2', smmu: m[2] ?? m[3] ?? null, at: m.index, start: m.index + m[0].length });
    }
  if (found.length === 0) return [{ driver: null, smmu: null, body }];
  return found.map((f, i) => ({ driver: f.driver, smmu: f.smmu, body: body.slice(f.start, found[i + 1]?.at).trim() }));
}

export class ArmSession implements LineReader {
  readonly #sink: Sink;
  readonly #log: Smmuv3Log;
  readonly #raw: RawBlocks;

  constructor(sink: Sink) {
    this.#sink = sink;
    this.#log = new Smmuv3Log(sink);
    this.#raw = new RawBlocks(sink);
  }

  read(lines: Lines): number {
    const line = lines.peek(0);
    if (!line) return 0;
    let body = line.body;
    let used = 1;
    // A prefix that the line break cut is joined first.
    const next = lines.peek(1);
    if (PREFIX_CUT.test(body) && next && !next.headed && next.text.trim() !== '') {
      const blank = /arm-smmu(?:-v3)?$|SMMUv3:$/.test(body) ? ' ' : '';
      const joined = `${body}${blank}${next.body}`;
      if (segments(joined).some((s) => s.driver !== null)) {
        body = joined;
        used = 2;
      }
    }
    const parts = segments(body);
    const alone = parts.length === 1 && parts[0]?.driver === null;
    if (alone) return this.#unprefixed(lines, line);
    this.#raw.close();
    parts.forEach((part, i) => {
      const last = i === parts.length - 1;
      used += this.#prefixed(lines, line, part, last ? used : -1);
    });
    return used;
  }

  end(alone: boolean): void {
    this.#log.end();
    this.#raw.end(alone);
  }

  /** A message behind a driver name. `ahead` is where lookahead begins, -1 for none. Returns how many more lines it took. */
  #prefixed(lines: Lines, line: TextLine, part: Segment, ahead: number): number {
    if (part.driver === 'v2') {
      if (isV2Detail(part.body)) {
        const rest = ahead < 0 ? undefined : lines.peek(ahead);
        return rest && !rest.headed && isV2DetailRest(rest.body) ? 1 : 0;
      }
      const { taken, parsed } = this.#join(lines, part.body, ahead, (t) => parseV2(t));
      if (parsed) this.#sink.record(v2Record(parsed, line.number, part.smmu, line.xen));
      else this.#sink.unread(line, 'SMMUv2 (arm-smmu) message: not an SMMUv3, not read');
      return taken;
    }
    const { text, taken, parsed } = this.#join(lines, part.body, ahead, (t) => parseMessage(t));
    const known = parsed ? this.#take(parsed, text, part.smmu, line) : false;
    const notice = known ? null : noticeRecord(part.body, line.number, part.smmu, true);
    if (notice) this.#sink.record(notice);
    else if (!known)
      this.#sink.unread(
        line,
        part.body === ''
          ? 'SMMUv3 driver message without a text'
          : 'SMMUv3 driver message that holds no fault, or that has no decoder',
      );
    return taken;
  }

  /** A line without a driver name: a message whose prefix was dropped, words of an open record, or raw bytes. */
  #unprefixed(lines: Lines, line: TextLine): number {
    const v2 = findV2(line.body);
    if (v2 >= 0) {
      const { taken, parsed } = this.#join(lines, line.body.slice(v2), 1, (t) => parseV2(t));
      if (parsed) this.#sink.record(v2Record(parsed, line.number, null, line.xen));
      return 1 + taken;
    }
    const at = findMessage(line.body);
    if (at >= 0) {
      const { text, taken, parsed } = this.#join(lines, line.body.slice(at), 1, (t) => parseMessage(t));
      if (parsed && (parsed.complete || parsed.score > 1) && this.#take(parsed, text, null, line)) {
        this.#raw.close();
        return 1 + taken;
      }
    }
    if (/^\s*0x[0-9a-f]/i.test(line.body) && this.#log.awaitsWords(line.number)) {
      const { text, taken, parsed } = this.#join(lines, line.body, 1, (t) => parseMessage(t));
      if (parsed?.content.kind === 'words' && this.#take(parsed, text, null, line)) return 1 + taken;
    }
    if (this.#log.policy(line.body)) return 1;
    const notice = noticeRecord(line.body, line.number, null, false);
    if (notice) {
      this.#raw.close();
      this.#sink.record(notice);
      return 1;
    }
    if (line.headed) {
      this.#raw.close();
      return 0;
    }
    if (this.#raw.mark(line.text.trim())) return 1;
    const bytes = hexLine(line.text, this.#raw.size);
    if (bytes) {
      this.#raw.add(line, bytes);
      return 1;
    }
    const head = heading(line.text);
    const next = head && (lines.peek(1)?.text.trim() === '' ? lines.peek(2) : lines.peek(1));
    if (head && next && (hexLine(next.text) || heading(next.text))) {
      this.#raw.head(head, line.number);
      return 1;
    }
    this.#raw.close();
    return 0;
  }

  /** Feeds a message and whatever follows it on the same line. */
  #take(first: Message, body: string, smmu: string | null, line: TextLine): boolean {
    let m: Message | null = first;
    let any = false;
    for (let i = 0; m && i < 8; i++) {
      any = this.#log.message(m, smmu, line) || any;
      const rest: string = body.slice(m.end);
      const words: number = /^[\s:]*0x[0-9a-f]{16}(?=\s|$)/i.test(rest) ? rest.indexOf('0x') : -1;
      const at: number = words >= 0 ? words : rest.trim() === '' ? -1 : findMessage(rest);
      if (at < 0) break;
      body = rest.slice(at);
      m = parseMessage(body);
    }
    return any;
  }

  /** Only bare lines are joined: one with a driver name, or with the first words of a message, begins another. */
  #join<T extends Parsed>(lines: Lines, body: string, ahead: number, parse: (text: string) => T | null): Joined<T> {
    return joinLines(lines, body, ahead, parse, (next, text) => {
      if (segments(next)[0]?.driver !== null) return true;
      return text !== '' && (findMessage(next) === 0 || findV2(next) === 0);
    });
  }
}
