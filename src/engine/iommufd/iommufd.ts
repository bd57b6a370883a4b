import type { Op } from '../machine/index.ts';
import type { ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import type { IommuDriver, PageRequest } from './driver.ts';
import type { Errno } from './errno.ts';
import { deliverFault } from './fault.ts';
import { PAGE } from './iova.ts';
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
  /** The process that the file calls below belong to. */
  private readonly firstProcess: KernelProcess;

  /** `page`: page size of the kernel in bytes, 4096 when left out. */
  constructor(o: { driver: IommuDriver; process: ProcessMemory; trace: Trace; page?: number }) {
    const state: IommufdState = { contexts: new Map(), processes: [], owners: new Map(), nextContext: 0, nextKey: 1 };
    this.core = {
      state,
      kernel: {
        driver: o.driver,
        memoryOf: (process) => this.memories[process]!,
        trace: o.trace,
        page: BigInt(o.page ?? PAGE),
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
    this.firstProcess = this.process(o.process);
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
    return this.firstProcess.openIommufd();
  }

  hasDevice(device: string): boolean {
    return this.firstProcess.hasDevice(device);
  }

  openDevice(device: string): number {
    return this.firstProcess.openDevice(device);
  }

  ioctl(c: IoctlCall): Op<{ errno: Errno; out: Record<string, unknown>; main?: number }> {
    return this.firstProcess.ioctl(c);
  }

  read(fd: number, count: number): { errno: Errno; out: { bytes: number; records: readonly ReadRecord[] } } {
    return this.firstProcess.read(fd, count);
  }

  write(fd: number, records: readonly unknown[], count?: number): Op<{ errno: Errno; out: { bytes: number } }> {
    return this.firstProcess.write(fd, records, count);
  }

  readable(fd: number): boolean {
    return this.firstProcess.readable(fd);
  }

  close(fd: number): Op<{ errno: Errno }> {
    return this.firstProcess.close(fd);
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

  /** iommufd_fault_iopf_handler. While an attachment is being made there is no page table yet that could take it. */
  private reportFault(name: string, attachedAs: number, requests: readonly PageRequest[]): Errno {
    for (const ctx of this.core.state.contexts.values())
      for (const o of ctx.objects.values()) {
        if (o?.type !== 'DEVICE' || o.device !== name) continue;
        const attach = ctx.groups.get(o.group)?.attaches.get(attachedAs);
        const hwpt = attach && find(ctx, attach.hwpt);
        if ((hwpt?.type !== 'HWPT_PAGING' && hwpt?.type !== 'HWPT_NESTED') || hwpt.fault === null) continue;
        deliverFault(this.core.kernel, ctx, hwpt.fault, { device: o.id, attachedAs, requests });
        return '0';
      }
    return 'EINVAL';
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
