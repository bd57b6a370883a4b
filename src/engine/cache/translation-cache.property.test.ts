import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { A, ANY, B, GLOBAL, IN_HI, IN_LO, OUT_LO, SHIFT, TranslationCache, UID } from './index.ts';

/** The same cache as a plain list: every rule is a filter over all entries. */
interface Entry {
  readonly a: number;
  readonly b: number;
  readonly start: bigint;
  readonly shift: number;
  readonly block: number;
  readonly out: number;
  readonly level: number;
  readonly granule: number;
}

const align = (n: bigint, shift: number): bigint => (n >> BigInt(shift)) << BigInt(shift);
const halves = (n: bigint): [number, number] => [Number((n >> 32n) & 0xffffffffn) | 0, Number(n & 0xffffffffn) | 0];

class PlainCache {
  entries: Entry[] = [];

  insert(e: Entry): void {
    this.entries = this.entries.filter(
      (x) => !(x.a === e.a && x.b === e.b && x.start === e.start && x.shift === e.shift),
    );
    this.entries.push(e);
  }

  /** Smallest first; an entry of the context before a global one. */
  lookup(a: number, b: number, at: bigint): Entry | undefined {
    const hits = this.entries.filter(
      (e) => e.a === a && (e.b === b || e.b === GLOBAL) && align(at, e.shift) === e.start,
    );
    return hits.sort((x, y) => x.shift - y.shift || (x.b === GLOBAL ? 1 : 0) - (y.b === GLOBAL ? 1 : 0))[0];
  }

  remove(gone: (e: Entry) => boolean): number {
    const before = this.entries.length;
    this.entries = this.entries.filter((e) => !gone(e));
    return before - this.entries.length;
  }

  removeRange(a: number, b: number, from: bigint, bytes: bigint, level: number, granule: number): number {
    return this.remove((e) => {
      const leaf = align(e.start, e.block);
      return (
        e.a === a &&
        (b === ANY || e.b === b || e.b === GLOBAL) &&
        leaf < from + bytes &&
        leaf + (1n << BigInt(e.block)) > from &&
        (level < 0 || e.level === level) &&
        (granule < 0 || e.granule === granule)
      );
    });
  }
}

const contents = (c: TranslationCache): string[] => {
  const out: string[] = [];
  c.forEach((i) => {
    const start = (BigInt(c.e[i + IN_HI]! >>> 0) << 32n) | BigInt(c.e[i + IN_LO]! >>> 0);
    out.push(`${c.e[i + A]}.${c.e[i + B]} ${start.toString(16)}+${c.e[i + SHIFT]} -> ${c.e[i + OUT_LO]}`);
  });
  return out;
};
const expected = (p: PlainCache): string[] =>
  p.entries.map((e) => `${e.a}.${e.b} ${e.start.toString(16)}+${e.shift} -> ${e.out}`);

const a = fc.constantFrom(1, 2);
const b = fc.constantFrom(0, 1, 2, GLOBAL);
const top = (1n << 64n) - 1n;
/** Addresses close together, at both ends and around 2^32 and 2^53, where halves and floats would go wrong. */
const at = fc
  .tuple(
    fc.constantFrom(0n, 0x1000_0000n, 0xffff_f000n, (1n << 53n) - 0x4000n, top - 0x7fffn),
    fc.nat({ max: 0x60_0000 }),
  )
  .map(([n, d]) => (n + BigInt(d)) & top);
const sizes = fc.constantFrom([12, 12], [12, 21], [21, 21], [16, 16], [30, 30], [12, 30], [39, 39]);

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('insert' as const),
      a,
      b,
      at,
      sizes,
      level: fc.integer({ min: 1, max: 3 }),
      granule: fc.constantFrom(12, 14),
      out: fc.nat({ max: 1000 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('lookup' as const), a, b: fc.constantFrom(0, 1, 2), at }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('range' as const),
      a,
      b: fc.constantFrom(0, 1, 2, ANY),
      at,
      bytes: fc.constantFrom(1, 4096, 8192, 45 * 4096, 2 ** 21, 2 ** 30, 2 ** 39, 2 ** 52, 2 ** 60),
      level: fc.constantFrom(-1, -1, 1, 2, 3),
      granule: fc.constantFrom(-1, -1, 12, 14),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('context' as const), a, b: fc.constantFrom(0, 1, 2, GLOBAL, ANY) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('allBut' as const), a }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reload' as const) }) },
);

const data = { attr: 0, sid: 0, ssid: -1, ipaLo: 0, ipaHi: 0 };

describe('the indexed cache against a plain list', () => {
  it('holds the same after any sequence of operations', () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 1, maxLength: 60 }), (actions) => {
        const c = new TranslationCache('IOTLB');
        const p = new PlainCache();
        for (const x of actions) {
          switch (x.do) {
            case 'insert': {
              const [shift, block] = x.sizes as [number, number];
              const [hi, lo] = halves(x.at);
              c.insert(x.a, x.b, hi, lo, shift, block, 0, x.out, { ...data, level: x.level, granule: x.granule });
              p.insert({
                a: x.a,
                b: x.b,
                start: align(x.at, shift),
                shift,
                block,
                out: x.out,
                level: x.level,
                granule: x.granule,
              });
              break;
            }
            case 'lookup': {
              const i = c.lookup(x.a, x.b, ...halves(x.at));
              expect(i < 0 ? undefined : c.e[i + OUT_LO]).toBe(p.lookup(x.a, x.b, x.at)?.out);
              break;
            }
            case 'range': {
              const [hi, lo] = halves(x.at);
              expect(c.removeRange(x.a, x.b, hi, lo, x.bytes, x.level, x.granule)).toBe(
                p.removeRange(x.a, x.b, x.at, BigInt(x.bytes), x.level, x.granule),
              );
              break;
            }
            case 'context':
              expect(c.removeContext(x.a, x.b)).toBe(p.remove((e) => e.a === x.a && (x.b === ANY || e.b === x.b)));
              break;
            case 'allBut':
              expect(c.removeAllBut(x.a)).toBe(p.remove((e) => e.a !== x.a));
              break;
            case 'reload':
              c.load(c.save());
              break;
          }
          expect(contents(c)).toEqual(expected(p));
          expect(c.size).toBe(p.entries.length);
        }
      }),
      { numRuns: 600 },
    );
  });

  it('keeps at most its capacity, the newest', () => {
    const c = new TranslationCache('IOTLB', 3);
    for (let n = 0; n < 10; n++) c.insert(1, 1, 0, n * 4096, 12, 12, 0, n, { ...data, level: 3, granule: 12 });
    expect(contents(c).map((x) => x.split('-> ')[1])).toEqual(['7', '8', '9']);
  });

  it('gives each entry an id of its own that survives a save', () => {
    const c = new TranslationCache('IOTLB');
    for (let n = 0; n < 40; n++) c.insert(1, n % 3, 0, n * 4096, 12, 12, 0, n, { ...data, level: 3, granule: 12 });
    const ids = (): number[] => {
      const out: number[] = [];
      c.forEach((i) => {
        out.push(c.e[i + UID]!);
      });
      return out;
    };
    const before = ids();
    c.removeContext(1, 1);
    const left = ids();
    expect(left.every((id) => before.includes(id))).toBe(true);
    c.load(c.save());
    expect(ids()).toEqual(left);
    const fresh = c.insert(1, 1, 0, 0, 12, 12, 0, 0, { ...data, level: 3, granule: 12 });
    expect(before).not.toContain(c.e[fresh + UID]);
  });

  it('touches no more of a large cache than of a small one to remove a page', () => {
    /** Counts how often the invalidation reads the entries. */
    const reads = (entries: number): number => {
      const c = new TranslationCache('IOTLB');
      for (let n = 0; n < entries; n++) c.insert(1, 1, 0, n * 4096, 12, 12, 0, n, { ...data, level: 3, granule: 12 });
      let count = 0;
      const e = c.e;
      c.e = new Proxy(e, {
        get: (t, k) => {
          count++;
          return Reflect.get(t, k);
        },
      });
      expect(c.removeRange(1, 1, 0, 5 * 4096, 4096, -1, -1)).toBe(1);
      return count;
    };
    expect(reads(16384)).toBeLessThan(2 * reads(64) + 60);
  });
});
