import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atcSpan, splitRange, tooBigForRange } from './range.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;

const pieces = (pages: number, leaf: boolean): string =>
  splitRange({ iova: 0, size: pages * KiB4, granule: KiB4 }, leaf, 12, true)
    .map((p) => `(${p.num},${p.scale})`)
    .join(',');

describe('splitRange with range support', () => {
  // arm-smmuv3.md 2.2, check values.
  it.each([
    [1, '(0,0)', '(0,1)'],
    [31, '(30,0)', '(30,0)'],
    [32, '(0,5)', '(0,5)'],
    [33, '(0,0),(0,5)', '(16,1)'],
    [45, '(12,0),(0,5)', '(12,0),(0,5)'],
    [65, '(0,0),(0,6)', '(0,1),(0,6)'],
    [512, '(0,9)', '(0,9)'],
    [1000, '(28,3),(2,8)', '(28,3),(2,8)'],
    [0x12345, '(4,0),(12,6),(8,13)', '(4,0),(12,6),(8,13)'],
  ])('splits %i pages', (pages, leaf, nonLeaf) => {
    expect(pieces(pages, true)).toBe(leaf);
    expect(pieces(pages, false)).toBe(nonLeaf);
  });

  it('names the level of the leaf that went, and none for tables', () => {
    const ttl = (granule: number, page: number) =>
      splitRange({ iova: 0, size: granule, granule }, true, page, true)[0]!.ttl;
    expect([ttl(KiB4, 12), ttl(MiB2, 12), ttl(2 ** 30, 12)]).toEqual([3, 2, 1]);
    expect([ttl(2 ** 14, 14), ttl(2 ** 25, 14), ttl(2 ** 16, 16), ttl(2 ** 29, 16)]).toEqual([3, 2, 3, 2]);
    expect(splitRange({ iova: 0, size: MiB2, granule: KiB4 }, false, 12, true)[0]).toMatchObject({ ttl: 0, tg: 1 });
  });

  it('covers leaves exactly and tables with at most one page more, without a gap', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 ** 30 }),
        fc.integer({ min: 1, max: 2 ** 24 }),
        fc.boolean(),
        (at, n, leaf) => {
          const iova = at * KiB4;
          const list = splitRange({ iova, size: n * KiB4, granule: KiB4 }, leaf, 12, true);
          let next = iova;
          for (const p of list) {
            expect(p.address).toBe(next);
            expect(p.num).toBeGreaterThanOrEqual(0);
            expect(p.num).toBeLessThanOrEqual(31);
            expect(p.scale).toBeLessThanOrEqual(31);
            // The reserved form: all of NUM, SCALE and TTL zero with a granule given.
            expect(p.num + p.scale + p.ttl).toBeGreaterThan(0);
            next += (p.num + 1) * 2 ** p.scale * KiB4;
          }
          const extra = (next - iova) / KiB4 - n;
          expect(leaf ? extra === 0 : extra === 0 || extra === 1).toBe(true);
        },
      ),
    );
  });
});

describe('splitRange with the other granules', () => {
  const granule = fc.constantFrom(12, 14, 16);

  it('covers the range, at most one page more for tables, with the fields that the granule asks for', () => {
    fc.assert(
      fc.property(
        granule,
        fc.integer({ min: 0, max: 2 }),
        fc.nat(2 ** 18),
        fc.integer({ min: 1, max: 2 ** 12 }),
        fc.boolean(),
        (page, up, at, n, leaf) => {
          // A leaf of level 3, 2 or 1; there are no level-1 blocks of 16 KiB tables.
          const level = leaf ? 3 - Math.min(up, page === 14 ? 1 : 2) : 3;
          const size = 2 ** (page + (3 - level) * (page - 3));
          const iova = at * size;
          if (iova + n * size > 2 ** 48) return;
          const list = splitRange({ iova, size: n * size, granule: size }, leaf, page, true);
          let next = iova;
          for (const p of list) {
            expect(p).toMatchObject({ address: next, tg: (page - 10) / 2, ttl: leaf ? level : 0 });
            expect(p.num >= 0 && p.num <= 31 && p.scale <= 31).toBe(true);
            // The forms that are reserved, and addresses that a level hint makes unpredictable (arm-smmuv3.md 2.2).
            expect(p.num + p.scale + p.ttl).toBeGreaterThan(0);
            expect(p.address % (leaf ? size : 2 ** page)).toBe(0);
            next += (p.num + 1) * 2 ** (p.scale + page);
          }
          const extra = (next - iova - n * size) / 2 ** page;
          expect(leaf ? extra === 0 : extra === 0 || (extra === 1 && ((n * size) / 2 ** page) % 32 === 1)).toBe(true);
        },
      ),
    );
  });

  it('a whole ASID from as many leaves on as a table of their size has entries', () => {
    // log2 of the leaf less 3: 512 for 4 KiB, 2048 for 16 KiB, 8192 for 64 KiB, 2^18 for 2 MiB.
    for (const [size, limit] of [
      [4096, 512],
      [16384, 2048],
      [65536, 8192],
      [2 ** 21, 2 ** 18],
    ] as const) {
      expect(tooBigForRange({ iova: 0, size: size * (limit - 1), granule: size }, false)).toBe(false);
      expect(tooBigForRange({ iova: 0, size: size * limit, granule: size }, false)).toBe(true);
    }
  });
});

describe('splitRange without range support', () => {
  it('takes one command a leaf with all range fields zero', () => {
    const list = splitRange({ iova: 0x10000, size: 3 * KiB4, granule: KiB4 }, true, 12, false);
    expect(list.map((p) => p.address)).toEqual([0x10000, 0x11000, 0x12000]);
    expect(list.every((p) => p.num + p.scale + p.ttl + p.tg === 0)).toBe(true);
    expect(splitRange({ iova: MiB2, size: MiB2, granule: MiB2 }, true, 12, false)).toHaveLength(1);
  });

  it('gives up at as many commands as a table has entries', () => {
    const pages = (n: number) => ({ iova: 0, size: n * KiB4, granule: KiB4 });
    expect(tooBigForRange(pages(511), false)).toBe(false);
    expect(tooBigForRange(pages(512), false)).toBe(true);
    expect(tooBigForRange(pages(512), true)).toBe(false);
    expect(tooBigForRange({ iova: 0, size: MiB2, granule: MiB2 }, false)).toBe(false);
    expect(tooBigForRange(pages(0), true)).toBe(true);
  });
});

describe('atcSpan', () => {
  // arm-smmuv3.md 2.2: pages 7..10 and 8..11.
  it('takes the aligned power of two around the range', () => {
    expect(atcSpan(7 * KiB4, 4 * KiB4)).toEqual({ address: 0n, size: 4 });
    expect(atcSpan(8 * KiB4, 4 * KiB4)).toEqual({ address: 0x8000n, size: 2 });
    expect(atcSpan(0xfffff000, KiB4)).toEqual({ address: 0xfffff000n, size: 0 });
    expect(atcSpan(0x1234000, 0)).toEqual({ address: 0n, size: 52 });
  });

  it('holds the whole range and is the smallest such span', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 36 - 1 }), fc.integer({ min: 1, max: 2 ** 20 }), (page, n) => {
        const { address, size } = atcSpan(page * KiB4, n * KiB4);
        const end = address + (4096n << BigInt(size));
        expect(address <= BigInt(page * KiB4) && end >= BigInt((page + n) * KiB4)).toBe(true);
        // One size smaller, the first page's span would no longer hold the last page.
        if (size > 0) {
          const half = 4096n << BigInt(size - 1);
          const lower = BigInt(page * KiB4) & ~(half - 1n);
          expect(lower + half).toBeLessThan(BigInt((page + n) * KiB4));
        }
      }),
    );
  });
});
