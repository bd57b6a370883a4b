import { describe, expect, it } from 'vitest';
import { GRANULE, LEVEL, SHIFT, type TranslationCache } from '../../cache/index.ts';
import { CD, DATA, OFFSET, S1, type Shape, TestMachine, VA } from './test-machine.ts';

/** Fields of STE and CD whose effect shows in a translation. Arm IHI 0070 5.2, 5.4; Arm DDI 0487 D8. */
const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };
const leaf = (m: TestMachine, low: bigint): void => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | low);

/** Outcome of an access: `ok` or the event. */
const outcome = (
  shape: Partial<Shape>,
  q: { write?: boolean; exec?: boolean; priv?: boolean } = {},
  spoil: (m: TestMachine) => void = () => {},
): string | null => {
  const m = new TestMachine({ ...plain, ...shape });
  spoil(m);
  const r = m.access(q);
  return r.ok ? 'ok' : (r.fault?.name ?? null);
};

describe('fields of a CD', () => {
  it('PAN keeps privileged data accesses out of pages that unprivileged ones may use', () => {
    expect(outcome({ cd: { PAN: 1 } }, { priv: true })).toBe('F_PERMISSION');
    expect(outcome({ cd: { PAN: 1 } })).toBe('ok');
    expect(outcome({ cd: { PAN: 0 } }, { priv: true })).toBe('ok');
    expect(outcome({ cd: { PAN: 1 } }, { priv: true }, (m) => leaf(m, 0xf07n))).toBe('ok');
  });
  it('WXN makes what can be written not executable', () => {
    expect(outcome({ cd: { WXN: 1 } }, { exec: true })).toBe('F_PERMISSION');
    expect(outcome({ cd: { WXN: 0 } }, { exec: true })).toBe('ok');
    expect(outcome({ cd: { WXN: 1 } }, { exec: true }, (m) => leaf(m, 0xfc7n))).toBe('ok');
  });
  it('HAD0 takes the restrictions of tables away', () => {
    const readOnly = (m: TestMachine): void =>
      m.write(m.s1Entry(2) + OFFSET, m.memory.readWord(m.s1Entry(2) + OFFSET) | (1n << 62n));
    expect(outcome({}, { write: true }, readOnly)).toBe('F_PERMISSION');
    expect(outcome({ cd: { HAD0: 1 } }, { write: true }, readOnly)).toBe('ok');
    expect(outcome({ cd: { HAD0: 1 }, override: { had: false } }, { write: true }, readOnly)).toBe('F_PERMISSION');
  });
  it('AFFD switches access-flag faults off', () => {
    expect(outcome({}, {}, (m) => leaf(m, 0xb47n))).toBe('F_ACCESS');
    expect(outcome({ cd: { AFFD: 1 } }, {}, (m) => leaf(m, 0xb47n))).toBe('ok');
  });
  it('without E2H the EL2 world has neither PAN nor EPD0 nor a second half', () => {
    const m = new TestMachine({ ...plain, ste: { Config: 5, STRW: 2 }, cd: { PAN: 1, EPD0: 1 } });
    m.withoutOffset();
    expect(m.access({ priv: true }).ok).toBe(true);
    expect(m.access({ iova: 0xffff_0000_0000_0000n | BigInt(VA) }).fault?.name).toBe('F_TRANSLATION');
  });
});

describe('fields of stage 2', () => {
  it('S2AFFD switches access-flag faults off', () => {
    expect(outcome({}, {}, (m) => m.mapIpa(DATA, 0x3ffn))).toBe('F_ACCESS');
    expect(outcome({ ste: { S2AFFD: 1 } }, {}, (m) => m.mapIpa(DATA, 0x3ffn))).toBe('ok');
  });
  it('S2PTW keeps tables out of Device memory, not data', () => {
    expect(outcome({ ste: { S2PTW: 0 } }, {}, (m) => m.mapIpa(CD, 0x6c7n))).toBe('ok');
    expect(outcome({ ste: { S2PTW: 0 } }, {}, (m) => m.mapIpa(m.s1Entry(3), 0x6c7n))).toBe('ok');
    expect(outcome({}, {}, (m) => m.mapIpa(m.s1Entry(3), 0x6c7n))).toBe('F_PERMISSION');
    expect(outcome({}, {}, (m) => m.mapIpa(DATA, 0x6c7n))).toBe('ok');
  });
});

/** Two levels of a granule, from level 2, at 0x2000_0000: one page that goes to 0x3000_0000. */
const TABLE = 0x2000_0000;
const TO = 0x3000_0000;
function putTables(m: TestMachine, granule: number, at: number, offset: number, low: bigint): void {
  const stride = granule - 3;
  const index = (n: number, shift: number): number => Math.floor(n / 2 ** shift) % 2 ** stride;
  const second = at + 2 ** granule;
  m.write(at + offset + index(VA, granule + stride) * 8, BigInt(second) | 3n);
  m.write(second + offset + index(VA, granule) * 8, BigInt(TO) | low);
}

describe('granules', () => {
  const codes: readonly [number, number, number, number][] = [
    [12, 0, 2, 34],
    [14, 2, 1, 28],
    [16, 1, 3, 28],
  ];
  for (const [granule, tg0, tg1, tsz] of codes) {
    it(`2^${granule} in stage 1, either half`, () => {
      const cd = { TG0: tg0, T0SZ: tsz, TTB0: BigInt(TABLE), TG1: tg1, T1SZ: tsz, EPD1: 0, TTB1: BigInt(TABLE) };
      const m = new TestMachine({ ...plain, ste: { Config: 5 }, cd });
      m.withoutOffset();
      putTables(m, granule, TABLE, 0, 0xf47n);
      const want = { ok: true, pa: TO + (VA % 2 ** granule), reads: 4 };
      expect(m.dma()).toMatchObject(want);
      const top = (1n << 64n) - (1n << BigInt(64 - tsz));
      expect(m.access({ iova: top | BigInt(VA) })).toMatchObject({ ...want, reads: 2 });
    });

    it(`2^${granule} in stage 2`, () => {
      const ste = { Config: 6, S2TG: tg0, S2T0SZ: tsz, S2SL0: granule === 12 ? 0 : 1, S2TTB: BigInt(TABLE) };
      const m = new TestMachine({ ...plain, ste });
      putTables(m, granule, TABLE, 0, 0x7ffn);
      expect(m.dma()).toMatchObject({ ok: true, pa: TO + (VA % 2 ** granule), reads: 3 });
    });
  }

  it('of both stages are kept apart in the caches', () => {
    const m = new TestMachine({ ...plain, cd: { TG0: 2, T0SZ: 28 } });
    for (let page = 0; page < 8; page++) m.mapIpa(S1 + page * 4096);
    m.mapIpa(TO + (VA % 16384));
    putTables(m, 14, S1, OFFSET, 0xf47n);
    expect(m.dma()).toMatchObject({ ok: true, pa: TO + OFFSET + (VA % 16384) });
    const all = (c: TranslationCache, field: number): number[] => {
      const out = new Set<number>();
      c.forEach((i) => {
        out.add(c.e[i + field]!);
      });
      return [...out];
    };
    // A table of 16 KiB over pages of 4 KiB has no one physical address, so its walk step is not cached.
    const { iotlb, s1walk, s2tlb, s2walk } = m.smmu.caches;
    expect([iotlb, s1walk, s2tlb, s2walk].map((c) => all(c, GRANULE))).toEqual([[14], [], [12], [12]]);
    // The smaller leaf decides the size, stage 1 the level.
    expect([all(iotlb, SHIFT), all(iotlb, LEVEL)]).toEqual([[12], [3]]);
  });
});
