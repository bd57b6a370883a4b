import type { Vendor } from '../machine/vendor.ts';
import { findVendor } from '../machine/vendors.ts';
import { checkDocument, notModelled, stepContext } from './check.ts';
import { checkStep, namesOf } from './check-step.ts';
import { locate, type Path, parseJson, pathText } from './json.ts';
import type { Step } from './operations.ts';
import { type DocumentError, fromIssues, type Problem, problemText, valueAt } from './problem.ts';
import { documentSchema, type ScenarioDocument } from './schema.ts';
import { stepUnion } from './step-schema.ts';

/** Characters that a document may have: far more than any scenario, little enough to read in a moment. */
export const maxLength = 8 * 1024 * 1024;

/** Far more than a session makes. */
export const maxSteps = 100_000;
/** Values in one step, or in all that is not a step. */
export const maxValues = 20_000;

export type Parsed<T> = { readonly ok: true } & T;
export type Refused = { readonly ok: false; readonly error: DocumentError };
export type ParseResult = Parsed<{ readonly document: ScenarioDocument }> | Refused;

type FindVendor = (name: string) => Vendor | null;

/**
 * Reads a document, completely or not at all. Never throws, whatever the text is.
 * @returns the document in its author's notation, or the first thing that is wrong with it and where
 */
export function parseDocument(text: string, find: FindVendor = findVendor): ParseResult {
  if (text.length > maxLength)
    return {
      ok: false,
      error: {
        path: '',
        message: `expected a document of at most ${maxLength / 1048576} MiB, found ${(text.length / 1048576).toFixed(1)} MiB`,
      },
    };
  const json = parseJson(text);
  if (!json.ok) {
    const { path, message, line, column } = json;
    return { ok: false, error: { path: pathText(path), message, line, column } };
  }
  const refuse = (p: Problem): Refused => ({
    ok: false,
    error: { path: pathText(p.path), message: problemText(p, json.value), ...locate(text, p.path) },
  });
  const checked = checkValue(json.value, find);
  return checked.ok ? checked : refuse(checked.problem);
}

/** The same for a value that is already JSON: a document that a program has put together. */
export function checkScenario(value: unknown, find: FindVendor = findVendor): ParseResult {
  const checked = checkValue(value, find);
  if (checked.ok) return checked;
  return { ok: false, error: { path: pathText(checked.problem.path), message: problemText(checked.problem, value) } };
}

type Checked<T> = Parsed<T> | { readonly ok: false; readonly problem: Problem };

/**
 * Steps are read one at a time: a document full of errors then costs no more than its first one, and the schema library,
 * which hands all complaints about a value on as arguments of one call, never gets more than the stack holds.
 */
function checkValue(value: unknown, find: FindVendor): Checked<{ readonly document: ScenarioDocument }> {
  const steps = valueAt(value, ['steps']);
  const list = Array.isArray(steps) ? steps : undefined;
  const head = list ? { ...(value as object), steps: [] } : value;
  const inHead = tooMany(head, []);
  if (inHead) return { ok: false, problem: inHead };
  const shape = documentSchema.safeParse(head);
  if (!shape.success) return { ok: false, problem: fromIssues(shape.error.issues, value) };
  if (list && list.length > maxSteps)
    return { ok: false, problem: { path: ['steps'], expected: `at most ${maxSteps} steps`, found: `${list.length}` } };
  const read: Step[] = [];
  for (const [i, step] of (list ?? []).entries()) {
    const r = checkShape(step, ['steps', i]);
    if (!r.ok) return r;
    read.push(r.step);
  }
  const document: ScenarioDocument = { ...shape.data, steps: read };
  const problem = checkDocument(document, find(document.platform.iommu));
  return problem ? { ok: false, problem } : { ok: true, document };
}

function checkShape(step: unknown, path: Path): Checked<{ readonly step: Step }> {
  const many = tooMany(step, path);
  if (many) return { ok: false, problem: many };
  const shape = stepUnion.safeParse(step);
  if (shape.success) return { ok: true, step: shape.data as unknown as Step };
  const p = fromIssues(shape.error.issues, step);
  return { ok: false, problem: { ...p, path: [...path, ...p.path] } };
}

/** Values inside one another, without recursion. */
function tooMany(v: unknown, path: Path): Problem | undefined {
  const open: unknown[] = [v];
  for (let n = 0; open.length > 0; n++) {
    const x = open.pop();
    if (n + open.length > maxValues) return { path, expected: `at most ${maxValues} values`, found: 'more' };
    if (typeof x !== 'object' || x === null) continue;
    const inside = Object.values(x);
    if (n + open.length + inside.length > maxValues)
      return { path, expected: `at most ${maxValues} values`, found: 'more' };
    for (const y of inside) open.push(y);
  }
  return undefined;
}

/**
 * Checks one step as if it stood in the document after its first `at` steps (default: all). Paths are those inside the
 * step: `iova`.
 */
export function validateOperation(
  step: unknown,
  context: { readonly document: ScenarioDocument; readonly at?: number },
  find: FindVendor = findVendor,
): Parsed<{ readonly step: Step }> | Refused {
  const refuse = (p: Problem): Refused => ({
    ok: false,
    error: { path: pathText(p.path), message: problemText(p, step) },
  });
  const shape = checkShape(step, []);
  if (!shape.ok) return refuse(shape.problem);
  const { document } = context;
  const before = document.steps.slice(0, context.at ?? document.steps.length);
  const known = stepContext(document, find(document.platform.iommu), new Set(before.flatMap(namesOf)));
  for (const s of before) known.addressees.note(s);
  const problem = checkStep(shape.step, [], known);
  return problem ? refuse(problem) : { ok: true, step: shape.step };
}

/** Why a correct document cannot be run, as an error with its place; undefined when it can. */
export function whyNotRunnable(doc: ScenarioDocument, find: FindVendor = findVendor): DocumentError | undefined {
  const p = notModelled(doc, find(doc.platform.iommu));
  return p && { path: pathText(p.path), message: problemText(p, doc) };
}
