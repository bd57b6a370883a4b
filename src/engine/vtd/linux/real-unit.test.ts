import { describe, expect, it } from 'vitest';
import {
  attachDevice,
  attachPasid,
  detachPasid,
  flushRange,
  flushUnmapped,
  handleFaults,
  handlePageRequests,
  pageResponse,
  pasidEntry,
  releaseDevice,
  resetDone,
  resetPrepare,
  setDirtyTracking,
} from './index.ts';
import { IOVA, machine, OTHER, PAGE } from './real-bench.ts';

const FOUR = { SAGAW: 4, MGAW: 48 };

describe('on a real unit', () => {
  it('a blocked device faults, and the kernel logs it', () => {
    const m = machine();
    expect(m.dma().ok).toBe(false);
    expect(m.unit.irq.fault).toBe(true);
    const [record] = m.run(handleFaults(m.k, 0));
    expect(record!.line).toBe(
      'DMAR: [DMA Read NO_PASID] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x51] ' +
        'SM: Present bit in Directory Entry is clear',
    );
    expect(m.unit.irq.fault).toBe(false);
    expect(m.unit.readRegister('FSTS_REG')).toBe(0n);
    expect(m.run(handleFaults(m.k, 0))).toEqual([]);
  });

  it('attach, access, unmap with its flush; without the flush the old page is still reached', () => {
    const m = machine();
    const { domain, leaf } = m.first();
    expect(m.run(attachDevice(m.k, m.d, domain))).toBe('0');
    expect(m.dma()).toMatchObject({ ok: true, pa: PAGE });
    m.memory.writeWord(leaf, 0n);
    expect(m.dma()).toMatchObject({ ok: true, pa: PAGE });
    expect(m.stale()).toEqual(['IOTLB']);
    m.run(flushUnmapped(m.k, domain, IOVA, IOVA + 0xfffn, false));
    expect(m.stale()).toEqual([]);
    expect(m.dma().ok).toBe(false);
    expect(m.run(handleFaults(m.k, 0))[0]!.line).toContain('[fault reason 0x71]');
  });

  it('a replaced domain leaves nothing, under the same DID', () => {
    const m = machine();
    const [one, two] = [m.first(), m.first(OTHER)];
    m.run(attachDevice(m.k, m.d, one.domain));
    m.dma();
    expect(m.run(attachDevice(m.k, m.d, two.domain))).toBe('0');
    expect(two.domain.dids[0]!.did).toBe(2);
    expect(m.dma()).toMatchObject({ ok: true, pa: OTHER });
    expect(m.stale()).toEqual([]);
  });

  it.each([
    ['host.no-pasid-cache-inv', PAGE],
    ['host.no-iotlb-inv-on-tear-down', PAGE],
  ])('%s: the old page is reached through the new domain', (name, pa) => {
    const m = machine([name]);
    const [one, two] = [m.first(), m.first(OTHER)];
    m.run(attachDevice(m.k, m.d, one.domain));
    m.dma();
    m.run(attachDevice(m.k, m.d, two.domain));
    expect(m.dma()).toMatchObject({ ok: true, pa });
    expect(m.stale().length).toBeGreaterThan(0);
  });

  it('9.3: parent unmap reaches the nested child and its device TLB; each forgotten tag leaves its entry', () => {
    const stale = (names: readonly string[]): string[] => {
      const m = machine(names, FOUR);
      const { parent, child, last } = m.nested();
      expect(m.run(attachDevice(m.k, m.d, child))).toBe('0');
      expect(m.dma()).toMatchObject({ ok: true, pa: PAGE });
      expect(m.ats().ok).toBe(true);
      m.memory.writeWord(last, 0n);
      m.run(flushUnmapped(m.k, parent, BigInt(PAGE), BigInt(PAGE) + 0xfffn, false));
      return m.stale();
    };
    expect(stale([])).toEqual([]);
    expect(stale(['host.unmap-own-did-only'])).toContain('IOTLB');
    expect(stale(['host.unmap-no-nested-dev-tlb'])).toEqual(['ATC nic0']);
    expect(stale(['host.unmap-dev-tlb-by-gpa'])).toEqual(['ATC nic0']);
    expect(stale(['host.nested-no-dev-tlb-tag'])).toEqual([]);
  });

  it('VTD-07: everything of a PASID leaves the device TLB, or not', () => {
    const stale = (names: readonly string[]): string[] => {
      const m = machine(names);
      const { domain, leaf } = m.first();
      m.run(attachPasid(m.k, m.d, 5, domain));
      expect(m.ats(5).ok).toBe(true);
      m.memory.writeWord(leaf, 0n);
      m.run(flushRange(m.k, domain, 0n, 2n ** 64n - 1n, false));
      return m.stale();
    };
    expect(stale([])).toEqual([]);
    expect(stale(['host.whole-dev-tlb-without-pasid'])).toEqual(['ATC nic0']);
  });

  it('VTD-04: dirty tracking of a parent reaches the nested entry', () => {
    for (const [names, dirty] of [
      [[], true],
      [['host.dirty-own-entries-only'], false],
      [['host.dirty-no-flush'], false],
    ] as const) {
      const m = machine(names, FOUR);
      const { parent, child, last } = m.nested();
      m.run(attachDevice(m.k, m.d, child));
      m.dma();
      expect(m.run(setDirtyTracking(m.k, parent, true))).toBe('0');
      expect(m.dma({ write: true }).ok).toBe(true);
      expect((m.memory.readWord(last) & 0x200n) !== 0n).toBe(dirty);
    }
  });

  it('a page request is answered, and the device may go on; one that is left at detach is drained', () => {
    const m = machine();
    const { domain } = m.first(PAGE, { faults: true });
    expect(m.run(attachPasid(m.k, m.d, 5, domain))).toBe('0');
    const seen: unknown[] = [];
    m.k.hooks = {
      *reportFault(device, as, requests) {
        seen.push([device, as, requests.map((r) => r.address)]);
        yield* pageResponse(m.k, m.d, requests.at(-1)!, 'success');
        return '0';
      },
    };
    m.ask(5, 1);
    expect(m.unit.irq.prq).toBe(true);
    m.run(handlePageRequests(m.k, 0));
    expect(seen).toEqual([['nic0', 5, [0x5000n]]]);
    expect(m.pci.pri.save()).toMatchObject({ groups: [] });
    m.ask(5, 2);
    m.run(detachPasid(m.k, m.d, 5));
    expect(m.pci.pri.save()).toMatchObject({ groups: [] });
  });

  it('FD-10: an unmap while a device is reset with its domain attached ends in ITE', () => {
    const m = machine(['host.no-block-on-reset']);
    const { domain } = m.first();
    m.run(attachDevice(m.k, m.d, domain));
    m.run(resetPrepare(m.k, m.d));
    m.pci.inReset = true;
    m.run(flushUnmapped(m.k, domain, IOVA, IOVA + 0xfffn, false));
    expect(m.k.state.log).toContain('DMAR: VT-d detected Invalidation Time-out Error: SID 3b00');
    m.pci.inReset = false;
    m.run(resetDone(m.k, m.d));
    const good = machine();
    const g = good.first();
    good.run(attachDevice(good.k, good.d, g.domain));
    good.run(resetPrepare(good.k, good.d));
    good.pci.reset();
    good.pci.inReset = true;
    good.run(flushUnmapped(good.k, g.domain, IOVA, IOVA + 0xfffn, false));
    good.pci.inReset = false;
    good.run(resetDone(good.k, good.d));
    expect(good.k.state.log.join('\n')).not.toContain('Time-out');
    expect(good.pci.atsEnabled).toBe(true);
    expect(good.dma()).toMatchObject({ ok: true, pa: PAGE });
  });

  it('after removal nothing of the device is cached', () => {
    const m = machine();
    const { domain } = m.first();
    m.run(attachDevice(m.k, m.d, domain));
    m.run(attachPasid(m.k, m.d, 5, domain));
    m.dma();
    m.dma({ pasid: 5 });
    m.ats(5);
    const { d } = m;
    m.run(releaseDevice(m.k, 'nic0'));
    expect(m.stale()).toEqual([]);
    expect(m.unit.caches.context.size).toBe(0);
    expect(m.pci.atc.size).toBe(0);
    expect(pasidEntry(m.k, d, 5)).toBeNull();
  });
});
