import type { Operation, OpResult } from '../machine/vendor.ts';
import { type ExpectFailure, outputOf, show } from './compare.ts';
import { toBigint } from './number.ts';
import type { Step } from './operations.ts';
import type { Bindings } from './resolve.ts';

/** The main result of an operation: what the actor names as such, else what a read gave. */
function mainOf(op: Operation, result: OpResult): unknown {
  if (result.main !== undefined) return result.main;
  if (op.do === 'register.read') return outputOf(result.out, 'value');
  return undefined;
}

/** An output by name. Records of a read are found by the fields of the first one. */
function namedOf(result: OpResult, name: string): unknown {
  const direct = outputOf(result.out, name);
  if (direct !== undefined) return direct;
  const records = outputOf(result.out, 'records');
  return Array.isArray(records) ? outputOf(records[0], name) : undefined;
}

/**
 * What `as` binds after a step. A step that failed binds what it has given and nothing else; one that succeeded must
 * give what is to be bound.
 */
export function bind(
  step: Step | null,
  op: Operation,
  result: OpResult,
  before: Bindings,
): { readonly bindings: Bindings; readonly failures: readonly ExpectFailure[] } {
  if (!step?.as) return { bindings: before, failures: [] };
  const wanted: (readonly [string, string, unknown])[] =
    typeof step.as === 'string'
      ? [['as', step.as, mainOf(op, result)]]
      : Object.entries(step.as).map(([output, name]) => [`as.${output}`, name, namedOf(result, output)]);
  const bindings: Record<string, bigint> = { ...before };
  const failures: ExpectFailure[] = [];
  for (const [path, name, v] of wanted) {
    const n = toBigint(v);
    if (n !== undefined) bindings[name] = n;
    else if (result.ok) failures.push({ path, expected: `a number to bind to ${name}`, actual: show(v) });
  }
  return { bindings, failures };
}
