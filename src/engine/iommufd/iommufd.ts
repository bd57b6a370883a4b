import type { Op } from '../machine/index.ts';
import type { ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import type { IommuDriver, PageRequest } from './driver.ts';
import type { Errno } from './errno.ts';
import { deliverFault } from './fault.ts';
import { allObjects, type Context, find, findAs, type IommufdObject, sceneId, type Viommu } from './objects.ts';
import { type Core, type IoctlCall, type IommufdState, KernelProcess } from './process.ts';
import { type ReadRecord, reportEvent } from './veventq.ts';
import { type ObjectView, objectViews } from './views.ts';

/**
 * The kernel's iommufd: its objects and the processes that have files open. It drives the IOMMU through `IommuDriver` only.
 * Its own file calls are those of the first process.
 */
export class Iommufd {
  private readonly core: Core;
  private readonly processes: KernelProcess[] = [];
  private readonly memories: ProcessMemory[] = [];
  private readonly first: KernelProcess;

  constructor(o: { driver: IommuDriver; process: ProcessMemory; trace: Trace }) {
    const state: IommufdState = { contexts: new Map(), processes: [], owners: new Map(), nextContext: 0, nextKey: 1 };
    this.core = {
      state,
      kernel: {
        driver: o.driver,
        memoryOf: (process) => this.memories[process]!,
        trace: o.trace,
        newViommuKey: () => this.core.state.nextKey++,
        openQueue: (ctx, kind, id) => {
          ctx.refs++;
          return this.processes[ctx.process]!.install({ kind, ctx: ctx.index, id });
        },
      },
    };
    o.driver.connect({
      findDevice: (viommu, virtId) => this.findDevice(viommu, virtId),
      virtualId: (viommu, device) => this.virtualId(viommu, device),
      reportFault: (device, attachedAs, requests) => this.reportFault(device, attachedAs, requests),
      reportEvent: (key, type, data) => {
        const v = this.viommuOf(key);
        return v ? reportEvent(v.ctx, v.viommu, type, data) : 'ENOENT';
      },
      viommuSceneId: (key) => {
        const v = this.viommuOf(key);
        return v ? sceneId(v.ctx, v.viommu.id) : (o.driver.sceneId?.() ?? 'kernel.driver');
      },
      domainSceneId: (domain) => this.domainSceneId(domain),
    });
    this.first = this.process(o.process);
  }

  /**
   * A process with an empty fd table, but for fd 0: /dev/iommu. Processes are made while a machine is wired, in the same
   * order each time, before anything is saved.
   * @param memory its address space, for pinning
   */
  process(memory: ProcessMemory): KernelProcess {
    const p = new KernelProcess(this.core, this.processes.length);
    this.processes.push(p);
    this.memories.push(memory);
    this.core.state.processes.push(new Map());
    p.openIommufd();
    return p;
  }

  openIommufd(): number {
    return this.first.openIommufd();
  }

  openDevice(device: string): number {
    return this.first.openDevice(device);
  }

  ioctl(c: IoctlCall): Op<{ errno: Errno; out: Record<string, unknown>; main?: number }> {
    return this.first.ioctl(c);
  }

  read(fd: number, count: number): { errno: Errno; out: { bytes: number; records: readonly ReadRecord[] } } {
    return this.first.read(fd, count);
  }

  write(fd: number, records: readonly unknown[], count?: number): Op<{ errno: Errno; out: { bytes: number } }> {
    return this.first.write(fd, records, count);
  }

  readable(fd: number): boolean {
    return this.first.readable(fd);
  }

  close(fd: number): Op<{ errno: Errno }> {
    return this.first.close(fd);
  }

  /** All objects of all files, for the scene. */
  objects(): readonly ObjectView[] {
    return [...this.core.state.contexts.values()].flatMap((ctx) => objectViews(this.core.kernel.driver, ctx));
  }

  /** The object of that scene id, to inspect. */
  object(id: string): IommufdObject | null {
    for (const ctx of this.core.state.contexts.values())
      for (const o of allObjects(ctx)) if (sceneId(ctx, o.id) === id) return o;
    return null;
  }

  save(): unknown {
    return structuredClone(this.core.state);
  }

  load(s: unknown): void {
    this.core.state = structuredClone(s) as IommufdState;
  }

  private viommuOf(key: number): { ctx: Context; viommu: Viommu } | null {
    for (const ctx of this.core.state.contexts.values())
      for (const o of ctx.objects.values()) if (o?.type === 'VIOMMU' && o.key === key) return { ctx, viommu: o };
    return null;
  }

  private findDevice(key: number, virtId: bigint): string | null {
    const v = this.viommuOf(key);
    const entry = v?.viommu.vdevices.find((x) => x.virtId === virtId);
    if (!v || !entry) return null;
    const vdev = findAs(v.ctx, entry.vdevice, 'VDEVICE')!;
    return findAs(v.ctx, vdev.device, 'DEVICE')!.device;
  }

  /** iommufd_fault_iopf_handler; the driver calls it only for a domain that has a fault queue. */
  private reportFault(name: string, attachedAs: number, requests: readonly PageRequest[]): void {
    for (const ctx of this.core.state.contexts.values())
      for (const o of ctx.objects.values())
        if (o?.type === 'DEVICE' && o.device === name) {
          const attach = ctx.groups.get(o.group)?.attaches.get(attachedAs);
          const hwpt = attach && find(ctx, attach.hwpt);
          if (hwpt?.type !== 'HWPT_PAGING' && hwpt?.type !== 'HWPT_NESTED') continue;
          deliverFault(this.core.kernel, ctx, hwpt, { device: o.id, attachedAs, requests });
          return;
        }
    throw new Error(`a page request of ${name} without a fault queue`);
  }

  private domainSceneId(domain: number): string {
    for (const ctx of this.core.state.contexts.values())
      for (const o of ctx.objects.values())
        if ((o?.type === 'HWPT_PAGING' || o?.type === 'HWPT_NESTED') && o.domain === domain) return sceneId(ctx, o.id);
    return this.core.kernel.driver.sceneId?.() ?? 'kernel.driver';
  }

  private virtualId(key: number, device: string): bigint | null {
    const v = this.viommuOf(key);
    if (!v) return null;
    for (const entry of v.viommu.vdevices) {
      const vdev = findAs(v.ctx, entry.vdevice, 'VDEVICE')!;
      if (findAs(v.ctx, vdev.device, 'DEVICE')!.device === device) return entry.virtId;
    }
    return null;
  }
}
