import { succeeded } from '../../machine/fixtures/succeeded.ts';
import { Injector, type Op, type OpResult, runToEnd } from '../../machine/index.ts';
import { Memory, PageAllocator } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { staleNames } from '../hardware/fixtures/stale.ts';
import { physicalFeatures, Smmu } from '../hardware/index.ts';
import { commandText } from '../layout/index.ts';
import { GuestDriver, type GuestParts } from './driver.ts';

export interface BareOptions {
  readonly features?: Readonly<Record<string, boolean | number | string>>;
  readonly deviations?: string[];
  readonly devices?: readonly { name: string; rid: number; ats?: boolean; stall?: boolean; pri?: boolean }[];
  readonly page?: GuestParts['page'];
}

/**
 * For tests: the driver alone on the hardware model, as on a machine without a hypervisor. What it forgets shows in the
 * hardware's caches, with nobody in between who could make up for it.
 */
export function bareMachine(o: BareOptions = {}) {
  const memory = new Memory(2 ** 40);
  const trace = new Trace();
  const injector = new Injector(trace);
  const list = o.devices ?? [{ name: 'nic0', rid: 8 }];
  const devices = list.map(
    (d, i) =>
      new PciDevice(
        {
          name: d.name,
          rid: d.rid,
          vrid: d.rid,
          pasidBits: 16,
          ats: d.ats ?? false,
          pri: d.pri ?? false,
          stall: d.stall,
        },
        0,
        i,
      ),
  );
  const features = physicalFeatures({ HYP: false, MSI: false, ...o.features });
  const smmu = new Smmu(memory, features, devices, trace, injector);
  const port = {
    readVirtual: (reg: string): bigint => smmu.readRegister(reg),
    writeVirtual: (reg: string, value: bigint): Op<void> => smmu.writeRegister(reg, value),
    irq: smmu.irq,
  };
  const pages = new PageAllocator(0x48000000, 0x80000000);
  /** Another kernel on the same hardware, as after kexec. */
  const kernel = (deviations = o.deviations ?? []): GuestDriver =>
    new GuestDriver({
      memory,
      pages,
      smmu: port,
      devices: list.map((d) => ({
        name: d.name,
        vrid: d.rid,
        pasidBits: 16,
        atsCapable: d.ats ?? false,
        canStall: d.stall ?? false,
      })),
      trace,
      injector,
      deviations,
      ...(o.page ? { page: o.page } : {}),
    });
  const driver = kernel();
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);

  /** One operation and the interrupts after it. ATS of the devices follows the driver's wish, which is the PCI core's part. */
  const run = (op: Op<OpResult>, k = driver): OpResult => {
    const r = runToEnd(op);
    settle(k);
    return r;
  };
  const ok = (op: Op<OpResult>, k = driver): OpResult => succeeded(run(op, k));
  const settle = (k = driver): void => {
    runToEnd(k.interrupt());
    for (const v of k.views().devices) devices.find((d) => d.name === v.name)!.atsEnabled = v.atsEnabled;
  };
  const device = (name: string): PciDevice => devices.find((d) => d.name === name)!;
  const dma = (iova: number, q: { pasid?: number; write?: boolean; translated?: boolean; device?: string } = {}) => {
    const { pasid = -1, write = false, translated = false } = q;
    const r = runToEnd(smmu.dma({ device: device(q.device ?? 'nic0'), pasid, iova: BigInt(iova), write, translated }));
    settle();
    return r.stag === undefined ? r : (smmu.outcomeOf(r.stag) ?? r);
  };
  /** Cached entries that a fresh look at memory would not give, as the names of their caches. */
  const stale = (): string[] => staleNames([smmu], devices).map((n) => n.replace(/^ATC .*/, 'ATC'));
  /** The commands posted since the last call. */
  const posted = (): string[] =>
    events.splice(0).flatMap((e) => (e.kind === 'command.post' ? [commandText([...e.command.words]).text] : []));
  return { memory, smmu, devices, device, driver, kernel, events, run, ok, settle, dma, stale, posted };
}

export type BareMachine = ReturnType<typeof bareMachine>;
