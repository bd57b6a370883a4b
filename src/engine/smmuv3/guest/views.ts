import type { CdTable, Guest, Mapping, Ring } from './state.ts';

export interface GuestViews {
  readonly booted: boolean;
  readonly devices: readonly {
    readonly name: string;
    readonly vsid: number;
    /** '' before the first attach; the STE is abort then. */
    readonly domain: string;
    readonly steAddress: number;
    /** Table that the STE points to. */
    readonly cdTable: CdTable | null;
    /** Table that the device allocated, whether or not it is in use. */
    readonly ownTable: CdTable | null;
    readonly ats: boolean;
    readonly atsEnabled: boolean;
  }[];
  readonly domains: readonly {
    readonly name: string;
    readonly asid: number;
    readonly root: number;
    readonly mappings: readonly Mapping[];
    /** Bytes whose flush is queued. */
    readonly queued: number;
  }[];
  readonly strtab: { readonly base: number; readonly log2size: number; readonly split: number } | null;
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

/** Everything that a scene of the guest needs, copied out of the driver's state. */
export function viewsOf(g: Guest): GuestViews {
  const s = g.state;
  return {
    booted: s.booted,
    devices: s.masters.map((m) => ({
      name: m.name,
      vsid: m.vsid,
      domain: m.domain,
      steAddress: m.steAddress,
      cdTable: m.cdTable,
      ownTable: m.ownTable,
      ats: m.ats,
      atsEnabled: m.atsEnabled,
    })),
    domains: s.domains.map((d) => ({ ...d, mappings: [...d.mappings] })),
    strtab: s.strtab && { base: s.strtab.base, log2size: s.strtab.log2size, split: s.strtab.split },
    cmdq: s.cmdq && ringView(s.cmdq, 16),
    evtq: s.evtq && ringView(s.evtq, 32),
  };
}

function ringView(q: Ring, entryBytes: number): RingView {
  const size = 2 ** q.log2size;
  return { base: q.base, size, entryBytes, prod: (q.prod & 0xfffff) % size, cons: (q.cons & 0xfffff) % size };
}
