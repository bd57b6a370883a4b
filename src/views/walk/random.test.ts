import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { scenarios } from '../../library/index.ts';
import { faultsOf } from './fixtures/layout-faults.ts';
import { layoutWalk } from './layout.ts';
import { walksOf } from './model.ts';
import { walkTable } from './text.ts';
import { cellsOf, type Walk } from './types.ts';

await loadVendors();

/** Positions of the reads that the IOMMUs made in a step. */
const readsOf = (events: readonly TraceEvent[]): number[] =>
  events.flatMap((e, i) => (e.kind === 'memory.read' && e.actor === 'iommu' ? [i + 1] : []));
const placed = (walks: readonly Walk[]): number[] =>
  walks.flatMap((w) => w.rows.flatMap((r) => cellsOf(r).flatMap((c) => (c.read ? [c.read.event] : []))));

function look(walks: readonly Walk[], where: string): void {
  for (const w of walks) {
    for (const event of [w.from, Math.floor((w.from + w.to) / 2), w.to]) {
      expect(faultsOf(layoutWalk(w, event, { width: 744, compact: true })), where).toEqual([]);
      expect(faultsOf(layoutWalk(w, event, { width: 744, compact: false })), where).toEqual([]);
      expect(walkTable(w, event).rows.length, where).toBe(w.rows.length);
    }
  }
}

describe('every scenario', () => {
  for (const s of scenarios)
    it(s.title, { timeout: 60_000 }, async () => {
      const parsed = parseDocument(JSON.stringify(await s.load()));
      if (!parsed.ok) throw new Error(parsed.error.message);
      const session = new Session(parsed.document);
      session.runAll();
      let asked = 0;
      for (const [step, r] of session.steps.entries()) {
        const walks = walksOf(r.events);
        expect(
          placed(walks).sort((a, b) => a - b),
          `step ${step}`,
        ).toEqual(readsOf(r.events));
        look(walks, `step ${step}`);
        if (r.operation.do !== 'device.dma') continue;
        asked++;
        expect(walks.length, `step ${step}`).toBeGreaterThan(0);
        const name = String((r.operation as { device?: unknown }).device);
        expect(walks.every((w) => w.request.device === name)).toBe(true);
      }
      expect(asked).toBeGreaterThan(0);
    });
});

describe('any events in any order', () => {
  it('never throw, and no read is lost or drawn twice', async () => {
    const pool: TraceEvent[] = [];
    for (const s of scenarios.filter((x) => /first-dma|sva|bad-|fault-stages/.test(x.id))) {
      const parsed = parseDocument(JSON.stringify(await s.load()));
      if (!parsed.ok) throw new Error(parsed.error.message);
      const session = new Session(parsed.document);
      session.runAll();
      for (const r of session.steps.slice(1)) pool.push(...r.events);
    }
    expect(pool.length).toBeGreaterThan(500);
    const piece = fc
      .tuple(fc.nat(pool.length - 1), fc.integer({ min: 1, max: 60 }))
      .map(([from, n]) => pool.slice(from, from + n));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const events = pieces.flat();
        const walks = walksOf(events);
        const cells = placed(walks);
        expect(new Set(cells).size).toBe(cells.length);
        for (const w of walks) {
          expect(w.reads).toBe(placed([w]).length);
          layoutWalk(w, w.to, { width: 600, compact: true });
          walkTable(w, w.to);
        }
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});
