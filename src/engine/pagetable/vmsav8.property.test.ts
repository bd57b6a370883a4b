import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory } from '../memory/index.ts';
import {
  ACCESS,
  ADDR_SIZE,
  EABT,
  EXEC,
  FOR_INPUT,
  FOR_TABLE,
  OK,
  PERMISSION,
  READ,
  type StageConfig,
  stageConfig,
  TRANSLATION,
  Vmsav8Walker,
  WRITE,
} from './vmsav8.ts';

/**
 * A second walker, written straight from the descriptor tables of Arm DDI 0487 D8.3 with bigints and plain objects, for
 * the 4 KiB granule. It shares nothing with the walker under test but the tables in memory.
 */
interface Stage {
  readonly base: bigint;
  readonly start: number;
  readonly inputBits: number;
  readonly outputBits: number;
  readonly affd: boolean;
  readonly ptw: boolean;
}

interface Outcome {
  readonly fault: number;
  readonly stage: number;
  readonly purpose: number;
  readonly address: bigint;
  readonly out: bigint;
  readonly reads: number;
}

class PlainWalker {
  reads = 0;
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  private fetch(pa: bigint): bigint | null {
    if (pa + 8n > BigInt(this.memory.size)) return null;
    this.reads++;
    return this.memory.readWord(Number(pa));
  }

  private end(fault: number, stage: number, purpose: number, address: bigint, out = 0n): Outcome {
    return {
      fault,
      stage,
      purpose,
      address: fault === OK || (stage === 1 && fault !== EABT) ? 0n : address,
      out,
      reads: this.reads,
    };
  }

  second(s: Stage, ipa: bigint, need: number, purpose: number): Outcome {
    const fail = (f: number, at = ipa): Outcome => this.end(f, 2, purpose, at);
    if (ipa >> BigInt(s.inputBits) !== 0n) return fail(TRANSLATION);
    let table = s.base;
    for (let level = s.start; ; level++) {
      const shift = BigInt(12 + 9 * (3 - level));
      // The first table takes all the remaining bits: up to sixteen tables may lie side by side.
      const index = level === s.start ? ipa >> shift : (ipa >> shift) & 511n;
      const d = this.fetch(table + index * 8n);
      if (d === null) return fail(EABT, table + index * 8n);
      if ((d & 1n) === 0n || (level === 3 && (d & 2n) === 0n) || (level === 0 && (d & 2n) === 0n))
        return fail(TRANSLATION);
      const address = d & 0xfffffffff000n;
      if (address >> BigInt(s.outputBits) !== 0n) return fail(ADDR_SIZE);
      if (level < 3 && (d & 2n) !== 0n) {
        table = address;
        continue;
      }
      if ((d & (1n << 10n)) === 0n && !s.affd) return fail(ACCESS);
      const mask = (1n << shift) - 1n;
      const readable = (d & (1n << 6n)) !== 0n;
      const writable = (d & (1n << 7n)) !== 0n;
      const executable = (d & (1n << 54n)) === 0n;
      if ((need & READ && !readable) || (need & WRITE && !writable) || (need & EXEC && !executable))
        return fail(PERMISSION);
      const device = (d & 0x30n) === 0n;
      if (purpose !== FOR_INPUT && s.ptw && device) return fail(PERMISSION);
      return this.end(OK, 0, purpose, 0n, (address & ~mask) | (ipa & mask));
    }
  }

  first(s1: Stage, s2: Stage | null, va: bigint, need: number, priv: boolean): Outcome {
    let table = s1.base;
    let readOnlyBelow = false;
    let noUnprivBelow = false;
    let uxnBelow = false;
    let pxnBelow = false;
    for (let level = s1.start; ; level++) {
      const shift = BigInt(12 + 9 * (3 - level));
      const entries = level === s1.start ? (1n << BigInt(s1.inputBits - 12 - 9 * (3 - level))) - 1n : 511n;
      let at = table + ((va >> shift) & entries) * 8n;
      if (s2) {
        const r = this.second(s2, at, READ, FOR_TABLE);
        if (r.fault !== OK) return r;
        at = r.out;
      }
      const d = this.fetch(at);
      if (d === null) return this.end(EABT, 1, FOR_TABLE, at);
      const fail = (f: number): Outcome => this.end(f, 1, FOR_INPUT, 0n);
      if ((d & 1n) === 0n || (level === 3 && (d & 2n) === 0n) || (level === 0 && (d & 2n) === 0n))
        return fail(TRANSLATION);
      const address = d & 0xfffffffff000n;
      if (address >> BigInt(s1.outputBits) !== 0n) return fail(ADDR_SIZE);
      if (level < 3 && (d & 2n) !== 0n) {
        readOnlyBelow ||= (d & (1n << 62n)) !== 0n;
        noUnprivBelow ||= (d & (1n << 61n)) !== 0n;
        uxnBelow ||= (d & (1n << 60n)) !== 0n;
        pxnBelow ||= (d & (1n << 59n)) !== 0n;
        table = address;
        continue;
      }
      if ((d & (1n << 10n)) === 0n && !s1.affd) return fail(ACCESS);
      const unpriv = (d & (1n << 6n)) !== 0n && !noUnprivBelow;
      const writable = (d & (1n << 7n)) === 0n && !readOnlyBelow;
      const unprivWrites = (d & (1n << 6n)) !== 0n && (d & (1n << 7n)) === 0n;
      const executable = priv
        ? (d & (1n << 53n)) === 0n && !pxnBelow && !unprivWrites
        : (d & (1n << 54n)) === 0n && !uxnBelow;
      const readable = priv || unpriv;
      if ((need & READ && !readable) || (need & WRITE && !(readable && writable)) || (need & EXEC && !executable))
        return fail(PERMISSION);
      const mask = (1n << shift) - 1n;
      const ipa = (address & ~mask) | (va & mask);
      if (!s2) return this.end(OK, 0, FOR_INPUT, 0n, ipa);
      return this.second(s2, ipa, need, FOR_INPUT);
    }
  }
}

const config = (s: Stage): StageConfig =>
  stageConfig({
    baseHi: Number(s.base >> 32n),
    baseLo: Number(s.base & 0xffffffffn) | 0,
    granule: 12,
    startLevel: s.start,
    inputBits: s.inputBits,
    outputBits: s.outputBits,
    affd: s.affd,
    had: false,
    wxn: false,
    ptw: s.ptw,
  });

/** A few pages that point at one another, so that random walks go deep. */
const PAGES = 8;
const FIRST = 0x40000;
const pagesAt = (base: bigint) => fc.nat({ max: PAGES - 1 }).map((n) => base + BigInt(n * 4096));

const descriptor = (base: bigint): fc.Arbitrary<bigint> =>
  fc.oneof(
    { weight: 8, arbitrary: pagesAt(base).map((a) => a | 3n) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(pagesAt(base), fc.constantFrom(0xf47n, 0x7ffn, 0xfc7n, 0x77fn, 0x7bfn, 0x6c7n, 0x407n, 0x347n, 0xf07n))
        .map(([a, low]) => a | low),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(0x0n, 0x40000f45n, 0x400007fdn, 0x40200f41n, 0xffff_ffff_f003n, 0x1_0000_0007_ff00n),
    },
    { weight: 2, arbitrary: fc.tuple(pagesAt(base), fc.nat({ max: 31 })).map(([a, n]) => a | 3n | (BigInt(n) << 58n)) },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
  );

/** Indices that are read: few, so that most walks find what was put there. */
const indices = [0, 1, 511];
const image = (base: bigint): fc.Arbitrary<bigint[][]> =>
  fc.array(fc.array(descriptor(base), { minLength: indices.length, maxLength: indices.length }), {
    minLength: PAGES,
    maxLength: PAGES,
  });

const address = (bits: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...indices), { minLength: 4, maxLength: 4 }),
      fc.nat({ max: 4095 }),
      fc.integer({ min: 0, max: 15 }),
    )
    .map(([idx, low, high]) => {
      const a = idx.reduce((n, i) => (n << 9n) | BigInt(i), 0n);
      return ((a << 12n) | BigInt(low) | (high === 0 ? 1n << BigInt(Math.min(bits, 47)) : 0n)) & ((1n << 48n) - 1n);
    });

const stage = (root: bigint, second: boolean): fc.Arbitrary<Stage> =>
  fc
    .record({
      base: fc.constant(root),
      start: fc.constantFrom(0, 0, 0, 1),
      affd: fc.boolean(),
      ptw: fc.boolean(),
      outputBits: fc.constantFrom(48, 48, 44, 32),
      wide: fc.nat({ max: 4 }),
    })
    .map(({ start, wide, ...s }) => ({
      ...s,
      start,
      inputBits: start === 0 ? 48 - wide : second ? 39 + wide : 39 - wide,
    }));

const halves = (a: bigint): [number, number] => [Number((a >> 32n) & 0xffffffffn) | 0, Number(a & 0xffffffffn) | 0];

function outcomeOf(w: Vmsav8Walker, r: number): Outcome {
  const out = (BigInt(w.outHi >>> 0) << 32n) | BigInt(w.outLo >>> 0);
  const at = (BigInt(w.faultHi >>> 0) << 32n) | BigInt(w.faultLo >>> 0);
  return {
    fault: r,
    stage: r === OK ? 0 : w.faultStage,
    purpose: r === OK ? FOR_INPUT : w.faultFor,
    address: r === OK || (w.faultStage === 1 && r !== EABT) ? 0n : at,
    out: r === OK ? out : 0n,
    reads: w.reads,
  };
}

const needs = fc.constantFrom(0, READ, WRITE, READ | WRITE, READ | EXEC);

describe('the hardware walker against a plain one', () => {
  const memoryOf = (base: bigint, pages: bigint[][]): Memory => {
    const memory = new Memory(0x4800_0000);
    pages.forEach((words, p) => {
      words.forEach((w, k) => {
        memory.writeWord(Number(base) + p * 4096 + indices[k]! * 8, w);
      });
    });
    return memory;
  };
  const base = BigInt(FIRST);

  /** Stage 2 that maps the pages of the image, mostly whole, onto pages of the image. */
  const second = fc.record({
    leaves: fc.array(
      fc
        .tuple(pagesAt(base), fc.constantFrom(0x7ffn, 0x7ffn, 0x7ffn, 0x7ffn, 0x77fn, 0x7bfn, 0x6c7n, 0x3ffn, 0x0n))
        .map(([a, low]) => a | low),
      { minLength: PAGES, maxLength: PAGES },
    ),
    broken: fc.option(fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(0x0n, 0x1n, 0xffff_ffff_f003n, 0x83003n)), {
      freq: 4,
    }),
    ptw: fc.boolean(),
    affd: fc.boolean(),
    outputBits: fc.constantFrom(48, 44, 32),
  });
  const putSecond = (memory: Memory, s: { leaves: bigint[]; broken: [number, bigint] | null }): bigint => {
    const root = 0x80000;
    for (const [i, next] of [0x81003n, 0x82003n, 0x83003n].entries()) memory.writeWord(root + i * 4096, next);
    if (s.broken) memory.writeWord(root + s.broken[0] * 4096, s.broken[1]);
    s.leaves.forEach((d, k) => {
      memory.writeWord(0x83000 + (FIRST / 4096 + k) * 8, d);
    });
    return BigInt(root);
  };

  for (const visited of [false, true])
    it(`nested, ${visited ? 'with' : 'without'} a listener`, () => {
      let deep = 0;
      fc.assert(
        fc.property(
          image(base),
          stage(base, false),
          second,
          address(48),
          needs,
          fc.boolean(),
          (pages, s1, lower, va, need, priv) => {
            const memory = memoryOf(base, pages);
            const s2: Stage = { ...lower, base: putSecond(memory, lower), start: 0, inputBits: 48 };
            const input = va & ((1n << BigInt(s1.inputBits)) - 1n);
            const plain = new PlainWalker(memory).first(s1, s2, input, need, priv);
            const w = new Vmsav8Walker(memory);
            let seen = 0;
            if (visited) w.visitor = () => seen++;
            const r = w.stage1(config(s1), config(s2), ...halves(input), need, priv);
            expect(outcomeOf(w, r)).toEqual(plain);
            if (visited) expect(seen).toBe(plain.reads);
            if (plain.reads >= 10) deep++;
          },
        ),
        { numRuns: 4000 },
      );
      expect(deep).toBeGreaterThan(100);
    });

  it('stage 1 alone and stage 2 alone', () => {
    fc.assert(
      fc.property(
        image(base),
        stage(base, false),
        stage(base, true),
        address(48),
        needs,
        fc.boolean(),
        (pages, s1, s2, va, need, priv) => {
          const memory = memoryOf(base, pages);
          const input = va & ((1n << BigInt(s1.inputBits)) - 1n);
          const one = new Vmsav8Walker(memory);
          expect(outcomeOf(one, one.stage1(config(s1), null, ...halves(input), need, priv))).toEqual(
            new PlainWalker(memory).first(s1, null, input, need, priv),
          );
          const two = new Vmsav8Walker(memory);
          expect(outcomeOf(two, two.stage2(config(s2), ...halves(va), need, FOR_INPUT, -1))).toEqual(
            new PlainWalker(memory).second(s2, va, need, FOR_INPUT),
          );
        },
      ),
      { numRuns: 4000 },
    );
  });
});

describe('the common case has a path of its own', () => {
  it('gives what the general path gives, permissions included', () => {
    const s = (root: bigint): Stage => ({
      base: root,
      start: 0,
      inputBits: 48,
      outputBits: 48,
      affd: false,
      ptw: true,
    });
    let fast = 0;
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0xf47n, 0xfc7n, 0xf07n, 0x747n, 0xb47n, 0x40_0000_0000_0f47n), {
          minLength: 4,
          maxLength: 4,
        }),
        fc.array(fc.constantFrom(0x7ffn, 0x77fn, 0x7bfn, 0x7c7n, 0x40_0000_0000_07ffn), { minLength: 4, maxLength: 4 }),
        needs,
        fc.boolean(),
        fc.nat({ max: 3 }),
        (leaf1, leaf2, need, priv, page) => {
          const memory = new Memory(0x4800_0000);
          // Stage 2 maps IPA 0x4000_0000 + n pages to 0x20_0000 + n pages; stage 1 maps VA 0x1000 + n pages to data pages.
          const put = (at: number, w: bigint): void => memory.writeWord(at, w);
          put(0x10000, 0x11003n);
          put(0x11000 + 8, 0x12003n);
          put(0x12000, 0x13003n);
          for (let n = 0; n < 8; n++)
            put(0x13000 + n * 8, BigInt(0x200000 + n * 4096) | (n < 4 ? 0x7ffn : leaf2[n - 4]!));
          put(0x200000, 0x40001003n);
          put(0x201000, 0x40002003n);
          put(0x202000, 0x40003003n);
          for (let n = 0; n < 4; n++) put(0x203000 + 8 + n * 8, BigInt(0x40004000 + n * 4096) | leaf1[n]!);
          const va = 0x1000n + BigInt(page * 4096) + 0x123n;
          const quick = new Vmsav8Walker(memory);
          const slow = new Vmsav8Walker(memory);
          slow.visitor = () => {};
          const args = [config(s(0x40000000n)), config(s(0x10000n)), ...halves(va), need, priv] as const;
          const a = outcomeOf(quick, quick.stage1(...args));
          const b = outcomeOf(slow, slow.stage1(...args));
          expect(a).toEqual(b);
          expect(a).toEqual(new PlainWalker(memory).first(s(0x40000000n), s(0x10000n), va, need, priv));
          if (a.fault !== OK) return;
          fast++;
          expect([quick.perms, quick.leafShift, quick.s1Shift, quick.level, quick.ipaLo, quick.ipaHi]).toEqual([
            slow.perms,
            slow.leafShift,
            slow.s1Shift,
            slow.level,
            slow.ipaLo,
            slow.ipaHi,
          ]);
        },
      ),
      { numRuns: 1000 },
    );
    expect(fast).toBeGreaterThan(100);
  });
});
