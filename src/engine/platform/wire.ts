import { Iommufd } from '../iommufd/index.ts';
import {
  type DeviceSpec,
  type GuestSpec,
  guestOf,
  guestScope,
  type Injector,
  iommuOf,
  type PlatformSpec,
  scopeOf,
  type VirtualUnit,
  virtualUnits,
} from '../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../memory/index.ts';
import { PciDevice } from '../pci/index.ts';
import type { Trace } from '../trace/index.ts';
import type { VirtualMachineParts } from '../vmm/index.ts';
import type { Drivers, Files, Guest, GuestLinux, GuestVmm, Machine, Unit, VirtualEnd } from './machine.ts';

/** Where a VMM has its guest's RAM in its own address space. */
const GUEST_UVA = 0x7f00_0000_0000;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** What a physical unit and its driver are made of. */
export interface UnitMaterial {
  readonly name: string;
  /** Of its scene ids; empty while there is only one unit. */
  readonly scope: string;
  readonly index: number;
  readonly memory: Memory;
  readonly pages: PageAllocator;
  /** The devices behind it. */
  readonly devices: readonly PciDevice[];
  readonly trace: Trace;
  readonly injector: Injector;
}

/** What a VMM and its guest are made of. */
export interface GuestMaterial {
  readonly spec: PlatformSpec;
  readonly guest: GuestSpec;
  readonly scope: string;
  readonly kernel: Files;
  readonly memory: GuestMemory;
  readonly process: ProcessMemory;
  readonly hostPages: PageAllocator;
  /** Pages of the guest's kernel. */
  readonly pages: PageAllocator;
  readonly devices: readonly DeviceSpec[];
  readonly units: readonly VirtualUnit[];
  readonly trace: Trace;
  readonly injector: Injector;
  /** Prefix of the scene ids of this process's iommufd objects. */
  readonly kernelObjects: string;
}

/** How a vendor makes its parts. */
export interface Maker<U extends Unit, D extends Drivers, V extends GuestVmm, L extends GuestLinux> {
  /** PAGE_SIZE of the host's kernel. */
  readonly page: 4096 | 16384 | 65536;
  readonly unit: (o: UnitMaterial) => U;
  readonly drivers: (
    units: readonly U[],
    o: { readonly memory: Memory; readonly pages: PageAllocator; readonly devices: readonly PciDevice[] },
  ) => D;
  readonly guest: (o: GuestMaterial) => { readonly vmm: V; readonly linux: L; readonly ends: readonly VirtualEnd[] };
}

/**
 * Builds the machine of a document: host memory with the guests' RAM at its top, the kernel's pages below, the units, and
 * the actors on top of each other.
 * @throws RangeError when the document's sizes or features cannot be had
 */
export function wireMachine<U extends Unit, D extends Drivers, V extends GuestVmm, L extends GuestLinux>(
  spec: PlatformSpec,
  specs: readonly DeviceSpec[],
  trace: Trace,
  injector: Injector,
  make: Maker<U, D, V, L>,
): Machine<U, Guest & { readonly vmm: V; readonly linux: L }, D> {
  const memory = new Memory(spec.memory);
  const ram = placeRam(spec);
  const lowest = Math.min(...ram);
  const hostPages = new PageAllocator(lowest > 512 * MiB ? 256 * MiB : 4096, lowest);
  const devices = specs.map((d, i) => new PciDevice(d, Number(spec.features['atcEntries'] ?? 0), i));
  // Nobody configures a device before there is a kernel: what a bare document needs is on.
  if (spec.setup === 'bare') for (const d of devices) d.atsEnabled = d.atsCapable;
  const units = spec.iommus.map((name, index): U => {
    const scope = scopeOf(spec.iommus, name);
    const mine = devices.filter((_, i) => iommuOf(spec, specs[i]!) === name);
    return make.unit({ name, scope, index, memory, pages: hostPages, devices: mine, trace, injector });
  });
  const drivers = make.drivers(units, { memory, pages: hostPages, devices });
  const processes = spec.guests.map(() => new ProcessMemory());
  const iommufd = new Iommufd({ driver: drivers, process: processes[0]!, trace, page: make.page });
  const virtual = virtualUnits(spec, specs);
  const guests = spec.guests.map((g, i) => {
    const process = processes[i]!;
    process.add({ uva: GUEST_UVA, size: g.memory, base: ram[i]!, chunk: Math.min(g.backing, g.memory) });
    const guestMemory = new GuestMemory(memory, process);
    guestMemory.addSlot({ gpa: g.base, size: g.memory, uva: GUEST_UVA });
    // The guest kernel's own pages lie in the second quarter of its RAM, clear of what a scenario maps for DMA.
    const quarter = Math.floor(g.memory / 4 / MiB) * MiB;
    const of = specs.filter((d) => guestOf(spec, d) === g.name);
    const material: GuestMaterial = {
      spec,
      guest: g,
      scope: guestScope(spec, g.name),
      kernel: i === 0 ? iommufd : iommufd.process(process),
      memory: guestMemory,
      process,
      hostPages,
      pages: new PageAllocator(g.base + quarter, g.base + g.memory),
      devices: of,
      units: virtual.filter((u) => u.guest === g.name),
      trace,
      injector,
      kernelObjects: i === 0 ? 'kernel.obj' : `kernel.obj.${i}`,
    };
    const { scope, kernel, pages } = material;
    return {
      name: g.name,
      spec: g,
      scope,
      process,
      kernel,
      memory: guestMemory,
      pages,
      devices: devices.filter((d) => of.some((s) => s.name === d.name)),
      units: material.units,
      ...make.guest(material),
    };
  });
  return { spec, memory, hostPages, devices, units, drivers, iommufd, guests, trace, injector };
}

/** What every vendor's VMM is made of. */
export function vmmParts(o: GuestMaterial): VirtualMachineParts {
  const { kernel, memory, process, hostPages, devices, units, trace, injector, scope, kernelObjects } = o;
  const { deviations, policy } = o.spec;
  return {
    kernel,
    memory,
    process,
    hostPages,
    devices,
    units,
    trace,
    injector,
    deviations,
    batch: Number(policy['batch'] ?? 1),
    pageFaults: policy['pageFaults'] === 'forwarded' ? 'forwarded' : 'terminated',
    chunk: o.guest.backing,
    scope,
    kernelObjects,
  };
}

/** What every vendor's guest is made of, on its VMM. */
export function guestParts<V extends GuestVmm & { pasidBits(device: string): number }>(o: GuestMaterial, vmm: V) {
  const { memory, pages, trace, injector, scope } = o;
  return {
    memory,
    pages,
    devices: o.devices.map((d) => ({
      name: d.name,
      vrid: d.vrid,
      // The capability that the VMM shows the guest.
      get pasidBits() {
        return vmm.pasidBits(d.name);
      },
      atsCapable: d.ats,
      priCapable: d.pri,
      canStall: d.stall ?? false,
    })),
    present: (name: string) => vmm.isPlugged(name),
    trace,
    injector,
    deviations: o.spec.deviations,
    scope,
  };
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
