import type { Op } from '../../machine/index.ts';
import { report } from '../../vmm/index.ts';
import { attachBinding, bindingText, detachBinding, detachPasid } from './bind.ts';
import { contextEntry, pasidEntry, pasidLimit, walkPasidTable } from './guest-tables.ts';
import { didOf } from './pasid-entry.ts';
import type { PasidRequest } from './rules.ts';
import { type Binding, note, type UnitContext, type VmmDevice } from './state.ts';

export const everything: PasidRequest = { kind: 'global', did: 0, pasid: 0 };

/**
 * vtd_pasid_cache_sync: the bindings of all host devices follow the guest's PASID tables, as far as the request reaches. With
 * translation off, or in legacy mode, nothing happens.
 */
export function* syncBindings(u: UnitContext, r: PasidRequest): Op<void> {
  if (!u.state.rootScalable || !u.state.dmarEnabled) return;
  for (const d of [...u.state.devices]) {
    const gone = yield* dropStale(u, d, r);
    // A PASID whose entry has just gone is not looked for again.
    if (gone && r.kind === 'pasid') continue;
    yield* bindPresent(u, d, r);
  }
}

/** vtd_accel_pasid_cache_reset: bindings whose guest entry can no longer be read end. */
export function* resetBindings(u: UnitContext): Op<void> {
  for (const d of [...u.state.devices]) yield* dropStale(u, d, everything);
}

/** All bindings end, whatever the guest's tables say. */
export function* dropBindings(u: UnitContext, d: VmmDevice): Op<void> {
  for (const b of [...d.bindings]) yield* drop(u, d, b);
}

/** Devices that the guest has bound to nothing are taken off VFIO's attachment. */
export function* blockUnbound(u: UnitContext): Op<void> {
  for (const d of u.state.devices)
    if (!d.bindings.some((b) => b.pasid === 0)) {
      const errno = yield* detachPasid(u, d, 0);
      if (errno !== '0') report(u, `${d.name} cannot be blocked: ${errno}`);
    }
}

/** vtd_accel_pasid_cache_invalidate. @returns true when a binding ended */
function* dropStale(u: UnitContext, d: VmmDevice, r: PasidRequest): Op<boolean> {
  let gone = false;
  for (const b of [...d.bindings]) {
    if (!u.vmm.rules.concerns(r, didOf(b.entry), b.pasid)) continue;
    if (typeof pasidEntry(u, d.vrid, b.pasid) !== 'number') continue;
    yield* drop(u, d, b);
    gone = true;
  }
  return gone;
}

function* drop(u: UnitContext, d: VmmDevice, b: Binding): Op<void> {
  const failure = yield* detachBinding(u, d, b);
  if (failure) report(u, `Detaching from HWPT failed: ${failure}`);
  d.bindings = d.bindings.filter((x) => x !== b);
  note(u, `the binding of ${bindingText(d, b.pasid)} has ended`);
}

/** vtd_accel_replay_pasid_bind_for_dev: what is present in the guest's table is bound, or bound anew if it has changed. */
function* bindPresent(u: UnitContext, d: VmmDevice, r: PasidRequest): Op<void> {
  const context = contextEntry(u, d.vrid);
  if (typeof context === 'number') return;
  const limit = Math.min(2 ** d.maxPasidLog2, pasidLimit(context));
  // The vIOMMU's own width bounds the walk of a whole table only (vtd_accel_pasid_cache_sync).
  const [start, end] = r.kind === 'pasid' ? [r.pasid, r.pasid + 1] : [0, 2 ** u.state.offer.pasidBits];
  yield* walkPasidTable(u, context, start, Math.min(end, limit), function* (pasid, entry): Op<void> {
    if (u.vmm.rules.picks(r, didOf(entry))) yield* bind(u, d, pasid, entry);
  });
}

/** vtd_accel_fill_pc: the entry is remembered before the attach, and stays remembered when that fails. */
function* bind(u: UnitContext, d: VmmDevice, pasid: number, entry: bigint[]): Op<void> {
  const known = d.bindings.find((b) => b.pasid === pasid);
  if (known && !u.vmm.rules.differs(known.entry, entry)) return;
  const b: Binding = known ?? { pasid, entry, hwpt: 0, faultQueue: null, pending: [] };
  b.entry = entry;
  if (!known) d.bindings.unshift(b);
  const failure = yield* attachBinding(u, d, b);
  if (failure) report(u, `${known ? 'Replacing HWPT attachment' : 'Attaching to HWPT'} failed: ${failure}`);
}
