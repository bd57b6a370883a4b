import { Iommufd } from '../../iommufd/index.ts';
import { Injector, type Op, type OpResult, runToEnd } from '../../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { physicalFeatures, Smmu } from '../hardware/index.ts';
import { HostDriver, hostRulesWith } from '../host/index.ts';
import { Vmm } from '../vmm/index.ts';
import { GuestDriver } from './driver.ts';

const GiB = 2 ** 30;
const UVA = 0x7f0000000000;
/** 0000:01:01.0 on the host, 0000:00:01.0 in the guest. */
const RID = 0x108;
const VRID = 8;

export interface Options {
  readonly ats?: boolean;
  readonly deviations?: string[];
  readonly batch?: number;
  /** A second device: 0000:01:02.0, 0000:00:02.0. */
  readonly two?: boolean;
  readonly pasidBits?: number;
  /** The SMMU and the devices can stall, and the VMM passes stalls on. */
  readonly stall?: boolean;
  /** PAGE_SIZE of the guest's kernel. */
  readonly page?: 4096 | 16384 | 65536;
}

/** For tests: all parts, wired as on a machine; nothing is started. */
export function machine(o: Options = {}) {
  const memory = new Memory(2 ** 48);
  const trace = new Trace();
  const injector = new Injector(trace);
  const device = (name: string, rid: number, vrid: number) =>
    new PciDevice({ name, rid, vrid, pasidBits: o.pasidBits ?? 0, ats: o.ats ?? false, pri: false, stall: o.stall });
  const devices = [device('nic0', RID, VRID), ...(o.two ? [device('nic1', 0x110, 0x10)] : [])];
  const smmu = new Smmu(memory, physicalFeatures(o.stall ? { STALL_MODEL: 0 } : {}), devices, trace, injector);
  const hostPages = new PageAllocator(0x880000000000, 0x880400000000);
  const rules = hostRulesWith(o.deviations ?? []);
  const host = new HostDriver({ smmu, memory, pages: hostPages, devices, trace, injector, rules });
  const process = new ProcessMemory();
  process.add({ uva: UVA, size: GiB, base: 0x880800000000, chunk: 2 ** 21 });
  const guestMemory = new GuestMemory(memory, process);
  guestMemory.addSlot({ gpa: 0x40000000, size: GiB, uva: UVA });
  const kernel = new Iommufd({ driver: host, process, trace });
  const deviations = o.deviations ?? [];
  const vmm = new Vmm({
    kernel,
    memory: guestMemory,
    process,
    hostPages,
    devices,
    trace,
    injector,
    deviations,
    batch: o.batch ?? 1,
    pageFaults: o.stall ? 'forwarded' : 'terminated',
  });
  const guest = new GuestDriver({
    memory: guestMemory,
    pages: new PageAllocator(0x48000000, 0x50000000),
    smmu: vmm,
    devices,
    present: (name) => vmm.isPlugged(name),
    trace,
    injector,
    deviations,
    ...(o.page ? { page: o.page } : {}),
  });
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);

  /** Interrupts on their way up: hardware to host, host to VMM, VMM to guest. */
  const settle = (): void => {
    runToEnd(host.interrupt());
    runToEnd(vmm.pollEvents());
    runToEnd(guest.interrupt());
  };
  /** One operation, then what it put on each queue and which ioctls it made. */
  const step = (op: Op<OpResult>) => {
    events.length = 0;
    const result = runToEnd(op);
    settle();
    if (!result.ok) throw new Error(result.text);
    return seen();
  };
  const seen = () => {
    const posts = (queue: string): string[] =>
      events.flatMap((e) => (e.kind === 'command.post' && e.queue === queue ? [short(e.command)] : []));
    const ioctls = events.flatMap((e) =>
      e.kind === 'ioctl.enter' ? [e.call.replace(/^(IOMMU|VFIO_DEVICE)_/, '')] : [],
    );
    return { guest: posts('virtual'), host: posts('physical'), ioctls };
  };
  const dma = (iova: bigint, write = false, translated = false, d = devices[0]!, pasid = -1) => {
    const r = runToEnd(smmu.dma({ device: d, pasid, iova, write, translated }));
    settle();
    return r.stag === undefined ? r : (smmu.outcomeOf(r.stag) ?? r);
  };
  const listen = (f: (e: TraceEvent) => void): void => {
    trace.listener = f;
  };
  return { guestMemory, kernel, host, vmm, guest, devices, events, step, dma, listen, injector };
}

/** Raw words where the reference gives them, the text otherwise. */
function short(c: { name: string; text: string; words: readonly bigint[] }): string {
  if (c.name === 'SYNC') return 'SYNC';
  if (!/^(TLBI|ATC)/.test(c.name)) return c.text;
  return c.words.map((w) => w.toString(16).padStart(16, '0')).join(' ');
}

export type Machine = ReturnType<typeof machine>;

/** For tests: probed, all devices plugged, the guest booted. */
export function booted(o: Options = {}): Machine {
  const m = machine(o);
  runToEnd(m.host.probe());
  m.step(m.vmm.start());
  for (const d of m.devices) m.step(m.vmm.plug(d.name));
  m.step(m.guest.boot());
  return m;
}
