import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { readMmio, writeMmio } from './mmio.ts';
import { DATA, IOVA, RID_A, TestUnit } from './test-unit.ts';

const write = (t: TestUnit, offset: number, bytes: 4 | 8, value: bigint): void =>
  runToEnd(writeMmio(t.unit, offset, bytes, value));

describe('the register frame, VT-d 11.4', () => {
  it('has each register at its offset', () => {
    const t = new TestUnit({ off: true });
    const places: readonly [number, string, bigint][] = [
      [0x20, 'RTADDR_REG', 0x1_2345_6400n],
      [0x28, 'CCMD_REG', 0x1234n],
      [0x90, 'IQA_REG', 0x1_2345_6801n],
      [0xb8, 'IRTA_REG', 0x1_2345_600fn],
      [0xd0, 'PQA_REG', 0x1_2345_6004n],
      [0x500, 'IVA_REG', 0x7f00_1234_5049n],
      [0x508, 'IOTLB_REG', 0x5_0000_0000n],
    ];
    for (const [offset, name, value] of places) {
      write(t, offset, 8, value);
      expect([name, t.reg(name), readMmio(t.unit, offset, 8)]).toEqual([name, value, value]);
    }
    for (const [offset, name] of [
      [0x3c, 'FEDATA_REG'],
      [0x40, 'FEADDR_REG'],
      [0x44, 'FEUADDR_REG'],
      [0xa4, 'IEDATA_REG'],
      [0xa8, 'IEADDR_REG'],
      [0xe4, 'PEDATA_REG'],
      [0xec, 'PEUADDR_REG'],
    ] as const) {
      write(t, offset, 4, 0x1234_5678n);
      // The data of a message has 16 bits.
      expect([name, t.reg(name)]).toEqual([name, name.endsWith('DATA_REG') ? 0x5678n : 0x1234_5678n]);
    }
    expect([readMmio(t.unit, 8, 8), readMmio(t.unit, 0x10, 8)]).toEqual([t.unit.features.cap, t.unit.features.ecap]);
    expect([readMmio(t.unit, 8, 4), readMmio(t.unit, 12, 4)]).toEqual([0x40780c66n, 0x19ed008cn]);
  });

  it('moves what CAP and ECAP place', () => {
    const t = new TestUnit({ off: true, features: { NFR: 32 } });
    expect(t.unit.features.fro).toBe(0x600);
    t.unit.deliverEvent([0x1000n, 0x8000_0071_0000_0018n]);
    expect([readMmio(t.unit, 0x600, 8), readMmio(t.unit, 0x608, 8)]).toEqual([0x1000n, 0x8000_0071_0000_0018n]);
  });

  it('takes halves; a fault record is cleared by its last one, as Linux does it', () => {
    const t = new TestUnit();
    t.firstStage(5, 0, IOVA, DATA);
    t.dma({ iova: 0x1000n, write: true });
    const record = 0x400;
    // 3.1: dword 3 tells type and reason, dword 2 the requester.
    expect([readMmio(t.unit, record + 12, 4), readMmio(t.unit, record + 8, 4)]).toEqual([0x8000_0071n, BigInt(RID_A)]);
    write(t, record + 8, 4, 0xffff_ffffn);
    write(t, record, 8, 0xffff_ffff_ffff_ffffn);
    expect(readMmio(t.unit, record + 12, 4)).toBe(0x8000_0071n);
    write(t, record + 12, 4, 0x8000_0000n);
    expect([readMmio(t.unit, record + 12, 4), readMmio(t.unit, 0x34, 4) & 2n]).toEqual([0x71n, 0n]);
  });

  it('starts a command with the half that has its start bit', () => {
    const t = new TestUnit();
    t.firstStage(5, 0, IOVA, DATA);
    t.dma();
    t.set('RTADDR_REG', t.reg('RTADDR_REG') & ~0xc00n);
    t.set('GCMD_REG', 0xc000_0000);
    write(t, 0x508, 4, 0xffff_ffffn);
    expect(t.unit.caches.iotlb.size).toBe(1);
    write(t, 0x50c, 4, 0x9000_0000n);
    expect([t.unit.caches.iotlb.size, readMmio(t.unit, 0x50c, 4)]).toEqual([0, 0x1200_0000n]);
  });

  it('reads as zero and ignores writes elsewhere', () => {
    const t = new TestUnit();
    for (const [offset, bytes] of [
      [0x04, 4],
      [0x30, 4],
      [0x18, 8],
      [0x34, 8],
      [0x22, 4],
      [0x24, 8],
      [0xff8, 8],
    ] as const) {
      write(t, offset, bytes, 0xffff_ffff_ffff_ffffn);
      expect([offset, readMmio(t.unit, offset, bytes)]).toEqual([offset, 0n]);
    }
    expect(t.num('GSTS_REG')).toBe(0xc400_0000);
  });
});
