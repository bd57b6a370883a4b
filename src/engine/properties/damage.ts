import fc from 'fast-check';
import type { Memory } from '../memory/index.ts';
import { BIT } from './words.ts';

/** A change of one word of tables that work. */
export interface Damage {
  /** Which of the words that matter, modulo their number. */
  readonly word: number;
  readonly how: 'flip' | 'flip two' | 'type' | 'any';
  readonly a: number;
  readonly b: number;
  readonly value: bigint;
}

export const damage: fc.Arbitrary<Damage> = fc.record({
  word: fc.nat({ max: 60 }),
  how: fc.constantFrom('flip', 'flip', 'flip', 'flip two', 'type', 'any'),
  a: fc.nat({ max: 63 }),
  b: fc.nat({ max: 63 }),
  value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

/** One flipped bit, or two. */
export const flip = (word: number, a: number, b = a): Damage => ({
  word,
  how: a === b ? 'flip' : 'flip two',
  a,
  b,
  value: 0n,
});

/** @param words addresses of the words that matter */
export function damageWord(memory: Memory, words: readonly number[], d: Damage): void {
  const at = words[d.word % words.length]!;
  const w = memory.readWord(at);
  let to = d.value;
  if (d.how === 'flip') to = w ^ BIT(d.a);
  else if (d.how === 'flip two') to = w ^ BIT(d.a) ^ BIT(d.b);
  else if (d.how === 'type') to = (w & ~3n) | BigInt(d.a % 4);
  memory.writeWord(at, to & (BIT(64) - 1n));
}
