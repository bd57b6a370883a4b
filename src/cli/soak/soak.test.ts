import { describe, expect, it } from 'vitest';
import { soakBytes } from './bytes.ts';
import { soakOperations } from './operations.ts';
import { Random } from './random.ts';

/** A short piece of what `npm run soak` does at length. */
describe('soak', () => {
  it('random operations break no promise', () => {
    let clock = 0;
    const t = soakOperations(
      new Random(7),
      1000,
      () => clock++,
      () => {},
    );
    expect(t.crashes).toEqual([]);
    expect(t.done).toBe(1000);
    expect(t.succeeded).toBeGreaterThan(300);
  }, 60_000);

  it('random words in tables, queues and registers neither throw nor hang', () => {
    expect(soakBytes(new Random(8), 20_000, () => {})).toBeGreaterThan(100);
  }, 60_000);

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
