import type { StepCost, StepHazard } from '../analysis/index.ts';
import { decode, type Layout } from '../bits/index.ts';
import type { Operation, OpResult, Platform, Vendor } from '../machine/vendor.ts';
import type { TraceEvent } from '../trace/index.ts';
import { compare, type ExpectFailure, outputOf, show, showExpected } from './compare.ts';
import type { Expect } from './expect-schema.ts';
import { bytesHex, hexBytes, packBytes, toBigint, unpackBytes } from './number.ts';
import type { Step } from './operations.ts';
import { type Bindings, tryResolve } from './resolve.ts';

/** Everything that a step's expectations are compared with. */
export interface Outcome {
  readonly operation: Operation;
  readonly result: OpResult;
  readonly events: readonly TraceEvent[];
  readonly cost: StepCost;
  readonly hazards: readonly StepHazard[];
  readonly cached: Platform['cached'];
  readonly vendor: Pick<Vendor, 'layouts' | 'commands'>;
  /** With the step's own. */
  readonly bindings: Bindings;
}

type Key = keyof Expect;
/** Compares one expectation. Where the outcome has nothing to compare with, the expectation is not met. */
type Check<K extends Key> = (
  expected: NonNullable<Expect[K]>,
  o: Outcome,
  path: string,
  all: Expect,
) => ExpectFailure[];

const failure = (path: string, expected: string, actual: string): ExpectFailure[] => [{ path, expected, actual }];

/** Why a step failed, in one line. */
export function failureText(r: OpResult): string {
  if (r.ok) return 'success';
  const errno = r.errno && r.errno !== '0' ? `${r.errno}: ` : '';
  return `${errno}${r.text}`;
}

/** `none` when the operation has no such thing to give. */
const missing = (o: Outcome, what: string): string => `${o.operation.do} gave no ${what} (${failureText(o.result)})`;

const counted =
  (what: keyof StepCost): ((expected: string | number, o: Outcome, path: string) => ExpectFailure[]) =>
  (expected, o, path) =>
    compare(expected, o.cost[what], path, '', o.bindings);

interface Record64 {
  readonly name: string;
  readonly fields: Readonly<Record<string, bigint>> | undefined;
}

const layoutOf = (o: Outcome, id: string): Layout | undefined =>
  o.vendor.layouts.find((l) => l.id === id) ?? o.vendor.commands.find((l) => l.id === id);

function recordOf(o: Outcome, name: string, layout: string, words: readonly bigint[]): Record64 {
  const l = layoutOf(o, layout);
  return { name, fields: l && decode(l, words) };
}

const bare = (name: string): string => name.replace(/^CMD_/, '');

/** A name alone, or a name with fields of which those listed must agree. */
function compareRecord(expected: unknown, actual: Record64 | undefined, path: string, o: Outcome): ExpectFailure[] {
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

function compareRecords(
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

type CachedEntry = ReturnType<Platform['cached']>[number];

function entryMatches(expected: Readonly<Record<string, unknown>>, entry: CachedEntry, o: Outcome): boolean {
  return Object.entries(expected).every(([k, v]) => {
    if (k === 'cache') return entry.cache === v;
    const has = Object.hasOwn(entry.fields, k) ? entry.fields[k] : undefined;
    if (has === undefined) return false;
    return typeof has === 'string' && has === v ? true : compare(v, has, '', '', o.bindings).length === 0;
  });
}

const entryText = (e: Readonly<Record<string, unknown>>): string =>
  Object.entries(e)
    .map(([k, v]) => `${k} ${show(v)}`)
    .join(', ');

/** The entries of the cache that is meant, a few of them, as text. */
function cachedText(entries: readonly CachedEntry[], cache: unknown): string {
  const of = entries.filter((e) => cache === undefined || e.cache === cache);
  if (of.length === 0) return 'no such entry; the cache is empty';
  const text = of.slice(0, 4).map((e) => `[${entryText({ cache: e.cache, ...e.fields })}]`);
  return `${text.join(' ')}${of.length > 4 ? ` and ${of.length - 4} more` : ''}`;
}

/** A field that no entry of the cache has would make `notCached` true for ever. */
function unknownField(
  expected: Readonly<Record<string, unknown>>,
  entries: readonly CachedEntry[],
): string | undefined {
  const of = entries.filter((e) => expected['cache'] === undefined || e.cache === expected['cache']);
  if (of.length === 0) return undefined;
  return Object.keys(expected).find((k) => k !== 'cache' && !of.some((e) => Object.hasOwn(e.fields, k)));
}

function hazardMatches(expected: unknown, h: StepHazard): boolean {
  if (typeof expected === 'string') return h.text.includes(expected);
  const e = expected as { at?: string; cache?: string; text?: string; now?: string; missing?: string };
  return (
    (e.at === undefined || h.at === e.at) &&
    (e.cache === undefined || h.cache === e.cache) &&
    (e.text === undefined || h.text.includes(e.text)) &&
    (e.now === undefined || h.now.includes(e.now)) &&
    (e.missing === undefined || h.missing.includes(e.missing))
  );
}

/** True when each expected element can have a hazard of its own. */
function assign(expected: readonly unknown[], hazards: readonly StepHazard[]): boolean {
  const takenBy = new Map<number, number>();
  const place = (i: number, seen: Set<number>): boolean =>
    hazards.some((h, j) => {
      if (seen.has(j) || !hazardMatches(expected[i], h)) return false;
      seen.add(j);
      const other = takenBy.get(j);
      if (other !== undefined && !place(other, seen)) return false;
      takenBy.set(j, i);
      return true;
    });
  return expected.every((_, i) => place(i, new Set()));
}

/** Bytes that a read gave, from whichever form the platform chose. */
function readBytes(o: Outcome): Uint8Array | undefined {
  const out = o.result.out;
  if (!out) return undefined;
  if (out['bytes'] instanceof Uint8Array) return out['bytes'];
  if (typeof out['hex'] === 'string') return hexBytes(out['hex']);
  if (out['hex'] instanceof Uint8Array) return out['hex'];
  for (const [field, width] of [
    ['u64', 8],
    ['u32', 4],
    ['u8', 1],
  ] as const)
    if (Array.isArray(out[field])) return packBytes((out[field] as (number | bigint)[]).map(BigInt), width);
  return undefined;
}

const numbersRead =
  (width: number) =>
  (expected: readonly (string | number)[], o: Outcome, path: string): ExpectFailure[] => {
    const bytes = o.operation.do === 'memory.read' ? readBytes(o) : undefined;
    if (!bytes) return failure(path, show(expected), missing(o, 'bytes'));
    const got = unpackBytes(bytes, width).slice(0, expected.length);
    return compare(expected, got, path, '', o.bindings);
  };

const registerValue = (o: Outcome): bigint | undefined =>
  o.operation.do === 'register.read' ? toBigint(outputOf(o.result.out, 'value') ?? o.result.main) : undefined;

function compareWhere(where: NonNullable<Expect['where']>, o: Outcome, path: string): ExpectFailure[] {
  return Object.entries(where).flatMap(([name, w]) => {
    const at = `${path}.${name}`;
    const v = toBigint(outputOf(o.result.out, name));
    if (v === undefined) return failure(at, `an output ${name}`, missing(o, `output ${name}`));
    const num = (x: unknown): bigint | undefined => tryResolve(x, o.bindings);
    const out: ExpectFailure[] = [];
    const want = (holds: boolean | undefined, expected: string): void => {
      if (holds !== true) out.push({ path: at, expected, actual: `0x${v.toString(16)}` });
    };
    const test = (x: unknown, words: string, holds: (n: bigint) => boolean): void => {
      if (x === undefined) return;
      const n = num(x);
      want(n === undefined ? undefined : holds(n), `${words} ${showExpected(x, o.bindings)}`);
    };
    test(w.multipleOf, 'a multiple of', (n) => v % n === 0n);
    test(w.min, 'at least', (n) => v >= n);
    test(w.max, 'at most', (n) => v <= n);
    if (w.outside) {
      const [a, b] = w.outside.map(num);
      want(
        a !== undefined && b !== undefined && (v < a || v > b),
        `outside ${w.outside.map((x) => showExpected(x, o.bindings)).join(' to ')}`,
      );
    }
    const mask = w.mask === undefined ? undefined : num(w.mask);
    const bits = w.mask === undefined ? '' : ` in the bits ${showExpected(w.mask, o.bindings)}`;
    if (w.equals !== undefined) {
      const n = num(w.equals);
      const masked = w.mask === undefined ? v : mask === undefined ? undefined : v & mask;
      want(n !== undefined && masked === n, `${showExpected(w.equals, o.bindings)}${bits}`);
    }
    return out;
  });
}

/** The fault that the actor reports, else the last one that hardware recorded in this step. */
function faultOf(o: Outcome): Record64 | undefined {
  if (o.result.fault) return o.result.fault;
  const e = o.events.findLast((x) => x.kind === 'fault');
  return e && e.kind === 'fault' ? recordOf(o, e.name, e.layout, e.words) : undefined;
}

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
  commands: (expected, o, path) => {
    const got = o.events.flatMap((e) =>
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
  events: (expected, o, path) => {
    const got = o.events.flatMap((e) => (e.kind === 'guest.event' ? [recordOf(o, e.name, e.layout, e.words)] : []));
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
