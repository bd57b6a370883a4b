import type { Op } from '../../machine/index.ts';
import { prefetchConfig } from './commands.ts';
import { issue, submit } from './queue.ts';
import { type CdTable, type Domain, type Guest, isPaging, type Master, mastersOf } from './state.ts';
import { abortSte, allocateCdTable, bypassSte, stage1Cd, stage1Ste, writeCd, writeSte } from './stream-table.ts';

const NO_CD = new Array<bigint>(8).fill(0n);

/**
 * arm_smmu_attach_dev for a DMA domain (arm-smmuv3.md 7.2). First the CD, then the STE, then ATS, then the domain that was left.
 * @param table the CD table that the STE shall point to: the device's own as in Linux, or another's for comparing
 */
export function* attachStage1(g: Guest, m: Master, domain: Domain, table: CdTable): Op<void> {
  const left = new Set([m.domain]);
  m.joining = domain.name;
  const sharers = usersOf(g, table).filter((o) => o !== m);
  const sids = [m, ...sharers].map((o) => o.vsid);
  yield* writeCd(g, table, 0, stage1Cd(g, domain), sids, m.vsid);
  const moved = sharers.filter((o) => o.domain !== domain.name);
  for (const o of moved) {
    left.add(o.domain);
    o.domain = domain.name;
  }
  yield* writeSte(g, m, stage1Ste(table, m.ats));
  yield* prefetch(g, m);
  m.cdTable = table;
  m.domain = domain.name;
  m.joining = '';
  yield* commitAts(g, m, m.ats);
  for (const o of moved) yield* commitAts(g, o, o.atsEnabled);
  for (const name of left) yield* leaveDomain(g, name);
}

/** The own CD table of a device, made at its first attach. */
export const ownTable = (g: Guest, m: Master): CdTable => allocateCdTable(g, m);

/** arm_smmu_attach_dev_identity and arm_smmu_attach_dev_blocked (arm-smmuv3.md 7.7). ATS ends with both. */
export function* attachWithoutTable(g: Guest, m: Master, domain: 'bypass' | 'blocked'): Op<void> {
  const left = m.domain;
  const table = m.cdTable;
  yield* writeSte(g, m, domain === 'bypass' ? bypassSte() : abortSte());
  yield* prefetch(g, m);
  m.domain = domain;
  m.cdTable = null;
  yield* commitAts(g, m, false);
  yield* leaveDomain(g, left);
  if (table && usersOf(g, table).length === 0) yield* writeCd(g, table, 0, NO_CD, [m.vsid], m.vsid);
}

/** Devices whose STE points to the table. */
const usersOf = (g: Guest, t: CdTable): Master[] => g.state.masters.filter((m) => m.cdTable?.address === t.address);

/** After every STE write, whether or not it changed anything; nothing waits for it. */
function* prefetch(g: Guest, m: Master): Op<void> {
  yield* issue(g, [prefetchConfig(m.vsid)], false);
}

/** arm_smmu_attach_commit: the ATC is emptied when ATS comes on, stays on or goes off. The PCI capability is the host's. */
function* commitAts(g: Guest, m: Master, wanted: boolean): Op<void> {
  const had = m.atsEnabled;
  m.atsEnabled = wanted;
  if (had || wanted) yield* submit(g, g.rules.attachAtc(m.vsid));
}

/** An ASID that nobody uses must be clean in the TLB (arm_smmu_domain_inv of the array's last user). */
function* leaveDomain(g: Guest, name: string): Op<void> {
  if (!isPaging(name) || mastersOf(g, name).length > 0) return;
  const domain = g.state.domains.find((d) => d.name === name);
  if (domain) yield* submit(g, g.rules.detachAsid(domain.asid));
}
