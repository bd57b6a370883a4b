import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { registers } from '../layout/index.ts';
import { readMmio, writeMmio } from './mmio.ts';
import { TestMachine, withIdr } from './test-machine.ts';

const machine = (): TestMachine =>
  new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false, override: withIdr({ IDR0: { PRI: 1 } }) });

describe('the register frame, Arm IHI 0070 6.2', () => {
  it('has each register at the offset of the table', () => {
    // 6.2.1 and 6.2.2, of an SMMU without Secure state, ATOS, MPAM, DPT and ECMDQ.
    const table: readonly [number, string][] = [
      [0x00, 'IDR0'],
      [0x04, 'IDR1'],
      [0x08, 'IDR2'],
      [0x0c, 'IDR3'],
      [0x10, 'IDR4'],
      [0x14, 'IDR5'],
      [0x18, 'IIDR'],
      [0x1c, 'AIDR'],
      [0x20, 'CR0'],
      [0x24, 'CR0ACK'],
      [0x28, 'CR1'],
      [0x2c, 'CR2'],
      [0x40, 'STATUSR'],
      [0x44, 'GBPA'],
      [0x50, 'IRQ_CTRL'],
      [0x54, 'IRQ_CTRLACK'],
      [0x60, 'GERROR'],
      [0x64, 'GERRORN'],
      [0x68, 'GERROR_IRQ_CFG0'],
      [0x70, 'GERROR_IRQ_CFG1'],
      [0x74, 'GERROR_IRQ_CFG2'],
      [0x80, 'STRTAB_BASE'],
      [0x88, 'STRTAB_BASE_CFG'],
      [0x90, 'CMDQ_BASE'],
      [0x98, 'CMDQ_PROD'],
      [0x9c, 'CMDQ_CONS'],
      [0xa0, 'EVENTQ_BASE'],
      [0x100a8, 'EVENTQ_PROD'],
      [0x100ac, 'EVENTQ_CONS'],
      [0xb0, 'EVENTQ_IRQ_CFG0'],
      [0xb8, 'EVENTQ_IRQ_CFG1'],
      [0xbc, 'EVENTQ_IRQ_CFG2'],
      [0xc0, 'PRIQ_BASE'],
      [0x100c8, 'PRIQ_PROD'],
      [0x100cc, 'PRIQ_CONS'],
      [0xd0, 'PRIQ_IRQ_CFG0'],
      [0xd8, 'PRIQ_IRQ_CFG1'],
      [0xdc, 'PRIQ_IRQ_CFG2'],
    ];
    expect(registers.map((r) => [r.offset, r.name])).toEqual(table);
  });

  it('reads as zero and ignores writes everywhere else', () => {
    const m = machine();
    const known = new Set(registers.flatMap((r) => (r.width === 64 ? [r.offset, r.offset + 4] : [r.offset])));
    const before = registers.map((r) => m.smmu.readRegister(r.name));
    for (let offset = 0; offset < 0x20000; offset += 4) {
      if (known.has(offset)) continue;
      runToEnd(writeMmio(m.smmu, offset, 4, 0xffff_ffffn));
      expect(readMmio(m.smmu, offset, 4)).toBe(0n);
    }
    // The places in page 0 of what lies in page 1, GATOS, AGBPA, VATOS_SEL and Secure registers are among them.
    for (const offset of [0xa8, 0xac, 0xc8, 0xcc, 0x48, 0x100, 0x180, 0x190, 0x8000])
      expect(known.has(offset)).toBe(false);
    expect(registers.map((r) => m.smmu.readRegister(r.name))).toEqual(before);
  });

  it('takes a wide register whole and in halves', () => {
    const m = machine();
    runToEnd(writeMmio(m.smmu, 0x20, 4, 0n));
    runToEnd(writeMmio(m.smmu, 0x80, 8, 0x4000_1234_5678_9ac0n));
    expect(m.smmu.readRegister('STRTAB_BASE')).toBe(0x4000_1234_5678_9ac0n);
    runToEnd(writeMmio(m.smmu, 0x84, 4, 0x7n));
    expect(readMmio(m.smmu, 0x80, 8)).toBe(0x7_5678_9ac0n);
    runToEnd(writeMmio(m.smmu, 0x80, 4, 0x1000n));
    expect([readMmio(m.smmu, 0x80, 4), readMmio(m.smmu, 0x84, 4)]).toEqual([0x1000n, 7n]);
  });

  it('has no access over two registers, and none that is not aligned', () => {
    const m = machine();
    expect([readMmio(m.smmu, 0, 8), readMmio(m.smmu, 2, 4), readMmio(m.smmu, 0x84, 8)]).toEqual([0n, 0n, 0n]);
    expect(readMmio(m.smmu, 0, 4)).toBe(m.smmu.readRegister('IDR0'));
  });

  it('CMDQ_CONS reads as zero above the wrap bit', () => {
    const m = machine();
    runToEnd(writeMmio(m.smmu, 0x20, 4, 0n));
    runToEnd(writeMmio(m.smmu, 0x9c, 4, 0x7fff_ffffn));
    expect(readMmio(m.smmu, 0x9c, 4) & 0xfffffn).toBe(0xfn);
  });
});
