import { type Op, pause } from '../machine/index.ts';
import { destroyIoctl, releaseContext } from './destroy.ts';
import { getDirtyBitmap, setDirtyTracking } from './dirty.ts';
import type { Errno } from './errno.ts';
import { faultAlloc, readFaults, writeResponses } from './fault.ts';
import { getHwInfo } from './hw-info.ts';
import { hwptAlloc } from './hwpt.ts';
import { hwptInvalidate } from './invalidate.ts';
import { ioasAlloc, ioasAllowIovas, ioasIovaRanges, ioasMap, ioasUnmap } from './ioas.ts';
import { failed, type IoctlResult, type Kernel } from './kernel.ts';
import {
  type Context,
  type Fault,
  find,
  type IommufdObject,
  mustFind,
  newContext,
  sceneId,
  type Veventq,
} from './objects.ts';
import { copyStruct, type IoctlArgs, ioctlStruct, toBigInt } from './structs.ts';
import { ioctlText, numberText, primaryObject } from './text.ts';
import { vdeviceAlloc } from './vdevice.ts';
import { type ReadRecord, readVeventq, veventqAlloc } from './veventq.ts';
import { type VfioFile, vfioAttach, vfioBind, vfioClose, vfioDetach } from './vfio.ts';
import { viommuAlloc } from './viommu.ts';

export type OpenFile =
  | { readonly kind: 'iommufd'; readonly ctx: number }
  | VfioFile
  | { readonly kind: 'veventq' | 'fault'; readonly ctx: number; readonly id: number };

type QueueFile = Extract<OpenFile, { kind: 'veventq' | 'fault' }>;

const isQueue = (f: OpenFile): f is QueueFile => f.kind === 'veventq' || f.kind === 'fault';

/** All that iommufd keeps between two calls: plain data. */
export interface IommufdState {
  contexts: Map<number, Context>;
  /** The fd table of each process. */
  processes: Map<number, OpenFile>[];
  /** DMA ownership of IOMMU groups: the context that took it. */
  owners: Map<number, number>;
  nextContext: number;
  nextKey: number;
}

/** What the processes share; `state` is replaced as a whole when a snapshot is loaded. */
export interface Core {
  readonly kernel: Kernel;
  state: IommufdState;
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
  IOMMU_HWPT_SET_DIRTY_TRACKING: setDirtyTracking,
  IOMMU_HWPT_GET_DIRTY_BITMAP: getDirtyBitmap,
  IOMMU_HWPT_INVALIDATE: hwptInvalidate,
  IOMMU_FAULT_QUEUE_ALLOC: faultAlloc,
  IOMMU_VIOMMU_ALLOC: viommuAlloc,
  IOMMU_VDEVICE_ALLOC: vdeviceAlloc,
  IOMMU_VEVENTQ_ALLOC: veventqAlloc,
};

const enter = pause('iommufd', 'ioctl.enter');
const exit = pause('iommufd', 'ioctl.exit');

/** A process (a VMM) as the kernel sees it: its file descriptors. fd 0 is /dev/iommu, open from the start. */
export class KernelProcess {
  private readonly core: Core;
  /** Place in the kernel's list of processes. */
  private readonly index: number;

  constructor(core: Core, index: number) {
    this.core = core;
    this.index = index;
  }

  private get kernel(): Kernel {
    return this.core.kernel;
  }

  private get state(): IommufdState {
    return this.core.state;
  }

  private get files(): Map<number, OpenFile> {
    return this.core.state.processes[this.index]!;
  }

  /** open("/dev/iommu"): a new, empty context. @returns the lowest free fd */
  openIommufd(): number {
    const ctx = newContext(this.state.nextContext++, this.index);
    this.state.contexts.set(ctx.index, ctx);
    return this.install({ kind: 'iommufd', ctx: ctx.index });
  }

  /** Whether VFIO has a file for the device: its IOMMU's driver must have taken it (vfio.ko needs an IOMMU group). */
  hasDevice(device: string): boolean {
    return this.kernel.driver.device(device) !== undefined;
  }

  /**
   * open("/dev/vfio/devices/vfioN") of a device. @returns the lowest free fd
   * @throws RangeError when the driver has no such device
   */
  openDevice(device: string): number {
    if (!this.kernel.driver.device(device)) throw new RangeError(`no device is named ${device}`);
    return this.install({ kind: 'vfio', device, ctx: null, id: 0, attached: false, pasids: [] });
  }

  /** The lowest free fd for an open file. */
  install(file: OpenFile): number {
    let fd = 0;
    while (this.files.has(fd)) fd++;
    this.files.set(fd, file);
    return fd;
  }

  /** One ioctl: errno, the structure's outputs by name, and the main one (`main`), as far as the kernel writes them. */
  *ioctl(c: IoctlCall): Op<{ errno: Errno; out: Record<string, unknown>; main?: number }> {
    const { trace } = this.kernel;
    trace.ioctls++;
    const at = c.at ?? 'vmm.devices';
    const file = this.files.get(c.fd);
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
        ([k, v]) => `${k} ${typeof v === 'object' ? JSON.stringify(v, hexBig) : numberText(k, v)}`,
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
    if (!struct || vfio !== (file.kind === 'vfio') || isQueue(file) || (!vfio && !handler)) {
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
        const f = this.files.get(n);
        if (!f) return 'EBADF';
        return f.kind === 'iommufd' ? this.state.contexts.get(f.ctx)! : 'EBADFD';
      },
      openElsewhere: this.state.processes.some((files) =>
        [...files.values()].some((f) => f !== file && f.kind === 'vfio' && f.device === file.device && f.ctx !== null),
      ),
      owners: this.state.owners,
      update: (f: VfioFile) => this.files.set(fd, f),
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

  /** read() on the fd of an event or fault queue; `out.bytes` and `out.records`. Other files: EINVAL. */
  read(fd: number, count: number): { errno: Errno; out: { bytes: number; records: readonly ReadRecord[] } } {
    const file = this.files.get(fd);
    const none = { bytes: 0, records: [] };
    if (!file) return { errno: 'EBADF', out: none };
    if (!isQueue(file)) return { errno: 'EINVAL', out: none };
    const q = this.queueOf(file);
    const r = q.type === 'VEVENTQ' ? readVeventq(this.kernel, q, count) : readFaults(q, count);
    return { errno: r.errno, out: { bytes: r.bytes, records: r.records } };
  }

  /**
   * write() on the fd of a fault queue: `records` are struct iommu_hwpt_page_response. Other files: EINVAL.
   * @param count bytes, where they are not those of the records
   */
  *write(fd: number, records: readonly unknown[], count?: number): Op<{ errno: Errno; out: { bytes: number } }> {
    const file = this.files.get(fd);
    if (!file) return { errno: 'EBADF', out: { bytes: 0 } };
    const q = isQueue(file) ? this.queueOf(file) : null;
    if (q?.type !== 'FAULT') return { errno: 'EINVAL', out: { bytes: 0 } };
    const r = yield* writeResponses(this.kernel, this.state.contexts.get(file.ctx!)!, q, records, count);
    return { errno: r.errno, out: { bytes: r.bytes } };
  }

  /** Something waits in an event or fault queue, for poll. */
  readable(fd: number): boolean {
    const file = this.files.get(fd);
    if (!file || !isQueue(file)) return false;
    const q = this.queueOf(file);
    return (q.type === 'VEVENTQ' ? q.records : q.deliver).length > 0;
  }

  /** An open fd holds its queue. */
  private queueOf(file: QueueFile): Veventq | Fault {
    const ctx = this.state.contexts.get(file.ctx)!;
    return file.kind === 'veventq' ? mustFind(ctx, file.id, 'VEVENTQ') : mustFind(ctx, file.id, 'FAULT');
  }

  /** close(): the last reference to an iommufd file destroys everything in it. */
  *close(fd: number): Op<{ errno: Errno }> {
    const file = this.files.get(fd);
    if (!file) return { errno: 'EBADF' };
    this.files.delete(fd);
    if (file.ctx === null) return { errno: '0' };
    const ctx = this.state.contexts.get(file.ctx)!;
    if (file.kind === 'vfio') yield* vfioClose(this.kernel, ctx, file, this.state.owners);
    if (isQueue(file)) this.queueOf(file).users--;
    ctx.refs--;
    if (ctx.refs === 0) {
      yield* releaseContext(this.kernel, ctx);
      this.state.contexts.delete(ctx.index);
    }
    return { errno: '0' };
  }

  /** Scene object that a call goes to: the object it names, or the driver. */
  private targetOf(c: IoctlCall, file: OpenFile | undefined, ctx: Context | undefined): string {
    const driver = (device?: string): string => this.kernel.driver.sceneId?.(device) ?? 'kernel.driver';
    if (file?.kind === 'vfio' && file.ctx === null) return driver(file.device);
    if (!ctx || !file) return driver();
    if (file.kind === 'vfio') return sceneId(ctx, file.id);
    const named = (field: string | undefined): IommufdObject | null => {
      const value = field === undefined ? undefined : c.input?.[field];
      return value === undefined ? null : find(ctx, Number(toBigInt(value)));
    };
    const o = named(primaryObject[c.call]);
    if (o) return sceneId(ctx, o.id);
    const dev = named('dev_id');
    return driver(dev?.type === 'DEVICE' ? dev.device : undefined);
  }
}

const hexBig = (_k: string, v: unknown): unknown => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v);

function isOp(r: IoctlResult | Op<IoctlResult>): r is Op<IoctlResult> {
  return 'next' in r;
}
