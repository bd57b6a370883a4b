import { beforeAll, describe, expect, it } from 'vitest';
import { parseDocument, validateOperation } from '../engine/document/authoring.ts';
import { Session } from '../engine/document/index.ts';
import type { Platform } from '../engine/machine/index.ts';
import { scenarios } from './index.ts';

/** What every platform promises the views, checked over every scenario of the library. */
for (const s of scenarios) {
  describe(s.title, () => {
    let session: Session;
    beforeAll(async () => {
      const parsed = parseDocument(JSON.stringify(await s.load()));
      if (!parsed.ok) throw new Error(parsed.error.message);
      session = new Session(parsed.document);
      session.runAll();
    });

    const at = (step: number): Platform => session.platformAt(step);

    it('every place that an event names is in the picture after its step', () => {
      for (const [step, r] of session.steps.entries()) {
        const ids = new Set(
          at(step)
            .scene(r.hazards)
            .objects.map((o) => o.id),
        );
        const before =
          step === 0
            ? new Set<string>()
            : new Set(
                at(step - 1)
                  .scene([])
                  .objects.map((o) => o.id),
              );
        // Objects that the step destroyed are in the picture before it, those it made and destroyed in neither.
        for (const e of r.events)
          for (const id of [e.at, e.to ?? e.at])
            expect(ids.has(id) || before.has(id) || /^kernel\.obj\./.test(id), `step ${step}: ${e.kind} at ${id}`).toBe(
              true,
            );
      }
    });

    it('references lead to objects, ids are unique, cache rows have a cell for every column', () => {
      for (const [step, r] of session.steps.entries()) {
        const { objects } = at(step).scene(r.hazards);
        const ids = new Set(objects.map((o) => o.id));
        expect(ids.size).toBe(objects.length);
        for (const o of objects) {
          for (const ref of o.refs) expect(ids.has(ref.to), `${o.id} refers to ${ref.to}`).toBe(true);
          for (const row of o.cache?.rows ?? []) expect(row.cells.length).toBe(o.cache!.columns.length);
        }
      }
    });

    it('the rows of the caches are what the events filled and removed', () => {
      const rows = new Map<string, string>();
      for (const [step, r] of session.steps.entries()) {
        for (const e of r.events) {
          if (e.kind === 'cache.fill') rows.set(`${e.at}#${e.entry.id}`, e.entry.cells.join('|'));
          if (e.kind === 'cache.remove') rows.delete(`${e.at}#${e.entry.id}`);
        }
        const now = at(step)
          .scene([])
          .objects.flatMap((o) => (o.cache?.rows ?? []).map((x) => [`${o.id}#${x.id}`, x.cells.join('|')] as const));
        expect([...rows].sort()).toEqual([...now].sort());
      }
    });

    it('every object, cache row and queue entry can be inspected', () => {
      for (const [step, r] of session.steps.entries()) {
        const p = at(step);
        for (const o of p.scene(r.hazards).objects) {
          expect(p.inspect(o.id), o.id).not.toBeNull();
          for (const row of o.cache?.rows ?? [])
            expect(p.inspect(o.id, { row: row.id })?.title, `${o.id} row`).toBeTruthy();
          for (const slot of o.queue?.slots ?? [])
            expect(
              p.inspect(o.id, { index: slot.index })?.records.length,
              `${o.id} entry ${slot.index}`,
            ).toBeGreaterThan(0);
        }
      }
    });

    it('everything that an object offers is a valid operation', () => {
      for (const [step, r] of session.steps.entries()) {
        const p = at(step);
        const offers = p
          .scene(r.hazards)
          .objects.flatMap((o) => [
            ...p.actionsFor(o.id),
            ...(o.cache?.rows ?? []).flatMap((row) => p.actionsFor(o.id, { row: row.id })),
          ]);
        for (const a of [
          ...offers,
          ...r.hazards.flatMap((h) => (h.remedy ? [{ title: h.text, operation: h.remedy }] : [])),
        ]) {
          const v = validateOperation(a.operation, { document: session.document });
          expect(v.ok ? '' : `${v.error.path}: ${v.error.message}`, `${a.title} ${JSON.stringify(a.operation)}`).toBe(
            '',
          );
        }
      }
    });

    it('a hazard names the write that made it, and its remedy ends it', () => {
      for (const [step, r] of session.steps.entries())
        for (const h of r.hazards) {
          expect(h.cause, h.text).not.toBeNull();
          if (!h.remedy) continue;
          const again = new Session({ ...session.document, steps: session.document.steps.slice(0, step) });
          const after = again.append(h.remedy as never);
          expect(
            after.hazards.some((x) => x.at === h.at && x.entry === h.entry),
            h.text,
          ).toBe(false);
        }
    });
  });
}
