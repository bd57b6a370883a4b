import { wordsToBytes } from '../../bits/index.ts';
import {
  type Dirty,
  type DomainHandle,
  type DomainInfo,
  type DriverDevice,
  type DriverUpcalls,
  type Errno,
  fail,
  type HwInfo,
  type IommuDriver,
  ok,
  type PageRequest,
  type PageResponse,
  type ReservedRegion,
  type Result,
  type Run,
  type UserArray,
  type UserData,
} from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { GenericTable } from '../../pagetable/generic-table.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  capsOf,
  createKernel,
  type DeviceInfo,
  detachPasid,
  deviceOf,
  domainOf,
  enableTranslation,
  finalizeDevice,
  handleFaults,
  handlePageRequests,
  IDENTITY,
  type KernelState,
  loadKernel,
  pageResponse,
  pasidEntry,
  probeDevice,
  resetDone,
  resetPrepare,
  saveKernel,
  setDirtyTracking,
  startUnits,
} from '../linux/index.ts';
import { dumpTables } from './debug.ts';
import { hostRulesWith } from './deviations.ts';
import { domainLines } from './domain-lines.ts';
import { allocPaging, freeDomain, mapDomain, readDirty, restoreTables, unmapDomain } from './domains.ts';
import { allocNested, invalidateNested } from './nested.ts';
import { traceNestedEntry } from './nested-entry.ts';
import type { HostRules } from './rules.ts';
import { type Host, type HostOptions, hostIds, type TableSpec } from './state.ts';

const HW_INFO_INTEL_VTD = 1;
/** IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17: always reported, whatever the silicon. */
const ERRATA_772415_SPR17 = 1n;

/** Interrupt messages of x86: never translated, and no IOVA of a guest may lie there. */
const msi: ReservedRegion = { start: 0xfee00000n, last: 0xfeefffffn, type: 'msi' };

export interface HostDriverOptions extends HostOptions {
  /** See `hostRulesWith`. */
  readonly rules?: HostRules;
  /** Where a device is before a VMM takes it and after it gives it back. */
  readonly defaultDomain?: 'blocked' | 'identity';
  /** CONFIG_DMAR_DEBUG: the tables are printed after each DMA fault. */
  readonly dmarDebug?: boolean;
}

interface HostSnapshot {
  readonly kernel: unknown;
  readonly specs: Map<number, TableSpec>;
}

/**
 * The host's intel-iommu driver for all units of the machine, nesting included: the driver core of a kernel, and its seam to
 * iommufd. Hardware interrupts come in through `interrupt`.
 */
export class HostDriver implements IommuDriver {
  readonly name = 'intel-iommu';
  private readonly host: Host;
  private readonly defaultDomain: 'blocked' | 'identity';

  constructor(o: HostDriverOptions) {
    const rules = o.rules ?? hostRulesWith([]);
    this.defaultDomain = o.defaultDomain ?? 'blocked';
    const { memory, pages, trace, devices } = o;
    const kernel = createKernel({
      actor: 'driver',
      bus: memory,
      pages,
      trace,
      injector: o.injector,
      rules: rules.linux,
      units: o.units.map((u) => ({ name: u.name, port: u.port, ids: hostIds(u.scope) })),
      devices,
      hooks: {
        // biome-ignore lint/correctness/useYield: iommufd takes a group at once
        reportFault: function* (this: void, device, attachedAs, requests) {
          return host.upcalls!.reportFault(device, attachedAs, requests);
        },
        ...(o.dmarDebug && { faultLogged: (unit, words) => dumpTables(kernel, unit, words) }),
      },
    });
    const host: Host = {
      kernel,
      memory,
      pages,
      trace,
      rules: rules.nesting,
      devices,
      tables: new Map(),
      specs: new Map(),
      upcalls: null,
    };
    this.host = host;
  }

  connect(upcalls: DriverUpcalls): void {
    this.host.upcalls = upcalls;
  }

  /** Brings the units up, then the devices, then translation. @returns false when the kernel refuses a unit */
  *probe(): Op<boolean> {
    const k = this.host.kernel;
    if (!(yield* startUnits(k))) return false;
    for (const { pci } of this.host.devices) {
      if ((yield* probeDevice(k, pci.name)) !== '0') continue;
      yield* this.release(pci.name);
      yield* finalizeDevice(k, pci.name);
    }
    yield* enableTranslation(k);
    return true;
  }

  /** Serves the interrupts that are pending on any unit: faults, then page requests. */
  *interrupt(): Op<void> {
    const k = this.host.kernel;
    for (const u of k.units) {
      // Without a driver nobody listens: a document may have set the registers up by itself.
      if (!k.state.units[u.index]!.caps) continue;
      if (u.port.irq.fault) yield* handleFaults(k, u.index);
      if (u.port.irq.prq) yield* handlePageRequests(k, u.index);
    }
  }

  private info(device: string): DeviceInfo {
    return deviceOf(this.host.kernel, device);
  }

  device(name: string): DriverDevice | undefined {
    const k = this.host.kernel;
    const d = k.state.devices.find((x) => x.name === name);
    if (!d) return undefined;
    const c = capsOf(k, d.unit);
    const pci = k.pci.get(name)!;
    return {
      name,
      group: this.host.devices.findIndex((x) => x.pci.name === name),
      // A domain may have devices behind several units, each with a DID of its own.
      iommu: 0,
      maxPasidLog2: d.pasidEnabled ? Math.min(pci.pasidBits, c.pasidBits) : 0,
      atsSupported: d.atsSupported,
      dirtyTracking: c.dirtyTracking,
      reserved: [msi],
    };
  }

  /** Every function is a group of its own here (ACS throughout). */
  groupDevices(group: number): readonly string[] {
    const d = this.host.devices[group];
    return d ? [d.pci.name] : [];
  }

  /** intel_iommu_hw_info: flags, then the capability registers as they are. */
  hwInfo(device: string, type: number): Result<HwInfo> {
    if (type !== 0 && type !== HW_INFO_INTEL_VTD) return fail('EOPNOTSUPP');
    const { cap, ecap } = capsOf(this.host.kernel, this.info(device).unit);
    return ok({ type: HW_INFO_INTEL_VTD, data: wordsToBytes([ERRATA_772415_SPR17, cap, ecap]) });
  }

  *block(device: string): Op<void> {
    yield* this.toStatic(device, BLOCKED);
  }

  *release(device: string): Op<void> {
    yield* this.toStatic(device, this.defaultDomain === 'identity' ? IDENTITY : BLOCKED);
  }

  private *toStatic(device: string, target: number): Op<void> {
    const d = this.info(device);
    // Detached during a reset: there is nothing to come back to.
    if (d.reset) d.reset.domain = target;
    else if (d.domain !== target) yield* attachDevice(this.host.kernel, d, domainOf(this.host.kernel, target));
  }

  *attach(device: string, domain: DomainHandle): Op<Errno> {
    const d = domainOf(this.host.kernel, domain);
    const errno = yield* attachDevice(this.host.kernel, this.info(device), d);
    if (errno === '0') traceNestedEntry(this.host, this.info(device), 0, d);
    return errno;
  }

  *attachPasid(device: string, pasid: number, domain: DomainHandle): Op<Errno> {
    const d = domainOf(this.host.kernel, domain);
    const errno = yield* attachPasid(this.host.kernel, this.info(device), pasid, d);
    if (errno === '0') traceNestedEntry(this.host, this.info(device), pasid, d);
    return errno;
  }

  *detachPasid(device: string, pasid: number): Op<void> {
    const d = this.info(device);
    if (d.reset) d.reset.pasids.delete(pasid);
    else yield* detachPasid(this.host.kernel, d, pasid);
  }

  /** Every kind of domain has set_dev_pasid. */
  pasidCapable(): boolean {
    return true;
  }

  handleFaults(domain: DomainHandle): void {
    domainOf(this.host.kernel, domain).faults = true;
  }

  pageResponse(device: string, request: PageRequest, code: PageResponse): Op<void> {
    return pageResponse(this.host.kernel, this.info(device), request, code);
  }

  resetPrepare(device: string): Op<Errno> {
    return resetPrepare(this.host.kernel, this.info(device));
  }

  resetDone(device: string): Op<void> {
    return resetDone(this.host.kernel, this.info(device));
  }

  resetting(device: string): boolean {
    return this.info(device).reset !== null;
  }

  /** Of the unit in front of a device; of the first without one. */
  sceneId(device?: string): string {
    const k = this.host.kernel;
    const d = device === undefined ? undefined : k.state.devices.find((x) => x.name === device);
    return k.units[d?.unit ?? 0]!.ids.driver;
  }

  allocPaging(device: string, flags: number, data: UserData | null): Result<DomainInfo> {
    return allocPaging(this.host, device, flags, data);
  }

  allocNestedOnParent(device: string, parent: DomainHandle, flags: number, data: UserData): Result<DomainInfo> {
    return allocNested(this.host, device, parent, flags, data);
  }

  freeDomain(domain: DomainHandle): void {
    freeDomain(this.host, domain);
  }

  map(domain: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno> {
    return mapDomain(this.host, domain, iova, runs, prot);
  }

  unmap(domain: DomainHandle, iova: number, size: number): Op<number> {
    return unmapDomain(this.host, domain, iova, size);
  }

  dirtyCapable(domain: DomainHandle): boolean {
    return domainOf(this.host.kernel, domain).dirtyOps;
  }

  setDirtyTracking(domain: DomainHandle, enable: boolean): Op<Errno> {
    return setDirtyTracking(this.host.kernel, domainOf(this.host.kernel, domain), enable);
  }

  readDirty(
    domain: DomainHandle,
    stretches: readonly Dirty[],
    clear: boolean,
  ): Op<{ errno: Errno; dirty: readonly Dirty[] }> {
    return readDirty(this.host, domain, stretches, clear);
  }

  nestedInvalidate(domain: DomainHandle, array: UserArray): Op<{ errno: Errno; done: number }> {
    return invalidateNested(this.host, domain, array);
  }

  /** Linux has no vIOMMU object for VT-d: the nested page table itself is invalidated, and has no events. */
  viommuSupported(): boolean {
    return false;
  }

  viommuInit(): Errno {
    return 'EOPNOTSUPP';
  }

  viommuDestroy(): void {}

  eventFields(): Readonly<Record<string, unknown>> {
    return {};
  }

  domainLines(domain: DomainHandle): readonly string[] {
    return domainLines(this.host.kernel, domainOf(this.host.kernel, domain));
  }

  viommuLines(): readonly string[] {
    return [];
  }

  /** The PASID entry of a device and where it lies; null while there is no table for that PASID. */
  pasidEntry(device: string, pasid: number): { readonly address: number; readonly words: readonly bigint[] } | null {
    const address = pasidEntry(this.host.kernel, this.info(device), pasid);
    if (address === null) return null;
    return { address, words: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => this.host.memory.readWord(address + i * 8)) };
  }

  /** The driver's books, for the scene: units, devices, domains with their DIDs and tags, kernel log. Read only. */
  get state(): Readonly<KernelState> {
    return this.host.kernel.state;
  }

  /** Every unit was brought up. */
  get probed(): boolean {
    return this.host.kernel.state.units.every((u) => u.caps !== null);
  }

  /** The kernel log, the last lines. */
  get log(): readonly string[] {
    return this.host.kernel.state.log;
  }

  /** The driver core, for addresses of tables in the scene. */
  get kernel(): Host['kernel'] {
    return this.host.kernel;
  }

  /** The page table of a paging domain. */
  table(domain: DomainHandle): GenericTable | undefined {
    return this.host.tables.get(domain);
  }

  save(): HostSnapshot {
    return { kernel: saveKernel(this.host.kernel), specs: structuredClone(this.host.specs) };
  }

  load(s: unknown): void {
    const { kernel, specs } = s as HostSnapshot;
    loadKernel(this.host.kernel, kernel);
    this.host.specs = structuredClone(specs);
    restoreTables(this.host);
  }
}
