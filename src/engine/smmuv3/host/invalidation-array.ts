/**
 * What must be invalidated when a domain's mappings change: a sorted array with one entry for each tag or device, counted
 * by the devices that need it (arm-smmu-v3.c arm_smmu_invs_merge, _unref, _purge; struct arm_smmu_inv).
 */

/** In sort order; the order is that in which caches must be emptied. */
export const invalidationTypes = ['S1_ASID', 'S2_VMID', 'S2_VMID_S1_CLEAR', 'ATS', 'ATS_FULL'] as const;
export type InvalidationType = (typeof invalidationTypes)[number];

/** One entry without its count. `id` is an ASID, a VMID or a StreamID. */
export interface Invalidation {
  readonly type: InvalidationType;
  readonly id: number;
  /** PASID, for the ATS types. 0 for a whole device. */
  readonly ssid: number;
}

/** An entry of a domain's array. Without users it is trash that the next merge or purge drops. */
export interface InvalidationEntry extends Invalidation {
  readonly users: number;
}

export const isAts = (e: Invalidation): boolean => e.type === 'ATS' || e.type === 'ATS_FULL';

/** arm_smmu_inv_cmp: type, id, and for ATS the PASID. */
export function compareInvalidations(a: Invalidation, b: Invalidation): number {
  const type = invalidationTypes.indexOf(a.type) - invalidationTypes.indexOf(b.type);
  return type || a.id - b.id || (isAts(a) ? a.ssid - b.ssid : 0);
}

/** Adds entries: equal ones get one user more, new ones are inserted, trash goes. */
export function mergeInvalidations(
  base: readonly InvalidationEntry[],
  added: readonly Invalidation[],
): InvalidationEntry[] {
  const out = base.filter((e) => e.users > 0);
  for (const a of added) {
    const i = out.findIndex((e) => compareInvalidations(e, a) === 0);
    if (i >= 0) out[i] = { ...out[i]!, users: out[i]!.users + 1 };
    else out.push({ type: a.type, id: a.id, ssid: a.ssid, users: 1 });
  }
  return out.sort(compareInvalidations);
}

/**
 * Takes entries away without allocating in the kernel: those that lose their last user stay as trash, except at the end.
 * @returns the array, the number of trash entries in it, and the entries that nobody uses any more
 */
export function unrefInvalidations(
  base: readonly InvalidationEntry[],
  removed: readonly Invalidation[],
): { entries: InvalidationEntry[]; trashes: number; unused: Invalidation[] } {
  const entries = [...base];
  const unused: Invalidation[] = [];
  for (const r of removed) {
    const i = entries.findIndex((e) => e.users > 0 && compareInvalidations(e, r) === 0);
    if (i < 0) continue;
    entries[i] = { ...entries[i]!, users: entries[i]!.users - 1 };
    if (entries[i]!.users === 0) unused.push(r);
  }
  while (entries.length && entries.at(-1)!.users === 0) entries.pop();
  return { entries, trashes: entries.filter((e) => e.users === 0).length, unused };
}

/** Drops trash. */
export const purgeInvalidations = (base: readonly InvalidationEntry[]): InvalidationEntry[] =>
  base.filter((e) => e.users > 0);
