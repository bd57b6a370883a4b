import { smmuv3Vendor } from '../smmuv3/index.ts';
import type { Vendor } from './vendor.ts';

/**
 * The vendors that are modelled. The only file outside the vendors' rooms that imports them: another one is another
 * folder and another line here.
 */
export const vendors: readonly Vendor[] = [smmuv3Vendor];

/** @returns null for a vendor that the format knows and nobody has modelled yet */
export const findVendor = (name: string): Vendor | null => vendors.find((v) => v.name === name) ?? null;
