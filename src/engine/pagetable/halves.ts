/** Addresses as two int32 halves, as every walker takes them. */

/** Index of an address at a level, times eight and unmasked: bits from `shift` up, with three zeros below. */
export function byteIndex(hi: number, lo: number, shift: number): number {
  const s = shift - 3;
  return s >= 32 ? hi >>> (s - 32) : (lo >>> s) | (hi << (32 - s));
}

/** True when the address has bits at or above `bits`. */
export function beyond(hi: number, lo: number, bits: number): boolean {
  if (bits >= 64) return false;
  if (bits > 32) return hi >>> (bits - 32) !== 0;
  return hi !== 0 || (bits < 32 && lo >>> bits !== 0);
}

/** Bits from `bit` up of a 32-bit half; all of them for a negative bit. */
export const maskFrom = (bit: number): number => (bit <= 0 ? -1 : bit >= 32 ? 0 : -1 << bit);

/** High half of what a leaf of log2 size `shift` gives: its own bits above, the input's below. */
export const joinHi = (leafHi: number, inHi: number, shift: number): number => {
  if (shift <= 32) return leafHi;
  const m = -1 >>> (64 - shift);
  return (leafHi & ~m) | (inHi & m);
};

/** The low half of the same. */
export const joinLo = (leafLo: number, inLo: number, shift: number): number => {
  if (shift >= 32) return inLo;
  const m = (1 << shift) - 1;
  return (leafLo & ~m) | (inLo & m);
};
