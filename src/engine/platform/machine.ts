import type { IommuDriver, Iommufd } from '../iommufd/index.ts';
import type { GuestSpec, Injector, Op, OpResult, PlatformSpec, VirtualUnit } from '../machine/index.ts';
import { deviceId, scoped } from '../machine/index.ts';
import type { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../memory/index.ts';
import type { PageResponseCode, PciDevice } from '../pci/index.ts';
import type { Trace } from '../trace/index.ts';

/**
 * A machine as far as every vendor's is alike: units in front of devices, the host's driver for each, a VMM and a Linux for
 * each guest. A vendor's room makes the parts; what is here runs the operations of a document on them.
 */

/** What became of an access of a device. */
export interface Outcome {
  readonly ok: boolean;
  readonly pa: number;
  /** Why there is no access although nothing was recorded. */
  readonly why?: string;
  readonly fault?: { readonly name: string; readonly fields: Readonly<Record<string, bigint>> };
  readonly hit: string;
  readonly reads: number;
  /** It waits for software under this tag. */
  readonly stag?: number;
  /** It ended without an abort: reads give zero, writes are ignored. */
  readonly raz?: boolean;
}

/** Registers and requests of a physical IOMMU. */
export interface Hardware {
  /** Interrupts that wait for the driver, by name. */
  readonly irq: Readonly<Record<string, boolean>>;
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): Op<void>;
  dma(q: {
    readonly device: PciDevice;
    readonly pasid: number;
    readonly iova: bigint;
    readonly write: boolean;
    readonly translated: boolean;
  }): Op<Outcome>;
  ats(d: PciDevice, pasid: number, iova: bigint, write: boolean): Op<Outcome>;
  pri(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    access: { readonly read: boolean; readonly write: boolean },
    group: number,
    last: boolean,
  ): Op<{
    readonly sent: boolean;
    readonly text: string;
    readonly recorded: boolean;
    readonly response: { readonly code: PageResponseCode } | null;
  }>;
  /** What became of an access that waited; null while it does. Only where accesses can wait. */
  outcomeOf?(stag: number): Outcome | null;
  /** Messages that an injected fault held back arrive: a command, a record, an invalidation at a device. */
  executeLate(words: readonly bigint[]): void;
  deliverEvent(words: readonly bigint[]): void;
  deliverAtc(words: readonly bigint[]): void;
  save(): unknown;
  load(state: unknown): void;
}

/** One physical unit with the driver that the host kernel runs for it. */
export interface Unit {
  readonly name: string;
  /** Of its scene ids; empty while there is only one unit. */
  readonly scope: string;
  /** Scene object that has its registers. */
  readonly id: string;
  readonly iommu: Hardware;
  readonly driver: { sceneId(): string; interrupt(): Op<void> };
  readonly devices: readonly PciDevice[];
  /** The host's driver has brought it up. */
  readonly probed: () => boolean;
  /** The kernel's log of it. */
  readonly log: () => readonly string[];
}

/** File calls of one process. */
export type Files = Pick<Iommufd, 'ioctl' | 'openIommufd' | 'hasDevice' | 'openDevice' | 'read' | 'write' | 'close'>;

/** A virtual IOMMU as the guest reaches it. */
export interface VirtualIommu {
  readonly irq: Readonly<Record<string, boolean>>;
  readVirtual(reg: string): bigint;
  writeVirtual(reg: string, value: bigint): Op<void>;
}

/** The VMM of one guest. */
export interface GuestVmm {
  readonly units: readonly VirtualIommu[];
  readonly ids: { readonly devices: string; readonly kernelObject: (id: number) => string };
  start(): Op<OpResult>;
  plug(device: string): Op<OpResult>;
  unplug(device: string): Op<OpResult>;
  map(o: { gpa: number; size: number }): Op<OpResult>;
  unmap(o: { gpa: number; size: number }): Op<OpResult>;
  reset(): Op<OpResult>;
  deviceReset(device: string, kernelReset: () => Op<void>): Op<OpResult>;
  isPlugged(device: string): boolean;
  pollEvents(): Op<void>;
  deliver(words: bigint[], unit: VirtualIommu | undefined): Op<void>;
  save(): unknown;
  load(state: unknown): void;
}

interface MappingView {
  readonly iova: number;
  readonly size: number;
  readonly gpa: number;
  /** `r`, `w` or `rw`. */
  readonly perm: string;
}

/** What every vendor's guest shows of its kernel. */
export interface GuestViews {
  readonly units: readonly { readonly name: string }[];
  readonly devices: readonly {
    readonly name: string;
    readonly unit: string;
    readonly domain: string;
    readonly pasids: readonly { readonly pasid: number; readonly kind: 'domain' | 'process'; readonly name: string }[];
    readonly atsEnabled: boolean;
  }[];
  readonly domains: readonly {
    readonly name: string;
    readonly mappings: readonly MappingView[];
    readonly queued: number;
  }[];
  readonly processes: readonly {
    readonly name: string;
    /** 0 before the first bind. */
    readonly pasid: number;
    readonly exited: boolean;
    readonly areas: readonly MappingView[];
  }[];
}

/** The Linux of one guest. */
export interface GuestLinux {
  boot(): Op<OpResult>;
  attach(o: { device: string; domain: string; pasid?: number; cdTable?: string }): Op<OpResult>;
  detach(o: { device: string; pasid?: number }): Op<OpResult>;
  bind(o: { device: string; process: string; pasid?: number }): Op<OpResult>;
  unbind(o: { device: string; process: string }): Op<OpResult>;
  exit(o: { process: string }): Op<OpResult>;
  remove(o: { device: string }): Op<OpResult>;
  map(o: {
    domain: string;
    iova: number | bigint;
    gpa: number | bigint;
    size: number;
    perm?: 'r' | 'w' | 'rw';
    present?: boolean;
  }): Op<OpResult>;
  unmap(o: { domain: string; iova: number | bigint; size: number; flush?: 'strict' | 'queued' | 'none' }): Op<OpResult>;
  flush(o: { domain?: string }): Op<OpResult>;
  invalidate(words: readonly bigint[], unit?: string): Op<OpResult>;
  deliver(words: readonly bigint[], at?: string): Op<void>;
  interrupt(): Op<void>;
  resetPrepare(o: { device: string }): Op<OpResult>;
  resetDone(o: { device: string }): Op<OpResult>;
  views(): GuestViews;
  save(): unknown;
  load(state: unknown): void;
}

/** Scene ids of a virtual unit: the guest's queue of commands, and the VMM's end. */
export interface VirtualEnd {
  readonly name: string;
  readonly queue: string;
  readonly viommu: string;
}

/** One guest with its VMM and what the host kernel has of that process. */
export interface Guest {
  readonly name: string;
  readonly spec: GuestSpec;
  readonly scope: string;
  readonly process: ProcessMemory;
  readonly kernel: Files;
  readonly memory: GuestMemory;
  readonly pages: PageAllocator;
  readonly devices: readonly PciDevice[];
  readonly units: readonly VirtualUnit[];
  readonly vmm: GuestVmm;
  readonly linux: GuestLinux;
  /** In the order of `vmm.units`. */
  readonly ends: readonly VirtualEnd[];
}

/** The host's driver for all units. */
export interface Drivers extends IommuDriver {
  sceneId(device?: string): string;
  probe(): Op<boolean>;
  save(): unknown;
  load(state: unknown): void;
}

/** A machine, wired: who holds a reference to whom. */
export interface Machine<U extends Unit = Unit, G extends Guest = Guest, D extends Drivers = Drivers> {
  readonly spec: PlatformSpec;
  readonly memory: Memory;
  readonly hostPages: PageAllocator;
  readonly devices: readonly PciDevice[];
  readonly units: readonly U[];
  readonly drivers: D;
  readonly iommufd: Iommufd;
  readonly guests: readonly G[];
  readonly trace: Trace;
  readonly injector: Injector;
}

/** The guest that a document's operation names, the first without a name. */
export function guestNamed<G extends Guest>(p: { readonly guests: readonly G[] }, name: unknown): G {
  const g = name === undefined ? p.guests[0] : p.guests.find((x) => x.name === name);
  // The document's checks have refused every other name.
  if (!g) throw new Error(`no guest is named ${String(name)}`);
  return g;
}

export function unitNamed<U extends Unit>(p: { readonly units: readonly U[] }, name: unknown): U {
  const u = name === undefined ? p.units[0] : p.units.find((x) => x.name === name);
  if (!u) throw new Error(`no unit is named ${String(name)}`);
  return u;
}

export function deviceNamed(p: Machine, name: string): PciDevice {
  const d = p.devices.find((x) => x.name === name);
  if (!d) throw new Error(`no device is named ${name}`);
  return d;
}

export const unitOfDevice = <U extends Unit>(p: { readonly units: readonly U[] }, d: PciDevice): U =>
  p.units.find((u) => u.devices.includes(d))!;
export const guestOfDevice = <G extends Guest>(p: { readonly guests: readonly G[] }, d: PciDevice): G =>
  p.guests.find((g) => g.devices.includes(d))!;

/** The guest whose VMM or memory a scene object stands for, as its id says. */
export function guestAt<G extends Guest>(p: { readonly guests: readonly G[] }, id: string): G {
  const named = p.guests.find((g) => g.scope !== '' && /^(?:guest|vmm)\./.test(id) && id.split('.')[1] === g.scope);
  return named ?? p.guests[0]!;
}

/** The unit that a scene object of the hardware, or the device of that object, belongs to. */
export function unitAt(p: Machine, id: string): Unit {
  const device = p.devices.find((d) => id === deviceId(d));
  if (device) return unitOfDevice(p, device);
  return p.units.find((u) => u.scope !== '' && id.startsWith(scoped('hw', u.scope, ''))) ?? p.units[0]!;
}

/** True once the host's driver has brought the units up. */
export const isProbed = (p: Machine): boolean => p.units.some((u) => u.probed());
