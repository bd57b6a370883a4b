import { compare, type ExpectFailure, outputOf, show, showExpected } from './compare.ts';
import type { Expect } from './expect-schema.ts';
import { hexBytes, packBytes, toBigint, unpackBytes } from './number.ts';
import { failure, missing, type Outcome } from './outcome.ts';
import { tryResolve } from './resolve.ts';

/** Values that a step reads: memory, registers, outputs of a call. */

/** Bytes that a read gave, from whichever form the platform chose. */
export function readBytes(o: Outcome): Uint8Array | undefined {
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

export const numbersRead =
  (width: number) =>
  (expected: readonly (string | number)[], o: Outcome, path: string): ExpectFailure[] => {
    const bytes = o.operation.do === 'memory.read' ? readBytes(o) : undefined;
    if (!bytes) return failure(path, show(expected), missing(o, 'bytes'));
    const got = unpackBytes(bytes, width).slice(0, expected.length);
    return compare(expected, got, path, '', o.bindings);
  };

export const registerValue = (o: Outcome): bigint | undefined =>
  o.operation.do === 'register.read' ? toBigint(outputOf(o.result.out, 'value') ?? o.result.main) : undefined;

export function compareWhere(where: NonNullable<Expect['where']>, o: Outcome, path: string): ExpectFailure[] {
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
