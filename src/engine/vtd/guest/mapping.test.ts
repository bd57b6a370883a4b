import { describe, expect, it } from 'vitest';
import { attached, nic, QEMU_CAP, QEMU_ECAP } from './recording-unit.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const GiB = 2 ** 30;
const P_IOTLB = '0000000000020036';
const quiet = { devices: [{ ...nic, atsCapable: false, priCapable: false }] };

describe('10.16: a map is never announced (7.3)', () => {
  it('with caching mode neither', () => {
    const g = attached();
    expect(g.sent(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: 3 * KiB4 }))).toEqual([]);
    expect(g.unit.doorbells).toBeGreaterThan(0);
  });

  it('but in a second stage with caching mode', () => {
    const g = attached({ ecap: (QEMU_ECAP & ~(1n << 47n)) | (1n << 46n) });
    expect(g.sent(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: 3 * KiB4 }))).toEqual([
      '00000000000200f2 0000000000010002',
    ]);
  });

  it('a large page in the place of an empty table is: one flush with IH 0, then the page is free', () => {
    const g = attached(quiet);
    g.ok(g.driver.map({ domain: 'd0', iova: 0x40000000, gpa: 0x41000000, size: KiB4 }));
    g.ok(g.driver.unmap({ domain: 'd0', iova: 0x40000000, size: KiB4 }));
    const map = g.driver.map({ domain: 'd0', iova: 0x40000000, gpa: 0x42000000, size: MiB2 });
    expect(g.sent(map)).toEqual([`${P_IOTLB} 0000000040000009`]);
  });

  it('write buffer flush where the unit needs it', () => {
    const g = attached({ cap: QEMU_CAP | (1n << 4n) });
    expect(g.steps(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: KiB4 }))).toEqual([
      'GCMD_REG=0x8c000000',
      'GCMD_REG=0x8c000000',
    ]);
  });

  it('refuses what does not fit, and leaves nothing of it', () => {
    const g = attached(quiet);
    const map = (iova: number, size: number) => g.run(g.driver.map({ domain: 'd0', iova, gpa: 0x41000000, size }));
    expect(map(0x800, KiB4).errno).toBe('EINVAL');
    expect(map(2 ** 47, KiB4).errno).toBe('ERANGE');
    expect(map(0x13000, KiB4).ok).toBe(true);
    expect(map(0x10000, 4 * KiB4).errno).toBe('EADDRINUSE');
    expect(g.driver.views().domains[0]!.mappings).toEqual([{ iova: 0x13000, gpa: 0x41000000, size: KiB4, perm: 'rw' }]);
    // What had been mapped before it failed was flushed again, all leaves.
    expect(g.unit.takeWords()).toEqual([`${P_IOTLB} 0000000000010042`]);
  });
});

describe('7.4: one flush for an unmap (10.6, 10.17)', () => {
  it.each([
    ['one page', 0xfffff000, KiB4, KiB4, 'fffff040'],
    ['2 MiB as pages: their table goes', 0x40000000, MiB2, KiB4, '40000009'],
    ['2 MiB as one page', 0x40000000, MiB2, MiB2, '40000049'],
    ['three pages, rounded to four', 0x10000, 3 * KiB4, KiB4, '10042'],
    ['misaligned start, same block', 0x11000, 3 * KiB4, KiB4, '10042'],
    ['two pages across a boundary', 0x1f000, 2 * KiB4, KiB4, '46'],
    ['512 pages off by one', 0x40001000, MiB2, KiB4, '4000004a'],
    ['514 pages, a table in the middle goes', 0x3ff000, 514 * KiB4, KiB4, 'b'],
  ])('%s', (_what, iova, size, page, qw1) => {
    const g = attached(quiet);
    // Separate maps of one page size each; what is beside it keeps the tables at the ends.
    const pages = page === KiB4 ? { step: KiB4, gpa: 0x41001000 } : { step: size, gpa: 0x42000000 };
    for (let at = 0; at < size; at += pages.step)
      g.ok(g.driver.map({ domain: 'd0', iova: iova + at, gpa: pages.gpa + at, size: pages.step }));
    expect(g.sent(g.driver.unmap({ domain: 'd0', iova, size }))).toEqual([`${P_IOTLB} ${qw1.padStart(16, '0')}`]);
  });

  it('9.5: the page at 0xfffff000 in a guest without ATS, and its wait', () => {
    const g = attached(quiet);
    g.ok(g.driver.map({ domain: 'd0', iova: 0xfffff000, gpa: 0x41000000, size: KiB4 }));
    expect(g.steps(g.driver.unmap({ domain: 'd0', iova: 0xfffff000, size: KiB4 }))).toEqual([
      'P_IOTLB_INV did 2 pasid 0x0 addr 0xfffff000 pages 1 leaf',
      'WAIT',
    ]);
    expect(g.unit.takeWords().at(-1)).toBe('0000000000020036 00000000fffff040');
  });

  it('with ATS the device TLB follows with the same block, before one wait', () => {
    const g = attached();
    g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: 3 * KiB4 }));
    expect(g.steps(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: 3 * KiB4 }))).toEqual([
      'P_IOTLB_INV did 2 pasid 0x0 addr 0x10000 pages 4 leaf',
      'DEV_TLB_INV sid 0x18 addr 0x10000 pages 4',
      'WAIT',
    ]);
  });

  it('stops at a hole and tells the bytes; nothing mapped, nothing sent', () => {
    const g = attached(quiet);
    g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: KiB4 }));
    g.unit.takeWords();
    const r = g.run(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: 2 * KiB4 }));
    expect([r.ok, r.out]).toEqual([false, { unmapped: KiB4 }]);
    expect(g.unit.takeWords()).toEqual([`${P_IOTLB} 0000000000010040`]);
    expect(g.run(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4 })).ok).toBe(false);
    expect(g.run(g.driver.unmap({ domain: 'd9', iova: 0, size: KiB4 })).errno).toBe('ENODEV');
    expect(g.unit.takeWords()).toEqual([]);
  });

  it('takes a whole large page whose beginning is asked for', () => {
    const g = attached(quiet);
    g.ok(g.driver.map({ domain: 'd0', iova: 0x40000000, gpa: 0x42000000, size: MiB2 }));
    expect(g.run(g.driver.unmap({ domain: 'd0', iova: 0x40000000, size: KiB4 })).out).toEqual({ unmapped: MiB2 });
    expect(g.driver.views().domains[0]!.mappings).toEqual([]);
  });

  it('no flush at all when the driver forgets', () => {
    const g = attached();
    g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: KiB4 }));
    expect(g.sent(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4, flush: 'none' }))).toEqual([]);
  });
});

describe('7.5: lazy', () => {
  const map = { domain: 'd0', iova: 0x40000000, gpa: 0x41001000, size: MiB2 } as const;
  const unmap = { domain: 'd0', iova: 0x40000000, size: MiB2, flush: 'queued' } as const;

  it('nothing is sent until the queue is emptied; then all of the domain goes, and table pages are free', () => {
    const g = attached();
    g.ok(g.driver.map(map));
    expect(g.sent(g.driver.unmap(unmap))).toEqual([]);
    expect(g.driver.views().domains[0]!.queued).toBe(MiB2);
    const [table] = g.driver.state.domains[0]!.queuedTables;
    expect(g.pages.has(table!)).toBe(true);
    expect(g.sent(g.driver.flush())).toEqual([
      '0000000000020026 0000000000000000',
      '0000001800000003 7ffffffffffff001',
    ]);
    expect(g.pages.has(table!)).toBe(false);
    expect(g.driver.views().domains[0]!.queued).toBe(0);
    expect(g.sent(g.driver.flush())).toEqual([]);
    expect(g.run(g.driver.flush({ domain: 'd9' })).errno).toBe('ENODEV');
  });

  it('a ring of 255 entries is emptied by the next unmap', () => {
    const g = attached(quiet);
    const at = (i: number) => ({ domain: 'd0', iova: 0x10000 + i * KiB4, size: KiB4 });
    for (let i = 0; i < 256; i++) g.ok(g.driver.map({ ...at(i), gpa: 0x41000000 + i * KiB4 }));
    for (let i = 0; i < 255; i++) g.ok(g.driver.unmap({ ...at(i), flush: 'queued' }));
    expect(g.driver.views().domains[0]!.queued).toBe(255 * KiB4);
    expect(g.sent(g.driver.unmap({ ...at(255), flush: 'queued' }))).toEqual(['0000000000020026 0000000000000000']);
    expect(g.driver.views().domains[0]!.queued).toBe(KiB4);
  });
});

describe('10.7: a mask that the unit refuses (2.6, 9.9)', () => {
  const size = GiB;
  /** A guest whose domain maps 1 GiB, a page off its alignment, and a unit that refuses masks above 18 as QEMU does. */
  const misaligned = (o = quiet) => {
    const g = attached({ ...o, cap: QEMU_CAP & ~(1n << 56n) });
    g.unit.largestMask = 18;
    g.ok(g.driver.map({ domain: 'd0', iova: 0x1000, gpa: 0x41001000, size }));
    return g;
  };

  it('AM 19: the driver puts its wait in the place of the descriptor, clears IQE and goes on without the flush', () => {
    const g = misaligned();
    const r = g.run(g.driver.unmap({ domain: 'd0', iova: 0x1000, size }));
    expect([r.ok, r.out]).toEqual([false, { unmapped: size }]);
    expect(r.text).toContain('VT-d detected Invalidation Queue Error: Reason 3');
    expect(g.driver.views().log).toEqual(
      expect.arrayContaining([
        'DMAR: QI HEAD: PASID-based IOTLB Invalidation qw0 = 0x20036, qw1 = 0x53',
        'DMAR: Invalidation Queue Error (IQE) cleared',
      ]),
    );
    // Not one P_IOTLB got through, and the queue lives.
    expect(g.unit.takeWords().filter((w) => w.startsWith(P_IOTLB))).toEqual([]);
    expect(g.run(g.driver.invalidate([0x11n])).ok).toBe(true);
  });

  it('a second one in the same batch is never repaired: the CPU spins, and so does the next that submits', () => {
    const g = misaligned();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'd0', pasid: 5 }));
    const first = g.run(g.driver.unmap({ domain: 'd0', iova: 0x1000, size }));
    expect(first.ok).toBe(false);
    expect(g.driver.views().units[0]!.stuck).toBe(false);
    const next = g.run(g.driver.detach({ device: 'nic0', pasid: 5 }));
    expect([next.ok, g.driver.views().units[0]!.stuck]).toEqual([false, true]);
    expect(next.text).toContain('the submission never completes, the CPU waits for ever');
  });
});

it('10.25: the trace has every descriptor that is given, the wait of the driver never, a wait of a drain', () => {
  const g = attached();
  const lines: string[] = [];
  g.driver.kernel.tracepoints = (line) => lines.push(line);
  g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: KiB4 }));
  g.ok(g.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4 }));
  g.ok(g.driver.bind({ device: 'nic0', process: 'p', pasid: 0x1234 }));
  g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
  expect(lines.filter((l) => l.startsWith('qi_submit'))).toEqual([
    'qi_submit: p_iotlb_inv vdmar0: 0x20036 0x10040 0x0 0x0',
    'qi_submit: dev_tlb_inv vdmar0: 0x1800000003 0x10000 0x0 0x0',
    'qi_submit: pc_inv vdmar0: 0x123400010017 0x0 0x0 0x0',
    'qi_submit: p_iotlb_inv vdmar0: 0x123400010026 0x0 0x0 0x0',
    'qi_submit: pc_inv vdmar0: 0x123400010017 0x0 0x0 0x0',
    'qi_submit: p_iotlb_inv vdmar0: 0x123400010026 0x0 0x0 0x0',
    'qi_submit: p_dev_tlb_inv vdmar0: 0x123400180008 0x7ffffffffffff800 0x0 0x0',
    'qi_submit: inv_wait vdmar0: 0x200000045 0x0 0x0 0x0',
    'qi_submit: p_iotlb_inv vdmar0: 0x123400020026 0x0 0x0 0x0',
    'qi_submit: p_dev_tlb_inv vdmar0: 0x123400180008 0x7ffffffffffff800 0x0 0x0',
  ]);
});

describe('guest.invalidate', () => {
  it('sends raw words and a wait; a refused one is repaired', () => {
    const g = attached();
    expect(g.steps(g.driver.invalidate([0x0000123400050026n, 0n, 0n, 0n]))).toEqual([
      'P_IOTLB_INV did 5 pasid 0x1234',
      'WAIT',
    ]);
    g.unit.refuses = 10;
    const r = g.run(g.driver.invalidate([0xan]));
    expect([r.ok, r.errno]).toEqual([false, 'EINVAL']);
    expect(r.text).toContain('Reason 3');
  });

  it('needs a queue; a message that was held back arrives by itself', () => {
    const g = attached();
    g.unit.takeSeen();
    g.run(g.driver.deliver([0x11n, 0n, 0n, 0n], 'guest.iq'));
    expect(g.unit.takeSeen()).toEqual(['CC_INV all']);
  });
});
