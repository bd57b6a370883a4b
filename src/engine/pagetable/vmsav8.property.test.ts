import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory } from '../memory/index.ts';
import { type Outcome, PlainWalker, type Stage } from './plain-walker.ts';
import {
  ANY_DATA,
  EABT,
  EXEC,
  FOR_INPUT,
  OK,
  PERMISSION,
  READ,
  type StageConfig,
  stage2Need,
  stageConfig,
  Vmsav8Walker,
  WRITE,
} from './vmsav8.ts';

/** The walker against a second one, plain-walker.ts, which shares nothing with it but the tables in memory. */

const config = (s: Stage): StageConfig =>
  stageConfig({
    baseHi: Number(s.base >> 32n),
    baseLo: Number(s.base & 0xffffffffn) | 0,
    granule: s.granule,
    startLevel: s.start,
    inputBits: s.inputBits,
    outputBits: s.outputBits,
    affd: s.affd,
    had: s.had,
    wxn: s.wxn,
    pan: s.pan,
    single: s.single,
    ptw: s.ptw,
    xnx: s.xnx,
    ha: s.ha,
    hd: s.hd,
    lpa: s.lpa,
  });

/** A few pages that point at one another, so that random walks go deep. They lie granule by granule. */
const PAGES = 8;
const FIRST = 0x400000;
const pageAt = (granule: number, n: number): bigint => BigInt(FIRST + n * 2 ** granule);
const pagesAt = (granule: number) => fc.nat({ max: PAGES - 1 }).map((n) => pageAt(granule, n));

const descriptor = (granule: number): fc.Arbitrary<bigint> =>
  fc.oneof(
    { weight: 8, arbitrary: pagesAt(granule).map((a) => a | 3n) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(
          pagesAt(granule),
          fc.constantFrom(0xf47n, 0x7ffn, 0xfc7n, 0x77fn, 0x7bfn, 0x6c7n, 0x407n, 0x347n, 0xf07n, 0xbc7n, 0x37fn),
          fc.constantFrom(0n, 0n, 1n, 2n, 3n),
          fc.boolean(),
        )
        .map(([a, low, xn, dbm]) => a | low | (xn << 53n) | (dbm ? 1n << 51n : 0n)),
    },
    {
      weight: 2,
      arbitrary: fc.constantFrom(0x0n, 0x40000f45n, 0x400007fdn, 0x40200f41n, 0xffff_ffff_f003n, 0x1_0000_0007_ff00n),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(pagesAt(granule), fc.nat({ max: 31 })).map(([a, n]) => a | 3n | (BigInt(n) << 58n)),
    },
    { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }) },
  );

/** Indices that are read: few, so that most walks find what was put there. */
const indicesOf = (granule: number): number[] => [0, 1, 2 ** (granule - 3) - 1];
const image = (granule: number): fc.Arbitrary<bigint[][]> =>
  fc.array(fc.array(descriptor(granule), { minLength: 3, maxLength: 3 }), { minLength: PAGES, maxLength: PAGES });

/** Addresses whose indices are among those, now and then with a bit beyond the input size. */
const address = (granule: number) =>
  fc
    .tuple(
      fc.array(fc.constantFrom(...indicesOf(granule)), { minLength: 4, maxLength: 4 }),
      fc.nat({ max: 2 ** granule - 1 }),
      fc.integer({ min: 0, max: 15 }),
    )
    .map(([idx, low, high]) => {
      const a = idx.reduce((n, i) => (n << BigInt(granule - 3)) | BigInt(i), 0n);
      return ((a << BigInt(granule)) | BigInt(low) | (high === 0 ? 1n << 47n : 0n)) & ((1n << 48n) - 1n);
    });

const stage = (granule: number, second: boolean): fc.Arbitrary<Stage> =>
  fc
    .record({
      start: fc.constantFrom(0, 0, 1, 2),
      firstBits: fc.nat({ max: 15 }),
      affd: fc.boolean(),
      ptw: fc.boolean(),
      had: fc.constantFrom(false, false, true),
      wxn: fc.constantFrom(false, false, true),
      pan: fc.constantFrom(false, false, true),
      single: fc.constantFrom(false, false, false, true),
      xnx: fc.boolean(),
      ha: fc.constantFrom(false, true, true),
      hd: fc.boolean(),
      lpa: fc.boolean(),
      outputBits: fc.constantFrom(48, 48, 44, 32),
    })
    .map(({ start, firstBits, ...s }) => {
      const stride = granule - 3;
      // 64 KiB tables never begin at level 0.
      const first = granule === 16 && start === 0 ? 1 : start;
      const below = granule + (3 - first) * stride;
      const most = Math.min(second ? stride + 4 : stride, 48 - below);
      // A limit of 52 bits takes part now and then.
      const outputBits = s.lpa && granule === 16 && s.outputBits === 44 ? 52 : s.outputBits;
      return {
        ...s,
        outputBits,
        granule,
        base: BigInt(FIRST),
        start: first,
        inputBits: below + 1 + (firstBits % most),
      };
    });

const halves = (a: bigint): [number, number] => [Number((a >> 32n) & 0xffffffffn) | 0, Number(a & 0xffffffffn) | 0];

function outcomeOf(w: Vmsav8Walker, r: number, writes: Outcome['writes'] = []): Outcome {
  const out = (BigInt(w.outHi >>> 0) << 32n) | BigInt(w.outLo >>> 0);
  const at = (BigInt(w.faultHi >>> 0) << 32n) | BigInt(w.faultLo >>> 0);
  return {
    fault: r,
    stage: r === OK ? 0 : w.faultStage,
    purpose: r === OK ? FOR_INPUT : w.faultFor,
    address: r === OK || (w.faultStage === 1 && r !== EABT) ? 0n : at,
    out: r === OK ? out : 0n,
    reads: w.reads,
    writes,
  };
}

/** A walker that may change descriptors, and what it changed. */
function updating(memory: Memory): { w: Vmsav8Walker; writes: [bigint, bigint][] } {
  const w = new Vmsav8Walker(memory);
  const writes: [bigint, bigint][] = [];
  const whole = (hi: number, lo: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  w.updates = true;
  w.updated = (_s, _l, hi, lo, valueHi, valueLo) => writes.push([whole(hi, lo), whole(valueHi, valueLo)]);
  return { w, writes };
}

const needs = fc.constantFrom(0, READ, WRITE, READ | WRITE, EXEC, READ | EXEC);

/** A stage of 4 KiB tables, 48 bits; `hardware`: with access flag and dirty state of hardware. */
const fourLevels = (base: bigint, hardware = false): Stage => ({
  granule: 12,
  base,
  start: 0,
  inputBits: 48,
  outputBits: 48,
  affd: false,
  ptw: true,
  had: false,
  wxn: false,
  pan: false,
  single: false,
  xnx: true,
  ha: hardware,
  hd: hardware,
  lpa: false,
});

describe('the hardware walker against a plain one', () => {
  const memoryOf = (granule: number, pages: bigint[][]): Memory => {
    const memory = new Memory(0x4800_0000);
    const indices = indicesOf(granule);
    pages.forEach((words, p) => {
      words.forEach((w, k) => {
        memory.writeWord(Number(pageAt(granule, p)) + indices[k]! * 8, w);
      });
    });
    return memory;
  };

  /** Stage 2 of 4 KiB pages that maps the pages of the image, mostly whole, onto pages of the image. */
  const second = fc.record({
    to: fc.array(fc.nat({ max: PAGES - 1 }), { minLength: PAGES, maxLength: PAGES }),
    low: fc.array(fc.constantFrom(0x7ffn, 0x7ffn, 0x7ffn, 0x7ffn, 0x77fn, 0x7bfn, 0x6c7n, 0x3ffn, 0x0n), {
      minLength: PAGES,
      maxLength: PAGES,
    }),
    xn: fc.constantFrom(0n, 0n, 1n, 2n, 3n),
    broken: fc.option(fc.tuple(fc.nat({ max: 2 }), fc.constantFrom(0x0n, 0x1n, 0xffff_ffff_f003n, 0x83003n)), {
      freq: 4,
    }),
    ptw: fc.boolean(),
    affd: fc.boolean(),
    xnx: fc.boolean(),
    ha: fc.boolean(),
    hd: fc.boolean(),
    dbm: fc.boolean(),
    outputBits: fc.constantFrom(48, 44, 32),
  });
  type Second = typeof second extends fc.Arbitrary<infer T> ? T : never;
  const putSecond = (memory: Memory, granule: number, s: Second): bigint => {
    const root = 0x80000;
    for (const [i, next] of [0x81003n, 0x82003n].entries()) memory.writeWord(root + i * 4096, next);
    // The image may be larger than one level-3 table.
    for (let n = 0; n < 8; n++) memory.writeWord(0x82000 + n * 8, BigInt(0x83000 + n * 4096) | 3n);
    if (s.broken)
      memory.writeWord(root + s.broken[0] * 4096 + (s.broken[0] === 2 ? (FIRST >> 21) * 8 : 0), s.broken[1]);
    for (let p = 0; p < PAGES; p++)
      for (let n = 0; n < 2 ** (granule - 12); n++) {
        const from = Number(pageAt(granule, p)) / 4096 + n;
        const leaf = pageAt(granule, s.to[p]!) + BigInt(n * 4096);
        memory.writeWord(
          0x83000 + from * 8,
          leaf | s.low[p]! | (s.low[p] === 0n ? 0n : (s.xn << 53n) | (s.dbm ? 1n << 51n : 0n)),
        );
      }
    return BigInt(root);
  };

  for (const granule of [12, 14, 16])
    for (const visited of [false, true])
      it(`nested, granule 2^${granule}, ${visited ? 'with' : 'without'} a listener`, { timeout: 30_000 }, () => {
        let deep = 0;
        let good = 0;
        let changed = 0;
        fc.assert(
          fc.property(
            image(granule),
            stage(granule, false),
            second,
            address(granule),
            needs,
            fc.boolean(),
            (pages, s1, lower, va, need, priv) => {
              const memory = memoryOf(granule, pages);
              const root = putSecond(memory, granule, lower);
              const s2: Stage = { ...s1, ...lower, granule: 12, base: root, start: 0, inputBits: 48, lpa: false };
              const input = va & ((1n << BigInt(s1.inputBits)) - 1n);
              const walker = new PlainWalker(memory);
              const plain = walker.first(s1, s2, input, need, priv);
              walker.undo();
              const { w, writes } = updating(memory);
              let seen = 0;
              if (visited) w.visitor = () => seen++;
              const r = w.stage1(config(s1), config(s2), ...halves(input), need, priv);
              expect(outcomeOf(w, r, writes)).toEqual(plain);
              for (const [at, word] of writes) expect(memory.readWord(Number(at))).toBe(word);
              if (writes.length > 0) changed++;
              if (visited) expect(seen).toBe(plain.reads);
              if (plain.reads >= 10) deep++;
              if (plain.fault === OK) good++;
            },
          ),
          { numRuns: granule === 12 ? 1500 : 800 },
        );
        expect(deep).toBeGreaterThan(20);
        expect(changed).toBeGreaterThan(5);
        expect(good).toBeGreaterThan(2);
      });

  for (const granule of [12, 14, 16])
    it(`stage 1 alone and stage 2 alone, granule 2^${granule}`, { timeout: 30_000 }, () => {
      let good = 0;
      fc.assert(
        fc.property(
          image(granule),
          stage(granule, false),
          stage(granule, true),
          address(granule),
          needs,
          fc.boolean(),
          (pages, s1, s2, va, need, priv) => {
            const input = va & ((1n << BigInt(s1.inputBits)) - 1n);
            const memory = memoryOf(granule, pages);
            const plainly = (walk: (w: PlainWalker) => Outcome): Outcome => {
              const w = new PlainWalker(memory);
              const outcome = walk(w);
              w.undo();
              return outcome;
            };
            const plain = plainly((w) => w.first(s1, null, input, need, priv));
            const second = plainly((w) => w.second(s2, va, need, FOR_INPUT, priv));
            const two = updating(memory);
            const r2 = two.w.stage2(config(s2), ...halves(va), stage2Need(need, priv), FOR_INPUT, -1);
            expect(outcomeOf(two.w, r2, two.writes)).toEqual(second);
            const one = updating(two.writes.length === 0 ? memory : memoryOf(granule, pages));
            const r1 = one.w.stage1(config(s1), null, ...halves(input), need, priv);
            expect(outcomeOf(one.w, r1, one.writes)).toEqual(plain);
            if (plain.fault === OK) good++;
          },
        ),
        { numRuns: granule === 12 ? 1500 : 800 },
      );
      expect(good).toBeGreaterThan(30);
    });

  it('a translation request for a page without data access stops before stage 2', () => {
    const memory = new Memory(0x4800_0000);
    const page = (n: number): bigint => BigInt(0x10000 + n * 4096);
    for (let n = 0; n < 3; n++) memory.writeWord(Number(page(n)), page(n + 1) | 3n);
    const s = fourLevels(page(0));
    // Privileged only: nothing for an unprivileged request.
    memory.writeWord(Number(page(3)), page(9) | 0xf07n);
    const w = new Vmsav8Walker(memory);
    expect(w.stage1(config(s), null, 0, 0, ANY_DATA, false)).toBe(PERMISSION);
    expect(w.stage1(config(s), null, 0, 0, ANY_DATA, true)).toBe(OK);
    memory.writeWord(Number(page(3)), page(9) | 0xfc7n);
    expect(w.stage1(config(s), null, 0, 0, ANY_DATA, false)).toBe(OK);
  });
});

describe('the common case has a path of its own', () => {
  it('gives what the general path gives, permissions included', { timeout: 30_000 }, () => {
    let fast = 0;
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0xf47n, 0xfc7n, 0xf07n, 0x747n, 0xb47n, 0x40_0000_0000_0f47n, 0x8_0000_0000_0fc7n), {
          minLength: 4,
          maxLength: 4,
        }),
        fc.array(
          fc.constantFrom(
            0x7ffn,
            0x77fn,
            0x7bfn,
            0x7c7n,
            0x20_0000_0000_07ffn,
            0x40_0000_0000_07ffn,
            0x8_0000_0000_077fn,
          ),
          {
            minLength: 4,
            maxLength: 4,
          },
        ),
        needs,
        fc.boolean(),
        fc.nat({ max: 3 }),
        fc.boolean(),
        fc.boolean(),
        (leaf1, leaf2, need, priv, page, hardware1, hardware2) => {
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
          const args = [
            config(fourLevels(0x40000000n, hardware1)),
            config(fourLevels(0x10000n, hardware2)),
            ...halves(va),
            need,
            priv,
          ] as const;
          const { w: quick, writes: written } = updating(memory);
          const a = outcomeOf(quick, quick.stage1(...args), written);
          for (const [at, word] of written) expect(memory.readWord(Number(at))).toBe(word);
          if (written.length > 0) return;
          const slow = updating(memory).w;
          slow.visitor = () => {};
          const b = outcomeOf(slow, slow.stage1(...args));
          expect(a).toEqual(b);
          const plain = new PlainWalker(memory);
          expect(a).toEqual(
            plain.first(fourLevels(0x40000000n, hardware1), fourLevels(0x10000n, hardware2), va, need, priv),
          );
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
