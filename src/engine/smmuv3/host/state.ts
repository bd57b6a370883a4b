import type { DriverUpcalls, Iopf } from '../../iommufd/index.ts';
import { type Injector, type Op, scoped } from '../../machine/index.ts';
import { type Memory, PAGE_SIZE, PAGE_WORDS, type PageAllocator } from '../../memory/index.ts';
import type { TableConfig, Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import type { HostFeatures } from './features.ts';
import type { InvalidationEntry } from './invalidation-array.ts';
import type { HostRules } from './rules.ts';

/** The SMMU as the driver reaches it: registers and two interrupts. */
export interface SmmuPort {
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): Op<void>;
  /** Set by hardware, cleared by the driver's handlers. */
  readonly irq: { evtq: boolean; gerror: boolean; priq?: boolean };
}

/** What the driver needs of a PCI function. */
export interface HostPciDevice {
  readonly name: string;
  readonly rid: number;
  readonly pasidBits: number;
  readonly atsCapable: boolean;
  /** Enable bit of the ATS capability, which only the host kernel switches. */
  atsEnabled: boolean;
  /** Enable bit of the PASID capability. */
  pasidEnabled?: boolean;
  /** Firmware says that its transactions may wait for software (`dma-can-stall`). */
  readonly canStall?: boolean;
}

export interface Ring {
  readonly base: number;
  readonly log2: number;
  /** Positions with the wrap bit. */
  prod: number;
  cons: number;
}

/** The stream table: linear, or two-level with 256 STEs in each second-level table, made when a device needs it. */
export interface StreamTable {
  readonly base: number;
  readonly twoLevel: boolean;
  /** Entries of the first level, or STEs of a linear table. */
  readonly entries: number;
  readonly l2: { readonly index: number; readonly address: number }[];
}

/** A device's table of context descriptors, used only by the host's own stage-1 domains. */
export interface CdTable {
  readonly address: number;
  /** S1Fmt: 0 linear, 2 two-level with 64 KiB leaves. */
  readonly format: 0 | 2;
  readonly s1cdmax: number;
  /** Leaves of a two-level table. */
  readonly l2: { readonly index: number; readonly address: number }[];
}

/** struct arm_smmu_master: a device behind the SMMU. */
export interface Master {
  readonly name: string;
  readonly sid: number;
  readonly ssidBits: number;
  readonly steAddress: number;
  /** Its faults stall: CD.S or S2S are set and the host answers them. */
  readonly stallEnabled: boolean;
  /** Domain attached; `BLOCKED` and `IDENTITY` are the two static ones. */
  domain: number;
  /** Domain of each PASID in use, all of them stage 1. Its size is the kernel's used_ssids. */
  pasids: Map<number, number>;
  /** Page requests, while a domain with a fault handler is attached anywhere (struct iommu_fault_param). */
  iopf: Iopf | null;
  /** During a reset: what comes back after it. */
  reset: ResetState | null;
  /** ATS as the STE and the device have it. */
  atsEnabled: boolean;
  /** The virtual StreamID for events, captured when a nested domain is attached. */
  vmaster: { readonly viommu: number; readonly vsid: number } | null;
  cdTable: CdTable | null;
}

/** A device on the blocking domain, with nothing else. */
export const newMaster = (m: Pick<Master, 'name' | 'sid' | 'ssidBits' | 'steAddress' | 'stallEnabled'>): Master => ({
  ...m,
  domain: BLOCKED,
  pasids: new Map(),
  iopf: null,
  reset: null,
  atsEnabled: false,
  vmaster: null,
  cdTable: null,
});

export interface ResetState {
  /** Resets within one another. */
  depth: number;
  domain: number;
  readonly pasids: Map<number, number>;
}

export const BLOCKED = 0;
export const IDENTITY = -1;

/** A domain with a page table (struct arm_smmu_domain). */
export interface PagingDomain {
  readonly handle: number;
  readonly stage: 1 | 2;
  readonly nestParent: boolean;
  /** ASID of stage 1, VMID of stage 2. */
  readonly tag: number;
  readonly table: TableConfig;
  readonly root: number;
  /** Hardware marks what is written (HWPT_ALLOC DIRTY_TRACKING). */
  readonly dirty: boolean;
  /** It has a fault handler (domain->iopf_handler). */
  faults: boolean;
  invalidations: InvalidationEntry[];
}

/** A nested domain (struct arm_smmu_nested_domain): two words of the guest's STE on a stage-2 parent. */
export interface NestedDomain {
  readonly handle: number;
  readonly viommu: number;
  /** As accepted: EATS taken out, all zero for V=0. */
  readonly ste: readonly [bigint, bigint];
  readonly enableAts: boolean;
  faults: boolean;
}

export interface Vsmmu {
  readonly key: number;
  readonly parent: number;
  /** The parent's, copied at creation. */
  readonly vmid: number;
}

/** Everything that survives between two operations. */
export interface HostState {
  features: HostFeatures | null;
  /** Why probe failed, else ''. */
  error: string;
  strtab: StreamTable | null;
  cmdq: Ring | null;
  evtq: Ring | null;
  priq: Ring | null;
  masters: Master[];
  paging: Map<number, PagingDomain>;
  nested: Map<number, NestedDomain>;
  vsmmus: Map<number, Vsmmu>;
  vmids: number[];
  asids: number[];
  nextDomain: number;
  /** The kernel log, the last lines. */
  log: string[];
}

/** Scene objects that the driver speaks of. */
export interface SceneIds {
  readonly cmdq: string;
  readonly evtq: string;
  readonly priq: string;
  readonly strtab: string;
  readonly smmu: string;
  readonly driver: string;
}

const sceneIds = (scope: string): SceneIds => ({
  cmdq: scoped('hw', scope, 'cmdq'),
  evtq: scoped('hw', scope, 'evtq'),
  priq: scoped('hw', scope, 'priq'),
  strtab: scoped('hw', scope, 'strtab'),
  smmu: scoped('hw', scope, 'smmu'),
  driver: scoped('kernel', scope, 'driver'),
});

/** Domain handles of a unit start here: they are unique over all units. */
export const firstHandle = (unit: number): number => unit * 2 ** 20 + 1;
export const unitOfHandle = (handle: number): number => Math.floor(handle / 2 ** 20);

/** What the driver's functions work with. */
export interface Host {
  /** Number of the SMMU among those of the machine. */
  readonly unit: number;
  /** PAGE_SIZE of the kernel, which decides the granule of its tables. */
  readonly page: number;
  readonly ids: SceneIds;
  state: HostState;
  readonly smmu: SmmuPort;
  readonly memory: Memory;
  readonly pages: PageAllocator;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: HostRules;
  readonly devices: readonly HostPciDevice[];
  /** Page tables of the paging domains; only their root is state. */
  readonly tables: Map<number, Vmsav8Table>;
  upcalls: DriverUpcalls | null;
}

/** What a host driver is made of. */
export interface HostOptions {
  readonly smmu: SmmuPort;
  readonly memory: Memory;
  /** Host pages for tables and queues. */
  readonly pages: PageAllocator;
  readonly devices: readonly HostPciDevice[];
  readonly trace: Trace;
  readonly injector: Injector;
  /** See `hostRules` and `hostRulesWith`. */
  readonly rules: HostRules;
  /** Number of the SMMU, when there are several; the first is 0. */
  readonly unit?: number;
  /** Scope of the scene ids; empty for the only SMMU. */
  readonly scope?: string;
  /** Page size of the kernel in bytes, 4096 when left out. */
  readonly page?: number;
}

export function createHost(o: HostOptions): Host {
  const unit = o.unit ?? 0;
  const { scope = '', page = 4096 } = o;
  return { ...o, unit, page, ids: sceneIds(scope), state: newHostState(unit), tables: new Map(), upcalls: null };
}

function newHostState(unit: number): HostState {
  return {
    features: null,
    error: '',
    strtab: null,
    cmdq: null,
    evtq: null,
    priq: null,
    masters: [],
    paging: new Map(),
    nested: new Map(),
    vsmmus: new Map(),
    vmids: [],
    asids: [],
    nextDomain: firstHandle(unit),
    log: [],
  };
}

/** @throws Error before a successful probe: nothing calls the driver then */
export function featuresOf(h: Host): HostFeatures {
  if (!h.state.features) throw new Error(`the SMMU is not probed${h.state.error ? `: ${h.state.error}` : ''}`);
  return h.state.features;
}

export function masterOf(h: Host, name: string): Master {
  const m = h.state.masters.find((x) => x.name === name);
  if (!m) throw new Error(`no device ${name} behind the SMMU`);
  return m;
}

export function pciOf(h: Host, m: Master): HostPciDevice {
  return h.devices.find((d) => d.name === m.name)!;
}

/** The domain whose invalidations a device needs: itself, or a nested one's parent; null for the static ones. */
export function pagingDomainOf(h: Host, handle: number): PagingDomain | null {
  const nested = h.state.nested.get(handle);
  return h.state.paging.get(nested ? h.state.vsmmus.get(nested.viommu)!.parent : handle) ?? null;
}

/** Lowest free number from 1 to 2^bits - 1; null when all are taken (ENOSPC). */
export function allocateTag(taken: number[], bits: number): number | null {
  let n = 1;
  const set = new Set(taken);
  while (set.has(n)) n++;
  if (n >= 2 ** bits) return null;
  taken.push(n);
  return n;
}

const LOG_LINES = 200;

/** A line of the kernel log. `at` is the scene object that it speaks of. */
export function log(h: Host, at: string, text: string): void {
  h.state.log.push(text);
  if (h.state.log.length > LOG_LINES) h.state.log.shift();
  h.trace.listener?.({ kind: 'note', actor: 'driver', at, text: `kernel log: ${text}` });
}

/** Zeroed memory of the host (dma_alloc_coherent). */
export function allocateZeroed(h: Host, bytes: number): number {
  const at = h.pages.alloc(bytes);
  const { memory } = h;
  for (let a = at; a < at + bytes; a += PAGE_SIZE) {
    // Most pages were never written: those are the zero page, at index 0.
    if (memory.indexOf(Math.floor(a / 2 ** 32), a | 0) < PAGE_WORDS) continue;
    for (let i = 0; i < PAGE_SIZE; i += 4) memory.write32(a + i, 0);
  }
  return at;
}
