import type { Injector, Op } from '../../machine/index.ts';
import type { GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import type { Trace } from '../../trace/index.ts';
import { idRegisters, type Registers, resetRegisters, type VmmProperties } from './registers.ts';
import type { VmmRules } from './rules.ts';

/** The host kernel as one process reaches it; a `KernelProcess` is one. */
export interface HostKernel {
  /** `fd` 0 is /dev/iommu. `input` and `out` go by uAPI field names. */
  ioctl(c: {
    call: string;
    fd: number;
    input: Readonly<Record<string, unknown>> | null;
    /** Scene object of the caller. */
    at?: string;
  }): Op<{ errno: string; out: Record<string, unknown> }>;
  /** Whether the device has a vfio cdev. */
  hasDevice(device: string): boolean;
  /** A new fd of the device's vfio cdev. */
  openDevice(device: string): number;
  close(fd: number): Op<{ errno: string }>;
  /** Never blocks; whole records. */
  read(fd: number, count: number): { errno: string; out: { records: readonly Readonly<Record<string, unknown>>[] } };
  /** Answers on a fault queue's fd. */
  write(fd: number, records: readonly unknown[]): Op<{ errno: string }>;
}

/** What the VMM is told of a device on its command line. */
export interface VmmDeviceSpec {
  readonly name: string;
  /** Bus, device and function in the guest: the vSID. */
  readonly vrid: number;
}

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

/** IOMMUFD_OBJ_FAULT of a vSMMU. */
export interface FaultQueue {
  readonly id: number;
  readonly fd: number;
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

/** A page table of VFIO's list: a nesting parent on the IOAS, for one physical SMMU. */
export interface ParentHwpt {
  readonly id: number;
  /** Devices that VFIO attached to it. */
  users: number;
}

/** The machine's state between operations: plain data. */
export interface MachineState {
  started: boolean;
  ioas: number;
  /** Newest first, as VFIO's list. */
  parents: ParentHwpt[];
  /** Errors that the VMM reported since the operation began. */
  errors: string[];
  /** Messages of error_report_once that have been printed, by place. */
  reported: string[];
}

export const freshMachine = (): MachineState => ({ started: false, ioas: 0, parents: [], errors: [], reported: [] });

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
export interface MachineContext {
  readonly kernel: HostKernel;
  /** Guest physical memory; its slots are the guest's RAM. */
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: VmmRules;
  /** Commands that one ioctl carries at most. */
  readonly batch: number;
  readonly properties: VmmProperties;
  /** Policy `pageFaults: forwarded`. */
  readonly forwardsFaults: boolean;
  readonly state: MachineState;
  readonly ids: { readonly devices: string; readonly kernelObject: (id: number) => string };
}

/** What the parts of one vSMMU work on. */
export interface UnitContext {
  readonly vmm: MachineContext;
  readonly ids: { readonly vsmmu: string; readonly evtq: string };
  /** Interrupt lines into the guest; the guest clears them when it serves them. */
  readonly irq: { evtq: boolean; gerror: boolean };
  readonly state: UnitState;
}

export const slotText = (s: MemorySlot): string => `0x${s.gpa.toString(16)} to 0x${(s.gpa + s.size - 1).toString(16)}`;

/** error_report of the model: a line on the VMM's standard error. */
export function report(u: UnitContext, text: string): void {
  u.vmm.state.errors.push(text);
  u.vmm.trace.listener?.({ kind: 'note', actor: 'vmm', at: u.ids.vsmmu, text: `VMM log: ${text}` });
}

/** error_report_once: the first time only, for each place. */
export function reportOnce(u: UnitContext, place: string, text: string): void {
  const { reported } = u.vmm.state;
  if (reported.includes(place)) return;
  reported.push(place);
  report(u, text);
}

type Ioctl = Op<{ errno: string; out: Record<string, unknown> }>;

/** An ioctl of a vSMMU's model, on /dev/iommu unless another fd is named. */
export function* ioctl(u: UnitContext, call: string, input: Readonly<Record<string, unknown>>, fd = 0): Ioctl {
  return yield* u.vmm.kernel.ioctl({ call, fd, input, at: u.ids.vsmmu });
}

/** An ioctl of QEMU's VFIO and memory code. */
export function* machineIoctl(
  m: MachineContext,
  call: string,
  input: Readonly<Record<string, unknown>>,
  fd = 0,
): Ioctl {
  return yield* m.kernel.ioctl({ call, fd, input, at: m.ids.devices });
}

/** The plugged device that has the StreamID. */
export const deviceOf = (u: UnitContext, sid: number): VmmDevice | undefined =>
  u.state.devices.find((d) => d.vsid === sid);

/** A numeric output. */
export const outputOf = (out: Readonly<Record<string, unknown>>, name: string): number => Number(out[name] ?? 0);
