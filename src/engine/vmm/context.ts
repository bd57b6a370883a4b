import { hexPlain } from '../bits/index.ts';
import { type Injector, type Op, type OpResult, pause } from '../machine/index.ts';
import type { GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import type { HostKernel, Ioctl } from './kernel.ts';
import type { MachineRules } from './rules.ts';

/** What the VMM is told of a device on its command line. */
export interface VmmDeviceSpec {
  readonly name: string;
  /** Bus, device and function in the guest. */
  readonly vrid: number;
}

/** A page table of VFIO's list: a nesting parent on the IOAS, for one physical IOMMU. */
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

/** What all parts of one VMM share, whichever vIOMMU it emulates. */
export interface VmmContext {
  readonly kernel: HostKernel;
  /** Guest physical memory; its slots are the guest's RAM. */
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: MachineRules;
  /** Flags of IOMMU_HWPT_ALLOC for a nesting parent. */
  readonly parentFlags: number;
  /** Policy `batch`: guest commands that one ioctl carries at most. */
  readonly batch: number;
  /** Policy `pageFaults: forwarded`. */
  readonly forwardsFaults: boolean;
  readonly state: MachineState;
  readonly ids: { readonly devices: string; readonly kernelObject: (id: number) => string };
}

/** An ioctl of QEMU's VFIO and memory code, on /dev/iommu unless another fd is named. */
export function* machineIoctl(m: VmmContext, call: string, input: Readonly<Record<string, unknown>>, fd = 0): Ioctl {
  return yield* m.kernel.ioctl({ call, fd, input, at: m.ids.devices });
}

/** One vIOMMU of the VMM. */
export interface UnitBase {
  readonly vmm: VmmContext;
  /** Its scene object. */
  readonly at: string;
}

/** An ioctl of a vIOMMU's model, on /dev/iommu unless another fd is named. */
export function* ioctl(u: UnitBase, call: string, input: Readonly<Record<string, unknown>>, fd = 0): Ioctl {
  return yield* u.vmm.kernel.ioctl({ call, fd, input, at: u.at });
}

/** error_report of a model: a line on the VMM's standard error. */
export function report(u: UnitBase, text: string): void {
  u.vmm.state.errors.push(text);
  u.vmm.trace.listener?.({ kind: 'note', actor: 'vmm', at: u.at, text: `VMM log: ${text}` });
}

/** error_report_once: the first time only, for each place. */
export function reportOnce(u: UnitBase, place: string, text: string): void {
  const { reported } = u.vmm.state;
  if (reported.includes(place)) return;
  reported.push(place);
  report(u, text);
}

/** A register write of the guest leaves the guest: nothing of the vIOMMU is mapped into it. */
export function* trapWrite(trace: Trace, at: string, reg: string, value: bigint): Op<void> {
  trace.exits++;
  trace.listener?.({ kind: 'trap', actor: 'vmm', at, text: `write ${reg} = ${hexPlain(value)}` });
  yield pause('vmm', 'trap');
}

export const slotText = (s: MemorySlot): string => `0x${s.gpa.toString(16)} to 0x${(s.gpa + s.size - 1).toString(16)}`;

export const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });
