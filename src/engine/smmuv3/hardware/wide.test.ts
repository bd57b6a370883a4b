import { describe, expect, it } from 'vitest';
import { descriptor, GranuleMachine, type Tables, TG0 } from './granule-machine.ts';

/** Addresses of 52 bits, address sizes that bind, small tables. Source: Arm IHI 0070 3.4, 5.2, 5.4; DDI 0487 D8.3. */
const wide: Tables = { granule: 16, start: 1, bits: 52 };
const ROOT = 0x800_0000n;
const cdOf = (t: Tables, root = ROOT): Record<string, number | bigint> => ({
  EPD0: 0,
  T0SZ: 64 - t.bits,
  TG0: TG0[t.granule],
  TTB0: root,
});

describe('52-bit addresses with the 64 KiB granule', () => {
  it('carry address bits 51:48 in bits 15:12 of a page, a block and a table', () => {
    const table2 = 0xd_0000_0800_0000n;
    const table3 = 0x3_0000_0900_0000n;
    const page = 0xe_8000_0001_0000n;
    const m = new GranuleMachine({ cd: cdOf(wide) });
    // Words written out: level 1 index 1, level 2 index 2, level 3 index 3.
    m.write(ROOT + 8n, 0x0000_0800_d003n);
    m.write(table2 + 16n, 0x0000_0900_3003n);
    m.write(table3 + 24n, 0x0000_8000_0001_ef47n);
    const va = (1n << 42n) | (2n << 29n) | (3n << 16n) | 0x4567n;
    expect(m.access(va)).toMatchObject({ ok: true, pa: Number(page | 0x4567n), reads: 6 - 1 });
    expect(descriptor(16, page, 0xf47n)).toBe(0x8000_0001_ef47n);
    m.write(table2 + 24n, 0x0000_8000_2000_df45n);
    expect(m.access(va + (1n << 29n)).pa).toBe(0xd_8000_2000_0000 + 0x3_4567);
  });

  it('a table base may lie above 48 bits', () => {
    const root = 0xa_0000_0000_0000n;
    const m = new GranuleMachine({ cd: cdOf(wide, root) });
    m.write(m.s1Entry(wide, root, 0x7_0000n, 3), 0x5_0f47n);
    expect(m.access(0x7_0008n).pa).toBe(0x5_0008);
  });

  it('a table base has at least 64 bytes', () => {
    // Four entries would be 32 bytes: bit 5 counts only where addresses have 48 bits.
    const t: Tables = { granule: 16, start: 1, bits: 44 };
    for (const [OAS, IPS, at] of [
      [52, 6, ROOT],
      [52, 5, ROOT + 32n],
      [48, 5, ROOT + 32n],
    ] as const) {
      const m = new GranuleMachine({ features: { OAS }, cd: { ...cdOf(t, ROOT + 32n), IPS } });
      m.write(m.s1Entry(t, at, 0n, 3), 0x5_0f47n);
      expect(m.access(0n).pa, `${OAS} ${IPS}`).toBe(0x5_0000);
    }
  });

  it('an SMMU of 48 bits ignores bits 15:12, one of 52 bits limits them by IPS', () => {
    const t: Tables = { granule: 16, start: 1, bits: 48 };
    for (const [OAS, IPS, want] of [
      [48, 5, 0x5_0000],
      [52, 6, 0x1_0000_0005_0000],
      [52, 5, 'F_ADDR_SIZE'],
      [52, 7, 0x1_0000_0005_0000],
    ] as const) {
      const m = new GranuleMachine({ features: { OAS }, cd: { ...cdOf(t), IPS } });
      m.write(m.s1Entry(t, ROOT, 0n, 3), 0x5_1f47n);
      const r = m.access(0n);
      expect(r.fault?.name ?? r.pa, `${OAS} ${IPS}`).toBe(want);
    }
  });

  it('S2PS limits stage 2 the same way', () => {
    const s2: Tables = { granule: 16, start: 1, bits: 52 };
    for (const [S2PS, want] of [
      [6, 0xf_0000_0005_0000],
      [5, 'F_ADDR_SIZE'],
    ] as const) {
      const m = new GranuleMachine({ s2, ste: { Config: 6, S2PS } });
      m.write(m.s2Entry(1n << 51n, 3), 0x5_f7ffn);
      const r = m.access(1n << 51n);
      expect(r.fault?.name ?? r.pa).toBe(want);
      if (r.fault) expect(r.fault.fields).toMatchObject({ S2: 1n, CLASS: 2n, IPA: 1n << 51n });
    }
  });
});

describe('4 and 16 KiB granules stay at 48 bits', () => {
  it('a base above 48 bits is illegal although IPS says 52', () => {
    for (const [granule, want] of [
      [12, 'C_BAD_CD'],
      [14, 'C_BAD_CD'],
      [16, 'F_TRANSLATION'],
    ] as const) {
      const t: Tables = { granule, start: 1, bits: granule === 12 ? 39 : 47 };
      const m = new GranuleMachine({ cd: cdOf(t, 1n << 48n) });
      expect(m.access(0n).fault?.name).toBe(want);
      const start = granule === 12 ? 0 : 1;
      const s2 = new GranuleMachine({ s2: { granule, start, bits: 48 }, ste: { Config: 6, S2TTB: 1n << 48n } });
      expect(s2.access(0n).fault?.name).toBe(granule === 16 ? 'F_TRANSLATION' : 'C_BAD_STE');
    }
  });

  it('descriptor bits 51:48 are no address', () => {
    const t: Tables = { granule: 12, start: 0, bits: 48 };
    const m = new GranuleMachine({ cd: cdOf(t) });
    m.write(m.s1Entry(t, ROOT, 0n, 3), 0x7_0000_0005_0f47n);
    expect(m.access(0n).pa).toBe(0x5_0000);
  });
});

/** Granule, T0SZ, features: whether a CD with it is legal. */
const sizes = [
  [12, 15, { VAX: true }, false],
  [14, 15, { VAX: true }, false],
  [16, 15, { VAX: true }, true],
  [16, 12, { VAX: true }, true],
  [16, 11, { VAX: true }, false],
  [16, 15, { VAX: false }, false],
  [16, 16, { VAX: false }, true],
  [12, 39, {}, true],
  [12, 40, {}, false],
  [12, 40, { STT: true }, true],
  [12, 48, { STT: true }, true],
  [12, 49, { STT: true }, false],
  [14, 48, { STT: true }, true],
  [16, 47, { STT: true }, true],
  [16, 48, { STT: true }, false],
] as const;

describe('input sizes of stage 1', () => {
  for (const [granule, T0SZ, features, legal] of sizes)
    it(`granule 2^${granule}, T0SZ ${T0SZ}, ${JSON.stringify(features)}`, () => {
      const levels = Math.ceil((64 - T0SZ - granule) / (granule - 3));
      const t: Tables = { granule, start: 4 - levels, bits: 64 - T0SZ };
      const m = new GranuleMachine({ features, cd: cdOf(t) });
      if (!legal) {
        expect(m.access(0n).fault?.name).toBe('C_BAD_CD');
        return;
      }
      const va = (1n << BigInt(t.bits)) - 8n;
      m.write(m.s1Entry(t, ROOT, va, 3), 0x5_0f47n);
      expect(m.access(va)).toMatchObject({ ok: true });
      expect(m.access(va + 8n).fault?.name).toBe('F_TRANSLATION');
    });
});

/** Granule, IPA bits, SL0, features: the start level, or null where the STE is illegal. */
const starts = [
  [16, 52, 2, {}, 1],
  [16, 52, 2, { OAS: 48 }, null],
  [16, 53, 2, {}, null],
  [12, 52, 2, {}, null],
  [14, 52, 2, {}, null],
  [14, 48, 3, {}, null],
  [16, 48, 3, {}, null],
  [14, 48, 3, { STT: true }, null],
  [12, 24, 3, {}, null],
  [12, 24, 3, { STT: true }, 3],
  [12, 16, 3, { STT: true }, 3],
  [12, 15, 3, { STT: true }, null],
  [12, 26, 3, { STT: true }, null],
  [14, 24, 0, { STT: true }, 3],
  [16, 17, 0, { STT: true }, 3],
  [16, 16, 0, { STT: true }, null],
  [16, 44, 2, { OAS: 42 }, null],
  [14, 42, 2, { OAS: 40 }, null],
] as const;

describe('input sizes and start levels of stage 2', () => {
  for (const [granule, bits, S2SL0, features, start] of starts)
    it(`granule 2^${granule}, ${bits} bits, SL0 ${S2SL0}, ${JSON.stringify(features)}`, () => {
      const s2: Tables = { granule, start: start ?? 1, bits };
      const m = new GranuleMachine({ features, s2, ste: { Config: 6, S2SL0 } });
      if (start === null) {
        expect(m.access(0n).fault?.name).toBe('C_BAD_STE');
        return;
      }
      const ipa = (1n << BigInt(bits)) - 8n;
      expect(m.access(ipa).fault?.name).toBe('F_TRANSLATION');
      expect(m.access(ipa).pa).toBe(-1);
      const pa = m.pa(ipa);
      expect(m.access(ipa).pa).toBe(Number(pa));
    });
});

describe('granules that are not implemented', () => {
  for (const [name, granule] of [
    ['GRAN4K', 12],
    ['GRAN16K', 14],
    ['GRAN64K', 16],
  ] as const)
    it(name, () => {
      const t: Tables = { granule, start: 1, bits: granule === 12 ? 39 : 47 };
      const features = { [name]: false };
      expect(new GranuleMachine({ features, cd: cdOf(t) }).access(0n).fault?.name).toBe('C_BAD_CD');
      const s2 = new GranuleMachine({ features, s2: t, ste: { Config: 6 } });
      expect(s2.access(0n).fault?.name).toBe('C_BAD_STE');
    });
});
