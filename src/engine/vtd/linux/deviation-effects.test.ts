import { describe, expect, it } from 'vitest';
import type { Op } from '../../machine/index.ts';
import { piotlbPages } from './descriptors.ts';
import {
  attachDevice,
  attachPasid,
  detachPasid,
  enableTranslation,
  enforceCoherency,
  finalizeDevice,
  flushAll,
  flushUnmapped,
  handlePageRequests,
  linuxDeviationNames,
  pageResponse,
  releaseDevice,
  submit,
} from './index.ts';
import { IOVA, type Machine, machine, OTHER, PAGE } from './real-bench.ts';

const flush = (m: Machine, domain: Parameters<typeof flushUnmapped>[1], tables = false): void =>
  m.run(flushUnmapped(m.k, domain, IOVA, IOVA + 0xfffn, tables));

/** Steps an operation and lets `between` happen once, at the n-th pause of that name. */
function interrupted<T>(op: Op<T>, point: string, n: number, between: () => void): void {
  let seen = 0;
  for (let r = op.next(); !r.done; r = op.next()) if (r.value.point === point && ++seen === n) between();
}

/** A page that the device has cached, then unmapped and flushed. */
function unmap(m: Machine, o: { readonly pasid?: number; readonly ats?: boolean } = {}): string[] {
  const { domain, leaf } = m.first();
  m.run(o.pasid ? attachPasid(m.k, m.d, o.pasid, domain) : attachDevice(m.k, m.d, domain));
  m.dma(o.pasid ? { pasid: o.pasid } : {});
  if (o.ats) m.ats(o.pasid);
  m.memory.writeWord(leaf, 0n);
  flush(m, domain);
  return m.stale();
}

/** A domain is replaced by another one with the same DID. */
function replace(m: Machine, ats = false): unknown {
  const [one, two] = [m.first(), m.first(OTHER)];
  m.run(attachDevice(m.k, m.d, one.domain));
  m.dma();
  if (ats) m.ats();
  m.run(attachDevice(m.k, m.d, two.domain));
  return [m.dma().pa, m.stale()];
}

/** What each deviation does on a real unit: a scene, what is right, what comes out instead. */
const scenes: Readonly<Record<string, readonly [(m: Machine) => unknown, unknown, unknown]>> = {
  'range-by-length': [
    (m) => {
      const { domain, root } = m.first();
      m.run(attachDevice(m.k, m.d, domain));
      const leaves = [3n, 4n, 5n, 6n].map((n) => m.map(root, n << 12n, PAGE, 0x27n, 0x67n));
      for (const n of [3n, 4n, 5n, 6n]) m.dma({ iova: n << 12n });
      for (const at of leaves) m.memory.writeWord(at, 0n);
      m.run(flushUnmapped(m.k, domain, 0x3000n, 0x6fffn, false));
      return [3n, 4n, 5n, 6n].map((n) => m.dma({ iova: n << 12n }).ok);
    },
    [false, false, false, false],
    [false, true, true, true],
  ],
  'leaf-only-flush': [
    (m) => {
      const { domain, root } = m.first();
      m.run(attachDevice(m.k, m.d, domain));
      m.dma();
      // The tables below the root are unlinked and go to somebody else.
      m.memory.writeWord(root + Number((IOVA >> 39n) & 511n) * 8, 0n);
      flush(m, domain, true);
      return m.stale();
    },
    [],
    ['FS walk'],
  ],
  'no-dev-tlb-tag': [(m) => unmap(m, { pasid: 5, ats: true }), [], ['ATC nic0']],
  'tags-after-entry': [
    (m) => {
      const { domain, leaf } = m.first();
      // The entry's last store is the fourth after the directory's.
      interrupted(attachPasid(m.k, m.d, 5, domain), 'table.write', 7, () => {
        if (!m.dma({ pasid: 5 }).ok) return;
        m.memory.writeWord(leaf, 0n);
        flush(m, domain);
      });
      return m.stale();
    },
    [],
    ['IOTLB'],
  ],
  'no-iotlb-inv': [(m) => unmap(m), [], ['IOTLB']],
  'whole-dev-tlb-without-pasid': [
    (m) => {
      const { domain, leaf } = m.first();
      m.run(attachPasid(m.k, m.d, 5, domain));
      m.ats(5);
      m.memory.writeWord(leaf, 0n);
      m.run(flushAll(m.k, domain));
      return m.stale();
    },
    [],
    ['ATC nic0'],
  ],
  'no-dev-tlb-inv': [(m) => unmap(m, { pasid: 5, ats: true }), [], ['ATC nic0']],
  'dev-tlb-first': [
    (m) => {
      const { domain, leaf } = m.first();
      m.run(attachPasid(m.k, m.d, 5, domain));
      m.dma({ pasid: 5 });
      m.ats(5);
      m.memory.writeWord(leaf, 0n);
      // Between the two descriptors the device asks again.
      interrupted(flushUnmapped(m.k, domain, IOVA, IOVA + 0xfffn, false), 'fetch', 2, () => m.ats(5));
      return m.stale();
    },
    [],
    ['ATC nic0'],
  ],
  'flush-without-wait': [
    (m) => {
      const { domain, leaf } = m.first();
      m.run(attachPasid(m.k, m.d, 5, domain));
      m.ats(5);
      m.memory.writeWord(leaf, 0n);
      m.injector.active.push({ at: 'atc.invalidation', action: 'delay', count: 1, xor: [0n, 0n] });
      flush(m, domain);
      return m.stale();
    },
    [],
    ['ATC nic0'],
  ],
  'no-pasid-cache-inv': [(m) => replace(m), [OTHER, []], [PAGE, ['FS walk', 'IOTLB', 'PASID']]],
  'no-iotlb-inv-on-tear-down': [(m) => replace(m), [OTHER, []], [PAGE, ['FS walk', 'IOTLB']]],
  'iotlb-before-pasid-cache': [
    (m) => {
      const [one, two] = [m.first(), m.first(OTHER)];
      m.run(attachDevice(m.k, m.d, one.domain));
      m.dma();
      // After the first descriptor of the tear-down was executed.
      interrupted(attachDevice(m.k, m.d, two.domain), 'command.post', 2, () => m.dma());
      return m.dma().pa;
    },
    OTHER,
    PAGE,
  ],
  'no-dev-tlb-inv-on-tear-down': [(m) => replace(m, true), [OTHER, []], [OTHER, ['ATC nic0']]],
  'no-flush-on-change': [
    (m) => {
      const { domain } = m.first();
      m.run(attachDevice(m.k, m.d, domain));
      m.dma();
      m.run(enforceCoherency(m.k, domain));
      return m.stale();
    },
    [],
    ['IOTLB', 'PASID'],
  ],
  'asks-absent-device': [
    (m) => {
      const { domain } = m.first();
      m.run(attachDevice(m.k, m.d, domain));
      m.present = false;
      m.pci.inReset = true;
      m.run(releaseDevice(m.k, 'nic0'));
      return m.k.state.log.some((l) => l.includes('Time-out'));
    },
    false,
    true,
  ],
  'wipe-before-flush': [
    (m) => {
      const { domain } = m.first();
      m.run(attachPasid(m.k, m.d, 5, domain));
      const seen: (string | undefined)[] = [];
      // The unit fetches the entry while it is being taken away.
      interrupted(detachPasid(m.k, m.d, 5), 'table.write', 1, () => void seen.push(m.dma({ pasid: 5 }).fault?.name));
      return seen;
    },
    ['SPT.2'],
    ['SFS.2'],
  ],
  'replace-in-place': [
    (m) => {
      const [one, two] = [m.first(), m.first(OTHER)];
      m.run(attachPasid(m.k, m.d, 5, one.domain));
      // The new DID stands there with the old table.
      interrupted(attachPasid(m.k, m.d, 5, two.domain), 'table.write', 1, () => m.dma({ pasid: 5 }));
      return m.dma({ pasid: 5 }).pa;
    },
    OTHER,
    PAGE,
  ],
  'context-no-flush-on-tear-down': [
    (m) => {
      m.run(attachDevice(m.k, m.d, m.first().domain));
      m.dma();
      m.run(releaseDevice(m.k, 'nic0'));
      return m.stale();
    },
    [],
    ['Context'],
  ],
  'no-drain': [
    (m) => {
      const [one, two] = [m.first(PAGE, { faults: true }), m.first(OTHER, { faults: true })];
      const seen: number[] = [];
      // biome-ignore lint/correctness/useYield: a hook may pause
      m.k.hooks.reportFault = function* (_device, as) {
        seen.push(as);
        return '0';
      };
      m.run(attachPasid(m.k, m.d, 5, one.domain));
      m.ask(5, 1);
      m.run(detachPasid(m.k, m.d, 5));
      m.run(attachPasid(m.k, m.d, 5, two.domain));
      m.run(handlePageRequests(m.k, 0));
      return seen;
    },
    [],
    [5],
  ],
  'bad-request-unanswered': [
    (m) => {
      m.run(attachPasid(m.k, m.d, 9, m.first(PAGE).domain));
      // Execute and read together.
      m.run(m.unit.pri(m.pci, 9, 0x5000n, { read: true, write: false, exec: true }, 1, true));
      m.run(handlePageRequests(m.k, 0));
      return m.pci.pri.waiting().length;
    },
    0,
    1,
  ],
  'page-requests-left-behind': [
    (m) => {
      const { domain } = m.first(PAGE, { faults: true });
      m.k.hooks.reportFault = function* (_device, _as, requests) {
        if (requests.length > 1) yield* pageResponse(m.k, m.d, requests[0]!, 'success');
        return '0';
      };
      m.run(attachPasid(m.k, m.d, 5, domain));
      m.ask(5, 1);
      m.run(handlePageRequests(m.k, 0));
      m.run(detachPasid(m.k, m.d, 5));
      return m.pci.pri.waiting().length;
    },
    0,
    1,
  ],
  'no-queue-repair': [
    (m) => {
      const bad = piotlbPages(2, 0, { address: 0n, mask: 0 }, false);
      bad[1] = 0x80n;
      const first = m.run(submit(m.k, m.k.units[0]!, [bad]));
      return [first, unmap(m)];
    },
    ['EINVAL', []],
    ['ETIMEDOUT', ['IOTLB']],
  ],
};

/** Shown elsewhere, or invisible on a unit that caches nothing that is not present. */
const elsewhere: Readonly<Record<string, string>> = {
  'no-dev-tlb-tag-late-ats': 'below',
  'entry-no-flush-on-set-up': 'a hypervisor finds no entry to bind',
  'context-no-flush-on-set-up': 'a hypervisor finds no device',
  'drain-without-fence': 'the unit executes in order',
  'root-no-flush': 'a unit with scalable mode empties its caches when the old kernel’s TE goes off',
  'release-ats-first': 'life.test.ts: a flush asks a device that is gone',
  'no-block-on-reset': 'real-unit.test.ts',
  'response-failure-15': 'no mistake: the device fails either way',
  'aborts-odd-slots': 'queue.test.ts',
};

describe('what a broken rule does on a real unit', () => {
  it.each(Object.entries(scenes).map(([name, s]) => [name, ...s] as const))('%s', (name, scene, right, wrong) => {
    expect(scene(machine())).toEqual(right);
    expect(scene(machine([`host.${name}`]))).toEqual(wrong);
  });

  it('no-dev-tlb-tag-late-ats', () => {
    const stale = (names: readonly string[]): string[] => {
      const m = machine(names, {}, true);
      const { domain, leaf } = m.first();
      m.run(attachDevice(m.k, m.d, domain));
      m.run(finalizeDevice(m.k, 'nic0'));
      m.run(enableTranslation(m.k));
      m.ats();
      m.memory.writeWord(leaf, 0n);
      flush(m, domain);
      return m.stale();
    };
    expect(stale([])).toEqual([]);
    expect(stale(['host.no-dev-tlb-tag-late-ats'])).toEqual(['ATC nic0']);
  });

  it('every deviation that a guest can have is shown', () => {
    const names = linuxDeviationNames('guest').map((n) => n.replace('guest.', ''));
    expect([...Object.keys(scenes), ...Object.keys(elsewhere)].sort()).toEqual([...names].sort());
  });
});
