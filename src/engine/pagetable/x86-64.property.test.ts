import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory } from '../memory/index.ts';
import {
  ANY_DATA,
  EXEC,
  FOR_INPUT,
  FS_CLEAN,
  firstStage,
  NO_WRITE,
  OK,
  PRIV_SHIFT,
  READ,
  SNOOP,
  SS_CLEAN,
  SS_SHIFT,
  secondStage,
  WRITE,
  X86Walker,
} from './x86-64.ts';
import { type Ask, type Outcome, PlainWalker } from './x86-64-plain-walker.ts';

/** The walker against a second one, x86-64-plain-walker.ts, which shares nothing with it but the tables in memory. */

const SIZE = 2 ** 32;

/** A place that has no memory. */
const BEYOND = 0xfe_0000_0000n;

/** Eight pages whose index is 0 or 1 at each of the lower levels, so that a way through them is also an address of one. */
const pageOf = (n: number): bigint =>
  n > 7 ? BEYOND : BigInt((n & 1) * 0x1000 + ((n >> 1) & 1) * 0x20_0000 + ((n >> 2) & 1) * 0x4000_0000);
const INDICES = [0, 1, 511];

/** Fields that both formats find right: P/R, R/W, U/S, A, D of the first stage; R, W, X, A, D of the second. */
const GOOD = 0x367n;

const entry: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 40, arbitrary: fc.nat({ max: 7 }).map((n) => pageOf(n) | GOOD) },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.nat({ max: 7 }), fc.constantFrom(0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 63))
      .map(([n, b]) => (pageOf(n) | GOOD) ^ (1n << BigInt(b))),
  },
  // Large pages, aligned.
  { weight: 4, arbitrary: fc.constantFrom(0x4000_03e7n, 0x3e7n, 0x4000_13e7n, 0x2003e7n, 0x3a7n, 0x1a5n) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat({ max: 7 }), fc.integer({ min: 12, max: 62 }))
      .map(([n, b]) => (pageOf(n) | GOOD) ^ (1n << BigInt(b))),
  },
  { weight: 1, arbitrary: fc.constantFrom(0n, 1n, 2n, 4n, 0xffff_ffff_ffff_ffffn, 0xfe_0000_0367n) },
);

const image = fc.array(fc.array(entry, { minLength: 3, maxLength: 3 }), { minLength: 8, maxLength: 8 });

const address = fc
  .tuple(
    fc.array(fc.constantFrom(0, 0, 1), { minLength: 3, maxLength: 3 }),
    fc.nat({ max: 4095 }),
    fc.constantFrom(
      0n,
      0n,
      0n,
      0n,
      0xffff_ff80_0000_0000n,
      0xffff_ffff_c000_0000n,
      1n << 48n,
      1n << 39n,
      1n << 57n,
      0xff80n << 48n,
    ),
  )
  .map(([at, low, high]) => at.reduce((n, i, k) => n | (BigInt(i) << BigInt(12 + 9 * k)), BigInt(low)) | high);

const root = fc.oneof({ weight: 30, arbitrary: fc.nat({ max: 7 }) }, { weight: 1, arbitrary: fc.constant(8) });

const options = fc.record({
  nesting: fc.constantFrom('first', 'second', 'nested', 'nested'),
  fsLevels: fc.constantFrom(4, 4, 5),
  ssLevels: fc.constantFrom(3, 4, 4, 5),
  fsRoot: root,
  ssRoot: root,
  wpe: fc.boolean(),
  nxe: fc.boolean(),
  smep: fc.boolean(),
  eafe: fc.constantFrom(false, false, true),
  ssee: fc.constantFrom(false, false, true),
  ssade: fc.constantFrom(false, true),
  snooped: fc.constantFrom(true, true, true, false),
  fs1gp: fc.boolean(),
  sslps: fc.constantFrom(3, 3, 0, 1, 2),
  sc: fc.boolean(),
  haw: fc.constantFrom(52, 40),
  mgaw: fc.constantFrom(57, 57, 48, 39, 31),
  need: fc.constantFrom(READ, WRITE, WRITE, READ | WRITE, EXEC, ANY_DATA, ANY_DATA | NO_WRITE, 0),
  priv: fc.constantFrom(false, false, true),
});

type Options = typeof options extends fc.Arbitrary<infer T> ? T : never;

const lo = (a: bigint): number => Number(a & 0xffffffffn) | 0;
const hi = (a: bigint): number => Number((a >> 32n) & 0xffffffffn) | 0;
const whole = (h: number, l: number): bigint => (BigInt(h >>> 0) << 32n) | BigInt(l >>> 0);
const letters = (p: number): string => (p & 1 ? 'r' : '') + (p & 2 ? 'w' : '') + (p & 4 ? 'x' : '');

/** Made once: a memory's directory costs more than a walk. */
const memories = [new Memory(SIZE), new Memory(SIZE)] as const;

function memoryOf(pages: readonly (readonly bigint[])[], which: 0 | 1 = 0): Memory {
  const memory = memories[which];
  for (const [n, p] of pages.entries())
    for (const [k, e] of p.entries()) memory.writeWord(Number(pageOf(n)) + INDICES[k]! * 8, e);
  return memory;
}

const stagesOf = (o: Options) => ({
  fs: firstStage({ baseHi: hi(pageOf(o.fsRoot)), baseLo: lo(pageOf(o.fsRoot)), levels: o.fsLevels, ...o }, o),
  ss: secondStage(
    { baseHi: hi(pageOf(o.ssRoot)), baseLo: lo(pageOf(o.ssRoot)), levels: o.ssLevels, ...o, exec: o.ssee, ad: o.ssade },
    o,
  ),
});

/** What the walker under test says, in the terms of the plain one. */
function engine(w: X86Walker, o: Options, a: bigint): Outcome {
  const { fs, ss } = stagesOf(o);
  w.reads = 0;
  const second = o.nesting === 'second';
  const r = second
    ? w.second(ss, hi(a), lo(a), o.need, FOR_INPUT, -1)
    : w.first(fs, o.nesting === 'nested' ? ss : null, hi(a), lo(a), o.need, o.priv);
  if (r !== OK) return { fault: r };
  return {
    out: whole(w.outHi, w.outLo),
    gpa: second ? a : whole(w.gpaHi, w.gpaLo),
    shift: w.leafShift,
    user: second ? 'rwx' : letters(w.perms),
    priv: second ? 'rwx' : letters(w.perms >> PRIV_SHIFT),
    ss: letters(w.perms >> SS_SHIFT),
    snp: (w.perms & SNOOP) !== 0,
    clean: (w.perms & (FS_CLEAN | SS_CLEAN)) !== 0,
  };
}

function plain(words: Map<bigint, bigint>, o: Options, a: bigint): { outcome: Outcome; reads: number } {
  const walker = new PlainWalker({ words, size: BigInt(SIZE), haw: o.haw, snooped: o.snooped });
  const ask: Ask = {
    r: (o.need & READ) !== 0,
    w: (o.need & WRITE) !== 0,
    x: (o.need & EXEC) !== 0,
    any: (o.need & ANY_DATA) !== 0,
    nw: (o.need & NO_WRITE) !== 0,
    priv: o.priv,
  };
  const f = o.nesting === 'second' ? null : { ...o, root: pageOf(o.fsRoot), levels: o.fsLevels };
  const s = o.nesting === 'first' ? null : { ...o, root: pageOf(o.ssRoot), levels: o.ssLevels };
  return { outcome: walker.walk(f, s, a, ask), reads: walker.reads };
}

const wordsOf = (m: Memory): Map<bigint, bigint> =>
  new Map(
    Array.from({ length: 8 }, (_, n) => n).flatMap((n) =>
      INDICES.map((k) => {
        const at = pageOf(n) + BigInt(k * 8);
        return [at, m.readWord(Number(at))] as [bigint, bigint];
      }),
    ),
  );

describe('the walk of VT-d tables', () => {
  it('agrees with the plain walker on any tables: result, fault, reads, and what it writes', {
    timeout: 60_000,
  }, () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(image, options, address, (pages, o, a) => {
        const memory = memoryOf(pages);
        const words = wordsOf(memory);
        const w = new X86Walker(memory);
        w.updates = true;
        const mine = engine(w, o, a);
        const other = plain(words, o, a);
        expect(mine).toEqual(other.outcome);
        expect(w.reads).toBe(other.reads);
        expect(wordsOf(memory)).toEqual(words);
        const key = 'fault' in mine ? mine.fault.toString(16) : o.nesting;
        seen.set(key, (seen.get(key) ?? 0) + 1);
      }),
      { numRuns: 20_000 },
    );
    // Every outcome has been met.
    const codes = [
      '70',
      '71',
      '72',
      '73',
      '74',
      '75',
      '76',
      '77',
      '78',
      '79',
      '7a',
      '7b',
      '7c',
      '80',
      '81',
      '82',
      '84',
      '85',
      '90',
    ];
    for (const k of [...codes, 'first', 'second', 'nested']) expect([k, seen.get(k) ?? 0]).not.toEqual([k, 0]);
  });

  it('gives the same by the short way and by the general one, which somebody sees', { timeout: 60_000 }, () => {
    let short = 0;
    fc.assert(
      fc.property(image, options, address, (pages, o, a) => {
        const nested = { ...o, nesting: 'nested', fsLevels: 4, ssLevels: 4, eafe: false, ssade: false } as const;
        const quiet = new X86Walker(memoryOf(pages, 0));
        quiet.updates = true;
        const seen = new X86Walker(memoryOf(pages, 1));
        seen.updates = true;
        let visits = 0;
        seen.visitor = () => {
          visits++;
        };
        const result = engine(quiet, nested, a);
        expect(result).toEqual(engine(seen, nested, a));
        expect(quiet.reads).toBe(seen.reads);
        expect(visits).toBe(seen.reads);
        if (!('fault' in result) && result.shift === 12) short++;
      }),
      { numRuns: 10_000 },
    );
    expect(short).toBeGreaterThan(100);
  });

  it('changes nothing when it only looks', () => {
    fc.assert(
      fc.property(image, options, address, (pages, o, a) => {
        const memory = memoryOf(pages);
        const before = memory.generation;
        engine(new X86Walker(memory), o, a);
        expect(memory.generation).toBe(before);
      }),
      { numRuns: 3000 },
    );
  });
});
