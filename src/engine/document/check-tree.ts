import type { Path } from './json.ts';
import { byteFields, numberPattern, readNumber, readReference } from './number.ts';
import type { Problem } from './problem.ts';

const deepest = 8;
const min = -(1n << 63n);
const max = (1n << 64n) - 1n;

/**
 * Checks free-form fields: numbers, texts, arrays and objects, at most eight inside one another; a text that is a number
 * fits 64 bits.
 */
export function checkTree(v: unknown, path: Path, depth = 0): Problem | undefined {
  if (typeof v === 'number')
    return Number.isSafeInteger(v)
      ? undefined
      : { path, expected: 'a whole number up to 2^53, or a number in double quotes' };
  if (typeof v === 'string') {
    const field = path.findLast((p) => typeof p === 'string');
    if (byteFields.has(String(field)) || v.startsWith('$') || !numberPattern.test(v)) return undefined;
    const n = readNumber(v);
    return n !== undefined && n >= min && n <= max ? undefined : { path, expected: 'a number of 64 bits' };
  }
  if (typeof v !== 'object' || v === null) return { path, expected: 'a number, a text, an array or an object' };
  if (depth >= deepest) return { path, expected: `at most ${deepest} arrays and objects inside one another` };
  if (Array.isArray(v)) {
    for (let i = 0; i < v.length; i++) {
      const p = checkTree(v[i], [...path, i], depth + 1);
      if (p) return p;
    }
    return undefined;
  }
  for (const [k, x] of Object.entries(v)) {
    const p = checkTree(x, [...path, k], depth + 1);
    if (p) return p;
  }
  return undefined;
}

/** Every text that starts with `$` must name what an earlier step bound. Recursion is bounded by the reader. */
export function checkReferences(v: unknown, path: Path, bound: ReadonlySet<string>): Problem | undefined {
  if (typeof v === 'string') {
    const r = readReference(v);
    if (r === undefined) return undefined;
    if (r === null) return { path, expected: 'a name such as $name or $name+0x1000' };
    if (bound.has(r.name)) return undefined;
    const known = [...bound];
    const names = known.length > 12 ? `${known.slice(0, 12).join(', ')}, ...` : known.join(', ');
    return {
      path,
      expected: `a name that "as" of an earlier step binds (${known.length ? names : 'none does so far'})`,
    };
  }
  if (typeof v !== 'object' || v === null) return undefined;
  for (const [k, x] of Object.entries(v)) {
    const p = checkReferences(x, [...path, Array.isArray(v) ? Number(k) : k], bound);
    if (p) return p;
  }
  return undefined;
}
