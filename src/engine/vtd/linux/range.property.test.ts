import fc from 'fast-check';
import { expect, it } from 'vitest';
import { alignedRange, pagesOf } from './range.ts';

/** The smallest power of two of pages, naturally aligned, that holds both ends: found by trying them all. */
function smallest(start: bigint, end: bigint): { address: bigint; mask: number } {
  for (let mask = 0; mask < 52; mask++) {
    const size = BigInt(12 + mask);
    if (start >> size === end >> size) return { address: (start >> size) << size, mask };
  }
  return { address: 0n, mask: 52 };
}

it('a range becomes the smallest aligned block that holds it', () => {
  const ends = fc
    .tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.nat(40), fc.bigInt(0n, 2n ** 40n))
    .map(([start, bits, n]) => ({ start, size: (n & ((1n << BigInt(bits)) - 1n)) + 1n }))
    .filter(({ start, size }) => start + size <= 2n ** 64n);
  fc.assert(
    fc.property(ends, ({ start, size }) => {
      expect(alignedRange(start, start + size - 1n)).toEqual(smallest(start, start + size - 1n));
    }),
    { numRuns: 2000 },
  );
});

it('ranges at a boundary: every pair of pages up to 64', () => {
  for (let first = 0n; first < 64n; first++)
    for (let last = first; last < 64n; last++) {
      const [start, end] = [first << 12n, (last << 12n) | 0xfffn];
      expect(alignedRange(start, end)).toEqual(smallest(start, end));
      expect(pagesOf(start, end)).toBe(last - first + 1n);
    }
});
