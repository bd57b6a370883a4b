import type { PageRequest, PageResponse } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { pageGroupResponse } from './descriptors.ts';
import type { DeviceInfo } from './device-info.ts';
import type { Kernel } from './kernel.ts';
import { submitOne } from './queue.ts';

/** intel_iommu_page_response: one descriptor for a group. */
export function* sendResponse(
  k: Kernel,
  d: DeviceInfo,
  request: Pick<PageRequest, 'pasid' | 'group'>,
  code: PageResponse,
): Op<void> {
  const u = k.units[d.unit]!;
  yield* submitOne(k, u, pageGroupResponse(d.sid, request.pasid, request.group, k.rules.responseCode(code)));
}
