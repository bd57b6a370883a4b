import { hexPlain } from '../../engine/bits/index.ts';
import { type ScenarioDocument, Session } from '../../engine/document/index.ts';
import type { Step } from './writes.ts';

/** The last access's outcome becomes its expectation, so that the document is a test of its own. */
export function withOutcome(document: ScenarioDocument): ScenarioDocument {
  const session = new Session(document);
  session.runAll();
  const last = document.steps.length;
  const { result, events } = session.steps[last]!;
  const fault = result.fault?.name ?? events.flatMap((e) => (e.kind === 'fault' ? [e.name] : [])).at(-1);
  const expect = result.ok
    ? result.pa === undefined
      ? {}
      : { pa: hexPlain(result.pa) }
    : fault === undefined
      ? { ok: false }
      : { fault };
  const dma = { ...document.steps[last - 1]!, expect } as Step;
  return { ...document, steps: [...document.steps.slice(0, -1), dma] };
}
