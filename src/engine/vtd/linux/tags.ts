import type { DeviceInfo } from './device-info.ts';
import { type CacheTag, type CacheTagType, type Domain, FIRST_DID } from './domain.ts';
import { capsOf, type Kernel, log, tracepoint } from './kernel.ts';
import { didOf } from './pasid-entry.ts';

/** Domain ids of a domain (iommu.c domain_attach_iommu), and its cache tags (cache.c). */

const perDevice = (type: CacheTagType): boolean => type === 'devtlb' || type === 'nesting_devtlb';

/**
 * One more attachment of the domain behind a unit: the first takes the lowest free DID from 2 on.
 * @returns false when there is none (ENOSPC)
 */
export function takeDid(k: Kernel, domain: Domain, unit: number): boolean {
  if (domain.kind === 'sva' || domain.kind === 'identity') return true;
  const use = domain.dids.find((x) => x.unit === unit);
  if (use) {
    use.users++;
    return true;
  }
  const { dids } = k.state.units[unit]!;
  let did = FIRST_DID;
  while (dids.includes(did)) did++;
  if (did >= capsOf(k, unit).domainIds) {
    log(k, k.units[unit]!.ids.driver, `DMAR: ${k.units[unit]!.name}: No free domain ids`);
    return false;
  }
  dids.push(did);
  domain.dids.push({ unit, did, users: 1 });
  return true;
}

/** The last attachment behind a unit gives the DID back. */
export function dropDid(k: Kernel, domain: Domain, unit: number): void {
  const use = domain.dids.find((x) => x.unit === unit);
  if (!use || --use.users > 0) return;
  domain.dids = domain.dids.filter((x) => x !== use);
  const state = k.state.units[unit]!;
  state.dids = state.dids.filter((n) => n !== use.did);
}

type Wanted = Pick<CacheTag, 'type' | 'did' | 'pasid' | 'unit' | 'device'>;

/** The same cache: within a unit for IOTLBs, within a device for device TLBs. */
const matches = (t: CacheTag, w: Wanted): boolean =>
  t.type === w.type &&
  t.did === w.did &&
  t.pasid === w.pasid &&
  (perDevice(t.type) ? t.device === w.device : t.unit === w.unit);

const tagText = (k: Kernel, t: CacheTag): string =>
  `${k.units[t.unit]!.name}/${t.device} type ${t.type} did ${t.did} pasid ${t.pasid} ref ${t.users}`;

function wantedTag(k: Kernel, d: DeviceInfo, did: number, pasid: number, type: CacheTagType): Wanted {
  return { type, did, pasid, unit: d.unit, device: perDevice(type) ? d.name : k.units[d.unit]!.name };
}

/** cache_tag_assign: a tag that is there gets one more user, a new one stands behind the last of its unit, or at the head. */
export function assignTag(
  k: Kernel,
  domain: Domain,
  d: DeviceInfo,
  did: number,
  pasid: number,
  type: CacheTagType,
): void {
  const wanted = wantedTag(k, d, did, pasid, type);
  let tag = domain.tags.find((t) => matches(t, wanted));
  if (tag) tag.users++;
  else {
    tag = { ...wanted, users: 1 };
    const last = domain.tags.findLastIndex((t) => t.unit === d.unit);
    domain.tags.splice(last + 1, 0, tag);
  }
  tracepoint(k, k.units[d.unit]!.ids.driver, 'cache_tag_assign', tagText(k, tag));
}

function unassignTag(k: Kernel, domain: Domain, d: DeviceInfo, did: number, pasid: number, type: CacheTagType): void {
  const wanted = wantedTag(k, d, did, pasid, type);
  const tag = domain.tags.find((t) => matches(t, wanted));
  if (!tag) return;
  // The line has the users as they were.
  tracepoint(k, k.units[d.unit]!.ids.driver, 'cache_tag_unassign', tagText(k, tag));
  if (--tag.users === 0) domain.tags = domain.tags.filter((t) => t !== tag);
}

/** cache_tag_assign_domain: the domain's own tags, and for a nested one those in its parent, with the nested one's DID. */
export function assignTags(k: Kernel, domain: Domain, d: DeviceInfo, pasid: number): void {
  domain.users.unshift({ device: d.name, pasid });
  const did = didOf(domain, d.unit);
  for (const type of k.rules.ownTags(domain.kind, d.atsEnabled)) assignTag(k, domain, d, did, pasid, type);
  if (domain.kind !== 'nested') return;
  const parent = k.state.domains.get(domain.parent)!;
  for (const type of k.rules.parentTags(d.atsEnabled)) assignTag(k, parent, d, did, pasid, type);
}

/** cache_tag_unassign_domain. ATS as it is now decides whether device TLB tags are looked for. */
export function unassignTags(k: Kernel, domain: Domain, d: DeviceInfo, pasid: number): void {
  domain.users = domain.users.filter((x) => x.device !== d.name || x.pasid !== pasid);
  const did = didOf(domain, d.unit);
  const types = (iotlb: CacheTagType, devtlb: CacheTagType): CacheTagType[] =>
    d.atsEnabled ? [iotlb, devtlb] : [iotlb];
  for (const type of types('iotlb', 'devtlb')) unassignTag(k, domain, d, did, pasid, type);
  if (domain.kind !== 'nested') return;
  const parent = k.state.domains.get(domain.parent)!;
  for (const type of types('nesting_iotlb', 'nesting_devtlb')) unassignTag(k, parent, d, did, pasid, type);
}
