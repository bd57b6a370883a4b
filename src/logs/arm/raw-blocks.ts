import { fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { commandLayout, eventLayout } from '../../engine/smmuv3/layout/index.ts';
import type { TextLine } from '../lines.ts';
import type { Sink } from '../reader.ts';
import type { Draft, Where } from '../record.ts';
import { commandFields, explainCommand } from './errors.ts';
import { eventFields, eventPlace, explainEvent } from './event.ts';
import type { HexLine, Hint } from './raw.ts';
import { rawItems } from './raw.ts';

interface Block {
  readonly lines: { readonly line: TextLine; readonly count: number }[];
  readonly bytes: number[];
  readonly straight: number[];
  hint: Hint;
}

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

/** Lines of bare hexadecimal numbers, gathered until something else comes. */
export class RawBlocks {
  readonly #sink: Sink;
  #open: Block | null = null;
  /** Blocks that make sense only if the text holds nothing else. */
  readonly #doubtful: { block: Block; why: string }[] = [];
  #decoded = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  add(line: TextLine, hex: HexLine): void {
    const open = this.#open;
    const last = open?.lines.at(-1)?.line.number;
    // A label, or a gap, starts a new record.
    if (open && (hex.hint !== null || (last !== undefined && line.number > last + 1) || open.bytes.length > 1 << 16))
      this.close();
    this.#open ??= { lines: [], bytes: [], straight: [], hint: hex.hint };
    this.#open.lines.push({ line, count: hex.bytes.length });
    this.#open.bytes.push(...hex.bytes);
    this.#open.straight.push(...hex.straight);
  }

  close(): void {
    const block = this.#open;
    this.#open = null;
    if (!block) return;
    let items = rawItems(block.bytes, block.hint, false);
    if (typeof items === 'string') {
      const other = rawItems(block.straight, block.hint, false);
      if (typeof other !== 'string') items = other;
    }
    if (typeof items === 'string') this.#doubtful.push({ block, why: items });
    else this.#emit(block, items);
  }

  end(alone: boolean): void {
    this.close();
    for (const { block, why } of this.#doubtful) {
      const items =
        alone && this.#decoded === 0 && this.#doubtful.length === 1 ? rawItems(block.bytes, block.hint, true) : why;
      if (typeof items === 'string') for (const { line } of block.lines) this.#sink.unread(line, items);
      else this.#emit(block, items);
    }
  }

  #emit(block: Block, items: Exclude<ReturnType<typeof rawItems>, string>): void {
    this.#decoded += items.length;
    for (const item of items) {
      const line = lineAt(block, item.offset);
      this.#sink.record(item.kind === 'command' ? commandRecord(item.words, line) : eventRecord(item.words, line));
    }
  }
}

function lineAt(block: Block, offset: number): number {
  let start = 0;
  for (const { line, count } of block.lines) {
    if (offset < start + count) return line.number;
    start += count;
  }
  return block.lines[0]?.line.number ?? 1;
}
