import type { Op } from '../../machine/index.ts';
import { type Invalidation, isAts, mergeInvalidations, unrefInvalidations } from '../host/invalidation-array.ts';
import type { Command } from './commands.ts';
import { submit } from './queue.ts';
import type { Invalidated } from './range.ts';
import type { RangeFlush } from './rules.ts';
import type { AddressSpace, Kernel, Master } from './state.ts';

/**
 * What a domain's invalidations go to (struct arm_smmu_invs): an entry for its ASID and one for each stream and PASID with
 * ATS. Attaching a device adds its entries before hardware is told, leaving takes them out after.
 */

/** arm_smmu_master_build_invs. @param ssid 0 for the RID */
const entriesOf = (s: AddressSpace, m: Master, ssid: number, ats: boolean): Invalidation[] => [
  { type: 'S1_ASID', id: s.asid, ssid: 0 },
  ...(ats ? [{ type: 'ATS', id: m.vsid, ssid } as const] : []),
];

/** The space takes on a device: from now on its invalidations reach the device too. */
export function join(s: AddressSpace, m: Master, ssid: number, ats: boolean): void {
  s.invs = mergeInvalidations(s.invs, entriesOf(s, m, ssid, ats));
}

/**
 * The device has left; its entries go. An ASID that nobody uses must be clean in the TLB, since it may be given away
 * (arm_smmu_install_old_domain_invs).
 * @param ats whether ATS was on while it was in
 */
export function* leave(k: Kernel, s: AddressSpace, m: Master, ssid: number, ats: boolean): Op<void> {
  const { entries, unused } = unrefInvalidations(s.invs, entriesOf(s, m, ssid, ats));
  s.invs = entries.filter((e) => e.users > 0);
  const u = k.units[s.unit];
  if (u && unused.some((e) => e.type === 'S1_ASID')) yield* submit(u, k.rules.detachAsid(s.asid));
}

/** How the two kinds of cache are told: `tlbi` for the ASID, `atc` for every stream and PASID at once. */
interface Duty {
  tlbi(): Command[];
  atc(entries: readonly { sid: number; ssid: number }[]): Command[];
}

/** arm_smmu_domain_inv_range over the array: a CMD_SYNC between TLB and ATCs and at the end. Nobody in it: nothing is sent. */
function* run(k: Kernel, s: AddressSpace, d: Duty): Op<void> {
  const u = k.units[s.unit];
  const live = s.invs.filter((e) => e.users > 0);
  if (!u || live.length === 0) return;
  const ats = live.filter(isAts).map((e) => ({ sid: e.id, ssid: e.ssid }));
  const atc = ats.length ? d.atc(ats) : [];
  for (const batch of k.rules.flushOrder(d.tlbi(), atc)) yield* submit(u, batch);
}

/** A range has lost its mappings (`leaf`), or a table over it was unlinked. */
export function* invalidateRange(k: Kernel, s: AddressSpace, r: Invalidated, leaf: boolean): Op<void> {
  const f = rangeFlush(k, s, r);
  yield* run(k, s, {
    tlbi: () => (leaf ? k.rules.unmapTlbi(f) : k.rules.walkTlbi(f)),
    atc: (entries) => k.rules.unmapAtc(entries, r),
  });
}

/** The page table of a process has changed under the device: leaves and tables alike may be gone. */
export function* invalidateProcess(k: Kernel, s: AddressSpace, r: Invalidated): Op<void> {
  const f = rangeFlush(k, s, r);
  yield* run(k, s, {
    tlbi: () => k.rules.notifierTlbi(f),
    atc: (entries) => k.rules.notifierAtc(entries, r),
  });
}

/** The process has gone: its whole ASID, and all that its PASID left in ATCs. */
export function* invalidateExited(k: Kernel, s: AddressSpace): Op<void> {
  yield* run(k, s, { tlbi: () => k.rules.exitTlbi(s.asid), atc: (entries) => k.rules.exitAtc(entries) });
}

/** The flush queue is emptied: the whole ASID, then all of the domain in the ATCs. */
export function* invalidateAll(k: Kernel, s: AddressSpace): Op<void> {
  yield* run(k, s, { tlbi: () => k.rules.flushQueueTlbi(s.asid), atc: (entries) => k.rules.flushQueueAtc(entries) });
}

const rangeFlush = (k: Kernel, s: AddressSpace, r: Invalidated): RangeFlush => ({
  ...r,
  asid: s.asid,
  page: Math.log2(s.granule),
  ril: k.units[s.unit]?.state.features?.ril ?? false,
});
