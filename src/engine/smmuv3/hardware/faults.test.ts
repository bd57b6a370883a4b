import { describe, expect, it } from 'vitest';
import { ANY } from '../../cache/index.ts';
import { runToEnd } from '../../machine/index.ts';
import { CD, DATA, OFFSET, type Shape, TestMachine, VA } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };
const page = (n: number): bigint => BigInt(n - (n % 4096));

describe('reads of a cold walk, Arm IHI 0070 3.4 and the number of levels', () => {
  const rows = [
    [4, 4, 30, 31, 36],
    [4, 3, 24, 25, 29],
    [4, 2, 18, 19, 22],
    [3, 4, 25, 26, 31],
    [3, 3, 20, 21, 25],
    [3, 2, 15, 16, 19],
  ] as const;
  for (const [n1, n2, linear, twoSte, twoBoth] of rows)
    it(`${n1} stage-1 and ${n2} stage-2 levels`, () => {
      const reads = (twoLevelSte: boolean, twoLevelCd: boolean): number => {
        const r = new TestMachine({ n1, n2, twoLevelSte, twoLevelCd }).dma();
        expect(r.pa).toBe(DATA + OFFSET + (VA % 4096));
        return r.reads;
      };
      expect([reads(false, false), reads(true, false), reads(true, true)]).toEqual([linear, twoSte, twoBoth]);
    });

  it('fills caches and takes nothing out of them', () => {
    const m = new TestMachine({ ...plain, twoLevelSte: true, twoLevelCd: true });
    let removed = 0;
    m.trace.listener = (e) => {
      if (e.kind === 'cache.remove') removed++;
    };
    m.dma();
    m.dma(false, 1);
    expect(removed).toBe(0);
  });

  it('reads nothing the second time, and only what is missing after a partial invalidation', () => {
    const m = new TestMachine(plain);
    m.dma();
    expect(m.dma()).toMatchObject({ hit: 'IOTLB', reads: 0 });
    m.smmu.caches.iotlb.removeContext(1, ANY);
    // The last stage-1 entry; its table and the final page are known to the walk cache and the stage-2 TLB.
    expect(m.dma()).toMatchObject({ hit: 'walk', reads: 1 });
  });
});

/** Rows: what is spoilt, the event with its fields. Absent fields must be zero. */
interface Row {
  readonly name: string;
  readonly spoil?: (m: TestMachine) => void;
  readonly shape?: Partial<Shape>;
  readonly write?: boolean;
  readonly pasid?: number;
  readonly event: string | null;
  readonly fields?: Readonly<Record<string, bigint>>;
}

const rows: readonly Row[] = [
  {
    name: 'CD page not mapped in stage 2',
    spoil: (m) => m.write(m.s2Leaf(CD), 0n),
    event: 'F_TRANSLATION',
    fields: { S2: 1n, CLASS: 0n, IPA: page(CD), RnW: 1n },
  },
  {
    name: 'CD page without read in stage 2',
    spoil: (m) => m.mapIpa(CD, 0x7bfn),
    event: 'F_PERMISSION',
    fields: { S2: 1n, CLASS: 0n, IPA: page(CD), RnW: 1n },
  },
  {
    name: 'CD page is Device memory with S2PTW',
    spoil: (m) => m.mapIpa(CD, 0x6c7n),
    event: 'F_PERMISSION',
    fields: { S2: 1n, CLASS: 0n, IPA: page(CD), RnW: 1n },
  },
  {
    name: 'stage-1 table page not mapped in stage 2',
    write: true,
    spoil: (m) => m.write(m.s2Leaf(m.s1Entry(2)), 0n),
    event: 'F_TRANSLATION',
    fields: { S2: 1n, CLASS: 1n, IPA: 0x10102000n, RnW: 0n },
  },
  {
    name: 'stage-1 table page write-only in stage 2',
    spoil: (m) => m.mapIpa(m.s1Entry(3), 0x7bfn),
    event: 'F_PERMISSION',
    fields: { S2: 1n, CLASS: 1n, TTRnW: 1n, IPA: 0x10103000n, RnW: 1n },
  },
  {
    name: 'stage-1 descriptor invalid',
    spoil: (m) => m.write(m.s1Entry(3) + OFFSET, 0n),
    event: 'F_TRANSLATION',
    fields: { CLASS: 2n, RnW: 1n },
  },
  {
    name: 'stage-1 page read-only, write',
    write: true,
    spoil: (m) => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xfc7n),
    event: 'F_PERMISSION',
    fields: { CLASS: 2n },
  },
  {
    name: 'stage-1 page for privileged accesses only',
    spoil: (m) => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xf07n),
    event: 'F_PERMISSION',
    fields: { CLASS: 2n, RnW: 1n },
  },
  {
    name: 'stage-1 access flag clear',
    spoil: (m) => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xb47n),
    event: 'F_ACCESS',
    fields: { CLASS: 2n, RnW: 1n },
  },
  {
    name: 'stage-1 output above IPS',
    shape: { cd: { IPS: 0 } },
    spoil: (m) => m.write(m.s1Entry(3) + OFFSET, 0x1_0000_0f47n),
    event: 'F_ADDR_SIZE',
    fields: { CLASS: 2n, RnW: 1n },
  },
  {
    name: 'input above the region',
    shape: { n1: 3, cd: { T0SZ: 39 } },
    event: 'F_TRANSLATION',
    fields: { CLASS: 2n, RnW: 1n },
  },
  { name: 'EPD0', shape: { cd: { EPD0: 1 } }, event: 'F_TRANSLATION', fields: { CLASS: 2n, RnW: 1n } },
  {
    name: 'final page not mapped in stage 2',
    spoil: (m) => m.write(m.s2Leaf(DATA), 0n),
    event: 'F_TRANSLATION',
    fields: { S2: 1n, CLASS: 2n, IPA: page(DATA), RnW: 1n },
  },
  {
    name: 'final page read-only in stage 2, write',
    write: true,
    spoil: (m) => m.mapIpa(DATA, 0x77fn),
    event: 'F_PERMISSION',
    fields: { S2: 1n, CLASS: 2n, IPA: page(DATA) },
  },
  {
    name: 'final page without access flag in stage 2',
    spoil: (m) => m.mapIpa(DATA, 0x3ffn),
    event: 'F_ACCESS',
    fields: { S2: 1n, CLASS: 2n, IPA: page(DATA), RnW: 1n },
  },
  {
    name: 'stage-2 table beyond memory',
    spoil: (m) => m.write(0x200_0000, 0xffff_ffff_f003n),
    shape: { ste: { S2PS: 5 } },
    event: 'F_WALK_EABT',
    fields: { S2: 1n, CLASS: 0n, RnW: 1n, FetchAddr: 0xffff_ffff_f000n },
  },
  { name: 'V = 0', shape: { ste: { V: 0 } }, event: 'C_BAD_STE' },
  { name: 'Config abort', shape: { ste: { Config: 0 } }, event: null },
  { name: 'CD invalid', shape: { cd: { V: 0 } }, event: 'C_BAD_CD' },
  { name: 'a PASID without substreams', pasid: 5, event: 'C_BAD_SUBSTREAMID', fields: { SSID: 5n } },
  {
    name: 'a PASID with stage 1 off',
    shape: { ste: { Config: 6 } },
    pasid: 5,
    event: 'C_BAD_SUBSTREAMID',
    fields: { SSID: 5n },
  },
  {
    name: 'a PASID beyond S1CDMax',
    shape: { twoLevelCd: true },
    pasid: 2048,
    event: 'C_BAD_SUBSTREAMID',
    fields: { SSID: 2048n },
  },
  {
    name: 'a PASID without level-2 table',
    shape: { twoLevelCd: true },
    pasid: 1025,
    event: 'C_BAD_SUBSTREAMID',
    fields: { SSID: 1025n },
  },
  {
    name: 'SSID 0 where S1DSS gives CD 0 to others',
    shape: { twoLevelCd: true },
    pasid: 0,
    event: 'F_STREAM_DISABLED',
  },
  {
    name: 'no PASID where S1DSS terminates',
    shape: { twoLevelCd: true, ste: { S1DSS: 0 } },
    event: 'F_STREAM_DISABLED',
  },
];

describe('events as words, reference values', () => {
  it('C_BAD_CD of a PASID', () => {
    const m = new TestMachine({ ...plain, ste: { S1CDMax: 3 } });
    expect(m.dma(false, 5).fault?.words).toEqual([0x000001080000580an, 0n, 0n, 0n]);
  });
  it('F_CD_FETCH', () => {
    const m = new TestMachine({ ...plain, ste: { Config: 5, S1ContextPtr: 0x880045100000n } });
    expect(m.dma().fault?.words).toEqual([0x0000010800000009n, 0n, 0n, 0x0000880045100000n]);
  });
  it('F_PERMISSION of a PASID, apart from the stall', () => {
    const m = new TestMachine({ ...plain, ste: { S1CDMax: 3 } });
    m.memory.writeBytes(CD + OFFSET + 5 * 64, m.memory.readBytes(CD + OFFSET, 64));
    m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | 0xfc7n);
    expect(m.dma(true, 5).fault?.words).toEqual([0x0000010800005813n, 0x0000020000000000n, BigInt(VA), 0n]);
  });
});

describe('the access as an event describes it', () => {
  const access = (q: { write?: boolean; exec?: boolean; priv?: boolean }): string => {
    const m = new TestMachine(plain);
    m.write(m.s1Entry(3) + OFFSET, 0n);
    const r = runToEnd(
      m.smmu.dma({ device: m.device, pasid: -1, iova: BigInt(VA), write: false, translated: false, ...q }),
    );
    const bits = r.fault!.fields;
    return ['PnU', 'InD', 'RnW'].map((f) => bits[f]).join('');
  };
  it('tells privilege, instruction and read', () => {
    expect([{}, { write: true }, { exec: true }, { priv: true }, { priv: true, exec: true }].map(access)).toEqual([
      '001',
      '000',
      '011',
      '101',
      '111',
    ]);
  });
});

describe('permissions by kind of access', () => {
  /** Which of read, write, execute, then the same privileged, pass with these bits of the stage-1 and stage-2 pages. */
  const passes = (low1: bigint, low2: bigint): string =>
    [false, true]
      .flatMap((priv) =>
        [{ write: false }, { write: true }, { write: false, exec: true }].map((q) => {
          const m = new TestMachine(plain);
          m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | low1);
          m.mapIpa(DATA, low2);
          const all = { device: m.device, pasid: -1, iova: BigInt(VA), translated: false, priv, ...q };
          return runToEnd(m.smmu.dma(all)).ok ? '1' : '0';
        }),
      )
      .join('');
  const UXN = 1n << 54n;
  const PXN = 1n << 53n;
  it('of stage 1', () => {
    expect(passes(0xf47n, 0x7ffn)).toBe('111110');
    expect(passes(0xfc7n, 0x7ffn)).toBe('101101');
    expect(passes(0xf07n, 0x7ffn)).toBe('001111');
    expect(passes(0xf87n, 0x7ffn)).toBe('001101');
    expect(passes(0xfc7n | UXN, 0x7ffn)).toBe('100101');
    expect(passes(0xfc7n | PXN, 0x7ffn)).toBe('101100');
  });
  it('of stage 2, with execution apart for each privilege', () => {
    expect(passes(0xfc7n, 0x77fn)).toBe('101101');
    expect(passes(0xf47n, 0x7bfn)).toBe('011010');
    expect(passes(0xfc7n, 0x7ffn | (1n << 53n))).toBe('101100');
    expect(passes(0xfc7n, 0x7ffn | (2n << 53n))).toBe('100100');
    expect(passes(0xfc7n, 0x7ffn | (3n << 53n))).toBe('100101');
  });
});

describe('which event a fault gives', () => {
  for (const r of rows)
    it(r.name, () => {
      const m = new TestMachine({ ...plain, ...r.shape });
      r.spoil?.(m);
      const outcome = m.dma(r.write, r.pasid);
      expect(outcome.ok).toBe(false);
      expect(outcome.fault?.name ?? null).toBe(r.event);
      if (!outcome.fault) {
        expect(m.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
        return;
      }
      const given = Object.fromEntries(Object.entries(outcome.fault.fields).filter(([, v]) => v !== 0n));
      delete given['EventID'];
      const input = r.event?.startsWith('F_') && r.event !== 'F_STREAM_DISABLED' ? { InputAddr: BigInt(VA) } : {};
      const want = Object.fromEntries(
        Object.entries({ SID: 0x108n, ...input, ...r.fields }).filter(([, v]) => v !== 0n),
      );
      if (r.pasid !== undefined && r.event !== 'C_BAD_SUBSTREAMID' && r.event !== 'F_STREAM_DISABLED') want['SSV'] = 1n;
      expect(given).toEqual(want);
      // The record in the queue is the same, to the bit.
      expect([0, 1, 2, 3].map((i) => m.memory.readWord(0x300_0000 + 8 * i))).toEqual(outcome.fault.words);
      expect(m.smmu.irq.evtq).toBe(true);
    });

  it('is not recorded when CD.R or STE.S2R is clear', () => {
    const one = new TestMachine({ ...plain, cd: { R: 0 } });
    one.write(one.s1Entry(3) + OFFSET, 0n);
    expect(one.dma().fault?.name).toBe('F_TRANSLATION');
    expect(one.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
    const two = new TestMachine({ ...plain, ste: { S2R: 0 } });
    two.write(two.s2Leaf(DATA), 0n);
    expect(two.dma().fault?.name).toBe('F_TRANSLATION');
    expect(two.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
  });

  it('is not recorded without S2R when stage 2 of a CD fails; an external abort always is', () => {
    const cd = new TestMachine({ ...plain, ste: { S2R: 0 } });
    cd.write(cd.s2Leaf(CD), 0n);
    expect(cd.dma().fault?.name).toBe('F_TRANSLATION');
    expect(cd.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
    const abort = new TestMachine({ ...plain, ste: { S2R: 0 }, cd: { R: 0 } });
    abort.mapIpa(abort.s1Entry(3));
    abort.write(abort.s2Leaf(abort.s1Entry(3)), 0xffff_ffff_f7ffn);
    expect(abort.dma().fault?.name).toBe('F_WALK_EABT');
    expect(abort.smmu.readRegister('EVENTQ_PROD')).toBe(1n);
  });

  it('S1DSS bypass leaves stage 2 alone in force', () => {
    const m = new TestMachine({ ...plain, twoLevelCd: true, ste: { S1DSS: 1 } });
    m.mapIpa(VA);
    expect(m.dma()).toMatchObject({ ok: true, pa: VA + OFFSET, reads: 5 });
  });
});
