import { byteFields, bytesHex, numberPattern, toBigint } from './number.ts';
import { type Bindings, tryResolve } from './resolve.ts';

/** One expectation that was not met, in words. */
export interface ExpectFailure {
  /** Inside the step: `expect.out.iova`. */
  readonly path: string;
  readonly expected: string;
  readonly actual: string;
}

const hexadecimal = (like: unknown): boolean => typeof like === 'string' && /^0[xX]/.test(like);

/** A value as text, in the notation of `like` where both are numbers. */
export function show(v: unknown, like?: unknown): string {
  if (v === undefined) return 'nothing';
  if (v instanceof Uint8Array) return bytesHex(v);
  if (typeof v === 'bigint' || typeof v === 'number') {
    if (hexadecimal(like)) return `0x${v.toString(16)}`;
    return typeof v === 'bigint' && v > 9n && typeof like !== 'number' ? `0x${v.toString(16)}` : String(v);
  }
  if (typeof v === 'string') return v;
  return JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? `0x${x.toString(16)}` : x)) ?? String(v);
}

/** What was expected, as its author wrote it, with the value that a `$name` stands for. */
export function showExpected(expected: unknown, bindings: Bindings): string {
  if (typeof expected !== 'string' || !expected.startsWith('$')) return show(expected, expected);
  const v = tryResolve(expected, bindings);
  return v === undefined ? `${expected} (not bound)` : `${expected} (0x${v.toString(16)})`;
}

/** A number in whatever notation; undefined for all else. Byte strings of a result are no numbers. */
const numeric = (v: unknown): bigint | undefined => (typeof v === 'boolean' ? (v ? 1n : 0n) : toBigint(v));

/**
 * Compares an expected value with what happened: numbers as numbers whatever their notation, byte strings as text, arrays
 * element by element, objects by the fields that are expected.
 * @param field name of the innermost field, which says whether a text is bytes
 */
export function compare(
  expected: unknown,
  actual: unknown,
  path: string,
  field: string,
  bindings: Bindings,
): ExpectFailure[] {
  const differ = (): ExpectFailure[] => [
    { path, expected: showExpected(expected, bindings), actual: show(actual, expected) },
  ];
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return differ();
    if (actual.length !== expected.length)
      return [{ path, expected: `${expected.length} elements`, actual: `${actual.length}: ${show(actual)}` }];
    return expected.flatMap((e, i) => compare(e, actual[i], `${path}[${i}]`, field, bindings));
  }
  if (typeof expected === 'object' && expected !== null) {
    if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return differ();
    return Object.entries(expected).flatMap(([k, e]) =>
      compare(
        e,
        Object.hasOwn(actual, k) ? (actual as Record<string, unknown>)[k] : undefined,
        `${path}.${k}`,
        k,
        bindings,
      ),
    );
  }
  if (typeof expected === 'string' && byteFields.has(field) && !expected.startsWith('$')) {
    const text = actual instanceof Uint8Array ? bytesHex(actual) : actual;
    return typeof text === 'string' && text.toLowerCase() === expected.toLowerCase() ? [] : differ();
  }
  const isNumber =
    typeof expected === 'number' ||
    (typeof expected === 'string' && (expected.startsWith('$') || numberPattern.test(expected)));
  if (!isNumber) return expected === actual ? [] : differ();
  const want = tryResolve(expected, bindings);
  const got = numeric(actual);
  return want !== undefined && got !== undefined && want === got ? [] : differ();
}

/** An output by name, also below an inline structure: `data.out_mmap_offset`. Names with a dot of their own come first. */
export function outputOf(out: unknown, name: string): unknown {
  if (typeof out !== 'object' || out === null) return undefined;
  if (Object.hasOwn(out, name)) return (out as Record<string, unknown>)[name];
  const dot = name.indexOf('.');
  if (dot < 0) return undefined;
  return outputOf(outputOf(out, name.slice(0, dot)), name.slice(dot + 1));
}
