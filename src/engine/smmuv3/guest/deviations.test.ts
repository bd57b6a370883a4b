import { describe, expect, it } from 'vitest';
import { type BareMachine, type BareOptions, bareMachine } from './bare-machine.ts';
import { guestDeviations } from './deviations.ts';
import { type GuestRules, guestRules } from './rules.ts';

const MiB2 = 2 ** 21;
const ats = { name: 'nic0', rid: 8, ats: true };
const plain = { name: 'nic0', rid: 8 };

interface Scenario extends BareOptions {
  /** What happens; the return value is compared where no cache tells the difference. */
  readonly run: (m: BareMachine) => unknown;
  /** Caches with a stale entry after it, when the rule is broken. Without the deviation there is none. */
  readonly stale?: string[];
  /** Outcome with the rule kept, and broken. */
  readonly outcome?: readonly [unknown, unknown];
}

const attach = (m: BareMachine, domain: string, pasid?: number, device = 'nic0'): void => {
  m.ok(m.driver.attach({ device, domain, ...(pasid ? { pasid } : {}) }));
};
const map = (m: BareMachine, domain: string, iova = 0x10000, size = 4096, gpa = 0x100000): void => {
  m.ok(m.driver.map({ domain, iova, gpa, size }));
};
const unmap = (m: BareMachine, domain: string, iova = 0x10000, size = 4096, flush?: 'queued'): void => {
  m.run(m.driver.unmap({ domain, iova, size, ...(flush ? { flush } : {}) }));
};
/** A page that the device has used, then unmapped. */
const usedPage = (m: BareMachine, q: { pasid?: number; translated?: boolean } = {}, flush?: 'queued'): void => {
  attach(m, 'dma0', q.pasid);
  map(m, 'dma0');
  m.dma(0x10000, q);
  unmap(m, 'dma0', 0x10000, 4096, flush);
  if (flush) m.ok(m.driver.flush());
};
/** A 2 MiB region of pages that one unmap takes away: a table and its leaves. */
const usedTable = (m: BareMachine): void => {
  attach(m, 'dma0');
  for (let at = 0; at < MiB2; at += 4096) map(m, 'dma0', MiB2 + at, 4096, 0x100000 + at);
  m.dma(MiB2);
  unmap(m, 'dma0', MiB2, MiB2);
};
const bound = (m: BareMachine): void => {
  attach(m, 'dma0');
  m.ok(m.driver.bind({ device: 'nic0', process: 'app' }));
};
const usedProcess = (m: BareMachine, translated = false, pages = 1): void => {
  bound(m);
  map(m, 'app', 0x10000, pages * 4096);
  // A neighbour keeps the table of pages.
  map(m, 'app', 0x100000, 4096);
  for (let i = 0; i < pages; i++) m.dma(0x10000 + i * 4096, { pasid: 1, translated });
  unmap(m, 'app', 0x10000, pages * 4096);
};
const exited = (m: BareMachine, translated = false): void => {
  bound(m);
  map(m, 'app');
  m.dma(0x10000, { pasid: 1, translated });
  m.run(m.driver.exit({ process: 'app' }));
};
const recorded = (m: BareMachine): string[] =>
  m.events.flatMap((e) => (e.kind === 'fault' && e.recorded !== false ? [e.name] : []));
const entryWords = (m: BareMachine, what: string): string[] =>
  m.events.flatMap((e) => (e.kind === 'table.write' && e.layout === what ? [e.text.replace(/.*: /, '')] : []));

const scenarios: Record<string, Scenario> = {
  'guest.no-tlbi': { run: (m) => usedPage(m), stale: ['IOTLB'] },
  'guest.tlbi-other-asid': { run: (m) => usedPage(m), stale: ['IOTLB'] },
  'guest.no-atc-inv': { devices: [ats], run: (m) => usedPage(m, { translated: true }), stale: ['ATC'] },
  'guest.atc-inv-rid-only': { devices: [ats], run: (m) => usedPage(m, { translated: true, pasid: 5 }), stale: ['ATC'] },
  'guest.leaf-only-walk-flush': { run: usedTable, stale: ['S1 walk'] },
  'guest.no-walk-flush': { run: usedTable, stale: ['S1 walk'] },
  'guest.atc-before-tlbi': {
    devices: [ats],
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma0');
      m.dma(0x10000, { translated: true });
      m.events.length = 0;
      // The device asks again between the two batches.
      let asked = false;
      for (const op = m.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }); !op.next().done; ) {
        if (asked || !m.events.some((e) => e.kind === 'sync')) continue;
        asked = true;
        m.dma(0x10000, { translated: true });
      }
    },
    stale: ['ATC'],
  },
  'guest.queued-no-tlbi': { run: (m) => usedPage(m, {}, 'queued'), stale: ['IOTLB'] },
  'guest.queued-no-atc-inv': {
    devices: [ats],
    run: (m) => usedPage(m, { translated: true }, 'queued'),
    stale: ['ATC'],
  },
  'guest.sva-no-tlbi': { run: (m) => usedProcess(m), stale: ['IOTLB'] },
  'guest.sva-leaf-only': {
    run: (m) => {
      bound(m);
      map(m, 'app', MiB2, 4096);
      m.dma(MiB2, { pasid: 1 });
      unmap(m, 'app', MiB2, 4096);
    },
    stale: ['S1 walk'],
  },
  'guest.no-range-widening': { run: (m) => usedProcess(m, false, 33), stale: ['IOTLB'] },
  'guest.sva-end-inclusive': {
    run: (m) => {
      usedProcess(m);
      return m.posted().filter((c) => c.startsWith('TLBI_NH_VA')).length;
    },
    outcome: [1, 65],
  },
  'guest.sva-no-atc-inv': { devices: [ats], run: (m) => usedProcess(m, true), stale: ['ATC'] },
  'guest.sva-atc-inv-no-pasid': { devices: [ats], run: (m) => usedProcess(m, true), stale: ['ATC'] },
  'guest.exit-no-tlbi': { run: (m) => exited(m), stale: ['S1 walk', 'IOTLB'] },
  'guest.exit-no-atc-inv': { devices: [ats], run: (m) => exited(m, true), stale: ['ATC'] },
  'guest.exit-keeps-cd': {
    run: (m) => {
      exited(m);
      m.dma(0x10000, { pasid: 1 });
      return recorded(m);
    },
    outcome: [[], ['F_TRANSLATION']],
  },
  'guest.exit-clears-cd': {
    run: (m) => {
      exited(m);
      m.dma(0x10000, { pasid: 1 });
      return recorded(m);
    },
    outcome: [[], ['C_BAD_CD']],
  },
  'guest.entry-in-one-go': {
    run: (m) => {
      attach(m, 'dma0');
      return entryWords(m, 'smmuv3.ste').slice(-2);
    },
    outcome: [
      ['DW1 written', 'DW0 written'],
      [expect.anything(), 'DW0..1 written'],
    ],
  },
  'guest.no-cfgi-cd': {
    run: (m) => {
      attach(m, 'dma0');
      m.dma(0x10000);
      attach(m, 'dma1');
    },
    stale: ['CD'],
  },
  'guest.cfgi-cd-one-stream': {
    devices: [plain, { name: 'nic1', rid: 16 }],
    run: (m) => {
      attach(m, 'dma0');
      m.ok(m.driver.attach({ device: 'nic1', domain: 'dma0', cdTable: 'nic0' }));
      m.dma(0x10000, { device: 'nic1' });
      attach(m, 'dma1');
    },
    stale: ['CD'],
  },
  'guest.no-cfgi-l1cd': {
    run: (m) => {
      attach(m, 'dma0');
      m.dma(0x10000, { pasid: 5000 });
      attach(m, 'dma1', 5000);
    },
    stale: ['L1CD'],
  },
  'guest.cfgi-l1cd-leaf': {
    run: (m) => {
      attach(m, 'dma0');
      m.dma(0x10000, { pasid: 5000 });
      attach(m, 'dma1', 5000);
    },
    stale: ['L1CD'],
  },
  'guest.no-cfgi-ste': {
    run: (m) => {
      attach(m, 'dma0');
      m.dma(0x10000);
      attach(m, 'bypass');
    },
    stale: ['STE'],
  },
  'guest.no-atc-inv-on-attach': {
    devices: [ats],
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma0');
      m.dma(0x10000, { translated: true });
      attach(m, 'dma1');
    },
    stale: ['ATC'],
  },
  'guest.joins-late': {
    features: { CD2L: false },
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma1');
      const asid = 2n;
      let raced = false;
      for (const op = m.driver.attach({ device: 'nic0', domain: 'dma1' }); !op.next().done; ) {
        const cd = m.memory.readWord(m.driver.views().devices[0]!.cdTable!.address);
        // Hardware has the new CD, the attach is not over: another CPU unmaps what a device has just used.
        if (raced || cd >> 48n !== asid || !m.dma(0x10000).ok) continue;
        raced = true;
        unmap(m, 'dma1');
      }
    },
    stale: ['IOTLB'],
  },
  'guest.no-atc-inv-on-pasid-detach': {
    devices: [ats],
    run: (m) => {
      attach(m, 'dma0');
      attach(m, 'dma1', 5);
      map(m, 'dma1');
      m.dma(0x10000, { translated: true, pasid: 5 });
      m.ok(m.driver.detach({ device: 'nic0', pasid: 5 }));
    },
    stale: ['ATC'],
  },
  'guest.no-asid-flush': {
    run: (m) => {
      // ASID 2 goes from one process to the next; what the first had cached must not answer for the second.
      bound(m);
      map(m, 'app');
      m.dma(0x10000, { pasid: 1 });
      m.ok(m.driver.unbind({ device: 'nic0', process: 'app' }));
      m.ok(m.driver.bind({ device: 'nic0', process: 'other' }));
      map(m, 'other', 0x10000, 4096, 0x200000);
      return m.dma(0x10000, { pasid: 2 }).pa;
    },
    outcome: [0x200000, 0x100000],
  },
  'guest.no-cfgi-all': {
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma0');
      m.dma(0x10000);
      const next = m.kernel();
      m.ok(next.boot(), next);
    },
    stale: ['STE', 'L1STD'],
  },
  'guest.no-tlbi-all': {
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma0');
      m.dma(0x10000);
      const next = m.kernel();
      m.ok(next.boot(), next);
      m.ok(next.attach({ device: 'nic0', domain: 'fresh' }), next);
      return m.dma(0x10000).ok;
    },
    outcome: [false, true],
  },
  'guest.reset-without-blocking': {
    devices: [ats],
    run: (m) => {
      attach(m, 'dma0');
      map(m, 'dma0');
      m.ok(m.driver.resetPrepare({ device: 'nic0' }));
      m.device('nic0').reset();
      m.device('nic0').inReset = true;
      const r = m.run(m.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }));
      return r.ok ? '' : /CMDQ error(?=.*ATC invalidate timeout)/.exec(r.text)?.[0];
    },
    outcome: ['', 'CMDQ error'],
  },
  'guest.no-resume': {
    features: { STALL_MODEL: 0 },
    devices: [{ ...plain, stall: true }],
    run: (m) => {
      bound(m);
      m.ok(m.driver.map({ domain: 'app', iova: 0x10000, gpa: 0x100000, size: 4096, present: false }));
      m.dma(0x10000, { pasid: 1 });
      return m.smmu.stalled().length;
    },
    outcome: [0, 1],
  },
};

describe('what each broken rule of the guest leads to', () => {
  it.each(Object.entries(scenarios))('%s', (name, s) => {
    const play = (deviations: string[]) => {
      const m = bareMachine({ ...s, deviations });
      m.ok(m.driver.boot());
      const outcome = s.run(m);
      return { outcome, stale: m.stale() };
    };
    const kept = play([]);
    const broken = play([name]);
    expect(kept.stale).toEqual([]);
    if (s.stale) expect(broken.stale).toEqual(expect.arrayContaining(s.stale));
    if (s.outcome) expect([kept.outcome, broken.outcome]).toEqual(s.outcome);
  });

  it('a page request that is not answered keeps the device waiting', () => {
    const waiting = (deviations: string[]): boolean => {
      const m = bareMachine({ deviations, devices: [{ ...ats, pri: true }] });
      m.ok(m.driver.boot());
      attach(m, 'dma0');
      m.posted();
      const access = { read: true, write: false };
      for (const op = m.smmu.pri(m.device('nic0'), -1, 0x10000n, access, 4, true); !op.next().done; );
      m.settle();
      return !m.posted().some((c) => c.startsWith('PRI_RESP'));
    };
    expect([waiting([]), waiting(['guest.no-pri-resp'])]).toEqual([false, true]);
  });
});

describe('the list is complete', () => {
  /** These send or order no invalidation and have nothing that could go stale; the first is a hint. */
  const others: readonly (keyof GuestRules)[] = ['stePrefetch'];

  it('every rule has a deviation, every deviation a scenario', () => {
    const broken = new Set(guestDeviations.map((d) => d.rule));
    for (const rule of Object.keys(guestRules) as (keyof GuestRules)[])
      expect(broken.has(rule) || others.includes(rule), rule).toBe(true);
    for (const d of guestDeviations)
      if (d.name !== 'guest.no-pri-resp') expect(Object.keys(scenarios), d.name).toContain(d.name);
    expect(new Set(guestDeviations.map((d) => d.name)).size).toBe(guestDeviations.length);
  });
});
