import { describe, expect, it } from 'vitest';
import { granuleFor } from './domain.ts';
import { GuestDriver } from './driver.ts';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const nic = (name: string, vrid: number) => ({ name, vrid, pasidBits: 0, atsCapable: true });

function attached(o: RecorderOptions = {}) {
  const g = guestOnRecorder({ ats: true, ...o });
  g.ok(g.driver.boot());
  g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
  const cd = () => g.memory.readWord(g.driver.views().devices[0]!.cdTable!.address);
  return { ...g, cd };
}

describe('granule and sizes of a domain (arm_lpae_restrict_pgsizes, arm_smmu_domain_finalise)', () => {
  it.each([
    [4096, [12, 14, 16], 4096],
    [16384, [12, 14, 16], 16384],
    [65536, [12, 14, 16], 65536],
    // Not the CPU's: the largest below, else the smallest above.
    [65536, [12, 14], 16384],
    [65536, [12], 4096],
    [16384, [12, 16], 4096],
    [4096, [14, 16], 16384],
    [16384, [16], 65536],
  ] as const)('PAGE_SIZE %i on granules %j', (page, granules, expected) => {
    expect(granuleFor(page, granules)).toBe(expected);
  });

  it.each([
    // T0SZ 16 in all; TG0 0 4K, 1 64K, 2 16K; IPS as IDR5.OAS, 52 bits with 64 KiB pages only.
    ['4 KiB, 44 bits', {}, 0x3510n, 4n],
    ['16 KiB', { page: 16384 }, 0x3590n, 4n],
    ['64 KiB', { page: 65536 }, 0x3550n, 4n],
    ['64 KiB, 52 bits', { page: 65536, sizes: 0x46n }, 0x3550n, 6n],
    ['4 KiB of 52 bits', { sizes: 0x16n }, 0x3510n, 5n],
    ['40 bits', { sizes: 0x72n }, 0x3510n, 2n],
  ] as const)('%s', (_what, o, low, ips) => {
    const { cd } = attached(o);
    expect(cd() & 0x3fffn).toBe(low & 0x3fffn);
    expect((cd() >> 32n) & 7n).toBe(ips);
  });

  it('unmaps with the hints of its granule, and refuses what is no multiple of it', () => {
    const g = attached({ page: 65536, ats: false });
    const map = (iova: number, size: number) => g.driver.map({ domain: 'dma0', iova, gpa: 0x40000000, size });
    expect(g.run(map(0x1000, 0x10000))).toMatchObject({ errno: 'EINVAL' });
    expect(g.run(map(0x10000, 0x1000))).toMatchObject({ errno: 'EINVAL' });
    g.ok(map(0x10000, 3 * 65536));
    expect(g.sent(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 3 * 65536 }))).toEqual([
      'TLBI_NH_VA asid 1 va 0x10000 pages 3 of 64K level 3 leaf',
      'SYNC',
    ]);
    // A level-2 block of 512 MiB is 8192 pages.
    g.ok(map(2 ** 29, 2 ** 29));
    expect(g.sent(g.driver.unmap({ domain: 'dma0', iova: 2 ** 29, size: 2 ** 29 }))).toEqual([
      'TLBI_NH_VA asid 1 va 0x20000000 pages 8192 of 64K level 2 leaf',
      'SYNC',
    ]);
  });
});

describe('the flush queue', () => {
  it('takes 255 unmaps; the next one empties it first', () => {
    const g = attached({ devices: [nic('nic0', 8), nic('nic1', 16)] });
    g.ok(g.driver.attach({ device: 'nic1', domain: 'dma0' }));
    g.ok(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x40000000, size: 300 * 4096 }));
    const unmap = (i: number) =>
      g.sent(g.driver.unmap({ domain: 'dma0', iova: 0x10000 + i * 4096, size: 4096, flush: 'queued' }));
    for (let i = 0; i < 255; i++) expect(unmap(i)).toEqual([]);
    expect(g.driver.views().domains[0]!.queued).toBe(255 * 4096);
    const all = ['TLBI_NH_ASID asid 1', 'SYNC', 'ATC_INV sid 0x8 all', 'ATC_INV sid 0x10 all', 'SYNC'];
    expect(unmap(255)).toEqual(all);
    expect(g.driver.views().domains[0]!.queued).toBe(4096);
    expect(g.sent(g.driver.flush())).toEqual(all);
  });
});

describe('the event thread', () => {
  it('takes 256 records in a run and leaves the line raised for the rest', () => {
    const g = attached();
    const { base } = g.driver.views().evtq!;
    for (let i = 0; i < 300; i++) g.memory.writeWord(base + i * 32, 0x0000000800000010n);
    g.smmu.registers['EVENTQ_PROD'] = 300n;
    g.smmu.irq.evtq = true;
    g.run(g.driver.interrupt());
    expect([g.driver.views().evtq!.cons, g.smmu.irq.evtq]).toEqual([256, true]);
    g.run(g.driver.interrupt());
    expect([g.driver.views().evtq!.cons, g.smmu.irq.evtq]).toEqual([300, false]);
  });
});

describe('a guest without an SMMU', () => {
  it('boots and refuses everything', () => {
    const { memory, pages, trace } = guestOnRecorder();
    const parts = guestOnRecorder();
    const driver = new GuestDriver({ memory, pages, trace, injector: parts.driver.injector, units: [], devices: [] });
    expect(parts.run(driver.boot()).ok).toBe(true);
    expect(driver.views()).toMatchObject({ units: [], devices: [], cmdq: null });
    expect(parts.run(driver.attach({ device: 'nic0', domain: 'dma0' })).ok).toBe(false);
    expect(parts.run(driver.map({ domain: 'dma0', iova: 0, gpa: 0, size: 4096 })).ok).toBe(false);
    expect(parts.run(driver.invalidate([0x30n, 0n])).ok).toBe(false);
    parts.run(driver.interrupt());
    parts.run(driver.deliver([0x30n, 0n]));
  });
});
