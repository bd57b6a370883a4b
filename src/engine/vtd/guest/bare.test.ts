import { describe, expect, it } from 'vitest';
import { type BareMachine, bareAttached, bareMachine } from './bare-machine.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const VA = 0x7f0012340000;

const fault = (m: BareMachine, iova: number, q: Parameters<BareMachine['dma']>[1] = {}): string | undefined =>
  m.dma(iova, q).fault?.name;

describe('the driver on hardware', () => {
  it('boots; a device is blocked until it is attached, then walks its table', () => {
    const m = bareMachine();
    m.ok(m.driver.boot());
    expect(fault(m, 0x10000)).toBe('SPD.2');
    m.ok(m.driver.attach({ device: 'nic0', domain: 'd0' }));
    expect(fault(m, 0x10000)).toBe('SFS.2');
    m.ok(m.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x1000000, size: KiB4 }));
    expect(m.dma(0x10008)).toMatchObject({ ok: true, pa: 0x1000008, hit: 'walk' });
    expect(m.dma(0x10008)).toMatchObject({ ok: true, hit: 'IOTLB', reads: 0 });
    expect(m.stale()).toEqual([]);
  });

  it('a fault lands in the kernel log with the specification’s text', () => {
    const m = bareAttached();
    expect(fault(m, 0x20000, { write: true })).toBe('SFS.2');
    expect(m.driver.views().log.at(-1)).toBe(
      'DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x20000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
    );
  });

  it('an unmap with its flush leaves nothing, one without leaves IOTLB and device TLB', () => {
    for (const flush of ['strict', 'none'] as const) {
      const m = bareAttached();
      m.dma(0x10000);
      m.dma(0x10000, { translated: true });
      m.ok(m.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4, flush }));
      expect(m.stale()).toEqual(flush === 'strict' ? [] : ['ATC', 'IOTLB']);
      expect(m.dma(0x10000).ok).toBe(flush === 'none');
    }
  });

  it('10.16: with caching mode a first-stage entry that was not present is not cached either', () => {
    const m = bareMachine({ features: { CM: true } });
    m.ok(m.driver.boot());
    m.ok(m.driver.attach({ device: 'nic0', domain: 'd0' }));
    expect(m.dma(0x10000).ok).toBe(false);
    m.ok(m.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x1000000, size: KiB4 }));
    expect(m.dma(0x10000)).toMatchObject({ ok: true, pa: 0x1000000 });
  });

  it('pass-through and blocked', () => {
    const m = bareAttached();
    m.dma(0x10000);
    m.ok(m.driver.attach({ device: 'nic0', domain: 'bypass' }));
    expect(m.dma(0x10000)).toMatchObject({ ok: true, pa: 0x10000 });
    m.ok(m.driver.detach({ device: 'nic0' }));
    expect(fault(m, 0x10000)).toBe('SPT.2');
    expect(m.stale()).toEqual([]);
  });

  it('a second-stage domain where there is no first stage', () => {
    const m = bareAttached({ features: { FSTS: false, NEST: false } });
    expect(m.dma(0x10000)).toMatchObject({ ok: true, pa: 0x1000000 });
    m.ok(m.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4 }));
    expect(m.stale()).toEqual([]);
    expect(fault(m, 0x10000)).toBe('SSS.2');
  });

  it('five levels where the unit has them', () => {
    const m = bareAttached();
    expect(m.driver.views().domains[0]!.levels).toBe(5);
    const four = bareAttached({ features: { FS5LP: false } });
    expect(four.driver.views().domains[0]!.levels).toBe(4);
    expect(four.dma(0x10000).reads).toBe(m.dma(0x10000).reads - 1);
  });
});

describe('lazy mode', () => {
  it('leaves are stale until the flush, and the addresses still work', () => {
    const m = bareAttached();
    m.dma(0x10000);
    m.ok(m.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4, flush: 'queued' }));
    expect(m.stale()).toEqual(['IOTLB']);
    expect(m.dma(0x10000).ok).toBe(true);
    m.ok(m.driver.flush());
    expect(m.stale()).toEqual([]);
    expect(m.dma(0x10000).ok).toBe(false);
  });

  it('guest.queue-frees-at-once: a cached walk leads into a page that has become another table', () => {
    const run = (deviations: string[]) => {
      const m = bareMachine({ deviations });
      m.ok(m.driver.boot());
      m.ok(m.driver.attach({ device: 'nic0', domain: 'd0' }));
      m.ok(m.driver.map({ domain: 'd0', iova: 0x40000000, gpa: 0x1001000, size: MiB2 }));
      // Keeps the tables above.
      m.ok(m.driver.map({ domain: 'd0', iova: 0x40200000, gpa: 0x5000000, size: KiB4 }));
      m.dma(0x40001000);
      m.ok(m.driver.unmap({ domain: 'd0', iova: 0x40000000, size: MiB2, flush: 'queued' }));
      // The lowest free page becomes the start table of another domain, and entry 0 of that leads to its next table.
      m.ok(m.driver.map({ domain: 'd1', iova: 0, gpa: 0x7000000, size: KiB4 }));
      const next = Number(m.memory.readWord(m.driver.views().domains[1]!.root) & 0xffffffffff000n);
      return { stale: m.stale(), reached: m.dma(0x40000000).pa, next };
    };
    const right = run([]);
    expect([right.stale, right.reached]).toEqual([['FS walk', 'IOTLB'], -1]);
    const wrong = run(['guest.queue-frees-at-once']);
    expect(wrong.reached).toBe(wrong.next);
  });
});

describe('shared virtual addresses', () => {
  const bound = (deviations: string[] = []): BareMachine => {
    const m = bareAttached({ deviations });
    m.ok(m.driver.bind({ device: 'nic0', process: 'p' }));
    m.ok(m.driver.map({ domain: 'p', iova: VA, gpa: 0x2000000, size: 2 * KiB4 }));
    return m;
  };

  it('the device walks the process’s table; munmap reaches IOTLB, walk cache and device TLB', () => {
    const m = bound();
    expect(m.dma(VA + 8, { pasid: 1 })).toMatchObject({ ok: true, pa: 0x2000008 });
    expect(m.dma(VA + KiB4, { pasid: 1, translated: true, write: true })).toMatchObject({ ok: true, pa: 0x2001000 });
    m.ok(m.driver.unmap({ domain: 'p', iova: VA, size: 2 * KiB4 }));
    expect(m.stale()).toEqual([]);
    expect(fault(m, VA, { pasid: 1 })).toBe('SFS.2');
  });

  it('a page that is not there: translation request, page request, success, again', () => {
    const m = bound();
    m.ok(m.driver.map({ domain: 'p', iova: VA + MiB2, gpa: 0x3000000, size: KiB4, present: false }));
    expect(m.dma(VA + MiB2, { pasid: 1, translated: true }).ok).toBe(false);
    expect(m.pageRequest(VA + MiB2, 1, true)).toMatchObject({ recorded: true, code: 'success' });
    expect(m.dma(VA + MiB2, { pasid: 1, translated: true, write: true })).toMatchObject({ ok: true, pa: 0x3000000 });
    expect(m.pageRequest(VA + 2 * MiB2, 1, false)).toMatchObject({ recorded: true, code: 'invalid request' });
    expect(m.stale()).toEqual([]);
  });

  it('exit: accesses are refused at the PASID entry, nothing is left in a cache', () => {
    const m = bound();
    m.dma(VA, { pasid: 1, translated: true });
    m.ok(m.driver.exit({ process: 'p' }));
    expect(m.stale()).toEqual([]);
    expect(fault(m, VA, { pasid: 1 })).toBe('SPT.2');
    m.ok(m.driver.unbind({ device: 'nic0', process: 'p' }));
  });

  it.each([
    ['guest.sva-no-flush', ['ATC', 'FS walk', 'IOTLB']],
    ['guest.exit-keeps-entry', ['ATC', 'FS walk', 'IOTLB']],
    ['guest.sva-whole-overflows', []],
  ])('%s leaves %o', (name, left) => {
    const m = bound([name]);
    m.dma(VA, { pasid: 1 });
    m.dma(VA + KiB4, { pasid: 1, translated: true });
    if (name === 'guest.exit-keeps-entry') m.ok(m.driver.exit({ process: 'p' }));
    else m.ok(m.driver.unmap({ domain: 'p', iova: VA, size: 2 * KiB4 }));
    expect(m.stale()).toEqual(left);
  });

  it('guest.sva-last-page-missed leaves the last of several pages', () => {
    const m = bound(['guest.sva-last-page-missed']);
    m.ok(m.driver.map({ domain: 'p', iova: VA + 2 * KiB4, gpa: 0x2002000, size: KiB4 }));
    m.dma(VA, { pasid: 1 });
    m.dma(VA + KiB4, { pasid: 1 });
    m.ok(m.driver.unmap({ domain: 'p', iova: VA, size: 2 * KiB4 }));
    expect(m.stale()).toEqual(['IOTLB']);
    expect(m.dma(VA + KiB4, { pasid: 1 })).toMatchObject({ ok: true, pa: 0x2001000 });
    expect(m.dma(VA, { pasid: 1 }).ok).toBe(false);
  });
});

it('reset: what the device had is gone, and everything works again afterwards', () => {
  const m = bareAttached();
  m.ok(m.driver.bind({ device: 'nic0', process: 'p' }));
  m.ok(m.driver.map({ domain: 'p', iova: VA, gpa: 0x2000000, size: KiB4 }));
  m.dma(0x10000, { translated: true });
  m.ok(m.driver.resetPrepare({ device: 'nic0' }));
  expect(m.stale()).toEqual([]);
  const d = m.device('nic0');
  d.reset();
  // Whatever is unmapped meanwhile asks the device nothing.
  d.inReset = true;
  m.ok(m.driver.unmap({ domain: 'd0', iova: 0x10000, size: KiB4 }));
  d.inReset = false;
  m.ok(m.driver.resetDone({ device: 'nic0' }));
  expect(m.dma(VA, { pasid: 1, translated: true })).toMatchObject({ ok: true, pa: 0x2000000 });
  expect(m.dma(0x10000).ok).toBe(false);
  expect(m.stale()).toEqual([]);
});
