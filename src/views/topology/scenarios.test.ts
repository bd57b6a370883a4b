import { describe, expect, it } from 'vitest';
import { crowdedAt } from '../../engine/analysis/index.ts';
import { parseDocument } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import type { Scene } from '../../engine/machine/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { scenarios } from '../../library/index.ts';
import { goneObjects, rowMarks } from './fates.ts';
import { faults } from './fixtures/faults.ts';
import { overlap } from './label.ts';
import { layoutTopology } from './layout.ts';
import { motionOf } from './motion.ts';
import { everInColumns, foldEvents, foldedAtFirst, foldSections, sectionsOf } from './sections.ts';
import { reserveSlots } from './slots.ts';
import { withHazards } from './stale.ts';

await loadVendors();

/** Moments of each step that are looked at. */
const samples = 5;

/** What the page shows of the library, drawn from the engine's own scenes. */
describe('every scenario', () => {
  for (const s of scenarios) {
    it(s.title, { timeout: 60_000 }, async () => {
      const parsed = parseDocument(JSON.stringify(await s.load()));
      if (!parsed.ok) throw new Error(parsed.error.message);
      const session = new Session(parsed.document);
      session.runAll();
      const ends = session.steps.map((r, i) => session.platformAt(i).scene(r.hazards));
      const seen = session.steps.flatMap((r, i) => {
        const middle = crowdedAt(r.events);
        return middle === null ? [ends[i]!] : [session.platformAt(i, middle).scene([]), ends[i]!];
      });
      for (const size of [
        { width: 744, height: 468 },
        { width: 844, height: 612 },
      ]) {
        // As the page shows it: several guests are folded where there is no room for them.
        const sections = sectionsOf(seen);
        const folded = foldedAtFirst(sections, size.height);
        const columns = everInColumns(seen);
        const fold = (x: Scene): Scene => foldSections(x, folded, columns).scene;
        let slots = reserveSlots(seen.map(fold));
        let before = new Map<string, string>();
        for (const [step, r] of session.steps.entries()) {
          const n = r.events.length;
          const stride = Math.max(1, Math.ceil(n / samples));
          for (let event = n - 1 - Math.floor((n - 1) / stride) * stride; event < n; event += stride) {
            const where = `${size.width} px, step ${step}, event ${event}`;
            const stated = withHazards(session.platformAt(step, event + 1).scene([]), event === n - 1 ? r.hazards : []);
            const { scene, ids } = foldSections(stated, folded, columns);
            const events = foldEvents(r.events, ids);
            const gone = goneObjects(ends[step - 1] && fold(ends[step - 1]!), scene);
            const chips = sections.map((x) => ({ ...x, folded: folded.has(x.name) }));
            const l = layoutTopology(scene, size, { slots, marks: rowMarks(events, event), gone, sections: chips });
            slots = l.slots;
            expect(faults(l).join('; '), where).toBe('');
            expect([l.width, l.height], where).toEqual([size.width, size.height]);
            const now = new Map(l.boxes.map((b) => [b.id, `${b.x},${b.y} ${b.w}x${b.h}`]));
            // While the machine is set up, ids are used again for other objects.
            if (step > 0)
              for (const [id, at] of now)
                if (before.has(id)) expect(`${id} ${at}`, where).toBe(`${id} ${before.get(id)}`);
            before = now;

            const m = motionOf(l, events, event);
            expect(m.target, where).not.toBeNull();
            const labels = [...m.trail.map((t) => t.label), m.flight?.label, m.note?.label].filter((x) => !!x);
            for (const [i, a] of labels.entries())
              for (const b of labels.slice(i + 1)) expect(overlap(a, b), where).toBeLessThan(a.w * a.h * 0.08);
          }
        }
      }
    });
  }
});
