/** Bits of 64-bit words, for walkers and writers of tables that tests write by hand. */

/** Bits hi..lo of a word. */
export const bits = (w: bigint, hi: number, lo: number): bigint =>
  (w >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
export const num = (w: bigint, hi: number, lo: number): number => Number(bits(w, hi, lo));
export const flag = (w: bigint, n: number): boolean => bits(w, n, n) === 1n;
export const BIT = (n: number): bigint => 1n << BigInt(n);
