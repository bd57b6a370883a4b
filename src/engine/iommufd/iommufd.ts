import { type Op, pause } from '../machine/index.ts';
import type { ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import { destroyIoctl, releaseContext } from './destroy.ts';
import type { IommuDriver } from './driver.ts';
import type { Errno } from './errno.ts';
import { getHwInfo } from './hw-info.ts';
import { hwptAlloc } from './hwpt.ts';
import { hwptInvalidate } from './invalidate.ts';
import { ioasAlloc, ioasAllowIovas, ioasIovaRanges, ioasMap, ioasUnmap } from './ioas.ts';
import { failed, type IoctlResult, type Kernel } from './kernel.ts';
import { allObjects, type Context, findAs, type IommufdObject, newContext, sceneId, type Viommu } from './objects.ts';
import { copyStruct, type IoctlArgs, ioctlStruct, toBigInt } from './structs.ts';
import { ioctlText, primaryObject } from './text.ts';
import { vdeviceAlloc } from './vdevice.ts';
import { type ReadRecord, readVeventq, reportEvent, veventqAlloc } from './veventq.ts';
import { type VfioFile, vfioAttach, vfioBind, vfioClose, vfioDetach } from './vfio.ts';
import { type ObjectView, objectViews } from './views.ts';
import { viommuAlloc } from './viommu.ts';

type OpenFile =
  | { readonly kind: 'iommufd'; readonly ctx: number }
  | VfioFile
  | { readonly kind: 'veventq'; readonly ctx: number; readonly id: number };

interface State {
  contexts: Map<number, Context>;
  files: Map<number, OpenFile>;
  /** DMA ownership of IOMMU groups: the context that took it. */
  owners: Map<number, number>;
  nextContext: number;
  nextKey: number;
}

/** One ioctl as an actor makes it. Inputs by uAPI names; user pointers stand inline. */
export interface IoctlCall {
  readonly call: string;
  readonly fd: number;
  /** null: a NULL argument pointer. */
  readonly input: Readonly<Record<string, unknown>> | null;
  readonly size?: number;
  /** Hex bytes after the structure that lie inside `size`. */
  readonly tail?: string;
  /** Scene object of the caller. */
  readonly at?: string;
}

const commands: Readonly<Record<string, (k: Kernel, ctx: Context, a: IoctlArgs) => IoctlResult | Op<IoctlResult>>> = {
  IOMMU_DESTROY: destroyIoctl,
  IOMMU_IOAS_ALLOC: ioasAlloc,
  IOMMU_IOAS_ALLOW_IOVAS: (_k, ctx, a) => ioasAllowIovas(ctx, a),
  IOMMU_IOAS_IOVA_RANGES: (_k, ctx, a) => ioasIovaRanges(ctx, a),
  IOMMU_IOAS_MAP: ioasMap,
  IOMMU_IOAS_UNMAP: ioasUnmap,
  IOMMU_HWPT_ALLOC: hwptAlloc,
  IOMMU_GET_HW_INFO: getHwInfo,
  IOMMU_HWPT_INVALIDATE: hwptInvalidate,
  IOMMU_VIOMMU_ALLOC: viommuAlloc,
  IOMMU_VDEVICE_ALLOC: vdeviceAlloc,
  IOMMU_VEVENTQ_ALLOC: veventqAlloc,
};

const enter = pause('iommufd', 'ioctl.enter');
const exit = pause('iommufd', 'ioctl.exit');

/**
 * The kernel's iommufd and the file descriptors of the VMM process. fd 0 is /dev/iommu, open from the start. It drives the
 * IOMMU through `IommuDriver` only.
 */
export class Iommufd {
  private readonly kernel: Kernel;
  private state: State;

  constructor(o: { driver: IommuDriver; process: ProcessMemory; trace: Trace }) {
    this.state = {
      contexts: new Map(),
      files: new Map(),
      owners: new Map(),
      nextContext: 0,
      nextKey: 1,
    };
    this.kernel = {
      driver: o.driver,
      process: o.process,
      trace: o.trace,
      newViommuKey: () => this.state.nextKey++,
      openVeventq: (ctx, id) => {
        ctx.refs++;
        return this.install({ kind: 'veventq', ctx: ctx.index, id });
      },
    };
    o.driver.connect({
      findDevice: (viommu, virtId) => this.findDevice(viommu, virtId),
      virtualId: (viommu, device) => this.virtualId(viommu, device),
      reportEvent: (key, type, data) => {
        const v = this.viommuOf(key);
        return v ? reportEvent(v.ctx, v.viommu, type, data) : 'ENOENT';
      },
      viommuSceneId: (key) => {
        const v = this.viommuOf(key);
        return v ? sceneId(v.ctx, v.viommu.id) : 'kernel.driver';
      },
      domainSceneId: (domain) => this.domainSceneId(domain),
    });
    this.openIommufd();
  }

  /** open("/dev/iommu"): a new, empty context. @returns the lowest free fd */
  openIommufd(): number {
    const ctx = newContext(this.state.nextContext++);
    this.state.contexts.set(ctx.index, ctx);
    return this.install({ kind: 'iommufd', ctx: ctx.index });
  }

  /**
   * open("/dev/vfio/devices/vfioN") of a device. @returns the lowest free fd
   * @throws RangeError when the driver has no such device
   */
  openDevice(device: string): number {
    if (!this.kernel.driver.device(device)) throw new RangeError(`no device is named ${device}`);
    return this.install({ kind: 'vfio', device, ctx: null, id: 0, attached: false });
  }

  private install(file: OpenFile): number {
    let fd = 0;
    while (this.state.files.has(fd)) fd++;
    this.state.files.set(fd, file);
    return fd;
  }

  /** One ioctl: errno, the structure's outputs by name, and the main one (`main`), as far as the kernel writes them. */
  *ioctl(c: IoctlCall): Op<{ errno: Errno; out: Record<string, unknown>; main?: number }> {
    const { trace } = this.kernel;
    trace.ioctls++;
    const at = c.at ?? 'vmm.devices';
    const file = this.state.files.get(c.fd);
    const ctx = file && file.ctx !== null ? this.state.contexts.get(file.ctx) : undefined;
    const target = this.targetOf(c, file, ctx);
    if (trace.listener) {
      const text = ioctlText(c.call, c.input, (id) => ctx?.objects.get(id)?.type);
      trace.listener({
        kind: 'ioctl.enter',
        actor: 'vmm',
        at,
        to: target,
        call: c.call,
        fd: c.fd,
        input: c.input ?? {},
        text,
      });
    }
    yield enter;
    const r = yield* this.dispatch(c, file, ctx);
    if (trace.listener) {
      const outs = Object.entries(r.out).map(
        ([k, v]) => `${k} ${typeof v === 'object' ? JSON.stringify(v, hexBig) : v}`,
      );
      const text =
        r.errno === '0' ? `${c.call} ok${outs.length ? `: ${outs.join(', ')}` : ''}` : `${c.call} ${r.errno}`;
      trace.listener({
        kind: 'ioctl.exit',
        actor: 'iommufd',
        at: target,
        to: at,
        call: c.call,
        errno: r.errno,
        output: r.out,
        text,
      });
    }
    yield exit;
    return { errno: r.errno, out: r.out, ...(r.main === undefined ? {} : { main: r.main }) };
  }

  private *dispatch(c: IoctlCall, file: OpenFile | undefined, ctx: Context | undefined): Op<IoctlResult> {
    if (!file) return failed('EBADF');
    const struct = ioctlStruct(c.call);
    const vfio = c.call.startsWith('VFIO_');
    const handler = commands[c.call];
    if (!struct || vfio !== (file.kind === 'vfio') || file.kind === 'veventq' || (!vfio && !handler)) {
      // A device file that isn't bound yet refuses everything but its own bind call.
      if (file.kind === 'vfio' && file.ctx === null) return failed('EINVAL');
      return failed(c.input === null && file.kind === 'iommufd' ? 'EFAULT' : 'ENOTTY');
    }
    const copied = copyStruct(struct, c.input, c.size, c.tail);
    if (!('args' in copied)) return failed(copied.errno);
    const a = copied.args;
    let r: IoctlResult;
    if (file.kind === 'vfio') r = yield* this.vfio(c.call, c.fd, file, a);
    else {
      const result = handler!(this.kernel, ctx!, a);
      r = isOp(result) ? yield* result : result;
    }
    return r.errno === '0' || r.writesBack ? { ...r, out: a.response(r.out) } : failed(r.errno);
  }

  private *vfio(call: string, fd: number, file: VfioFile, a: IoctlArgs): Op<IoctlResult> {
    const files = {
      contextOf: (n: number): Context | 'EBADF' | 'EBADFD' => {
        const f = this.state.files.get(n);
        if (!f) return 'EBADF';
        return f.kind === 'iommufd' ? this.state.contexts.get(f.ctx)! : 'EBADFD';
      },
      openElsewhere: [...this.state.files].some(
        ([n, f]) => n !== fd && f.kind === 'vfio' && f.device === file.device && f.ctx !== null,
      ),
      owners: this.state.owners,
      update: (f: VfioFile) => this.state.files.set(fd, f),
    };
    const ctx = file.ctx === null ? null : this.state.contexts.get(file.ctx)!;
    switch (call) {
      case 'VFIO_DEVICE_BIND_IOMMUFD':
        return yield* vfioBind(this.kernel, file, files, a);
      case 'VFIO_DEVICE_ATTACH_IOMMUFD_PT':
        return yield* vfioAttach(this.kernel, ctx, file, files, a);
      case 'VFIO_DEVICE_DETACH_IOMMUFD_PT':
        return yield* vfioDetach(this.kernel, ctx, file, files, a);
      default:
        return failed('ENOTTY');
    }
  }

  /** read() on an event queue's fd; `out.bytes` and `out.records`. Other files: EINVAL. */
  read(fd: number, count: number): { errno: Errno; out: { bytes: number; records: readonly ReadRecord[] } } {
    const file = this.state.files.get(fd);
    const none = { bytes: 0, records: [] };
    if (!file) return { errno: 'EBADF', out: none };
    if (file.kind !== 'veventq') return { errno: 'EINVAL', out: none };
    const q = findAs(this.state.contexts.get(file.ctx)!, file.id, 'VEVENTQ')!;
    const r = readVeventq(this.kernel, q, count);
    return { errno: r.errno, out: { bytes: r.bytes, records: r.records } };
  }

  /** Records that wait in an event queue, for poll. */
  readable(fd: number): boolean {
    const file = this.state.files.get(fd);
    if (file?.kind !== 'veventq') return false;
    return findAs(this.state.contexts.get(file.ctx)!, file.id, 'VEVENTQ')!.records.length > 0;
  }

  /** close(): the last reference to an iommufd file destroys everything in it. */
  *close(fd: number): Op<{ errno: Errno }> {
    const file = this.state.files.get(fd);
    if (!file) return { errno: 'EBADF' };
    this.state.files.delete(fd);
    if (file.ctx === null) return { errno: '0' };
    const ctx = this.state.contexts.get(file.ctx)!;
    if (file.kind === 'vfio') yield* vfioClose(this.kernel, ctx, file, this.state.owners);
    if (file.kind === 'veventq') findAs(ctx, file.id, 'VEVENTQ')!.users--;
    ctx.refs--;
    if (ctx.refs === 0) {
      yield* releaseContext(this.kernel, ctx);
      this.state.contexts.delete(ctx.index);
    }
    return { errno: '0' };
  }

  /** All objects of all files, for the scene. */
  objects(): readonly ObjectView[] {
    return [...this.state.contexts.values()].flatMap((ctx) => objectViews(this.kernel.driver, ctx));
  }

  /** The object of that scene id, to inspect. */
  object(id: string): IommufdObject | null {
    for (const ctx of this.state.contexts.values())
      for (const o of allObjects(ctx)) if (sceneId(ctx, o.id) === id) return o;
    return null;
  }

  save(): unknown {
    return structuredClone(this.state);
  }

  load(s: unknown): void {
    this.state = structuredClone(s) as State;
  }

  private viommuOf(key: number): { ctx: Context; viommu: Viommu } | null {
    for (const ctx of this.state.contexts.values())
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

  private domainSceneId(domain: number): string {
    for (const ctx of this.state.contexts.values())
      for (const o of ctx.objects.values())
        if ((o?.type === 'HWPT_PAGING' || o?.type === 'HWPT_NESTED') && o.domain === domain) return sceneId(ctx, o.id);
    return 'kernel.driver';
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

  /** Scene object that a call goes to: the object it names, or the driver. */
  private targetOf(c: IoctlCall, file: OpenFile | undefined, ctx: Context | undefined): string {
    if (!ctx || !file) return 'kernel.driver';
    if (file.kind === 'vfio') return sceneId(ctx, file.id);
    const name = primaryObject[c.call];
    const value = name === undefined ? undefined : c.input?.[name];
    if (value === undefined) return 'kernel.driver';
    const id = Number(toBigInt(value));
    return ctx.objects.get(id) ? sceneId(ctx, id) : 'kernel.driver';
  }
}

const hexBig = (_k: string, v: unknown): unknown => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v);

function isOp(r: IoctlResult | Op<IoctlResult>): r is Op<IoctlResult> {
  return 'next' in r;
}
