import { compare, type ExpectFailure, outputOf, show, showExpected } from './compare.ts';
import { assign, cachedText, entryMatches, entryText, unknownField } from './expect-caches.ts';
import { compareWhere, numbersRead, readBytes, registerValue } from './expect-reads.ts';
import { compareRecord, compareRecords, faultOf, recordOf } from './expect-records.ts';
import type { Expect } from './expect-schema.ts';
import { countOf, selected } from './expect-scope.ts';
import { bytesHex } from './number.ts';
import type { Step } from './operations.ts';
import { failure, failureText, missing, type Outcome } from './outcome.ts';
import { tryResolve } from './resolve.ts';

type Key = keyof Expect;
/** Compares one expectation. Where the outcome has nothing to compare with, the expectation is not met. */
type Check<K extends Key> = (
  expected: NonNullable<Expect[K]>,
  o: Outcome,
  path: string,
  all: Expect,
) => ExpectFailure[];

const counted =
  (what: 'exits' | 'ioctls' | 'syncs') =>
  (expected: string | number, o: Outcome, path: string, all: Expect): ExpectFailure[] => {
    const events = selected(all, o);
    return compare(expected, events ? countOf(what, events) : o.cost[what], path, '', o.bindings);
  };

const checks: { readonly [K in Key]-?: Check<K> } = {
  ok: (expected, o, path) =>
    expected === o.result.ok ? [] : failure(path, expected ? 'success' : 'a failure', failureText(o.result)),
  errno: (expected, o, path) => {
    const want = String(expected);
    const got = o.result.errno ?? (o.result.ok ? '0' : undefined);
    return got === want && (want !== '0' || o.result.ok)
      ? []
      : failure(path, want === '0' ? 'success' : want, got === undefined ? missing(o, 'errno') : failureText(o.result));
  },
  out: (expected, o, path) =>
    Object.entries(expected).flatMap(([name, v]) => {
      const got = outputOf(o.result.out, name);
      const field = name.slice(name.lastIndexOf('.') + 1);
      if (got === undefined)
        return failure(`${path}.${name}`, showExpected(v, o.bindings), missing(o, `output ${name}`));
      return compare(v, got, `${path}.${name}`, field, o.bindings);
    }),
  where: compareWhere,
  pa: (expected, o, path) =>
    o.result.pa === undefined
      ? failure(path, showExpected(expected, o.bindings), missing(o, 'physical address'))
      : compare(expected, o.result.pa, path, '', o.bindings),
  fault: (expected, o, path) => {
    const got = faultOf(o);
    if (expected === false) return got ? failure(path, 'no fault', got.name) : [];
    return got ? compareRecord(expected, got, path, o) : compareRecord(expected, undefined, path, o);
  },
  hit: (expected, o, path) =>
    o.result.hit === expected ? [] : failure(path, expected, o.result.hit ?? missing(o, 'cache')),
  reads: (expected, o, path) =>
    o.result.reads === undefined
      ? failure(path, showExpected(expected, o.bindings), missing(o, 'walk'))
      : compare(expected, o.result.reads, path, '', o.bindings),
  stalled: (expected, o, path) =>
    (o.result.stag !== undefined) === expected
      ? []
      : failure(path, expected ? 'an access that waits' : 'no access that waits', o.result.text),
  response: (expected, o, path) => {
    const last = o.events.findLast((e) => e.kind === 'page.response');
    const got = last?.kind === 'page.response' ? last.code.replace(' request', '') : undefined;
    if (expected === false) return got === undefined ? [] : failure(path, 'no page response', got);
    return got === expected ? [] : failure(path, expected, got ?? missing(o, 'page response'));
  },
  // Both say which events the others mean.
  guest: () => [],
  unit: () => [],
  commands: (expected, o, path, all) => {
    const got = (selected(all, o) ?? o.events).flatMap((e) =>
      e.kind === 'command.fetch' && e.actor === 'iommu'
        ? [recordOf(o, e.command.name, e.command.layout, e.command.words)]
        : [],
    );
    return compareRecords(expected, got, path, o);
  },
  exits: counted('exits'),
  ioctls: counted('ioctls'),
  syncs: counted('syncs'),
  cached: (expected, o, path) => {
    const entries = o.cached();
    return expected.flatMap((e, i) =>
      entries.some((x) => entryMatches(e, x, o))
        ? []
        : failure(`${path}[${i}]`, entryText(e), cachedText(entries, e['cache'])),
    );
  },
  notCached: (expected, o, path) => {
    const entries = o.cached();
    return expected.flatMap((e, i) => {
      const field = unknownField(e, entries);
      if (field) return failure(`${path}[${i}].${field}`, 'a field of a cached entry', 'no entry has such a field');
      const hit = entries.find((x) => entryMatches(e, x, o));
      return hit
        ? failure(`${path}[${i}]`, `no entry with ${entryText(e)}`, entryText({ cache: hit.cache, ...hit.fields }))
        : [];
    });
  },
  stale: (expected, o, path) => {
    const found = o.hazards.length === 0 ? 'none' : `${o.hazards.length}: ${o.hazards.map((h) => h.text).join('; ')}`;
    if (!Array.isArray(expected)) {
      const n = tryResolve(expected, o.bindings);
      return n === BigInt(o.hazards.length) ? [] : failure(path, showExpected(expected, o.bindings), found);
    }
    const fits = expected.length === o.hazards.length && assign(expected, o.hazards);
    return fits
      ? []
      : failure(
          path,
          expected.length === 0 ? 'none' : `${expected.length}: ${expected.map((e) => show(e)).join('; ')}`,
          found,
        );
  },
  events: (expected, o, path, all) => {
    const got = (selected(all, o) ?? o.events).flatMap((e) =>
      e.kind === 'guest.event' ? [recordOf(o, e.name, e.layout, e.words)] : [],
    );
    return compareRecords(expected, got, path, o);
  },
  u8: numbersRead(1),
  u32: numbersRead(4),
  u64: numbersRead(8),
  hex: (expected, o, path) => {
    const bytes = o.operation.do === 'memory.read' ? readBytes(o) : undefined;
    if (!bytes) return failure(path, expected, missing(o, 'bytes'));
    const got = bytesHex(bytes.subarray(0, expected.length / 2));
    return got === expected.toLowerCase() ? [] : failure(path, expected, got);
  },
  // Compared together with `value`; the document's check refuses it alone.
  mask: () => [],
  value: (expected, o, path, all) => {
    const got = registerValue(o);
    if (got === undefined) return failure(path, showExpected(expected, o.bindings), missing(o, 'register value'));
    if (all.mask === undefined) return compare(expected, got, path, '', o.bindings);
    const mask = tryResolve(all.mask, o.bindings);
    const want = tryResolve(expected, o.bindings);
    if (mask !== undefined && want !== undefined && (got & mask) === want) return [];
    const bits = ` in the bits ${showExpected(all.mask, o.bindings)}`;
    const actual = mask === undefined ? '' : `0x${(got & mask).toString(16)}${bits}, the register is `;
    return failure(path, `${showExpected(expected, o.bindings)}${bits}`, `${actual}0x${got.toString(16)}`);
  },
};

/** True when the step says itself that it may fail. */
function mayFail(e: Expect | undefined): boolean {
  if (!e) return false;
  if (e.stalled === true || (e.response !== undefined && e.response !== 'success')) return true;
  return e.ok !== undefined || e.errno !== undefined || (e.fault !== undefined && e.fault !== false);
}

/**
 * Compares a step with its `expect`. A step succeeds unless it expects a failing errno, a fault, or says `ok`; every key
 * is compared, and one that the operation cannot answer is not met.
 */
export function checkExpectations(step: Pick<Step, 'expect'> | null, o: Outcome): ExpectFailure[] {
  const expect = step?.expect as Expect | undefined;
  const out: ExpectFailure[] = [];
  if (!mayFail(expect) && !o.result.ok) out.push({ path: '', expected: 'success', actual: failureText(o.result) });
  for (const [key, expected] of Object.entries(expect ?? {})) {
    if (expected === undefined) continue;
    const check = checks[key as Key] as Check<Key> | undefined;
    out.push(
      ...(check
        ? check(expected as never, o, `expect.${key}`, expect!)
        : failure(`expect.${key}`, 'a known expectation', key)),
    );
  }
  return out;
}
