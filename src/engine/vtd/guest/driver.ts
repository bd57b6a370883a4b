import {
  type Address,
  type Cpu,
  type FlushMode,
  flushDomains,
  type GuestKernelParts,
  mapMemory,
  type Perm,
  refused,
  unmapMemory,
  withMemory,
  x86CpuFormat,
} from '../../guest/index.ts';
import type { Op, OpResult } from '../../machine/index.ts';
import {
  createKernel,
  deliver,
  enableTranslation,
  handleFaults,
  handlePageRequests,
  type LinuxPciDevice,
  loadKernel,
  resetDone,
  resetPrepare,
  saveKernel,
  startUnits,
  submit,
} from '../linux/index.ts';
import { attach, attachToPasid, detach, remove } from './attach-operations.ts';
import { guestRulesWith } from './deviations.ts';
import { handlePageRequestGroup } from './faults.ts';
import { tableId, unitIds } from './ids.ts';
import { begin, find, probe, result } from './lookup.ts';
import { isLazy, noBatching } from './mapping.ts';
import { bindProcess, exitProcess, flushProcess, spacesOf, unbindProcess } from './process-operations.ts';
import type { GuestRules } from './rules.ts';
import {
  freshState,
  type Guest,
  type GuestDevice,
  type GuestState,
  infoOf,
  type Unit,
  type VirtualUnit,
} from './state.ts';
import { type GuestViews, viewsOf } from './views.ts';

/** A virtual unit of the guest and the devices that firmware describes behind it. */
export interface GuestUnit {
  readonly name: string;
  readonly iommu: VirtualUnit;
  /** Names of devices. */
  readonly devices: readonly string[];
}

export interface GuestParts extends GuestKernelParts<GuestDevice> {
  readonly units: readonly GuestUnit[];
}

/** What of the PCI capabilities this guest's kernel has switched on: its own view of config space. */
type Enables = readonly (readonly [ats: boolean, pri: boolean, pasid: boolean])[];

/**
 * The Linux of one guest: the Intel IOMMU driver with an instance for each virtual unit, the IOMMU core, the DMA layer and the
 * memory of processes above it. Tables, queues and entries lie in guest memory; registers are reached through the VMM. What
 * the driver does is the same code that a host runs; here is what a guest asks of it.
 * Source: intel-vtd.md 7.
 */
export class GuestDriver implements Guest {
  readonly kernel: Guest['kernel'];
  readonly cpu: Cpu;
  readonly rules: GuestRules;
  readonly scope: string;
  readonly present: (name: string) => boolean;
  readonly units: readonly Unit[];
  readonly pci: readonly LinuxPciDevice[];
  state: GuestState;

  /** @throws Error when `deviations` names a `guest.` rule that does not exist */
  constructor(p: GuestParts) {
    const { memory, pages, trace, injector } = p;
    this.scope = p.scope ?? '';
    this.present = p.present ?? (() => true);
    this.rules = guestRulesWith(p.deviations ?? []);
    this.cpu = { memory, pages, trace, format: x86CpuFormat, tableId: (process) => tableId(this.scope, process) };
    this.state = freshState();
    this.units = p.units.map((u, index) => ({
      name: u.name,
      index,
      ids: unitIds(this.scope, p.units.length > 1 ? u.name : ''),
      iommu: u.iommu,
      devices: p.devices.filter((d) => u.devices.includes(d.name)),
    }));
    this.pci = p.devices.map(pciView);
    const unitOf = (name: string): number => this.units.findIndex((u) => u.devices.some((d) => d.name === name));
    this.kernel = createKernel({
      actor: 'guest',
      bus: memory,
      pages,
      trace,
      injector,
      rules: this.rules,
      units: this.units.map(linuxUnit),
      devices: this.pci.map((pci) => ({ pci, unit: unitOf(pci.name) })),
      hooks: { reportFault: (device, as, requests) => handlePageRequestGroup(this, device, as, requests) },
    });
  }

  /**
   * Start of each unit, then probe of every device that is plugged in, then translation on. A device starts blocked: the DMA
   * domain that the kernel would give it is the document's first `guest.attach`.
   */
  boot(): Op<OpResult> {
    return withMemory(this.bootNow());
  }

  private *bootNow(): Op<OpResult> {
    if (this.state.booted) return refused('the guest has booted already');
    begin(this);
    const problem = yield* panics(startUnits(this.kernel));
    if (problem !== true) return gaveUp(problem || 'a unit cannot be used');
    this.state.booted = true;
    this.state.working = this.units.map((u) => u.index);
    if (this.kernel.state.units.some((u) => u.caps && !(u.caps.scalable && u.caps.fsts)))
      if (!isLazy(this, { stage: 'second' })) noBatching(this, this.units[0]!.ids.iq);
    const failed: string[] = [];
    for (const u of this.units)
      for (const d of u.devices) {
        if (!this.present(d.name)) continue;
        const r = yield* withMemory(this.probeAtBoot(u, d.name));
        if (!r.ok) failed.push(`${d.name}: ${r.text}`);
      }
    const panic = yield* panics(enableTranslation(this.kernel));
    if (typeof panic === 'string') return gaveUp(panic);
    const n = this.state.endpoints.length;
    const units = this.units.length > 1 ? 's' : '';
    const text = `the guest has booted: ${n} device${n === 1 ? '' : 's'} behind its IOMMU${units}`;
    if (failed.length > 0) return { ok: false, errno: 'ENOMEM', text: `${text}; ${failed.join('; ')}` };
    return result(this, text);
  }

  private *probeAtBoot(u: Unit, device: string): Op<OpResult> {
    const e = yield* probe(this, u, device);
    return typeof e === 'string' ? refused(e) : { ok: true, text: '' };
  }

  /**
   * Moves a device to a domain: `bypass` (pass-through), `blocked`, or the name of a DMA domain, made at its first use. With
   * `pasid` only what that PASID reaches. `cdTable` is Arm's only.
   */
  attach(o: { device: string; domain: string; pasid?: number; cdTable?: string }): Op<OpResult> {
    return withMemory(o.pasid === undefined ? attach(this, o) : attachToPasid(this, { ...o, pasid: o.pasid }));
  }

  /** Takes a device off its domain: its entry is not present then. With `pasid` only that PASID's. */
  detach(o: { device: string; pasid?: number }): Op<OpResult> {
    return withMemory(detach(this, o));
  }

  /**
   * Shares the address space of a process with a device (SVA). The process is made at its first use; its first bind gives it
   * the lowest free PASID, or `pasid`. The result's `main` is the PASID.
   */
  bind(o: { device: string; process: string; pasid?: number }): Op<OpResult> {
    return withMemory(bindProcess(this, o));
  }

  /** Undoes one bind. */
  unbind(o: { device: string; process: string }): Op<OpResult> {
    return withMemory(unbindProcess(this, o));
  }

  /** The process ends, whether or not devices are bound to it. */
  exit(o: { process: string }): Op<OpResult> {
    return withMemory(exitProcess(this, o));
  }

  /** The device is about to be unplugged (iommu_release_device). Call it before the VMM takes it. */
  remove(o: { device: string }): Op<OpResult> {
    return withMemory(remove(this, o));
  }

  /** A reset of the function is about to begin: a device with ATS is blocked, its domains are kept. */
  resetPrepare(o: { device: string }): Op<OpResult> {
    return withMemory(this.prepare(o));
  }

  private *prepare(o: { device: string }): Op<OpResult> {
    const e = find(this, o.device);
    if (!e) return refused(`the guest knows no device ${o.device}`);
    begin(this);
    yield* resetPrepare(this.kernel, infoOf(this, e));
    return result(this, infoOf(this, e).reset ? `${o.device} is blocked for its reset` : `${o.device} may be reset`);
  }

  /** The reset is over: the domains come back. */
  resetDone(o: { device: string }): Op<OpResult> {
    return withMemory(this.done(o));
  }

  private *done(o: { device: string }): Op<OpResult> {
    const e = find(this, o.device);
    if (!e) return refused(`the guest knows no device ${o.device}`);
    begin(this);
    yield* resetDone(this.kernel, infoOf(this, e));
    return result(this, `${o.device} is back after its reset`);
  }

  /**
   * Maps guest physical memory for DMA, or into a process. `gpa` may be any address; whether stage 2 has it shows at the access.
   * `present` false: a process gets the area only, its pages come with the first fault.
   */
  map(o: { domain: string; iova: Address; gpa: Address; size: number; perm?: Perm; present?: boolean }): Op<OpResult> {
    return withMemory(mapMemory(spacesOf(this), o));
  }

  /** Unmaps. `flush`: `strict` invalidates before it returns, `queued` leaves it to `flush`, `none` sends nothing at all. */
  unmap(o: { domain: string; iova: Address; size: number; flush?: FlushMode }): Op<OpResult> {
    return unmapMemory(spacesOf(this), o);
  }

  /**
   * Empties the flush queue of one domain, or of all that have something in it. The name of a process: its whole address space
   * is flushed, as batched reclaim does it.
   */
  flush(o: { domain?: string } = {}): Op<OpResult> {
    const process = this.state.processes.find((p) => p.name === o.domain);
    return process ? flushProcess(this, process) : flushDomains(spacesOf(this), o);
  }

  /** One raw descriptor of four words and a wait on the guest's own queue. @param unit name of a unit, the first without it */
  *invalidate(words: readonly bigint[], unit?: string): Op<OpResult> {
    const u = unit === undefined ? this.units[0] : this.units.find((x) => x.name === unit);
    if (!u) return refused(`the guest has no IOMMU ${unit}`);
    if (!this.kernel.state.units[u.index]!.queue) return refused('the guest has no invalidation queue before it boots');
    begin(this);
    const descriptor = [0, 1, 2, 3].map((i) => words[i] ?? 0n);
    const errno = yield* submit(this.kernel, this.kernel.units[u.index]!, [descriptor]);
    const r = result(this, 'descriptor sent');
    return errno === '0' ? r : { ...r, ok: false, errno };
  }

  /** A held-back message of the injection point `guest.command` arrives. @param at scene id of the queue, the first without it */
  *deliver(words: readonly bigint[], at?: string): Op<void> {
    const u = this.units.find((x) => x.ids.iq === at) ?? this.units[0];
    if (u) yield* deliver(this.kernel, this.kernel.units[u.index]!, [...words]);
  }

  /** Serves the units' interrupts. Call it after whatever may have raised one. */
  *interrupt(): Op<void> {
    for (const u of this.units) {
      const { irq } = u.iommu;
      // Before boot nobody has asked for them.
      if (!this.state.booted) irq.fault = irq.prq = false;
      if (irq.fault) yield* handleFaults(this.kernel, u.index);
      if (irq.prq) yield* handlePageRequests(this.kernel, u.index);
      irq.inv = false;
    }
  }

  /** What the scene shows of the guest. */
  views(): GuestViews {
    return viewsOf(this);
  }

  save(): unknown {
    const enables: Enables = this.pci.map((d) => [d.atsEnabled, d.priEnabled, d.pasidEnabled]);
    return { guest: structuredClone(this.state), linux: saveKernel(this.kernel), enables };
  }

  load(saved: unknown): void {
    const s = saved as { guest: GuestState; linux: unknown; enables: Enables };
    this.state = structuredClone(s.guest);
    loadKernel(this.kernel, s.linux);
    for (const [i, [ats, pri, pasid]] of s.enables.entries())
      Object.assign(this.pci[i]!, { atsEnabled: ats, priEnabled: pri, pasidEnabled: pasid });
  }
}

const gaveUp = (why: string): OpResult => ({
  ok: false,
  errno: 'ENXIO',
  text: `the guest's IOMMU driver gives up: ${why}`,
});

/** A unit whose status register does not follow makes Linux panic; the result is what it says then. */
function* panics<T>(op: Op<T>): Op<T | string> {
  try {
    return yield* op;
  } catch (e) {
    if (e instanceof Error && e.message.includes('malfunctioning')) return e.message;
    throw e;
  }
}

const pciView = (d: GuestDevice): LinuxPciDevice => ({
  name: d.name,
  rid: d.vrid,
  // What config space shows may change with the VMM: it is read when the device is probed.
  get pasidBits() {
    return d.pasidBits;
  },
  atsCapable: d.atsCapable,
  priCapable: d.priCapable ?? false,
  atsEnabled: false,
  priEnabled: false,
  pasidEnabled: false,
});

const linuxUnit = (u: Unit): Parameters<typeof createKernel>[0]['units'][number] => ({
  name: u.name,
  port: {
    readRegister: (name) => u.iommu.readVirtual(name),
    writeRegister: (name, value) => u.iommu.writeVirtual(name, value),
    irq: u.iommu.irq,
  },
  ids: {
    driver: u.ids.iq,
    unit: u.ids.viommu,
    queue: u.ids.iq,
    prq: u.ids.prq,
    frcd: u.ids.frcd,
    root: u.ids.root,
    context: u.ids.context,
    pasid: u.ids.pasid,
  },
});
