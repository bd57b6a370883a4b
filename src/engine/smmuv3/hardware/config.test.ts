import { describe, expect, it } from 'vitest';
import { CD, DATA, OFFSET, S1, type Shape, TestMachine, VA } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };

/** Puts CD and stage-1 tables also where they are found without stage 2. */
function withoutOffset(m: TestMachine): void {
  for (const page of [CD, S1, S1 + 0x1000, S1 + 0x2000, S1 + 0x3000])
    m.memory.writeBytes(page, m.memory.readBytes(page + OFFSET, 4096));
}

describe('STE.Config, Arm IHI 0070 5.2', () => {
  const run = (Config: number): TestMachine => {
    const m = new TestMachine({ ...plain, ste: { Config } });
    withoutOffset(m);
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
  it('a base of the stream table', () => {
    const m = new TestMachine(plain);
    m.smmu.regs.set('STRTAB_BASE', 0x100_ffc0n);
    m.smmu.translator.registersChanged();
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
