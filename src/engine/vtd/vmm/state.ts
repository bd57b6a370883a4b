import type { FaultQueue, UnitBase, VmmContext } from '../../vmm/index.ts';
import { capabilityWords, largestOffer, type Offer, type VmmProperties } from './properties.ts';
import { type Registers, resetRegisters } from './registers.ts';
import type { VmmRules } from './rules.ts';

/** A page request group that the guest has to answer. */
export interface PendingGroup {
  /** PRGI. */
  readonly group: number;
  /** The kernel's, for the page response. */
  readonly cookie: number;
}

/** What the VMM has bound for a PASID of a device (QEMU: VTDAccelPASIDCacheEntry). */
export interface Binding {
  /** 0: requests without PASID. */
  readonly pasid: number;
  /** The guest's PASID entry when it was last read: eight words. */
  entry: bigint[];
  /** Nested HWPT, 0: none. */
  hwpt: number;
  faultQueue: FaultQueue | null;
  /** Newest first. */
  pending: PendingGroup[];
}

/** A vfio-pci device behind a virtual VT-d unit; ids are iommufd's. */
export interface VmmDevice {
  readonly name: string;
  /** Bus, device and function in the guest. */
  readonly vrid: number;
  /** Its vfio cdev. */
  readonly fd: number;
  readonly devid: number;
  /** log2 of the PASIDs that the host lets it use. */
  readonly maxPasidLog2: number;
  /** Nesting parent that VFIO attached it to: its default HWPT. */
  readonly parent: number;
  /** Newest first, as the model's list. */
  bindings: Binding[];
}

/** A guest invalidation on its way into IOMMU_HWPT_INVALIDATE. */
export interface Pending {
  readonly hwpt: number;
  /** struct iommu_hwpt_vtd_s1_invalidate: addr, npages, flags. */
  readonly entry: readonly bigint[];
}

/** One unit's state between operations: plain data. */
export interface UnitState {
  registers: Registers;
  offer: Offer;
  /** The `auto` properties are settled. */
  finalised: boolean;
  /** Root table as the last SRTP took it. */
  root: number;
  rootScalable: boolean;
  dmarEnabled: boolean;
  qiEnabled: boolean;
  /** Queue as the last QIE took it: base, descriptors, position of the next one read and of the end. */
  iq: number;
  iqSize: number;
  iqHead: number;
  iqTail: number;
  /** IQA_REG.DW: descriptors of 256 bits. */
  iqWide: boolean;
  /** Type of the last descriptor that was read, -1: none. */
  lastType: number;
  /** The descriptor loop is running; a doorbell meanwhile is seen by it. */
  consuming: boolean;
  /** Machine resets so far. */
  resets: number;
  /** In the order of plugging. */
  devices: VmmDevice[];
  /** Invalidations that wait for the batch to be sent; only a broken rule leaves any here between two doorbells. */
  batch: Pending[];
}

export function freshUnit(properties: VmmProperties = {}): UnitState {
  const offer = largestOffer(properties);
  const registers: Registers = {};
  resetRegisters(registers, offer);
  return { registers, offer, finalised: false, ...freshQueue(), resets: 0, devices: [], batch: [] };
}

/** What a reset puts back besides the registers. */
export const freshQueue = () => ({
  root: 0,
  rootScalable: false,
  dmarEnabled: false,
  qiEnabled: false,
  iq: 0,
  iqSize: 0,
  iqHead: 0,
  iqTail: 0,
  iqWide: false,
  lastType: -1,
  consuming: false,
});

/** The properties that hold from now on. */
export function offer(s: UnitState, o: Offer): void {
  s.offer = o;
  const { cap, ecap } = capabilityWords(o);
  s.registers['CAP_REG'] = cap;
  s.registers['ECAP_REG'] = ecap;
}

/** What all parts of one VMM share. */
export interface MachineContext extends VmmContext {
  readonly rules: VmmRules;
  readonly properties: VmmProperties;
}

/** What the parts of one unit work on. */
export interface UnitContext extends UnitBase {
  readonly vmm: MachineContext;
  readonly ids: { readonly viommu: string; readonly iq: string; readonly prq: string; readonly frcd: string };
  /** Interrupts into the guest; the guest clears them when it serves them. */
  readonly irq: { fault: boolean; prq: boolean; inv: boolean };
  readonly state: UnitState;
}

export const note = (u: UnitContext, text: string, to?: string): void => {
  u.vmm.trace.listener?.({ kind: 'note', actor: 'vmm', at: u.at, ...(to ? { to } : {}), text });
};
