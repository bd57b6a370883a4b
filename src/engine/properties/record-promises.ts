import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  bytesToWords,
  decode,
  encode,
  explain,
  type Field,
  type Layout,
  reservedBits,
  wordsToBytes,
} from '../bits/index.ts';

const word = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.nat({ max: 63 }).map((n) => 1n << BigInt(n)),
  fc.constantFrom(0n, (1n << 64n) - 1n),
);
const width = (f: Field): bigint => BigInt(f.hi - f.lo + 1);
/** A value of a field, as `decode` gives it: addresses stand in place. */
const value = (f: Field): fc.Arbitrary<bigint> =>
  fc.bigInt({ min: 0n, max: (1n << width(f)) - 1n }).map((v) => (f.format === 'addr' ? v << BigInt(f.lo) : v));
/** The bits of a word that a field has, by hand. */
const maskOf = (f: Field): bigint => ((1n << width(f)) - 1n) << BigInt(f.lo);
/** Layouts whose fields share bits: other fields say which of them counts. */
const shares = (l: Layout): boolean =>
  l.fields.some((a, i) => l.fields.some((b, j) => j > i && a.word === b.word && (maskOf(a) & maskOf(b)) !== 0n));

/** Encode and decode are inverse, for every record that a vendor describes. */
export function recordsAreInverse(layouts: readonly Layout[]): void {
  it('has fields within its words, with names of their own', () => {
    expect(layouts.length).toBeGreaterThan(60);
    expect(new Set(layouts.map((l) => l.id)).size).toBe(layouts.length);
    for (const l of layouts) {
      expect(new Set(l.fields.map((f) => f.name)).size, l.id).toBe(l.fields.length);
      for (const f of l.fields) expect(f.word < l.words && f.lo <= f.hi && f.hi < 64, `${l.id} ${f.name}`).toBe(true);
    }
    expect(layouts.filter(shares).map((l) => l.id)).toEqual([]);
  });

  for (const l of layouts)
    it(`${l.id} from words to fields and back`, () => {
      fc.assert(
        fc.property(fc.array(word, { minLength: l.words, maxLength: l.words }), (words) => {
          const fields = decode(l, words);
          for (const f of l.fields) {
            const bits = (words[f.word]! & maskOf(f)) >> (f.format === 'addr' ? 0n : BigInt(f.lo));
            expect(fields[f.name]).toBe(bits);
          }
          const reserved = reservedBits(l, words);
          const back = encode(l, fields);
          expect(back.map((w, i) => w | reserved[i]!)).toEqual(words);
          expect(back.map((w, i) => w & reserved[i]!)).toEqual(words.map(() => 0n));
          expect(explain(l, words).map((e) => [e.field.name, e.value])).toEqual(
            expect.arrayContaining(l.fields.map((f) => [f.name, fields[f.name]])),
          );
          expect(bytesToWords(wordsToBytes(words))).toEqual(words);
        }),
        { numRuns: 20, seed: 1 },
      );
      fc.assert(
        fc.property(fc.tuple(...l.fields.map(value)), (values) => {
          const fields = Object.fromEntries(l.fields.map((f, i) => [f.name, values[i]!]));
          expect(decode(l, encode(l, fields))).toEqual(fields);
        }),
        { numRuns: 20, seed: 1 },
      );
    });

  it('a value that does not fit is refused, not cut', () => {
    for (const l of layouts)
      for (const f of l.fields) {
        if (width(f) < 64n)
          expect(() => encode(l, { [f.name]: (1n << width(f)) << (f.format === 'addr' ? BigInt(f.lo) : 0n) })).toThrow(
            RangeError,
          );
        if (f.format === 'addr' && f.lo > 0) expect(() => encode(l, { [f.name]: 1n })).toThrow(RangeError);
      }
  });
}
