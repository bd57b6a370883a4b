import { type Answer, type Ioctls, ioctlsOn } from '../../iommufd/fixtures/ioctls.ts';
import { Iommufd } from '../../iommufd/index.ts';
import { Injector, runToEnd, scopeOf } from '../../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { firstStageTable } from '../../pagetable/x86-64-table.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { physicalFeatures } from '../hardware/features.ts';
import { staleNames } from '../hardware/fixtures/stale.ts';
import { VtdUnit } from '../hardware/unit.ts';
import { hostRulesWith } from './deviations.ts';
import { HostDriver } from './driver.ts';

/** A host with real VT-d units, the driver and iommufd, for tests: everything but the VMM. */

export const GiB = 2 ** 30;
export const MiB = 2 ** 20;
/** User address and physical base of the memory that a test may map. */
export const UVA = 0x7f0000000000;
export const RAM = 0x180000000;
/** Guest physical addresses begin here in tests. */
export const GPA = 0x40000000;

export interface Bed extends Ioctls {
  readonly memory: Memory;
  readonly unit: VtdUnit;
  /** All units; `unit` is the first. */
  readonly units: readonly VtdUnit[];
  readonly driver: HostDriver;
  readonly iommufd: Iommufd;
  readonly devices: readonly PciDevice[];
  readonly events: TraceEvent[];
  readonly injector: Injector;
  readonly pages: PageAllocator;
  /** Guest memory as the guest's CPU sees it: 1 GiB from `GPA`, at `UVA`. */
  readonly guest: GuestMemory;
  /** Words 0 and 1 of descriptors posted since the last call, waits of the driver left out: `0x20017 0x0`. */
  posted(): string[];
  /** Lines of trace system intel_iommu since the last call, of the events that begin with `prefix`. */
  lines(prefix?: string): string[];
}

export interface BedDevice {
  readonly name: string;
  readonly rid: number;
  readonly ats?: boolean;
  readonly pri?: boolean;
  readonly pasidBits?: number;
  /** The unit in front of it, 0 when left out. */
  readonly unit?: number;
}

/** The two devices of `intel-vtd.md` 9: A is 3b:00.0, B is 5e:02.0. */
export const A: BedDevice = { name: '0000:3b:00.0', rid: 0x3b00, ats: true, pasidBits: 20 };
export const B: BedDevice = { name: '0000:5e:02.0', rid: 0x5e10, ats: true, pasidBits: 20 };

export function bed(
  o: {
    /** DIT is off, as in the worked examples: descriptors carry no PFSID. */
    features?: Record<string, boolean | number | string>;
    devices?: readonly BedDevice[];
    units?: number;
    deviations?: readonly string[];
    /** Bytes of host memory in one physical piece. */
    chunk?: number;
    defaultDomain?: 'blocked' | 'identity';
    dmarDebug?: boolean;
  } = {},
): Bed {
  const memory = new Memory(2 ** 52);
  const trace = new Trace();
  const injector = new Injector(trace);
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);
  const specs = o.devices ?? [A, B];
  const devices = specs.map((d, i) => new PciDevice({ pri: false, vrid: 8 + i, ats: false, pasidBits: 0, ...d }, 0, i));
  const pages = new PageAllocator(0x100000000, 0x140000000);
  const count = o.units ?? 1;
  const names = Array.from({ length: count }, (_, i) => `dmar${i}`);
  const unitOf = (i: number): number => specs[i]!.unit ?? 0;
  const units = names.map((name, unit) => {
    const behind = devices.filter((_, i) => unitOf(i) === unit);
    return new VtdUnit(
      memory,
      physicalFeatures({ DIT: false, ...o.features }),
      behind,
      trace,
      injector,
      0,
      scopeOf(names, name),
    );
  });
  const driver = new HostDriver({
    units: units.map((port, i) => ({ name: names[i]!, port, scope: scopeOf(names, names[i]!) })),
    devices: devices.map((pci, i) => ({ pci, unit: unitOf(i) })),
    memory,
    pages,
    trace,
    injector,
    rules: hostRulesWith(o.deviations ?? []),
    ...(o.defaultDomain && { defaultDomain: o.defaultDomain }),
    dmarDebug: o.dmarDebug ?? false,
  });
  const process = new ProcessMemory();
  process.add({ uva: UVA, size: 4 * GiB, base: RAM, chunk: o.chunk ?? 2 * MiB });
  const iommufd = new Iommufd({ driver, process, trace });
  const guest = new GuestMemory(memory, process);
  guest.addSlot({ gpa: GPA, size: GiB, uva: UVA });
  const traced: string[] = [];
  driver.kernel.tracepoints = (line) => traced.push(line);
  if (!runToEnd(driver.probe())) throw new Error('the units were not brought up');
  let seen = 0;
  let told = traced.length;
  const b: Bed = {
    memory,
    unit: units[0]!,
    units,
    driver,
    iommufd,
    devices,
    events,
    injector,
    pages,
    guest,
    ...ioctlsOn(iommufd),
    posted: () => {
      const hex = (w: bigint): string => `0x${w.toString(16)}`;
      const commands = events.slice(seen).flatMap((e) => (e.kind === 'command.post' ? [e.command] : []));
      seen = events.length;
      return commands.filter((c) => !isOwnWait(c.words)).map((c) => `${hex(c.words[0]!)} ${hex(c.words[1]!)}`);
    },
    lines: (prefix = '') => {
      const lines = traced.slice(told);
      told = traced.length;
      return lines.filter((l) => l.startsWith(prefix));
    },
  };
  b.posted();
  return b;
}

/** The wait that the driver ends each submission with: a status write. */
const isOwnWait = (words: readonly bigint[]): boolean => (words[0]! & 0x2fn) === 0x25n;

export interface Bound {
  readonly fd: number;
  readonly dev: number;
}

/** Opens a device and binds it to the first iommufd file. */
export function bind(b: Bed, device: string): Bound {
  const fd = b.iommufd.openDevice(device);
  return { fd, dev: b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd) };
}

export interface Nest extends Bound {
  readonly ioas: number;
  readonly parent: number;
}

/** Guest memory, 1 GiB at `GPA`, in a nest parent that may be used with PASIDs; the device is bound but not attached. */
export function nest(b: Bed, device = A.name, size = GiB): Nest {
  const d = bind(b, device);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: size, iova: GPA });
  const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 9, dev_id: d.dev, pt_id: ioas });
  return { ...d, ioas, parent };
}

/** A nested page table of a guest table at that address. */
export function nested(
  b: Bed,
  n: Pick<Nest, 'dev' | 'parent'>,
  table: number,
  o: { width?: number; flags?: number; faultId?: number } = {},
): number {
  return b.make('IOMMU_HWPT_ALLOC', {
    flags: o.faultId === undefined ? 8 : 12,
    dev_id: n.dev,
    pt_id: n.parent,
    data_type: 1,
    data_len: 24,
    data: { flags: o.flags ?? 0, pgtbl_addr: table, addr_width: o.width ?? 48 },
    ...(o.faultId !== undefined && { fault_id: o.faultId }),
  });
}

/** Attaches to the RID, or to a PASID. */
export const attach = (b: Bed, d: Bound, pt: number, pasid = 0): Answer =>
  b.ioctl('VFIO_DEVICE_ATTACH_IOMMUFD_PT', pasid ? { flags: 1, pt_id: pt, pasid } : { pt_id: pt }, d.fd);

export const detach = (b: Bed, d: Bound, pasid = 0): Answer =>
  b.ioctl('VFIO_DEVICE_DETACH_IOMMUFD_PT', pasid ? { flags: 1, pasid } : {}, d.fd);

/** A guest's invalidation of a nested page table; no range: everything. */
export const invalidate = (
  b: Bed,
  hwpt: number,
  addr = 0,
  npages: number | bigint = 2n ** 64n - 1n,
  leaf = true,
): Answer =>
  b.ioctl('IOMMU_HWPT_INVALIDATE', {
    hwpt_id: hwpt,
    data_type: 0,
    entry_len: 24,
    entry_num: 1,
    entries: [{ addr, npages, flags: leaf ? 1 : 0 }],
  });

/** A first-stage table of a guest, of four levels, in its memory from that address on. */
export function guestTable(b: Bed, at: number) {
  const size = { levels: 4, inputBits: 48, pageSizes: [4096, 2 * MiB] };
  const table = firstStageTable(b.guest, new PageAllocator(at, at + MiB), size);
  const finish = <T>(change: Generator<unknown, T, void>): T => {
    for (;;) {
      const r = change.next();
      if (r.done) return r.value;
    }
  };
  return {
    root: table.root,
    map: (iova: number, gpa: number, bytes = 4096, prot = 3) => finish(table.map(iova, gpa, bytes, prot)),
    unmap: (iova: number, bytes = 4096) => finish(table.unmap(iova, bytes)),
    leaf: (iova: number) => table.lookup(iova),
  };
}

/** An access of a device; `translated`: through its device TLB. */
export const dma = (
  b: Bed,
  iova: number,
  o: { write?: boolean; translated?: boolean; pasid?: number; device?: number } = {},
) => {
  const device = b.devices[o.device ?? 0]!;
  const unit = b.units[b.driver.kernel.unitOf.get(device.name)!]!;
  const { write = false, translated = false, pasid = -1 } = o;
  return runToEnd(unit.dma({ device, pasid, iova: BigInt(iova), write, translated }));
};

/** Cached entries that a fresh walk would not give, as `IOTLB`, `PASID`, `ATC 0000:3b:00.0`. */
export const stale = (b: Bed): string[] =>
  staleNames(b.units, b.devices, (d, u) => b.units[b.driver.kernel.unitOf.get(d.name)!] === u);
