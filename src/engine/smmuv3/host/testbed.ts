import { type Ioctls, ioctlsOn } from '../../iommufd/fixtures/ioctls.ts';
import { Iommufd } from '../../iommufd/index.ts';
import { Injector, runToEnd, scopeOf } from '../../machine/index.ts';
import { Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { physicalFeatures } from '../hardware/features.ts';
import { Smmu } from '../hardware/smmu.ts';
import { hostRulesWith } from './deviations.ts';
import { HostDriver } from './driver.ts';
import { HostDrivers } from './drivers.ts';

/** A host with a real SMMU, the driver and iommufd, for tests: everything but the VMM. */

export const GiB = 2 ** 30;
export const MiB = 2 ** 20;
/** User address and physical base of the 1 GiB that a test may map. */
export const UVA = 0x7f0000000000;
export const RAM = 0x880800000000;

export interface Bed extends Ioctls {
  readonly memory: Memory;
  readonly smmu: Smmu;
  /** All SMMUs; `smmu` is the first. */
  readonly smmus: readonly Smmu[];
  readonly driver: HostDriver;
  readonly drivers: HostDrivers;
  readonly iommufd: Iommufd;
  readonly devices: readonly PciDevice[];
  readonly events: TraceEvent[];
  readonly injector: Injector;
  readonly pages: PageAllocator;
  /** Commands posted since the last call, as `CFGI_STE sid 0x108 leaf` or `SYNC`. */
  posted(): string[];
}

export function bed(
  o: {
    features?: Record<string, boolean | number | string>;
    /** `unit`: the SMMU in front of it, 0 when left out. */
    devices?: {
      name: string;
      rid: number;
      ats?: boolean;
      pri?: boolean;
      pasidBits?: number;
      stall?: boolean;
      unit?: number;
    }[];
    /** Page size of the kernel. */
    page?: number;
    /** Number of SMMUs. */
    units?: number;
    deviations?: string[];
    chunk?: number;
    defaultDomain?: 'blocked' | 'identity';
  } = {},
): Bed {
  const memory = new Memory(2 ** 48);
  const trace = new Trace();
  const injector = new Injector(trace);
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);
  const specs = o.devices ?? [{ name: 'nic0', rid: 0x108 }];
  const devices = specs.map((d, i) => new PciDevice({ pri: false, vrid: 8 + i, ats: false, pasidBits: 0, ...d }, 0, i));
  const pages = new PageAllocator(0x880000000000, 0x880400000000);
  const rules = hostRulesWith(o.deviations ?? []);
  const defaultDomain = o.defaultDomain ?? 'blocked';
  const count = o.units ?? 1;
  const smmus: Smmu[] = [];
  const units: HostDriver[] = [];
  for (let unit = 0; unit < count; unit++) {
    const behind = devices.filter((_, i) => (specs[i]!.unit ?? 0) === unit);
    const scope = scopeOf(
      Array.from({ length: count }, (_, i) => `smmu${i}`),
      `smmu${unit}`,
    );
    const smmu = new Smmu(memory, physicalFeatures(o.features ?? {}), behind, trace, injector, 0, scope);
    smmus.push(smmu);
    const common = { smmu, memory, pages, devices: behind, trace, injector };
    units.push(new HostDriver({ ...common, rules, defaultDomain, unit, scope, page: o.page ?? 4096 }));
  }
  const smmu = smmus[0]!;
  const driver = units[0]!;
  const drivers = new HostDrivers(units);
  const process = new ProcessMemory();
  process.add({ uva: UVA, size: GiB, base: RAM, chunk: o.chunk ?? 2 * MiB });
  const iommufd = new Iommufd({ driver: drivers, process, trace, page: o.page ?? 4096 });
  runToEnd(drivers.probe());
  let seen = 0;
  const b: Bed = {
    memory,
    smmu,
    smmus,
    driver,
    drivers,
    iommufd,
    devices,
    events,
    injector,
    pages,
    ...ioctlsOn(iommufd),
    posted: () => {
      const posts = events.slice(seen).flatMap((e) => (e.kind === 'command.post' ? [e.command] : []));
      seen = events.length;
      return posts.map((c) => (c.name === 'SYNC' ? 'SYNC' : c.text));
    },
  };
  return b;
}

export interface Nest {
  readonly fd: number;
  readonly dev: number;
  readonly ioas: number;
  readonly parent: number;
  readonly viommu: number;
}

/** Steps 1 to 5 of the ARM set-up sequence (iommufd-uapi.md 7.2): the device is on the stage-2 parent. */
export function nest(b: Bed, device = 'nic0'): Nest {
  const fd = b.iommufd.openDevice(device);
  const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: GiB, iova: 0x40000000 });
  const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd);
  const viommu = b.make('IOMMU_VIOMMU_ALLOC', { type: 1, dev_id: dev, hwpt_id: parent });
  return { fd, dev, ioas, parent, viommu };
}

/** A nested page table from a vSTE. */
export function vste(b: Bed, n: Nest, w0: bigint, w1 = 0n): number {
  return b.make('IOMMU_HWPT_ALLOC', {
    dev_id: n.dev,
    pt_id: n.viommu,
    data_type: 2,
    data_len: 16,
    data: { ste: [w0, w1] },
  });
}
