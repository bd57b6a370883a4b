import type { Operation } from '../machine/vendor.ts';
import { type Conversion, conversions } from './conversions.ts';
import { byteFields, hexBytes, numberPattern, packBytes, rangeText, readReference, toBigint } from './number.ts';
import type { Step } from './operations.ts';

/** What `as` has bound so far. */
export type Bindings = Readonly<Record<string, bigint>>;

export type Resolved =
  | { readonly ok: true; readonly operation: Operation }
  /** A name that no step has bound, because the one that should have failed; or a sum that leaves the field's range. */
  | { readonly ok: false; readonly text: string };

class Unresolved extends Error {}

/** @returns the value of a number or `$name`; undefined for a text that is neither */
export function resolveValue(v: unknown, bindings: Bindings): bigint | undefined {
  const r = readReference(v);
  if (r === undefined) return toBigint(v);
  if (r === null || !Object.hasOwn(bindings, r.name))
    throw new Unresolved(`${String(v)} is not bound: the step that binds it failed`);
  return bindings[r.name]! + r.add;
}

/** The same without an exception: undefined also for a name that is not bound. */
export function tryResolve(v: unknown, bindings: Bindings): bigint | undefined {
  const r = readReference(v);
  return r && !Object.hasOwn(bindings, r.name) ? undefined : resolveValue(v, bindings);
}

const plain = (n: bigint): number | bigint =>
  n <= BigInt(Number.MAX_SAFE_INTEGER) && n >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;

/** Free-form fields: texts that are numbers become numbers (bigints above 2^53), byte strings and names stay texts. */
function resolveTree(v: unknown, field: string, bindings: Bindings): unknown {
  if (typeof v === 'string') {
    const number = v.startsWith('$') || (!byteFields.has(field) && numberPattern.test(v));
    return number ? plain(resolveValue(v, bindings)!) : v;
  }
  if (Array.isArray(v)) return v.map((x) => resolveTree(x, field, bindings));
  if (typeof v !== 'object' || v === null) return v;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, resolveTree(x, k, bindings)]));
}

function inRange(name: string, f: Conversion, v: unknown, bindings: Bindings): bigint {
  const n = resolveValue(v, bindings)!;
  const { min = 0n, max } = f;
  if (n < min || (max !== undefined && n > max))
    throw new Unresolved(`${name} is 0x${n.toString(16)}, expected ${rangeText(min, max ?? min)}`);
  return n;
}

function take(name: string, f: Conversion, v: unknown, bindings: Bindings): unknown {
  switch (f.take) {
    case 'same':
      return v;
    case 'number':
      return Number(inRange(name, f, v, bindings));
    case 'bigint':
      return inRange(name, f, v, bindings);
    case 'numbers':
      return (v as unknown[]).map((x) => Number(inRange(name, f, x, bindings)));
    case 'bigints':
      return (v as unknown[]).map((x) => BigInt.asUintN(64, resolveValue(x, bindings)!));
    case 'bytes':
      return hexBytes(String(v));
    case 'tree':
      return resolveTree(v, name, bindings);
    case 'command': {
      const { name: command, ...fields } = v as Record<string, unknown>;
      const entries = Object.entries(fields).map(([k, x]) => [k, resolveValue(x, bindings)!]);
      return { name: command, fields: Object.fromEntries(entries) };
    }
  }
}

/** A checked step as the platform gets it: see `ParsedOperation`. */
export function resolveOperation(step: Step, bindings: Bindings): Resolved {
  const values = step as unknown as Readonly<Record<string, unknown>>;
  const out: Record<string, unknown> = { do: step.do };
  try {
    for (const [name, f] of Object.entries(conversions[step.do]!)) {
      const v = values[name] === undefined ? f.default : values[name];
      if (v !== undefined) out[name] = v === null ? null : take(name, f, v, bindings);
    }
  } catch (e) {
    if (e instanceof Unresolved) return { ok: false, text: e.message };
    throw e;
  }
  if (step.do === 'memory.write') out['bytes'] = writtenBytes(out);
  if (step.do === 'memory.read') out['length'] ??= expectedLength(step.expect);
  return { ok: true, operation: out as Operation };
}

function writtenBytes(op: Readonly<Record<string, unknown>>): Uint8Array {
  if (op['hex']) return op['hex'] as Uint8Array;
  for (const [field, width] of [
    ['u8', 1],
    ['u32', 4],
    ['u64', 8],
  ] as const)
    if (op[field]) return packBytes((op[field] as (number | bigint)[]).map(BigInt), width);
  return new Uint8Array();
}

/** As many bytes as the step compares, or one 64-bit word. */
function expectedLength(expect: Step['expect']): number {
  const longest = Math.max(
    expect?.u8?.length ?? 0,
    (expect?.u32?.length ?? 0) * 4,
    (expect?.u64?.length ?? 0) * 8,
    (expect?.hex?.length ?? 0) / 2,
  );
  return longest === 0 ? 8 : longest;
}
