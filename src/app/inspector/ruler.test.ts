import { describe, expect, it } from 'vitest';
import { encode, type Layout } from '../../engine/bits/index.ts';
import { commandLayouts, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { bytesOf, segmentsOf } from './ruler.ts';

const layouts: readonly Layout[] = [steLayout, ...commandLayouts];

describe('the bit ruler', () => {
  it('covers each word once, from bit 63 to bit 0', () => {
    for (const layout of layouts)
      for (const word of segmentsOf(layout, new Array<bigint>(layout.words).fill(0n))) {
        let next = 63;
        for (const s of word) {
          expect(s.hi).toBe(next);
          expect(s.lo).toBeLessThanOrEqual(s.hi);
          next = s.lo - 1;
        }
        expect(next).toBe(-1);
      }
  });

  it('shows values at their bits and reserved bits that are set', () => {
    const words = encode(steLayout, { V: 1, Config: 5 });
    words[0]! |= 1n << 52n;
    const first = segmentsOf(steLayout, words)[0]!;
    expect(first.find((s) => s.field?.field.name === 'Config')?.field?.value).toBe(5n);
    const set = first.filter((s) => s.reserved !== 0n);
    for (const s of set) expect((s.reserved << BigInt(s.lo)) & (1n << 52n)).toBe(1n << 52n);
  });

  it('lists bytes in memory order', () => {
    expect(bytesOf(0x0807060504030201n)).toEqual(['01', '02', '03', '04', '05', '06', '07', '08']);
  });
});
