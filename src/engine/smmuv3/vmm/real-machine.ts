import { type Op, type OpResult, runToEnd } from '../../machine/index.ts';
import { GuestMemory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { Trace } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { type Bed, bed, GiB, RAM, UVA } from '../host/testbed.ts';
import { Vmm, type VmmParts } from './vmm.ts';

interface DeviceOptions {
  readonly name: string;
  readonly rid: number;
  readonly vrid: number;
  /** Number of the SMMU in front of it. */
  readonly unit?: number;
  /** Number of its guest. */
  readonly guest?: number;
  readonly ats?: boolean;
  readonly stall?: boolean;
  readonly pasidBits?: number;
}

export interface RealOptions extends Partial<Pick<VmmParts, 'deviations' | 'batch' | 'properties' | 'pageFaults'>> {
  readonly devices?: readonly DeviceOptions[];
  readonly smmus?: number;
  readonly features?: Record<string, boolean | number | string>;
  /** vSMMUs of each guest by the names of their devices; absent: one, with all of them. */
  readonly vsmmus?: readonly (readonly { readonly name: string; readonly devices: readonly string[] }[])[];
}

/** For tests: guests on the real kernel, host driver and SMMU. Nothing is started. */
export function realMachine(o: RealOptions = {}) {
  const devices = o.devices ?? [{ name: 'nic0', rid: 0x108, vrid: 8, ats: true }];
  const b: Bed = bed({
    devices: devices.map((d) => ({ ...d })),
    units: o.smmus ?? 1,
    ...(o.features ? { features: o.features } : {}),
  });
  const n = Math.max(...devices.map((d) => d.guest ?? 0)) + 1;
  const guests = Array.from({ length: n }, (_, i) => oneGuest(b, o, devices, i, n));
  /** Interrupts on their way up, until nothing is pending. */
  const settle = (): void => {
    for (let round = 0; round < 6; round++) {
      for (const u of b.drivers.units) runToEnd(u.interrupt());
      for (const g of guests) runToEnd(g.vmm.pollEvents());
      for (const g of guests) runToEnd(g.guest.interrupt());
    }
  };
  /** An operation that must succeed, and the interrupts after it. @returns the commands that the SMMUs' queues got */
  const step = (op: Op<OpResult>): string[] => {
    const from = b.events.length;
    const r = runToEnd(op);
    if (!r.ok) throw new Error(r.text);
    settle();
    return b.events
      .slice(from)
      .flatMap((e) =>
        e.kind === 'command.post' && e.queue === 'physical'
          ? [e.command.name === 'SYNC' ? 'SYNC' : e.command.text]
          : [],
      );
  };
  /** A transaction of a device; -1: without PASID. */
  const dmaOf = (device: string, t: { pasid?: number; iova: bigint; write?: boolean }) => {
    const index = b.devices.findIndex((d) => d.name === device);
    const smmu = b.smmus[devices[index]!.unit ?? 0]!;
    return runToEnd(smmu.dma({ device: b.devices[index]!, pasid: -1, write: false, translated: false, ...t }));
  };
  const dma = (device: string, iova: bigint) => dmaOf(device, { iova });
  return { ...b, guests, settle, step, dma, dmaOf, run: runToEnd };
}

export type RealMachine = ReturnType<typeof realMachine>;

function oneGuest(b: Bed, o: RealOptions, all: readonly DeviceOptions[], index: number, count: number) {
  const mine = all.filter((d) => (d.guest ?? 0) === index);
  const process = new ProcessMemory();
  process.add({ uva: UVA, size: GiB, base: RAM + (index + 1) * GiB, chunk: 2 ** 21 });
  const memory = new GuestMemory(b.memory, process);
  memory.addSlot({ gpa: 0x40000000, size: GiB, uva: UVA });
  const trace = new Trace();
  trace.listener = (e) => b.events.push(e);
  const { injector } = b;
  const units = o.vsmmus?.[index] ?? [{ name: 'vsmmu', devices: mine.map((d) => d.name) }];
  const scope = count > 1 ? `vm${index}` : '';
  const vmm = new Vmm({
    kernel: b.iommufd.process(process),
    memory,
    process,
    hostPages: b.pages,
    devices: mine,
    units,
    trace,
    injector,
    scope,
    kernelObjects: `kernel.obj.${index + 1}`,
    ...(o.deviations ? { deviations: o.deviations } : {}),
    ...(o.batch ? { batch: o.batch } : {}),
    ...(o.properties ? { properties: o.properties } : {}),
    ...(o.pageFaults ? { pageFaults: o.pageFaults } : {}),
  });
  const guest = new GuestDriver({
    memory,
    pages: new PageAllocator(0x48000000, 0x50000000),
    units: units.map((u, i) => ({ ...u, smmu: vmm.units[i]! })),
    devices: mine.map((d) => ({
      name: d.name,
      vrid: d.vrid,
      atsCapable: d.ats ?? false,
      canStall: d.stall ?? false,
      get pasidBits() {
        return vmm.pasidBits(d.name);
      },
    })),
    present: (name) => vmm.isPlugged(name),
    trace,
    injector,
    scope,
  });
  return { vmm, guest, memory, process };
}

/** For tests: all devices plugged, the machine reset that follows, and the guests booted. */
export function bootedMachine(o: RealOptions = {}): RealMachine {
  const m = realMachine(o);
  for (const g of m.guests) m.step(g.vmm.start());
  for (const d of o.devices ?? [{ name: 'nic0', guest: 0 }]) m.step(m.guests[d.guest ?? 0]!.vmm.plug(d.name));
  for (const g of m.guests) {
    m.step(g.vmm.reset());
    m.step(g.guest.boot());
  }
  return m;
}
