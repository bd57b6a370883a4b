import { isPaging } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { cdAddress, domainCd, makeCd, noCd, writeCd } from './cd-table.ts';
import { join, leave } from './invalidate.ts';
import { submit } from './queue.ts';
import { type AddressSpace, type CdTable, type Domain, type Kernel, type Master, type Unit, usersOf } from './state.ts';
import { abortSte, bypassSte, cdTableSte, S1DSS, writeSte } from './stream-table.ts';

/** The domain of a device's RID, null where it has no page table. */
const pagingOf = (k: Kernel, name: string): Domain | null =>
  isPaging(name) ? (k.state.domains.find((d) => d.name === name) ?? null) : null;

/**
 * arm_smmu_attach_dev for a DMA domain (arm-smmuv3.md 7.2). First the CD, then the STE, then ATS, then the domain that was left.
 * @param table the CD table that the STE shall point to: the device's own as in Linux, or another's for comparing
 * @returns '0' or the kernel's error
 */
export function* attachStage1(u: Unit, m: Master, domain: Domain, table: CdTable): Op<string> {
  const k = u.kernel;
  if ((yield* makeCd(u, m, table, 0)) === null) return 'ENOMEM';
  domain.unit = u.index;
  const left = pagingOf(k, m.domain);
  const was = m.atsEnabled;
  // Both domains invalidate the device until hardware has moved.
  const first = k.rules.joinsFirst();
  if (first) join(domain, m, 0, m.ats);
  // CD 0 is what RIDs with a DMA domain use.
  const moved = usersOf(u, table).filter((o) => o !== m && isPaging(o.domain) && o.domain !== domain.name);
  for (const o of moved) join(domain, o, 0, o.atsEnabled);
  yield* writeCd(u, m, table, 0, domainCd(m, domain));
  yield* writeSte(u, m, cdTableSte(u, m, table, m.ats, S1DSS.ssid0));
  if (!first) join(domain, m, 0, m.ats);
  m.cdTable = table;
  m.domain = domain.name;
  yield* commit(u, m, 0, m.ats, left, was);
  for (const o of moved) {
    const from = pagingOf(k, o.domain);
    o.domain = domain.name;
    yield* commit(u, o, 0, o.atsEnabled, from, o.atsEnabled);
  }
  return '0';
}

/**
 * arm_smmu_attach_dev_identity and arm_smmu_attach_dev_blocked (arm-smmuv3.md 7.7). While PASIDs are attached the STE keeps
 * its CD table and S1DSS says what becomes of the others; ATS ends only without them.
 */
export function* attachWithoutTable(u: Unit, m: Master, domain: 'bypass' | 'blocked'): Op<void> {
  const left = pagingOf(u.kernel, m.domain);
  const was = m.atsEnabled;
  const table = m.cdTable;
  const keeps = m.pasids.length > 0 ? table : null;
  const ats = keeps !== null && m.ats;
  const dss = domain === 'bypass' ? S1DSS.bypass : S1DSS.terminate;
  yield* writeSte(u, m, keeps ? cdTableSte(u, m, keeps, ats, dss) : domain === 'bypass' ? bypassSte(u) : abortSte());
  m.domain = domain;
  m.cdTable = keeps;
  yield* commit(u, m, 0, ats, left, was);
  // With a table of one's own this is arm_smmu_clear_cd; a shared one keeps its CD for the others.
  if (table && cdAddress(table, 0) !== null && usersOf(u, table).every((o) => o === m))
    yield* writeCd(u, m, table, 0, noCd());
}

/**
 * arm_smmu_attach_commit: the ATC is emptied when ATS comes on, stays on or goes off (the PCI capability itself is the
 * host's), then the old domain loses the device.
 * @param ssid 0 for the RID
 * @param was whether ATS was on before
 */
export function* commit(
  u: Unit,
  m: Master,
  ssid: number,
  ats: boolean,
  left: AddressSpace | null,
  was: boolean,
): Op<void> {
  m.atsEnabled = ats;
  // Going on or off takes the whole ATC; otherwise what the PASID has in it.
  if (was || ats) yield* submit(u, u.kernel.rules.attachAtc(m.vsid, was && ats ? ssid : 0));
  if (left) yield* leave(u.kernel, left, m, ssid, was);
}
