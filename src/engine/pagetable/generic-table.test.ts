import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory, PageAllocator } from '../memory/index.ts';
import { GenericTable, type GenericTableStep } from './generic-table.ts';
import { readAndClearDirty } from './generic-table-dirty.ts';
import { bestPageSize, pageCount } from './page-sizes.ts';
import { secondStageFormat } from './vtd-second-stage-table.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const GiB = 2 ** 30;
const RW = 3;
const BASE = 2 ** 40;

function bench(o: { pages?: number; sizes?: number[]; levels?: number } = {}) {
  const memory = new Memory(2 ** 52);
  const pages = new PageAllocator(BASE, BASE + (o.pages ?? 4096) * KiB4);
  const levels = o.levels ?? 4;
  const pageSizes = o.sizes ?? [KiB4, MiB2, GiB];
  const cfg = { levels, inputBits: 12 + 9 * levels, pageSizes };
  return { memory, pages, table: new GenericTable(memory, pages, secondStageFormat(), cfg) };
}

function run<T>(change: Generator<GenericTableStep, T, void>): { steps: GenericTableStep[]; value: T } {
  const steps: GenericTableStep[] = [];
  for (;;) {
    const r = change.next();
    if (r.done) return { steps, value: r.value };
    steps.push(r.value);
  }
}

const small = (): ReturnType<typeof bench> => bench({ sizes: [KiB4] });

describe('map', () => {
  it('takes the largest leaves that fit both addresses, tables from the top on the way', () => {
    const { table } = bench();
    const { steps, value } = run(table.map(GiB - MiB2, 5 * GiB - MiB2, GiB + MiB2 + KiB4, RW));
    expect(value).toEqual({ errno: '0', mapped: GiB + MiB2 + KiB4 });
    expect([GiB - MiB2, GiB, 2 * GiB].map((va) => table.lookup(va)?.size)).toEqual([MiB2, GiB, KiB4]);
    expect(table.lookup(GiB + 0x12345)?.oa).toBe(5 * GiB + 0x12345);
    expect(steps.filter((s) => s.kind === 'write').map((s) => s.text)).toEqual([
      'page of 2 MiB at 0x3fe00000, 2 new tables',
      'page of 1 GiB at 0x40000000, 2 new tables',
      'page of 4 KiB at 0x80000000',
    ]);
  });

  it('names the tables one by one where few leaves are mapped', () => {
    const { steps } = run(small().table.map(0x3ff000, 0x80000000, 2 * KiB4, RW));
    expect(steps.map((s) => s.kind === 'write' && `${s.layout} ${s.text}`)).toEqual([
      'vtdss.table level 4 table for 0x0',
      'vtdss.table level 3 table for 0x0',
      'vtdss.table level 2 table for 0x200000',
      'vtdss.page page of 4 KiB at 0x3ff000',
      'vtdss.table level 2 table for 0x400000',
      'vtdss.page page of 4 KiB at 0x400000',
    ]);
  });

  it('refuses what is there already, and takes back what it had mapped', () => {
    const { table, memory } = small();
    run(table.map(0x3000, 0x80003000, KiB4, RW));
    const before = memory.readWord(table.lookup(0x3000)!.address);
    const { steps, value } = run(table.map(0x1000, 0x90000000, 4 * KiB4, RW));
    expect(value).toEqual({ errno: 'EADDRINUSE', mapped: 0 });
    expect([0x1000, 0x2000, 0x4000].map((va) => table.lookup(va))).toEqual([null, null, null]);
    expect(memory.readWord(table.lookup(0x3000)!.address)).toBe(before);
    expect(steps.at(-1)).toEqual({ kind: 'flush', iova: 0x1000, size: 2 * KiB4, freed: false });
  });

  it.each([
    ['EINVAL', 0x800, 0x1000, KiB4, RW],
    ['EINVAL', 0x1000, 0x800, KiB4, RW],
    ['EINVAL', 0x1000, 0x1000, 0, RW],
    ['EINVAL', 0x1000, 0x1000, KiB4, 0],
    ['ERANGE', 0x1000, 2 ** 52, KiB4, RW],
    ['ERANGE', 2 ** 48 - KiB4, 0x1000, 2 * KiB4, RW],
  ])('%s', (errno, va, oa, size, prot) => {
    expect(run(bench().table.map(va, oa, size, prot)).value).toEqual({ errno, mapped: 0 });
  });

  it('replaces an empty table by a large leaf: the table goes after a flush that reaches cached walks', () => {
    const { table, pages } = bench();
    run(table.map(0x1000, 0x80001000, KiB4, RW));
    const below = table.lookup(0x1000)!.address - 8;
    run(table.unmap(0x1000, KiB4));
    expect(pages.has(below)).toBe(true);
    const change = table.map(0, 0x80000000, MiB2, RW);
    const seen: GenericTableStep[] = [];
    for (let r = change.next(); !r.done; r = change.next()) {
      seen.push(r.value);
      expect(pages.has(below)).toBe(true);
    }
    expect(pages.has(below)).toBe(false);
    expect(seen.at(-1)).toEqual({ kind: 'flush', iova: 0, size: MiB2, freed: true });
    expect(table.lookup(0x12345)).toMatchObject({ size: MiB2, oa: 0x80012345 });
  });

  it('does not replace a table that still maps something', () => {
    const { table } = bench();
    run(table.map(0x1ff000, 0x80001000, KiB4, RW));
    expect(run(table.map(0, 0x80000000, MiB2, RW)).value).toEqual({ errno: 'EADDRINUSE', mapped: 0 });
    expect(table.lookup(0x1ff000)?.oa).toBe(0x80001000);
  });

  it('without pages for a table: ENOMEM', () => {
    const { table } = bench({ pages: 2 });
    expect(run(table.map(0x1000, 0x1000, KiB4, RW)).value).toEqual({ errno: 'ENOMEM', mapped: 0 });
  });

  it('VTD-15: a map next to somebody else’s pages leaves them alone', () => {
    const { table } = bench();
    run(table.map(0x4d0000 * KiB4, 0x123000, KiB4, RW));
    run(table.map(0x3fe400 * KiB4, 0x3fe400 * KiB4, (0x4c0600 - 0x3fe400) * KiB4, RW));
    expect(table.lookup(0x4d0000 * KiB4)?.oa).toBe(0x123000);
  });
});

/** `intel-vtd.md` 7.4: which unmaps take table pages with them, so that the flush has IH 0. */
describe('unmap', () => {
  it.each([
    // Range, bytes, smallest pages only, tables that go.
    [0x40000000, MiB2, true, 1],
    [0x40000000, MiB2, false, 0],
    [0x10000, 3 * KiB4, true, 0],
    [0x40001000, MiB2, true, 0],
    [0x3ff000, 0x202000, true, 1],
    [0x1000, 2 ** 18 * KiB4, true, 511],
    [GiB, GiB, true, 513],
  ])('0x%x and %i bytes', (va, size, pagesOnly, tables) => {
    const { table, pages } = pagesOnly ? small() : bench();
    run(table.map(va, va, size, RW));
    const { value } = run(table.unmap(va, size));
    expect(value.unmapped).toBe(size);
    expect(value.freed).toHaveLength(tables);
    for (const t of value.freed) expect(pages.has(t)).toBe(true);
    table.release(value.freed);
    for (const t of value.freed) expect(pages.has(t)).toBe(false);
    expect(table.lookup(va)).toBe(null);
  });

  it('takes a leaf whole when the range ends in it, and nothing when it begins in it', () => {
    const { table } = bench();
    run(table.map(0, 0, 2 * MiB2, RW));
    expect(run(table.unmap(0x1000, KiB4)).value.unmapped).toBe(0);
    expect(run(table.unmap(0, KiB4)).value.unmapped).toBe(MiB2);
    expect(table.lookup(MiB2)).not.toBe(null);
  });

  it('stops at a hole, and keeps the table that it stopped in', () => {
    const { table } = small();
    run(table.map(0, 0, 8 * KiB4, RW));
    run(table.unmap(0x4000, KiB4));
    const { value } = run(table.unmap(0, MiB2));
    expect(value).toEqual({ unmapped: 4 * KiB4, freed: [] });
    expect(table.lookup(0x5000)).not.toBe(null);
  });

  it('free gives every page back', () => {
    const { table, pages } = small();
    run(table.map(0, 0, 3 * GiB, RW));
    table.free();
    expect(pages.alloc(KiB4)).toBe(BASE);
  });
});

/** A page table against a plain list of its pages. */
it('any sequence of maps and unmaps translates as a list of pages would', () => {
  const change = fc.record({
    map: fc.boolean(),
    va: fc.integer({ min: 0, max: 1100 }),
    oa: fc.integer({ min: 0, max: 2000 }),
    pages: fc.integer({ min: 1, max: 1100 }),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), (changes) => {
      const { table } = bench();
      const model = new Map<number, number>();
      for (const c of changes) {
        if (c.map) {
          const taken = Array.from({ length: c.pages }, (_, i) => model.has(c.va + i)).some(Boolean);
          const { errno } = run(table.map(c.va * KiB4, c.oa * KiB4, c.pages * KiB4, RW)).value;
          expect(errno).toBe(taken ? 'EADDRINUSE' : '0');
          if (!taken) for (let i = 0; i < c.pages; i++) model.set(c.va + i, c.oa + i);
          continue;
        }
        const { unmapped, freed } = run(table.unmap(c.va * KiB4, c.pages * KiB4)).value;
        table.release(freed);
        for (let i = 0; i < unmapped / KiB4; i++) expect(model.delete(c.va + i)).toBe(true);
        if (unmapped < c.pages * KiB4) {
          // A hole, or a leaf that begins before the range.
          const stop = c.va + unmapped / KiB4;
          if (model.has(stop)) expect(table.lookup(stop * KiB4)!.size).toBe(MiB2);
        }
      }
      for (let page = 0; page < 2300; page++)
        expect(table.lookup(page * KiB4 + 0x123)?.oa ?? null).toBe(
          model.has(page) ? model.get(page)! * KiB4 + 0x123 : null,
        );
    }),
    { numRuns: 25 },
  );
}, 60_000);

describe('dirty bits', () => {
  const D = 0x200n;
  it('are found and cleared, holes are passed over', () => {
    const { table, memory } = bench();
    run(table.map(0, 0, MiB2 + 2 * KiB4, RW));
    run(table.map(3 * GiB, 3 * GiB, KiB4, RW));
    const mark = (va: number): void => {
      const leaf = table.lookup(va)!;
      memory.writeWord(leaf.address, leaf.entry | D);
    };
    mark(0x5000);
    mark(MiB2 + KiB4);
    mark(3 * GiB);
    const wanted = [
      { iova: 0, size: MiB2 },
      { iova: MiB2 + KiB4, size: KiB4 },
      { iova: 3 * GiB, size: KiB4 },
    ];
    expect(run(readAndClearDirty(table, memory, 0, 4 * GiB, false)).value).toEqual({ errno: '0', dirty: wanted });
    expect(run(readAndClearDirty(table, memory, 0, 4 * GiB)).value).toEqual({ errno: '0', dirty: wanted });
    expect(run(readAndClearDirty(table, memory, 0, 4 * GiB)).value).toEqual({ errno: '0', dirty: [] });
    expect(table.lookup(0)!.entry & D).toBe(0n);
  });

  it('beyond the table: ERANGE', () => {
    const { table, memory } = bench();
    expect(run(readAndClearDirty(table, memory, 2 ** 48, KiB4)).value.errno).toBe('ERANGE');
  });
});

describe('page sizes', () => {
  const sizes = BigInt(KiB4 + MiB2 + GiB);
  it('the count stops where a larger page fits, as counting one by one does', () => {
    fc.assert(
      fc.property(fc.nat(2000), fc.nat(2000), fc.integer({ min: 1, max: 3000 }), (v, o, n) => {
        const [va, oa, size] = [v * KiB4, o * KiB4, n * KiB4];
        const best = (done: number): number =>
          bestPageSize(sizes, BigInt(va + done), BigInt(va + size - 1), BigInt(oa + done));
        const lg2 = best(0);
        let count = 0;
        for (let done = 0; done < size && best(done) === lg2; done += 2 ** lg2) count++;
        expect(pageCount(sizes, va, size, oa, lg2)).toBe(count);
      }),
    );
  });
});
