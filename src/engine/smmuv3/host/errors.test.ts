import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { type Bed, bed, type Nest, nest, vste } from './testbed.ts';

/** What goes wrong under an invalidation, and what the caller learns of it (arm-smmuv3.md 2.5, 2.6, 5.5). */

const va = { cmd: [0x12n, 0x1001n] };

function set(o: Parameters<typeof bed>[0] = {}): { b: Bed; n: Nest } {
  const b = bed(o);
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  b.posted();
  return { b, n };
}

const invalidate = (b: Bed, n: Nest, entries: unknown[], entry_len = 16): { errno: string; done: unknown } => {
  const r = b.ioctl('IOMMU_HWPT_INVALIDATE', {
    hwpt_id: n.viommu,
    data_type: 1,
    entry_len,
    entry_num: entries.length,
    entries,
  });
  return { errno: r.errno, done: r.out['entry_num'] };
};

describe('a queue that does not answer', () => {
  it('times out: entry_num is one less than what was processed', () => {
    const { b, n } = set();
    runToEnd(b.smmu.writeRegister('CR0', b.smmu.readRegister('CR0') & ~8n));
    expect(invalidate(b, n, new Array(3).fill(va))).toEqual({ errno: 'ETIMEDOUT', done: 2 });
    // The first chunk of 63 fails; the rest is never converted.
    expect(invalidate(b, n, new Array(65).fill(va))).toEqual({ errno: 'ETIMEDOUT', done: 62 });
    expect(b.driver.state.log.at(-1)).toMatch(
      /^CMD_SYNC timeout at 0x[0-9a-f]{8} \[hwprod 0x[0-9a-f]{8}, hwcons 0x[0-9a-f]{8}\]$/,
    );
    // Once it runs again what waited is executed, and new calls succeed.
    runToEnd(b.smmu.writeRegister('CR0', b.smmu.readRegister('CR0') | 8n));
    expect(b.smmu.readRegister('CMDQ_CONS')).toBe(b.smmu.readRegister('CMDQ_PROD'));
    expect(invalidate(b, n, [va])).toEqual({ errno: '0', done: 1 });
  });

  it('a full queue times out before anything is written', () => {
    const { b, n } = set({ features: { CMDQS: 7 } });
    expect(b.driver.state.cmdq!.log2).toBe(7);
    runToEnd(b.smmu.writeRegister('CR0', b.smmu.readRegister('CR0') & ~8n));
    expect(invalidate(b, n, new Array(63).fill(va)).errno).toBe('ETIMEDOUT');
    expect(invalidate(b, n, new Array(63).fill(va)).errno).toBe('ETIMEDOUT');
    b.posted();
    expect(invalidate(b, n, new Array(63).fill(va))).toEqual({ errno: 'ETIMEDOUT', done: 62 });
    expect(b.posted()).toEqual([]);
    expect(b.driver.state.log.at(-1)).toBe('CMDQ timeout');
  });

  it('an unmap goes on: it has nobody to tell', () => {
    const { b, n } = set();
    runToEnd(b.smmu.writeRegister('CR0', b.smmu.readRegister('CR0') & ~8n));
    const r = b.ioctl('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: 2 ** 30 });
    expect(r).toMatchObject({ errno: '0', out: { length: 2n ** 30n } });
    expect(b.driver.state.log.some((l) => l.startsWith('CMD_SYNC timeout'))).toBe(true);
  });
});

describe('errors that the SMMU reports', () => {
  it('CERROR_ILL in the middle of a batch: what is before and behind it is executed', () => {
    const { b, n } = set();
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, 0x4810000bn, 0xd6n) }, n.fd);
    b.events.length = 0;
    const bad = { cmd: [0x412n, 1n] };
    expect(invalidate(b, n, [va, va, bad, va])).toEqual({ errno: '0', done: 4 });
    const fetched = b.events.flatMap((e) => (e.kind === 'command.fetch' ? [e.command.name] : []));
    expect(fetched).toEqual(['TLBI_NH_VA', 'TLBI_NH_VA', 'TLBI_NH_VA', 'SYNC', 'TLBI_NH_VA', 'SYNC']);
    expect(b.events.filter((e) => e.kind === 'command.error')).toHaveLength(1);
  });

  it('an ATC that does not answer: the CMD_SYNC fails, the queue goes on, and the ioctl succeeds', () => {
    const { b, n } = set();
    // The device has no ATS: nobody completes the invalidation.
    expect(invalidate(b, n, [{ cmd: [0x0000000800000040n, 0x34n] }])).toEqual({ errno: '0', done: 1 });
    expect(b.driver.state.log.at(-1)).toMatch(/^CMDQ error \(cons 0x03[0-9a-f]{6}\): ATC invalidate timeout$/);
    expect(b.smmu.readRegister('GERROR')).toBe(b.smmu.readRegister('GERRORN'));
    expect(b.smmu.readRegister('CMDQ_CONS') & 0xfffffn).toBe(b.smmu.readRegister('CMDQ_PROD'));
  });

  it('service failure mode: the SMMU is switched off, later calls time out', () => {
    const { b, n } = set();
    const { interrupts } = b.smmu as unknown as { interrupts: { raise(bit: number): void } };
    interrupts.raise(8);
    runToEnd(b.driver.interrupt());
    expect(b.driver.state.log.slice(-2)).toEqual([
      'unexpected global error reported (0x00000100), this could be serious',
      'device has entered Service Failure Mode!',
    ]);
    expect(b.smmu.readRegister('CR0')).toBe(0n);
    expect(b.smmu.readRegister('GERROR')).toBe(b.smmu.readRegister('GERRORN'));
    expect(invalidate(b, n, [va])).toEqual({ errno: 'ETIMEDOUT', done: 0 });
  });

  it('reports every bit in the order of the kernel', () => {
    const { b } = set();
    const { interrupts } = b.smmu as unknown as { interrupts: { raise(bit: number): void } };
    for (const bit of [2, 3, 4, 5, 6, 7]) interrupts.raise(bit);
    runToEnd(b.driver.interrupt());
    expect(b.driver.state.log.slice(-7)).toEqual([
      'unexpected global error reported (0x000000fc), this could be serious',
      'GERROR MSI write aborted',
      'PRIQ MSI write aborted',
      'EVTQ MSI write aborted',
      'CMDQ MSI write aborted',
      'PRIQ write aborted -- events may have been lost',
      'EVTQ write aborted -- events may have been lost',
    ]);
  });
});

describe('the array of an invalidation (iommufd-uapi.md 3.1)', () => {
  it('a longer entry must be zero beyond what the kernel knows', () => {
    const { b, n } = set();
    expect(invalidate(b, n, [va, { ...va, tail: '00000000' }], 20)).toEqual({ errno: '0', done: 2 });
    expect(invalidate(b, n, [va, { ...va, tail: '00000100' }], 20)).toEqual({ errno: 'E2BIG', done: 0 });
    // All entries are copied before the first is looked at.
    expect(invalidate(b, n, [{ cmd: [3n, 0n] }, { ...va, tail: '01' }], 17)).toEqual({ errno: 'E2BIG', done: 0 });
    expect(invalidate(b, n, [va, null])).toEqual({ errno: 'EFAULT', done: 0 });
    b.posted();
  });
});
