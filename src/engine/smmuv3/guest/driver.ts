import {
  type Address,
  type FlushMode,
  flushDomains,
  type GuestKernelParts,
  mapMemory,
  type Perm,
  refused,
  unmapMemory,
  withMemory,
} from '../../guest/index.ts';
import type { Injector, Op, OpResult } from '../../machine/index.ts';
import type { Bus, PageAllocator } from '../../memory/index.ts';
import type { Granule } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import { attach, attachPasid, detach, remove } from './attach-operations.ts';
import type { Command } from './commands.ts';
import { guestRulesWith } from './deviations.ts';
import { interrupt } from './events.ts';
import { unitIds } from './ids.ts';
import { begin, find, result } from './lookup.ts';
import { bindProcess, exitProcess, spacesOf, unbindProcess } from './memory-operations.ts';
import { probe } from './probe.ts';
import { deliver, submit } from './queue.ts';
import { resetDone, resetPrepare } from './reset.ts';
import type { GuestRules } from './rules.ts';
import {
  freshState,
  freshUnit,
  type GuestCpu,
  type GuestDevice,
  type GuestState,
  type Kernel,
  type Unit,
  type UnitState,
  type VirtualSmmu,
} from './state.ts';
import { addMaster } from './stream-table.ts';
import { type GuestViews, viewsOf } from './views.ts';

/** A vSMMU of the guest and the devices that firmware describes behind it. */
export interface GuestUnit {
  readonly name: string;
  readonly smmu: VirtualSmmu;
  /** Names of devices. */
  readonly devices: readonly string[];
}

export interface GuestParts extends GuestKernelParts<GuestDevice> {
  /** The only vSMMU, when there are no `units`. */
  readonly smmu?: VirtualSmmu;
  readonly units?: readonly GuestUnit[];
  /** PAGE_SIZE of the guest's kernel, 4 KiB without it. */
  readonly page?: Granule;
  /** The guest's CPUs, as wide as its SMMUs without it. */
  readonly cpu?: GuestCpu;
}

/**
 * The Linux of one guest: the arm-smmu-v3 driver with an instance for each vSMMU, the IOMMU core, the DMA layer and the
 * memory of processes above it. Tables, queues and descriptors lie in guest memory; registers are reached through the VMM.
 * Source: arm-smmuv3.md 7.
 */
export class GuestDriver implements Kernel {
  readonly memory: Bus;
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: GuestRules;
  readonly cpu: GuestCpu | null;
  readonly page: Granule;
  readonly scope: string;
  readonly units: readonly Unit[];
  state: GuestState;
  readonly present: (name: string) => boolean;

  /** @throws Error when `deviations` names a `guest.` rule that does not exist */
  constructor(p: GuestParts) {
    this.memory = p.memory;
    this.pages = p.pages;
    this.present = p.present ?? (() => true);
    this.trace = p.trace;
    this.injector = p.injector;
    this.rules = guestRulesWith(p.deviations ?? []);
    this.cpu = p.cpu ?? null;
    this.page = p.page ?? 4096;
    this.scope = p.scope ?? '';
    const units = p.units ?? [{ name: '', smmu: p.smmu!, devices: p.devices.map((d) => d.name) }];
    this.state = freshState(units.map((u) => u.name));
    this.units = units.map((u, i) => unitOf(this, i, u, units.length > 1 ? u.name : '', p.devices));
  }

  /** Probe of each vSMMU, then of every device that is plugged in; each starts with an abort STE. */
  boot(): Op<OpResult> {
    return withMemory(this.bootNow());
  }

  private *bootNow(): Op<OpResult> {
    if (this.state.booted) return refused('the guest has booted already');
    begin(this);
    const failures: string[] = [];
    for (const u of this.units) {
      const error = yield* probe(u);
      if (error === '') continue;
      this.state.units[u.index] = freshUnit(u.name);
      failures.push(`the guest's SMMU driver gives up${u.name ? ` on ${u.name}` : ''}: ${error}`);
    }
    if (failures.length > 0 && failures.length === this.units.length)
      return { ok: false, errno: 'ENXIO', text: failures.join('; ') };
    for (const u of this.units)
      if (u.state.strtab) for (const d of u.devices) if (this.present(d.name)) yield* addMaster(u, d);
    this.state.booted = true;
    const n = this.state.units.reduce((sum, u) => sum + u.masters.length, 0);
    const text = `the guest has booted: ${n} device${n === 1 ? '' : 's'} behind its SMMU${this.units.length > 1 ? 's' : ''}`;
    return failures.length
      ? { ok: false, errno: 'ENXIO', text: `${text}; ${failures.join('; ')}` }
      : result(this, text);
  }

  /**
   * Moves a device to a domain: `bypass`, `blocked`, or the name of a DMA domain, made at its first use. With `pasid` only what
   * that PASID reaches, which must be a DMA domain.
   * `cdTable` names another device whose CD table this one shall use (Linux never does so); changes of a shared CD reach all.
   */
  attach(o: { device: string; domain: string; pasid?: number; cdTable?: string }): Op<OpResult> {
    return withMemory(o.pasid === undefined ? attach(this, o) : attachPasid(this, { ...o, pasid: o.pasid }));
  }

  /** Takes a device off its domain: it ends up blocked. With `pasid` only that PASID. */
  detach(o: { device: string; pasid?: number }): Op<OpResult> {
    return detach(this, o);
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
    return unbindProcess(this, o);
  }

  /** The process ends, whether or not devices are bound to it. */
  exit(o: { process: string }): Op<OpResult> {
    return exitProcess(this, o);
  }

  /** The device is about to be unplugged (iommu_release_device): blocked, then forgotten. Call it before the VMM takes it. */
  remove(o: { device: string }): Op<OpResult> {
    return remove(this, o);
  }

  /** A reset of the function is about to begin: a device with ATS is blocked, its domains are kept. */
  *resetPrepare(o: { device: string }): Op<OpResult> {
    const found = find(this, o.device);
    if (!found) return refused(`the guest knows no device ${o.device}`);
    begin(this);
    yield* resetPrepare(found.u, found.m);
    return result(this, found.m.resetDepth > 0 ? `${o.device} is blocked for its reset` : `${o.device} may be reset`);
  }

  /** The reset is over: the domains come back. */
  *resetDone(o: { device: string }): Op<OpResult> {
    const found = find(this, o.device);
    if (!found) return refused(`the guest knows no device ${o.device}`);
    begin(this);
    yield* resetDone(found.u, found.m);
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

  /** Empties the flush queue of one domain, or of all that have something in it. */
  flush(o: { domain?: string } = {}): Op<OpResult> {
    return flushDomains(spacesOf(this), o);
  }

  /** One raw command and a CMD_SYNC on the guest's own queue. @param unit name of a vSMMU, the first without it */
  *invalidate(words: Command, unit?: string): Op<OpResult> {
    const u = unit === undefined ? this.units[0] : this.units.find((x) => x.name === unit);
    if (!u) return refused(`the guest has no SMMU ${unit}`);
    if (!u.state.cmdq) return refused('the guest has no command queue before it boots');
    begin(this);
    yield* submit(u, [[words[0] ?? 0n, words[1] ?? 0n]]);
    return result(this, 'command sent');
  }

  /** A held-back message of the injection point `guest.command` arrives. @param at scene id of the queue, the first without it */
  *deliver(words: Command, at?: string): Op<void> {
    const u = this.units.find((x) => x.ids.cmdq === at) ?? this.units[0];
    if (u) yield* deliver(u, words);
  }

  /** Serves the vSMMUs' interrupt lines. Call it after whatever may have raised one. */
  *interrupt(): Op<void> {
    for (const u of this.units) yield* interrupt(u);
  }

  /** What the scene shows of the guest. */
  views(): GuestViews {
    return viewsOf(this);
  }

  save(): unknown {
    return structuredClone(this.state);
  }

  load(s: unknown): void {
    this.state = structuredClone(s) as GuestState;
  }
}

function unitOf(k: GuestDriver, index: number, u: GuestUnit, scope: string, all: readonly GuestDevice[]): Unit {
  return {
    name: u.name,
    index,
    ids: unitIds(k.scope, scope),
    smmu: u.smmu,
    devices: all.filter((d) => u.devices.includes(d.name)),
    kernel: k,
    get state(): UnitState {
      return k.state.units[index]!;
    },
  };
}
