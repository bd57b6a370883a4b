import type { Errno, PageRequest } from '../../iommufd/index.ts';
import type { Injector, InjectPoint, Op } from '../../machine/index.ts';
import type { Bus, PageAllocator } from '../../memory/index.ts';
import type { Trace } from '../../trace/index.ts';
import type { Capabilities } from './capabilities.ts';
import type { DeviceInfo } from './device-info.ts';
import { type Domain, staticDomains } from './domain.ts';
import type { LinuxRules } from './rules.ts';

/**
 * One Linux kernel with the Intel IOMMU driver: the host's, or a guest's. The code is the same for both; what differs
 * comes in with the options. Tables, queues and status words lie on the bus; the state keeps addresses and bookkeeping.
 */

/** A remapping unit as the kernel reaches it: registers (offsets by their names) and the interrupts it has raised. */
export interface VtdPort {
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): Op<void>;
  /** Set by hardware, cleared by the kernel's handlers. */
  readonly irq: { fault: boolean; prq: boolean; inv: boolean };
}

/** What the kernel sees of a PCI function. The three enable bits are written by the kernel alone. */
export interface LinuxPciDevice {
  readonly name: string;
  /** Requester id in this kernel's view, 16 bits. */
  readonly rid: number;
  /** log2 of its PASIDs, 0: no PASID capability. */
  readonly pasidBits: number;
  readonly atsCapable: boolean;
  readonly priCapable: boolean;
  atsEnabled: boolean;
  priEnabled: boolean;
  pasidEnabled: boolean;
  /** Invalidate Queue Depth of the ATS capability, 1..32; 32 when left out. */
  readonly atsQueueDepth?: number;
  /** RID of its physical function; its own when left out. Used where ECAP.DIT is set. */
  readonly pfsid?: number;
  /** False: it does not answer on the bus (pci_device_is_present). Absent: it does. */
  readonly present?: boolean;
}

/** Scene objects of one unit in this kernel's band. */
export interface LinuxIds {
  /** Log lines. */
  readonly driver: string;
  /** The unit that registers belong to, where a write goes: `hw.unit`, `vmm.viommu`. */
  readonly unit: string;
  readonly queue: string;
  readonly prq: string;
  readonly frcd: string;
  readonly root: string;
  context(rid: number): string;
  pasid(rid: number, pasid: number): string;
}

/** Queue of 256 descriptors (struct q_inval). */
export interface InvalidationQueue {
  readonly base: number;
  /** 32-bit status words, one a slot. */
  readonly status: number;
  /** log2 of a slot's bytes: 5 with 256-bit descriptors, else 4. */
  readonly shift: number;
  freeHead: number;
  freeTail: number;
  freeCount: number;
}

export interface UnitState {
  caps: Capabilities | null;
  queue: InvalidationQueue | null;
  /** Root table; 0 before there is one. */
  root: number;
  /** Sticky bits of GCMD (iommu->gcmd). */
  gcmd: number;
  /** Page request queue, 64 KiB; 0: none. */
  prq: number;
  /** prq_seq_number */
  prqSequence: number;
  /** DIDs in use beyond the reserved ones (domain_ida). */
  dids: number[];
  /** A submission that never completed: the CPU that sent it spins for ever. */
  stuck: boolean;
}

/** One unit (struct intel_iommu). */
export interface IntelIommu {
  readonly index: number;
  /** `dmar0` */
  readonly name: string;
  readonly port: VtdPort;
  readonly ids: LinuxIds;
}

export interface KernelState {
  units: UnitState[];
  devices: DeviceInfo[];
  domains: Map<number, Domain>;
  nextDomain: number;
  /** Devices that are gone, for tags that outlived them. */
  gone: { readonly name: string; readonly sid: number; readonly pfsid: number; readonly atsQdep: number }[];
  /** Kernel log, the last lines. */
  log: string[];
}

/** What the owner of the kernel (host driver, guest driver) does when the core calls upwards. */
export interface LinuxHooks {
  /**
   * domain->iopf_handler: a whole group of page requests for the domain that the device has under a PASID, 0 for its RID. The
   * answer comes by `respond`, at once or later. Anything but '0' aborts the group, which the core answers itself.
   */
  reportFault?(device: string, attachedAs: number, requests: readonly PageRequest[]): Op<Errno>;
  /** A fault record has been printed; `words` as FRCD has them. */
  faultLogged?(unit: number, words: readonly [bigint, bigint]): void;
}

export interface Kernel {
  /** Who acts in trace events and pauses. */
  readonly actor: 'driver' | 'guest';
  readonly space: 'host' | 'guest';
  readonly bus: Bus;
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly injectPoint: InjectPoint;
  readonly rules: LinuxRules;
  readonly units: readonly IntelIommu[];
  readonly pci: ReadonlyMap<string, LinuxPciDevice>;
  /** The CPU, whose page tables SVA walks. */
  readonly cpu: { readonly pages1g: boolean; readonly levels: 4 | 5 };
  /** Unit in front of each device, by name. */
  readonly unitOf: ReadonlyMap<string, number>;
  /** The owner may set these after creation. */
  hooks: LinuxHooks;
  /** Receives ftrace lines of trace system intel_iommu without their prefix: `qi_submit: p_iotlb_inv dmar0: ...`. */
  tracepoints: ((line: string) => void) | null;
  state: KernelState;
}

export interface KernelOptions {
  readonly actor: 'driver' | 'guest';
  readonly bus: Bus;
  /** Pages for tables and queues, in the bus's addresses. */
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  /** See `linuxRules` and `linuxRulesWith`. */
  readonly rules: LinuxRules;
  readonly units: readonly { readonly name: string; readonly port: VtdPort; readonly ids: LinuxIds }[];
  readonly devices: readonly { readonly pci: LinuxPciDevice; readonly unit: number }[];
  readonly hooks?: LinuxHooks;
  /** 1 GiB pages and 4 levels when left out. */
  readonly cpu?: { readonly pages1g: boolean; readonly levels: 4 | 5 };
}

/** A kernel before boot: nothing is in memory yet, no device is probed. */
export function createKernel(o: KernelOptions): Kernel {
  const host = o.actor === 'driver';
  return {
    actor: o.actor,
    space: host ? 'host' : 'guest',
    bus: o.bus,
    pages: o.pages,
    trace: o.trace,
    injector: o.injector,
    injectPoint: host ? 'host.command' : 'guest.command',
    rules: o.rules,
    units: o.units.map((u, index) => ({ index, ...u })),
    pci: new Map(o.devices.map((d) => [d.pci.name, d.pci])),
    unitOf: new Map(o.devices.map((d) => [d.pci.name, d.unit])),
    cpu: o.cpu ?? { pages1g: true, levels: 4 },
    hooks: o.hooks ?? {},
    tracepoints: null,
    state: {
      units: o.units.map(newUnitState),
      devices: [],
      domains: new Map(staticDomains().map((d) => [d.handle, d])),
      nextDomain: 1,
      gone: [],
      log: [],
    },
  };
}

const newUnitState = (): UnitState => ({
  caps: null,
  queue: null,
  root: 0,
  gcmd: 0,
  prq: 0,
  prqSequence: 0,
  dids: [],
  stuck: false,
});

/** Everything that the kernel keeps outside the bus's memory and the page allocator. */
export const saveKernel = (k: Kernel): unknown => structuredClone(k.state);

export function loadKernel(k: Kernel, saved: unknown): void {
  k.state = structuredClone(saved) as KernelState;
}

/** Capabilities of a unit. @throws Error before `startUnits`: nothing uses the unit then */
export function capsOf(k: Kernel, unit: number): Capabilities {
  const { caps } = k.state.units[unit]!;
  if (!caps) throw new Error(`${k.units[unit]!.name} is not initialized`);
  return caps;
}

const LOG_LINES = 200;

/** A line of the kernel log; `at` is the scene object that it speaks of. */
export function log(k: Kernel, at: string, text: string): void {
  k.state.log.push(text);
  if (k.state.log.length > LOG_LINES) k.state.log.shift();
  const who = k.space === 'host' ? 'kernel log' : 'guest kernel log';
  k.trace.listener?.({ kind: 'note', actor: k.actor, at, text: `${who}: ${text}` });
}

/** A line of trace system intel_iommu (trace.h). The ones that no other event shows are notes of the trace too. */
export function tracepoint(k: Kernel, at: string, event: string, text: string): void {
  k.tracepoints?.(`${event}: ${text}`);
  if (event !== 'qi_submit') k.trace.listener?.({ kind: 'note', actor: k.actor, at, text: `${event}: ${text}` });
}
