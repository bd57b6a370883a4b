/** How records print numbers. */

/** A 64-bit word with all its digits. */
export const word64 = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;
