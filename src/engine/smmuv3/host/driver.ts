import { bytesToWords, fieldOf, getField } from '../../bits/index.ts';
import {
  type DomainHandle,
  type DomainInfo,
  type DriverDevice,
  type DriverUpcalls,
  type Errno,
  fail,
  type HwInfo,
  type IommuDriver,
  ok,
  type ReservedRegion,
  type Result,
  type Run,
  type UserArray,
  type UserData,
} from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { type TableConfig, type TableStep, Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import { steLayout } from '../layout/index.ts';
import { atsSupported, attachBlocked, attachDomain, attachIdentity } from './attach.ts';
import { readEntry } from './entry.ts';
import { drainEvents } from './events.ts';
import { invalidateRange } from './flush.ts';
import { handleGlobalError } from './gerror.ts';
import { allocNested, invalidateCommands } from './nested.ts';
import { probeDevices, probeSmmu } from './probe.ts';
import { type HostRules, hostRules } from './rules.ts';
import {
  allocateTag,
  createHost,
  featuresOf,
  type Host,
  type HostOptions,
  type HostState,
  type Master,
  masterOf,
  type PagingDomain,
} from './state.ts';
import { vsteConfig } from './vste.ts';

const HW_INFO_ARM_SMMUV3 = 2;
const VIOMMU_TYPE_ARM_SMMUV3 = 1;
const NEST_PARENT = 1;
const PASID = 8;

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

  /** Serves the interrupts that are pending: global errors, then events. */
  *interrupt(): Op<void> {
    const { irq } = this.host.smmu;
    // Without a driver nobody listens: a document may have set the registers up by itself.
    if (!this.host.state.features) return;
    if (irq.gerror) yield* handleGlobalError(this.host);
    while (irq.evtq) yield* drainEvents(this.host);
  }

  device(name: string): DriverDevice | undefined {
    const h = this.host;
    const m = h.state.masters.find((x) => x.name === name);
    if (!m) return undefined;
    return {
      name,
      group: h.devices.findIndex((d) => d.name === name),
      iommu: 0,
      maxPasidLog2: m.ssidBits,
      atsSupported: atsSupported(h, m),
      dirtyTracking: false,
      reserved: [swMsi],
    };
  }

  /** Every function is a group of its own here (ACS throughout). */
  groupDevices(group: number): readonly string[] {
    return [this.host.devices[group]!.name];
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
    yield* attachBlocked(this.host, masterOf(this.host, device));
  }

  *release(device: string): Op<void> {
    const m = masterOf(this.host, device);
    if (this.defaultDomain === 'identity') yield* attachIdentity(this.host, m);
    else yield* attachBlocked(this.host, m);
  }

  attach(device: string, domain: DomainHandle): Op<Errno> {
    return attachDomain(this.host, device, domain);
  }

  /** arm_smmu_domain_alloc_paging_flags: stage 1 unless a nesting parent is asked for, which is stage 2. */
  allocPaging(_device: string, flags: number, data: UserData | null): Result<DomainInfo> {
    const h = this.host;
    const f = featuresOf(h);
    if (flags & ~(NEST_PARENT | PASID) || data) return fail('EOPNOTSUPP');
    const nestParent = flags === NEST_PARENT;
    if (flags !== 0 && flags !== NEST_PARENT && flags !== PASID) return fail('EOPNOTSUPP');
    if (nestParent && !f.nesting) return fail('EOPNOTSUPP');
    if (flags === PASID && !f.stage1) return fail('EOPNOTSUPP');
    const stage = nestParent || !f.stage1 ? 2 : 1;
    const outputBits = Math.min(f.oas, 48);
    const cfg: TableConfig = {
      stage,
      inputBits: stage === 1 ? 48 : outputBits,
      outputBits,
      coherent: f.coherent,
      fwb: stage === 2 && f.s2fwb && nestParent,
    };
    const tags = stage === 1 ? h.state.asids : h.state.vmids;
    const tag = allocateTag(tags, stage === 1 ? f.asidBits : f.vmidBits);
    if (tag === null) return fail('ENOSPC');
    const table = makeTable(h, cfg);
    if (!table) {
      tags.splice(tags.indexOf(tag), 1);
      return fail('ENOMEM');
    }
    const handle = h.state.nextDomain++;
    h.tables.set(handle, table);
    h.state.paging.set(handle, { handle, stage, nestParent, tag, table: cfg, root: table.root, invalidations: [] });
    const aperture = { start: 0n, last: 2n ** BigInt(cfg.inputBits) - 1n };
    return ok({ handle, minPageSize: table.geometry.granule, aperture });
  }

  freeDomain(domain: DomainHandle): void {
    const h = this.host;
    if (h.state.nested.delete(domain)) return;
    const d = h.state.paging.get(domain)!;
    h.tables.get(domain)!.free();
    h.tables.delete(domain);
    h.state.paging.delete(domain);
    const tags = d.stage === 1 ? h.state.asids : h.state.vmids;
    tags.splice(tags.indexOf(d.tag), 1);
  }

  *map(domain: DomainHandle, iova: number, runs: readonly Run[], prot: number): Op<Errno> {
    const table = this.host.tables.get(domain)!;
    const r = yield* this.follow(domain, table.mapRuns(iova, runs, prot));
    return r.errno as Errno;
  }

  *unmap(domain: DomainHandle, iova: number, size: number): Op<number> {
    return yield* this.follow(domain, this.host.tables.get(domain)!.unmap(iova, size));
  }

  /** Runs a change of a page table: its writes are traced, its flushes sent before it goes on. */
  private *follow<T>(domain: DomainHandle, change: Generator<TableStep, T, void>): Op<T> {
    const h = this.host;
    const d = h.state.paging.get(domain)!;
    for (;;) {
      const r = change.next();
      if (r.done) return r.value;
      const step = r.value;
      if (step.kind === 'write') {
        h.trace.listener?.({
          kind: 'table.write',
          actor: 'driver',
          at: h.upcalls!.domainSceneId(domain),
          space: 'host',
          address: step.address,
          words: step.words,
          layout: step.layout,
          text: `stage ${d.stage}: ${step.text}`,
        });
        yield pause('driver', 'table.write');
      } else yield* invalidateRange(h, d, step);
    }
  }

  /** arm_smmu_get_viommu_size. Devices here never write around the caches (CANWBS), which nesting asks for. */
  viommuSupported(_device: string, type: number): boolean {
    return featuresOf(this.host).nesting && type === VIOMMU_TYPE_ARM_SMMUV3;
  }

  /** arm_vsmmu_init: the VMID is the parent's. */
  viommuInit(viommu: number, _type: number, _device: string, parent: DomainHandle): Errno {
    const vmid = this.host.state.paging.get(parent)!.tag;
    this.host.state.vsmmus.set(viommu, { key: viommu, parent, vmid });
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
    h.tables.clear();
    for (const d of h.state.paging.values()) h.tables.set(d.handle, tableAt(h, d));
  }
}

function makeTable(h: Host, cfg: TableConfig): Vmsav8Table | null {
  try {
    return new Vmsav8Table(h.memory, h.pages, cfg);
  } catch (e) {
    if (e instanceof RangeError) return null;
    throw e;
  }
}

function tableAt(h: Host, d: PagingDomain): Vmsav8Table {
  return new Vmsav8Table(h.memory, h.pages, d.table, d.root);
}
