import { describe, expect, it } from 'vitest';
import { Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import { encodeEvent } from '../layout/index.ts';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const nic0 = { name: 'nic0', vrid: 8, pasidBits: 8, atsCapable: false, canStall: true };

/** A guest whose vSMMU can stall, with nic0 bound to a process that has areas but no pages. */
function bound(o: RecorderOptions = {}) {
  const g = guestOnRecorder({ stallModel: 0, ssidBits: 8, devices: [nic0], ...o });
  const { driver, smmu, memory } = g;
  g.ok(driver.boot());
  g.ok(driver.attach({ device: 'nic0', domain: 'dma0' }));
  g.ok(driver.bind({ device: 'nic0', process: 'app' }));
  const log: string[] = [];
  g.trace.listener = (e) => e.kind === 'note' && log.push(e.text.replace('guest kernel log: ', ''));
  let prod = 0;
  /** The event record of a stalled access, and what the guest sends when it has read it. */
  const stalled = (fields: Record<string, number | bigint>): string[] => {
    const base = { SID: 8, SSV: 1, SSID: 1, STAG: 0x21, Stall: 1, RnW: 1, CLASS: 2 };
    const words = encodeEvent('F_TRANSLATION', { ...base, ...fields });
    const { base: at } = driver.views().evtq!;
    words.forEach((w, i) => {
      memory.writeWord(at + prod * 32 + i * 8, w);
    });
    smmu.registers['EVENTQ_PROD'] = BigInt(++prod);
    smmu.irq.evtq = true;
    smmu.take();
    log.length = 0;
    g.run(driver.interrupt());
    return smmu.take().filter((s) => !s.startsWith('EVENTQ'));
  };
  const area = (iova: number, perm: 'r' | 'w' | 'rw' = 'rw', size = 4096) =>
    g.ok(driver.map({ domain: 'app', iova, gpa: 0x48000000 + iova, size, perm, present: false }));
  // A second reader of the table: the one that knows nothing of processes.
  const page = (iova: number) => {
    const { pgd, granule } = driver.views().processes[0]!;
    const cfg = { stage: 1, inputBits: 48, outputBits: 48, granule: granule as 4096 } as const;
    return new Vmsav8Table(memory, g.pages, cfg, pgd).lookup(iova);
  };
  return { ...g, stalled, area, page, log };
}

const retry = 'RESUME sid 0x8 stag 0x21 retry';
const abort = 'RESUME sid 0x8 stag 0x21 abort';

describe('a stalled access of a process’s PASID', () => {
  it('faults the page in and is tried again; nothing waits for the answer', () => {
    const g = bound();
    g.area(0x10000);
    expect(g.page(0x10000)).toBeNull();
    expect(g.stalled({ InputAddr: 0x10123n, RnW: 0 })).toEqual([retry]);
    // Page, user, inner shareable, AF, nG, dirty and writable, never executed.
    expect(g.page(0x10123)).toMatchObject({ oa: 0x48010123, descriptor: 0x00e8_0000_4801_0f43n });
    expect(g.log).toEqual([]);
  });

  it('a read makes a clean page, a write to it makes it dirty and tells the device', () => {
    const g = bound();
    g.area(0x10000);
    expect(g.stalled({ InputAddr: 0x10000n })).toEqual([retry]);
    expect(g.page(0x10000)?.descriptor).toBe(0x0068_0000_4801_0fc3n);
    expect(g.stalled({ InputAddr: 0x10000n, EventID: 0x13, RnW: 0 })).toEqual([
      'TLBI_NH_VA asid 2 va 0x10000 pages 2 of 4K',
      'SYNC',
      retry,
    ]);
    expect(g.page(0x10000)?.descriptor).toBe(0x00e8_0000_4801_0f43n);
    // Somebody else was faster: nothing to do.
    expect(g.stalled({ InputAddr: 0x10000n, RnW: 0 })).toEqual([retry]);
  });

  it('is aborted where there is no area, or none that allows it', () => {
    const g = bound();
    g.area(0x10000, 'r');
    g.area(0x20000, 'w');
    expect(g.stalled({ InputAddr: 0x11000n })).toEqual([abort]);
    expect(g.stalled({ InputAddr: 0xfffn })).toEqual([abort]);
    expect(g.stalled({ InputAddr: 0x10000n, RnW: 0 })).toEqual([abort]);
    expect(g.stalled({ InputAddr: 0x20000n })).toEqual([abort]);
    expect(g.stalled({ InputAddr: 0x10000n, InD: 1 })).toEqual([abort]);
    expect(g.stalled({ InputAddr: 0xffff_0000_0001_0000n })).toEqual([abort]);
    expect(g.page(0x10000)).toBeNull();
    expect(g.stalled({ InputAddr: 0x10fffn })).toEqual([retry]);
    expect(g.page(0x10000)?.descriptor).toBe(0x0060_0000_4801_0fc3n);
  });

  it('of a process that has exited is aborted', () => {
    const g = bound();
    g.area(0x10000);
    g.ok(g.driver.exit({ process: 'app' }));
    expect(g.stalled({ InputAddr: 0x10000n })).toEqual([abort]);
  });

  it('of a DMA domain or an unknown PASID is aborted and logged, since nobody handles it', () => {
    const g = bound();
    expect(g.stalled({ InputAddr: 0x10000n, SSV: 0, SSID: 0 })).toEqual([abort]);
    expect(g.log[0]).toBe('event 0x10 received:');
    expect(g.log.at(-1)).toBe('unpriv data read s1 "Input address caused fault" stall stag: 0x21');
    expect(g.stalled({ InputAddr: 0x10000n, SSID: 9 })).toEqual([abort]);
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 9 }));
    expect(g.stalled({ InputAddr: 0x10000n, SSID: 9 })).toEqual([abort]);
    expect(g.log).toHaveLength(7);
  });

  it('of a StreamID that is nobody’s, or no fault, gets no answer, only a line', () => {
    const g = bound();
    expect(g.stalled({ InputAddr: 0x10000n, SID: 9 })).toEqual([]);
    expect(g.log[5]).toContain('client: (unassigned sid) sid: 0x9 ssid: 0x1');
    expect(g.stalled({ InputAddr: 0x10000n, EventID: 0x20 })).toEqual([]);
    expect(g.stalled({ InputAddr: 0x10000n, Stall: 0 })).toEqual([]);
  });
});

describe('stall in STE and CD', () => {
  const words = (o: RecorderOptions) => {
    const g = guestOnRecorder({ ssidBits: 8, ...o });
    g.ok(g.driver.boot());
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    const d = g.driver.views().devices[0]!;
    const ste = g.memory.readWord(d.steAddress + 8);
    return { s1stalld: (ste >> 27n) & 1n, s: (g.memory.readWord(d.cdTable!.address) >> 44n) & 1n, stall: d.stall };
  };
  const plain = [{ ...nic0, canStall: false }];

  it.each([
    ['can stall, device may', { stallModel: 0, devices: [nic0] }, { s1stalld: 0n, s: 1n, stall: true }],
    ['can stall, device may not', { stallModel: 0, devices: plain }, { s1stalld: 1n, s: 0n, stall: false }],
    ['cannot', { stallModel: 1, devices: [nic0] }, { s1stalld: 0n, s: 0n, stall: false }],
    ['must', { stallModel: 2, devices: plain }, { s1stalld: 0n, s: 1n, stall: true }],
  ])('SMMU %s', (_what, o, expected) => {
    expect(words(o)).toEqual(expected);
  });

  it('a forced stall stays in a quiet CD', () => {
    const quiet = (stallModel: number): bigint => {
      const g = bound({ stallModel });
      g.ok(g.driver.exit({ process: 'app' }));
      return (g.memory.readWord(g.driver.views().devices[0]!.cdTable!.address + 64) >> 44n) & 3n;
    };
    // S and R.
    expect([quiet(0), quiet(2)]).toEqual([0n, 3n]);
  });
});

describe('page requests (arm_smmu_handle_ppr)', () => {
  it('are unexpected: logged, and a group is denied with its last', () => {
    const g = guestOnRecorder({ pri: true, ats: true, ssidBits: 8, devices: [nic0] });
    g.ok(g.driver.boot());
    const { base, size, entryBytes } = g.driver.views().units[0]!.priq!;
    expect([size, entryBytes]).toEqual([32, 16]);
    const log: string[] = [];
    g.trace.listener = (e) => e.kind === 'note' && log.push(e.text);
    const put = (i: number, w0: bigint, w1: bigint): void => {
      g.memory.writeWord(base + i * 16, w0);
      g.memory.writeWord(base + i * 16 + 8, w1);
    };
    // Read and write for PASID 5, group 3; then the last of the group; then one without PASID.
    put(0, (1n << 63n) | (3n << 60n) | (5n << 32n) | 8n, 0x7000n | 3n);
    put(1, (3n << 62n) | (1n << 60n) | (1n << 58n) | (5n << 32n) | 8n, 0x8000n | 3n);
    put(2, (1n << 62n) | (1n << 61n) | 8n, 0x9000n | 511n);
    g.smmu.registers['PRIQ_PROD'] = 3n;
    g.smmu.irq.priq = true;
    g.smmu.take();
    g.run(g.driver.interrupt());
    expect(g.smmu.take()).toEqual([
      'PRIQ_CONS=0x1',
      'PRIQ_CONS=0x2',
      'PRI_RESP sid 0x8 ssid 0x5 group 3 failure',
      'PRIQ_CONS=0x3',
      'PRI_RESP sid 0x8 group 511 failure',
    ]);
    expect(log.filter((t) => t.includes('iova')).map((t) => t.split('\t')[1])).toEqual([
      'sid 0x00000008.0x00005: [3] unprivileged RW access at iova 0x0000000000007000',
      'sid 0x00000008.0x00005: [3L] privileged R access at iova 0x0000000000008000',
      'sid 0x00000008.0x00000: [511L] unprivileged W access at iova 0x0000000000009000',
    ]);
    expect(g.smmu.irq.priq).toBe(false);
  });

  it('an overflow is told and acknowledged', () => {
    const g = guestOnRecorder({ pri: true });
    g.ok(g.driver.boot());
    const log: string[] = [];
    g.trace.listener = (e) => e.kind === 'note' && log.push(e.text);
    g.smmu.registers['PRIQ_PROD'] = 0x80000000n;
    g.smmu.irq.priq = true;
    g.smmu.take();
    g.run(g.driver.interrupt());
    expect(g.smmu.take()).toEqual(['PRIQ_CONS=0x80000000']);
    expect(log).toEqual(['guest kernel log: PRIQ overflow detected -- requests lost']);
  });
});
