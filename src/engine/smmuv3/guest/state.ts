import type { GuestPciDevice, Mapping, PasidAttachment, ProcessMemory } from '../../guest/index.ts';
import type { Injector, Op } from '../../machine/index.ts';
import type { Bus, PageAllocator } from '../../memory/index.ts';
import type { Granule } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import type { SmmuFeatures } from '../hardware/features.ts';
import type { InvalidationEntry } from '../host/invalidation-array.ts';
import type { UnitIds } from './ids.ts';
import type { GuestRules } from './rules.ts';

/** The SMMU as the guest reaches it: registers that the VMM traps, and its interrupt lines (level, cleared here). */
export interface VirtualSmmu {
  /** A 32- or 64-bit register by its architectural name. */
  readVirtual(reg: string): bigint;
  writeVirtual(reg: string, value: bigint): Op<void>;
  readonly irq: { evtq: boolean; gerror: boolean; priq?: boolean };
}

/** What a guest knows of a PCI device from its config space and from the IORT table. */
export interface GuestDevice extends GuestPciDevice {
  /** Firmware says `dma-can-stall`. */
  readonly canStall?: boolean;
}

/** The guest's CPUs as far as SVA depends on them: physical address and ASID width in bits. */
export interface GuestCpu {
  readonly paBits: number;
  readonly asidBits: 8 | 16;
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
  /** STE.S1Fmt: 0 linear, 2 two levels with 1024 descriptors in each second-level table. */
  readonly format: 0 | 2;
  /** Second-level tables that exist, by index. */
  readonly l2: { index: number; address: number }[];
}

/** One device behind the SMMU (struct arm_smmu_master with its group of one). */
export interface Master {
  readonly name: string;
  readonly vsid: number;
  readonly ssidBits: number;
  /** PASIDs below it can be attached (dev->iommu->max_pasids); 0: the device has none. */
  readonly maxPasids: number;
  /** Device and SMMU both do ATS. */
  readonly ats: boolean;
  /** Its faults stall: the SMMU can and the firmware says that the device can wait. */
  readonly stall: boolean;
  atsEnabled: boolean;
  /** What the RID is attached to; '' until the first attach. */
  domain: string;
  /** Ascending by PASID. */
  pasids: PasidAttachment[];
  /** Resets under way, which may lie within one another: `domain` and `pasids` are kept, the hardware is blocked. */
  resetDepth: number;
  /** Table that its STE points to; its own or another device's. */
  cdTable: CdTable | null;
  /** The table it allocated; it stays when the STE points elsewhere. */
  ownTable: CdTable | null;
  readonly steAddress: number;
}

/** An address space with an ASID on one vSMMU (struct arm_smmu_domain of stage 1). */
export interface AddressSpace {
  readonly asid: number;
  /** Smallest page of its table, in bytes. */
  readonly granule: Granule;
  /** Index of its vSMMU; -1 for a DMA domain that no device has been attached to. */
  unit: number;
  /** What an invalidation of it goes to: its ASID, and each stream and PASID with ATS on. */
  invs: InvalidationEntry[];
}

/** A DMA domain. */
export interface Domain extends AddressSpace {
  readonly name: string;
  readonly root: number;
  readonly inputBits: number;
  readonly outputBits: number;
  /** Ascending, without overlap. */
  mappings: Mapping[];
  /** Bytes unmapped whose flush waits in the flush queue, and by how many unmaps. */
  queued: number;
  queuedUnmaps: number;
}

/** A process with an SVA domain for each vSMMU that a bound device is behind. */
export interface Process extends ProcessMemory {
  spaces: AddressSpace[];
}

/** The driver's state for one vSMMU. */
export interface UnitState {
  readonly name: string;
  /** What the ID registers said at probe (arm_smmu_device_hw_probe). */
  features: SmmuFeatures | null;
  strtab: { base: number; log2size: number; split: number; l2: { index: number; address: number }[] } | null;
  cmdq: Ring | null;
  evtq: Ring | null;
  priq: Ring | null;
  masters: Master[];
}

/** All of the guest kernel's state between operations: plain data. */
export interface GuestState {
  booted: boolean;
  units: UnitState[];
  domains: Domain[];
  processes: Process[];
  /** Command errors and time-outs since the operation began, as the kernel words them. */
  errors: string[];
}

export const freshUnit = (name: string): UnitState => ({
  name,
  features: null,
  strtab: null,
  cmdq: null,
  evtq: null,
  priq: null,
  masters: [],
});

export const freshState = (units: readonly string[]): GuestState => ({
  booted: false,
  units: units.map(freshUnit),
  domains: [],
  processes: [],
  errors: [],
});

/** What the guest's kernel has of its machine; the parts of the driver work on it. */
export interface Kernel {
  readonly memory: Bus;
  /** Pages for tables and queues, in guest physical space. */
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: GuestRules;
  readonly cpu: GuestCpu | null;
  /** PAGE_SIZE. */
  readonly page: Granule;
  readonly scope: string;
  /** Is the device in the guest's PCI hierarchy now? */
  readonly present: (name: string) => boolean;
  readonly units: readonly Unit[];
  readonly state: GuestState;
}

/** The driver's instance for one vSMMU (struct arm_smmu_device). */
export interface Unit {
  readonly name: string;
  readonly index: number;
  readonly ids: UnitIds;
  readonly smmu: VirtualSmmu;
  /** Devices that firmware describes behind it. */
  readonly devices: readonly GuestDevice[];
  readonly kernel: Kernel;
  readonly state: UnitState;
}

/** Devices whose STE points to the table. */
export const usersOf = (u: Unit, t: CdTable): Master[] =>
  u.state.masters.filter((m) => m.cdTable?.address === t.address);
