import { parseDocument, validateOperation, whyNotRunnable } from '../engine/document/authoring.ts';
import type { DocumentError, ScenarioDocument, Step } from '../engine/document/index.ts';
import type { Vendor } from '../engine/machine/index.ts';
import { findVendor } from '../engine/machine/vendors.ts';
import type { Checks, Parsed, Problem } from './engine.ts';

/** Checks of what a person brings: loaded when somebody does, not with the page. */

type FindVendor = (name: string) => Vendor | null;

function problemOf(e: DocumentError): Problem {
  const at = e.line === undefined ? '' : ` (line ${e.line}, column ${e.column})`;
  return { path: e.path, text: `${e.message}${at}` };
}

/** @param find  the vendors that are modelled; tests have their own */
export const createChecks = (find: FindVendor = findVendor): Checks => ({
  parse(text) {
    const r = parseDocument(text, find);
    if (!r.ok) return { ok: false, problem: problemOf(r.error) };
    const why = whyNotRunnable(r.document, find);
    return why ? { ok: false, problem: problemOf(why) } : r;
  },
  check(document, at, step) {
    const r = validateOperation(step, { document, at }, find);
    return r.ok ? r : { ok: false, problem: problemOf(r.error) };
  },
});

const own = createChecks();

/** Checks a step as if it stood after the first `at` steps. */
export const checkStep = (document: ScenarioDocument, at: number, step: unknown): Parsed<{ readonly step: Step }> =>
  own.check(document, at, step);
