import { isPaging, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { attachDevice, domainOf, finalizeDevice, releaseDevice } from '../linux/index.ts';
import { begin, domainFor, endpoint, find, result } from './lookup.ts';
import { handleOf, maxPasids, removePasid, setPasid } from './pasid.ts';
import { type DmaDomain, type Endpoint, type Guest, infoOf } from './state.ts';
import { unbind } from './sva.ts';

/** The operations that change what a device or one of its PASIDs is attached to, with the IOMMU core's checks. */

/** Names of what the RID or a PASID may be attached to, and its text in a result. */
const didText = (g: Guest, d: DmaDomain, unit: number): string => {
  const use = domainOf(g.kernel, d.handle).dids.find((x) => x.unit === unit);
  return use ? ` (DID ${use.did})` : '';
};

/**
 * PASID, ATS and PRI of a device come on after its first attach, as the kernel does it after the default domain
 * (intel_iommu_probe_finalize).
 */
export function* finalize(g: Guest, e: Endpoint): Op<void> {
  if (e.finalized) return;
  e.finalized = true;
  yield* finalizeDevice(g.kernel, e.name);
}

export function* attach(g: Guest, o: { device: string; domain: string; cdTable?: string }): Op<OpResult> {
  if (o.cdTable !== undefined) return refused('VT-d has no CD tables: a PASID table belongs to its device', 'EINVAL');
  const e = yield* endpoint(g, o.device);
  if (typeof e === 'string') return refused(e);
  begin(g);
  const info = infoOf(g, e);
  if (info.reset) return refused(`${e.name} is being reset`, 'EBUSY');
  const to = isPaging(o.domain) ? domainFor(g, o.domain, e) : o.domain;
  if (typeof to === 'object' && 'ok' in to) return to;
  if (to !== 'bypass' && to !== 'blocked' && typeof to === 'string') return refused('a domain needs a name');
  const name = typeof to === 'string' ? to : to.name;
  if (e.domain !== name || info.domain !== handleOf(to)) {
    const errno = yield* attachDevice(g.kernel, info, domainOf(g.kernel, handleOf(to)));
    if (errno !== '0') {
      e.domain = 'blocked';
      return refused(`attach of ${e.name} to ${name}: ${errno}; it is blocked now`, errno);
    }
    e.domain = name;
  }
  yield* finalize(g, e);
  if (typeof to === 'string') return result(g, `${e.name} is ${to === 'bypass' ? 'in pass-through' : 'blocked'}`);
  return result(g, `${e.name} is attached to ${name}${didText(g, to, e.unit)}`);
}

export function* attachToPasid(
  g: Guest,
  o: { device: string; domain: string; pasid: number; cdTable?: string },
): Op<OpResult> {
  if (o.cdTable !== undefined) return refused('VT-d has no CD tables: a PASID table belongs to its device', 'EINVAL');
  const e = yield* endpoint(g, o.device);
  if (typeof e === 'string') return refused(e);
  if (o.domain === 'blocked') return yield* detachPasid(g, e, o.pasid);
  begin(g);
  const what = `PASID ${o.pasid} of ${e.name}`;
  if (o.pasid === 0) return refused('PASID 0 stands for requests without PASID', 'EINVAL');
  const max = maxPasids(g, e);
  if (max === 0) return refused(`${what}: device or unit has no PASIDs`, 'EOPNOTSUPP');
  if (o.pasid >= max) return refused(`${what}: it has PASIDs below ${max}`, 'EINVAL');
  if (infoOf(g, e).reset) return refused(`${e.name} is being reset`, 'EBUSY');
  const known = e.pasids.find((a) => a.pasid === o.pasid);
  if (known?.kind === 'process') return refused(`${what} belongs to ${known.name}`, 'EBUSY');
  const to = o.domain === 'bypass' ? 'bypass' : isPaging(o.domain) ? domainFor(g, o.domain, e) : null;
  if (!to) return refused('a domain needs a name');
  if (typeof to === 'object' && 'ok' in to) return to;
  const name = to === 'bypass' ? to : to.name;
  const owner = to === 'bypass' ? g.state.processes.find((p) => p.pasid === o.pasid) : undefined;
  if (owner)
    return refused(
      `PASID ${o.pasid} is ${owner.name}'s: shared memory and pass-through have the same DID, so their PASIDs must differ`,
      'EBUSY',
    );
  yield* finalize(g, e);
  if (known?.name !== name) {
    const errno = yield* setPasid(g, e, o.pasid, to);
    if (errno !== '0') return refused(`attach of ${what} to ${name}: ${errno}`, errno);
  }
  if (to === 'bypass') return result(g, `${what} is in pass-through`);
  return result(g, `${what} is attached to ${name}${didText(g, to, e.unit)}`);
}

export function* detach(g: Guest, o: { device: string; pasid?: number }): Op<OpResult> {
  const e = yield* endpoint(g, o.device);
  if (typeof e === 'string') return refused(e);
  if (o.pasid !== undefined) return yield* detachPasid(g, e, o.pasid);
  const info = infoOf(g, e);
  if (!info.reset) return yield* attach(g, { device: o.device, domain: 'blocked' });
  begin(g);
  // Hardware is blocked already; there is nothing to come back to.
  info.reset = { ...info.reset, domain: handleOf('blocked') };
  e.domain = 'blocked';
  return result(g, `${e.name} will be blocked after its reset`);
}

function* detachPasid(g: Guest, e: Endpoint, pasid: number): Op<OpResult> {
  begin(g);
  const known = e.pasids.find((a) => a.pasid === pasid);
  if (known?.kind === 'process')
    return refused(`PASID ${pasid} of ${e.name} belongs to ${known.name}: unbind it`, 'EBUSY');
  if (!known) return refused(`PASID ${pasid} of ${e.name} is not attached`, 'ENOENT');
  yield* removePasid(g, e, pasid);
  return result(g, `PASID ${pasid} of ${e.name} is detached`);
}

/** The device is about to be unplugged (iommu_release_device): PASIDs go, then the RID's domain, then its entries. */
export function* remove(g: Guest, o: { device: string }): Op<OpResult> {
  const e = find(g, o.device);
  if (!e) return refused(`the guest knows no device ${o.device}`);
  begin(g);
  for (const a of e.pasids)
    if (a.kind === 'domain') yield* removePasid(g, e, a.pasid);
    else {
      const process = g.state.processes.find((p) => p.name === a.name);
      for (let i = 0; process && i < a.users; i++) yield* unbind(g, e, process);
    }
  yield* releaseDevice(g.kernel, e.name);
  g.state.endpoints = g.state.endpoints.filter((x) => x !== e);
  return result(g, `the guest has let go of ${o.device}`);
}
