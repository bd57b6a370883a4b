import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rawLayout, type TableEntry, type TableMemory, type TableRef } from '../../engine/machine/index.ts';
import { CHUNK, foldEntries, foldTable, type Item, sizeOfItem, unfold } from './fold.ts';

const layout = rawLayout(1);
const span = 4096n;

const ref = (entries: number): TableRef => ({
  space: 'host',
  address: 0x1000_0000,
  format: 'plain',
  args: [],
  title: 'Plain table',
  entries,
  bytes: 8,
  input: 'address',
  inputName: 'IOVA',
  base: 0n,
  span,
});

/** Word 0: empty; odd: a page of the word above bit 12 with attributes in 11:1; else a table. */
function entryOf(index: number, word: bigint): TableEntry {
  const at = { index, address: 0x1000_0000 + index * 8, words: [word], layout, text: '', children: [] };
  if (word === 0n) return { ...at, kind: 'empty', attributes: '' };
  if (word & 1n) return { ...at, kind: 'page', attributes: String(word & 0xfffn), output: word & ~0xfffn };
  return { ...at, kind: word & 2n ? 'table' : 'invalid', attributes: String(word) };
}

function memoryOf(words: readonly bigint[], earlier?: readonly bigint[]): TableMemory & { reads: number } {
  const t = {
    reads: 0,
    roots: () => [],
    entries: (r: TableRef, from: number, count: number) =>
      words.slice(from, Math.min(from + count, r.entries)).map((w, i) => {
        t.reads++;
        return entryOf(from + i, w);
      }),
    before: (r: TableRef, from: number, count: number) =>
      (earlier ?? words).slice(from, Math.min(from + count, r.entries)).map((w, i) => entryOf(from + i, w)),
    blank: (p: { address: number }, bytes: number) => {
      const from = (p.address - 0x1000_0000) / 8;
      return words.slice(from, from + bytes / 8).every((w) => w === 0n) && !earlier;
    },
    changed: (p: { address: number }, bytes: number) => {
      const from = (p.address - 0x1000_0000) / 8;
      return earlier ? words.slice(from, from + bytes / 8).some((w, i) => w !== earlier[from + i]) : false;
    },
    changes: () => [],
    read: () => null,
  };
  return t;
}

/** Every entry that the items stand for, in order, by opening all of them. */
function flat(t: TableMemory, r: TableRef, items: readonly Item[]): TableEntry[] {
  return items.flatMap((item) => (item.kind === 'entry' ? [item.entry] : flat(t, r, unfold(t, r, item))));
}

const word = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0n) },
  { weight: 4, arbitrary: fc.nat(6).map((n) => BigInt(n) * 4096n + 1n) },
  { weight: 1, arbitrary: fc.nat(3).map((n) => BigInt(n) * 4096n + 3n) },
  { weight: 1, arbitrary: fc.nat(3).map((n) => BigInt(n) * 4n + 4n) },
);
/** Consecutive pages, so that there are runs at all. */
const piece = fc.oneof(
  word.map((w) => [w]),
  fc
    .tuple(fc.nat(9), fc.integer({ min: 1, max: 40 }), fc.constantFrom(1n, 5n))
    .map(([at, n, attributes]) => Array.from({ length: n }, (_, i) => BigInt(at + i) * 4096n + attributes)),
  fc.nat(700).map((n) => new Array<bigint>(n).fill(0n)),
);
const table = fc.array(piece, { maxLength: 12 }).map((p) => p.flat());

describe('folding', () => {
  it('unfolded gives exactly the entries, in order', () => {
    fc.assert(
      fc.property(table, (words) => {
        const t = memoryOf(words);
        const r = ref(words.length);
        expect(flat(t, r, foldTable(t, r))).toEqual(words.map((w, i) => entryOf(i, w)));
      }),
    );
  });

  it('covers every entry once, also with changes and with entries that stand alone', () => {
    fc.assert(
      fc.property(
        table,
        fc.array(fc.tuple(fc.nat(2000), word), { maxLength: 6 }),
        fc.nat(2000),
        (words, edits, pin) => {
          const earlier = [...words];
          for (const [at, w] of edits) if (at < words.length) earlier[at] = w;
          const t = memoryOf(words, earlier);
          const items = foldTable(t, ref(words.length), (i) => i === pin);
          const covered = items.flatMap((item) => {
            const { from, count } = sizeOfItem(item);
            return Array.from({ length: count }, (_, i) => from + i);
          });
          expect(covered).toEqual(words.map((_, i) => i));
          for (const item of items) {
            if (item.kind === 'chunk') continue;
            const { from, count } = sizeOfItem(item);
            // All of a run has changed, or nothing of it.
            for (let i = from; i < from + count; i++) expect(words[i] !== earlier[i]).toBe(item.before !== undefined);
            if (pin >= from && pin < from + count) expect(count).toBe(1);
          }
        },
      ),
    );
  });

  it('joins pages only where attributes are the same and outputs follow', () => {
    const words = [0x1001n, 0x2001n, 0x3001n, 0x4005n, 0x5005n, 0x9005n, 0n, 0n, 0x10002n];
    const items = foldEntries(
      words.map((w, i) => entryOf(i, w)),
      { span },
    );
    expect(
      items.map((i) => (i.kind === 'run' ? `${i.of} ${i.from}+${i.count}` : `entry ${sizeOfItem(i).from}`)),
    ).toEqual(['page 0+3', 'page 3+2', 'entry 5', 'empty 6+2', 'entry 8']);
  });

  it('reads nothing of what was never written, and leaves a huge table for later', () => {
    const empty = memoryOf(new Array<bigint>(65536).fill(0n));
    expect(foldTable(empty, ref(65536))).toEqual([{ kind: 'run', of: 'empty', from: 0, count: 65536 }]);
    expect(empty.reads).toBe(0);
    const full = memoryOf(Array.from({ length: 65536 }, (_, i) => BigInt(i) * 8192n + 1n));
    const items = foldTable(full, ref(65536));
    expect(full.reads).toBe(0);
    expect(items).toHaveLength(65536 / CHUNK);
    expect(unfold(full, ref(65536), items[3] as Exclude<Item, { kind: 'entry' }>)).toHaveLength(CHUNK);
    expect(full.reads).toBe(CHUNK);
  });
});
