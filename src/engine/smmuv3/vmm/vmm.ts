import { type Injector, type Op, type OpResult, pause, scoped, scopeOf } from '../../machine/index.ts';
import type { Backing, GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import type { Trace } from '../../trace/index.ts';
import { vmmRulesWith } from './deviations.ts';
import { plug, unplug } from './devices.ts';
import { addRam, mapSlot, removeRam } from './ram.ts';
import { ssidBits, type VmmProperties } from './registers.ts';
import type { VmmRules } from './rules.ts';
import {
  freshMachine,
  type HostKernel,
  type MachineContext,
  type MachineState,
  machineIoctl,
  outputOf,
  slotText,
  type VmmDevice,
  type VmmDeviceSpec,
} from './state.ts';
import { VSmmu } from './vsmmu.ts';

export interface VmmParts {
  /** The kernel as this VMM's process sees it. */
  readonly kernel: HostKernel;
  /** With the guest's RAM as its slots; `map` adds more. */
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  /** Host pages for memory that is added later. */
  readonly hostPages: PageAllocator;
  readonly devices: readonly VmmDeviceSpec[];
  /** vSMMUs with the names of the devices behind each; absent: one, with all of them. */
  readonly units?: readonly { readonly name: string; readonly devices: readonly string[] }[];
  readonly trace: Trace;
  readonly injector: Injector;
  readonly deviations?: readonly string[];
  /** Policy `batch`: guest commands that one ioctl carries at most. QEMU as read: 1. */
  readonly batch?: number;
  /** Properties of the vSMMUs. */
  readonly properties?: VmmProperties;
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
 * QEMU with one `-device arm-smmuv3,accel=on` for each of `units`: the machine, its memory and VFIO devices in one IOAS, and
 * the vSMMUs. Source: arm-smmuv3.md 8.
 */
export class Vmm implements MachineContext {
  readonly kernel: HostKernel;
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: VmmRules;
  readonly batch: number;
  readonly properties: VmmProperties;
  readonly forwardsFaults: boolean;
  readonly ids: MachineContext['ids'];
  /** At least one, in the order of the command line. */
  readonly units: readonly VSmmu[];
  state: MachineState = freshMachine();
  private readonly specs: readonly VmmDeviceSpec[];
  private readonly unitNames: ReadonlyMap<string, VSmmu>;
  private readonly chunk: number;

  /** @throws Error when `deviations` names a `vmm.` rule that does not exist, or a device has no unit */
  constructor(p: VmmParts) {
    this.kernel = p.kernel;
    this.memory = p.memory;
    this.process = p.process;
    this.hostPages = p.hostPages;
    this.trace = p.trace;
    this.injector = p.injector;
    this.specs = p.devices;
    this.rules = vmmRulesWith(p.deviations ?? []);
    this.batch = Math.max(1, p.batch ?? 1);
    this.properties = p.properties ?? {};
    this.forwardsFaults = p.pageFaults === 'forwarded';
    this.chunk = p.chunk ?? 4096;
    const scope = p.scope ?? '';
    const objects = p.kernelObjects ?? 'kernel.obj';
    this.ids = { devices: scoped('vmm', scope, 'devices'), kernelObject: (id) => `${objects}.${id}` };
    const units = p.units?.length ? p.units : [{ name: 'vsmmu', devices: p.devices.map((d) => d.name) }];
    const names = units.map((u) => u.name);
    this.units = units.map(
      (u) => new VSmmu(u.name, this, [scope, scopeOf(names, u.name)].filter((s) => s !== '').join('.')),
    );
    this.unitNames = new Map(units.flatMap((u, i) => u.devices.map((d) => [d, this.units[i]!])));
    for (const d of p.devices) this.unitOf(d.name);
  }

  private get first(): VSmmu {
    return this.units[0]!;
  }

  /** Interrupt lines of the first vSMMU. */
  get irq(): VSmmu['irq'] {
    return this.first.irq;
  }

  /** The vSMMU in front of a device of the command line. @throws Error when there is none of that name */
  unitOf(device: string): VSmmu {
    const unit = this.unitNames.get(device);
    if (!unit) throw new Error(`${device} is behind no vSMMU of this VMM`);
    return unit;
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
    const failure = yield* plug(unit, spec);
    if (failure) return refused(`${device} cannot be plugged: ${failure}`, failure.match(/: (E[A-Z0-9]+)$/)?.[1]);
    const d = unit.deviceOf(device)!;
    return this.result(`${device} is plugged: device ${d.devid}, vIOMMU ${unit.state.viommu}, HWPT ${d.hwpt}`);
  }

  *unplug(device: string): Op<OpResult> {
    const d = this.deviceOf(device);
    if (!d) return refused(`${device} is not plugged`);
    this.begin();
    yield* unplug(this.unitOf(device), d);
    return this.result(`${device} is unplugged`);
  }

  /**
   * What the guest finds in the device's configuration space (vfio-pci's PASID capability): none unless the vSMMU has
   * SubstreamIDs and the host lets the device use PASIDs.
   */
  pasidBits(device: string): number {
    const d = this.deviceOf(device);
    if (!d) return 0;
    return ssidBits(this.unitOf(device).state.registers) > 0 ? d.maxPasidLog2 : 0;
  }

  /**
   * The guest starts a function-level reset: the write to the PCI Express capability traps, VFIO passes it to the kernel, and
   * the kernel resets the function. vSMMU, vDEVICE and HWPTs are not touched; the kernel puts the attachment back.
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
    return this.deviceOf(device) !== undefined;
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

  /** Machine reset: registers, then every device to what GBPA says. */
  *reset(): Op<OpResult> {
    this.begin();
    for (const u of this.units) yield* u.reset();
    return this.result('the machine is reset');
  }

  /** A register of the first vSMMU as the guest reads it. */
  readVirtual(reg: string): bigint {
    return this.first.readVirtual(reg);
  }

  /** A trapped register write to the first vSMMU. */
  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield* this.first.writeVirtual(reg, value);
  }

  /** Forwards what the kernel reports to the guest. Call it after whatever may have caused an event. */
  *pollEvents(): Op<void> {
    for (const u of this.units) yield* u.pollEvents();
  }

  /** A held-back message of the injection point `vmm.forward` arrives, by default at the first vSMMU. */
  *deliver(words: bigint[], unit: VSmmu = this.first): Op<void> {
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

  private deviceOf(name: string): VmmDevice | undefined {
    return this.unitNames.get(name)?.deviceOf(name);
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

const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });
