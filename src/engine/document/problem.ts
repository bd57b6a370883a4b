import type * as z from 'zod/mini';
import { type Path, pathText } from './json.ts';

/** A place in a document and what is wrong there. */
export interface Problem {
  readonly path: Path;
  /** Completes "expected ...". */
  readonly expected: string;
  /** What stood there, when it is not the value at the path. */
  readonly found?: string;
  /** The name that was probably meant. */
  readonly meant?: string;
}

export interface DocumentError {
  /** `steps[3].iova`; '' for the whole document. */
  readonly path: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}

const longest = 60;
const cut = (s: string): string => (s.length > longest ? `${s.slice(0, longest)}...` : s);

/** A value in a few words, as a message shows it. */
export function describe(v: unknown): string {
  if (v === undefined) return 'nothing';
  if (v === null) return 'null';
  if (typeof v === 'string') return cut(JSON.stringify(v.slice(0, longest + 2)));
  if (typeof v === 'number' && !Number.isSafeInteger(v) && Number.isInteger(v))
    return `${v} (above 2^53 a number must stand in double quotes, or it is rounded)`;
  if (Array.isArray(v)) return v.length === 0 ? 'an empty array' : `an array of ${v.length}`;
  if (typeof v === 'object') return 'an object';
  return String(v);
}

/** The value at a path; undefined where it leads nowhere. */
export function valueAt(root: unknown, path: Path): unknown {
  let v = root;
  for (const p of path) {
    if (typeof v !== 'object' || v === null || !Object.hasOwn(v, p)) return undefined;
    v = (v as Record<string | number, unknown>)[p];
  }
  return v;
}

/** The name out of `known` that a misspelling most likely meant; undefined when none is near. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = name.length < 4 ? 2 : Math.floor(name.length / 3) + 2;
  for (const k of known) {
    if (Math.abs(k.length - name.length) >= least) continue;
    const d = distance(name.toLowerCase(), k.toLowerCase(), least);
    if (d < least) {
      least = d;
      best = k;
    }
  }
  return best;
}

/** Letters changed, left out, put in or swapped with their neighbour; `limit` when there are at least as many. */
function distance(a: string, b: string, limit: number): number {
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? above[j - 2]! + 1 : limit;
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, changed, swapped));
    }
    if (Math.min(...next) > limit) return limit;
    above = row;
    row = next;
  }
  return Math.min(row[b.length]!, limit);
}

/** A name that is none of those known: what was expected, and which one was probably meant. */
export function unknownName(
  path: Path,
  what: string,
  name: unknown,
  known: readonly string[],
  found?: string,
): Problem {
  const list = known.length > 24 ? `${known.slice(0, 24).join(', ')}, ...` : known.join(', ');
  const meant = typeof name === 'string' ? nearest(name.slice(0, 100), known) : undefined;
  return { path, expected: `${what}: ${known.length ? list : 'there is none'}`, found, meant };
}

type Issue = z.core.$ZodIssue;

/** The most telling of the schema's complaints about a value. */
export function fromIssues(issues: readonly Issue[], root: unknown): Problem {
  const first = issues[0]!;
  // A misspelt key is also a missing one; the misspelling is what helps.
  const parent = pathText(first.path.slice(0, -1) as Path);
  const misspelt = issues.find((i) => i.code === 'unrecognized_keys' && pathText(i.path as Path) === parent);
  return fromIssue(misspelt ?? first, [], root);
}

function fromIssue(issue: Issue, before: Path, root: unknown): Problem {
  const path = [...before, ...(issue.path as Path)];
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const known = issue.message.replace(/^one of the keys /, '').split(', ');
    return unknownName([...path, key], 'one of these keys', key, known, 'an unknown key');
  }
  if (issue.code === 'invalid_union') {
    if (issue.discriminator !== undefined) {
      const known = ((issue as { options?: readonly unknown[] }).options ?? []).map(String);
      return unknownName(path, issue.message, valueAt(root, path), known);
    }
    // The alternative whose shape fits and whose inside does not.
    const inner = issue.errors.find((e) => e.some((i) => i.path.length > 0 || i.code === 'unrecognized_keys'));
    if (inner) return fromIssue(inner.find((i) => i.code === 'unrecognized_keys') ?? inner[0]!, path, root);
  }
  return { path, expected: issue.message };
}

/** `expected a number from 0 to 255; found "abc"` */
export function problemText(p: Problem, root: unknown): string {
  const hint = p.meant === undefined ? '' : `; did you mean ${JSON.stringify(p.meant)}?`;
  return `expected ${p.expected}; found ${p.found ?? describe(valueAt(root, p.path))}${hint}`;
}
