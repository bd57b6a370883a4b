import process from 'node:process';
import fc from 'fast-check';
import { expect } from 'vitest';
import { type Damage, flip } from './damage.ts';

/** What came of a request: the answer, and the words that hardware has changed. */
interface Seen {
  readonly answer: string;
  readonly updates: string;
}

/** The same request through the engine and through a plain walker. */
export interface Compared {
  readonly engine: Seen;
  readonly plain: Seen;
  /** What the outcome counts as. */
  readonly kind: string;
}

/** Words that are not what they were, in the order of their addresses. */
export const changedWords = (before: ReadonlyMap<number, bigint>, now: ReadonlyMap<number, bigint>): string =>
  [...now]
    .filter(([at, word]) => before.get(at) !== word)
    .sort((x, y) => x[0] - y[0])
    .map(([at, word]) => `${at.toString(16)}=${word.toString(16)}`)
    .join(' ');

/** Every bit of every word of tables, flipped one after the other. */
export const everyBit = <Form extends { readonly damage: readonly Damage[] }>(form: Form, words: number): Form[] =>
  Array.from({ length: words * 64 }, (_, i) => ({ ...form, damage: [flip(Math.floor(i / 64), i % 64)] }));

/**
 * Runs requests through both walkers. It counts how often each outcome came up: a run in which one never does proves nothing
 * about it.
 */
export class TwoWalkers<Case> {
  private readonly kinds = new Map<string, number>();
  private readonly compared: (c: Case) => Compared;
  private readonly runs: number;

  /** @param runs of a property, unless IOMMUSCOPE_RUNS says otherwise */
  constructor(compared: (c: Case) => Compared, runs: number) {
    this.compared = compared;
    this.runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? runs);
  }

  /** They agree on each case, and every outcome of `least` comes up. */
  on(cases: readonly Case[], least: readonly string[]): void {
    this.kinds.clear();
    for (const c of cases) this.check(c, { case: c });
    this.enough(least);
  }

  /** The same on random cases. */
  agree(cases: fc.Arbitrary<Case>, least: readonly string[]): void {
    this.kinds.clear();
    fc.assert(
      fc.property(cases, (c) => this.check(c, {})),
      { numRuns: this.runs, seed: Number(process.env['IOMMUSCOPE_SEED'] || 1) },
    );
    this.enough(least);
  }

  private check(c: Case, shown: object): void {
    const { engine, plain, kind } = this.compared(c);
    this.count(kind);
    if (engine.updates !== '') this.count('updates');
    expect({ ...engine, ...shown }).toEqual({ ...plain, ...shown });
  }

  private count(kind: string): void {
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
  }

  private enough(least: readonly string[]): void {
    const counts = [...this.kinds].sort().map(([k, n]) => `${k}: ${n}`);
    if (process.env['IOMMUSCOPE_KINDS']) console.log(counts.join(', '));
    for (const k of least) expect([...this.kinds.keys()]).toContain(k);
  }
}
