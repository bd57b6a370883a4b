/** Bits of an IOTLB entry's attributes that name its translation type (PGTT), above the permissions. */
export const PGTT_SHIFT = 16;

/** An entry that says that the second stage has nothing there, which caching mode lets hardware keep. */
export const ABSENT = 1 << 19;

/**
 * Which invalidations reach an IOTLB entry by address, kept in its granule column: IOTLB_INV those of the second stage and of
 * pass-through, P_IOTLB_INV those of the first stage and nested ones. Source: VT-d specification, 6.2.3.1, table 21.
 */
export const SECOND = 1;
export const FIRST = 2;
