import { type Injector, type Op, type OpResult, pause, scoped, scopeOf } from '../machine/index.ts';
import type { Backing, GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import {
  freshMachine,
  type MachineState,
  machineIoctl,
  refused,
  slotText,
  type VmmContext,
  type VmmDeviceSpec,
} from './context.ts';
import { type HostKernel, outputOf } from './kernel.ts';
import { addRam, mapSlot, removeRam } from './ram.ts';
import type { MachineRules } from './rules.ts';

/** A vIOMMU of the machine, as the machine knows it. */
export interface VmmUnit {
  readonly name: string;
  /** A plugged device behind it. */
  deviceOf(name: string): { readonly devid: number; readonly maxPasidLog2: number } | undefined;
  /** A register as the guest reads it; unknown ones are zero. No side effect. */
  readVirtual(reg: string): bigint;
  /** A trapped register write with everything that follows from it before the guest runs on. */
  writeVirtual(reg: string, value: bigint): Op<void>;
  reset(): Op<void>;
  /** Forwards what the kernel reports to the guest. */
  pollEvents(): Op<void>;
  /** A held-back message of the injection point `vmm.forward` arrives. */
  deliver(words: bigint[]): Op<void>;
  save(): unknown;
  load(saved: unknown): void;
}

/** A vIOMMU and the devices behind it. */
export interface UnitSpec {
  readonly name: string;
  readonly devices: readonly string[];
}

export interface VirtualMachineParts {
  /** The kernel as this VMM's process sees it. */
  readonly kernel: HostKernel;
  /** With the guest's RAM as its slots; `map` adds more. */
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  /** Host pages for memory that is added later. */
  readonly hostPages: PageAllocator;
  readonly devices: readonly VmmDeviceSpec[];
  /** vIOMMUs with the names of the devices behind each; absent: one, with all of them. */
  readonly units?: readonly UnitSpec[];
  readonly trace: Trace;
  readonly injector: Injector;
  readonly deviations?: readonly string[];
  /** Policy `batch`: guest commands that one ioctl carries at most. QEMU as read: 1. */
  readonly batch?: number;
  /** Policy `pageFaults`. */
  readonly pageFaults?: 'terminated' | 'forwarded';
  /** Size of a physically contiguous piece of added memory. */
  readonly chunk?: number;
  /** The guest's name when there are several, for scene ids. */
  readonly scope?: string;
  /** Prefix of the scene ids of this process's iommufd objects: `kernel.obj`, `kernel.obj.1`. */
  readonly kernelObjects?: string;
}

/**
 * What QEMU does whichever vIOMMU it emulates: the machine, its memory and VFIO devices in one IOAS, and the vIOMMUs in front
 * of them. A vendor adds the units and what plugging a device means.
 */
export abstract class VirtualMachine<Unit extends VmmUnit> implements VmmContext {
  readonly kernel: HostKernel;
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly batch: number;
  readonly forwardsFaults: boolean;
  readonly ids: VmmContext['ids'];
  /** At least one, in the order of the command line. */
  abstract readonly units: readonly Unit[];
  abstract readonly rules: MachineRules;
  abstract readonly parentFlags: number;
  state: MachineState = freshMachine();
  /** Names of the units with those of their devices. */
  protected readonly unitSpecs: readonly UnitSpec[];
  private readonly specs: readonly VmmDeviceSpec[];
  private readonly chunk: number;
  private readonly scope: string;

  /**
   * @param unitName of the only unit when there is no list
   * @throws Error when a device is behind none of the units
   */
  constructor(p: VirtualMachineParts, unitName: string) {
    this.kernel = p.kernel;
    this.memory = p.memory;
    this.process = p.process;
    this.hostPages = p.hostPages;
    this.trace = p.trace;
    this.injector = p.injector;
    this.specs = p.devices;
    this.batch = Math.max(1, p.batch ?? 1);
    this.forwardsFaults = p.pageFaults === 'forwarded';
    this.chunk = p.chunk ?? 4096;
    this.scope = p.scope ?? '';
    const objects = p.kernelObjects ?? 'kernel.obj';
    this.ids = { devices: scoped('vmm', this.scope, 'devices'), kernelObject: (id) => `${objects}.${id}` };
    this.unitSpecs = p.units?.length ? p.units : [{ name: unitName, devices: p.devices.map((d) => d.name) }];
    for (const d of p.devices) this.unitIndex(d.name);
  }

  /** Connects a device that is not plugged yet. @returns '' or why it failed */
  protected abstract connect(unit: Unit, spec: VmmDeviceSpec): Op<string>;
  protected abstract disconnect(unit: Unit, device: string): Op<void>;
  /** `device 2, HWPT 3`: what a plugged device has in the kernel. */
  protected abstract describe(unit: Unit, device: string): string;

  /** Scope of the scene objects of the unit with that name. */
  protected unitScope(name: string): string {
    const names = this.unitSpecs.map((u) => u.name);
    return [this.scope, scopeOf(names, name)].filter((s) => s !== '').join('.');
  }

  protected get first(): Unit {
    return this.units[0]!;
  }

  /** The vIOMMU in front of a device of the command line. @throws Error when there is none of that name */
  unitOf(device: string): Unit {
    return this.units[this.unitIndex(device)]!;
  }

  /** An IOAS with all of the guest's RAM in it, one area a slot. */
  *start(): Op<OpResult> {
    if (this.state.started) return refused('the VMM is running already');
    this.begin();
    const r = yield* machineIoctl(this, 'IOMMU_IOAS_ALLOC', { flags: 0 });
    if (r.errno !== '0') return refused(`IOMMU_IOAS_ALLOC: ${r.errno}`, r.errno);
    this.state.ioas = outputOf(r.out, 'out_ioas_id');
    this.state.started = true;
    for (const slot of this.memory.slots) {
      const errno = yield* mapSlot(this, slot);
      if (errno !== '0') return refused(`IOMMU_IOAS_MAP of ${slotText(slot)}: ${errno}`, errno);
    }
    const ram = this.memory.slots.map(slotText).join(', ');
    return this.result(`the VMM runs: IOAS ${this.state.ioas} holds guest memory ${ram}`);
  }

  /** Puts a device into the guest. */
  *plug(device: string): Op<OpResult> {
    const spec = this.specs.find((d) => d.name === device);
    if (!spec) return refused(`no device is named ${device}`);
    if (!this.state.started) return refused('the VMM has not started');
    if (this.isPlugged(device)) return refused(`${device} is plugged already`);
    this.begin();
    const unit = this.unitOf(device);
    const failure = yield* this.connect(unit, spec);
    if (failure) return refused(`${device} cannot be plugged: ${failure}`, failure.match(/: (E[A-Z0-9]+)$/)?.[1]);
    return this.result(`${device} is plugged: ${this.describe(unit, device)}`);
  }

  *unplug(device: string): Op<OpResult> {
    if (!this.isPlugged(device)) return refused(`${device} is not plugged`);
    this.begin();
    yield* this.disconnect(this.unitOf(device), device);
    return this.result(`${device} is unplugged`);
  }

  /**
   * The guest starts a function-level reset: the write to the PCI Express capability traps, VFIO passes it to the kernel, and
   * the kernel resets the function. The vIOMMU and its HWPTs are not touched; the kernel puts the attachment back.
   * @param kernelReset what the kernel does meanwhile
   */
  *deviceReset(device: string, kernelReset: () => Op<void>): Op<OpResult> {
    if (!this.isPlugged(device)) return refused(`${device} is not plugged`);
    this.begin();
    this.trace.exits++;
    this.trace.listener?.({
      kind: 'trap',
      actor: 'vmm',
      at: this.ids.devices,
      text: `${device}: configuration write, Initiate Function Level Reset`,
    });
    yield pause('vmm', 'trap');
    yield* kernelReset();
    return this.result(`${device} is reset`);
  }

  isPlugged(device: string): boolean {
    return this.pluggedDevice(device) !== undefined;
  }

  /** Adds guest memory at `gpa`: host pages, a memory slot, and its mapping in the IOAS. */
  *map(o: { gpa: number; size: number }): Op<OpResult> {
    if (!this.state.started) return refused('the VMM has not started');
    this.begin();
    return yield* addRam(this, o, this.chunk);
  }

  /** Takes memory out of the IOAS, and out of the guest when the range is a slot. */
  *unmap(o: { gpa: number; size: number }): Op<OpResult> {
    if (!this.state.started) return refused('the VMM has not started');
    this.begin();
    return yield* removeRam(this, o);
  }

  /** Machine reset: every vIOMMU starts anew, and its devices with it. */
  *reset(): Op<OpResult> {
    this.begin();
    for (const u of this.units) yield* u.reset();
    return this.result('the machine is reset');
  }

  /** A register of the first vIOMMU as the guest reads it. */
  readVirtual(reg: string): bigint {
    return this.first.readVirtual(reg);
  }

  /** A trapped register write to the first vIOMMU. */
  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield* this.first.writeVirtual(reg, value);
  }

  /** Forwards what the kernel reports to the guest. Call it after whatever may have caused an event. */
  *pollEvents(): Op<void> {
    for (const u of this.units) yield* u.pollEvents();
  }

  /** A held-back message of the injection point `vmm.forward` arrives, by default at the first vIOMMU. */
  *deliver(words: bigint[], unit: Unit = this.first): Op<void> {
    yield* unit.deliver(words);
  }

  save(): unknown {
    const { slots } = this.memory;
    return {
      ...structuredClone({ state: this.state, slots, backings: this.process.backings }),
      units: this.units.map((u) => u.save()),
    };
  }

  load(saved: unknown): void {
    const { units, ...rest } = saved as Saved;
    const s = structuredClone(rest);
    this.state = s.state;
    for (const [i, u] of this.units.entries()) u.load(units[i]);
    this.memory.slots.splice(0, Number.POSITIVE_INFINITY, ...s.slots);
    this.process.backings.splice(0, Number.POSITIVE_INFINITY, ...s.backings);
  }

  protected pluggedDevice(name: string): ReturnType<VmmUnit['deviceOf']> {
    const index = this.unitSpecs.findIndex((u) => u.devices.includes(name));
    return index < 0 ? undefined : this.units[index]!.deviceOf(name);
  }

  private unitIndex(device: string): number {
    const index = this.unitSpecs.findIndex((u) => u.devices.includes(device));
    if (index < 0) throw new Error(`${device} is behind no vIOMMU of this VMM`);
    return index;
  }

  private begin(): void {
    this.state.errors = [];
  }

  private result(text: string): OpResult {
    const { errors } = this.state;
    return errors.length ? { ok: false, text: `${text}; ${errors.join('; ')}` } : { ok: true, text };
  }
}

interface Saved {
  readonly state: MachineState;
  readonly slots: MemorySlot[];
  readonly backings: Backing[];
  readonly units: readonly unknown[];
}
