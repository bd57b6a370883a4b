import { answered, type Errno, groupOf, joinIopf, type PageRequest, type PageResponse } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { issue } from './queue.ts';
import { type Host, log, type Master } from './state.ts';

/**
 * Page requests between the driver and the fault handler of a domain (drivers/iommu/io-pgfault.c), and what the driver does
 * at its two ends: arm_smmu_enable_iopf, arm_smmu_page_response.
 */

const faultsOf = (h: Host, domain: number): boolean =>
  h.state.nested.get(domain)?.faults ?? h.state.paging.get(domain)?.faults ?? false;

/** arm_smmu_enable_iopf, for a domain that is being attached. Devices that do not stall need none. */
export function enableIopf(h: Host, m: Master, domain: number): void {
  if (!m.stallEnabled || !faultsOf(h, domain)) return;
  m.iopf = joinIopf(m.iopf);
}

/**
 * arm_smmu_disable_iopf, for a domain that has been left. With the last one every page request of the device that still
 * waits is answered as invalid.
 */
export function* disableIopf(h: Host, m: Master, domain: number): Op<void> {
  if (!m.iopf || !m.stallEnabled || !faultsOf(h, domain)) return;
  m.iopf.users--;
  if (m.iopf.users > 0) return;
  const { faults } = m.iopf;
  m.iopf = null;
  if (h.rules.answersLeft()) for (const r of faults) yield* respond(h, m, r, 'invalid');
}

/**
 * iommu_report_device_fault. A request that is not the last of its group waits for that. Without a domain that handles
 * faults it is answered as invalid; for a PASID that the host knows nothing of, the guest's nested domain handles it.
 */
export function* reportFault(h: Host, m: Master, r: PageRequest): Op<Errno> {
  const as = attachmentOf(h, m, r.pasid);
  if (as === null) {
    yield* respond(h, m, r, 'invalid');
    return 'EINVAL';
  }
  if (!m.iopf) return 'EINVAL';
  const group = groupOf(m.iopf, r);
  if (!group) return '0';
  if (h.upcalls!.reportFault(m.name, as, group) !== '0') {
    log(h, h.ids.driver, `${m.name}: iopf with pasid ${r.pasid ?? 0} aborted`);
    yield* pageResponse(h, m, r, 'failure');
  }
  return '0';
}

/** find_fault_handler: the PASID whose domain handles the request, 0 for the RID; null when none does. */
function attachmentOf(h: Host, m: Master, pasid: number | null): number | null {
  if (m.reset) return null;
  const rid = faultsOf(h, m.domain) ? 0 : null;
  if (pasid === null) return rid;
  const own = m.pasids.get(pasid);
  if (own !== undefined) return faultsOf(h, own) ? pasid : null;
  return h.state.nested.has(m.domain) ? rid : null;
}

/** iommu_page_response: only a request that waits is answered. */
export function* pageResponse(h: Host, m: Master, r: PageRequest, code: PageResponse): Op<void> {
  if (!answered(m.iopf, r)) {
    log(h, h.ids.driver, `${m.name}: no pending PRQ, drop response`);
    return;
  }
  yield* respond(h, m, r, code);
}

/** arm_smmu_page_response: without CMD_SYNC, which would do nothing for it. */
function* respond(h: Host, m: Master, r: PageRequest, code: PageResponse): Op<void> {
  yield* issue(h, h.rules.faultAnswer(m.sid, r.group, code), false);
}
