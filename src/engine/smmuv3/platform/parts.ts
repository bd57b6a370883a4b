import { Iommufd } from '../../iommufd/index.ts';
import type { DeviceSpec, Injector, PlatformSpec } from '../../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { physicalFeatures, Smmu } from '../hardware/index.ts';
import { HostDriver, hostRulesWith } from '../host/index.ts';
import { Vmm } from '../vmm/index.ts';

/** Where the VMM has its guest's RAM in its own address space. */
const GUEST_UVA = 0x7f00_0000_0000;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** One SMMUv3 machine, wired: who holds a reference to whom. */
export interface Parts {
  readonly spec: PlatformSpec;
  readonly memory: Memory;
  readonly process: ProcessMemory;
  readonly guestMemory: GuestMemory;
  readonly hostPages: PageAllocator;
  readonly guestPages: PageAllocator;
  readonly devices: readonly PciDevice[];
  readonly smmu: Smmu;
  readonly driver: HostDriver;
  readonly iommufd: Iommufd;
  readonly vmm: Vmm;
  readonly guest: GuestDriver;
  readonly trace: Trace;
  readonly injector: Injector;
}

/**
 * Builds the machine of a document: host memory with the guest's RAM at its top, the kernel's pages below, the SMMU with
 * the document's features, and the actors on top of each other.
 * @throws RangeError when the document's sizes or features cannot be had
 */
export function wire(spec: PlatformSpec, specs: readonly DeviceSpec[], trace: Trace, injector: Injector): Parts {
  const memory = new Memory(spec.memory);
  const process = new ProcessMemory();
  const guestMemory = new GuestMemory(memory, process);
  const ramBase = placeGuestRam(spec);
  process.add({
    uva: GUEST_UVA,
    size: spec.guest.memory,
    base: ramBase,
    chunk: Math.min(spec.guest.backing, spec.guest.memory),
  });
  guestMemory.addSlot({ gpa: spec.guest.base, size: spec.guest.memory, uva: GUEST_UVA });
  const hostStart = ramBase > 512 * MiB ? 256 * MiB : 4096;
  const hostPages = new PageAllocator(hostStart, ramBase);
  // The guest kernel's own pages lie in the second quarter of its RAM, clear of what a scenario maps for DMA.
  const quarter = Math.floor(spec.guest.memory / 4 / MiB) * MiB;
  const guestPages = new PageAllocator(spec.guest.base + quarter, spec.guest.base + spec.guest.memory);
  const devices = specs.map((d, i) => new PciDevice(d, Number(spec.features.atcEntries ?? 0), i));
  const smmu = new Smmu(
    memory,
    physicalFeatures(spec.features),
    devices,
    trace,
    injector,
    Number(spec.features.iotlbEntries ?? 0),
  );
  const driver = new HostDriver({
    smmu,
    memory,
    pages: hostPages,
    devices,
    trace,
    injector,
    rules: hostRulesWith(spec.deviations),
  });
  const iommufd = new Iommufd({ driver, process, trace });
  const vmm = new Vmm({
    kernel: iommufd,
    memory: guestMemory,
    process,
    hostPages,
    devices: specs,
    trace,
    injector,
    deviations: spec.deviations,
    batch: Number(spec.policy.batch ?? 1),
    chunk: spec.guest.backing,
  });
  const guest = new GuestDriver({
    memory: guestMemory,
    pages: guestPages,
    smmu: vmm,
    devices: specs.map((d) => ({ name: d.name, vrid: d.vrid, pasidBits: d.pasidBits, atsCapable: d.ats })),
    present: (name) => vmm.isPlugged(name),
    trace,
    injector,
    deviations: spec.deviations,
  });
  return {
    spec,
    memory,
    process,
    guestMemory,
    hostPages,
    guestPages,
    devices,
    smmu,
    driver,
    iommufd,
    vmm,
    guest,
    trace,
    injector,
  };
}

/** The guest's RAM takes the top of host memory, aligned as far as there is room. */
function placeGuestRam(spec: PlatformSpec): number {
  const room = spec.memory - spec.guest.memory;
  if (room < 16 * MiB)
    throw new RangeError(
      `platform.guest.memory: ${spec.guest.memory} bytes of guest memory need at least 16 MiB more of host memory, which has ${spec.memory}`,
    );
  const align = room >= 2 * GiB ? GiB : room >= 64 * MiB ? 2 * MiB : 4096;
  return Math.floor(room / align) * align;
}
