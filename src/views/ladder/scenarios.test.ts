import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { scenarios } from '../../library/index.ts';
import { drawLine } from './draw.ts';
import { lineFaults } from './fixtures/faults.ts';
import { foldAll } from './folds.ts';
import { layoutLanes, orderParties } from './lanes.ts';
import { createParties } from './parties.ts';
import { Ladder } from './rows.ts';
import { ladderSvg } from './svg.ts';
import { ladderText } from './text.ts';

await loadVendors();

/** What the page shows of the library, from the engine's own events. */
describe('every scenario', () => {
  for (const s of scenarios) {
    it(s.title, { timeout: 60_000 }, async () => {
      const parsed = parseDocument(JSON.stringify(await s.load()));
      if (!parsed.ok) throw new Error(parsed.error.message);
      const session = new Session(parsed.document);
      session.runAll();
      const steps = session.steps;
      const parties = createParties(steps.flatMap((r, i) => session.platformAt(i).scene(r.hazards).objects));
      const ladder = new Ladder(parties);
      const speakers = ladder.present(steps);
      const known = orderParties(speakers);
      expect(known.filter((p) => /^(guest|vmm)/.test(p)).length % 2, 'a VMM for each guest').toBe(0);
      for (const width of [600, 744, 844, 1440]) {
        const g = layoutLanes(speakers, width, parties.known());
        for (const l of g.lanes) expect(l.title, `${width} px`).not.toMatch(/…/);
        for (const mode of ['folded', 'auto', 'open'] as const) {
          const rows = ladder.rows(steps, foldAll(mode), 1);
          const seen: string[] = [];
          for (const r of rows.slice(0, rows.count)) {
            const where = `${width} px, ${mode}, step ${r.step}, ${r.kind} ${r.from}`;
            const p = drawLine(ladder, r, steps[r.step]!, g, 'Title');
            expect(lineFaults(p, g.width), where).toEqual([]);
            expect(p.full, where).not.toBe('');
            for (let e = r.from; e <= r.to; e++) seen.push(`${r.step}.${e}`);
          }
          expect(seen, mode).toEqual(steps.flatMap((r, i) => r.events.map((_, k) => `${i}.${k + 1}`)));
        }
      }
      // Who says something to whom is never left open.
      for (const [i, r] of steps.entries())
        for (const [k, e] of ladder.step(r).ends.entries()) {
          const where = `step ${i}, event ${k + 1}: ${r.events[k]!.kind}`;
          expect(speakers.has(e.from) && (e.to === null || speakers.has(e.to)), where).toBe(true);
          if (r.events[k]!.to !== undefined && /^(ioctl|dma|ats)/.test(r.events[k]!.kind))
            expect(e.to, where).not.toBeNull();
        }
      const svg = ladderSvg({ parties, steps, titleOf: (n) => `Title ${n}`, show: [1], width: 844 });
      expect(svg.split('<text').length).toBeGreaterThan(4);
      const text = ladderText(ladder, steps[0]!, 'Setup');
      const count = (lines: typeof text.lines): number =>
        lines.reduce((n, l) => n + (l.key.startsWith('r') ? 0 : 1) + count(l.lines), 0);
      expect(count(text.lines)).toBe(steps[0]!.eventCount);
    });
  }
});
