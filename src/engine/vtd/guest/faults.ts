import { fault } from '../../guest/index.ts';
import type { Errno, PageRequest } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { log, pageResponse } from '../linux/index.ts';
import { type Guest, infoOf } from './state.ts';
import { notifierOf } from './sva.ts';

/** Page requests of a device for the process that its PASID belongs to (drivers/iommu/iommu-sva.c iommu_sva_iopf_handler). */

const PERM = { write: 2, exec: 4 } as const;

/**
 * Handles a group, one request after the other until one fails, and answers it. The kernel does so in a work queue; here it
 * follows at once.
 * @returns EINVAL where no process takes the group: the core answers it
 */
export function* handlePageRequestGroup(
  g: Guest,
  device: string,
  attachedAs: number,
  requests: readonly PageRequest[],
): Op<Errno> {
  const e = g.state.endpoints.find((x) => x.name === device);
  const a = e?.pasids.find((x) => x.pasid === attachedAs && x.kind === 'process');
  const process = a ? g.state.processes.find((p) => p.name === a.name) : undefined;
  const last = requests.at(-1);
  if (!e || !process || !last) return 'EINVAL';
  let handled = true;
  for (const r of requests) {
    const access = { write: (r.perm & PERM.write) !== 0, exec: (r.perm & PERM.exec) !== 0 };
    handled =
      r.address < 2n ** 53n && (yield* fault(g.cpu, process, Number(r.address), access, notifierOf(g, process)));
    if (handled) continue;
    const at = g.units[e.unit]!.ids.prq;
    log(g.kernel, at, `${device}: page fault at 0x${r.address.toString(16)} of ${process.name} has no answer`);
    break;
  }
  const code = g.rules.pageResponse(handled);
  if (code) yield* pageResponse(g.kernel, infoOf(g, e), last, code);
  return '0';
}
