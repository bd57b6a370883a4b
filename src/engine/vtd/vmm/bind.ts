import { hexPlain } from '../../bits/index.ts';
import type { Op } from '../../machine/index.ts';
import { allocFaultQueue, type FaultQueue, ioctl, outputOf, report } from '../../vmm/index.ts';
import { deviceText, s1Layout } from '../layout/index.ts';
import { allowsPageRequests, contextEntry } from './guest-tables.ts';
import { didOf, type HwptData, pgttOf } from './pasid-entry.ts';
import type { Binding, UnitContext, VmmDevice } from './state.ts';

/** IOMMU_HWPT_FAULT_ID_VALID, IOMMU_HWPT_ALLOC_PASID, IOMMU_HWPT_DATA_VTD_S1 */
const FAULT_ID_VALID = 4;
const ALLOC_PASID = 8;
const HWPT_DATA_VTD_S1 = 1;
const HWPT_DATA_BYTES = 24;
/** VFIO_DEVICE_ATTACH_PASID, VFIO_DEVICE_DETACH_PASID */
const WITH_PASID = 1;

/** A nested HWPT with its fault queue, or why there is none: the call and the errno. */
type Made = { readonly hwpt: number; readonly faultQueue: FaultQueue | null } | { readonly failure: string };

/**
 * vtd_device_attach_iommufd: the device's PASID gets the HWPT that the guest's entry asks for. A replaced one goes after the
 * attach, a new one that cannot be attached goes at once.
 * @returns '' or why it failed; the device then keeps what it had, as far as the kernel lets it
 */
export function* attachBinding(u: UnitContext, d: VmmDevice, b: Binding): Op<string> {
  const { rules } = u.vmm;
  const wants = rules.wants(b.entry);
  if (wants === 'invalid') return `Invalid PGTT type ${pgttOf(b.entry)}`;
  let hwpt = d.parent;
  let faultQueue: FaultQueue | null = null;
  if (wants === 'nested') {
    const made = yield* makeNested(u, d, b);
    if ('failure' in made) return made.failure;
    ({ hwpt, faultQueue } = made);
  }
  const destroyFirst = rules.replaceOrder() === 'destroy-first';
  if (destroyFirst) yield* freeNested(u, b);
  if (b.hwpt && rules.detachesFirst()) yield* detachPasid(u, d, b.pasid);
  const errno = yield* attachPasid(u, d, b.pasid, hwpt);
  if (errno !== '0') {
    if (wants === 'nested' && rules.destroysAfterFailure()) {
      yield* destroy(u, hwpt);
      yield* freeFaultQueue(u, faultQueue);
    }
    return `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`;
  }
  if (!destroyFirst) yield* freeNested(u, b);
  b.hwpt = wants === 'nested' ? hwpt : 0;
  b.faultQueue = faultQueue;
  return '';
}

/** vtd_device_detach_iommufd. @returns '' or why it failed; HWPT and fault queue then stay */
export function* detachBinding(u: UnitContext, d: VmmDevice, b: Binding): Op<string> {
  const { dmarEnabled, rootScalable } = u.state;
  const toDefault = u.vmm.rules.unbindsTo(b.pasid, dmarEnabled && rootScalable) === 'default';
  const errno = yield* toDefault ? attachPasid(u, d, b.pasid, d.parent) : detachPasid(u, d, b.pasid);
  if (errno !== '0') return `VFIO_DEVICE_${toDefault ? 'ATTACH' : 'DETACH'}_IOMMUFD_PT: ${errno}`;
  yield* freeNested(u, b);
  return '';
}

/** host_iommu_device_iommufd_attach_hwpt: VFIO replaces what is attached. @returns the errno */
export function* attachPasid(u: UnitContext, d: VmmDevice, pasid: number, hwpt: number): Op<string> {
  const input = pasid === 0 ? { flags: 0, pt_id: hwpt } : { flags: WITH_PASID, pt_id: hwpt, pasid };
  return (yield* ioctl(u, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', input, d.fd)).errno;
}

/** host_iommu_device_iommufd_detach_hwpt: the device is blocked for that PASID. @returns the errno */
export function* detachPasid(u: UnitContext, d: VmmDevice, pasid: number): Op<string> {
  const input = pasid === 0 ? { flags: 0 } : { flags: WITH_PASID, pasid };
  return (yield* ioctl(u, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', input, d.fd)).errno;
}

/** vtd_create_fs_faultq and vtd_create_fs_hwpt. */
function* makeNested(u: UnitContext, d: VmmDevice, b: Binding): Op<Made> {
  const { rules } = u.vmm;
  let faultQueue: FaultQueue | null = null;
  if (wantsFaults(u, d)) {
    const q = yield* allocFaultQueue(u);
    if (typeof q === 'string') return { failure: `IOMMU_FAULT_QUEUE_ALLOC: ${q}` };
    faultQueue = q;
  }
  const data = rules.hwptData(b.entry);
  const r = yield* ioctl(u, 'IOMMU_HWPT_ALLOC', {
    flags: (u.state.offer.pasidBits > 0 ? ALLOC_PASID : 0) | (faultQueue ? FAULT_ID_VALID : 0),
    dev_id: d.devid,
    pt_id: d.parent,
    data_type: HWPT_DATA_VTD_S1,
    data_len: HWPT_DATA_BYTES,
    data: { ...data },
    ...(faultQueue ? { fault_id: faultQueue.id } : {}),
  });
  if (r.errno !== '0') {
    yield* freeFaultQueue(u, faultQueue);
    return { failure: `IOMMU_HWPT_ALLOC: ${r.errno}` };
  }
  const hwpt = outputOf(r.out, 'out_hwpt_id');
  showRewrite(u, d, b, data, hwpt);
  return { hwpt, faultQueue };
}

/** The guest is offered page requests and lets the device make them. */
function wantsFaults(u: UnitContext, d: VmmDevice): boolean {
  if (!u.vmm.forwardsFaults || !u.state.offer.svm) return false;
  const context = contextEntry(u, d.vrid);
  return typeof context !== 'number' && allowsPageRequests(context);
}

/** What a binding has in the kernel and no device uses any more. */
export function* freeNested(u: UnitContext, b: Binding): Op<void> {
  const { hwpt, faultQueue } = b;
  b.hwpt = 0;
  b.faultQueue = null;
  b.pending = [];
  if (hwpt) yield* destroy(u, hwpt);
  yield* freeFaultQueue(u, faultQueue);
}

function* freeFaultQueue(u: UnitContext, q: FaultQueue | null): Op<void> {
  if (!q) return;
  yield* u.vmm.kernel.close(q.fd);
  yield* destroy(u, q.id);
}

function* destroy(u: UnitContext, id: number): Op<void> {
  const r = yield* ioctl(u, 'IOMMU_DESTROY', { id });
  if (r.errno !== '0') report(u, `failed to free id ${id}: ${r.errno}`);
}

/** `00:03.0 PASID 0x5` */
export const bindingText = (d: VmmDevice, pasid: number): string =>
  `${deviceText(d.vrid & 0xffff)} ${pasid === 0 ? 'without PASID' : `PASID ${hexPlain(pasid)}`}`;

/** The guest's PASID entry on its way down: what becomes of it. */
function showRewrite(u: UnitContext, d: VmmDevice, b: Binding, data: HwptData, hwpt: number): void {
  u.vmm.trace.listener?.({
    kind: 'record.rewrite',
    actor: 'vmm',
    at: u.ids.viommu,
    to: u.vmm.ids.kernelObject(hwpt),
    layout: s1Layout.id,
    words: [data.flags, data.pgtbl_addr, BigInt(data.addr_width)],
    changes: [
      { field: 'DID', from: `${didOf(b.entry)}`, to: 'the host’s own' },
      { field: 'PGTT', from: 'first stage', to: 'nested' },
    ],
    text: `guest PASID entry of ${bindingText(d, b.pasid)} becomes nested HWPT ${hwpt}: one page table for one (RID, PASID)`,
  });
}
