import { hexPlain } from '../../bits/index.ts';
import { type Injector, type Op, type OpResult, pause } from '../../machine/index.ts';
import type { Backing, GuestMemory, MemorySlot, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { sizeText } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import { consume, deliverForward } from './consume.ts';
import { vmmRulesWith } from './deviations.ts';
import { attachGbpa, makeVeventq, plug, unplug } from './devices.ts';
import { pollEvents } from './events.ts';
import { installRange } from './install.ts';
import { CR0, GBPA, isWritable, readRegister, resetRegisters, storeRegister } from './registers.ts';
import type { VmmRules } from './rules.ts';
import {
  freshState,
  type HostKernel,
  ioctl,
  outputOf,
  report,
  slotText,
  type VmmContext,
  type VmmDeviceSpec,
  type VmmState,
} from './state.ts';

export interface VmmParts {
  readonly kernel: HostKernel;
  /** With the guest's RAM as its slots; `map` adds more. */
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  /** Host pages for memory that is added later. */
  readonly hostPages: PageAllocator;
  readonly devices: readonly VmmDeviceSpec[];
  readonly trace: Trace;
  readonly injector: Injector;
  readonly deviations?: readonly string[];
  /** Policy `batch`: guest commands that one ioctl carries at most. QEMU as read: 1. */
  readonly batch?: number;
  /** Size of a physically contiguous piece of added memory. */
  readonly chunk?: number;
}

/** FIXED_IOVA, WRITEABLE, READABLE. */
const MAP_FLAGS = 7;
const PAGE = 4096;
/** User addresses of memory that is added later start here, far from the RAM that the process starts with. */
const ADDED_UVA = 2 ** 45;
/** Guest physical addresses that the vSMMU's guest can use. */
const GPA_END = 2 ** 44;

/**
 * QEMU with `-device arm-smmuv3,accel=on`: the vSMMU's registers, the traps behind them, and the ioctls that turn what the
 * guest does into iommufd objects. Source: arm-smmuv3.md 8.
 */
export class Vmm implements VmmContext {
  readonly kernel: HostKernel;
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: VmmRules;
  readonly batch: number;
  /** Interrupt lines into the guest; the guest clears them when it serves them. */
  readonly irq = { evtq: false, gerror: false };
  state: VmmState = freshState();
  private readonly specs: readonly VmmDeviceSpec[];
  private readonly chunk: number;

  /** @throws Error when `deviations` names a `vmm.` rule that does not exist */
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
    this.chunk = p.chunk ?? PAGE;
  }

  /** An IOAS with all of the guest's RAM in it, one area a slot. */
  *start(): Op<OpResult> {
    if (this.state.started) return refused('the VMM is running already');
    this.begin();
    const r = yield* ioctl(this, 'IOMMU_IOAS_ALLOC', { flags: 0 });
    if (r.errno !== '0') return refused(`IOMMU_IOAS_ALLOC: ${r.errno}`, r.errno);
    this.state.ioas = outputOf(r.out, 'out_ioas_id');
    this.state.started = true;
    for (const slot of this.memory.slots) {
      const errno = yield* this.mapSlot(slot);
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
    const failure = yield* plug(this, spec);
    if (failure) return refused(`${device} cannot be plugged: ${failure}`, failure.match(/: (E[A-Z0-9]+)$/)?.[1]);
    const d = this.state.devices[0]!;
    return this.result(`${device} is plugged: device ${d.devid}, vIOMMU ${this.state.viommu}, HWPT ${d.hwpt}`);
  }

  *unplug(device: string): Op<OpResult> {
    const d = this.state.devices.find((x) => x.name === device);
    if (!d) return refused(`${device} is not plugged`);
    this.begin();
    yield* unplug(this, d);
    return this.result(`${device} is unplugged`);
  }

  isPlugged(device: string): boolean {
    return this.state.devices.some((d) => d.name === device);
  }

  /** Adds guest memory at `gpa`: host pages, a memory slot, and its mapping in the IOAS. */
  *map(o: { gpa: number; size: number }): Op<OpResult> {
    if (!this.state.started) return refused('the VMM has not started');
    const text = `guest memory 0x${o.gpa.toString(16)}, ${sizeText(o.size)}`;
    if (!(o.size > 0) || o.gpa % PAGE || o.size % PAGE || o.gpa < 0 || o.gpa + o.size > GPA_END)
      return refused(`${text}: address and size must be multiples of 4 KiB below 16 TiB`, 'EINVAL');
    if (this.memory.slots.some((s) => o.gpa < s.gpa + s.size && s.gpa < o.gpa + o.size))
      return refused(`${text} overlaps memory that is there`, 'EEXIST');
    this.begin();
    let base: number;
    try {
      base = this.hostPages.alloc(o.size);
    } catch (e) {
      if (e instanceof RangeError) return refused(`${text}: the host has no free pages`, 'ENOMEM');
      throw e;
    }
    const added = this.process.backings.filter((b) => b.uva >= ADDED_UVA && b.uva < 2 * ADDED_UVA);
    const slot = { ...o, uva: Math.max(ADDED_UVA, ...added.map((b) => b.uva + b.size)) };
    this.process.add({ uva: slot.uva, size: o.size, base, chunk: Math.min(this.chunk, o.size) });
    this.memory.addSlot(slot);
    const errno = yield* this.mapSlot(slot);
    if (errno === '0') return this.result(`${text} added`);
    this.memory.slots.splice(this.memory.slots.indexOf(slot), 1);
    return refused(`IOMMU_IOAS_MAP of ${text}: ${errno}`, errno);
  }

  /** Takes memory out of the IOAS, and out of the guest when the range is a slot. The kernel cuts no area: ENOENT then. */
  *unmap(o: { gpa: number; size: number }): Op<OpResult> {
    if (!this.state.started) return refused('the VMM has not started');
    this.begin();
    const r = yield* ioctl(this, 'IOMMU_IOAS_UNMAP', {
      ioas_id: this.state.ioas,
      iova: BigInt(o.gpa),
      length: BigInt(o.size),
    });
    const text = `guest memory 0x${o.gpa.toString(16)}, ${sizeText(o.size)}`;
    if (r.errno !== '0') return refused(`IOMMU_IOAS_UNMAP of ${text}: ${r.errno}`, r.errno);
    const { slots } = this.memory;
    for (const s of slots.filter((x) => x.gpa >= o.gpa && x.gpa + x.size <= o.gpa + o.size))
      slots.splice(slots.indexOf(s), 1);
    return { ...this.result(`${text} removed`), out: { length: r.out['length'] } };
  }

  /** Machine reset: registers, then every device to what GBPA says. */
  *reset(): Op<OpResult> {
    this.begin();
    resetRegisters(this.state.registers);
    yield* attachGbpa(this);
    return this.result('the machine is reset');
  }

  /** A register as the guest reads it; unknown ones are zero. No side effect. */
  readVirtual(reg: string): bigint {
    return readRegister(this.state.registers, reg);
  }

  /** A trapped register write with everything that follows from it before the guest runs on. */
  *writeVirtual(reg: string, value: bigint): Op<void> {
    this.trace.exits++;
    this.trace.listener?.({ kind: 'trap', actor: 'vmm', at: 'vmm.vsmmu', text: `write ${reg} = ${hexPlain(value)}` });
    yield pause('vmm', 'trap');
    if (!isWritable(reg)) return;
    if (reg === 'GBPA') return yield* this.writeGbpa(value);
    const was = this.state.registers['CR0'] ?? 0n;
    storeRegister(this.state.registers, reg, value);
    switch (reg) {
      case 'CR0': {
        yield* consume(this);
        const failure = yield* makeVeventq(this);
        if (failure) report(this, failure);
        if ((was ^ value) & CR0.smmuen && this.rules.smmuenMovesDevices()) yield* this.followSmmuen();
        break;
      }
      case 'CMDQ_PROD':
      case 'GERRORN':
        yield* consume(this);
        break;
    }
  }

  /** Forwards what the kernel reports to the guest. Call it after whatever may have caused an event. */
  *pollEvents(): Op<void> {
    yield* pollEvents(this);
  }

  /** A held-back message of the injection point `vmm.forward` arrives. */
  *deliver(words: bigint[]): Op<void> {
    yield* deliverForward(this, words);
  }

  save(): unknown {
    const { slots } = this.memory;
    return structuredClone({ state: this.state, irq: this.irq, slots, backings: this.process.backings });
  }

  load(saved: unknown): void {
    const s = structuredClone(saved) as { state: VmmState; irq: Vmm['irq']; slots: MemorySlot[]; backings: Backing[] };
    this.state = s.state;
    Object.assign(this.irq, s.irq);
    this.memory.slots.splice(0, Number.POSITIVE_INFINITY, ...s.slots);
    this.process.backings.splice(0, Number.POSITIVE_INFINITY, ...s.backings);
  }

  private *mapSlot(slot: MemorySlot): Op<string> {
    const r = yield* ioctl(this, 'IOMMU_IOAS_MAP', {
      flags: MAP_FLAGS,
      ioas_id: this.state.ioas,
      user_va: BigInt(slot.uva),
      length: BigInt(slot.size),
      iova: BigInt(slot.gpa),
    });
    return r.errno;
  }

  /** Without UPDATE the write is ignored; the update is done at once. */
  private *writeGbpa(value: bigint): Op<void> {
    if (!(value & GBPA.update)) return;
    storeRegister(this.state.registers, 'GBPA', value & ~GBPA.update);
    if (this.rules.gbpaMovesDevices()) yield* attachGbpa(this);
  }

  private *followSmmuen(): Op<void> {
    if ((this.state.registers['CR0'] ?? 0n) & CR0.smmuen) yield* installRange(this, 0, 0xffff);
    else yield* attachGbpa(this);
  }

  private begin(): void {
    this.state.errors = [];
  }

  private result(text: string): OpResult {
    const { errors } = this.state;
    return errors.length ? { ok: false, text: `${text}; ${errors.join('; ')}` } : { ok: true, text };
  }
}

const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });
