import type { DomainHandle, Errno } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { linuxMair } from '../../pagetable/vmsav8-table.ts';
import { steLayout } from '../layout/index.ts';
import { flushTag } from './flush.ts';
import { mergeInvalidations, purgeInvalidations, unrefInvalidations } from './invalidation-array.ts';
import { submit } from './queue.ts';
import {
  BLOCKED,
  featuresOf,
  type Host,
  IDENTITY,
  type Master,
  masterOf,
  type NestedDomain,
  type PagingDomain,
  pagingDomainOf,
  pciOf,
} from './state.ts';
import { abortSte, bypassSte, cdTableSte, stage1Cd, stage2Ste, withAts } from './ste.ts';
import { cdPointer, existingCd, writeCd, writeSte } from './tables.ts';
import { vsteConfig } from './vste.ts';

/**
 * Moving a device from one domain to another (arm-smmu-v3.c arm_smmu_attach_prepare, _install_ste_for_dev, _commit): the
 * new domain invalidates for the device before the STE changes, the old one until after it, so no invalidation is missed.
 */

/** What prepare leaves for commit. */
interface AttachState {
  readonly master: Master;
  readonly old: PagingDomain | null;
  readonly target: DomainHandle;
  readonly ats: boolean;
  readonly vmaster: Master['vmaster'];
}

/** attach_dev of a paging or nested domain. On an error nothing has changed. */
export function* attachDomain(h: Host, device: string, handle: DomainHandle): Op<Errno> {
  const m = masterOf(h, device);
  const nested = h.state.nested.get(handle);
  if (nested) return yield* attachNested(h, m, nested);
  const domain = h.state.paging.get(handle);
  if (!domain) throw new Error(`no domain ${handle}`);
  return yield* domain.stage === 1 ? attachStage1(h, m, domain) : attachStage2(h, m, domain);
}

function* attachStage2(h: Host, m: Master, d: PagingDomain): Op<Errno> {
  const s = prepare(h, m, d.handle, d, atsSupported(h, m), null);
  yield* writeSte(h, m, withAts(parentSte(h, d), s.ats));
  yield* clearCd(h, m);
  yield* commit(h, s);
  return '0';
}

function* attachStage1(h: Host, m: Master, d: PagingDomain): Op<Errno> {
  const f = featuresOf(h);
  const address = yield* cdPointer(h, m, 0);
  const s = prepare(h, m, d.handle, d, atsSupported(h, m), null);
  const { walk, root } = h.tables.get(d.handle)!;
  yield* writeCd(h, m, 0, address, stage1Cd(f, { asid: d.tag, root, walk, mair: linuxMair }));
  yield* writeSte(h, m, cdTableSte(f, m.cdTable!, s.ats));
  yield* commit(h, s);
  return '0';
}

function* attachNested(h: Host, m: Master, n: NestedDomain): Op<Errno> {
  const vsmmu = h.state.vsmmus.get(n.viommu)!;
  const parent = h.state.paging.get(vsmmu.parent)!;
  // arm_smmu_attach_prepare_vmaster: invalidations and events of a translating STE need the virtual StreamID.
  const virtId = h.upcalls!.virtualId(n.viommu, m.name);
  if (virtId === null && vsteConfig(n.ste) === 5) return 'ENOENT';
  const vmaster = virtId === null ? null : { viommu: n.viommu, vsid: Number(BigInt.asUintN(32, virtId)) };
  const ats = atsSupported(h, m) && h.rules.vsteWantsAts(n);
  const s = prepare(h, m, n.handle, parent, ats, vmaster);
  const ste = h.rules.physicalSte(parentSte(h, parent), n.ste, s.ats);
  rewritten(h, m, n, ste);
  yield* writeSte(h, m, ste);
  yield* commit(h, s);
  return '0';
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
    to: 'hw.strtab',
    layout: steLayout.id,
    words: ste,
    changes,
    text: `vSTE becomes STE 0x${m.sid.toString(16)}: ${changes.map((c) => `${c.field} ${c.from} → ${c.to}`).join(', ')}`,
  });
}

/** DMA ownership or a detach: the blocking domain. Nothing happens on a device that is on it already. */
export function* attachBlocked(h: Host, m: Master): Op<void> {
  if (m.domain !== BLOCKED) yield* attachStatic(h, m, BLOCKED, abortSte());
}

export function* attachIdentity(h: Host, m: Master): Op<void> {
  if (m.domain !== IDENTITY) yield* attachStatic(h, m, IDENTITY, bypassSte(featuresOf(h)));
}

/** arm_smmu_attach_dev_ste: ATS is off under bypass and abort; CD 0 goes after the STE. */
function* attachStatic(h: Host, m: Master, target: DomainHandle, ste: readonly bigint[]): Op<void> {
  m.vmaster = null;
  const s = prepare(h, m, target, null, false, null);
  yield* writeSte(h, m, ste);
  yield* commit(h, s);
  yield* clearCd(h, m);
}

export function atsSupported(h: Host, m: Master): boolean {
  return featuresOf(h).ats && pciOf(h, m).atsCapable;
}

/** STE of a stage-2 domain without EATS. */
export function parentSte(h: Host, d: PagingDomain): bigint[] {
  const { walk, root } = h.tables.get(d.handle)!;
  return stage2Ste(featuresOf(h), { vmid: d.tag, root, walk, fwb: d.table.fwb ?? false });
}

function prepare(
  h: Host,
  m: Master,
  target: DomainHandle,
  domain: PagingDomain | null,
  ats: boolean,
  vmaster: Master['vmaster'],
): AttachState {
  const old = pagingDomainOf(h, m.domain);
  if (domain)
    domain.invalidations = mergeInvalidations(domain.invalidations, h.rules.invalidationsFor(domain, m.sid, ats));
  // The device stops using ATS before the STE refuses it.
  if (!ats && m.atsEnabled) switchAts(h, m, false);
  return { master: m, old, target, ats, vmaster };
}

function* commit(h: Host, s: AttachState): Op<void> {
  const { master: m, old } = s;
  m.vmaster = s.vmaster;
  yield* submit(h, h.rules.attachAtc(m.sid, m.atsEnabled, s.ats));
  if (s.ats && !m.atsEnabled) {
    switchAts(h, m, true);
    yield pause('driver', 'ats');
  }
  if (old) {
    const removed = h.rules.invalidationsFor(old, m.sid, m.atsEnabled);
    const r = unrefInvalidations(old.invalidations, removed);
    old.invalidations = r.entries;
    // The first entry is the domain's tag.
    if (removed[0] && r.unused.includes(removed[0])) yield* flushTag(h, removed[0]);
    old.invalidations = purgeInvalidations(old.invalidations);
  }
  m.atsEnabled = s.ats;
  m.domain = s.target;
}

function switchAts(h: Host, m: Master, on: boolean): void {
  pciOf(h, m).atsEnabled = on;
  h.trace.listener?.({
    kind: 'note',
    actor: 'driver',
    at: `hw.device.${m.name}`,
    text: `ATS of ${m.name} switched ${on ? 'on' : 'off'} in its PCI capability`,
  });
}

function* clearCd(h: Host, m: Master): Op<void> {
  const address = existingCd(m, 0);
  if (address !== null) yield* writeCd(h, m, 0, address, new Array<bigint>(8).fill(0n));
}
