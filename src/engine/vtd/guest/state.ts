import type { Cpu, GuestPciDevice, Mapping, PasidAttachment, ProcessMemory } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo, Kernel as Linux, LinuxPciDevice } from '../linux/index.ts';
import type { UnitIds } from './ids.ts';
import type { GuestRules } from './rules.ts';

/** The unit as the guest reaches it: registers that the VMM traps, and its interrupts (set by the unit, cleared here). */
export interface VirtualUnit {
  /** A 32- or 64-bit register by its name in the specification. */
  readVirtual(reg: string): bigint;
  writeVirtual(reg: string, value: bigint): Op<void>;
  readonly irq: { fault: boolean; prq: boolean; inv: boolean };
}

/** What a guest knows of a PCI device from its config space and from the DMAR table. */
export interface GuestDevice extends GuestPciDevice {
  readonly priCapable?: boolean;
}

/** A device that the driver has probed, in the guest's own names. */
export interface Endpoint {
  readonly name: string;
  /** Index of its unit. */
  readonly unit: number;
  /** What the RID is attached to; '' until the first attach. It stays during a reset. */
  domain: string;
  /** Ascending by PASID. */
  pasids: PasidAttachment[];
  /** Its PASID, ATS and PRI capabilities are on: the kernel does that after the first attach. */
  finalized: boolean;
}

/** A DMA domain with its first-stage table, or second-stage where the unit has no first stage. */
export interface DmaDomain {
  readonly name: string;
  /** Of the driver's domain. */
  readonly handle: number;
  readonly stage: 'first' | 'second';
  readonly root: number;
  readonly levels: number;
  readonly inputBits: number;
  /** Leaf sizes in bytes, ascending. */
  readonly pageSizes: readonly number[];
  /** Ascending, without overlap. */
  mappings: Mapping[];
  /** Bytes unmapped whose flush waits in the flush queue, and by how many unmaps. */
  queued: number;
  queuedUnmaps: number;
  /** Table pages that wait for that flush. */
  queuedTables: number[];
}

/** A process; `handle` is its SVA domain, one for all units, 0 while no device is bound. */
export interface Process extends ProcessMemory {
  handle: number;
}

/** All of the guest kernel's state between operations that the driver core does not keep: plain data. */
export interface GuestState {
  booted: boolean;
  /** Units that came up. */
  working: number[];
  /** Units on which a submission has never completed: a CPU spins there for ever. */
  hung: number[];
  endpoints: Endpoint[];
  domains: DmaDomain[];
  processes: Process[];
}

export const freshState = (): GuestState => ({
  booted: false,
  working: [],
  hung: [],
  endpoints: [],
  domains: [],
  processes: [],
});

/** A virtual unit and the devices that firmware describes behind it. */
export interface Unit {
  readonly name: string;
  readonly index: number;
  readonly ids: UnitIds;
  readonly iommu: VirtualUnit;
  readonly devices: readonly GuestDevice[];
}

/** What the guest's kernel has of its machine; the parts of the driver work on it. */
export interface Guest {
  readonly kernel: Linux;
  readonly cpu: Cpu;
  readonly rules: GuestRules;
  readonly scope: string;
  /** Is the device in the guest's PCI hierarchy now? */
  readonly present: (name: string) => boolean;
  readonly units: readonly Unit[];
  readonly pci: readonly LinuxPciDevice[];
  readonly state: GuestState;
}

/** The core's record of a device. */
export function infoOf(g: Guest, e: Pick<Endpoint, 'name'>): DeviceInfo {
  const info = g.kernel.state.devices.find((d) => d.name === e.name);
  if (!info) throw new Error(`${e.name} is not probed`);
  return info;
}
