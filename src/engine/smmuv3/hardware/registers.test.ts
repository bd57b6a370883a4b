import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { registers } from '../layout/index.ts';
import { physicalFeatures } from './index.ts';
import { RegisterFile } from './registers.ts';
import { TestMachine } from './test-machine.ts';

const file = (features: Record<string, boolean | number> = {}): RegisterFile =>
  new RegisterFile(physicalFeatures(features));
const ALL = (1n << 64n) - 1n;

describe('registers, Arm IHI 0070 6.3', () => {
  it('which software cannot write', () => {
    for (const { name } of registers) {
      const r = file();
      const before = r.get(name);
      const written = r.write(name, ALL);
      const readOnly = /^(IDR\d|IIDR|AIDR|CR0ACK|STATUSR|IRQ_CTRLACK|GERROR|PRIQ_.*)$/.test(name);
      expect(written, name).toBe(!readOnly);
      if (readOnly) expect(r.get(name), name).toBe(before);
    }
  });

  it('keep no bit that does not exist', () => {
    const want: Readonly<Record<string, bigint>> = {
      CR0: 0x1dn,
      CR1: 0xfffn,
      CR2: 7n,
      IRQ_CTRL: 5n,
      GERRORN: 0x1b5n,
      STRTAB_BASE: 0x400f_ffff_ffff_ffc0n,
      STRTAB_BASE_CFG: 0x307ffn,
      CMDQ_BASE: 0x400f_ffff_ffff_ffffn,
      CMDQ_PROD: 0xfffffn,
      EVENTQ_CONS: 0x800fffffn,
    };
    for (const [name, bits] of Object.entries(want)) {
      const r = file();
      r.write(name, ALL);
      expect(r.get(name).toString(16), name).toBe(bits.toString(16));
    }
    const less = file({ HYP: false, ATS: false, MSI: false });
    for (const name of ['CR2', 'CR0', 'GERRORN', 'GERROR_IRQ_CFG0', 'EVENTQ_IRQ_CFG1']) less.write(name, ALL);
    expect(['CR0', 'CR2', 'GERRORN', 'GERROR_IRQ_CFG0', 'EVENTQ_IRQ_CFG1'].map((n) => less.num(n))).toEqual([
      0xd, 6, 0x105, 0, 0,
    ]);
  });

  it('are guarded by the bit that enables what they describe', () => {
    const guarded: readonly [string, number, string[]][] = [
      ['CR0', 1, ['CR2', 'STRTAB_BASE', 'STRTAB_BASE_CFG']],
      ['CR0', 4, ['EVENTQ_BASE', 'EVENTQ_PROD']],
      ['CR0', 8, ['CMDQ_BASE', 'CMDQ_CONS']],
      ['IRQ_CTRL', 1, ['GERROR_IRQ_CFG0', 'GERROR_IRQ_CFG1', 'GERROR_IRQ_CFG2']],
      ['IRQ_CTRL', 4, ['EVENTQ_IRQ_CFG0', 'EVENTQ_IRQ_CFG1', 'EVENTQ_IRQ_CFG2']],
    ];
    const names = guarded.flatMap(([, , n]) => n);
    for (const [guard, bit, own] of guarded) {
      const r = file();
      r.write(guard, BigInt(bit));
      for (const name of names) expect(r.write(name, 0n), `${name} under ${guard} ${bit}`).toBe(!own.includes(name));
    }
  });

  it('CR1 is guarded in halves', () => {
    const under = (cr0: bigint): number => {
      const r = file();
      r.write('CR0', cr0);
      r.write('CR1', ALL);
      return r.num('CR1');
    };
    expect([0n, 1n, 4n, 8n, 5n].map(under)).toEqual([0xfff, 0x3f, 0xfc0, 0xfc0, 0]);
  });

  it('GBPA takes a value only with UPDATE', () => {
    const r = file();
    expect(r.get('GBPA')).toBe(0x1000n);
    expect(r.write('GBPA', 0x10_0000n)).toBe(false);
    expect(r.get('GBPA')).toBe(0x1000n);
    expect(r.write('GBPA', 0x8010_0000n)).toBe(true);
    expect(r.get('GBPA')).toBe(0x10_0000n);
  });

  it('have no other names', () => {
    expect(() => file().get('CR9')).toThrow('SMMUv3 has no register CR9');
    expect(() => file().set('CR9', 0n)).toThrow(RangeError);
  });
});

describe('a register write of the SMMU', () => {
  const machine = (): TestMachine => new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false });

  it('acknowledges what is stored', () => {
    const m = machine();
    runToEnd(m.smmu.writeRegister('CR0', 0xffff_ffffn));
    expect([m.smmu.readRegister('CR0'), m.smmu.readRegister('CR0ACK')]).toEqual([0x1dn, 0x1dn]);
    runToEnd(m.smmu.writeRegister('IRQ_CTRL', 0xffn));
    expect(m.smmu.readRegister('IRQ_CTRLACK')).toBe(5n);
  });

  it('moves the stream table only while translation is off', () => {
    const m = machine();
    runToEnd(m.smmu.writeRegister('STRTAB_BASE', 0x10_0000n));
    m.smmu.caches.removeSte(0x108);
    expect(m.dma().ok).toBe(true);
    runToEnd(m.smmu.writeRegister('CR0', 0x1cn));
    runToEnd(m.smmu.writeRegister('STRTAB_BASE', 0x10_0000n));
    runToEnd(m.smmu.writeRegister('CR0', 0x1dn));
    // The STE that is cached stays in use; a fresh look-up finds another table.
    expect(m.dma()).toMatchObject({ ok: true, hit: 'IOTLB' });
    m.smmu.caches.removeSte(0x108);
    expect(m.dma().fault?.name).toBe('C_BAD_STE');
  });

  it('is kept by a snapshot', () => {
    const m = machine();
    runToEnd(m.smmu.writeRegister('CMDQ_PROD', 0n));
    m.write(m.s1Entry(3) + 0x8000_0000, 0n);
    m.dma();
    const state = structuredClone(m.smmu.save());
    const seen = registers.map((r) => m.smmu.readRegister(r.name));
    const other = machine();
    other.smmu.load(state);
    expect(registers.map((r) => other.smmu.readRegister(r.name))).toEqual(seen);
    expect(other.smmu.irq).toEqual({ evtq: true, gerror: false });
    expect(other.smmu.save()).toEqual(state);
  });
});
