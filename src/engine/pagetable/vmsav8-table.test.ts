import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { flushes, makeTable as make, stepsOf as run } from './fixtures/tables.ts';
import {
  choosePages,
  Prot,
  protReadWriteCached,
  type TableConfig,
  type TableStep,
  tableGeometry,
  walkParameters,
} from './vmsav8-table.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const S1: TableConfig = { stage: 1, inputBits: 48, outputBits: 44 };
const S2: TableConfig = { stage: 2, inputBits: 48, outputBits: 48 };

describe('geometry and walk parameters', () => {
  // arm-smmuv3.md 1.7: granule, bits, T0SZ, start, SL0, PS, entries of the first table.
  it.each([
    [4096, 32, 32, 1, 1, 0, 4],
    [4096, 36, 28, 1, 1, 1, 64],
    [4096, 40, 24, 1, 1, 2, 1024],
    [4096, 42, 22, 1, 1, 3, 4096],
    [4096, 44, 20, 0, 2, 4, 32],
    [4096, 48, 16, 0, 2, 5, 512],
    [16384, 32, 32, 2, 1, 0, 128],
    [16384, 36, 28, 2, 1, 1, 2048],
    [16384, 40, 24, 2, 1, 2, 32768],
    [16384, 42, 22, 1, 2, 3, 64],
    [16384, 44, 20, 1, 2, 4, 256],
    [16384, 48, 16, 1, 2, 5, 4096],
    [65536, 32, 32, 2, 1, 0, 8],
    [65536, 36, 28, 2, 1, 1, 128],
    [65536, 40, 24, 2, 1, 2, 2048],
    [65536, 42, 22, 2, 1, 3, 8192],
    [65536, 44, 20, 1, 2, 4, 4],
    [65536, 48, 16, 1, 2, 5, 64],
    [65536, 52, 12, 1, 2, 6, 1024],
  ] as const)('stage 2, granule %i, %i bits', (granule, bits, tsz, start, sl0, ps, entries) => {
    const cfg: TableConfig = { stage: 2, inputBits: bits, outputBits: bits, granule };
    expect(walkParameters(cfg)).toMatchObject({ tsz, sl0, ps });
    expect(tableGeometry(cfg)).toMatchObject({ startLevel: start, rootEntries: entries });
  });

  it('packs the VTCR of a 48-bit stage 2 as 0x53590', () => {
    expect(walkParameters(S2).vtcr).toBe(0x53590);
    expect(walkParameters({ ...S2, coherent: false })).toMatchObject({ irgn: 0, orgn: 0, sh: 2 });
  });

  it('never concatenates in stage 1', () => {
    expect(tableGeometry({ stage: 1, inputBits: 40, outputBits: 40 })).toMatchObject({ startLevel: 0, rootEntries: 2 });
    expect(tableGeometry({ stage: 1, inputBits: 48, outputBits: 48, granule: 16384 })).toMatchObject({
      startLevel: 0,
      rootEntries: 2,
    });
  });
});

describe('descriptors', () => {
  const { read, write, cache, noexec, mmio, priv } = Prot;
  // arm-smmuv3.md 1.6, table of low attribute bits.
  it.each([
    [S1, read | write | cache, 0xf47n, 0xf45n],
    [S1, read | cache, 0xfc7n, 0xfc5n],
    [S1, write | cache, 0xf47n, 0xf45n],
    [S1, read | write, 0xe43n, 0xe41n],
    [S1, read | write | mmio, 0xe4bn, 0xe49n],
    [S1, read | write | cache | priv, 0xf07n, 0xf05n],
    [S2, read | write | cache, 0x7ffn, 0x7fdn],
    [S2, read | cache, 0x77fn, 0x77dn],
    [S2, write | cache, 0x7bfn, 0x7bdn],
    [S2, read | write, 0x6d7n, 0x6d5n],
    [S2, read | write | mmio, 0x6c7n, 0x6c5n],
    [{ ...S2, fwb: true }, read | write | cache, 0x7dbn, 0x7d9n],
    [S2, read | write | cache | noexec, 0x7ffn | (3n << 53n), 0x7fdn | (3n << 53n)],
  ] as const)('%o prot %i', (cfg, prot, page, block) => {
    const { table } = make(cfg);
    run(table.map(0x1000, 0x3000, 4096, prot));
    run(table.map(2 * MiB, 4 * MiB, 2 * MiB, prot));
    expect(table.lookup(0x1000)?.descriptor).toBe(page | 0x3000n);
    expect(table.lookup(2 * MiB)?.descriptor).toBe(block | 0x400000n);
  });

  it('lays out the stage 2 of the worked walk (10.5)', () => {
    const { memory, table } = make(S2, 0x880040000000);
    run(table.map(0x48000000, 0x880045000000, 2 * MiB, protReadWriteCached));
    run(table.map(0x48200000, 0x880046000000, 4096, protReadWriteCached));
    run(table.map(0x48300000, 0x880047300000, 4096, protReadWriteCached));
    expect(table.root).toBe(0x880040000000);
    expect(memory.readWord(0x880040000000)).toBe(0x880040001003n);
    expect(memory.readWord(0x880040001008)).toBe(0x880040002003n);
    expect(memory.readWord(0x880040002200)).toBe(0x8800450007fdn);
    expect(memory.readWord(0x880040002208)).toBe(0x880040003003n);
    expect(memory.readWord(0x880040003000)).toBe(0x8800460007ffn);
    expect(memory.readWord(0x880040003800)).toBe(0x8800473007ffn);
  });

  it('packs address bits 51:48 of 64K tables', () => {
    const { table } = make({ stage: 2, inputBits: 52, outputBits: 52, granule: 65536 });
    run(table.map(0x10000, 0xf_8800_4000_0000, 65536, protReadWriteCached));
    expect(table.lookup(0x10000)).toMatchObject({ oa: 0xf_8800_4000_0000, descriptor: 0x8800_4000_f7ffn });
  });

  it('uses the concatenated start table as one', () => {
    const { table } = make({ stage: 2, inputBits: 42, outputBits: 42 });
    run(table.map(3 * 2 ** 40 + GiB, 5 * GiB, GiB, protReadWriteCached));
    expect(table.lookup(3 * 2 ** 40 + GiB + 5)).toMatchObject({
      oa: 5 * GiB + 5,
      level: 1,
      address: table.root + (3 * 1024 + 1) * 8,
    });
  });
});

describe('map', () => {
  it('chooses the largest pages that alignment and length allow', () => {
    const { table } = make(S1);
    const { steps, result } = run(table.map(2 * MiB - 4096, 6 * MiB - 4096, GiB, protReadWriteCached));
    expect(result).toEqual({ errno: '0', mapped: GiB });
    const leaves = steps
      .filter((s) => s.kind === 'write' && s.leaf)
      .map((s) => (s.kind === 'write' ? [s.count, s.size] : []));
    expect(leaves).toEqual([
      [1, 4096],
      [511, 2 * MiB],
      [511, 4096],
    ]);
  });

  it('reports 1 GiB of 2 MiB blocks in one step', () => {
    const { table } = make(S2);
    const runs = Array.from({ length: 512 }, (_, i) => ({ oa: 4 * GiB + (i ^ 1) * 2 * MiB, size: 2 * MiB }));
    const { steps } = run(table.mapRuns(GiB, runs, protReadWriteCached));
    const texts = steps.map((s) => (s.kind === 'write' ? s.text : s.kind));
    expect(texts).toEqual(['512 blocks of 2 MiB at 0x40000000, 2 new tables']);
    expect(table.lookup(GiB + 2 * MiB)?.oa).toBe(4 * GiB);
  });

  it('reports new tables before the leaf of a small map', () => {
    const { table } = make(S1);
    const { steps } = run(table.map(0xfffff000, 0x48300000, 4096, protReadWriteCached));
    expect(steps.map((s) => (s.kind === 'write' ? s.layout : s.kind))).toEqual([
      'vmsav8.s1.table',
      'vmsav8.s1.table',
      'vmsav8.s1.table',
      'vmsav8.s1.page',
    ]);
  });

  it('refuses what the kernel refuses and leaves nothing behind', () => {
    const { table } = make(S1);
    const errno = (it: Generator<TableStep, { errno: string }, void>): string => run(it).result.errno;
    expect(errno(table.map(2 ** 48, 0, 4096, protReadWriteCached))).toBe('ERANGE');
    expect(errno(table.map(0, 2 ** 44, 4096, protReadWriteCached))).toBe('ERANGE');
    expect(errno(table.map(0, 0, 4096, Prot.cache))).toBe('EINVAL');
    expect(errno(table.map(1, 0, 4096, protReadWriteCached))).toBe('EINVAL');
    expect(errno(table.map(0x3000, 0, 4096, protReadWriteCached))).toBe('0');
    expect(errno(table.map(0x1000, 0, 4 * 4096, protReadWriteCached))).toBe('EEXIST');
    expect(table.lookup(0x1000)).toBeNull();
    expect(table.lookup(0x3000)).not.toBeNull();
    expect(errno(table.map(0, 0, 2 * MiB, protReadWriteCached))).toBe('0');
  });

  it('drops an empty table that a block replaces, with its walk flush', () => {
    const { table } = make(S1);
    run(table.map(0, 0, 4096, protReadWriteCached));
    run(table.unmap(0, 4096));
    const { steps } = run(table.map(0, 0, 2 * MiB, protReadWriteCached));
    expect(flushes(steps)).toEqual(['walk 0+200000/1000']);
    expect(table.lookup(0)?.size).toBe(2 * MiB);
  });
});

describe('unmap', () => {
  it('gathers pages into one flush (7.4)', () => {
    const { table } = make(S1);
    run(table.map(0x10000, 0x10000, 45 * 4096, protReadWriteCached));
    expect(flushes(run(table.unmap(0x10000, 45 * 4096)).steps)).toEqual(['leaf 10000+2d000/1000']);
    expect(table.lookup(0x10000)).toBeNull();
  });

  it('flushes the walk of a dropped table, then the 2 MiB as leaf (7.4)', () => {
    const { table, pages } = make(S1);
    run(table.map(4096, 4096, 2 * MiB - 4096, protReadWriteCached));
    run(table.map(0, 0, 4096, protReadWriteCached));
    const before = pages.save().free.length;
    const { steps, result } = run(table.unmap(0, 2 * MiB));
    expect(result).toBe(2 * MiB);
    expect(flushes(steps)).toEqual(['walk 0+200000/1000', 'leaf 0+200000/200000']);
    expect(pages.save().free.length).toBe(before + 1);
  });

  it('keeps the table until the walk flush was sent', () => {
    const { table, pages } = make(S1);
    run(table.map(0, 0x1000, 4096, protReadWriteCached));
    run(table.map(4096, 0x5000, 2 * MiB - 4096, protReadWriteCached));
    const before = pages.save().free.length;
    for (const s of table.unmap(0, 2 * MiB)) if (s.kind === 'walk') expect(pages.save().free.length).toBe(before);
    expect(pages.save().free.length).toBe(before + 1);
  });

  it('separates page sizes and leaves leaf flushes of a queued unmap to the caller', () => {
    const { table } = make(S1);
    const fill = (): unknown => run(table.map(2 * MiB, 2 * MiB, 2 * MiB + 4096, protReadWriteCached));
    fill();
    expect(flushes(run(table.unmap(2 * MiB, 2 * MiB + 4096)).steps)).toEqual([
      'leaf 200000+200000/200000',
      'leaf 400000+1000/1000',
    ]);
    fill();
    expect(flushes(run(table.unmap(2 * MiB, 2 * MiB + 4096, true)).steps)).toEqual([]);
  });

  it('does not split a block and stops at a hole', () => {
    const { table } = make(S1);
    run(table.map(0, 0, 2 * MiB, protReadWriteCached));
    expect(run(table.unmap(4096, 4096)).result).toBe(0);
    run(table.map(2 * MiB, 0x7000, 8192, protReadWriteCached));
    expect(run(table.unmap(0, 2 * MiB + 3 * 4096)).result).toBe(2 * MiB + 8192);
    expect(run(table.unmap(0, 4096)).result).toBe(0);
  });
});

it('chooses pages as iommu_pgsize does', () => {
  const sizes = [4096, 2 * MiB, GiB];
  expect(choosePages(sizes, 0, 0, GiB)).toEqual({ size: GiB, count: 1 });
  expect(choosePages(sizes, 0, 0, GiB - 4096)).toEqual({ size: 2 * MiB, count: 511 });
  expect(choosePages(sizes, 0x1ff000, 0x3ff000, 4 * MiB)).toEqual({ size: 4096, count: 1 });
  expect(choosePages(sizes, 0x1ff000, 0x3fe000, 4 * MiB)).toEqual({ size: 4096, count: 1024 });
  expect(choosePages(sizes, 0, 0, 100)).toBeNull();
});

it('agrees with a plain map of pages, whatever is mapped and unmapped', () => {
  const op = fc.record({
    map: fc.boolean(),
    page: fc.integer({ min: 0, max: 1030 }),
    to: fc.integer({ min: 0, max: 3 }),
    pages: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constant(512), fc.constant(1024)),
  });
  fc.assert(
    fc.property(fc.array(op, { maxLength: 12 }), (ops) => {
      const { table } = make(S1);
      const model = new Map<number, number>();
      for (const o of ops) {
        if (o.map) {
          const oa = o.page + o.to * 512;
          let free = true;
          for (let i = 0; i < o.pages; i++) free &&= !model.has(o.page + i);
          // A block over a used table replaces it, in the kernel too; its callers never ask for that.
          if (!free && o.pages > 4) continue;
          const errno = run(table.map(o.page * 4096, oa * 4096, o.pages * 4096, protReadWriteCached)).result.errno;
          expect(errno).toBe(free ? '0' : 'EEXIST');
          if (free) for (let i = 0; i < o.pages; i++) model.set(o.page + i, oa + i);
        } else {
          const bytes = run(table.unmap(o.page * 4096, o.pages * 4096)).result;
          for (let i = 0; i < bytes / 4096; i++) model.delete(o.page + i);
        }
        for (let p = 0; p < 2100; p += 1) {
          const want = model.get(p);
          const got = table.lookup(p * 4096);
          if ((got?.oa ?? -1) !== (want === undefined ? -1 : want * 4096)) throw new Error(`page ${p}`);
        }
      }
    }),
    { numRuns: 60 },
  );
});

it('gives every page back', () => {
  const { table, pages } = make(S2);
  const fresh = pages.save();
  run(table.map(0, 0, 5 * MiB, protReadWriteCached));
  run(table.map(7 * GiB, 0, 4096, protReadWriteCached));
  const used = pages.save().next - fresh.next;
  table.free();
  const bytes = pages.save().free.reduce((n, f) => n + f.size, 0);
  expect(bytes).toBe(used + 4096);
});

it('survives tables that were overwritten with anything', () => {
  const { memory, pages, table } = make(S2);
  run(table.map(0, 0, 5 * MiB, protReadWriteCached));
  const used = pages.save();
  // Every entry of the root leads back to the root, or far away.
  for (let i = 0; i < 512; i++) memory.writeWord(table.root + i * 8, BigInt(i % 2 ? table.root : 0x7000000000) | 3n);
  expect(table.lookup(0x12345)).toBeNull();
  expect(run(table.unmap(0, 2 ** 39)).result).toBeGreaterThanOrEqual(0);
  table.free();
  const freed = pages.save().free.filter((f) => !used.free.some((u) => u.at === f.at));
  expect(freed).toEqual([{ at: table.root, size: 4096 }]);
});
