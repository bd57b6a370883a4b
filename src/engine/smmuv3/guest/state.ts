import type { Injector, Op } from '../../machine/index.ts';
import type { Bus, PageAllocator } from '../../memory/index.ts';
import type { Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import type { SmmuFeatures } from '../hardware/features.ts';
import type { GuestRules } from './rules.ts';

/** The SMMU as the guest reaches it: registers that the VMM traps, and its two interrupt lines (level, cleared here). */
export interface VirtualSmmu {
  /** A 32- or 64-bit register by its architectural name. */
  readVirtual(reg: string): bigint;
  writeVirtual(reg: string, value: bigint): Op<void>;
  readonly irq: { evtq: boolean; gerror: boolean };
}

/** What a guest knows of a PCI device from its config space and from the IORT table. */
export interface GuestDevice {
  readonly name: string;
  /** Bus, device and function: the vSID. */
  readonly vrid: number;
  readonly pasidBits: number;
  readonly atsCapable: boolean;
}

/** A ring in guest memory. `prod` and `cons` are the register values: index, wrap bit above it, overflow flag in bit 31. */
export interface Ring {
  base: number;
  log2size: number;
  prod: number;
  cons: number;
}

export interface CdTable {
  /** Device that allocated it. */
  readonly owner: string;
  readonly address: number;
  /** The table has 2^s1cdmax entries. */
  readonly s1cdmax: number;
}

/** One device behind the SMMU (struct arm_smmu_master). */
export interface Master {
  readonly name: string;
  readonly vsid: number;
  readonly ssidBits: number;
  /** Device and SMMU both do ATS. */
  readonly ats: boolean;
  atsEnabled: boolean;
  /** '' until the first attach. */
  domain: string;
  /** Domain that an attach under way has already entered it into, else ''. */
  joining: string;
  /** Table that its STE points to; its own or another device's. */
  cdTable: CdTable | null;
  /** The table it allocated; it stays when the STE points elsewhere. */
  ownTable: CdTable | null;
  readonly steAddress: number;
}

export interface Mapping {
  readonly iova: number;
  readonly size: number;
  readonly gpa: number;
  readonly perm: Perm;
}

export type Perm = 'r' | 'w' | 'rw';

/** A DMA domain (struct arm_smmu_domain with stage 1). */
export interface Domain {
  readonly name: string;
  readonly asid: number;
  readonly root: number;
  /** Ascending, without overlap. */
  mappings: Mapping[];
  /** Bytes unmapped whose flush waits in the flush queue. */
  queued: number;
}

/** All of the driver's state between operations: plain data. */
export interface GuestState {
  booted: boolean;
  /** What the ID registers said at probe (arm_smmu_device_hw_probe). */
  features: SmmuFeatures | null;
  strtab: { base: number; log2size: number; split: number; l2: { index: number; address: number }[] } | null;
  cmdq: Ring | null;
  evtq: Ring | null;
  masters: Master[];
  domains: Domain[];
  nextAsid: number;
  /** Command errors and time-outs since the operation began, as the kernel words them. */
  errors: string[];
}

export const freshState = (): GuestState => ({
  booted: false,
  features: null,
  strtab: null,
  cmdq: null,
  evtq: null,
  masters: [],
  domains: [],
  nextAsid: 1,
  errors: [],
});

/** What the driver's parts work on. */
export interface Guest {
  readonly memory: Bus;
  readonly pages: PageAllocator;
  readonly smmu: VirtualSmmu;
  readonly devices: readonly GuestDevice[];
  /** Is the device in the guest's PCI hierarchy now? */
  readonly present: (name: string) => boolean;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: GuestRules;
  readonly state: GuestState;
  /** The domain's page table; all its content lies in guest memory. */
  table(domain: Domain): Vmsav8Table;
}

/** Domains that are no page table. */
export const isPaging = (domain: string): boolean => domain !== '' && domain !== 'bypass' && domain !== 'blocked';

/** Devices attached to a domain, by ascending StreamID, the order of the driver's invalidation array. */
export const mastersOf = (g: Guest, domain: string): Master[] =>
  g.state.masters.filter((m) => m.domain === domain || m.joining === domain).sort((a, b) => a.vsid - b.vsid);
