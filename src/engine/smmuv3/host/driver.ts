import { bytesToWords, fieldOf, getField } from '../../bits/index.ts';
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
import type { Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import { steLayout } from '../layout/index.ts';
import { attachBlocked, attachDomain, attachIdentity } from './attach.ts';
import { allocPaging, freeDomain, mapDomain, readDirty, restoreTables, unmapDomain } from './domains.ts';
import { readEntry } from './entry.ts';
import { drainEvents } from './events.ts';
import { handleGlobalError } from './gerror.ts';
import { pageResponse } from './iopf.ts';
import { allocNested, invalidateCommands } from './nested.ts';
import { clearPasid, setPasid } from './pasid.ts';
import { drainPageRequests } from './priq.ts';
import { probeDevices, probeSmmu } from './probe.ts';
import { forgetDuringReset, resetDone, resetPrepare } from './reset.ts';
import { type HostRules, hostRules } from './rules.ts';
import {
  BLOCKED,
  createHost,
  featuresOf,
  type Host,
  type HostOptions,
  type HostState,
  IDENTITY,
  type Master,
  masterOf,
} from './state.ts';
import { atsSupported } from './transition.ts';
import { vsteConfig } from './vste.ts';

const HW_INFO_ARM_SMMUV3 = 2;
const VIOMMU_TYPE_ARM_SMMUV3 = 1;
/** Numbers of IOMMU groups that a unit has for its devices. */
const GROUPS = 2 ** 16;

/** MSI doorbells of the host appear here in every address space that the kernel maps for a device. */
const swMsi: ReservedRegion = { start: 0x08000000n, last: 0x080fffffn, type: 'sw_msi' };

export interface HostDriverOptions extends Omit<HostOptions, 'rules'> {
  /** See `hostRulesWith`. */
  readonly rules?: HostRules;
  /** Where a device is before a VMM takes it and after it gives it back. */
  readonly defaultDomain?: 'blocked' | 'identity';
}

/**
 * The host's arm-smmu-v3 driver for one SMMU, nesting included. iommufd reaches it as an `IommuDriver`; hardware interrupts
 * come in through `interrupt`.
 */
export class HostDriver implements IommuDriver {
  readonly name = 'arm-smmu-v3';
  private readonly host: Host;
  private readonly defaultDomain: 'blocked' | 'identity';

  constructor(o: HostDriverOptions) {
    this.defaultDomain = o.defaultDomain ?? 'blocked';
    this.host = createHost({ ...o, rules: o.rules ?? hostRules });
  }

  connect(upcalls: DriverUpcalls): void {
    this.host.upcalls = upcalls;
  }

  /** Brings the SMMU up and gives every device its STE. @returns false when the kernel refuses this SMMU */
  *probe(): Op<boolean> {
    if (!(yield* probeSmmu(this.host))) return false;
    yield* probeDevices(this.host);
    for (const m of this.host.state.masters) yield* this.release(m.name);
    return true;
  }

  /** Serves the interrupts that are pending: global errors, then events, then page requests. */
  *interrupt(): Op<void> {
    const { irq } = this.host.smmu;
    // Without a driver nobody listens: a document may have set the registers up by itself.
    if (!this.host.state.features) return;
    if (irq.gerror) yield* handleGlobalError(this.host);
    if (irq.evtq) yield* drainEvents(this.host);
    while (irq.priq) yield* drainPageRequests(this.host);
  }

  device(name: string): DriverDevice | undefined {
    const h = this.host;
    const m = h.state.masters.find((x) => x.name === name);
    if (!m) return undefined;
    return {
      name,
      group: h.unit * GROUPS + h.devices.findIndex((d) => d.name === name),
      iommu: h.unit,
      maxPasidLog2: m.ssidBits,
      atsSupported: atsSupported(h, m),
      dirtyTracking: featuresOf(h).dirty && featuresOf(h).coherent,
      reserved: [swMsi],
    };
  }

  /** Every function is a group of its own here (ACS throughout). */
  groupDevices(group: number): readonly string[] {
    const d = this.host.devices[group - this.host.unit * GROUPS];
    return d ? [d.name] : [];
  }

  /** arm_smmu_hw_info: the ID registers as they are. */
  hwInfo(_device: string, type: number): Result<HwInfo> {
    if (type !== 0 && type !== HW_INFO_ARM_SMMUV3) return fail('EOPNOTSUPP');
    const regs = ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5', 'IIDR', 'AIDR'];
    const data = new Uint8Array(40);
    const view = new DataView(data.buffer);
    regs.forEach((r, i) => {
      view.setUint32(8 + i * 4, Number(this.host.smmu.readRegister(r)), true);
    });
    return ok({ type: HW_INFO_ARM_SMMUV3, data });
  }

  *block(device: string): Op<void> {
    if (forgetDuringReset(this.host, device, 0, BLOCKED)) return;
    yield* attachBlocked(this.host, masterOf(this.host, device));
  }

  *release(device: string): Op<void> {
    const m = masterOf(this.host, device);
    const identity = this.defaultDomain === 'identity';
    if (forgetDuringReset(this.host, device, 0, identity ? IDENTITY : BLOCKED)) return;
    yield* identity ? attachIdentity(this.host, m) : attachBlocked(this.host, m);
  }

  attach(device: string, domain: DomainHandle): Op<Errno> {
    return attachDomain(this.host, device, domain);
  }

  attachPasid(device: string, pasid: number, domain: DomainHandle): Op<Errno> {
    return setPasid(this.host, device, pasid, domain);
  }

  *detachPasid(device: string, pasid: number): Op<void> {
    if (forgetDuringReset(this.host, device, pasid, BLOCKED)) return;
    yield* clearPasid(this.host, device, pasid);
  }

  /** A nested domain has no set_dev_pasid: the guest's CD table has its PASIDs. */
  pasidCapable(domain: DomainHandle): boolean {
    return !this.host.state.nested.has(domain);
  }

  handleFaults(domain: DomainHandle): void {
    const d = this.host.state.nested.get(domain) ?? this.host.state.paging.get(domain);
    d!.faults = true;
  }

  pageResponse(device: string, request: PageRequest, code: PageResponse): Op<void> {
    return pageResponse(this.host, masterOf(this.host, device), request, code);
  }

  resetPrepare(device: string): Op<Errno> {
    return resetPrepare(this.host, device);
  }

  resetDone(device: string): Op<void> {
    return resetDone(this.host, device);
  }

  resetting(device: string): boolean {
    return masterOf(this.host, device).reset !== null;
  }

  sceneId(): string {
    return this.host.ids.driver;
  }

  allocPaging(_device: string, flags: number, data: UserData | null): Result<DomainInfo> {
    return allocPaging(this.host, flags, data);
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
    return this.host.state.paging.get(domain)?.dirty ?? false;
  }

  readDirty(
    domain: DomainHandle,
    stretches: readonly Dirty[],
    clear: boolean,
  ): Op<{ errno: Errno; dirty: readonly Dirty[] }> {
    return readDirty(this.host, domain, stretches, clear);
  }

  /** arm_smmu_get_viommu_size. Devices here never write around the caches (CANWBS), which nesting asks for. */
  viommuSupported(_device: string, type: number): boolean {
    return featuresOf(this.host).nesting && type === VIOMMU_TYPE_ARM_SMMUV3;
  }

  /** arm_vsmmu_init: the parent lives on this SMMU, the VMID is the parent's. */
  viommuInit(viommu: number, _type: number, _device: string, parent: DomainHandle): Errno {
    const domain = this.host.state.paging.get(parent);
    if (!domain) return 'EINVAL';
    this.host.state.vsmmus.set(viommu, { key: viommu, parent, vmid: domain.tag });
    return '0';
  }

  viommuDestroy(viommu: number): void {
    this.host.state.vsmmus.delete(viommu);
  }

  viommuAllocNested(viommu: number, flags: number, data: UserData): Result<DomainInfo> {
    const r = allocNested(this.host, this.host.state.vsmmus.get(viommu)!, flags, data);
    if (r.errno !== '0') return r;
    return ok({ handle: r.value, minPageSize: 0, aperture: { start: 0n, last: 0n } });
  }

  viommuInvalidate(viommu: number, array: UserArray): Op<{ errno: Errno; done: number }> {
    return invalidateCommands(this.host, this.host.state.vsmmus.get(viommu)!, array);
  }

  /** struct iommu_vevent_arm_smmuv3 */
  eventFields(_type: number, data: Uint8Array): Readonly<Record<string, unknown>> {
    return { evt: bytesToWords(data) };
  }

  domainLines(domain: DomainHandle): readonly string[] {
    const n = this.host.state.nested.get(domain);
    if (n) {
      if (!(n.ste[0] & 1n)) return ['invalid vSTE', 'aborts'];
      const what = { 0: 'abort', 4: 'bypass', 5: 'stage 1 translates' }[vsteConfig(n.ste)] ?? '';
      const pointer = getField(fieldOf(steLayout, 'S1ContextPtr'), n.ste);
      return vsteConfig(n.ste) === 5 ? [what, `CD table at IPA 0x${pointer.toString(16)}`] : [what];
    }
    const d = this.host.state.paging.get(domain)!;
    const tag = d.stage === 1 ? `asid ${d.tag}` : `vmid ${d.tag}`;
    return [d.nestParent ? 'stage 2, nest parent' : `stage ${d.stage}`, tag];
  }

  viommuLines(viommu: number): readonly string[] {
    return ['ARM_SMMUV3', `vmid ${this.host.state.vsmmus.get(viommu)!.vmid}`];
  }

  /** The physical STE of a device and where it lies. */
  ste(device: string): { readonly sid: number; readonly address: number; readonly words: readonly bigint[] } {
    const m = masterOf(this.host, device);
    return { sid: m.sid, address: m.steAddress, words: readEntry(this.host.memory, m.steAddress) };
  }

  /** The driver's books, for the scene: devices, domains, queues, tables, kernel log. Read only. */
  get state(): Readonly<HostState> {
    return this.host.state;
  }

  masters(): readonly Readonly<Master>[] {
    return this.host.state.masters;
  }

  /** The page table of a paging domain. */
  table(domain: DomainHandle): Vmsav8Table | undefined {
    return this.host.tables.get(domain);
  }

  save(): unknown {
    return structuredClone(this.host.state);
  }

  load(s: unknown): void {
    const h = this.host;
    h.state = structuredClone(s) as HostState;
    restoreTables(h);
  }
}
