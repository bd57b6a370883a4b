/** Readers of a vector's values. What does not fit is a malformed vector and fails with the place. */

export class Malformed extends Error {}

/** A vector of something that is known but that the model does not have. */
export class NotModelled extends Error {
  readonly what: string;

  constructor(what: string, reason: string) {
    super(reason);
    this.what = what;
  }
}

/** Checks one vector. @returns null when it holds, else what was expected and what came out */
export type Check = (vector: Readonly<Record<string, unknown>>) => string | null;

export function record(v: unknown, what: string): Record<string, unknown> {
  if (v === null || typeof v !== 'object' || Array.isArray(v)) throw new Malformed(`${what}: expected an object`);
  return v as Record<string, unknown>;
}

export function list(v: unknown, what: string): unknown[] {
  if (!Array.isArray(v)) throw new Malformed(`${what}: expected an array`);
  return v;
}

export function text(v: unknown, what: string): string {
  if (typeof v !== 'string' || v === '') throw new Malformed(`${what}: expected text`);
  return v;
}

export function flag(v: unknown, what: string): boolean {
  if (typeof v !== 'boolean') throw new Malformed(`${what}: expected true or false`);
  return v;
}

/** A whole number, as JSON number or as text (decimal or 0x...). */
export function big(v: unknown, what: string): bigint {
  if (typeof v === 'number' && Number.isSafeInteger(v) && v >= 0) return BigInt(v);
  if (typeof v === 'string' && /^(0x[0-9a-f]+|\d+)$/i.test(v)) return BigInt(v);
  throw new Malformed(`${what}: expected a number, found ${JSON.stringify(v)}`);
}

export function number(v: unknown, what: string, max = Number.MAX_SAFE_INTEGER): number {
  const n = big(v, what);
  if (n > BigInt(max)) throw new Malformed(`${what}: 0x${n.toString(16)} is too large`);
  return Number(n);
}

/** An array of so many 64-bit words. */
export function words(v: unknown, count: number, what: string): bigint[] {
  const a = list(v, what).map((x, i) => big(x, `${what}[${i}]`));
  if (a.length !== count) throw new Malformed(`${what}: expected ${count} words, found ${a.length}`);
  for (const [i, w] of a.entries()) if (w >= 2n ** 64n) throw new Malformed(`${what}[${i}]: more than 64 bits`);
  return a;
}

/** Hex digits of so many bytes in memory order. */
export function bytes(v: unknown, count: number, what: string): Uint8Array {
  if (typeof v !== 'string' || !/^([0-9a-f]{2})*$/i.test(v)) throw new Malformed(`${what}: expected hex digits`);
  if (v.length !== count * 2) throw new Malformed(`${what}: expected ${count} bytes, found ${v.length / 2}`);
  return Uint8Array.from({ length: count }, (_, i) => Number.parseInt(v.slice(i * 2, i * 2 + 2), 16));
}

export const hexBytes = (b: Uint8Array): string => [...b].map((x) => x.toString(16).padStart(2, '0')).join('');

export const hexWords = (w: readonly bigint[]): string =>
  w.map((x) => `0x${x.toString(16).padStart(16, '0')}`).join(' ');

/** The only keys that an object may have; others would be expectations that nothing checks. */
export function onlyKeys(o: Readonly<Record<string, unknown>>, keys: readonly string[], what: string): void {
  for (const k of Object.keys(o)) if (!keys.includes(k)) throw new Malformed(`${what}: unknown key ${k}`);
}

/** null when equal, else both as text. */
export function same(what: string, expected: string, actual: string): string | null {
  return expected === actual ? null : `${what}: expected ${expected}, found ${actual}`;
}
