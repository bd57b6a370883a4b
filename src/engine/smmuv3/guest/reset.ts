import { isPaging } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { attachStage1, attachWithoutTable } from './attach.ts';
import { ownTable } from './cd-table.ts';
import { removePasid, setPasid } from './pasid.ts';
import type { Master, Unit } from './state.ts';

/**
 * Around a reset of a function (drivers/iommu/iommu.c pci_dev_reset_iommu_prepare, _done; arm-smmuv3.md 7.8): it may not
 * answer invalidations meanwhile, so a device with ATS is blocked and its domains are kept for later.
 */

/** RID and PASIDs are blocked. Resets may lie within one another; only the outermost does something. */
export function* resetPrepare(u: Unit, m: Master): Op<void> {
  if (m.resetDepth > 0) m.resetDepth++;
  else if (u.kernel.rules.resetBlocks(m.ats)) {
    const { domain, pasids } = m;
    if (domain !== 'blocked' && domain !== '') yield* attachWithoutTable(u, m, 'blocked');
    for (const a of pasids) yield* removePasid(u, m, a.pasid);
    m.domain = domain;
    m.pasids = pasids;
    m.resetDepth = 1;
  }
}

/** The domains come back, the RID's first. A process that has exited meanwhile does not. */
export function* resetDone(u: Unit, m: Master): Op<void> {
  if (m.resetDepth === 0 || --m.resetDepth > 0) return;
  const k = u.kernel;
  const { domain, pasids } = m;
  m.domain = domain === '' ? '' : 'blocked';
  m.pasids = [];
  const paging = isPaging(domain) ? k.state.domains.find((d) => d.name === domain) : undefined;
  if (paging) yield* attachStage1(u, m, paging, ownTable(u, m));
  else if (domain === 'bypass') yield* attachWithoutTable(u, m, 'bypass');
  for (const a of pasids) {
    const process = k.state.processes.find((p) => a.kind === 'process' && p.name === a.name);
    const space = process?.spaces.find((s) => s.unit === u.index);
    const to = k.state.domains.find((d) => a.kind === 'domain' && d.name === a.name);
    if (process && space && !process.exited) yield* setPasid(u, m, a.pasid, { kind: 'process', process, space });
    else if (to) yield* setPasid(u, m, a.pasid, { kind: 'domain', domain: to });
  }
  m.pasids = pasids;
}
