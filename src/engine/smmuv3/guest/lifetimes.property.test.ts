import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BareMachine, bareMachine } from './bare-machine.ts';

/**
 * The driver alone on the hardware: whatever is attached, bound, mapped, unmapped, reset and used, in any order, no cache has an
 * entry that memory would not give, and what a device reaches is what its address space says at that moment.
 */

const PAGE = 4096;
const names = ['nic0', 'nic1'] as const;
const spaces = ['dma0', 'dma1', 'app', 'job'] as const;

const device = fc.constantFrom(...names);
const pasid = fc.constantFrom(1, 2, 3, 1500);
const space = fc.constantFrom(...spaces);
const page = fc.constantFrom(0, 1, 2, 3, 511, 512, 513, 1023, 1024);
const count = fc.constantFrom(1, 2, 3, 33, 511, 512, 513);

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('map'), space, page, count, there: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('unmap'), space, page, count }) },
  {
    weight: 9,
    arbitrary: fc.record({
      kind: fc.constant('dma'),
      device,
      pasid: fc.constantFrom(-1, 1, 2, 3, 1500),
      page,
      write: fc.boolean(),
      translated: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('attach'),
      device,
      domain: fc.constantFrom('dma0', 'dma1', 'bypass', 'blocked'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pasid'), device, pasid, domain: fc.constantFrom('dma0', 'dma1') }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('detach'), device, pasid }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('bind'), device, process: fc.constantFrom('app', 'job') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('unbind'), device, process: fc.constantFrom('app', 'job') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('exit'), process: fc.constantFrom('app', 'job') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset'), device, pages: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unplug'), device }) },
);
type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;

/** Where an access must arrive by what the driver believes: an address, or null for none. */
function expected(m: BareMachine, name: string, pid: number, at: number, write: boolean): number | null {
  const v = m.driver.views();
  const d = v.devices.find((x) => x.name === name);
  if (!d || d.resetting) return null;
  const a = d.pasids.find((x) => x.pasid === pid);
  const space = pid < 0 ? d.domain : (a?.name ?? '');
  if (pid < 0 && space === 'bypass') return at;
  const process = v.processes.find((p) => a?.kind === 'process' && p.name === space && !p.exited);
  const maps =
    a?.kind === 'process' ? (process?.areas ?? []) : (v.domains.find((x) => x.name === space)?.mappings ?? []);
  const hit = maps.find((x) => at >= x.iova && at < x.iova + x.size);
  return hit && (!write || hit.perm.includes('w')) ? hit.gpa + (at - hit.iova) : null;
}

function play(m: BareMachine, a: Action): void {
  const { driver } = m;
  switch (a.kind) {
    case 'map': {
      const gpa = 0x1000000 + spaces.indexOf(a.space) * 0x1000000 + a.page * PAGE;
      m.run(
        driver.map({
          domain: a.space,
          iova: a.page * PAGE,
          gpa,
          size: a.count * PAGE,
          ...(a.space < 'd' || a.space === 'job' ? { present: a.there || !m.device('nic0').canStall } : {}),
        }),
      );
      return;
    }
    case 'unmap':
      m.run(driver.unmap({ domain: a.space, iova: a.page * PAGE, size: a.count * PAGE }));
      return;
    case 'attach':
      m.run(driver.attach(a));
      return;
    case 'pasid':
      m.run(driver.attach(a));
      return;
    case 'detach':
      m.run(driver.detach(a));
      return;
    case 'bind':
      m.run(driver.bind(a));
      return;
    case 'unbind':
      m.run(driver.unbind(a));
      return;
    case 'exit':
      m.run(driver.exit(a));
      return;
    case 'unplug':
      m.run(driver.remove(a));
      return;
    case 'reset': {
      const d = m.device(a.device);
      if (!m.run(driver.resetPrepare(a)).ok) return;
      d.reset();
      d.inReset = true;
      for (const domain of spaces) m.run(driver.unmap({ domain, iova: 0, size: PAGE }));
      d.inReset = false;
      d.pasidEnabled = true;
      m.run(driver.resetDone(a));
      return;
    }
    case 'dma': {
      const at = a.page * PAGE + 8;
      const want = expected(m, a.device, a.pasid, at, a.write);
      const r = m.dma(at, {
        device: a.device,
        pasid: a.pasid,
        write: a.write,
        translated: a.translated && m.device(a.device).atsEnabled,
      });
      expect(r.ok ? r.pa : null).toBe(want);
    }
  }
}

describe('the driver’s invalidations are enough', () => {
  it('over random lifetimes of domains, PASIDs and processes', () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 10, maxLength: 60 }), fc.boolean(), fc.boolean(), (list, ats, ril) => {
        const m = bareMachine({
          features: { STALL_MODEL: 0, RIL: ril },
          devices: names.map((name, i) => ({ name, rid: 8 + i * 8, ats, stall: !ats })),
        });
        m.ok(m.driver.boot());
        for (const name of names) m.ok(m.driver.attach({ device: name, domain: 'dma0' }));
        m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
        for (const a of list) {
          play(m, a);
          expect(m.stale(), a.kind).toEqual([]);
          expect(m.smmu.stalled()).toEqual([]);
        }
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
