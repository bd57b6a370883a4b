import { describe, expect, it } from 'vitest';
import { CD, OFFSET, type Shape, TestMachine } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };
const bad = (shape: Partial<Shape>): string | undefined => new TestMachine({ ...plain, ...shape }).dma().fault?.name;

/** Arm IHI 0070 5.2 and 7.3.5: each makes the STE illegal by itself. */
type Row = readonly [string, Record<string, number | bigint>, Record<string, boolean | number>?, Partial<Shape>?];

const stes: readonly Row[] = [
  ['V = 0', { V: 0 }],
  ['two-level CD table without CD2L', { S1Fmt: 1, S1CDMax: 4 }, { CD2L: false }],
  ['S1CDMax above SSIDSIZE', { S1CDMax: 17 }],
  ['S1STALLD where nothing can stall', { S1STALLD: 1 }],
  ['S1ContextPtr above the output size', { S1ContextPtr: 1n << 44n }, { OAS: 44 }, { n2: 3 }],
  ['S2VMID of 16 bits without VMID16', { S2VMID: 0x100 }, { VMID16: false }],
  ['EATS = 1 with S2S', { S2S: 1, EATS: 1 }, {}, { override: { stallModel: 0 } }],
  ['EATS = 2 with S2S', { S2S: 1, EATS: 2 }, {}, { override: { stallModel: 0 } }],
  ['EATS = 2 with NS1ATS', { EATS: 2 }, {}, { override: { ns1ats: true } }],
  ['EATS = 2 without both stages', { Config: 6, EATS: 2 }],
  ['STRW = 1 with stage 1 alone', { Config: 5, STRW: 1 }],
  ['STRW = 3 with stage 1 alone', { Config: 5, STRW: 3 }],
  ['stage 2 not implemented', {}, { S2P: false }],
  ['S2TG reserved', { S2TG: 3 }],
  ['S2T0SZ too small', { S2T0SZ: 15 }],
  ['S2T0SZ too large', { S2T0SZ: 40, S2SL0: 0 }],
  ['IPA size above the output size', { S2T0SZ: 16 }, { OAS: 44 }],
  ['S2SL0 reserved', { S2SL0: 3 }],
  ['S2SL0 too deep for the IPA size', { S2T0SZ: 16, S2SL0: 1 }],
  ['more than sixteen concatenated tables', { S2T0SZ: 20, S2SL0: 1 }],
  ['S2SL0 too high for the IPA size', { S2T0SZ: 34, S2SL0: 2 }],
  ['S2SL0 = 2 on fewer than 44 bits', { S2T0SZ: 22, S2SL0: 2 }, { OAS: 42 }],
  ['AArch32 tables', { S2AA64: 0 }],
  ['big-endian tables', { S2ENDI: 1 }],
  ['S2S where nothing can stall', { S2S: 1, EATS: 0 }],
  ['S2HA without HTTU', { S2HA: 1 }, { HTTU: 0 }],
  ['S2HD without HTTU', { S2HD: 1 }, { HTTU: 0 }],
  ['S2HD with HTTU of the access flag only', { S2HA: 1, S2HD: 1 }, { HTTU: 1 }],
  ['S2TTB above the output size', { S2PS: 0, S2TTB: 0x1_0000_0000n }],
];

/** 5.4 and 7.3.11. */
const cds: readonly Row[] = [
  ['V = 0', { V: 0 }],
  ['T0SZ too small', { T0SZ: 15 }],
  ['T0SZ too large', { T0SZ: 40 }],
  ['TG0 reserved', { TG0: 3 }],
  ['TTB0 above IPS', { IPS: 0, TTB0: 0x1_0000_0000n }],
  ['AArch32 tables', { AA64: 0 }],
  ['big-endian tables', { ENDI: 1 }],
  ['a wide ASID without ASID16', { ASID: 0x100 }, { ASID16: false }],
  ['A = 0 where nothing terminates silently', { A: 0 }],
  ['S where nothing can stall', { S: 1 }],
  ['HA without HTTU', { HA: 1 }, { HTTU: 0 }],
  ['HD without HTTU', { HD: 1 }, { HTTU: 0 }],
  ['HD with HTTU of the access flag only', { HA: 1, HD: 1 }, { HTTU: 1 }],
  ['TTB1 half out of range', { EPD1: 0, T1SZ: 3, TG1: 2 }],
  ['TG1 reserved', { EPD1: 0, T1SZ: 16, TG1: 0 }],
];

describe('illegal stream table entries', () => {
  for (const [name, ste, features, shape] of stes)
    it(name, () => expect(bad({ ste, ...(features ? { features } : {}), ...shape })).toBe('C_BAD_STE'));
});

describe('illegal context descriptors', () => {
  for (const [name, cd, features] of cds)
    it(name, () => expect(bad({ cd, ...(features ? { features } : {}) })).toBe('C_BAD_CD'));
});

describe('what looks odd and is legal', () => {
  const fine = (shape: Partial<Shape>): void =>
    expect(new TestMachine({ ...plain, ...shape }).dma().fault).toBeUndefined();
  it('S1Fmt without S1CDMax is ignored', () => fine({ ste: { S1Fmt: 1, S1CDMax: 0 }, features: { CD2L: false } }));
  it('sixteen concatenated tables', () => expect(bad({ ste: { S2T0SZ: 21, S2SL0: 1 } })).toBe('F_TRANSLATION'));
  it('EATS with stage 2 that does not stall', () => fine({ ste: { EATS: 2 }, override: { stallModel: 0 } }));
  it('STRW with stage 2', () => fine({ ste: { STRW: 1 } }));
  it('T0SZ, TG0 and TTB0 under EPD0', () => {
    expect(bad({ cd: { EPD0: 1, T0SZ: 3, TG0: 3, IPS: 0, TTB0: 0x1_0000_0000n } })).toBe('F_TRANSLATION');
  });
  it('S2 fields with stage 1 alone', () => {
    expect(bad({ ste: { Config: 5, S2TG: 3, S2T0SZ: 63 } })).not.toBe('C_BAD_STE');
  });
  it('STRW with stage 1 alone, where there is no EL2 to choose', () => {
    for (const STRW of [1, 2, 3])
      expect(bad({ ste: { Config: 5, STRW }, features: { HYP: false } }), String(STRW)).not.toBe('C_BAD_STE');
    expect(bad({ ste: { Config: 5, STRW: 2 } })).not.toBe('C_BAD_STE');
  });
  it('EATS where no stage translates', () => fine({ ste: { Config: 4, EATS: 2 } }));
  it('stage-2 and stage-1 fields where no stage translates', () =>
    fine({ ste: { Config: 4, S2TG: 3, S1CDMax: 31, S2VMID: 0x100 }, features: { VMID16: false } }));
  it('ENDI where both halves are disabled', () => {
    expect(bad({ cd: { ENDI: 1, EPD0: 1, EPD1: 1 } })).toBe('F_TRANSLATION');
    expect(bad({ cd: { ENDI: 1, EPD0: 1, EPD1: 0, T1SZ: 16, TG1: 2 } })).toBe('C_BAD_CD');
  });
  it('the upper half of an EL2 stream without E2H', () => {
    // Both the CD and its tables are read where they are, since nothing is nested; the tables lead nowhere.
    const ste = { Config: 5, STRW: 2, S1ContextPtr: BigInt(CD + OFFSET) };
    const cd = { EPD0: 1, EPD1: 0, T1SZ: 3, TG1: 0 };
    expect(bad({ ste, cd })).toBe('F_TRANSLATION');
    expect(bad({ ste: { ...ste, STRW: 0 }, cd })).toBe('C_BAD_CD');
  });
});

describe('the stream table', () => {
  const eventOf = (
    spoil: (m: TestMachine) => void,
    shape: Partial<Shape> = { twoLevelSte: true },
  ): string | undefined => {
    const m = new TestMachine({ ...plain, ...shape });
    spoil(m);
    m.smmu.translator.registersChanged();
    return m.dma().fault?.name;
  };
  it('StreamID beyond LOG2SIZE', () => {
    expect(eventOf((m) => m.smmu.regs.set('STRTAB_BASE_CFG', 0x10208n))).toBe('C_BAD_STREAMID');
    expect(eventOf((m) => m.smmu.regs.set('STRTAB_BASE_CFG', 8n), { twoLevelSte: false })).toBe('C_BAD_STREAMID');
  });
  it('Span: none, too short, reserved, above SPLIT + 1', () => {
    for (const span of [0n, 4n, 12n, 31n, 10n])
      expect(
        eventOf((m) => m.write(0x100_0008, 0x110_0000n | span)),
        String(span),
      ).toBe('C_BAD_STREAMID');
    expect(eventOf((m) => m.write(0x100_0008, 0x110_0000n | 5n))).toBeUndefined();
  });
  it('an address beyond memory', () => {
    expect(eventOf((m) => m.write(0x100_0008, 0xf_ffff_ffff_0009n & 0xfffffffffffc9n))).toBe('F_STE_FETCH');
    expect(eventOf((m) => m.smmu.regs.set('STRTAB_BASE', 0xf_ffff_ff00_0000n))).toBe('F_STE_FETCH');
  });
  it('C_BAD_STREAMID is recorded only with CR2.RECINVSID', () => {
    for (const [cr2, prod] of [
      [0n, 0n],
      [2n, 1n],
    ] as const) {
      const m = new TestMachine({ ...plain, twoLevelSte: true });
      m.smmu.regs.set('CR2', cr2);
      m.write(0x100_0008, 0n);
      expect(m.dma().fault?.name).toBe('C_BAD_STREAMID');
      expect(m.smmu.readRegister('EVENTQ_PROD')).toBe(prod);
    }
  });
});
