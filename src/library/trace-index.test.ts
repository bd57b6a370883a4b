import { describe, expect, it } from 'vitest';
import { Session } from '../engine/document/index.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import {
  indexOf,
  livesAreEvents,
  livesAreRows,
  originsAreLastWrites,
  settled,
  wordsFindEvents,
} from '../engine/properties/indexed-runs.ts';
import { scenarios } from './index.ts';

await loadVendors(scenarios.map((s) => s.iommu));

describe('the index of every scenario', { timeout: 60_000 }, () => {
  it.each(scenarios.map((s) => [s.id, s] as const))('%s', async (_, scenario) => {
    const s = new Session(await scenario.load());
    s.runAll();
    const index = indexOf(s);
    livesAreEvents(s, index);
    for (const [step, r] of s.steps.entries()) {
      livesAreRows(s, index, { step, event: r.eventCount }, true);
      livesAreRows(s, index, settled(s, { step, event: r.eventCount >> 1 }), false);
      wordsFindEvents(s, index, step, step * 3);
    }
    const step = s.steps.length - 1;
    originsAreLastWrites(s, index, { step, event: s.steps[step]!.eventCount });
  });

  it('every hazard lies in a stale stretch that begins at the write that made it', async () => {
    let seen = 0;
    for (const scenario of scenarios) {
      const s = new Session(await scenario.load());
      s.runAll();
      const index = indexOf(s);
      for (const [step, r] of s.steps.entries())
        for (const h of r.hazards) {
          const life = index.lifeOf(h.at, h.entry, { step, event: r.eventCount });
          // What no cache holds but the kernel or the VMM remembers has no life.
          if (!life) continue;
          const stretch = life.stale.find((x) => x.to === null || x.to.step > step);
          expect(stretch, `${scenario.id} step ${step}: ${h.text}`).toBeDefined();
          if (h.cause && h.cause.step === stretch!.from.step)
            expect(stretch!.from).toEqual({ step: h.cause.step, event: h.cause.event + 1 });
          seen++;
        }
    }
    expect(seen).toBeGreaterThan(10);
  });
});
