/** 64-bit words as two int32 halves, as hot paths take them. */

export const wordOf = (hi: number, lo: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
export const highHalf = (word: bigint): number => Number((word >> 32n) & 0xffffffffn) | 0;
export const lowHalf = (word: bigint): number => Number(word & 0xffffffffn) | 0;

/** The two words of four halves, lowest first. */
export const twoWords = (w0: number, w1: number, w2: number, w3: number): bigint[] => [wordOf(w1, w0), wordOf(w3, w2)];
