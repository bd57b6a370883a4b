import type { DomainHandle, Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { linuxMair } from '../../pagetable/vmsav8-table.ts';
import { steLayout } from '../layout/index.ts';
import {
  BLOCKED,
  featuresOf,
  type Host,
  IDENTITY,
  type Master,
  masterOf,
  type NestedDomain,
  type PagingDomain,
} from './state.ts';
import { abortSte, bypassSte, cdTableSte, S1DSS, stage1Cd, stage2Ste, withAts } from './ste.ts';
import { cdPointer, existingCd, writeCd, writeSte } from './tables.ts';
import { atsSupported, commit, prepare, type Transition } from './transition.ts';
import { vsteConfig } from './vste.ts';

/** Moving a device's RID from one domain to another (arm-smmu-v3.c arm_smmu_attach_dev and its kin). */

/** attach_dev of a paging or nested domain. On an error nothing has changed. */
export function* attachDomain(h: Host, device: string, handle: DomainHandle): Op<Errno> {
  const m = masterOf(h, device);
  const nested = h.state.nested.get(handle);
  if (nested) return yield* attachNested(h, m, nested);
  const domain = h.state.paging.get(handle);
  if (!domain) throw new Error(`no domain ${handle}`);
  return yield* domain.stage === 1 ? attachStage1(h, m, domain) : attachStage2(h, m, domain);
}

function ridTransition(m: Master, to: number, ats: boolean, vmaster: Master['vmaster'] = null): Transition {
  return { master: m, ssid: 0, from: m.domain, to, ats, vmaster };
}

/** A stage-2 STE has no CD table for PASIDs in use (EBUSY). */
function* attachStage2(h: Host, m: Master, d: PagingDomain): Op<Errno> {
  if (m.pasids.size) return 'EBUSY';
  const t = ridTransition(m, d.handle, atsSupported(h, m));
  yield* prepare(h, t);
  yield* writeSte(h, m, withAts(parentSte(h, d, m), t.ats));
  yield* clearCd(h, m, 0);
  yield* settle(h, t);
  return '0';
}

function* attachStage1(h: Host, m: Master, d: PagingDomain): Op<Errno> {
  const address = yield* cdPointer(h, m, 0);
  const t = ridTransition(m, d.handle, atsSupported(h, m));
  yield* prepare(h, t);
  yield* writeCd(h, m, 0, address, domainCd(h, d, m));
  yield* writeSte(h, m, cdTableSte(featuresOf(h), m.cdTable!, t.ats, m.stallEnabled));
  yield* settle(h, t);
  return '0';
}

/** CD of a stage-1 domain for that device. */
export function domainCd(h: Host, d: PagingDomain, m: Master): bigint[] {
  const { walk, root } = h.tables.get(d.handle)!;
  return stage1Cd({ asid: d.tag, root, walk, mair: linuxMair, stalls: m.stallEnabled, dirty: d.dirty });
}

/** arm_smmu_attach_dev_nested */
function* attachNested(h: Host, m: Master, n: NestedDomain): Op<Errno> {
  if (m.pasids.size) return 'EBUSY';
  const vsmmu = h.state.vsmmus.get(n.viommu)!;
  const parent = h.state.paging.get(vsmmu.parent)!;
  // arm_smmu_attach_prepare_vmaster: invalidations and events of a translating STE need the virtual StreamID.
  const virtId = h.upcalls!.virtualId(n.viommu, m.name);
  if (virtId === null && vsteConfig(n.ste) === 5) return 'ENOENT';
  const vmaster = virtId === null ? null : { viommu: n.viommu, vsid: Number(BigInt.asUintN(32, virtId)) };
  const t = ridTransition(m, n.handle, atsSupported(h, m) && h.rules.vsteWantsAts(n), vmaster);
  yield* prepare(h, t);
  const ste = h.rules.physicalSte(parentSte(h, parent, m), n.ste, t.ats);
  rewritten(h, m, n, ste);
  yield* writeSte(h, m, ste);
  yield* settle(h, t);
  return '0';
}

function* settle(h: Host, t: Transition): Op<void> {
  yield* commit(h, t);
  t.master.domain = t.to;
}

/** The vSTE and what became of it, for the trace. */
function rewritten(h: Host, m: Master, n: NestedDomain, ste: readonly bigint[]): void {
  const names = ['abort', '', '', '', 'bypass', 'stage 1', 'stage 2', 'nested'];
  const config = (w: bigint): string => (w & 1n ? (names[Number((w >> 1n) & 7n)] ?? '') : 'invalid');
  const vmid = Number(ste[2]! & 0xffffn);
  const hex = (w: bigint): string => `0x${w.toString(16)}`;
  const changes = [{ field: 'Config', from: config(n.ste[0]), to: config(ste[0]!) }];
  if (ste[2] !== 0n) changes.push({ field: 'S2VMID', from: '-', to: String(vmid) });
  if (ste[3] !== 0n) changes.push({ field: 'S2TTB', from: '-', to: hex(ste[3]! & ~0xfn) });
  if (n.enableAts || (ste[1]! >> 28n) & 3n)
    changes.push({ field: 'EATS', from: n.enableAts ? '1' : '0', to: String((ste[1]! >> 28n) & 3n) });
  h.trace.listener?.({
    kind: 'record.rewrite',
    actor: 'driver',
    at: h.upcalls!.viommuSceneId(n.viommu),
    to: h.ids.strtab,
    layout: steLayout.id,
    words: ste,
    changes,
    text: `vSTE becomes STE 0x${m.sid.toString(16)}: ${changes.map((c) => `${c.field} ${c.from} → ${c.to}`).join(', ')}`,
  });
}

/** DMA ownership or a detach: the blocking domain. Nothing happens on a device that is on it already. */
export function* attachBlocked(h: Host, m: Master): Op<void> {
  if (m.domain !== BLOCKED) yield* attachStatic(h, m, BLOCKED);
}

export function* attachIdentity(h: Host, m: Master): Op<void> {
  if (m.domain !== IDENTITY) yield* attachStatic(h, m, IDENTITY);
}

/**
 * arm_smmu_attach_dev_ste: ATS is off under bypass and abort. While PASIDs are in use the STE keeps its CD table, S1DSS says
 * what happens without a PASID, and ATS stays on, since a PASID may be using it. CD 0 goes after the STE.
 */
export function* attachStatic(h: Host, m: Master, target: typeof BLOCKED | typeof IDENTITY): Op<void> {
  const f = featuresOf(h);
  m.vmaster = null;
  const t = ridTransition(m, target, m.pasids.size > 0 && atsSupported(h, m));
  yield* prepare(h, t);
  const s1dss = target === BLOCKED ? S1DSS.terminate : S1DSS.bypass;
  const alone = target === BLOCKED ? abortSte() : bypassSte(f);
  yield* writeSte(h, m, m.pasids.size ? cdTableSte(f, m.cdTable!, t.ats, m.stallEnabled, s1dss) : alone);
  yield* settle(h, t);
  yield* clearCd(h, m, 0);
}

/** STE of a stage-2 domain without EATS. */
export function parentSte(h: Host, d: PagingDomain, m: Pick<Master, 'stallEnabled'>): bigint[] {
  const { walk, root } = h.tables.get(d.handle)!;
  const fwb = d.table.fwb ?? false;
  return stage2Ste(featuresOf(h), { vmid: d.tag, root, walk, fwb, stalls: m.stallEnabled });
}

/** arm_smmu_clear_cd: nothing to do where no CD can be. */
export function* clearCd(h: Host, m: Master, ssid: number): Op<void> {
  const address = existingCd(m, ssid);
  if (address !== null) yield* writeCd(h, m, ssid, address, new Array<bigint>(8).fill(0n));
}
