import { describe, expect, it } from 'vitest';
import { bareMachine } from './bare-machine.ts';

const MiB2 = 2 ** 21;

describe('the driver on the hardware itself', () => {
  it('RID, PASID domains and a process translate apart', () => {
    const m = bareMachine();
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma0' }));
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    const { main } = m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
    for (const [domain, gpa] of [
      ['dma0', 0x100000],
      ['dma1', 0x200000],
      ['app', 0x300000],
    ] as const)
      m.ok(m.driver.map({ domain, iova: 0x10000, gpa, size: 4096 }));
    expect(m.dma(0x10040)).toMatchObject({ ok: true, pa: 0x100040 });
    expect(m.dma(0x10040, { pasid: 5, write: true })).toMatchObject({ ok: true, pa: 0x200040 });
    expect(m.dma(0x10040, { pasid: Number(main), write: true })).toMatchObject({ ok: true, pa: 0x300040 });
    for (const domain of ['dma0', 'dma1', 'app']) m.ok(m.driver.unmap({ domain, iova: 0x10000, size: 4096 }));
    for (const pasid of [-1, 5, Number(main)])
      expect(m.dma(0x10040, pasid < 0 ? {} : { pasid })).toMatchObject({ ok: false, fault: { name: 'F_TRANSLATION' } });
    expect(m.stale()).toEqual([]);
  });

  it.each([
    ['bypass', { ok: true, pa: 0x300040 }],
    ['blocked', { ok: false }],
  ])('a RID in %s beside a PASID', (rid, without) => {
    const m = bareMachine();
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: rid }));
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5 }));
    m.ok(m.driver.map({ domain: 'dma1', iova: 0x10000, gpa: 0x200000, size: 4096 }));
    expect(m.dma(0x300040)).toMatchObject(without);
    expect(m.dma(0x10040, { pasid: 5 })).toMatchObject({ ok: true, pa: 0x200040 });
    m.ok(m.driver.detach({ device: 'nic0', pasid: 5 }));
    expect(m.dma(0x10040, { pasid: 5 }).ok).toBe(false);
    expect(m.dma(0x300040)).toMatchObject(without);
    expect(m.stale()).toEqual([]);
  });

  it('a stalled access waits for its page and arrives; without an area it aborts', () => {
    const m = bareMachine({ features: { STALL_MODEL: 0 }, devices: [{ name: 'nic0', rid: 8, stall: true }] });
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma0' }));
    m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
    m.ok(m.driver.map({ domain: 'app', iova: 0x10000, gpa: 0x300000, size: 8192, present: false }));
    m.posted();
    expect(m.dma(0x10040, { pasid: 1 })).toMatchObject({ ok: true, pa: 0x300040 });
    expect(m.posted()).toEqual([expect.stringMatching(/^RESUME sid 0x8 stag 0x\w+ retry$/)]);
    // Read first: the page is clean, so the write stalls again.
    expect(m.dma(0x10040, { pasid: 1, write: true })).toMatchObject({ ok: true, pa: 0x300040 });
    expect(m.posted()).toHaveLength(3);
    expect(m.dma(0x12000, { pasid: 1 })).toMatchObject({ ok: false });
    expect(m.posted()).toEqual([expect.stringMatching(/abort$/)]);
    // The RID's domain has no handler.
    expect(m.dma(0x12000)).toMatchObject({ ok: false });
    expect(m.posted()).toEqual([expect.stringMatching(/abort$/)]);
    m.ok(m.driver.exit({ process: 'app' }));
    m.posted();
    // Quiet: neither stalls nor reports.
    expect(m.dma(0x10040, { pasid: 1 })).toMatchObject({ ok: false });
    expect(m.events.flatMap((e) => (e.kind === 'fault' ? [e.recorded] : []))).toEqual([false]);
    expect(m.posted()).toEqual([]);
    expect(m.smmu.stalled()).toEqual([]);
    expect(m.stale()).toEqual([]);
  });

  it.each([
    [4096, 4096],
    [16384, 16384],
    [65536, 65536],
  ] as const)('PAGE_SIZE %i: domains and processes of that granule', (page, granule) => {
    const m = bareMachine({ page });
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma0' }));
    m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
    expect(m.driver.views().domains[0]).toMatchObject({ granule });
    const block = granule * (granule / 8);
    for (const domain of ['dma0', 'app']) {
      const pasid = domain === 'app' ? 1 : -1;
      const dma = (iova: number) => m.dma(iova, pasid < 0 ? {} : { pasid });
      // Pages up to a border, then a block, then a page.
      m.ok(m.driver.map({ domain, iova: block - granule, gpa: 2 * block - granule, size: 2 * granule + block }));
      for (const at of [block - granule, block, 2 * block - 8, 2 * block])
        expect(dma(at)).toMatchObject({ ok: true, pa: at + block });
      m.ok(m.driver.unmap({ domain, iova: block, size: block }));
      expect([block - granule, block, 2 * block - 8, 2 * block].map((at) => dma(at).ok)).toEqual([
        true,
        false,
        false,
        true,
      ]);
      expect(m.stale()).toEqual([]);
    }
  });

  it('two-level CD tables', () => {
    const m = bareMachine();
    m.ok(m.driver.boot());
    expect(m.dma(0x10000, { pasid: 5000 }).ok).toBe(false);
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 5000 }));
    expect(m.driver.views().devices[0]!.cdTable).toMatchObject({ format: 2, s1cdmax: 16 });
    // The second-level table of 6000 is that of 5000; of 7000 there is none.
    expect(m.dma(0x10000, { pasid: 6000 })).toMatchObject({ fault: { name: 'C_BAD_SUBSTREAMID' } });
    expect(m.dma(0x10000, { pasid: 5001 })).toMatchObject({ fault: { name: 'C_BAD_CD' } });
    m.ok(m.driver.map({ domain: 'dma1', iova: 0x10000, gpa: 0x200000, size: 4096 }));
    expect(m.dma(0x10000, { pasid: 5000 })).toMatchObject({ ok: true, pa: 0x200000 });
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma1', pasid: 6000 }));
    expect(m.dma(0x10000, { pasid: 6000 })).toMatchObject({ ok: true, pa: 0x200000 });
    expect(m.stale()).toEqual([]);
  });

  it('a reset with ATS: nothing is sent meanwhile, everything is there after', () => {
    const m = bareMachine({ devices: [{ name: 'nic0', rid: 8, ats: true }] });
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: 'dma0' }));
    m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
    for (const domain of ['dma0', 'app']) m.ok(m.driver.map({ domain, iova: 0x10000, gpa: 0x300000, size: MiB2 }));
    expect(m.dma(0x10000, { translated: true }).ok).toBe(true);
    expect(m.dma(0x10000, { translated: true, pasid: 1 }).ok).toBe(true);
    m.ok(m.driver.resetPrepare({ device: 'nic0' }));
    m.device('nic0').reset();
    m.device('nic0').inReset = true;
    m.ok(m.driver.unmap({ domain: 'app', iova: 0x10000, size: 4096 }));
    m.device('nic0').inReset = false;
    m.device('nic0').pasidEnabled = true;
    m.ok(m.driver.resetDone({ device: 'nic0' }));
    expect(m.dma(0x10000, { translated: true })).toMatchObject({ ok: true, pa: 0x300000 });
    expect(m.dma(0x10000, { translated: true, pasid: 1 }).ok).toBe(false);
    expect(m.dma(0x11000, { translated: true, pasid: 1 })).toMatchObject({ ok: true, pa: 0x301000 });
    expect(m.stale()).toEqual([]);
  });
});
