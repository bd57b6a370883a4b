import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { OFFSET, type Shape, TestMachine } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };
/** The test machine's rings: commands of 8 entries, events of 32. */
const CMDQ = 0x310_0000;
const EVTQ = 0x300_0000;
const SIZE = 8;

class Driver {
  readonly m: TestMachine;
  prod = 0;

  constructor(features: Record<string, boolean | number> = {}, n2: 3 | 4 = 4) {
    this.m = new TestMachine({ ...plain, n2, features });
  }

  reg(name: string): number {
    return Number(this.m.smmu.readRegister(name));
  }

  set(name: string, value: number): void {
    runToEnd(this.m.smmu.writeRegister(name, BigInt(value >>> 0)));
  }

  /** Writes commands where PROD stands and publishes them. */
  post(...commands: bigint[][]): void {
    for (const c of commands) {
      this.m.put(CMDQ + (this.prod % SIZE) * 16, c);
      this.prod = (this.prod + 1) % (2 * SIZE);
    }
    this.set('CMDQ_PROD', this.prod);
  }
}

const sync = encodeCommand('SYNC', { CS: 2 });
const tlbi = encodeCommand('TLBI_NH_ALL', { VMID: 1 });

describe('the command queue', () => {
  it('follows PROD over many rounds, whatever the lengths', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: SIZE }), { minLength: 1, maxLength: 40 }), (lengths) => {
        const d = new Driver();
        let total = 0;
        for (const n of lengths) {
          d.post(...Array.from({ length: n }, () => tlbi));
          total += n;
          expect(d.reg('CMDQ_CONS')).toBe(d.prod);
        }
        expect(d.m.trace.commands).toBe(total);
      }),
      { numRuns: 100 },
    );
  });

  it('stops at an illegal command, reports it once, and goes on when the error is acknowledged', () => {
    const d = new Driver();
    d.m.dma();
    d.post(sync, [0xffn, 0n], tlbi, sync);
    // RD stays at the failing command; ERR is CERROR_ILL.
    expect(d.reg('CMDQ_CONS')).toBe(0x0100_0001);
    expect(d.reg('GERROR') ^ d.reg('GERRORN')).toBe(1);
    expect(d.m.smmu.irq.gerror).toBe(true);
    expect(d.m.smmu.caches.iotlb.size).toBe(1);
    d.set('CMDQ_PROD', d.prod);
    expect(d.reg('CMDQ_CONS')).toBe(0x0100_0001);
    d.m.put(CMDQ + 16, sync);
    d.set('GERRORN', d.reg('GERROR'));
    expect(d.reg('CMDQ_CONS') & 0xfffff).toBe(4);
    expect(d.m.smmu.caches.iotlb.size).toBe(0);
  });

  it('reports a fetch beyond memory as CERROR_ABT', () => {
    const d = new Driver();
    d.set('CR0', 0x15);
    runToEnd(d.m.smmu.writeRegister('CMDQ_BASE', 0xffff_ffff_0003n));
    d.set('CR0', 0x1d);
    d.set('CMDQ_PROD', 1);
    expect(d.reg('CMDQ_CONS') >>> 24).toBe(2);
  });

  it('reports an ATC invalidation without answer at the CMD_SYNC', () => {
    const d = new Driver();
    d.post(encodeCommand('ATC_INV', { SID: 0x999, Size: 52 }), tlbi, sync);
    expect(d.reg('CMDQ_CONS')).toBe(0x0300_0002);
    // The command is tried again and succeeds, since the time-out was told.
    d.set('GERRORN', d.reg('GERROR'));
    expect(d.reg('CMDQ_CONS')).toBe(3);
  });

  it('writes the MSI of a CMD_SYNC', () => {
    const d = new Driver();
    d.m.memory.write32(0x5000, 1);
    d.post(encodeCommand('SYNC', { CS: 1, MSIData: 0xabcd, MSIAddress: 0x5000n }));
    expect(d.m.memory.read32(0x5000)).toBe(0xabcd);
    d.post(encodeCommand('SYNC', { CS: 1, MSIData: 0x1234, MSIAddress: 0x5004n }));
    expect([d.m.memory.read32(0x5000), d.m.memory.read32(0x5004)]).toEqual([0xabcd, 0x1234]);
  });

  it('reports an MSI of a CMD_SYNC that goes nowhere, and completes the command', () => {
    const d = new Driver();
    const lost = encodeCommand('SYNC', { CS: 1, MSIAddress: 0xffff_ffff_f000n });
    d.post(lost, lost, tlbi);
    // Twice, and reported once.
    expect(d.reg('GERROR')).toBe(1 << 4);
    expect(d.reg('CMDQ_CONS')).toBe(3);
    expect(d.m.smmu.irq.gerror).toBe(true);
  });

  it('sends no MSI to address 0, and none at all without IDR0.MSI', () => {
    const d = new Driver();
    d.m.memory.write32(0, 7);
    d.post(encodeCommand('SYNC', { CS: 1, MSIData: 1 }));
    expect(d.m.memory.read32(0)).toBe(7);
    const wired = new Driver({ MSI: false });
    wired.m.memory.write32(0x5000, 7);
    wired.post(encodeCommand('SYNC', { CS: 1, MSIData: 1, MSIAddress: 0x5000n }));
    expect(wired.m.memory.read32(0x5000)).toBe(7);
    expect(wired.reg('CMDQ_CONS')).toBe(1);
  });

  it('cuts the addresses of a queue and of an MSI to the output size', () => {
    const d = new Driver({ OAS: 44 }, 3);
    d.set('CR0', 0x15);
    runToEnd(d.m.smmu.writeRegister('CMDQ_BASE', 0xf000_0310_0003n));
    d.set('CR0', 0x1d);
    d.post(tlbi, encodeCommand('SYNC', { CS: 1, MSIData: 5, MSIAddress: 0xf000_0000_5000n }));
    expect(d.reg('CMDQ_CONS')).toBe(2);
    expect(d.m.memory.read32(0x5000)).toBe(5);
  });

  it('takes indices that are further apart than the queue is long for none at all', () => {
    const d = new Driver();
    d.set('CMDQ_PROD', SIZE + 1);
    expect([d.reg('CMDQ_CONS'), d.m.trace.commands]).toEqual([0, 0]);
  });

  it('runs a command once, whoever rings the bell while it is fetched', () => {
    const d = new Driver();
    d.m.put(CMDQ, sync);
    d.m.put(CMDQ + 16, sync);
    const first = d.m.smmu.writeRegister('CMDQ_PROD', 2n);
    expect(first.next().value).toMatchObject({ point: 'fetch' });
    d.set('CMDQ_PROD', 2);
    expect(d.reg('CMDQ_CONS')).toBe(2);
    runToEnd(first);
    expect([d.reg('CMDQ_CONS'), d.m.trace.syncs]).toEqual([2, 2]);
  });

  it('consumes nothing while it is off, and everything when it is switched on', () => {
    const d = new Driver();
    d.set('CR0', 0x15);
    d.post(tlbi, sync);
    expect(d.reg('CMDQ_CONS')).toBe(0);
    d.set('CR0', 0x1d);
    expect(d.reg('CMDQ_CONS')).toBe(2);
    expect(d.reg('CR0ACK')).toBe(0x1d);
  });

  it('consumes a full queue', () => {
    const d = new Driver();
    d.post(...Array.from({ length: SIZE }, () => tlbi));
    expect([d.reg('CMDQ_CONS'), d.m.trace.commands]).toEqual([SIZE, SIZE]);
  });
});

describe('the event queue', () => {
  const fault = (m: TestMachine): void => {
    m.write(m.s1Entry(3) + OFFSET, 0n);
    expect(m.dma().fault?.name).toBe('F_TRANSLATION');
  };

  it('fills, flags the overflow once, and goes on after the acknowledgement', () => {
    const d = new Driver();
    for (let i = 0; i < 32; i++) fault(d.m);
    expect(d.reg('EVENTQ_PROD')).toBe(32);
    fault(d.m);
    fault(d.m);
    expect(d.reg('EVENTQ_PROD') >>> 0).toBe(0x8000_0020);
    // The driver takes all records and copies the flag to CONS.
    d.set('EVENTQ_CONS', 0x8000_0020);
    d.m.put(EVTQ, [0n, 0n, 0n, 0n]);
    fault(d.m);
    expect(d.reg('EVENTQ_PROD') >>> 0).toBe(0x8000_0021);
    expect(d.m.memory.readWord(EVTQ)).toBe(0x0000_0108_0000_0010n);
    for (let i = 0; i < 31; i++) fault(d.m);
    fault(d.m);
    // A second overflow turns the flag back.
    expect(d.reg('EVENTQ_PROD') >>> 0).toBe(0);
  });

  it('reports a record that cannot be written, and writes none until that is acknowledged', () => {
    const d = new Driver();
    const base = d.m.smmu.readRegister('EVENTQ_BASE');
    d.m.smmu.regs.set('EVENTQ_BASE', 0xffff_ffff_0005n);
    fault(d.m);
    expect(d.reg('GERROR') ^ d.reg('GERRORN')).toBe(4);
    expect(d.reg('EVENTQ_PROD')).toBe(0);
    expect(d.m.smmu.irq).toEqual({ evtq: false, gerror: true, priq: false });
    d.m.smmu.regs.set('EVENTQ_BASE', base);
    fault(d.m);
    expect(d.reg('EVENTQ_PROD')).toBe(0);
    d.set('GERRORN', d.reg('GERROR'));
    fault(d.m);
    expect(d.reg('EVENTQ_PROD')).toBe(1);
  });

  it('interrupts when it stops being empty, not at each record', () => {
    const d = new Driver();
    fault(d.m);
    expect(d.m.smmu.irq.evtq).toBe(true);
    d.m.smmu.irq.evtq = false;
    fault(d.m);
    expect(d.m.smmu.irq.evtq).toBe(false);
    d.set('EVENTQ_CONS', 2);
    fault(d.m);
    expect(d.m.smmu.irq.evtq).toBe(true);
  });

  it('interrupts by a memory write where an address is configured', () => {
    const d = new Driver();
    const configure = (address: number): void => {
      d.set('IRQ_CTRL', 0);
      d.set('EVENTQ_IRQ_CFG0', address);
      d.set('EVENTQ_IRQ_CFG1', 0x55);
      d.set('IRQ_CTRL', 5);
    };
    configure(0x5000);
    fault(d.m);
    expect(d.m.memory.read32(0x5000)).toBe(0x55);
    d.set('EVENTQ_CONS', 1);
    d.m.smmu.irq.evtq = false;
    d.set('IRQ_CTRL', 0);
    runToEnd(d.m.smmu.writeRegister('EVENTQ_IRQ_CFG0', 0xffff_ffff_f000n));
    d.set('IRQ_CTRL', 5);
    fault(d.m);
    expect(d.reg('GERROR')).toBe(1 << 5);
    expect(d.m.smmu.irq).toEqual({ evtq: false, gerror: true, priq: false });
  });

  it('an interrupt of a global error that cannot be sent is not tried again', () => {
    const d = new Driver();
    d.set('IRQ_CTRL', 0);
    runToEnd(d.m.smmu.writeRegister('GERROR_IRQ_CFG0', 0xffff_ffff_f000n));
    d.set('IRQ_CTRL', 5);
    d.post([0xffn, 0n]);
    expect(d.reg('GERROR')).toBe((1 << 7) | 1);
    expect(d.m.smmu.irq.gerror).toBe(false);
  });

  it('does not interrupt while interrupts are off', () => {
    const d = new Driver();
    d.set('IRQ_CTRL', 0);
    expect(d.reg('IRQ_CTRLACK')).toBe(0);
    fault(d.m);
    d.post([0xffn, 0n]);
    expect(d.m.smmu.irq).toEqual({ evtq: false, gerror: false, priq: false });
  });

  it('writes nothing while it is off', () => {
    const d = new Driver();
    d.set('CR0', 0x19);
    fault(d.m);
    expect(d.reg('EVENTQ_PROD')).toBe(0);
  });
});

describe('a device that uses its ATC', () => {
  it('asks once and then sends translated accesses', () => {
    const { m } = new Driver();
    const dma = () =>
      runToEnd(m.smmu.dma({ device: m.device, pasid: -1, iova: 0x1234_5678n, write: false, translated: true }));
    expect(dma()).toMatchObject({ ok: true, hit: 'walk' });
    expect(dma()).toMatchObject({ ok: true, hit: 'ATC', reads: 0 });
  });

  it('sends untranslated accesses while its ATS is off', () => {
    const { m } = new Driver();
    m.device.atsEnabled = false;
    expect(m.access({ translated: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.access({ translated: true })).toMatchObject({ ok: true, hit: 'IOTLB' });
    expect(runToEnd(m.smmu.ats(m.device, -1, 0x1234_5000n, false))).toMatchObject({ ok: false, hit: 'none' });
    expect(m.device.atc.size).toBe(0);
  });
});

describe('the SMMU switched off', () => {
  it('lets everything pass or nothing, as GBPA says', () => {
    const d = new Driver();
    d.set('CR0', 0x1c);
    expect(d.m.dma()).toMatchObject({ ok: true, pa: 0x1234_5678, hit: 'none' });
    // Without UPDATE the write has no effect.
    d.set('GBPA', 0x0010_0000);
    expect(d.m.dma().ok).toBe(true);
    d.set('GBPA', 0x8010_0000);
    expect(d.reg('GBPA')).toBe(0x0010_0000);
    const r = d.m.dma();
    expect([r.ok, r.fault]).toEqual([false, undefined]);
  });
});
