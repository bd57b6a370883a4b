import type {
  Dirty,
  DomainHandle,
  DomainInfo,
  DriverDevice,
  DriverUpcalls,
  Errno,
  HwInfo,
  IommuDriver,
  PageRequest,
  PageResponse,
  Result,
  Run,
  UserArray,
  UserData,
} from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { HostDriver } from './driver.ts';
import { unitOfHandle } from './state.ts';

/**
 * The driver for all SMMUs of a machine: each call goes to the unit that has the device, the domain or the vIOMMU. Units are
 * made with `unit` 0, 1, ... in the order of the list.
 */
export class HostDrivers implements IommuDriver {
  readonly name = 'arm-smmu-v3';
  readonly units: readonly HostDriver[];

  constructor(units: readonly HostDriver[]) {
    this.units = units;
  }

  connect(upcalls: DriverUpcalls): void {
    for (const u of this.units) u.connect(upcalls);
  }

  /** Brings up every unit. @returns false when the kernel refuses one of them */
  *probe(): Op<boolean> {
    let good = true;
    for (const u of this.units) good = (yield* u.probe()) && good;
    return good;
  }

  /** Serves the interrupts of all units, one after the other. */
  *interrupt(): Op<void> {
    for (const u of this.units) yield* u.interrupt();
  }

  /** The unit in front of a device. @throws Error for a device that none has */
  unitOf(device: string): HostDriver {
    const u = this.units.find((x) => x.device(device));
    if (!u) throw new Error(`no device ${device} behind an SMMU`);
    return u;
  }

  private ofDomain(domain: DomainHandle): HostDriver {
    return this.units[unitOfHandle(domain)]!;
  }

  private ofViommu(viommu: number): HostDriver {
    const u = this.units.find((x) => x.state.vsmmus.has(viommu));
    if (!u) throw new Error(`no vIOMMU ${viommu}`);
    return u;
  }

  sceneId(device?: string): string {
    const u = device === undefined ? undefined : this.units.find((x) => x.device(device));
    return (u ?? this.units[0]!).sceneId();
  }

  device(name: string): DriverDevice | undefined {
    for (const u of this.units) {
      const d = u.device(name);
      if (d) return d;
    }
    return undefined;
  }

  groupDevices(group: number): readonly string[] {
    for (const u of this.units) {
      const names = u.groupDevices(group);
      if (names.length) return names;
    }
    return [];
  }

  hwInfo(device: string, type: number): Result<HwInfo> {
    return this.unitOf(device).hwInfo(device, type);
  }

  block(device: string): Op<void> {
    return this.unitOf(device).block(device);
  }

  release(device: string): Op<void> {
    return this.unitOf(device).release(device);
  }

  /** A domain of another SMMU is incompatible. */
  *attach(device: string, domain: DomainHandle): Op<Errno> {
    const u = this.unitOf(device);
    return u === this.ofDomain(domain) ? yield* u.attach(device, domain) : 'EINVAL';
  }

  *attachPasid(device: string, pasid: number, domain: DomainHandle): Op<Errno> {
    const u = this.unitOf(device);
    return u === this.ofDomain(domain) ? yield* u.attachPasid(device, pasid, domain) : 'EINVAL';
  }

  detachPasid(device: string, pasid: number): Op<void> {
    return this.unitOf(device).detachPasid(device, pasid);
  }

  pasidCapable(domain: DomainHandle): boolean {
    return this.ofDomain(domain).pasidCapable(domain);
  }

  handleFaults(domain: DomainHandle): void {
    this.ofDomain(domain).handleFaults(domain);
  }

  pageResponse(device: string, request: PageRequest, code: PageResponse): Op<void> {
    return this.unitOf(device).pageResponse(device, request, code);
  }

  resetPrepare(device: string): Op<Errno> {
    return this.unitOf(device).resetPrepare(device);
  }

  resetDone(device: string): Op<void> {
    return this.unitOf(device).resetDone(device);
  }

  resetting(device: string): boolean {
    return this.unitOf(device).resetting(device);
  }

  allocPaging(device: string, flags: number, data: UserData | null): Result<DomainInfo> {
    return this.unitOf(device).allocPaging(device, flags, data);
  }

  freeDomain(domain: DomainHandle): void {
    this.ofDomain(domain).freeDomain(domain);
  }

  map(domain: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno> {
    return this.ofDomain(domain).map(domain, iova, runs, prot);
  }

  unmap(domain: DomainHandle, iova: number, size: number): Op<number> {
    return this.ofDomain(domain).unmap(domain, iova, size);
  }

  dirtyCapable(domain: DomainHandle): boolean {
    return this.ofDomain(domain).dirtyCapable(domain);
  }

  readDirty(
    domain: DomainHandle,
    stretches: readonly Dirty[],
    clear: boolean,
  ): Op<{ errno: Errno; dirty: readonly Dirty[] }> {
    return this.ofDomain(domain).readDirty(domain, stretches, clear);
  }

  viommuSupported(device: string, type: number): boolean {
    return this.unitOf(device).viommuSupported(device, type);
  }

  /** The parent may live on another SMMU than the device: EINVAL. */
  viommuInit(viommu: number, type: number, device: string, parent: DomainHandle): Errno {
    return this.unitOf(device).viommuInit(viommu, type, device, parent);
  }

  viommuDestroy(viommu: number): void {
    this.ofViommu(viommu).viommuDestroy(viommu);
  }

  viommuAllocNested(viommu: number, flags: number, data: UserData): Result<DomainInfo> {
    return this.ofViommu(viommu).viommuAllocNested(viommu, flags, data);
  }

  viommuInvalidate(viommu: number, array: UserArray): Op<{ errno: Errno; done: number }> {
    return this.ofViommu(viommu).viommuInvalidate(viommu, array);
  }

  eventFields(type: number, data: Uint8Array): Readonly<Record<string, unknown>> {
    return this.units[0]!.eventFields(type, data);
  }

  domainLines(domain: DomainHandle): readonly string[] {
    return this.ofDomain(domain).domainLines(domain);
  }

  viommuLines(viommu: number): readonly string[] {
    return this.ofViommu(viommu).viommuLines(viommu);
  }

  save(): unknown {
    return this.units.map((u) => u.save());
  }

  load(s: unknown): void {
    const saved = s as readonly unknown[];
    for (const [i, u] of this.units.entries()) u.load(saved[i]);
  }
}
