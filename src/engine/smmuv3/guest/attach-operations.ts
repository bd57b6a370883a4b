import { isPaging, refused } from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import { attachStage1, attachWithoutTable } from './attach.ts';
import { freeTable, ownTable } from './cd-table.ts';
import { begin, domainFor, find, master, result } from './lookup.ts';
import { removePasid, setPasid } from './pasid.ts';
import { type Kernel, usersOf } from './state.ts';
import { unbind } from './sva.ts';

/** The operations that change what a device or one of its PASIDs is attached to, with the IOMMU core's checks. */

export function* attach(k: Kernel, o: { device: string; domain: string; cdTable?: string }): Op<OpResult> {
  const found = yield* master(k, o.device);
  if (typeof found === 'string') return refused(found);
  const { u, m } = found;
  begin(k);
  if (m.resetDepth > 0) return refused(`${m.name} is being reset`, 'EBUSY');
  if (!isPaging(o.domain)) {
    if (o.domain !== 'bypass' && o.domain !== 'blocked') return refused('a domain needs a name');
    if (m.domain !== o.domain) yield* attachWithoutTable(u, m, o.domain);
    return result(k, `${m.name} is ${o.domain === 'bypass' ? 'in bypass' : 'blocked'}`);
  }
  const owner = o.cdTable === undefined || o.cdTable === m.name ? found : find(k, o.cdTable);
  if (owner && owner.u !== u) return refused(`${o.cdTable} is behind another SMMU than ${m.name}`, 'EINVAL');
  const table = owner?.m === m ? ownTable(u, m) : (owner?.m.cdTable ?? null);
  if (!table) return refused(`${o.cdTable} has no CD table: attach it to a DMA domain first`);
  if (m.pasids.length > 0 && m.cdTable?.address !== table.address)
    return refused(`${m.name} has PASIDs in the CD table it uses now`, 'EBUSY');
  const domain = domainFor(k, o.domain, found);
  if ('ok' in domain) return domain;
  if (m.domain !== domain.name || m.cdTable?.address !== table.address) {
    const errno = yield* attachStage1(u, m, domain, table);
    if (errno !== '0') return refused(`attach of ${m.name} to ${domain.name}: ${errno}`, errno);
  }
  return result(k, `${m.name} is attached to ${domain.name} (ASID ${domain.asid})`);
}

export function* attachPasid(
  k: Kernel,
  o: { device: string; domain: string; pasid: number; cdTable?: string },
): Op<OpResult> {
  const found = yield* master(k, o.device);
  if (typeof found === 'string') return refused(found);
  const { u, m } = found;
  begin(k);
  const what = `PASID ${o.pasid} of ${m.name}`;
  if (o.domain === 'blocked') return yield* detachPasid(k, o.device, o.pasid);
  if (o.cdTable !== undefined) return refused('a PASID lies in the CD table of its device', 'EINVAL');
  if (!isPaging(o.domain)) return refused(`${what}: only a DMA domain can be attached to a PASID`, 'EOPNOTSUPP');
  if (o.pasid === 0) return refused('PASID 0 stands for requests without PASID', 'EINVAL');
  if (m.maxPasids > 0 && o.pasid >= m.maxPasids)
    return refused(`${what}: it has PASIDs below ${m.maxPasids}`, 'EINVAL');
  if (m.resetDepth > 0) return refused(`${m.name} is being reset`, 'EBUSY');
  const known = m.pasids.find((a) => a.pasid === o.pasid);
  if (known?.kind === 'process') return refused(`${what} belongs to ${known.name}`, 'EBUSY');
  const domain = domainFor(k, o.domain, found);
  if ('ok' in domain) return domain;
  if (known?.name !== domain.name) {
    const errno = yield* setPasid(u, m, o.pasid, { kind: 'domain', domain });
    if (errno !== '0') return refused(`attach of ${what} to ${domain.name}: ${errno}`, errno);
  }
  return result(k, `${what} is attached to ${domain.name} (ASID ${domain.asid})`);
}

export function* detach(k: Kernel, o: { device: string; pasid?: number }): Op<OpResult> {
  if (o.pasid !== undefined) {
    begin(k);
    return yield* detachPasid(k, o.device, o.pasid);
  }
  const found = find(k, o.device);
  if (found && found.m.resetDepth > 0) {
    // Hardware is blocked already; there is nothing to come back to.
    found.m.domain = 'blocked';
    return result(k, `${found.m.name} will be blocked after its reset`);
  }
  return yield* attach(k, { device: o.device, domain: 'blocked' });
}

function* detachPasid(k: Kernel, device: string, pasid: number): Op<OpResult> {
  const found = yield* master(k, device);
  if (typeof found === 'string') return refused(found);
  const { u, m } = found;
  const known = m.pasids.find((a) => a.pasid === pasid);
  if (known?.kind === 'process')
    return refused(`PASID ${pasid} of ${m.name} belongs to ${known.name}: unbind it`, 'EBUSY');
  if (!known) return refused(`PASID ${pasid} of ${m.name} is not attached`, 'ENOENT');
  if (m.resetDepth > 0) m.pasids = m.pasids.filter((a) => a !== known);
  else yield* removePasid(u, m, pasid);
  return result(k, `PASID ${pasid} of ${m.name} is detached`);
}

/** The device is about to be unplugged (iommu_release_device): PASIDs go, then the RID is blocked. */
export function* remove(k: Kernel, o: { device: string }): Op<OpResult> {
  const found = find(k, o.device);
  if (!found) return refused(`the guest knows no device ${o.device}`);
  const { u, m } = found;
  begin(k);
  for (const a of m.pasids)
    if (a.kind === 'domain') {
      if (m.resetDepth === 0) yield* removePasid(u, m, a.pasid);
    } else {
      const process = k.state.processes.find((p) => p.name === a.name);
      for (let i = 0; process && i < a.users; i++) yield* unbind(u, m, process);
    }
  const known = m.domain === '' || m.domain === 'blocked' || m.resetDepth > 0;
  if (!known) yield* attachWithoutTable(u, m, 'blocked');
  u.state.masters = u.state.masters.filter((x) => x !== m);
  if (m.ownTable && usersOf(u, m.ownTable).length === 0) freeTable(u, m.ownTable);
  return result(k, `the guest has let go of ${m.name}`);
}
