import type { PasidAttachment } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { attachWithoutTable, commit } from './attach.ts';
import { domainCd, makeCd, noCd, ownTable, processCd, writeCd } from './cd-table.ts';
import { join, leave } from './invalidate.ts';
import { submit } from './queue.ts';
import type { AddressSpace, Domain, Kernel, Master, Process, Unit } from './state.ts';
import { cdTableSte, hasCdTable, S1DSS, writeSte } from './stream-table.ts';

/** What a PASID is to be attached to. */
export type PasidTarget =
  | { readonly kind: 'domain'; readonly domain: Domain }
  | { readonly kind: 'process'; readonly process: Process; readonly space: AddressSpace };

const spaceOf = (t: PasidTarget): AddressSpace => (t.kind === 'domain' ? t.domain : t.space);
const nameOf = (t: PasidTarget): string => (t.kind === 'domain' ? t.domain.name : t.process.name);

/** The address space behind a PASID. */
export function spaceOfPasid(k: Kernel, u: Unit, a: PasidAttachment): AddressSpace | null {
  if (a.kind === 'domain') return k.state.domains.find((d) => d.name === a.name) ?? null;
  const p = k.state.processes.find((x) => x.name === a.name);
  return p?.spaces.find((s) => s.unit === u.index) ?? null;
}

/**
 * arm_smmu_set_pasid: the PASID's CD, the STE if the RID has no CD table yet, the ATC, then the address space that the PASID
 * had (iommu_replace_device_pasid) loses the device.
 * @returns '0' or the kernel's error
 */
export function* setPasid(u: Unit, m: Master, pasid: number, target: PasidTarget): Op<string> {
  const space = spaceOf(target);
  if (target.kind === 'domain' && space.unit !== -1 && space.unit !== u.index) return 'EINVAL';
  const table = m.cdTable ?? ownTable(u, m);
  if ((yield* makeCd(u, m, table, pasid)) === null) return 'ENOMEM';
  space.unit = u.index;
  const old = m.pasids.find((a) => a.pasid === pasid);
  const left = old ? spaceOfPasid(u.kernel, u, old) : null;
  const was = m.atsEnabled;
  const first = u.kernel.rules.joinsFirst();
  if (first) join(space, m, pasid, m.ats);
  const cd =
    target.kind === 'domain' ? domainCd(m, target.domain) : processCd(u, m, space.asid, target.process, 'walks');
  yield* writeCd(u, m, table, pasid, cd);
  m.pasids = [
    ...m.pasids.filter((a) => a.pasid !== pasid),
    { pasid, kind: target.kind, name: nameOf(target), users: 1 },
  ].sort((a, b) => a.pasid - b.pasid);
  m.cdTable = table;
  if (!hasCdTable(u, m, m.ats)) {
    const dss = m.domain === 'bypass' ? S1DSS.bypass : S1DSS.terminate;
    yield* writeSte(u, m, cdTableSte(u, m, table, m.ats, dss));
  }
  if (!first) join(space, m, pasid, m.ats);
  yield* commit(u, m, pasid, m.ats, left, was);
  return '0';
}

/**
 * arm_smmu_blocking_set_dev_pasid: the CD goes, then the ATC, then the address space loses the device. With the last PASID
 * the STE of a RID that needs no CD table is made what it would be without.
 */
export function* removePasid(u: Unit, m: Master, pasid: number): Op<void> {
  const old = m.pasids.find((a) => a.pasid === pasid);
  const table = m.cdTable;
  if (!old || !table) return;
  yield* writeCd(u, m, table, pasid, noCd());
  m.pasids = m.pasids.filter((a) => a.pasid !== pasid);
  if (m.atsEnabled) yield* submit(u, u.kernel.rules.pasidAtc(m.vsid, pasid));
  const space = spaceOfPasid(u.kernel, u, old);
  if (space) yield* leave(u.kernel, space, m, pasid, m.atsEnabled);
  if (m.pasids.length > 0) return;
  if (m.domain === 'bypass' || m.domain === 'blocked') yield* attachWithoutTable(u, m, m.domain);
  else if (m.domain === '') yield* attachWithoutTable(u, m, 'blocked');
}
