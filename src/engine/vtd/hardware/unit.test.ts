import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { GCMD } from './registers.ts';
import { DATA, IOVA, RID_A, ROOT, STATUS, TestUnit, wait } from './test-unit.ts';

const sizes = (t: TestUnit): number[] => {
  const { caches } = t.unit;
  return [caches.context.size, caches.pasid.size, caches.iotlb.size, caches.fswalk.size + caches.sswalk.size];
};

/** A unit that has translated once. */
function warm(features: Record<string, boolean | number> = {}): TestUnit {
  const t = new TestUnit({ features });
  t.firstStage(5, 0, IOVA, DATA);
  t.dma();
  return t;
}

describe('GCMD_REG and GSTS_REG, VT-d 11.4.4', () => {
  it('sticky bits follow what is written, one-shot bits stay', () => {
    const t = new TestUnit({ off: true });
    const steps: readonly [number, number][] = [
      [0x0400_0000, 0x0400_0000],
      [0x4400_0000, 0x4400_0000],
      [0x4500_0000, 0x4500_0000],
      [0xc500_0000, 0xc500_0000],
      [0xc700_0000, 0xc700_0000],
      // The one-shot bits written as zero change nothing.
      [0x8600_0000, 0xc700_0000],
      [0x0080_0000, 0x4180_0000],
      [0, 0x4100_0000],
    ];
    for (const [written, shown] of steps) {
      t.set('GCMD_REG', written);
      expect([written, t.num('GSTS_REG'), t.num('GCMD_REG')]).toEqual([written, shown, 0]);
    }
    t.set('GSTS_REG', 0xffff_ffff);
    expect(t.num('GSTS_REG')).toBe(0x4100_0000);
  });

  it('bits of missing features stay zero', () => {
    const t = new TestUnit({ off: true, features: { QI: false, IR: false } });
    t.set('GCMD_REG', 0xffff_ffff);
    expect(t.num('GSTS_REG')).toBe(GCMD.TE + GCMD.SRTP);
  });

  it('the root table is that of the last SRTP, not what RTADDR_REG holds', () => {
    const t = warm();
    t.set('RTADDR_REG', 0x5000_0400n);
    t.unit.caches.everything();
    expect(t.dma().ok).toBe(true);
    t.set('GCMD_REG', 0xc400_0000);
    expect(t.dma().fault).toBeUndefined();
    t.unit.caches.everything();
    expect(t.dma().fault?.name).toBe('SRT.2');
  });

  it('SRTP empties the caches only with CAP.ESRTPS', () => {
    const t = warm();
    const before = sizes(t);
    expect(before.every((n) => n > 0)).toBe(true);
    t.set('GCMD_REG', 0xc400_0000);
    expect(sizes(t)).toEqual(before);
    const other = warm({ ESRTPS: true });
    other.set('GCMD_REG', 0xc400_0000);
    expect(sizes(other)).toEqual([0, 0, 0, 0]);
  });

  it('switching translation off and on keeps what is cached where there is no scalable mode', () => {
    const t = new TestUnit({ features: { SMTS: false }, narrow: true, off: true });
    t.set('GCMD_REG', 0x8000_0000);
    t.unit.caches.begin(5, 0, RID_A, 2);
    t.unit.caches.fillLeaf(0, 0x5000, 12, 0, 0x5000, 0, 0x5000, 0x1ff, 1);
    t.set('GCMD_REG', 0);
    t.set('GCMD_REG', 0x8000_0000);
    expect(t.unit.caches.iotlb.size).toBe(1);
  });
});

describe('switching translation off, VT-d 11.4.4.1, 7.2.1', () => {
  it('empties the caches of a unit that has scalable mode', () => {
    const t = warm();
    t.set('GCMD_REG', 0x8400_0000);
    expect(t.unit.caches.iotlb.size).toBe(1);
    t.set('GCMD_REG', 0x0400_0000);
    expect(sizes(t).slice(0, 3)).toEqual([0, 0, 0]);
    // What comes now is not translated.
    expect(t.dma()).toMatchObject({ ok: false, why: expect.stringContaining('nothing answers') });
    expect(t.dma({ iova: 0x5678n })).toMatchObject({ ok: true, pa: 0x5678, hit: 'none', reads: 0 });
  });

  it('lets faults be recorded from the first record on', () => {
    const t = new TestUnit({ features: { NFR: 4 } });
    t.dma({ write: true });
    t.set('FRCD_REG0_HI', 1n << 63n);
    t.set('GCMD_REG', 0x0400_0000);
    t.set('GCMD_REG', 0x8400_0000);
    t.dma({ write: true });
    expect([t.reg('FRCD_REG0_HI') >> 63n, t.reg('FRCD_REG1_HI') >> 63n]).toEqual([1n, 0n]);
  });
});

describe('invalidation by register, VT-d 11.4.7, 11.4.8', () => {
  /** The queue is off and the tables are those of legacy mode, so that the registers may be used. */
  const registers = (features = {}): TestUnit => {
    const t = warm(features);
    t.set('RTADDR_REG', t.reg('RTADDR_REG') & ~0xc00n);
    t.set('GCMD_REG', 0xc000_0000);
    return t;
  };

  it('is refused in scalable mode, 11.4.6.1, 11.4.6.3', () => {
    const t = warm();
    const before = sizes(t);
    t.set('GCMD_REG', 0x8000_0000);
    t.set('CCMD_REG', 0xa000_0000_0000_0000n);
    t.set('IOTLB_REG', 0x9000_0000_0000_0000n);
    expect(sizes(t)).toEqual(before);
    expect([t.reg('CCMD_REG') >> 59n, t.reg('IOTLB_REG') >> 57n]).toEqual([4n, 8n]);
  });

  it('CCMD_REG removes context entries and nothing else', () => {
    for (const [value, left] of [
      [0xa000_0000_0000_0000n, 0],
      [0xc000_0000_0000_0005n, 0],
      [0xe000_0000_0000_0000n | (BigInt(RID_A) << 16n), 0],
      [0xe000_0000_0000_0000n | (BigInt(RID_A + 1) << 16n), 1],
      [0xe000_0003_0000_0000n | (BigInt(RID_A + 1) << 16n), 0],
    ] as const) {
      const t = registers();
      const [, ...others] = sizes(t);
      t.set('CCMD_REG', value);
      expect(sizes(t)).toEqual([left, ...others]);
      // ICC is clear, and CAIG tells what was done.
      const g = (value >> 61n) & 3n;
      expect(t.reg('CCMD_REG')).toBe((value & 0x7fff_ffff_ffff_ffffn) | (g << 59n));
    }
  });

  it('IOTLB_REG removes by IIRG, with IVA_REG for pages', () => {
    for (const [value, left] of [
      [0x9000_0000_0000_0000n, 0],
      [0xa000_0005_0000_0000n, 0],
      [0xa000_0006_0000_0000n, 1],
      [0xb000_0005_0000_0000n, 0],
      [0xb000_0006_0000_0000n, 1],
    ] as const) {
      const t = registers();
      t.set('IVA_REG', IOVA);
      t.set('IOTLB_REG', value);
      expect([t.unit.caches.iotlb.size, t.unit.caches.context.size]).toEqual([left, 1]);
      const g = (value >> 60n) & 3n;
      expect(t.reg('IOTLB_REG')).toBe((value & 0x7fff_ffff_ffff_ffffn) | (g << 57n));
    }
  });

  it('an address mask above CAP.MAMV is refused, and pages mean the domain without CAP.PSI', () => {
    const t = registers({ MAMV: 9 });
    t.set('IVA_REG', 10n);
    t.set('IOTLB_REG', 0xb000_0005_0000_0000n);
    expect([t.unit.caches.iotlb.size, (t.reg('IOTLB_REG') >> 57n) & 3n]).toEqual([1, 0n]);
    const other = registers({ PSI: false });
    other.set('IOTLB_REG', 0xb000_0005_0000_0000n);
    expect([other.unit.caches.iotlb.size, (other.reg('IOTLB_REG') >> 57n) & 3n]).toEqual([0, 2n]);
  });

  it('does nothing while the queue is on, nor without its start bit', () => {
    const t = warm();
    const before = sizes(t);
    t.set('CCMD_REG', 0xa000_0000_0000_0000n);
    t.set('IOTLB_REG', 0x9000_0000_0000_0000n);
    expect([sizes(t), t.reg('CCMD_REG') >> 63n, t.reg('IOTLB_REG') >> 63n]).toEqual([before, 0n, 0n]);
    const off = registers();
    off.set('CCMD_REG', 0x2000_0000_0000_0000n);
    off.set('IOTLB_REG', 0x1000_0000_0000_0000n);
    expect(sizes(off)).toEqual(before);
  });
});

describe('a unit', () => {
  it('is kept by save and load, in the middle of everything', () => {
    const t = warm();
    t.b.atsEnabled = false;
    t.post(encodeDescriptor('DEV_TLB_INV', { SID: 0x999 }), wait());
    t.dma({ pasid: 3 });
    t.unit.irq.prq = true;
    const state = structuredClone(t.unit.save());
    const other = new TestUnit();
    other.unit.load(state);
    expect(other.unit.save()).toEqual(state);
    expect(other.unit.irq).toEqual(t.unit.irq);
    expect([other.num('FSTS_REG'), other.num('IQH_REG'), other.b.atsEnabled]).toEqual([t.num('FSTS_REG'), 64, false]);
    // It goes on as the other does: the lost wait is lost, and the next one is done.
    for (const u of [t, other]) u.set('FSTS_REG', 0x40);
    runToEnd(other.unit.writeRegister('IQT_REG', 64n));
    expect(other.memory.read32(STATUS)).toBe(0);
    expect([other.dma(), t.dma()]).toMatchObject([
      { pa: DATA, hit: 'IOTLB' },
      { pa: DATA, hit: 'IOTLB' },
    ]);
  });

  it('says which register was written and what it then holds, and nothing of a doorbell', () => {
    const t = new TestUnit();
    t.listen();
    t.set('RTADDR_REG', 0xffff_ffff_ffff_ffffn);
    t.set('FSTS_REG', 0x83);
    t.set('IQT_REG', 0);
    t.set('GSTS_REG', 1);
    t.set('GCMD_REG', 0x8400_0000);
    const writes = t.events.flatMap((e) => (e.kind === 'register.write' ? [[e.reg, e.value, e.at, e.iommu]] : []));
    expect(writes).toEqual([
      ['RTADDR_REG', 0x000f_ffff_ffff_fc00n, 'hw.unit', 'physical'],
      ['FSTS_REG', 0x83n, 'hw.unit', 'physical'],
      ['GCMD_REG', 0x8400_0000n, 'hw.unit', 'physical'],
    ]);
  });

  it('executes a descriptor that comes late', () => {
    const t = warm();
    t.unit.executeLate(encodeDescriptor('IOTLB_INV', { G: 1 }));
    expect(t.unit.caches.iotlb.size).toBe(0);
    t.unit.executeLate([0xfn, 0n]);
    expect(t.num('FSTS_REG')).toBe(0);
  });

  it('knows no other registers', () => {
    const t = new TestUnit();
    expect(() => t.reg('CR0')).toThrow(RangeError);
    expect(() => t.set('CR0', 1)).toThrow(RangeError);
    expect(ROOT).toBe(Number(t.reg('RTADDR_REG') & ~0xfffn));
  });
});
