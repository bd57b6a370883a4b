import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memory } from '../../memory/index.ts';
import { cdSafe, cdUsed, entrySteps, steSafe, steUsed, writeEntry } from './entry.ts';

type Kind = 'ste' | 'cd';

/** Runs the writer; gives word 0 and the changed words at each sync, and the final entry. */
function change(kind: Kind, from: bigint[], to: bigint[]): { syncs: number[][]; word0: bigint[]; end: bigint[] } {
  const memory = new Memory(2 ** 20);
  from.forEach((w, i) => {
    memory.writeWord(0x1000 + i * 8, w);
  });
  const used = kind === 'ste' ? steUsed : cdUsed;
  const safe = kind === 'ste' ? steSafe(from, to) : cdSafe();
  const steps = entrySteps(from, to, used(from), used(to), safe);
  const syncs: number[][] = [];
  const word0: bigint[] = [];
  for (const changed of writeEntry(memory, 0x1000, steps)) {
    syncs.push(changed);
    word0.push(memory.readWord(0x1000));
  }
  return { syncs, word0, end: from.map((_, i) => memory.readWord(0x1000 + i * 8)) };
}

const pad = (...w: bigint[]): bigint[] => [...w, ...new Array<bigint>(8 - w.length).fill(0n)];

// Base values of arm-smmuv3.md 6.2.
const abort = pad(1n);
const bypass = pad(9n, 0x0000100000000000n);
const s1Ats = pad(0xf800f0f0f0f0f0ebn, 0x180000d6n);
const s1BypassAts = pad(0xf800f0f0f0f0f0ebn, 0x00001000180000d5n);
const s2Ats = pad(0xdn, 0x0000100010000000n, 0x0449b6c400000000n, 0x000dbeefdeadbee0n);
const s2NoAts = pad(0xdn, 0x0000100000000000n, 0x0449b6c400000000n, 0x000dbeefdeadbee0n);
const nestedBypassAts = pad(0xf800f0f0f0f0f0efn, 0x00001000180800d5n, 0x0449b6c400000000n, 0x000dbeefdeadbee0n);

describe('words changed at each sync (arm-smmuv3.md 6.2)', () => {
  it.each([
    ['bypass to abort', bypass, abort, [[0], [1]]],
    ['abort to bypass', abort, bypass, [[1], [0]]],
    ['S1 to abort', s1Ats, abort, [[0], [1]]],
    ['S1 to bypass', s1Ats, bypass, [[1], [0], [1]]],
    ['S1 to S1 with another S1DSS', s1Ats, s1BypassAts, [[1]]],
    ['S2 to abort', s2Ats, abort, [[0], [1, 2, 3]]],
    ['S1 to S2', s1Ats, s2Ats, [[1, 2, 3], [0], [1]]],
    ['S2 to S1', s2Ats, s1Ats, [[1], [0], [1, 2, 3]]],
    ['nested to S2', nestedBypassAts, s2NoAts, [[1], [0], [1]]],
    ['S2 to nested', s2NoAts, nestedBypassAts, [[1], [0]]],
  ] as const)('%s', (_name, from, to, expected) => {
    const r = change('ste', from, to);
    expect(r.syncs).toEqual(expected);
    expect(r.end).toEqual(to);
    expect(r.word0).not.toContain(0n);
  });

  it('S1 to S1 with another table and S1DSS goes through V=0', () => {
    const to = pad(0xf800004b4b4b4b6bn, 0x00001000180000d5n);
    const r = change('ste', s1Ats, to);
    expect(r.syncs).toEqual([[0], [1], [0]]);
    expect(r.word0[0]).toBe(0n);
  });
});

describe('sync counts between the forms met in nesting (arm-smmuv3.md 5.3)', () => {
  const s2 = pad(0xdn, 0x0000100000000000n, 0x044d359000000001n, 0x0000880040000000n);
  const ats = (e: bigint[]): bigint[] => e.map((w, i) => (i === 1 ? w | (1n << 28n) : w));
  const nested = pad(0x4810000fn, 0x00001000000800d6n, 0x044d359000000001n, 0x0000880040000000n);
  const otherPointer = nested.map((w, i) => (i === 0 ? 0x4910000fn : w));
  const otherDss = nested.map((w, i) => (i === 1 ? (w & ~3n) | 1n : w));
  const forms = { abort, s2, s2Ats: ats(s2), nested, nestedAts: ats(nested), otherPointer, otherDss };
  const columns = ['abort', 's2', 's2Ats', 'nested', 'nestedAts', 'otherPointer', 'otherDss'] as const;
  it.each([
    ['abort', [0, 2, 2, 2, 2, 2, 2]],
    ['s2', [2, 0, 1, 2, 2, 2, 2]],
    ['s2Ats', [2, 1, 0, 2, 2, 2, 2]],
    ['nested', [2, 3, 3, 0, 1, 1, 1]],
    ['nestedAts', [2, 3, 3, 1, 0, 2, 1]],
  ] as const)('from %s', (from, counts) => {
    const made = columns.map((to) => change('ste', forms[from], forms[to]));
    expect(made.map((r) => r.syncs.length)).toEqual(counts);
    for (const r of made) expect(r.word0).not.toContain(0n);
  });

  it('goes through V=0 where two used words differ', () => {
    const both = otherPointer.map((w, i) => (i === 1 ? (w & ~3n) | 1n : w));
    const otherVmid = s2.map((w, i) => (i === 2 ? w + 1n : w));
    const otherParent = otherVmid.map((w, i) => (i === 3 ? w + 0x1000n : w));
    expect(change('ste', nested, both)).toMatchObject({ syncs: [[0], [1], [0]], word0: [0n, 0n, both[0]] });
    expect(change('ste', s2, otherParent).syncs).toHaveLength(3);
    expect(change('ste', s2, otherParent).word0[0]).toBe(0n);
  });
});

describe('whatever the entries', () => {
  const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  /** Only bits that the form uses, as every form that Linux writes. */
  const entry = (used: (e: bigint[]) => bigint[]): fc.Arbitrary<bigint[]> =>
    fc.array(word, { minLength: 8, maxLength: 8 }).map((e) => {
      const u = used(e);
      return e.map((w, i) => w & u[i]!);
    });

  it.each(['ste', 'cd'] as const)('%s: ends in the target and hardware never sees a third configuration', (kind) => {
    const used = kind === 'ste' ? steUsed : cdUsed;
    fc.assert(
      fc.property(entry(used), entry(used), (from, to) => {
        const safe = kind === 'ste' ? steSafe(from, to) : cdSafe();
        const memory = new Memory(2 ** 16);
        from.forEach((w, i) => {
          memory.writeWord(i * 8, w);
        });
        const bare = (e: bigint[]): string => e.map((w, i) => (w & used(e)[i]! & ~safe[i]!).toString(16)).join();
        let breaks = 0;
        for (const _ of writeEntry(memory, 0, entrySteps(from, to, used(from), used(to), safe))) {
          const now = from.map((_w, i) => memory.readWord(i * 8));
          const valid = kind === 'ste' ? now[0]! & 1n : now[0]! & (1n << 31n);
          if (valid) expect([bare(from), bare(to)]).toContain(bare(now));
          else breaks++;
        }
        expect(from.map((_w, i) => memory.readWord(i * 8))).toEqual(to);
        expect(breaks).toBeLessThanOrEqual(2);
      }),
      { numRuns: 300 },
    );
  });
});
