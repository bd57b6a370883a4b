import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { registers } from '../layout/index.ts';
import { physicalFeatures } from './index.ts';
import { RegisterFile } from './registers.ts';
import { TestMachine, withIdr } from './test-machine.ts';

const file = (features: Record<string, boolean | number> = {}): RegisterFile =>
  new RegisterFile(physicalFeatures(features));
const ALL = (1n << 64n) - 1n;

describe('registers, Arm IHI 0070 6.3', () => {
  it.each([true, false])('which software cannot write (PRI %s)', (PRI) => {
    for (const { name } of registers) {
      const r = file({ PRI });
      const before = r.get(name);
      const written = r.write(name, ALL);
      const readOnly =
        /^(IDR\d|IIDR|AIDR|CR0ACK|STATUSR|IRQ_CTRLACK|GERROR)$/.test(name) || (!PRI && name.startsWith('PRIQ_'));
      expect(written, name).toBe(!readOnly);
      if (readOnly) expect(r.get(name), name).toBe(before);
    }
  });

  it('keep no bit that does not exist', () => {
    const want: Readonly<Record<string, bigint>> = {
      CR0: 0x1fn,
      CR1: 0xfffn,
      CR2: 7n,
      IRQ_CTRL: 7n,
      // GBPA: MemAttr [3:0], MTCFG 4, ALLOCCFG [11:8], SHCFG [13:12], PRIVCFG [17:16], INSTCFG [19:18], ABORT 20.
      GBPA: 0x1f3f1fn,
      GERRORN: 0x1fdn,
      GERROR_IRQ_CFG0: 0xf_ffff_ffff_fffcn,
      GERROR_IRQ_CFG2: 0x3fn,
      PRIQ_BASE: 0x400f_ffff_ffff_ffffn,
      PRIQ_PROD: 0x800fffffn,
      PRIQ_CONS: 0x800fffffn,
      PRIQ_IRQ_CFG0: 0xf_ffff_ffff_fffcn,
      PRIQ_IRQ_CFG1: 0xffff_ffffn,
      PRIQ_IRQ_CFG2: 0x8000_003fn,
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
    const less = file({ HYP: false, ATS: false, MSI: false, PRI: false });
    const some = ['CR2', 'CR0', 'GERRORN', 'GERROR_IRQ_CFG0', 'EVENTQ_IRQ_CFG1', 'PRIQ_IRQ_CFG2', 'IRQ_CTRL'];
    for (const name of some) less.write(name, ALL);
    expect(some.map((n) => less.num(n))).toEqual([6, 0xd, 0x105, 0, 0, 0, 5]);
    // Without MSIs the interrupt of the PRI queue can still be limited to last requests.
    const wired = file({ MSI: false });
    for (const name of ['GERRORN', 'PRIQ_IRQ_CFG0', 'PRIQ_IRQ_CFG2']) wired.write(name, ALL);
    expect(['GERRORN', 'PRIQ_IRQ_CFG0', 'PRIQ_IRQ_CFG2'].map((n) => wired.num(n))).toEqual([0x10d, 0, 0x8000_0000]);
    const recording = new RegisterFile(withIdr({ IDR0: { ATSRECERR: 1 } }));
    recording.write('CR2', ALL);
    expect(recording.num('CR2')).toBe(0xf);
  });

  it('are guarded by the bit that enables what they describe', () => {
    const guarded: readonly [string, number, string[]][] = [
      ['CR0', 1, ['CR2', 'STRTAB_BASE', 'STRTAB_BASE_CFG']],
      ['CR0', 2, ['PRIQ_BASE', 'PRIQ_PROD']],
      ['CR0', 4, ['EVENTQ_BASE', 'EVENTQ_PROD']],
      ['CR0', 8, ['CMDQ_BASE', 'CMDQ_CONS']],
      ['IRQ_CTRL', 1, ['GERROR_IRQ_CFG0', 'GERROR_IRQ_CFG1', 'GERROR_IRQ_CFG2']],
      ['IRQ_CTRL', 2, ['PRIQ_IRQ_CFG0', 'PRIQ_IRQ_CFG1', 'PRIQ_IRQ_CFG2']],
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
    expect([0n, 1n, 2n, 4n, 8n, 5n].map(under)).toEqual([0xfff, 0x3f, 0xfc0, 0xfc0, 0xfc0, 0]);
  });

  it('GBPA takes a value only with UPDATE', () => {
    const r = file();
    expect(r.get('GBPA')).toBe(0x1000n);
    expect(r.write('GBPA', 0x10_0000n)).toBe(false);
    expect(r.get('GBPA')).toBe(0x1000n);
    expect(r.write('GBPA', 0x8010_0000n)).toBe(true);
    expect(r.get('GBPA')).toBe(0x10_0000n);
  });

  it('IDR5.STALL_MAX is there only with the stall model', () => {
    const max = (STALL_MODEL: number): number => file({ STALL_MODEL }).num('IDR5') >>> 16;
    expect([max(0), max(1), max(2)]).toEqual([64, 0, 64]);
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
    expect([m.smmu.readRegister('CR0'), m.smmu.readRegister('CR0ACK')]).toEqual([0x1fn, 0x1fn]);
    runToEnd(m.smmu.writeRegister('IRQ_CTRL', 0xffn));
    expect(m.smmu.readRegister('IRQ_CTRLACK')).toBe(7n);
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
    expect(other.smmu.irq).toEqual({ evtq: true, gerror: false, priq: false });
    expect(other.smmu.save()).toEqual(state);
  });
});
