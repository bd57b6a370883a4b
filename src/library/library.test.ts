import { describe, expect, it } from 'vitest';
import { parseDocument } from '../engine/document/authoring.ts';
import { Session } from '../engine/document/index.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import { scenarios } from './index.ts';

await loadVendors();

const open = async (load: () => Promise<unknown>): Promise<Session> => {
  const parsed = parseDocument(JSON.stringify(await load()));
  if (!parsed.ok) throw new Error(`${parsed.error.path}: ${parsed.error.message}`);
  return new Session(parsed.document);
};

describe('scenario library', () => {
  it('has the SMMUv3 scenarios, each with an id of its own', () => {
    expect(scenarios.filter((s) => s.iommu === 'smmuv3').length).toBeGreaterThanOrEqual(12);
    expect(new Set(scenarios.map((s) => s.id)).size).toBe(scenarios.length);
  });

  for (const s of scenarios) {
    it(`${s.title}: every expectation holds`, async () => {
      const session = await open(s.load);
      session.runAll();
      const failed = session.steps.flatMap((r, i) =>
        r.failures.map((f) => `step ${i} ${f.path}: expected ${f.expected}, found ${f.actual}`),
      );
      expect(failed).toEqual([]);
      expect(session.steps.every((r) => r.crash === undefined)).toBe(true);
    });

    it(`${s.title}: every step is told, and some are checked`, async () => {
      const { document } = await open(s.load);
      expect(document.title).toBe(s.title);
      for (const step of document.steps) expect(step.say, JSON.stringify(step)).toBeTruthy();
      expect(document.steps.filter((x) => x.expect !== undefined).length).toBeGreaterThan(2);
    });

    it(`${s.title}: a broken expectation is noticed`, async () => {
      const session = await open(s.load);
      const steps = session.document.steps.map((x) => ({
        ...x,
        expect: { ...x.expect, exits: 987654 },
      })) as typeof session.document.steps;
      const again = new Session({ ...session.document, steps });
      again.runAll();
      expect(again.steps.slice(1).every((r) => r.failures.length > 0)).toBe(true);
    });
  }
});
