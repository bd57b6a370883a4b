import type { Op } from '../../machine/index.ts';
import {
  allocFaultQueue,
  ioctl,
  outputOf,
  report,
  type VmmDeviceSpec,
  vfioAttach,
  vfioDetach,
  wordOf,
} from '../../vmm/index.ts';
import { forgetFaults } from './faults.ts';
import { CR0, finaliseAuto, GBPA, incompatibility, type Registers, ringOf } from './registers.ts';
import type { UnitContext, VmmDevice } from './state.ts';

/** IOMMU_HW_INFO_TYPE_ARM_SMMUV3, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, IOMMU_HWPT_DATA_ARM_SMMUV3, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 */
const HW_INFO_ARM_SMMUV3 = 2;
const VIOMMU_ARM_SMMUV3 = 1;
const HWPT_DATA_ARM_SMMUV3 = 2;
const VEVENTQ_ARM_SMMUV3 = 1;
const HW_INFO_BYTES = 40;
/** IOMMU_HWPT_FAULT_ID_VALID */
const FAULT_ID_VALID = 4;

/** '', or why the step failed: an errno or the model's message. */
type Failure = string;
const DONE: Failure = '';

/**
 * Realizes a vfio-pci device (VFIO's attach, then smmuv3_accel_set_iommu_device): check the physical SMMU, and for the first
 * device make the vIOMMU with its two fixed nested HWPTs.
 * @returns '' or why it failed; everything made on the way is then undone
 */
export function* plug(u: UnitContext, spec: VmmDeviceSpec): Op<Failure> {
  const attached = yield* vfioAttach(u.vmm, spec.name);
  if ('failure' in attached) return attached.failure;
  const hw = yield* checkHardware(u, attached.devid);
  const d: VmmDevice = {
    name: spec.name,
    vsid: spec.vrid % 65536,
    maxPasidLog2: hw.maxPasidLog2,
    ...attached,
    hwpt: attached.parent,
    s1Hwpt: 0,
    vdevice: 0,
  };
  const failure = hw.failure || (u.state.viommu ? DONE : yield* makeViommu(u, d));
  if (failure) {
    yield* vfioDetach(u.vmm, d);
    return failure;
  }
  u.state.devices.unshift(d);
  return DONE;
}

/** VFIO_DEVICE_ATTACH_IOMMUFD_PT: replace what is attached. @returns the errno */
export function* attach(u: UnitContext, d: VmmDevice, hwpt: number): Op<string> {
  const r = yield* ioctl(u, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 0, pt_id: hwpt }, d.fd);
  if (r.errno === '0') {
    if (d.hwpt !== hwpt) forgetFaults(u, d.name);
    d.hwpt = hwpt;
  }
  return r.errno;
}

function* destroy(u: UnitContext, id: number): Op<void> {
  const r = yield* ioctl(u, 'IOMMU_DESTROY', { id });
  if (r.errno !== '0') report(u, `failed to free id ${id}: ${r.errno}`);
}

/** smmuv3_accel_hw_compatible: GET_HW_INFO, settle the automatic properties, compare. */
function* checkHardware(u: UnitContext, devid: number): Op<{ failure: Failure; maxPasidLog2: number }> {
  const r = yield* ioctl(u, 'IOMMU_GET_HW_INFO', { flags: 0, dev_id: devid, data_len: HW_INFO_BYTES });
  const maxPasidLog2 = outputOf(r.out, 'out_max_pasid_log2');
  if (r.errno !== '0') return { failure: `IOMMU_GET_HW_INFO: ${r.errno}`, maxPasidLog2 };
  const type = outputOf(r.out, 'out_data_type');
  if (type !== HW_INFO_ARM_SMMUV3)
    return { failure: `Wrong data type (${type}) for Host SMMUv3 device info`, maxPasidLog2 };
  const host = hostRegisters(String(r.out['data'] ?? ''));
  if (!u.state.finalised) {
    finaliseAuto(u.state.registers, host, u.vmm.properties, u.vmm.forwardsFaults);
    u.state.finalised = true;
  }
  return { failure: incompatibility(u.state.registers, host), maxPasidLog2 };
}

/** struct iommu_hw_info_arm_smmuv3 from its bytes as hex: flags, reserved, idr[6], iidr, aidr. */
function hostRegisters(hexBytes: string): Registers {
  const word = (offset: number): bigint => wordOf(hexBytes, offset, 4);
  const r: Registers = { IIDR: word(32), AIDR: word(36) };
  for (let i = 0; i < 6; i++) r[`IDR${i}`] = word(8 + i * 4);
  return r;
}

/** smmuv3_accel_alloc_viommu; on a failure what it made is freed again. */
function* makeViommu(u: UnitContext, d: VmmDevice): Op<Failure> {
  const s = u.state;
  const viommu = yield* ioctl(u, 'IOMMU_VIOMMU_ALLOC', {
    flags: 0,
    type: VIOMMU_ARM_SMMUV3,
    dev_id: d.devid,
    hwpt_id: d.parent,
  });
  if (viommu.errno !== '0') return `IOMMU_VIOMMU_ALLOC: ${viommu.errno}`;
  s.viommu = outputOf(viommu.out, 'out_viommu_id');
  let failure = yield* makeFaultQueue(u);
  if (!failure) failure = yield* allocFixed(u, d, 'abortHwpt', [1n, 0n]);
  if (!failure) failure = yield* allocFixed(u, d, 'bypassHwpt', [9n, 0n]);
  if (!failure) failure = yield* makeVeventq(u);
  if (!failure) {
    const errno = yield* attach(u, d, gbpaHwpt(u));
    if (errno !== '0') failure = `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`;
  }
  if (failure) yield* freeViommu(u);
  return failure;
}

/** With the vIOMMU, when page faults are forwarded; QEMU has none. */
function* makeFaultQueue(u: UnitContext): Op<Failure> {
  if (!u.vmm.forwardsFaults) return DONE;
  const q = yield* allocFaultQueue(u);
  if (typeof q === 'string') return `IOMMU_FAULT_QUEUE_ALLOC: ${q}`;
  u.state.faultQueue = q;
  return DONE;
}

function* allocFixed(
  u: UnitContext,
  d: VmmDevice,
  to: 'abortHwpt' | 'bypassHwpt',
  ste: readonly bigint[],
): Op<Failure> {
  const r = yield* allocNested(u, d, ste);
  if (r.errno !== '0') return `IOMMU_HWPT_ALLOC: ${r.errno}`;
  u.state[to] = r.id;
  return DONE;
}

/**
 * A nested HWPT on the vIOMMU from the first two words of an STE.
 * @param faults whether it takes the fault queue, if there is one
 */
export function* allocNested(
  u: UnitContext,
  d: VmmDevice,
  ste: readonly bigint[],
  faults = false,
): Op<{ errno: string; id: number }> {
  const q = faults ? u.state.faultQueue : null;
  const r = yield* ioctl(u, 'IOMMU_HWPT_ALLOC', {
    flags: q ? FAULT_ID_VALID : 0,
    dev_id: d.devid,
    pt_id: u.state.viommu,
    data_type: HWPT_DATA_ARM_SMMUV3,
    data_len: 16,
    data: { ste: [ste[0], ste[1]] },
    ...(q ? { fault_id: q.id } : {}),
  });
  return { errno: r.errno, id: outputOf(r.out, 'out_hwpt_id') };
}

/** smmuv3_accel_alloc_veventq: once the guest has switched its event queue on and a vIOMMU exists. */
export function* makeVeventq(u: UnitContext): Op<Failure> {
  const s = u.state;
  if (!s.viommu || s.veventq || !((s.registers['CR0'] ?? 0n) & CR0.eventqen)) return DONE;
  const r = yield* ioctl(u, 'IOMMU_VEVENTQ_ALLOC', {
    flags: 0,
    viommu_id: s.viommu,
    type: VEVENTQ_ARM_SMMUV3,
    veventq_depth: 2 ** ringOf(s.registers, 'EVENTQ').log2size,
  });
  if (r.errno !== '0') return `IOMMU_VEVENTQ_ALLOC: ${r.errno}`;
  const fd = outputOf(r.out, 'out_veventq_fd');
  s.veventq = { id: outputOf(r.out, 'out_veventq_id'), fd, lastSequence: 0, started: false };
  return DONE;
}

/** smmuv3_accel_alloc_vdev: tells the kernel which vSID the device has. Done once, kept for the device's life. */
export function* makeVdevice(u: UnitContext, d: VmmDevice): Op<Failure> {
  if (d.vdevice || !u.vmm.rules.makesVdevice()) return DONE;
  const r = yield* ioctl(u, 'IOMMU_VDEVICE_ALLOC', {
    viommu_id: u.state.viommu,
    dev_id: d.devid,
    virt_id: BigInt(d.vsid),
  });
  if (r.errno !== '0') return `IOMMU_VDEVICE_ALLOC: ${r.errno}`;
  d.vdevice = outputOf(r.out, 'out_vdevice_id');
  return DONE;
}

/** The fixed HWPT that GBPA.ABORT selects. */
export const gbpaHwpt = (u: UnitContext): number =>
  (u.state.registers['GBPA'] ?? 0n) & GBPA.abort ? u.state.abortHwpt : u.state.bypassHwpt;

/** smmuv3_accel_attach_gbpa_hwpt: all devices; one that fails does not stop the others. */
export function* attachGbpa(u: UnitContext): Op<void> {
  if (!u.state.viommu) return;
  for (const d of u.state.devices) {
    const errno = yield* attach(u, d, gbpaHwpt(u));
    if (errno !== '0') report(u, `Failed to attach GBPA hwpt ${gbpaHwpt(u)} for ${d.name}: ${errno}`);
  }
}

/** A nested HWPT that no device uses any more. */
export function* freeNested(u: UnitContext, d: VmmDevice): Op<void> {
  if (d.s1Hwpt) yield* destroy(u, d.s1Hwpt);
  d.s1Hwpt = 0;
}

/** Unrealizes a device (smmuv3_accel_unset_iommu_device, then VFIO's detach); the last one takes the vIOMMU with it. */
export function* unplug(u: UnitContext, d: VmmDevice): Op<void> {
  if ((yield* attach(u, d, d.parent)) !== '0') report(u, `Unable to attach the default HW pagetable: ${d.name}`);
  yield* freeNested(u, d);
  if (d.vdevice && u.vmm.rules.freesVdevice()) yield* destroy(u, d.vdevice);
  u.state.devices = u.state.devices.filter((x) => x !== d);
  if (u.state.devices.length === 0) yield* freeViommu(u);
  yield* vfioDetach(u.vmm, d);
}

/** smmuv3_accel_free_viommu: event queue, bypass, abort, vIOMMU. A fault queue goes after the HWPTs that hold it. */
function* freeViommu(u: UnitContext): Op<void> {
  const s = u.state;
  if (s.veventq) {
    yield* u.vmm.kernel.close(s.veventq.fd);
    yield* destroy(u, s.veventq.id);
  }
  for (const id of [s.bypassHwpt, s.abortHwpt, s.viommu]) if (id) yield* destroy(u, id);
  if (s.faultQueue) {
    yield* u.vmm.kernel.close(s.faultQueue.fd);
    yield* destroy(u, s.faultQueue.id);
  }
  s.veventq = s.faultQueue = null;
  s.faults = [];
  s.bypassHwpt = s.abortHwpt = s.viommu = 0;
}
