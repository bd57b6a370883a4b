import { Iommufd } from '../../iommufd/index.ts';
import {
  type DeviceSpec,
  type GuestSpec,
  guestOf,
  guestScope,
  type Injector,
  iommuOf,
  type PlatformSpec,
  scoped,
  scopeOf,
  type VirtualUnit,
  virtualUnits,
} from '../../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { deviceId, kernelPage, physicalFeatures, Smmu } from '../hardware/index.ts';
import { HostDriver, HostDrivers, hostRulesWith } from '../host/index.ts';
import { type HostKernel, Vmm } from '../vmm/index.ts';

/** Where a VMM has its guest's RAM in its own address space. */
const GUEST_UVA = 0x7f00_0000_0000;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** One physical SMMU with the driver that the host kernel runs for it. */
export interface Unit {
  readonly name: string;
  /** Of its scene ids; empty while there is only one unit. */
  readonly scope: string;
  readonly smmu: Smmu;
  readonly driver: HostDriver;
  readonly devices: readonly PciDevice[];
}

/** File calls of one process. */
export type Files = Pick<Iommufd, 'ioctl' | 'openIommufd' | 'hasDevice' | 'openDevice' | 'read' | 'write' | 'close'>;

/** One guest with its VMM and what the host kernel has of that process. */
export interface Guest {
  readonly name: string;
  readonly spec: GuestSpec;
  readonly scope: string;
  readonly process: ProcessMemory;
  readonly kernel: Files;
  readonly memory: GuestMemory;
  readonly pages: PageAllocator;
  readonly vmm: Vmm;
  readonly linux: GuestDriver;
  readonly devices: readonly PciDevice[];
  readonly units: readonly VirtualUnit[];
}

/** A machine with SMMUv3s, wired: who holds a reference to whom. */
export interface Parts {
  readonly spec: PlatformSpec;
  readonly memory: Memory;
  readonly hostPages: PageAllocator;
  readonly devices: readonly PciDevice[];
  readonly units: readonly Unit[];
  readonly drivers: HostDrivers;
  readonly iommufd: Iommufd;
  readonly guests: readonly Guest[];
  readonly trace: Trace;
  readonly injector: Injector;
}

/**
 * Builds the machine of a document: host memory with the guests' RAM at its top, the kernel's pages below, the SMMUs with
 * the document's features, and the actors on top of each other.
 * @throws RangeError when the document's sizes or features cannot be had
 */
export function wire(spec: PlatformSpec, specs: readonly DeviceSpec[], trace: Trace, injector: Injector): Parts {
  const memory = new Memory(spec.memory);
  const ram = placeRam(spec);
  const lowest = Math.min(...ram);
  const hostPages = new PageAllocator(lowest > 512 * MiB ? 256 * MiB : 4096, lowest);
  const page = kernelPage(spec.features, 'hostPage');
  const devices = specs.map((d, i) => new PciDevice(d, Number(spec.features.atcEntries ?? 0), i));
  // Nobody configures a device before there is a kernel: what a bare document needs is on.
  if (spec.setup === 'bare') for (const d of devices) d.atsEnabled = d.atsCapable;
  const features = physicalFeatures(spec.features);
  const rules = hostRulesWith(spec.deviations);
  const iotlb = Number(spec.features.iotlbEntries ?? 0);
  const units = spec.iommus.map((name, unit): Unit => {
    const scope = scopeOf(spec.iommus, name);
    const mine = devices.filter((_, i) => iommuOf(spec, specs[i]!) === name);
    const smmu = new Smmu(memory, features, mine, trace, injector, iotlb, scope);
    const pages = hostPages;
    const driver = new HostDriver({ smmu, memory, pages, devices: mine, trace, injector, rules, unit, scope, page });
    return { name, scope, smmu, driver, devices: mine };
  });
  const drivers = new HostDrivers(units.map((u) => u.driver));
  const processes = spec.guests.map(() => new ProcessMemory());
  const iommufd = new Iommufd({ driver: drivers, process: processes[0]!, trace, page });
  const all = virtualUnits(spec, specs);
  const guests = spec.guests.map((g, i): Guest => {
    const of = specs.filter((d) => guestOf(spec, d) === g.name);
    return wireGuest({
      spec,
      guest: g,
      index: i,
      ram: ram[i]!,
      process: processes[i]!,
      memory,
      hostPages,
      iommufd,
      specs: of,
      devices: devices.filter((d) => of.some((s) => s.name === d.name)),
      units: all.filter((u) => u.guest === g.name),
      trace,
      injector,
    });
  });
  return { spec, memory, hostPages, devices, units, drivers, iommufd, guests, trace, injector };
}

function wireGuest(o: {
  readonly spec: PlatformSpec;
  readonly guest: GuestSpec;
  readonly index: number;
  readonly ram: number;
  readonly process: ProcessMemory;
  readonly memory: Memory;
  readonly hostPages: PageAllocator;
  readonly iommufd: Iommufd;
  readonly specs: readonly DeviceSpec[];
  readonly devices: readonly PciDevice[];
  readonly units: readonly VirtualUnit[];
  readonly trace: Trace;
  readonly injector: Injector;
}): Guest {
  const { spec, guest: g, process, trace, injector, hostPages, specs } = o;
  const scope = guestScope(spec, g.name);
  const { deviations, features, policy } = spec;
  process.add({ uva: GUEST_UVA, size: g.memory, base: o.ram, chunk: Math.min(g.backing, g.memory) });
  const memory = new GuestMemory(o.memory, process);
  memory.addSlot({ gpa: g.base, size: g.memory, uva: GUEST_UVA });
  // The guest kernel's own pages lie in the second quarter of its RAM, clear of what a scenario maps for DMA.
  const quarter = Math.floor(g.memory / 4 / MiB) * MiB;
  const pages = new PageAllocator(g.base + quarter, g.base + g.memory);
  const kernel: Files & HostKernel = o.index === 0 ? o.iommufd : o.iommufd.process(process);
  const vmm = new Vmm({
    kernel,
    memory,
    process,
    hostPages,
    devices: specs,
    units: o.units,
    trace,
    injector,
    deviations,
    batch: Number(policy.batch ?? 1),
    pageFaults: policy.pageFaults === 'forwarded' ? 'forwarded' : 'terminated',
    chunk: g.backing,
    scope,
    kernelObjects: o.index === 0 ? 'kernel.obj' : `kernel.obj.${o.index}`,
  });
  const linux = new GuestDriver({
    memory,
    pages,
    units: o.units.map((u, i) => ({ name: u.name, smmu: vmm.units[i]!, devices: u.devices })),
    devices: specs.map((d) => ({
      name: d.name,
      vrid: d.vrid,
      // The capability that the VMM shows the guest.
      get pasidBits() {
        return vmm.pasidBits(d.name);
      },
      atsCapable: d.ats,
      canStall: d.stall ?? false,
    })),
    present: (name) => vmm.isPlugged(name),
    trace,
    injector,
    deviations,
    scope,
    page: kernelPage(features, 'guestPage'),
  });
  const { devices, units } = o;
  return { name: g.name, spec: g, scope, process, kernel, memory, pages, vmm, linux, devices, units };
}

/** The guests' RAM takes the top of host memory, the first one's uppermost, aligned as far as there is room. */
function placeRam(spec: PlatformSpec): number[] {
  let top = spec.memory;
  return spec.guests.map((g) => {
    const room = top - g.memory;
    if (room < 16 * MiB)
      throw new RangeError(
        `memory of ${g.name}: ${g.memory} bytes need at least 16 MiB more of host memory, of which ${top} bytes are left`,
      );
    const align = room >= 2 * GiB ? GiB : room >= 64 * MiB ? 2 * MiB : 4096;
    top = Math.floor(room / align) * align;
    return top;
  });
}

/** The guest that a document's operation names, the first without a name. */
export function guestNamed(p: Parts, name: unknown): Guest {
  const g = name === undefined ? p.guests[0] : p.guests.find((x) => x.name === name);
  // The document's checks have refused every other name.
  if (!g) throw new Error(`no guest is named ${String(name)}`);
  return g;
}

export function unitNamed(p: Parts, name: unknown): Unit {
  const u = name === undefined ? p.units[0] : p.units.find((x) => x.name === name);
  if (!u) throw new Error(`no unit is named ${String(name)}`);
  return u;
}

export function deviceNamed(p: Parts, name: string): PciDevice {
  const d = p.devices.find((x) => x.name === name);
  if (!d) throw new Error(`no device is named ${name}`);
  return d;
}

export const unitOfDevice = (p: Parts, d: PciDevice): Unit => p.units.find((u) => u.devices.includes(d))!;
export const guestOfDevice = (p: Parts, d: PciDevice): Guest => p.guests.find((g) => g.devices.includes(d))!;

/** The guest whose VMM or memory a scene object stands for, as its id says. */
export function guestAt(p: Parts, id: string): Guest {
  const scoped = p.guests.find((g) => g.scope !== '' && /^(?:guest|vmm)\./.test(id) && id.split('.')[1] === g.scope);
  return scoped ?? p.guests[0]!;
}

/** The unit that a scene object of the hardware, or the device of that object, belongs to. */
export function unitAt(p: Parts, id: string): Unit {
  const device = p.devices.find((d) => id === deviceId(d));
  if (device) return unitOfDevice(p, device);
  return p.units.find((u) => u.scope !== '' && id.startsWith(scoped('hw', u.scope, ''))) ?? p.units[0]!;
}

/** True once the host's driver has brought the SMMUs up. */
export const isProbed = (p: Parts): boolean => p.units.some((u) => u.driver.state.features !== null);
