import type { Op } from '../machine/index.ts';
import { detachDevice } from './attach.ts';
import { attachDevice, bindDevice, unbindDevice } from './device.ts';
import { failed, type IoctlResult, type Kernel } from './kernel.ts';
import { type Context, mustFind, NO_PASID } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

/** The iommufd side of a VFIO device file (drivers/vfio/device_cdev.c, iommufd.c). */

/** An open /dev/vfio/devices/vfioN. */
export interface VfioFile {
  readonly kind: 'vfio';
  readonly device: string;
  /** Context that it is bound to. */
  readonly ctx: number | null;
  /** Its DEVICE object. */
  readonly id: number;
  /** Without PASID something is attached: a further attach is a replace. */
  readonly attached: boolean;
  /** PASIDs that were attached through the PASID flag (vdev->pasids). PASID 0 is one of them, though it means the RID. */
  readonly pasids: readonly number[];
}

interface Files {
  contextOf(fd: number): Context | 'EBADF' | 'EBADFD';
  /** The device is bound through another fd. */
  readonly openElsewhere: boolean;
  readonly owners: Map<number, number>;
  update(file: VfioFile): void;
}

const BIND_TOKEN = 1;
const FLAG_PASID = 1;
const INT_MAX = 0x7fffffff;

/** VFIO_DEVICE_BIND_IOMMUFD. DMA of the device is blocked from here until it is attached. */
export function* vfioBind(k: Kernel, file: VfioFile, files: Files, a: IoctlArgs): Op<IoctlResult> {
  const flags = a.num('flags');
  if (a.num('iommufd') > 0x7fffffff || flags & ~BIND_TOKEN) return failed('EINVAL');
  if (file.ctx !== null) return failed('EINVAL');
  // These devices have no VF token.
  if (flags & BIND_TOKEN) return failed('EINVAL');
  const ctx = files.contextOf(a.num('iommufd'));
  if (typeof ctx === 'string') return failed(ctx);
  if (files.openElsewhere) return failed('EINVAL');
  const { group } = k.driver.device(file.device)!;
  const owner = files.owners.get(group);
  if (owner !== undefined && owner !== ctx.index) return failed('EPERM');
  if (owner === undefined) {
    files.owners.set(group, ctx.index);
    for (const name of k.driver.groupDevices(group)) yield* k.driver.block(name);
  }
  ctx.refs++;
  const dev = bindDevice(k, ctx, file.device);
  files.update({ ...file, ctx: ctx.index, id: dev.id });
  return { errno: '0', out: { out_devid: dev.id }, main: dev.id };
}

/**
 * The PASID of an attach or detach, null for the RID.
 * @param withPasid bytes that the structure needs to hold the field
 */
function pasidOf(a: IoctlArgs, withPasid: number): number | null | 'EINVAL' {
  const flags = a.num('flags');
  if (flags & ~FLAG_PASID) return 'EINVAL';
  if (!(flags & FLAG_PASID)) return null;
  return a.size < withPasid ? 'EINVAL' : a.num('pasid');
}

/** vfio_iommufd_physical_attach_ioas and _pasid_attach_ioas: what is attached already is replaced. */
export function* vfioAttach(
  k: Kernel,
  ctx: Context | null,
  file: VfioFile,
  files: Files,
  a: IoctlArgs,
): Op<IoctlResult> {
  if (!ctx) return failed('EINVAL');
  const pasid = pasidOf(a, 16);
  if (pasid === 'EINVAL') return failed(pasid);
  const replace = pasid === null ? file.attached : file.pasids.includes(pasid);
  // The list of PASIDs has room for positive 32-bit numbers.
  if (!replace && pasid !== null && pasid > INT_MAX) return failed('ENOSPC');
  const dev = mustFind(ctx, file.id, 'DEVICE');
  const r = yield* attachDevice(k, ctx, dev, a.num('pt_id'), pasid ?? NO_PASID, replace);
  if (r.errno !== '0') return failed(r.errno);
  if (pasid === null) files.update({ ...file, attached: true });
  else if (!replace) files.update({ ...file, pasids: [...file.pasids, pasid].sort((x, y) => x - y) });
  return { errno: '0', out: { pt_id: r.hwpt }, main: r.hwpt };
}

/** Detaching what is not attached is not an error. */
export function* vfioDetach(
  k: Kernel,
  ctx: Context | null,
  file: VfioFile,
  files: Files,
  a: IoctlArgs,
): Op<IoctlResult> {
  if (!ctx) return failed('EINVAL');
  const pasid = pasidOf(a, 12);
  if (pasid === 'EINVAL') return failed(pasid);
  const dev = mustFind(ctx, file.id, 'DEVICE');
  if (pasid === null) {
    if (file.attached) yield* detachDevice(k, ctx, dev, NO_PASID);
    files.update({ ...file, attached: false });
  } else if (file.pasids.includes(pasid)) {
    yield* detachDevice(k, ctx, dev, pasid);
    files.update({ ...file, pasids: file.pasids.filter((p) => p !== pasid) });
  }
  return { errno: '0', out: {} };
}

/** Closing the file: detach the PASIDs and the RID, unbind, and DMA ownership goes back with the last device of the group. */
export function* vfioClose(k: Kernel, ctx: Context, file: VfioFile, owners: Map<number, number>): Op<void> {
  const dev = mustFind(ctx, file.id, 'DEVICE');
  for (const pasid of file.pasids) yield* detachDevice(k, ctx, dev, pasid);
  if (file.attached) yield* detachDevice(k, ctx, dev, NO_PASID);
  const { group } = dev;
  unbindDevice(k, ctx, dev);
  for (const o of ctx.objects.values()) if (o?.type === 'DEVICE' && o.group === group) return;
  owners.delete(group);
  for (const name of k.driver.groupDevices(group)) yield* k.driver.release(name);
}
