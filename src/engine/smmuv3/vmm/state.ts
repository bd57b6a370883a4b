import type { FaultQueue, UnitBase, VmmContext } from '../../vmm/index.ts';
import { idRegisters, type Registers, resetRegisters, type VmmProperties } from './registers.ts';
import type { VmmRules } from './rules.ts';

/** A vfio-pci device behind a vSMMU; ids are iommufd's, 0 means none. */
export interface VmmDevice {
  readonly name: string;
  readonly vsid: number;
  /** Its vfio cdev. */
  readonly fd: number;
  readonly devid: number;
  /** log2 of the PASIDs that the host lets it use. */
  readonly maxPasidLog2: number;
  /** Nesting parent that VFIO attached it to. */
  readonly parent: number;
  /** HWPT attached now. */
  hwpt: number;
  /** Nested HWPT of its translating STE. */
  s1Hwpt: number;
  vdevice: number;
}

export interface Veventq {
  readonly id: number;
  readonly fd: number;
  lastSequence: number;
  /** A record was read, so the next sequence number is known. */
  started: boolean;
}

/** A stalled transaction that the guest has to answer. */
export interface PendingFault {
  /** Virtual tag, in the guest's record and in its CMD_RESUME. */
  readonly stag: number;
  /** The kernel's, for the page response. */
  readonly cookie: number;
  readonly device: string;
  readonly vsid: number;
  /** The guest's event record. */
  readonly words: readonly bigint[];
  /** False while the guest's event queue has no room for it. */
  delivered: boolean;
}

/** A command on its way into IOMMU_HWPT_INVALIDATE. */
export interface Pending {
  /** Position of the guest command in the queue. */
  readonly at: number;
  readonly words: readonly bigint[];
}

/** One vSMMU's state between operations: plain data. */
export interface UnitState {
  viommu: number;
  abortHwpt: number;
  bypassHwpt: number;
  veventq: Veventq | null;
  /** Newest first, as the model's list. */
  devices: VmmDevice[];
  /** The `auto` properties are settled. */
  finalised: boolean;
  registers: Registers;
  /** STRTAB_BASE_CFG.FMT has been 1 since reset: SPLIT of that write. */
  twoLevel: { split: number } | null;
  /** The command loop is running; a doorbell meanwhile is seen by it. */
  consuming: boolean;
  /** Machine resets so far. */
  resets: number;
  /** Commands that wait for the batch to be sent; only a broken rule leaves any here between two doorbells. */
  batch: Pending[];
  /** Policy `pageFaults: forwarded`. */
  faultQueue: FaultQueue | null;
  /** Oldest first. */
  faults: PendingFault[];
  lastStag: number;
}

export function freshUnit(properties: VmmProperties = {}): UnitState {
  const registers = idRegisters(properties);
  resetRegisters(registers);
  return {
    viommu: 0,
    abortHwpt: 0,
    bypassHwpt: 0,
    veventq: null,
    devices: [],
    finalised: false,
    registers,
    twoLevel: null,
    consuming: false,
    resets: 0,
    batch: [],
    faultQueue: null,
    faults: [],
    lastStag: -1,
  };
}

/** What all parts of one VMM share. */
export interface MachineContext extends VmmContext {
  readonly rules: VmmRules;
  readonly properties: VmmProperties;
}

/** What the parts of one vSMMU work on. */
export interface UnitContext extends UnitBase {
  readonly vmm: MachineContext;
  readonly ids: { readonly vsmmu: string; readonly evtq: string };
  /** Interrupt lines into the guest; the guest clears them when it serves them. */
  readonly irq: { evtq: boolean; gerror: boolean };
  readonly state: UnitState;
}

/** The plugged device that has the StreamID. */
export const deviceOf = (u: UnitContext, sid: number): VmmDevice | undefined =>
  u.state.devices.find((d) => d.vsid === sid);
