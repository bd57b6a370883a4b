import { describe, expect, it } from 'vitest';
import { CD, DATA, L1CD, OFFSET, S1, type Shape, TestMachine, VA } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };

describe('STE.Config, Arm IHI 0070 5.2', () => {
  const run = (Config: number): TestMachine => {
    const m = new TestMachine({ ...plain, ste: { Config } });
    m.withoutOffset();
    m.mapIpa(VA);
    return m;
  };
  it('0 to 3 abort and record nothing', () => {
    for (const config of [0, 1, 2, 3]) {
      const m = run(config);
      const r = m.dma();
      expect([r.ok, r.fault, m.smmu.readRegister('EVENTQ_PROD')]).toEqual([false, undefined, 0n]);
    }
  });
  it('4 passes the address', () => expect(run(4).dma()).toMatchObject({ ok: true, pa: VA, reads: 1, hit: 'none' }));
  it('5 translates by stage 1', () =>
    expect(run(5).dma()).toMatchObject({ ok: true, pa: DATA + (VA % 4096), reads: 1 + 1 + 4 }));
  it('6 translates by stage 2', () => expect(run(6).dma()).toMatchObject({ ok: true, pa: VA + OFFSET, reads: 1 + 4 }));
  it('7 translates by both', () =>
    expect(run(7).dma()).toMatchObject({ ok: true, pa: DATA + OFFSET + (VA % 4096), reads: 30 }));
});

/** Which CD a request uses, `bypass`, or the event: S1CDMax, S1DSS, then without PASID and with PASIDs 0, 1 and 2. */
const substreams: readonly [number, number, ...(number | string)[]][] = [
  [0, 0, 0, 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID'],
  [0, 1, 0, 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID'],
  [0, 2, 0, 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID', 'C_BAD_SUBSTREAMID'],
  [1, 0, 'F_STREAM_DISABLED', 0, 1, 'C_BAD_SUBSTREAMID'],
  [1, 1, 'bypass', 0, 1, 'C_BAD_SUBSTREAMID'],
  [1, 2, 0, 'F_STREAM_DISABLED', 1, 'C_BAD_SUBSTREAMID'],
  [1, 3, 'F_STREAM_DISABLED', 0, 1, 'C_BAD_SUBSTREAMID'],
];

describe('substreams, Arm IHI 0070 5.2 (S1CDMax, S1DSS)', () => {
  for (const [S1CDMax, S1DSS, ...want] of substreams)
    it(`S1CDMax ${S1CDMax}, S1DSS ${S1DSS}`, () => {
      const got = [-1, 0, 1, 2].map((pasid) => {
        const m = new TestMachine({ ...plain, ste: { S1CDMax, S1DSS } });
        m.memory.writeBytes(CD + OFFSET + 64, m.memory.readBytes(CD + OFFSET, 64));
        m.mapIpa(VA);
        const r = m.dma(false, pasid);
        if (r.fault) return r.fault.name;
        if (r.pa === VA + OFFSET) return 'bypass';
        expect(r.pa).toBe(DATA + OFFSET + (VA % 4096));
        return m.smmu.translator.cd?.ssid;
      });
      expect(got).toEqual(want);
    });

  it('a PASID where stage 1 is off', () => {
    for (const Config of [4, 6]) {
      const m = new TestMachine({ ...plain, ste: { Config } });
      expect(m.dma(false, 0).fault?.name).toBe('C_BAD_SUBSTREAMID');
    }
  });
});

describe('tables that are not aligned', () => {
  it('lower bits of a context pointer and of translation tables are ignored', () => {
    const ste = { S1CDMax: 2, S1ContextPtr: BigInt(CD + 0xc0), S2TTB: 0x200_0ff0n };
    const cd = { TTB0: BigInt(S1 + 0xff0) };
    expect(new TestMachine({ ...plain, ste, cd }).dma()).toMatchObject({ ok: true, reads: 30 });
  });
  it('a level-2 stream table', () => {
    const m = new TestMachine({ ...plain, twoLevelSte: true });
    m.write(0x100_0008, m.memory.readWord(0x100_0008) | 0x3fc0n);
    expect(m.dma().ok).toBe(true);
  });
  it('a base of the stream table', () => {
    const m = new TestMachine(plain);
    m.smmu.regs.set('STRTAB_BASE', 0x100_ffc0n);
    m.smmu.translator.registersChanged();
    expect(m.dma().ok).toBe(true);
  });
});

describe('two-level CD tables', () => {
  it('S1Fmt 1 has tables of 64 CDs, S1Fmt 2 of 1024', () => {
    for (const [S1Fmt, perTable, pasid] of [
      [1, 64, 130],
      [2, 1024, 2050],
    ] as const) {
      const m = new TestMachine({ ...plain, twoLevelCd: true, ste: { S1Fmt, S1CDMax: 12 } });
      const index = Math.floor(pasid / perTable);
      m.write(L1CD + OFFSET + 8 * index, BigInt(CD) | 1n);
      m.memory.writeBytes(CD + OFFSET + (pasid % perTable) * 64, m.memory.readBytes(CD + OFFSET, 64));
      expect(m.dma(false, pasid)).toMatchObject({ ok: true, pa: DATA + OFFSET + (VA % 4096) });
      expect(m.smmu.translator.cd?.ssid).toBe(pasid);
      expect(m.dma(false, pasid + perTable).fault?.name).toBe('C_BAD_SUBSTREAMID');
    }
  });
  it('with S1Fmt 2 start at 64 KiB', () => {
    const m = new TestMachine({ ...plain, twoLevelCd: true });
    m.write(L1CD + OFFSET, BigInt(CD + 0x3000) | 1n);
    expect(m.dma().ok).toBe(true);
  });
});

describe('addresses beyond the output size, in memory though they are', () => {
  const shape: Shape = { ...plain, n2: 2, features: { OAS: 32 } };
  const BEYOND = 2 ** 32;
  it('of a stream table, of either level', () => {
    const one = new TestMachine(shape);
    one.smmu.regs.set('STRTAB_BASE', BigInt(BEYOND));
    one.smmu.translator.registersChanged();
    expect(one.dma().fault?.name).toBe('F_STE_FETCH');
    const two = new TestMachine({ ...shape, twoLevelSte: true });
    two.write(0x100_0008, BigInt(BEYOND) | 9n);
    expect(two.dma().fault?.name).toBe('F_STE_FETCH');
    const first = new TestMachine({ ...shape, twoLevelSte: true });
    first.smmu.regs.set('STRTAB_BASE', BigInt(BEYOND));
    first.smmu.translator.registersChanged();
    first.write(BEYOND + 8, 0x110_0009n);
    expect(first.dma().fault?.name).toBe('F_STE_FETCH');
  });
  it('of a table of CDs', () => {
    const m = new TestMachine({ ...shape, twoLevelCd: true, ste: { Config: 5 } });
    m.withoutOffset();
    expect(m.dma().ok).toBe(true);
    m.smmu.caches.removeCds(0x108);
    m.write(L1CD, BigInt(BEYOND) | 1n);
    expect(m.dma().fault?.name).toBe('C_BAD_SUBSTREAMID');
  });
  it('as input', () => {
    const s2 = new TestMachine({ ...shape, ste: { Config: 6 } });
    expect(s2.access({ iova: BigInt(BEYOND) }).fault).toMatchObject({ name: 'F_ADDR_SIZE', fields: { S2: 0n } });
    expect(s2.access({ iova: BigInt(BEYOND / 2) }).fault).toMatchObject({ name: 'F_TRANSLATION', fields: { S2: 1n } });
    const bypass = new TestMachine({ ...shape, ste: { Config: 4 } });
    expect(bypass.access({ iova: BigInt(BEYOND) }).fault?.name).toBe('F_ADDR_SIZE');
    const off = new TestMachine(shape);
    off.smmu.regs.set('CR0', 0x1cn);
    off.smmu.translator.registersChanged();
    expect(off.access({ iova: BigInt(BEYOND) })).toEqual({ ok: false, pa: -1, hit: 'none', reads: 0, why: 'no event' });
    expect(off.access({ iova: BigInt(BEYOND - 4) })).toMatchObject({ ok: true, pa: BEYOND - 4 });
  });
});

describe('a level-1 descriptor without a table', () => {
  it('is not cached, so that a table can be made later', () => {
    const m = new TestMachine({ ...plain, twoLevelSte: true });
    const word = m.memory.readWord(0x100_0008);
    m.write(0x100_0008, 0n);
    expect(m.dma().fault?.name).toBe('C_BAD_STREAMID');
    m.write(0x100_0008, word);
    expect(m.dma().ok).toBe(true);
  });
});

describe('LOG2SIZE', () => {
  it('above IDR1.SIDSIZE lets no more StreamIDs in', () => {
    const m = new TestMachine(plain);
    m.smmu.regs.set('STRTAB_BASE', 0n);
    m.smmu.regs.set('STRTAB_BASE_CFG', 32n);
    m.smmu.translator.registersChanged();
    const sid = 2 ** 16;
    expect(m.smmu.translator.translate(sid, -1, 0, VA, 1, false, 0)).toBe(1);
    expect(m.smmu.translator.event).toBe(2);
    m.smmu.translator.translate(sid - 1, -1, 0, VA, 1, false, 0);
    expect(m.smmu.translator.event).toBe(4);
  });
});

describe('what a CD allows, by what is cached', () => {
  it('EPD stops the walk and not the use of an entry', () => {
    const m = new TestMachine(plain);
    m.dma();
    m.write(CD + OFFSET, m.memory.readWord(CD + OFFSET) | (1n << 14n));
    m.smmu.caches.removeCds(0x108);
    expect(m.dma()).toMatchObject({ ok: true, hit: 'IOTLB' });
    m.smmu.caches.iotlb.removeContext(1, 1);
    expect(m.dma().fault?.name).toBe('F_TRANSLATION');
  });
});
