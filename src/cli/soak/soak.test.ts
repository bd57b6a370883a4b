import { describe, expect, it } from 'vitest';
import { soakBytes, vendors } from './bytes.ts';
import { soakOperations } from './operations.ts';
import { Random } from './random.ts';

/** A short piece of what `npm run soak` does at length. */
describe.each(vendors)('soak of %s', (vendor) => {
  it('random operations break no promise', () => {
    let clock = 0;
    const t = soakOperations(
      vendor,
      new Random(7),
      700,
      () => clock++,
      () => {},
    );
    expect(t.crashes).toEqual([]);
    expect(t.done).toBe(700);
    expect(t.succeeded).toBeGreaterThan(200);
  }, 60_000);

  it('random words in tables, queues and registers neither throw nor hang', () => {
    expect(soakBytes(vendor, new Random(8), 20_000, () => {})).toBeGreaterThan(100);
  }, 60_000);
});

describe('random numbers', () => {
  it('the same seed gives the same numbers', () => {
    const take = (seed: number): number[] => {
      const r = new Random(seed);
      return Array.from({ length: 50 }, () => r.u32());
    };
    expect(take(3)).toEqual(take(3));
    expect(take(3)).not.toEqual(take(4));
    expect(new Set(take(3)).size).toBe(50);
  });
});
