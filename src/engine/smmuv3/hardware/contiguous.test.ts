import { describe, expect, it } from 'vitest';
import { BLOCK_SHIFT, SHIFT } from '../../cache/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { descriptor, entriesOf, GranuleMachine, levelBits, staleCaches, type Tables, TG0 } from './granule-machine.ts';

/** The Contiguous hint. Source: Arm DDI 0487 D8.7.1: how many entries it joins. */
const CONTIGUOUS = 1n << 52n;
const ROOT = 0x800_0000n;

/** Granule, level, entries joined, log2 of the whole. */
const ranges = [
  [12, 3, 16, 16],
  [12, 2, 16, 25],
  [12, 1, 16, 34],
  [14, 3, 128, 21],
  [14, 2, 32, 30],
  [16, 3, 32, 21],
  [16, 2, 32, 34],
] as const;

const tables = (granule: 12 | 14 | 16): Tables => ({
  granule,
  start: granule === 12 ? 0 : 1,
  bits: granule === 12 ? 48 : 47,
});
const cdOf = (t: Tables): Record<string, number | bigint> => ({
  EPD0: 0,
  T0SZ: 64 - t.bits,
  TG0: TG0[t.granule],
  TTB0: ROOT,
});

const half = (x: bigint): number => Number(x & 0xffffffffn) | 0;

function execute(m: GranuleMachine, w: readonly bigint[]): void {
  m.smmu.execute(half(w[0]!), half(w[0]! >> 32n), half(w[1]!), half(w[1]! >> 32n));
}

const tlbi = (m: GranuleMachine, va: bigint): void =>
  execute(m, encodeCommand('TLBI_NH_VA', { ASID: 1, VMID: 1, Leaf: 1, Address: va & ~0xfffn }));

/** Maps a whole range of stage 1 with the hint. @returns addresses of its first descriptor */
function mapRange(m: GranuleMachine, t: Tables, level: number, count: number, va: bigint, pa: bigint): bigint {
  const at = m.s1Entry(t, ROOT, va, level);
  const size = 1n << BigInt(levelBits(t.granule, level));
  for (let k = 0n; k < BigInt(count); k++)
    m.write(at + 8n * k, descriptor(t.granule, pa + k * size, level === 3 ? 0xf47n : 0xf45n) | CONTIGUOUS);
  return at;
}

describe('a contiguous range of stage 1', () => {
  for (const [granule, level, count, log2] of ranges)
    it(`granule 2^${granule}, level ${level}: ${count} entries`, () => {
      const t = tables(granule);
      const m = new GranuleMachine({ cd: cdOf(t) });
      const va = 3n << BigInt(log2);
      const pa = 5n << BigInt(log2);
      const at = mapRange(m, t, level, count, va, pa);
      const last = va + (1n << BigInt(log2)) - 8n;
      // One page in the middle fills the entry of all.
      const middle = va + (1n << BigInt(log2 - 1)) + 0x18n;
      expect(m.access(middle)).toMatchObject({ ok: true, pa: Number(pa + (middle - va)) });
      const { iotlb } = m.smmu.caches;
      expect(iotlb.size).toBe(1);
      for (const i of entriesOf(iotlb)) expect([iotlb.e[i + SHIFT], iotlb.e[i + BLOCK_SHIFT]]).toEqual([log2, log2]);
      for (const a of [va, last])
        expect(m.access(a)).toMatchObject({ ok: true, pa: Number(pa + (a - va)), reads: 0, hit: 'IOTLB' });
      // Any page of it, invalidated, takes the whole.
      expect(staleCaches(m.smmu)).toEqual([]);
      m.write(at + 8n * BigInt(count - 1), 0n);
      expect(staleCaches(m.smmu)).toEqual(['IOTLB']);
      tlbi(m, va + 8n);
      expect([iotlb.size, staleCaches(m.smmu)]).toEqual([0, []]);
      expect(m.access(last).fault?.name).toBe('F_TRANSLATION');
    });

  it('can be switched off: then each page is an entry', () => {
    const t = tables(12);
    const m = new GranuleMachine({ features: { contiguous: false }, cd: cdOf(t) });
    mapRange(m, t, 3, 16, 0x1_0000n, 0x5_0000n);
    m.access(0x1_0000n);
    m.access(0x1_1000n);
    expect(m.smmu.caches.iotlb.size).toBe(2);
  });

  it('a hint whose address does not fit the range is ignored', () => {
    const t = tables(12);
    const m = new GranuleMachine({ cd: cdOf(t) });
    mapRange(m, t, 3, 16, 0x1_0000n, 0x5_1000n);
    expect(m.access(0x1_2008n)).toMatchObject({ ok: true, pa: 0x5_3008 });
    expect(m.access(0x1_3008n)).toMatchObject({ ok: true, pa: 0x5_4008, hit: 'walk' });
    expect(m.smmu.caches.iotlb.size).toBe(2);
  });

  it('an address that fits in its low half only is none either', () => {
    const t = tables(16);
    const m = new GranuleMachine({ cd: cdOf(t) });
    // The range has 16 GiB; bit 33 of the output does not agree with that of the input.
    m.write(m.s1Entry(t, ROOT, 0n, 2), descriptor(16, 1n << 33n, 0xf45n) | CONTIGUOUS);
    expect(m.access(0x123n).pa).toBe(2 ** 33 + 0x123);
    const { iotlb } = m.smmu.caches;
    for (const i of entriesOf(iotlb)) expect(iotlb.e[i + SHIFT]).toBe(29);
  });

  it('a block of 4 TiB has no hint', () => {
    const t: Tables = { granule: 16, start: 1, bits: 52 };
    const m = new GranuleMachine({ cd: cdOf(t) });
    m.write(m.s1Entry(t, ROOT, 0n, 1), descriptor(16, 0n, 0xf45n) | CONTIGUOUS);
    expect(m.access(0x123n).pa).toBe(0x123);
    const { iotlb } = m.smmu.caches;
    for (const i of entriesOf(iotlb)) expect(iotlb.e[i + SHIFT]).toBe(42);
  });

  it('a hint that would leave the input size is ignored', () => {
    const t: Tables = { granule: 16, start: 2, bits: 30 };
    const m = new GranuleMachine({ cd: cdOf(t) });
    m.write(m.s1Entry(t, ROOT, 0n, 2), 0x4_0000_0f45n | CONTIGUOUS);
    expect(m.access(0x123n)).toMatchObject({ ok: true, pa: 0x4_0000_0123 });
    const { iotlb } = m.smmu.caches;
    for (const i of entriesOf(iotlb)) expect(iotlb.e[i + SHIFT]).toBe(29);
    expect(m.access(1n << 30n).fault?.name).toBe('F_TRANSLATION');
  });
});

describe('nested', () => {
  it('the entry is as large as both stages allow', () => {
    const t = tables(12);
    const s2: Tables = { granule: 12, start: 0, bits: 48 };
    // Stage 2 has 64 KiB of pages with the hint, or without, or a 2 MiB block.
    for (const [kind, want, block] of [
      ['pages', 12, 12],
      ['hint', 16, 16],
      ['block', 16, 16],
    ] as const) {
      const m = new GranuleMachine({ s2, cd: cdOf(t) });
      const ipa = 0x3000_0000n;
      mapRange(m, t, 3, 16, 0x1_0000n, ipa);
      if (kind === 'block') m.write(m.s2Entry(ipa, 2), 0x6000_0000n | 0x7fdn);
      else
        for (let k = 0n; k < 16n; k++)
          m.write(
            m.s2Entry(ipa + k * 4096n, 3),
            (0x6000_0000n + k * 4096n) | 0x7ffn | (kind === 'hint' ? CONTIGUOUS : 0n),
          );
      expect(m.access(0x1_3008n)).toMatchObject({ ok: true, pa: 0x6000_3008 });
      const { iotlb, s2tlb } = m.smmu.caches;
      for (const i of entriesOf(iotlb))
        expect([kind, iotlb.e[i + SHIFT], iotlb.e[i + BLOCK_SHIFT]]).toEqual([kind, want, block]);
      expect(entriesOf(s2tlb).map((i) => s2tlb.e[i + SHIFT])).toContain({ pages: 12, hint: 16, block: 21 }[kind]);
      expect(m.access(0x1_4008n)).toMatchObject({ ok: true, pa: 0x6000_4008, hit: want === 16 ? 'IOTLB' : 'walk' });
      // Stage 2 changes for one page of the range: the whole combined entry is stale, and that of stage 2.
      expect(staleCaches(m.smmu)).toEqual([]);
      if (kind === 'hint') {
        m.write(m.s2Entry(ipa + 0xf000n, 3), 0n);
        expect(staleCaches(m.smmu)).toEqual(['IOTLB', 'S2 TLB']);
        // A stage-2 invalidation of any of its pages takes the entry of stage 2, and nothing combined.
        const w = encodeCommand('TLBI_S2_IPA', { VMID: 1, Leaf: 1, Address: ipa + 0x5000n });
        execute(m, w);
        expect(staleCaches(m.smmu)).toEqual(['IOTLB']);
      }
    }
  });

  it('an invalidation takes every piece of a block, and of a contiguous range the piece that it names', () => {
    for (const [kind, left] of [
      ['block', 0],
      ['hint', 2],
    ] as const) {
      const t = tables(12);
      const m = new GranuleMachine({ s2: { granule: 12, start: 0, bits: 48 }, cd: cdOf(t) });
      const ipa = 0x3000_0000n;
      const va = 0x20_0000n;
      if (kind === 'block') m.write(m.s1Entry(t, ROOT, va, 2), ipa | 0xf45n);
      else mapRange(m, t, 3, 16, va, ipa);
      for (const page of [0n, 3n, 9n]) {
        m.pa(ipa + page * 4096n);
        expect(m.access(va + page * 4096n).ok).toBe(true);
      }
      expect(m.smmu.caches.iotlb.size).toBe(3);
      tlbi(m, va + 0x3000n);
      expect(m.smmu.caches.iotlb.size, kind).toBe(left);
    }
  });

  it('an ATC entry of the whole range is stale when one page is', () => {
    const t = tables(12);
    const m = new GranuleMachine({ cd: cdOf(t) });
    const at = mapRange(m, t, 3, 16, 0x1_0000n, 0x5_0000n);
    expect(m.access(0x1_3008n, { translated: true })).toMatchObject({ ok: true, pa: 0x5_3008 });
    expect(m.access(0x1_e008n, { translated: true })).toMatchObject({ ok: true, pa: 0x5_e008, hit: 'ATC' });
    const atc = m.device.atc;
    for (const i of entriesOf(atc)) expect([atc.e[i + SHIFT], m.smmu.audit.sameAtc(m.device, i)]).toEqual([16, true]);
    m.write(at + 8n, 0n);
    for (const i of entriesOf(atc)) expect(m.smmu.audit.sameAtc(m.device, i)).toBe(false);
  });
});
