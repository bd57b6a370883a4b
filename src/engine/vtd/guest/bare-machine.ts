import { succeeded } from '../../machine/fixtures/succeeded.ts';
import { Injector, type Op, type OpResult, runToEnd } from '../../machine/index.ts';
import { Memory, PageAllocator } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { staleNames } from '../hardware/fixtures/stale.ts';
import { physicalFeatures, VtdUnit } from '../hardware/index.ts';
import { descriptorText } from '../layout/index.ts';
import { GuestDriver } from './driver.ts';

export interface BareOptions {
  readonly features?: Readonly<Record<string, boolean | number>>;
  readonly deviations?: string[];
  readonly devices?: readonly { name: string; rid: number; ats?: boolean; pri?: boolean }[];
  /** Pages that the guest's kernel has for tables and queues. */
  readonly pages?: number;
}

/**
 * For tests: the driver alone on the hardware model, as on a machine without a hypervisor. What it forgets shows in the
 * hardware's caches, with nobody in between who could make up for it.
 */
export function bareMachine(o: BareOptions = {}) {
  const memory = new Memory(2 ** 40);
  const trace = new Trace();
  const injector = new Injector(trace);
  const list = o.devices ?? [{ name: 'nic0', rid: 0x18, ats: true, pri: true }];
  const devices = list.map(
    (d, i) =>
      new PciDevice(
        { name: d.name, rid: d.rid, vrid: d.rid, pasidBits: 16, ats: d.ats ?? false, pri: d.pri ?? false },
        0,
        i,
      ),
  );
  const unit = new VtdUnit(memory, physicalFeatures(o.features ?? {}), devices, trace, injector);
  const port = {
    readVirtual: (reg: string): bigint => unit.readRegister(reg),
    writeVirtual: (reg: string, value: bigint): Op<void> => unit.writeRegister(reg, value),
    irq: unit.irq,
  };
  const pages = new PageAllocator(0x48000000, 0x48000000 + (o.pages ?? 2 ** 18) * 4096);
  const driver = new GuestDriver({
    memory,
    pages,
    units: [{ name: 'dmar0', iommu: port, devices: list.map((d) => d.name) }],
    devices: list.map((d) => ({
      name: d.name,
      vrid: d.rid,
      pasidBits: 16,
      atsCapable: d.ats ?? false,
      priCapable: d.pri ?? false,
    })),
    trace,
    injector,
    deviations: o.deviations,
  });
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);

  /** One operation and the interrupts after it. The devices' capabilities follow the driver's wish. */
  const run = (op: Op<OpResult>): OpResult => {
    const r = runToEnd(op);
    settle();
    return r;
  };
  const ok = (op: Op<OpResult>): OpResult => succeeded(run(op));
  const settle = (): void => {
    runToEnd(driver.interrupt());
    for (const [i, p] of driver.pci.entries()) {
      const d = devices[i]!;
      d.atsEnabled = p.atsEnabled;
      d.pasidEnabled = p.pasidEnabled;
      d.priEnabled = p.priEnabled;
    }
  };
  const device = (name: string): PciDevice => devices.find((d) => d.name === name)!;
  const dma = (iova: number, q: { pasid?: number; write?: boolean; translated?: boolean; device?: string } = {}) => {
    const { pasid = -1, write = false, translated = false } = q;
    const r = runToEnd(unit.dma({ device: device(q.device ?? 'nic0'), pasid, iova: BigInt(iova), write, translated }));
    settle();
    return r;
  };
  /** A page request of one request, and what comes back: true when the device has an answer of success. */
  const pageRequest = (iova: number, pasid: number, write: boolean, name = 'nic0') => {
    events.length = 0;
    const r = runToEnd(unit.pri(device(name), pasid, BigInt(iova), { read: !write, write }, 0, true));
    settle();
    const answer = events.find((e) => e.kind === 'page.response');
    return { ...r, code: answer?.kind === 'page.response' ? answer.code : null };
  };
  /** Cached entries that a fresh look at memory would not give, as the names of their caches. */
  const stale = (): string[] => staleNames([unit], devices).map((n) => n.replace(/^ATC .*/, 'ATC'));
  /** The descriptors posted since the last call. */
  const posted = (): string[] =>
    events.splice(0).flatMap((e) => (e.kind === 'command.post' ? [descriptorText([...e.command.words]).text] : []));
  /** Pages that the guest's kernel has not given back. */
  const pagesHeld = (): number => {
    const { next, free } = pages.save();
    return (next - 0x48000000) / 4096 - free.reduce((sum, f) => sum + f.size / 4096, 0);
  };
  return {
    memory,
    unit,
    devices,
    device,
    driver,
    events,
    run,
    ok,
    settle,
    dma,
    pageRequest,
    stale,
    posted,
    pages,
    pagesHeld,
  };
}

export type BareMachine = ReturnType<typeof bareMachine>;

/** Booted, `nic0` attached to `d0`, which maps a page at 0x10000. */
export function bareAttached(o: BareOptions = {}): BareMachine {
  const m = bareMachine(o);
  m.ok(m.driver.boot());
  m.ok(m.driver.attach({ device: 'nic0', domain: 'd0' }));
  m.ok(m.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x1000000, size: 4096 }));
  return m;
}
