import { answered, type Errno, groupOf, joinIopf, type PageRequest, type PageResponse } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { BLOCKED, type Domain } from './domain.ts';
import { type Kernel, log } from './kernel.ts';
import { sendResponse } from './page-response.ts';

/**
 * Page requests between the driver and the fault handlers of domains (drivers/iommu/io-pgfault.c), and which domains a device
 * has page faults enabled for (iommu.c intel_iommu_enable_iopf, iommu.h iopf_for_domain_*).
 */

/** iopf_for_domain_set. @returns ENODEV where PRI is not enabled in the device */
export function enableFaults(d: DeviceInfo, domain: Domain): Errno {
  if (!domain.faults) return '0';
  if (!d.priEnabled) return 'ENODEV';
  d.iopf = joinIopf(d.iopf);
  return '0';
}

/** iopf_for_domain_remove; with the last one every group that still waits is answered as invalid. */
export function* disableFaults(k: Kernel, d: DeviceInfo, domain: Domain | undefined): Op<void> {
  if (!domain?.faults || !d.iopf) return;
  d.iopf.users--;
  if (d.iopf.users > 0) return;
  const { faults } = d.iopf;
  d.iopf = null;
  if (k.rules.answersLeft()) for (const r of faults) yield* sendResponse(k, d, r, 'invalid');
}

/** iommu_report_device_fault. A request that is not the last of its group waits for that. */
export function* reportFault(k: Kernel, d: DeviceInfo, r: PageRequest): Op<void> {
  const as = attachmentOf(k, d, r.pasid);
  if (as === null || !d.iopf) {
    yield* sendResponse(k, d, r, 'invalid');
    return;
  }
  const group = groupOf(d.iopf, r);
  if (!group) return;
  const errno: Errno = k.hooks.reportFault ? yield* k.hooks.reportFault(d.name, as, group) : 'EINVAL';
  if (errno === '0') return;
  log(k, k.units[d.unit]!.ids.driver, `${d.name}: iopf with pasid ${r.pasid ?? 0} aborted`);
  yield* pageResponse(k, d, r, 'failure');
}

/** find_fault_handler: the PASID whose domain takes the request, 0 for the RID's; null when none does. */
function attachmentOf(k: Kernel, d: DeviceInfo, pasid: number | null): number | null {
  if (d.reset) return null;
  const handle = pasid === null ? d.domain : (d.pasids.get(pasid) ?? BLOCKED);
  return k.state.domains.get(handle)?.faults ? (pasid ?? 0) : null;
}

/** iommu_page_response: only a request that waits is answered. */
export function* pageResponse(k: Kernel, d: DeviceInfo, r: PageRequest, code: PageResponse): Op<void> {
  if (!answered(d.iopf, r)) {
    log(k, k.units[d.unit]!.ids.driver, `${d.name}: no pending PRQ, drop response`);
    return;
  }
  yield* sendResponse(k, d, r, code);
}

/** iopf_queue_discard_partial: after an overflow the groups whose last request was lost are forgotten. */
export function discardPartial(k: Kernel, unit: number): void {
  for (const d of k.state.devices) if (d.unit === unit && d.iopf) d.iopf.partial = [];
}
