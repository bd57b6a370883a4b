import { describe, expect, it } from 'vitest';
import { descriptor, GranuleMachine, levelBits, PS, rootBytes, type Tables, TG0, TG1 } from './granule-machine.ts';

/**
 * Linux's stage 2 for each granule and size: reference numbers of io-pgtable-arm.c, not computed here: granule, bits, T0SZ,
 * start level, SL0, entries of the first table, tables concatenated, levels walked.
 */
const stage2Rows = [
  [12, 32, 32, 1, 1, 4, 1, 3],
  [12, 36, 28, 1, 1, 64, 1, 3],
  [12, 40, 24, 1, 1, 1024, 2, 3],
  [12, 42, 22, 1, 1, 4096, 8, 3],
  [12, 44, 20, 0, 2, 32, 1, 4],
  [12, 48, 16, 0, 2, 512, 1, 4],
  [14, 32, 32, 2, 1, 128, 1, 2],
  [14, 36, 28, 2, 1, 2048, 1, 2],
  [14, 40, 24, 2, 1, 32768, 16, 2],
  [14, 42, 22, 1, 2, 64, 1, 3],
  [14, 44, 20, 1, 2, 256, 1, 3],
  [14, 48, 16, 1, 2, 4096, 2, 3],
  [16, 32, 32, 2, 1, 8, 1, 2],
  [16, 36, 28, 2, 1, 128, 1, 2],
  [16, 40, 24, 2, 1, 2048, 1, 2],
  [16, 42, 22, 2, 1, 8192, 1, 2],
  [16, 44, 20, 1, 2, 4, 1, 3],
  [16, 48, 16, 1, 2, 64, 1, 3],
  [16, 52, 12, 1, 2, 1024, 1, 3],
] as const;

describe('stage 2 in every size that Linux makes', () => {
  for (const [granule, bits, S2T0SZ, start, S2SL0, entries, concatenated, levels] of stage2Rows)
    it(`granule 2^${granule}, ${bits} bits`, () => {
      const s2: Tables = { granule, start, bits };
      const m = new GranuleMachine({ s2, ste: { Config: 6, S2T0SZ, S2SL0, S2PS: PS[bits]! } });
      const full = 1 << (granule - 3);
      expect(rootBytes(s2) / 8n).toBe(BigInt(Math.max(entries, 8)));
      expect(Math.max(1, entries / full)).toBe(concatenated);
      const top = (1n << BigInt(bits)) - 1n;
      // The first and the last byte of the input range, and one behind each of the concatenated tables' borders.
      const inputs = [
        0n,
        top,
        ...Array.from({ length: concatenated }, (_, k) => (top / BigInt(concatenated)) * BigInt(k)),
      ];
      for (const ipa of inputs) {
        const pa = m.pa(ipa);
        const r = m.access(ipa);
        expect([r.ok, r.pa]).toEqual([true, Number(pa)]);
      }
      const cold = new GranuleMachine({ s2, ste: { Config: 6, S2T0SZ, S2SL0, S2PS: PS[bits]! } });
      cold.pa(top);
      expect(cold.access(top).reads).toBe(1 + levels);
      if (bits < 52)
        expect(m.access(top + 1n).fault).toMatchObject({ name: 'F_TRANSLATION', fields: { S2: 1n, CLASS: 2n } });
    });
});

/** Stage 1 without concatenation: granule, T0SZ, start level, levels. T0SZ 12 only with 64 KiB and VAX. */
const stage1Rows = [
  [12, 16, 0, 4],
  [12, 24, 0, 4],
  [12, 25, 1, 3],
  [12, 33, 1, 3],
  [12, 34, 2, 2],
  [12, 39, 2, 2],
  [14, 16, 0, 4],
  [14, 17, 1, 3],
  [14, 27, 1, 3],
  [14, 28, 2, 2],
  [14, 38, 2, 2],
  [14, 39, 3, 1],
  [16, 12, 1, 3],
  [16, 16, 1, 3],
  [16, 21, 1, 3],
  [16, 22, 2, 2],
  [16, 34, 2, 2],
  [16, 35, 3, 1],
  [16, 39, 3, 1],
] as const;

const cdHalf = (half: 0 | 1, granule: 12 | 14 | 16, tsz: number, root: bigint): Record<string, number | bigint> =>
  half === 0
    ? { EPD0: 0, T0SZ: tsz, TG0: TG0[granule], TTB0: root }
    : { EPD1: 0, T1SZ: tsz, TG1: TG1[granule], TTB1: root };

const U64 = (1n << 64n) - 1n;

describe('stage 1 in both regions', () => {
  for (const [granule, tsz, start, levels] of stage1Rows)
    for (const half of [0, 1] as const)
      it(`granule 2^${granule}, T${half}SZ ${tsz}`, () => {
        const t: Tables = { granule, start, bits: 64 - tsz };
        const root = 0x800_0000n;
        const m = new GranuleMachine({ cd: cdHalf(half, granule, tsz, root) });
        const base = half === 0 ? 0n : U64 ^ ((1n << BigInt(t.bits)) - 1n);
        const last = base + (1n << BigInt(t.bits)) - 1n;
        for (const va of [base, last]) {
          const page = m.alloc(1n << BigInt(granule));
          m.write(m.s1Entry(t, root, va, 3), descriptor(granule, page, 0xf47n));
          const r = m.access(va);
          expect([r.ok, r.pa]).toEqual([true, Number(page | (va & ((1n << BigInt(granule)) - 1n)))]);
        }
        m.smmu.caches.iotlb.removeAllBut(-1);
        m.smmu.caches.s1walk.removeAllBut(-1);
        expect(m.access(last).reads).toBe(levels);
        // One beyond the region on either side, and what the other half's address would be.
        const outside = half === 0 ? [last + 1n, U64] : [base - 1n, 0n];
        for (const va of outside)
          expect(m.access(va & U64).fault).toMatchObject({ name: 'F_TRANSLATION', fields: { S2: 0n, CLASS: 2n } });
      });

  it('the two regions have a granule and size each', () => {
    const roots = [0x800_0000n, 0x900_0000n] as const;
    const upper: Tables = { granule: 16, start: 2, bits: 42 };
    const lower: Tables = { granule: 14, start: 1, bits: 47 };
    const m = new GranuleMachine({ cd: { ...cdHalf(0, 14, 17, roots[0]), ...cdHalf(1, 16, 22, roots[1]) } });
    const high = U64 - 0x1234n;
    m.write(m.s1Entry(lower, roots[0], 0x7654_3210n, 3), descriptor(14, 0x5_4000n, 0xf47n));
    m.write(m.s1Entry(upper, roots[1], high, 3), descriptor(16, 0x7_0000n, 0xf47n));
    expect(m.access(0x7654_3210n).pa).toBe(0x5_4000 + (0x7654_3210 % 0x4000));
    expect(m.access(high).pa).toBe(0x7_0000 + 0xedcb);
  });

  it('a tagged address is one only where TBI says so', () => {
    const t: Tables = { granule: 12, start: 0, bits: 48 };
    const roots = [0x800_0000n, 0x900_0000n] as const;
    for (const tbi of [0, 1] as const) {
      const halves = { ...cdHalf(0, 12, 16, roots[0]), ...cdHalf(1, 12, 16, roots[1]) };
      const m = new GranuleMachine({ cd: { ...halves, [`TBI${tbi}`]: 1 } });
      m.write(m.s1Entry(t, roots[0], 0x1000n, 3), 0x5_0f47n);
      m.write(m.s1Entry(t, roots[1], U64 - 0xfffn, 3), 0x6_0f47n);
      const low = m.access(0xa500_0000_0000_1008n);
      const high = m.access(0x5aff_ffff_ffff_f008n);
      expect([low.ok, high.ok]).toEqual([tbi === 0, tbi === 1]);
      expect([low.pa, high.pa]).toEqual(tbi === 0 ? [0x5_0008, -1] : [-1, 0x6_0008]);
      // The event has the address as the device sent it.
      const refused = tbi === 0 ? high : low;
      expect(refused.fault?.fields['InputAddr']).toBe(tbi === 0 ? 0x5aff_ffff_ffff_f008n : 0xa500_0000_0000_1008n);
      // Another tag, the same entry.
      const again = m.access(tbi === 0 ? 0x1100_0000_0000_1ff8n : 0x00ff_ffff_ffff_fff8n);
      expect([again.hit, again.pa]).toEqual(['IOTLB', tbi === 0 ? 0x5_0ff8 : 0x6_0ff8]);
      // Bit 55 chooses the half, whatever the tag: the others must agree with it.
      expect(m.access(0x0080_0000_0000_1000n).ok).toBe(false);
    }
  });

  it('TG1 has other codes than TG0', () => {
    // Code 1 is 64 KiB in TG0 and 16 KiB in TG1; read as the other it would find nothing.
    const t: Tables = { granule: 14, start: 1, bits: 47 };
    const m = new GranuleMachine({ cd: { EPD1: 0, T1SZ: 17, TG1: 1, TTB1: 0x800_0000n } });
    m.write(m.s1Entry(t, 0x800_0000n, U64, 3), descriptor(14, 0x8000n, 0xf47n));
    expect(m.access(U64).pa).toBe(0xbfff);
  });
});

describe('nested, each granule over each', () => {
  const first: readonly Tables[] = [
    { granule: 12, start: 0, bits: 48 },
    { granule: 12, start: 1, bits: 39 },
    { granule: 14, start: 0, bits: 48 },
    { granule: 14, start: 1, bits: 47 },
    { granule: 16, start: 1, bits: 52 },
    { granule: 16, start: 2, bits: 42 },
  ];
  const second: readonly Tables[] = stage2Rows.map(([granule, bits, , start]) => ({ granule, start, bits }));
  for (const s1 of first)
    for (const s2 of second)
      it(`2^${s1.granule} from level ${s1.start} on 2^${s2.granule} of ${s2.bits} bits`, () => {
        const root = 0x800_0000n;
        const m = new GranuleMachine({ s2, cd: cdHalf(0, s1.granule, 64 - s1.bits, root) });
        const va = (1n << BigInt(s1.bits)) - 0x1358n;
        // The output lies at the top of the intermediate space.
        const ipa = (1n << BigInt(Math.min(s2.bits, s1.granule === 16 ? 52 : 48))) - (1n << BigInt(s1.granule));
        m.write(m.s1Entry(s1, root, va, 3), descriptor(s1.granule, ipa, 0xf47n));
        const pa = m.pa(ipa | (va & ((1n << BigInt(s1.granule)) - 1n)));
        const r = m.access(va);
        const [n1, n2] = [4 - s1.start, 4 - s2.start];
        expect([r.ok, r.pa, r.reads]).toEqual([true, Number(pa), 1 + (n2 + 1) + (n1 + 1) * (n2 + 1) - 1]);
        expect(m.access(va, { write: true })).toMatchObject({ ok: true, pa: Number(pa), reads: 0, hit: 'IOTLB' });
      });
});

describe('blocks', () => {
  /** Granule, level, log2 of the block; the sizes that exist: 2 MiB, 1 GiB, 32 MiB, 512 MiB, 4 TiB. */
  const sizes = [
    [12, 2, 21],
    [12, 1, 30],
    [14, 2, 25],
    [16, 2, 29],
    [16, 1, 42],
  ] as const;
  for (const [granule, level, log2] of sizes)
    for (const stage of [1, 2] as const)
      it(`stage ${stage}, granule 2^${granule}, level ${level}`, () => {
        expect(levelBits(granule, level)).toBe(log2);
        const t: Tables = { granule, start: granule === 12 ? 0 : 1, bits: granule === 16 ? 52 : 47 };
        const root = 0x800_0000n;
        const input = (3n << BigInt(log2)) + (1n << BigInt(log2)) - 0x123n;
        const output = 5n << BigInt(log2);
        const s2 = stage === 2 ? t : null;
        const m = new GranuleMachine({
          s2,
          cd: cdHalf(0, granule, 64 - t.bits, root),
          ...(s2 ? { ste: { Config: 6 } } : {}),
        });
        const at = stage === 1 ? m.s1Entry(t, root, input, level) : m.s2Entry(input, level);
        m.write(at, descriptor(granule, output, stage === 1 ? 0xf45n : 0x7fdn));
        const pa = Number(output + (1n << BigInt(log2)) - 0x123n);
        expect(m.access(input)).toMatchObject({ ok: true, pa });
        // The other end is in the same entry.
        const low = input - (1n << BigInt(log2)) + 0x123n;
        expect(m.access(low)).toMatchObject({ ok: true, pa: Number(output), reads: 0 });
        if (stage === 1) expect(m.smmu.caches.iotlb.size).toBe(1);
      });

  it('levels that have none fault', () => {
    for (const [granule, start, level, features] of [
      [12, 0, 0, {}],
      [14, 0, 0, {}],
      [14, 1, 1, {}],
      [16, 1, 1, { OAS: 48, VAX: false }],
    ] as const) {
      const t: Tables = { granule, start, bits: 48 };
      const cd = { ...cdHalf(0, granule, 16, 0x800_0000n) };
      const m = new GranuleMachine({ features, cd });
      m.write(m.s1Entry(t, 0x800_0000n, 0n, level), (0x8000_0000_0f45n & ~0xffn) | 0x45n);
      expect(m.access(0n).fault?.name, `${granule} ${level}`).toBe('F_TRANSLATION');
    }
  });
});

describe('what a listener is told', () => {
  it('names the layout of each granule, level and kind', () => {
    const s2: Tables = { granule: 14, start: 1, bits: 47 };
    const t: Tables = { granule: 16, start: 1, bits: 52 };
    const m = new GranuleMachine({ s2, cd: cdHalf(0, 16, 12, 0x800_0000n) });
    m.write(m.s1Entry(t, 0x800_0000n, 0n, 1), descriptor(16, 0n, 0xf45n));
    m.pa(0x1_0000n);
    const seen: string[] = [];
    m.trace.listener = (e) => {
      if (e.kind === 'memory.read') seen.push(e.layout);
    };
    expect(m.access(0x1_0000n).ok).toBe(true);
    const walk = ['vmsav8.s2.table.16k', 'vmsav8.s2.table.16k', 'vmsav8.s2.page.16k'];
    expect(seen).toEqual(['smmuv3.ste', ...walk, 'smmuv3.cd', ...walk, 'vmsav8.s1.block.64k.l1', ...walk]);
  });
});
