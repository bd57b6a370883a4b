import { hex } from '../../engine/bits/index.ts';
import { inputRange, type TableEntry, type TableRef } from '../../engine/machine/index.ts';
import type { Item } from './fold.ts';
import type { Row } from './rows.ts';

/** What the lines say: the same for the tree and for the text. */

/** The input that entries cover: `0x1_0000–0x1_0fff`, `StreamID 0x8`, `slot 3`. */
export function rangeText(ref: TableRef, index: number, count = 1): string {
  const { from, to } = inputRange(ref, index, count);
  switch (ref.input) {
    case 'address':
      return `${hex(from)}–${hex(to)}`;
    case 'slot':
      return count === 1 ? `${index}` : `${index}–${index + count - 1}`;
    default: {
      const text = (v: bigint): string => (ref.input === 'device' ? hex(v) : String(v));
      return `${ref.inputName} ${from === to ? text(from) : `${text(from)}–${text(to)}`}`;
    }
  }
}

const times = (n: number, what: string): string => `${n} ${what}`;

/** What a folded range says: `0x4020_0000, 512 × 4 KiB RW`, `510 empty entries`. */
export function runText(ref: TableRef, item: Extract<Item, { kind: 'run' }>): string {
  const { first, count } = item;
  if (item.of === 'empty' || !first) return times(count, 'empty entries');
  if (item.of !== 'page') return `${times(count, 'entries')}: ${first.text}`;
  return `${hex(first.output ?? 0n)} … ${hex((first.output ?? 0n) + ref.span * BigInt(count) - 1n)}, ${count} × ${first.attributes}`;
}

/** What entries were before the step. */
export const wasText = (before: TableEntry, count = 1): string =>
  before.kind === 'empty' ? 'empty' : count > 1 && before.kind === 'page' ? `${before.text} …` : before.text;

/** Old and new words of an entry, those that differ. */
export const wordChanges = (before: TableEntry, now: TableEntry): { word: number; from: bigint; to: bigint }[] =>
  now.words.flatMap((to, word) => {
    const from = before.words[word] ?? 0n;
    return from === to ? [] : [{ word, from, to }];
  });

/** A line of the tree in words. */
export function rowText(row: Row): string {
  switch (row.kind) {
    case 'root':
      return `${row.root.title}, ${row.root.about}`;
    case 'table':
      return `${row.ref.title}, ${row.ref.space} memory ${hex(row.ref.address)}`;
    case 'note':
      return row.text;
    case 'chunk':
      return `${rangeText(row.ref, row.item.from, row.item.count)}: ${times(row.item.count, 'entries')}, read when opened`;
    case 'run':
      return `${rangeText(row.ref, row.item.from, row.item.count)} → ${runText(row.ref, row.item)}`;
    case 'entry':
      return `${rangeText(row.ref, row.entry.index)} → ${row.entry.text}`;
  }
}

/** The sign and word of what the step did to a line; '' when nothing. */
export function changeText(row: Row): string {
  const before = row.kind === 'entry' ? row.before : row.kind === 'run' ? row.item.before : undefined;
  if (before) {
    const count = row.kind === 'run' ? row.item.count : 1;
    const isEmpty = row.kind === 'entry' ? row.entry.kind === 'empty' : row.kind === 'run' && row.item.of === 'empty';
    const word = before.kind === 'empty' ? 'new' : isEmpty ? 'cleared' : 'changed';
    return before.kind === 'empty' ? word : `${word}, was ${wasText(before, count)}`;
  }
  return row.inside ? 'changes inside' : '';
}
