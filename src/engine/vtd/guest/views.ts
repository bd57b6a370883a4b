import {
  type KernelViews,
  type PageTableView,
  type PasidAttachment,
  type ProcessMemoryView,
  pageTableView,
  processMemoryView,
} from '../../guest/index.ts';
import { contextEntry, type DeviceInfo, domainOf, pasidEntry, rootTable } from '../linux/index.ts';
import { tableId, type UnitIds } from './ids.ts';
import { type Guest, infoOf, type Unit } from './state.ts';

/** A PASID entry that is present in guest memory: the page table of one (RID, PASID). */
export interface EntryView {
  /** 0: requests without PASID. */
  readonly pasid: number;
  /** Guest physical address of the 64 bytes. */
  readonly address: number;
  /** Scene id. */
  readonly id: string;
}

export interface DeviceView {
  readonly name: string;
  /** Name of its unit. */
  readonly unit: string;
  /** Scope of its unit's scene ids. */
  readonly scope: string;
  readonly vrid: number;
  /** '' before the first attach; its entry is not present then. */
  readonly domain: string;
  readonly pasids: readonly PasidAttachment[];
  /** Guest physical address of its context entry. */
  readonly context: number | null;
  /** Scene id of that. */
  readonly contextId: string;
  /** Ascending by PASID. */
  readonly entries: readonly EntryView[];
  readonly ats: boolean;
  readonly atsEnabled: boolean;
  readonly priEnabled: boolean;
  readonly resetting: boolean;
}

/** Domain ids of one domain, by unit. */
export interface DidView {
  readonly unit: string;
  readonly did: number;
}

/** A cache that a flush of a domain reaches (struct cache_tag). */
export interface TagView {
  readonly type: string;
  readonly unit: string;
  readonly device: string;
  readonly did: number;
  readonly pasid: number;
  readonly users: number;
}

export interface DomainView extends PageTableView {
  readonly levels: number;
  readonly stage: 'first' | 'second';
  /** Units with a device that is attached to it. */
  readonly units: readonly string[];
  readonly dids: readonly DidView[];
  readonly tags: readonly TagView[];
}

export interface ProcessView extends ProcessMemoryView {
  readonly tags: readonly TagView[];
}

/** A ring in guest memory; its positions are in the unit's registers. */
export interface RingView {
  readonly base: number;
  /** Entries. */
  readonly size: number;
  readonly entryBytes: number;
}

/** The driver's instance for one virtual unit. */
export interface UnitView {
  readonly name: string;
  readonly ids: UnitIds;
  readonly iq: RingView | null;
  readonly prq: RingView | null;
  /** Guest physical address of the root table. */
  readonly root: number | null;
  /** A submission never completes: the CPU that sent it spins for ever. */
  readonly stuck: boolean;
}

export interface GuestViews extends KernelViews<UnitView, DeviceView, DomainView, ProcessView> {
  /** The kernel's log since the last operation began. */
  readonly log: readonly string[];
}

/** log2 of the queue's entries is 8; those of the page request queue have 32 bytes in 64 KiB. */
const IQ_ENTRIES = 256;
const PRQ_ENTRIES = 2048;

/** Everything that a scene of the guest needs, copied out of the kernel's state. */
export function viewsOf(g: Guest): GuestViews {
  const s = g.state;
  return {
    booted: s.booted,
    units: g.units.map((u) => unitView(g, u)),
    devices: s.endpoints.map((e) => deviceView(g, e)),
    domains: s.domains.map((d) => ({
      ...pageTableView(d, tableId(g.scope, d.name)),
      levels: d.levels,
      stage: d.stage,
      ...usesOf(g, d.handle),
    })),
    processes: s.processes.map((p) => ({
      ...processMemoryView(p, tableId(g.scope, p.name)),
      tags: p.handle === 0 ? [] : usesOf(g, p.handle).tags,
    })),
    log: [...g.kernel.state.log],
  };
}

function usesOf(g: Guest, handle: number): Pick<DomainView, 'units' | 'dids' | 'tags'> {
  const d = domainOf(g.kernel, handle);
  const name = (unit: number): string => g.units[unit]?.name ?? '';
  return {
    units: d.dids.map((x) => name(x.unit)),
    dids: d.dids.map((x) => ({ unit: name(x.unit), did: x.did })),
    tags: d.tags.map((t) => ({ ...t, unit: name(t.unit) })),
  };
}

function deviceView(g: Guest, e: Guest['state']['endpoints'][number]): DeviceView {
  const u = g.units[e.unit]!;
  const info = infoOf(g, e);
  return {
    name: e.name,
    unit: u.name,
    scope: u.ids.scope,
    vrid: info.sid,
    domain: e.domain,
    pasids: [...e.pasids],
    context: contextEntry(g.kernel, info),
    contextId: u.ids.context(info.sid),
    entries: entriesOf(g, info, u),
    ats: info.atsSupported,
    atsEnabled: info.atsEnabled,
    priEnabled: info.priEnabled,
    resetting: info.reset !== null,
  };
}

/** Entries that the driver has made and that are present: of requests without PASID, and of what is attached to a PASID. */
function entriesOf(g: Guest, info: DeviceInfo, u: Unit): EntryView[] {
  return [0, ...[...info.pasids.keys()].sort((a, b) => a - b)].flatMap((pasid) => {
    const address = pasidEntry(g.kernel, info, pasid);
    if (address === null || (g.kernel.bus.read32(address) & 1) === 0) return [];
    return [{ pasid, address, id: u.ids.pasid(info.sid, pasid) }];
  });
}

function unitView(g: Guest, u: Unit): UnitView {
  const s = g.kernel.state.units[u.index]!;
  return {
    name: u.name,
    ids: u.ids,
    iq: s.queue && { base: s.queue.base, size: IQ_ENTRIES, entryBytes: 2 ** s.queue.shift },
    prq: s.prq ? { base: s.prq, size: PRQ_ENTRIES, entryBytes: 32 } : null,
    root: rootTable(g.kernel, u.index) || null,
    stuck: s.stuck || g.state.hung.includes(u.index),
  };
}
