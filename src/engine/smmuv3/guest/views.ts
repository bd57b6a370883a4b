import {
  type KernelViews,
  type PageTableView,
  type PasidAttachment,
  type ProcessMemoryView,
  pageTableView,
  processMemoryView,
} from '../../guest/index.ts';
import type { InvalidationEntry } from '../host/invalidation-array.ts';
import { steId, tableId, type UnitIds } from './ids.ts';
import type { CdTable, Kernel, Master, Ring, UnitState } from './state.ts';

export interface DeviceView {
  readonly name: string;
  /** Name of its vSMMU. */
  readonly unit: string;
  readonly vsid: number;
  /** Scene id of its STE. */
  readonly ste: string;
  /** Scope of its vSMMU's scene ids. */
  readonly scope: string;
  /** '' before the first attach; the STE is abort then. */
  readonly domain: string;
  readonly pasids: readonly PasidAttachment[];
  readonly steAddress: number;
  /** Table that the STE points to. */
  readonly cdTable: CdTable | null;
  /** Table that the device allocated, whether or not it is in use. */
  readonly ownTable: CdTable | null;
  readonly ats: boolean;
  readonly atsEnabled: boolean;
  readonly stall: boolean;
  readonly resetting: boolean;
}

export interface SpaceView {
  readonly asid: number;
  /** Name of its vSMMU, '' before a device was attached. */
  readonly unit: string;
  readonly invalidations: readonly InvalidationEntry[];
}

export interface DomainView extends SpaceView, PageTableView {
  /** Bytes: 4096, 16384 or 65536. */
  readonly granule: number;
}

export interface ProcessView extends ProcessMemoryView {
  readonly granule: number;
  /** One for each vSMMU with a bound device. */
  readonly spaces: readonly SpaceView[];
}

/** The driver's instance for one vSMMU. */
export interface UnitView {
  readonly name: string;
  readonly ids: UnitIds;
  readonly strtab: { readonly base: number; readonly log2size: number; readonly split: number } | null;
  readonly cmdq: RingView | null;
  readonly evtq: RingView | null;
  readonly priq: RingView | null;
}

export interface GuestViews extends KernelViews<UnitView, DeviceView, DomainView, ProcessView> {
  /** Those of the first vSMMU. */
  readonly strtab: UnitView['strtab'];
  readonly cmdq: RingView | null;
  readonly evtq: RingView | null;
}

/** A ring as the driver sees it: `prod` and `cons` without wrap bit. */
export interface RingView {
  readonly base: number;
  /** Entries. */
  readonly size: number;
  readonly entryBytes: number;
  readonly prod: number;
  readonly cons: number;
}

/** Everything that a scene of the guest needs, copied out of the kernel's state. */
export function viewsOf(k: Kernel): GuestViews {
  const s = k.state;
  const space = (x: { asid: number; unit: number; invs: InvalidationEntry[] }): SpaceView => ({
    asid: x.asid,
    unit: k.units[x.unit]?.name ?? '',
    invalidations: [...x.invs],
  });
  const units = k.units.map((u) => unitView(u.ids, u.state));
  const { strtab, cmdq, evtq } = units[0] ?? { strtab: null, cmdq: null, evtq: null };
  return {
    booted: s.booted,
    units,
    devices: k.units.flatMap((u) => u.state.masters.map((m) => deviceView(u.name, u.ids.scope, m))),
    domains: s.domains.map((d) => ({
      ...space(d),
      ...pageTableView(d, tableId(k.scope, d.name)),
      granule: d.granule,
    })),
    processes: s.processes.map((p) => ({
      ...processMemoryView(p, tableId(k.scope, p.name)),
      granule: k.page,
      spaces: p.spaces.map(space),
    })),
    strtab,
    cmdq,
    evtq,
  };
}

const deviceView = (unit: string, scope: string, m: Master): DeviceView => ({
  name: m.name,
  unit,
  vsid: m.vsid,
  ste: steId(scope, m.vsid),
  scope,
  domain: m.domain,
  pasids: [...m.pasids],
  steAddress: m.steAddress,
  cdTable: m.cdTable,
  ownTable: m.ownTable,
  ats: m.ats,
  atsEnabled: m.atsEnabled,
  stall: m.stall,
  resetting: m.resetDepth > 0,
});

const unitView = (ids: UnitIds, s: UnitState): UnitView => ({
  name: s.name,
  ids,
  strtab: s.strtab && { base: s.strtab.base, log2size: s.strtab.log2size, split: s.strtab.split },
  cmdq: s.cmdq && ringView(s.cmdq, 16),
  evtq: s.evtq && ringView(s.evtq, 32),
  priq: s.priq && ringView(s.priq, 16),
});

function ringView(q: Ring, entryBytes: number): RingView {
  const size = 2 ** q.log2size;
  return { base: q.base, size, entryBytes, prod: (q.prod & 0xfffff) % size, cons: (q.cons & 0xfffff) % size };
}
