import { describe, expect, it } from 'vitest';
import { flushes, makeTable as make, stepsOf as run } from './fixtures/tables.ts';
import {
  linuxGranule,
  linuxTable,
  Prot,
  protReadWriteCached,
  readAndClearDirty,
  type TableConfig,
  tableGeometry,
} from './vmsav8-table.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const S1: TableConfig = { stage: 1, inputBits: 48, outputBits: 44 };
const S2: TableConfig = { stage: 2, inputBits: 48, outputBits: 48 };

describe('what Linux chooses', () => {
  it('a granule near the page size', () => {
    // Granules of the SMMU (log2), page size of the kernel, granule.
    for (const [granules, page, want] of [
      [[12, 14, 16], 4096, 4096],
      [[12, 14, 16], 16384, 16384],
      [[12, 14, 16], 65536, 65536],
      [[12, 16], 16384, 4096],
      [[14, 12], 65536, 16384],
      [[16], 4096, 65536],
      [[14, 16], 4096, 16384],
    ] as const)
      expect(linuxGranule(granules, page), `${granules} ${page}`).toBe(want);
  });

  it('input and output sizes, and the leaf sizes that go with them (1.7)', () => {
    // Granule, OAS, VAX: stage-1 input, output of both; start level and leaf sizes of stage 1.
    for (const [page, oas, vax, ias, out, start, sizes] of [
      [4096, 44, false, 48, 44, 0, [4 * KiB, 2 * MiB, GiB]],
      [4096, 52, true, 48, 48, 0, [4 * KiB, 2 * MiB, GiB]],
      [16384, 52, true, 48, 48, 0, [16 * KiB, 32 * MiB]],
      [65536, 48, false, 48, 48, 1, [64 * KiB, 512 * MiB]],
      [65536, 52, false, 48, 52, 1, [64 * KiB, 512 * MiB, 4096 * GiB]],
      [65536, 52, true, 52, 52, 1, [64 * KiB, 512 * MiB, 4096 * GiB]],
    ] as const) {
      const limits = { granules: [12, 14, 16], oas, vax };
      const s1 = linuxTable(1, limits, page);
      expect(s1).toEqual({ stage: 1, inputBits: ias, outputBits: out, granule: page });
      expect(tableGeometry(s1)).toMatchObject({ startLevel: start, pageSizes: sizes });
      expect(linuxTable(2, limits, page)).toEqual({ stage: 2, inputBits: out, outputBits: out, granule: page });
    }
  });
});

describe('granules of 16 and 64 KiB', () => {
  for (const [granule, page, block, bits] of [
    [16384, 16 * KiB, 32 * MiB, 48],
    [65536, 64 * KiB, 512 * MiB, 52],
  ] as const) {
    const cfg: TableConfig = { stage: 1, inputBits: bits, outputBits: bits, granule };

    it(`pages and blocks of ${granule / KiB} KiB, gathered by size`, () => {
      const { table } = make(cfg, 0x88_0000_0000);
      const { result } = run(table.map(block, 3 * block, block + 2 * page, protReadWriteCached));
      expect(result).toEqual({ errno: '0', mapped: block + 2 * page });
      expect(table.lookup(block + 5)).toMatchObject({ oa: 3 * block + 5, size: block, level: 2 });
      expect(table.lookup(2 * block + page + 7)).toMatchObject({ oa: 4 * block + page + 7, size: page, level: 3 });
      expect(flushes(run(table.unmap(block, block + 2 * page)).steps)).toEqual([
        `leaf ${block.toString(16)}+${block.toString(16)}/${block.toString(16)}`,
        `leaf ${(2 * block).toString(16)}+${(2 * page).toString(16)}/${page.toString(16)}`,
      ]);
    });

    it(`a table of ${granule / KiB} KiB that is dropped or replaced is flushed with its granule`, () => {
      const { table } = make(cfg, 0x88_0000_0000);
      const hex = (n: number): string => n.toString(16);
      for (let at = 0; at < block; at += block / 2)
        run(table.map(at, at + 7 * block + page, block / 2, protReadWriteCached));
      expect(flushes(run(table.unmap(0, block)).steps)).toEqual([
        `walk 0+${hex(block)}/${hex(page)}`,
        `leaf 0+${hex(block)}/${hex(block)}`,
      ]);
      run(table.map(0, 0, page, protReadWriteCached));
      run(table.unmap(0, page));
      expect(flushes(run(table.map(0, 0, block, protReadWriteCached)).steps)).toEqual([
        `walk 0+${hex(block)}/${hex(page)}`,
      ]);
      expect(run(table.unmap(page, page)).result).toBe(0);
      expect(table.map(0x1000, 0, 0x1000, protReadWriteCached).next().value).toMatchObject({ errno: 'EINVAL' });
    });
  }

  it('each write names the layout of its granule and level', () => {
    const layouts = (cfg: TableConfig, size: number): string[] =>
      run(make(cfg, 0x88_0000_0000).table.map(0, 0, size, protReadWriteCached)).steps.map((s) =>
        s.kind === 'write' ? s.layout : s.kind,
      );
    expect(layouts({ stage: 1, inputBits: 47, outputBits: 48, granule: 16384 }, 16384)).toEqual([
      'vmsav8.s1.table.16k',
      'vmsav8.s1.table.16k',
      'vmsav8.s1.page.16k',
    ]);
    expect(layouts({ stage: 2, inputBits: 42, outputBits: 42, granule: 65536 }, 2 ** 29)).toEqual([
      'vmsav8.s2.block.64k',
    ]);
    expect(layouts({ stage: 2, inputBits: 52, outputBits: 52, granule: 65536 }, 2 ** 42)).toEqual([
      'vmsav8.s2.block.64k.l1',
    ]);
    expect(layouts({ stage: 1, inputBits: 39, outputBits: 48 }, GiB)).toEqual(['vmsav8.s1.block.l1']);
  });

  it('blocks of 4 TiB, only with 52 bits', () => {
    const cfg: TableConfig = { stage: 2, inputBits: 52, outputBits: 52, granule: 65536 };
    const { table, memory } = make(cfg, 0x88_0000_0000);
    run(table.map(2 ** 43, 2 ** 51, 2 ** 42, protReadWriteCached));
    expect(table.lookup(2 ** 43 + 9)).toMatchObject({ oa: 2 ** 51 + 9, size: 2 ** 42, level: 1 });
    // Address bit 51 is bit 15 of the descriptor.
    expect(memory.readWord(table.root + 2 * 8)).toBe(0x87fdn);
  });

  it('sixteen start tables side by side are one, aligned as a whole', () => {
    const { table } = make({ stage: 2, inputBits: 40, outputBits: 40, granule: 16384 }, 0x88_0000_4000);
    expect(table.root % (16 * 16384)).toBe(0);
    run(table.map(2 ** 40 - 16384, 0x4000, 16384, protReadWriteCached));
    expect(table.lookup(2 ** 40 - 1)).toMatchObject({ oa: 0x7fff, level: 3 });
  });
});

describe('dirty state of hardware (IO_PGTABLE_QUIRK_ARM_HD)', () => {
  const HD: TableConfig = { ...S1, hd: true };
  const DBM = 1n << 51n;

  it('what can be written carries DBM and begins dirty', () => {
    const { table } = make(HD);
    run(table.map(0x1000, 0x3000, 4096, protReadWriteCached));
    run(table.map(0x2000, 0x4000, 4096, Prot.read | Prot.cache));
    expect(table.lookup(0x1000)?.descriptor).toBe(0x3f47n | DBM);
    expect(table.lookup(0x2000)?.descriptor).toBe(0x4fc7n);
    // Stage 2 has none: Linux tracks there by nothing.
    const second = make({ ...S2, hd: true });
    run(second.table.map(0x1000, 0x3000, 4096, protReadWriteCached));
    expect(second.table.lookup(0x1000)?.descriptor).toBe(0x37ffn);
  });

  it('reading cleans each leaf once', () => {
    const { table, memory } = make(HD);
    run(table.map(2 * MiB - 8192, 4 * MiB - 8192, 2 * MiB + 8192, protReadWriteCached));
    const from = 2 * MiB - 8192;
    const all = {
      errno: '0',
      dirty: [
        { iova: from, size: 4096 },
        { iova: from + 4096, size: 4096 },
        { iova: 2 * MiB, size: 2 * MiB },
      ],
    };
    expect(run(readAndClearDirty(table, memory, from, 2 * MiB + 8192, false))).toEqual({ steps: [], result: all });
    const cleared = run(readAndClearDirty(table, memory, from, 2 * MiB + 8192));
    expect(cleared.result).toEqual(all);
    expect(cleared.steps.map((s) => (s.kind === 'write' ? s.text : s.kind))).toEqual([
      'page of 4 KiB at 0x1fe000 made clean',
      'page of 4 KiB at 0x1ff000 made clean',
      'block of 2 MiB at 0x200000 made clean',
    ]);
    expect(table.lookup(2 * MiB)?.descriptor).toBe(0x400fc5n | DBM);
    expect(run(readAndClearDirty(table, memory, from, 2 * MiB + 8192)).result).toEqual({ errno: '0', dirty: [] });
  });

  it('a hole and a stage-2 table are EINVAL', () => {
    const { table, memory } = make(HD);
    run(table.map(0x1000, 0x3000, 4096, protReadWriteCached));
    expect(run(readAndClearDirty(table, memory, 0x1000, 8192)).result).toEqual({
      errno: 'EINVAL',
      dirty: [{ iova: 0x1000, size: 4096 }],
    });
    const second = make(S2);
    expect(run(readAndClearDirty(second.table, second.memory, 0, 4096)).result.errno).toBe('EINVAL');
  });
});
