import { bytesToWords, fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { commandLayout, eventLayout } from '../../engine/smmuv3/layout/index.ts';
import { type Heading, type HexLine, type Hint, isVtdHint } from '../hex-line.ts';
import type { TextLine } from '../lines.ts';
import type { Sink } from '../reader.ts';
import type { Draft, Where } from '../record.ts';
import type { Block } from './blocks.ts';
import { lineOf } from './blocks.ts';
import { dumpRecords } from './dump-records.ts';
import { commandFields, explainCommand } from './errors.ts';
import { eventFields, eventPlace, explainEvent } from './event.ts';
import { cut, decide, judge, kindOfHint, type RawItem } from './judge.ts';
import { type Dump, link } from './link.ts';
import { priRecord } from './table-records.ts';

/** A raw command as a record. */
export function commandRecord(words: readonly bigint[], line: number): Draft {
  const layout = commandLayout(words);
  const fields = Object.fromEntries(
    layout.fields
      .filter((f) => f.name !== 'Opcode')
      .map((f) => {
        const v = getField(f, words);
        return [f.name, f.format === 'hex' || f.format === 'addr' ? hexPlain(v) : Number(v)];
      }),
  );
  const sid = layout.fields.some((f) => f.name === 'SID')
    ? hexPlain(getField(fieldOf(layout, 'SID'), words))
    : undefined;
  const where: Where = { at: 'hw.cmdq', ...(sid !== undefined ? { sid } : {}) };
  return {
    type: 'smmuv3_command',
    vendor: 'arm',
    arch: 'smmuv3',
    line,
    ...commandFields(words),
    fields,
    explain: explainCommand(words),
    where,
  };
}

/** A raw event record as a record. */
export function eventRecord(words: readonly bigint[], line: number): Draft {
  const { fields, facts } = eventFields(words);
  return {
    type: 'smmuv3_event',
    vendor: 'arm',
    arch: 'smmuv3',
    line,
    ...fields,
    layout: eventLayout(words).id,
    explain: explainEvent(facts),
    where: eventPlace(facts),
  };
}

interface Open {
  readonly lines: { readonly line: TextLine; readonly byte: number }[];
  readonly bytes: number[];
  readonly straight: number[];
  readonly hint: Hint;
  readonly sid: number | null;
  /** What the text prints in front of the first line. */
  readonly printed: bigint | null;
  /** Address of the first byte, as printed or from the heading. */
  readonly address: bigint | null;
  /** Words came as `DW0:` and so on. */
  readonly counted: boolean;
  readonly size: number;
  /** `*`: the last sixteen bytes repeat. */
  star: boolean;
}

/** A block of this many bytes is closed, so that none grows without end. */
const LARGEST = 1 << 16;
/** Bytes of dumps that are kept to be put together. */
const MOST_KEPT = 1 << 22;
/** Smaller numbers in front of a dump are offsets. */
const FIRST_ADDRESS = 0x1000n;

const SIZES = 'a command has 16 bytes, an event record 32, an STE or a CD 64';

/** Lines of bare hexadecimal numbers, gathered until something else comes, and put together at the end of the text. */
export class RawBlocks {
  readonly #sink: Sink;
  #open: Open | null = null;
  #heading: { heading: Heading; line: number } | null = null;
  /** Dumps of tables, and what makes sense only if the text holds nothing else. */
  readonly #kept: Block[] = [];
  #bytes = 0;
  #decoded = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Bytes of each number of the open dump, so that its short last line is read alike; 0 when none is open. */
  get size(): number {
    return this.#open?.size ?? 0;
  }

  /** A line above a dump that says what it is. */
  head(heading: Heading, line: number): void {
    // A prompt does not part what its address joins.
    if (heading.hint !== null) this.close();
    const known = this.#heading;
    // A prompt below a heading does not hide it: `CD at 0x1000:` and then `(qemu) xp /8gx 0x1000`.
    if (known && heading.hint === null && line - known.line <= 2) this.#heading = { heading: known.heading, line };
    else this.#heading = { heading, line };
  }

  add(line: TextLine, hex: HexLine): void {
    const open = this.#open;
    if (open && !this.#continues(open, line, hex)) this.close();
    if (!this.#open) {
      const near = this.#heading && line.number - this.#heading.line <= 2 ? this.#heading.heading : null;
      this.#heading = null;
      const offset = hex.address ?? 0n;
      const base = near?.address ?? null;
      const real = hex.address !== null && hex.address >= FIRST_ADDRESS;
      this.#open = {
        lines: [],
        bytes: [],
        straight: [],
        hint: hex.hint ?? near?.hint ?? null,
        sid: near?.sid ?? null,
        printed: hex.address,
        address: real ? hex.address : base === null ? null : base + offset,
        counted: hex.word !== null,
        size: hex.size,
        star: false,
      };
    }
    const now = this.#open;
    // Words that the labels skip are zero.
    if (hex.word !== null) while ((now.bytes.length / 8) % 8 < hex.word) now.bytes.push(0, 0, 0, 0, 0, 0, 0, 0);
    this.#fill(now, hex.address);
    now.lines.push({ line, byte: now.bytes.length });
    now.bytes.push(...hex.bytes);
    if (hex.word !== null) now.straight.length = 0;
    now.straight.push(...hex.straight);
  }

  /** `*` of hexdump, and the lone offset that ends it. Returns whether it belongs to the open dump. */
  mark(text: string): boolean {
    const open = this.#open;
    if (open?.printed == null) return false;
    if (text === '*') {
      open.star = true;
      return true;
    }
    if (
      !/^[0-9a-f]{6,16}$/i.test(text) ||
      !(open.star || BigInt(`0x${text}`) === open.printed + BigInt(open.bytes.length))
    )
      return false;
    this.#fill(open, BigInt(`0x${text}`));
    this.close();
    return true;
  }

  #fill(open: Open, to: bigint | null): void {
    if (!open.star || to === null || open.printed === null) return;
    open.star = false;
    const rest = Number(to - open.printed) - open.bytes.length;
    if (rest <= 0 || rest > LARGEST || rest % 16 !== 0) return;
    for (const list of [open.bytes, open.straight]) {
      const last = list.slice(-16);
      for (let i = 0; i < rest; i += 16) list.push(...last);
    }
  }

  #continues(open: Open, line: TextLine, hex: HexLine): boolean {
    const last = open.lines.at(-1)?.line.number ?? 0;
    const n = open.bytes.length;
    if (n >= LARGEST) return false;
    if (hex.word !== null)
      return open.counted && hex.word > 0 && hex.word >= (n / 8) % 8 && n % 64 !== 0 && line.number <= last + 2;
    if (open.counted || (hex.hint !== null && !(hex.address !== null && hex.hint === open.hint))) return false;
    if (hex.address !== null) {
      if (open.printed === null) return false;
      const expected = open.printed + BigInt(n);
      return open.star
        ? hex.address > expected && hex.address - open.printed < BigInt(LARGEST)
        : hex.address === expected;
    }
    return open.printed === null && line.number <= last + 1;
  }

  close(): void {
    const open = this.#open;
    this.#open = null;
    if (!open) return;
    const n = open.bytes.length;
    if (n % 8 !== 0 || (n === 8 && open.hint === null && open.address === null)) {
      for (const { line } of open.lines) this.#sink.unread(line, `${n} bytes: ${SIZES}`);
      return;
    }
    if (this.#bytes + n > MOST_KEPT) {
      for (const { line } of open.lines)
        this.#sink.unread(line, `more than ${MOST_KEPT / (1 << 20)} MiB of dumps: not read`);
      return;
    }
    const block = this.#block(open);
    const { kind, words } = block;
    // An event or a command that is legal stays one, unless the text says otherwise.
    if (this.#sink.vtd?.claim(block, () => kind !== null && this.#legal(block))) return;
    // What can be a table too waits for what points to it.
    const pending = block.address !== null && block.hint === null && block.also;
    if (!pending && (kind === 'event' || kind === 'command' || kind === 'page request')) {
      const size = kind === 'event' ? 4 : 2;
      if (words.length % size === 0) {
        this.#emit(block, cut(kind, words));
        return;
      }
      for (const { line } of block.lines) this.#sink.unread(line, `${n} bytes: ${SIZES}`);
      return;
    }
    this.#bytes += n;
    this.#kept.push(block);
  }

  #legal(block: Block): boolean {
    return judge(block.words).some((c) => c.fit === 'legal' && c.kind === block.kind);
  }

  #block(open: Open): Block {
    let words = bytesToWords(Uint8Array.from(open.bytes));
    const hinted = kindOfHint(open.hint);
    // Words with the label of another vendor are judged by that one's reader.
    const foreign = isVtdHint(open.hint);
    let all = hinted === null && !foreign ? judge(words) : [];
    const legal = (): boolean => all.some((c) => c.fit === 'legal');
    const short = (8 - (words.length % 8)) % 8;
    // Linux prints and writes only the first words of an STE.
    const cutSte = (): boolean => {
      const whole = words.length === 4 ? decide(judge([...words, 0n, 0n, 0n, 0n])) : null;
      return whole?.kind === 'ste' && whole.fit === 'legal';
    };
    const padded =
      hinted === 'ste' || hinted === 'cd' || (hinted === null && !foreign && !legal() && (open.counted || cutSte()))
        ? short
        : 0;
    for (let i = 0; i < padded; i++) words.push(0n);
    if (padded > 0 && hinted === null && !foreign) all = judge(words);
    let kind = hinted ?? decide(all)?.kind ?? null;
    if (hinted === null && !foreign && !legal() && padded === 0 && open.straight.length === open.bytes.length) {
      const straight = bytesToWords(Uint8Array.from(open.straight));
      const other = straight.every((w, i) => w === words[i]) ? null : decide(judge(straight));
      if (other?.fit === 'legal') {
        kind = other.kind;
        words = straight;
      }
    }
    return {
      lines: open.lines.map(({ line, byte }) => ({ line, word: Math.floor(byte / 8) })),
      words,
      address: open.address,
      pa: null,
      hint: open.hint,
      kind,
      also: all.some((c) => c.fit === 'legal' && c.kind !== 'event' && c.kind !== 'command'),
      sid: open.sid,
      padded,
    };
  }

  end(alone: boolean): void {
    this.close();
    const taken = this.#sink.vtd?.reach(this.#kept);
    const kept = taken ? this.#kept.filter((b) => !taken.has(b)) : this.#kept;
    if (kept.length === 0) return;
    const dump = link(kept);
    const only = alone && this.#decoded === 0 && kept.length === 1;
    const unread = dumpRecords(dump, this.#sink, only, alone, (block, kind) =>
      this.#emit(block, cut(kind, block.words)),
    );
    for (const { block, why } of unread) {
      // Two words are a command, four an event record, if the text holds nothing else.
      const n = block.words.length;
      if (only && n <= 4 && n % 2 === 0) this.#emit(block, cut(n === 4 ? 'event' : 'command', block.words));
      else for (const { line } of block.lines) this.#sink.unread(line, why);
    }
    this.#sink.dump?.(dump as Dump);
  }

  #emit(block: Block, items: readonly RawItem[]): void {
    this.#decoded += items.length;
    for (const item of items) {
      const line = lineOf(block, item.word);
      this.#sink.record(
        item.kind === 'command'
          ? commandRecord(item.words, line)
          : item.kind === 'event'
            ? eventRecord(item.words, line)
            : priRecord(item.words, line),
      );
    }
  }
}
