import type { Injector, Op } from '../../machine/index.ts';
import type { GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import type { Trace } from '../../trace/index.ts';
import { idRegisters, type Registers, resetRegisters } from './registers.ts';
import type { VmmRules } from './rules.ts';

/** The host kernel as a process reaches it; `Iommufd` is one. */
export interface HostKernel {
  /** `fd` 0 is /dev/iommu. `input` and `out` go by uAPI field names. */
  ioctl(c: {
    call: string;
    fd: number;
    input: Readonly<Record<string, unknown>> | null;
    /** Scene object of the caller. */
    at?: string;
  }): Op<{ errno: string; out: Record<string, unknown> }>;
  /** A new fd of the device's vfio cdev. */
  openDevice(device: string): number;
  close(fd: number): Op<{ errno: string }>;
  /** Never blocks; whole records. */
  read(fd: number, count: number): { errno: string; out: { records: readonly Readonly<Record<string, unknown>>[] } };
}

/** What the VMM is told of a device on its command line. */
export interface VmmDeviceSpec {
  readonly name: string;
  /** Bus, device and function in the guest: the vSID. */
  readonly vrid: number;
}

/** A vfio-pci device behind the vSMMU; ids are iommufd's, 0 means none. */
export interface VmmDevice {
  readonly name: string;
  readonly vsid: number;
  /** Its vfio cdev. */
  readonly fd: number;
  readonly devid: number;
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

/** All of the VMM's state between operations: plain data. */
export interface VmmState {
  started: boolean;
  ioas: number;
  /** Nesting parent that VFIO attaches every device to. */
  s2Hwpt: number;
  viommu: number;
  abortHwpt: number;
  bypassHwpt: number;
  veventq: Veventq | null;
  /** Newest first, as the model's list. */
  devices: VmmDevice[];
  /** The `auto` properties are settled. */
  finalised: boolean;
  registers: Registers;
  /** The command loop is running; a doorbell meanwhile is seen by it. */
  consuming: boolean;
  /** Errors that the model reported since the operation began. */
  errors: string[];
}

export function freshState(): VmmState {
  const registers = idRegisters();
  resetRegisters(registers);
  return {
    started: false,
    ioas: 0,
    s2Hwpt: 0,
    viommu: 0,
    abortHwpt: 0,
    bypassHwpt: 0,
    veventq: null,
    devices: [],
    finalised: false,
    registers,
    consuming: false,
    errors: [],
  };
}

/** What the VMM's parts work on. */
export interface VmmContext {
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
  readonly irq: { evtq: boolean; gerror: boolean };
  readonly state: VmmState;
}

export const slotText = (s: MemorySlot): string => `0x${s.gpa.toString(16)} to 0x${(s.gpa + s.size - 1).toString(16)}`;

/** error_report of the model: a line on the VMM's standard error. */
export function report(v: VmmContext, text: string): void {
  v.state.errors.push(text);
  v.trace.listener?.({ kind: 'note', actor: 'vmm', at: 'vmm.vsmmu', text: `VMM log: ${text}` });
}

/** An ioctl, on /dev/iommu unless another fd is named. */
export function* ioctl(
  v: VmmContext,
  call: string,
  input: Readonly<Record<string, unknown>>,
  fd = 0,
): Op<{ errno: string; out: Record<string, unknown> }> {
  return yield* v.kernel.ioctl({ call, fd, input, at: ofMachine.has(call) ? 'vmm.devices' : 'vmm.vsmmu' });
}

/** Calls of QEMU's VFIO code; all others come from the vSMMU model. */
const ofMachine = new Set([
  'IOMMU_IOAS_ALLOC',
  'IOMMU_IOAS_MAP',
  'IOMMU_IOAS_UNMAP',
  'VFIO_DEVICE_BIND_IOMMUFD',
  'VFIO_DEVICE_DETACH_IOMMUFD_PT',
]);

/** A numeric output. */
export const outputOf = (out: Readonly<Record<string, unknown>>, name: string): number => Number(out[name] ?? 0);
