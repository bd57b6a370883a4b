import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { blockContext, setUpLegacyContext } from './context.ts';
import type { DeviceInfo } from './device-info.ts';
import { BLOCKED, type Domain } from './domain.ts';
import { pagingCompatible } from './domains.ts';
import { disableFaults, enableFaults } from './iopf.ts';
import { capsOf, type Kernel, log } from './kernel.ts';
import { setUpEntry, tearDownEntry } from './pasid-entry.ts';
import { assignTags, dropDid, takeDid, unassignTags } from './tags.ts';

/** Attaching domains to a device's requests without PASID (iommu.c, nested.c). */

const domainNow = (k: Kernel, d: DeviceInfo): Domain | undefined =>
  d.domain === BLOCKED ? undefined : k.state.domains.get(d.domain);

/** device_block_translation: tags, entry, DID; the device ends with nothing. */
export function* blockTranslation(k: Kernel, d: DeviceInfo): Op<void> {
  const old = domainNow(k, d);
  if (!old) return;
  const u = k.units[d.unit]!;
  if (old.kind !== 'identity') unassignTags(k, old, d, 0);
  if (capsOf(k, d.unit).scalable) yield* tearDownEntry(k, u, d, 0);
  else yield* blockContext(k, u, d);
  d.domain = BLOCKED;
  dropDid(k, old, d.unit);
}

/**
 * attach_dev of every kind of domain, also used to replace. Not hitless: the old domain goes first, and after an error the
 * device stays blocked, whatever the caller believes to be attached.
 * @returns EINVAL for what does not fit, ENOSPC without a free DID, ENODEV for page requests without PRI, EBUSY in a reset
 */
export function* attachDevice(k: Kernel, d: DeviceInfo, domain: Domain): Op<Errno> {
  if (d.reset) return 'EBUSY';
  return yield* attachNow(k, d, domain);
}

/** The same at the end of a reset. */
export function* attachNow(k: Kernel, d: DeviceInfo, domain: Domain): Op<Errno> {
  if (domain.kind === 'sva') return 'EINVAL';
  if (domain.kind === 'blocked') {
    // The fault handler goes first, so that with the last one nothing is drained (blocking_domain_attach_dev).
    yield* disableFaults(k, d, domainNow(k, d));
    yield* blockTranslation(k, d);
    return '0';
  }
  // Nobody takes the old domain's part in page faults back here: with a new one on top the count only grows.
  yield* blockTranslation(k, d);
  const errno = domain.kind === 'identity' ? '0' : pagingCompatible(k, domain, d);
  if (errno !== '0') {
    if (domain.kind === 'nested') say(k, d, 's2 domain is not compatible');
    return errno;
  }
  return yield* domain.kind === 'nested' ? attachNested(k, d, domain) : attachPaging(k, d, domain);
}

const say = (k: Kernel, d: DeviceInfo, text: string): void => log(k, k.units[d.unit]!.ids.driver, `${d.name}: ${text}`);

/** intel_iommu_attach_device, dmar_domain_attach_device, identity_domain_attach_dev: the tags come after the entry. */
function* attachPaging(k: Kernel, d: DeviceInfo, domain: Domain): Op<Errno> {
  const u = k.units[d.unit]!;
  const faults = enableFaults(d, domain);
  if (faults !== '0') return faults;
  if (!takeDid(k, domain, d.unit)) {
    yield* disableFaults(k, d, domain);
    return 'ENOSPC';
  }
  const before = k.rules.tagsJoin(domain.kind, 0) === 'before entry';
  const tagged = domain.kind !== 'identity';
  if (tagged && before) assignTags(k, domain, d, 0);
  d.domain = domain.handle;
  const { scalable } = capsOf(k, d.unit);
  const errno = scalable ? yield* setUpEntry(k, u, d, 0, domain) : yield* setUpLegacyContext(k, u, d, domain);
  if (errno !== '0') {
    yield* blockTranslation(k, d);
    yield* disableFaults(k, d, domain);
    return errno;
  }
  if (tagged && !before) assignTags(k, domain, d, 0);
  return '0';
}

/** intel_nested_attach_dev: DID, tags, page faults, entry. */
function* attachNested(k: Kernel, d: DeviceInfo, domain: Domain): Op<Errno> {
  if (!takeDid(k, domain, d.unit)) {
    say(k, d, 'Failed to attach domain to iommu');
    return 'ENOSPC';
  }
  const before = k.rules.tagsJoin(domain.kind, 0) === 'before entry';
  if (before) assignTags(k, domain, d, 0);
  let errno = enableFaults(d, domain);
  if (errno === '0') {
    errno = yield* setUpEntry(k, k.units[d.unit]!, d, 0, domain);
    if (errno !== '0') yield* disableFaults(k, d, domain);
  }
  if (errno !== '0') {
    if (before) unassignTags(k, domain, d, 0);
    dropDid(k, domain, d.unit);
    return errno;
  }
  if (!before) assignTags(k, domain, d, 0);
  d.domain = domain.handle;
  return '0';
}
