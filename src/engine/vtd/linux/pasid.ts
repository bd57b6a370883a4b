import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { BLOCKED, type Domain } from './domain.ts';
import { deviceOf, pagingCompatible } from './domains.ts';
import { disableFaults, enableFaults } from './iopf.ts';
import { capsOf, type Kernel, log } from './kernel.ts';
import { replaceEntry, setUpEntry, tearDownEntry } from './pasid-entry.ts';
import { assignTags, dropDid, takeDid, unassignTags } from './tags.ts';

/** Attaching domains to one PASID of a device (iommu.c intel_iommu_set_dev_pasid, nested.c, svm.c). */

const domainNow = (k: Kernel, d: DeviceInfo, pasid: number): Domain | undefined => {
  const handle = d.pasids.get(pasid) ?? BLOCKED;
  return handle === BLOCKED ? undefined : k.state.domains.get(handle);
};

/**
 * set_dev_pasid, also used to replace. The entry of a replaced domain is torn down before the new one is made; when that
 * fails the entry stays empty, while the old domain keeps its tags, its DID and its place in `pasids`.
 * @returns EOPNOTSUPP where the unit has no PASIDs, and the errors of the RID's attach
 */
export function* attachPasid(k: Kernel, d: DeviceInfo, pasid: number, domain: Domain): Op<Errno> {
  if (d.reset) return 'EBUSY';
  return yield* attachPasidNow(k, d, pasid, domain);
}

/** The same at the end of a reset. */
export function* attachPasidNow(k: Kernel, d: DeviceInfo, pasid: number, domain: Domain): Op<Errno> {
  if (domain.kind === 'blocked') {
    yield* detachPasidNow(k, d, pasid);
    return '0';
  }
  const errno = domain.kind === 'sva' ? svaSupported(k, d) : compatible(k, d, domain);
  if (errno !== '0') return errno;
  const old = domainNow(k, d, pasid);
  const u = k.units[d.unit]!;
  const before = k.rules.tagsJoin(domain.kind, pasid) === 'before entry';
  if (!takeDid(k, domain, d.unit)) return 'ENOSPC';
  const tagged = domain.kind !== 'identity';
  const remove = (x: Domain): void => {
    if (x.kind !== 'identity') unassignTags(k, x, d, pasid);
    dropDid(k, x, d.unit);
  };
  if (tagged && before) assignTags(k, domain, d, pasid);
  const asks = domain.kind !== 'sva' || d.priSupported;
  const faults = asks ? enableFaults(d, domain) : '0';
  if (faults !== '0') {
    remove(domain);
    return faults;
  }
  if (asks && old) yield* disableFaults(k, d, old);
  let made: Errno;
  if (old && k.rules.replaces() === 'in place') made = yield* replaceEntry(k, u, d, pasid, domain);
  else {
    if (old) yield* tearDownEntry(k, u, d, pasid);
    made = yield* setUpEntry(k, u, d, pasid, domain);
  }
  if (made !== '0') {
    if (asks) {
      if (old) enableFaults(d, old);
      yield* disableFaults(k, d, domain);
    }
    remove(domain);
    return made;
  }
  if (tagged && !before) assignTags(k, domain, d, pasid);
  if (old) remove(old);
  d.pasids.set(pasid, domain.handle);
  return '0';
}

function compatible(k: Kernel, d: DeviceInfo, domain: Domain): Errno {
  if (!capsOf(k, d.unit).pasids) return 'EOPNOTSUPP';
  return pagingCompatible(k, domain, d);
}

/** svm.c intel_iommu_sva_supported, intel_svm_check. */
function svaSupported(k: Kernel, d: DeviceInfo): Errno {
  const c = capsOf(k, d.unit);
  const refuse = (why: string): Errno => {
    log(k, k.units[d.unit]!.ids.driver, `DMAR: ${k.units[d.unit]!.name} SVM disabled, incompatible ${why}`);
    return 'ENODEV';
  };
  if (!c.pasids) return 'ENODEV';
  if (k.cpu.pages1g && !c.fs1gp) return refuse('1GB page capability');
  if (k.cpu.levels === 5 && !c.fs5lp) return refuse('paging mode');
  if (!d.pasidEnabled || !d.atsEnabled) return 'EINVAL';
  return d.priSupported && !d.priEnabled ? 'EINVAL' : '0';
}

/** set_dev_pasid of the blocking domain: entry, page faults, tags, DID. During a reset only what comes back is forgotten. */
export function* detachPasid(k: Kernel, d: DeviceInfo, pasid: number): Op<void> {
  if (d.reset) {
    d.reset.pasids.delete(pasid);
    return;
  }
  yield* detachPasidNow(k, d, pasid);
}

export function* detachPasidNow(k: Kernel, d: DeviceInfo, pasid: number): Op<void> {
  const old = domainNow(k, d, pasid);
  d.pasids.delete(pasid);
  if (!old) return;
  yield* tearDownEntry(k, k.units[d.unit]!, d, pasid);
  yield* disableFaults(k, d, old);
  if (old.kind !== 'identity') unassignTags(k, old, d, pasid);
  dropDid(k, old, d.unit);
}

/** The process of an SVA domain exits (svm.c intel_mm_release): entries go, the last bind first; no page request is waited for. */
export function* exitProcess(k: Kernel, domain: Domain): Op<void> {
  for (const { device, pasid } of [...domain.users]) {
    const d = deviceOf(k, device);
    yield* tearDownEntry(k, k.units[d.unit]!, d, pasid, true);
  }
}
