import { decode, type Layout } from '../bits/index.ts';
import { compare, type ExpectFailure, showExpected } from './compare.ts';
import { failure, type Outcome } from './outcome.ts';

/** Commands, events and faults: a name, and fields by the vendor's names. */

export interface Record64 {
  readonly name: string;
  readonly fields: Readonly<Record<string, bigint>> | undefined;
}

const layoutOf = (o: Outcome, id: string): Layout | undefined =>
  o.vendor.layouts.find((l) => l.id === id) ?? o.vendor.commands.find((l) => l.id === id);

export function recordOf(o: Outcome, name: string, layout: string, words: readonly bigint[]): Record64 {
  const l = layoutOf(o, layout);
  return { name, fields: l && decode(l, words) };
}

const bare = (name: string): string => name.replace(/^CMD_/, '');

/** A name alone, or a name with fields of which those listed must agree. */
export function compareRecord(
  expected: unknown,
  actual: Record64 | undefined,
  path: string,
  o: Outcome,
): ExpectFailure[] {
  const { name, ...fields } = typeof expected === 'string' ? { name: expected } : (expected as { name: string });
  if (!actual) return failure(path, name, 'nothing');
  if (bare(actual.name) !== bare(name)) return failure(path, name, actual.name);
  return Object.entries(fields).flatMap(([k, v]) => {
    const at = `${path}.${k}`;
    if (!actual.fields || !Object.hasOwn(actual.fields, k))
      return failure(at, showExpected(v, o.bindings), `${actual.name} has no field ${k}`);
    return compare(v, actual.fields[k], at, '', o.bindings);
  });
}

export function compareRecords(
  expected: readonly unknown[],
  actual: readonly Record64[],
  path: string,
  o: Outcome,
): ExpectFailure[] {
  const names = (list: readonly unknown[]): string =>
    list.length === 0 ? 'none' : list.map((x) => (typeof x === 'string' ? x : (x as { name: string }).name)).join(', ');
  if (expected.length !== actual.length || expected.some((e, i) => bare(names([e])) !== bare(actual[i]!.name)))
    return failure(path, names(expected), names(actual));
  return expected.flatMap((e, i) => compareRecord(e, actual[i], `${path}[${i}]`, o));
}

/** The fault that the actor reports, else the last one that hardware recorded in this step. */
export function faultOf(o: Outcome): Record64 | undefined {
  if (o.result.fault) return o.result.fault;
  const e = o.events.findLast((x) => x.kind === 'fault');
  return e && e.kind === 'fault' ? recordOf(o, e.name, e.layout, e.words) : undefined;
}
