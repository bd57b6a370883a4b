import { describe, expect, it } from 'vitest';
import { checkScenario } from '../../document/authoring.ts';
import { keepsPromises } from '../../document/fixtures/platform-promises.ts';
import { Session } from '../../document/index.ts';
import { documents } from './fixtures/documents.ts';

function play(document: unknown): Session {
  const r = checkScenario(document);
  if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  const s = new Session(r.document);
  s.runAll();
  return s;
}

describe('documents with several guests, units and PASIDs', () => {
  for (const d of Object.values(documents))
    it(`${d.title}: what is expected happens`, () => {
      const s = play(d);
      expect(s.steps.flatMap((r, i) => r.failures.map((f) => ({ step: i, do: r.operation.do, ...f })))).toEqual([]);
    });
});

for (const d of Object.values(documents)) keepsPromises(d.title, () => d);
