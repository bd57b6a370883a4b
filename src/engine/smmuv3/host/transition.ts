import { type Op, pause } from '../../machine/index.ts';
import { flushTag } from './flush.ts';
import { mergeInvalidations, purgeInvalidations, unrefInvalidations } from './invalidation-array.ts';
import { disableIopf, enableIopf } from './iopf.ts';
import { submit } from './queue.ts';
import { featuresOf, type Host, type Master, pagingDomainOf, pciOf } from './state.ts';

/**
 * What happens before and after the entry of a device or PASID changes (arm-smmu-v3.c arm_smmu_attach_prepare and
 * arm_smmu_attach_commit): the new domain invalidates for the device before the entry changes, the old one until after it,
 * so no invalidation is missed.
 */

/** A move of a device, or of one of its PASIDs, from one domain to another. */
export interface Transition {
  readonly master: Master;
  /** 0: the RID. */
  readonly ssid: number;
  /** Handles of the domain that it leaves and the one that it gets. */
  readonly from: number;
  readonly to: number;
  readonly ats: boolean;
  readonly vmaster: Master['vmaster'];
}

export function atsSupported(h: Host, m: Master): boolean {
  return featuresOf(h).ats && pciOf(h, m).atsCapable;
}

/** Before the entry changes. */
export function* prepare(h: Host, t: Transition): Op<void> {
  const { master: m } = t;
  enableIopf(h, m, t.to);
  if (h.rules.joins() === 'before entry') join(h, t);
  if (h.rules.leaves() === 'before entry') yield* leave(h, t);
  setAts(h, m, h.rules.switchAts('before entry', m.atsEnabled, t.ats));
}

/** After the entry has changed. */
export function* commit(h: Host, t: Transition): Op<void> {
  const { master: m } = t;
  m.vmaster = t.vmaster;
  if (h.rules.joins() === 'after entry') join(h, t);
  yield* submit(h, h.rules.attachAtc(m.sid, m.atsEnabled, t.ats, t.ssid));
  if (setAts(h, m, h.rules.switchAts('after entry', m.atsEnabled, t.ats))) yield pause('driver', 'ats');
  if (h.rules.leaves() === 'after entry') yield* leave(h, t);
  m.atsEnabled = t.ats;
}

function join(h: Host, t: Transition): void {
  const domain = pagingDomainOf(h, t.to);
  if (!domain) return;
  const added = h.rules.invalidationsFor(domain, t.master.sid, t.ats, t.ssid);
  domain.invalidations = mergeInvalidations(domain.invalidations, added);
}

/** The old domain loses the device or PASID; a tag that nothing invalidates any more is flushed. */
export function* leave(h: Host, t: Pick<Transition, 'master' | 'ssid' | 'from' | 'ats'>): Op<void> {
  const { master: m } = t;
  yield* disableIopf(h, m, t.from);
  const old = pagingDomainOf(h, t.from);
  if (!old) return;
  const removed = h.rules.invalidationsFor(old, m.sid, h.rules.leavesAs(m.atsEnabled, t.ats), t.ssid);
  const r = unrefInvalidations(old.invalidations, removed);
  old.invalidations = r.entries;
  // The first entry is the domain's tag.
  if (removed[0] && r.unused.includes(removed[0])) yield* flushTag(h, removed[0]);
  old.invalidations = purgeInvalidations(old.invalidations);
}

/** @returns true when the capability was switched on */
function setAts(h: Host, m: Master, on: boolean | null): boolean {
  if (on === null) return false;
  pciOf(h, m).atsEnabled = on;
  h.trace.listener?.({
    kind: 'note',
    actor: 'driver',
    at: `hw.device.${m.name}`,
    text: `ATS of ${m.name} switched ${on ? 'on' : 'off'} in its PCI capability`,
  });
  return on;
}
