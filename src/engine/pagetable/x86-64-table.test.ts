import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory, PageAllocator } from '../memory/index.ts';
import type { GenericTable } from './generic-table.ts';
import { firstStageSize, firstStageTable } from './x86-64-table.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const GiB = 2 ** 30;
const RW = 3;

function fresh(pageSizes = [KiB4, MiB2, GiB]) {
  const memory = new Memory(2 ** 40);
  const pages = new PageAllocator(0x100000000, 0x110000000);
  return { memory, pages, table: firstStageTable(memory, pages, { levels: 4, inputBits: 48, pageSizes }) };
}

/** Runs a change to its end. @returns its result and the entries that were written, as `L1[2] word` */
function drive<T>(it: Generator<unknown, T, void>): { result: T; writes: string[]; flushes: unknown[] } {
  const writes: string[] = [];
  const flushes: unknown[] = [];
  let r = it.next();
  for (; !r.done; r = it.next()) {
    const s = r.value as { kind: string; level: number; address: number; words: bigint[]; count: number };
    if (s.kind === 'write')
      writes.push(
        `L${s.level}[${(s.address % 4096) / 8}] ${s.words[0]!.toString(16)}${s.count > 1 ? ` x${s.count}` : ''}`,
      );
    else flushes.push(s);
  }
  return { result: r.value, writes, flushes };
}

const map = (t: GenericTable, iova: number, oa: number, size: number, prot = RW) => drive(t.map(iova, oa, size, prot));
const unmap = (t: GenericTable, iova: number, size: number) => drive(t.unmap(iova, size));

describe('entries', () => {
  it('a table is 0x27, a page 0x67 or 0x25, a large page has 0x80 too', () => {
    const { table } = fresh();
    const at = (level: number): string => (table.root + level * KiB4 + 0x27).toString(16);
    expect(map(table, 0xfffff000, 0x89abc000, KiB4).writes).toEqual([
      `L4[0] ${at(1)}`,
      `L3[3] ${at(2)}`,
      `L2[511] ${at(3)}`,
      'L1[511] 89abc067',
    ]);
    expect(map(table, 0xffffe000, 0x12345000, KiB4, 1).writes).toEqual(['L1[510] 12345025']);
    expect(map(table, 0x40000000, 0x80000000, GiB).writes).toEqual(['L3[1] 800000e7']);
    expect(map(table, 0x80000000, 0x200000, MiB2).writes.at(-1)).toBe('L2[0] 2000e7');
  });

  it('write-only cannot be said: it becomes read-write', () => {
    expect(map(fresh().table, 0, 0x1000, KiB4, 2).writes.at(-1)).toBe('L1[0] 1067');
  });

  it('five levels and no pages of 1 GiB where the unit says so', () => {
    expect(firstStageSize({ fs5lp: true, fs1gp: false, mgaw: 57 })).toEqual({
      levels: 5,
      inputBits: 57,
      pageSizes: [KiB4, MiB2],
    });
    expect(firstStageSize({ fs5lp: false, fs1gp: true, mgaw: 48 })).toEqual({
      levels: 4,
      inputBits: 48,
      pageSizes: [KiB4, MiB2, GiB],
    });
    const { table } = fresh([KiB4, MiB2]);
    expect(map(table, 0x40000000, 0x80000000, GiB).writes.at(-1)).toBe('L2[0] 800000e7 x512');
  });
});

describe('10.17: which unmaps free tables (7.4)', () => {
  it.each([
    // iova, bytes, mapped as pages of, tables that go
    [0xfffff000, KiB4, KiB4, 0],
    [0x40000000, MiB2, KiB4, 1],
    [0x40000000, MiB2, MiB2, 0],
    [0x10000, 3 * KiB4, KiB4, 0],
    [0x40001000, MiB2, KiB4, 0],
    // Both ends lie in tables that stay, the one between them goes.
    [0x3ff000, 514 * KiB4, KiB4, 1],
    [0x40000000, GiB, MiB2, 1],
  ])('0x%s: %s bytes as pages of %s: %s', (iova, size, page, tables) => {
    const { table } = fresh([page]);
    map(table, iova, 0x80000000, size);
    const neighbour = iova === 0x40000000 ? iova + size : 0x70000000;
    map(table, neighbour, 0, page);
    const { result } = unmap(table, iova, size);
    expect(result.unmapped).toBe(size);
    expect(result.freed).toHaveLength(tables);
    expect(table.lookup(iova)).toBeNull();
    expect(table.lookup(neighbour)).not.toBeNull();
  });

  it('a table that covers all of the range goes with the tables below it', () => {
    const { table } = fresh([KiB4]);
    map(table, 0, 0, MiB2);
    expect(unmap(table, 0, GiB).result).toEqual({ unmapped: MiB2, freed: [expect.any(Number)] });
  });
});

describe('large pages', () => {
  it('an unmap that ends inside one takes all of it, one that begins inside takes nothing', () => {
    const { table } = fresh();
    map(table, MiB2, 0, MiB2);
    expect(unmap(table, MiB2 + KiB4, KiB4).result.unmapped).toBe(0);
    expect(unmap(table, MiB2, KiB4).result.unmapped).toBe(MiB2);
  });

  it('one takes the place of an empty table, which is flushed once before its page is given back', () => {
    const { table, pages } = fresh();
    map(table, 0x40000000, 0, 2 * KiB4);
    map(table, 0x40200000, 0, KiB4);
    unmap(table, 0x40000000, 2 * KiB4);
    unmap(table, 0x40200000, KiB4);
    const before = table.lookup(0x40000000);
    expect(before).toBeNull();
    const it = table.map(0x40000000, 0x80000000, 2 * MiB2, RW);
    const freed: number[] = [];
    for (let r = it.next(); !r.done; r = it.next()) {
      if (r.value.kind !== 'flush') continue;
      expect(r.value).toMatchObject({ iova: 0x40000000, size: 2 * MiB2, freed: true });
      freed.push(...[3, 4].map((n) => table.root + n * KiB4));
      // Still somebody's: walks may be under way.
      expect(freed.map((f) => pages.has(f))).toEqual([true, true]);
    }
    expect(freed.map((f) => pages.has(f))).toEqual([false, false]);
    expect(table.lookup(0x40201000)).toMatchObject({ oa: 0x80201000, size: MiB2 });
  });

  it('one does not take the place of a table in which something is mapped', () => {
    const { table } = fresh();
    map(table, 0x40001000, 0, KiB4);
    expect(map(table, 0x40000000, 0, MiB2).result).toEqual({ errno: 'EADDRINUSE', mapped: 0 });
    expect(table.lookup(0x40001000)).toMatchObject({ oa: 0 });
  });
});

it.each([
  ['nothing', 0, 0, KiB4, 0, 'EINVAL'],
  ['half a page', 0, 0, 2048, RW, 'EINVAL'],
  ['an address between pages', 0x800, 0, KiB4, RW, 'EINVAL'],
  ['an output beyond 52 bits', 0, 2 ** 52, KiB4, RW, 'ERANGE'],
  ['beyond the lower half', 2 ** 47, 0, KiB4, RW, 'ERANGE'],
  ['over the end of the lower half', 2 ** 47 - KiB4, 0, 2 * KiB4, RW, 'ERANGE'],
])('refuses %s', (_what, iova, oa, size, prot, errno) => {
  expect(map(fresh().table, iova, oa, size, prot).result).toEqual({ errno, mapped: 0 });
});

it('what fails in the middle is unmapped again and flushed', () => {
  const { table } = fresh();
  map(table, 0x3000, 0, KiB4);
  const r = map(table, 0x1000, 0x100000, 4 * KiB4);
  expect(r.result).toEqual({ errno: 'EADDRINUSE', mapped: 0 });
  expect(r.flushes).toEqual([{ kind: 'flush', iova: 0x1000, size: 2 * KiB4, freed: false }]);
  expect([0x1000, 0x2000].map((a) => table.lookup(a))).toEqual([null, null]);
  expect(table.lookup(0x3000)).toMatchObject({ oa: 0 });
});

it('agrees with a plain map of pages, whatever is mapped and unmapped', () => {
  const page = fc.integer({ min: 0, max: 1100 });
  const step = fc.record({ on: fc.boolean(), at: page, pages: fc.constantFrom(1, 2, 3, 511, 512, 513), oa: page });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const { table, pages } = fresh();
      const model = new Map<number, number>();
      for (const s of steps) {
        const [iova, size] = [s.at * KiB4, s.pages * KiB4];
        const range = Array.from({ length: s.pages }, (_, i) => s.at + i);
        if (s.on) {
          const { errno } = map(table, iova, s.oa * KiB4, size).result;
          expect(errno).toBe(range.some((p) => model.has(p)) ? 'EADDRINUSE' : '0');
          for (const [i, p] of range.entries()) if (errno === '0') model.set(p, s.oa + i);
        } else {
          const { unmapped, freed } = unmap(table, iova, size).result;
          for (let p = s.at; p < s.at + unmapped / KiB4; p++) {
            expect(model.has(p)).toBe(true);
            model.delete(p);
          }
          expect(new Set(freed).size).toBe(freed.length);
          expect(freed.every((f) => pages.has(f))).toBe(true);
          table.release(freed);
        }
      }
      for (let p = 0; p < 2200; p++)
        expect(table.lookup(p * KiB4)?.oa).toBe(model.has(p) ? model.get(p)! * KiB4 : undefined);
    }),
    { numRuns: 60 },
  );
});
