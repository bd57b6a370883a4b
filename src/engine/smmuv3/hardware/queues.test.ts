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
  readonly m = new TestMachine(plain);
  prod = 0;

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
    d.m.smmu.regs.set('CMDQ_BASE', 0xf_ffff_ffff_0003n);
    d.set('CR0', 0x1d);
    d.set('CMDQ_PROD', 1);
    expect(d.reg('CMDQ_CONS') >>> 24).toBe(2);
  });

  it('reports an ATC invalidation without answer at the CMD_SYNC', () => {
    const d = new Driver();
    d.post(encodeCommand('ATC_INV', { SID: 0x999, Size: 52 }), tlbi, sync);
    expect(d.reg('CMDQ_CONS')).toBe(0x0300_0002);
  });

  it('writes the MSI of a CMD_SYNC', () => {
    const d = new Driver();
    d.m.memory.write32(0x5000, 1);
    d.post(encodeCommand('SYNC', { CS: 1, MSIData: 0xabcd, MSIAddress: 0x5000n }));
    expect(d.m.memory.read32(0x5000)).toBe(0xabcd);
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

  it('never consumes more than a full queue, whatever PROD says', () => {
    const d = new Driver();
    for (let i = 0; i < SIZE; i++) d.m.put(CMDQ + i * 16, tlbi);
    d.set('CMDQ_PROD', SIZE + 3);
    expect(d.m.trace.commands).toBeLessThanOrEqual(SIZE);
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

  it('reports a record that cannot be written', () => {
    const d = new Driver();
    d.m.smmu.regs.set('EVENTQ_BASE', 0xf_ffff_ffff_0005n);
    fault(d.m);
    expect(d.reg('GERROR') ^ d.reg('GERRORN')).toBe(4);
    expect(d.reg('EVENTQ_PROD')).toBe(0);
  });

  it('writes nothing while it is off', () => {
    const d = new Driver();
    d.set('CR0', 0x19);
    fault(d.m);
    expect(d.reg('EVENTQ_PROD')).toBe(0);
  });
});

describe('translation requests', () => {
  it('fill the ATC, and a translated access then passes', () => {
    const { m } = new Driver();
    const dma = () =>
      runToEnd(m.smmu.dma({ device: m.device, pasid: -1, iova: 0x1234_5678n, write: false, translated: true }));
    expect(dma()).toMatchObject({ ok: true, hit: 'walk' });
    expect(dma()).toMatchObject({ ok: true, hit: 'ATC', reads: 0 });
  });

  it('answer a page that is not mapped with no permission and record nothing', () => {
    const d = new Driver();
    d.m.write(d.m.s1Entry(3) + OFFSET, 0n);
    const r = runToEnd(d.m.smmu.ats(d.m.device, -1, 0x1234_5000n, false));
    expect(r).toMatchObject({ ok: false });
    expect(r.fault).toBeUndefined();
    expect(d.reg('EVENTQ_PROD')).toBe(0);
  });

  it('are refused with F_BAD_ATS_TREQ where EATS is off or the SMMU disabled, and with no event for a bad STE', () => {
    const off = new TestMachine({ ...plain, ste: { EATS: 0 } });
    expect(runToEnd(off.smmu.ats(off.device, -1, 0x1234_5000n, false)).fault?.name).toBe('F_BAD_ATS_TREQ');
    const disabled = new Driver();
    disabled.set('CR0', 0x1c);
    expect(runToEnd(disabled.m.smmu.ats(disabled.m.device, -1, 0x1234_5000n, false)).fault?.name).toBe(
      'F_BAD_ATS_TREQ',
    );
    const bad = new TestMachine({ ...plain, ste: { V: 0 } });
    expect(runToEnd(bad.smmu.ats(bad.device, -1, 0x1234_5000n, false)).fault).toBeUndefined();
    expect(bad.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
  });

  it('a translated access is refused where EATS is off and ATSCHK on', () => {
    const { m } = new Driver();
    const dma = () =>
      runToEnd(m.smmu.dma({ device: m.device, pasid: -1, iova: 0x1234_5678n, write: false, translated: true }));
    dma();
    const ste = m.memory.readWord(m.steAddress + 8);
    m.write(m.steAddress + 8, ste & ~0x30000000n);
    m.smmu.caches.removeSte(0x108);
    expect(dma().fault?.name).toBe('F_TRANSL_FORBIDDEN');
    runToEnd(m.smmu.writeRegister('CR0', 0xdn));
    expect(dma()).toMatchObject({ ok: true, hit: 'ATC' });
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
