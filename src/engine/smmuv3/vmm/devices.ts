import type { Op } from '../../machine/index.ts';
import { CR0, finaliseAuto, GBPA, incompatibility, type Registers, ringOf } from './registers.ts';
import { ioctl, outputOf, report, type VmmContext, type VmmDevice, type VmmDeviceSpec } from './state.ts';

/** IOMMU_HW_INFO_TYPE_ARM_SMMUV3, IOMMU_VIOMMU_TYPE_ARM_SMMUV3, IOMMU_HWPT_DATA_ARM_SMMUV3, IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 */
const HW_INFO_ARM_SMMUV3 = 2;
const VIOMMU_ARM_SMMUV3 = 1;
const HWPT_DATA_ARM_SMMUV3 = 2;
const VEVENTQ_ARM_SMMUV3 = 1;
const NEST_PARENT = 1;
const HW_INFO_BYTES = 40;

/** 0, or why the step failed: an errno or the model's message. */
type Failure = string;
const DONE: Failure = '';

/**
 * Realizes a vfio-pci device (QEMU's iommufd_cdev_attach, then smmuv3_accel_set_iommu_device): bind, attach the nesting
 * parent, check the physical SMMU, and for the first device make the vIOMMU with its two fixed nested HWPTs.
 * @returns '' or why it failed; everything made on the way is then undone
 */
export function* plug(v: VmmContext, spec: VmmDeviceSpec): Op<Failure> {
  const fd = v.kernel.openDevice(spec.name);
  const bind = yield* ioctl(v, 'VFIO_DEVICE_BIND_IOMMUFD', { flags: 0, iommufd: 0 }, fd);
  if (bind.errno !== '0') return yield* undo(v, fd, 'VFIO_DEVICE_BIND_IOMMUFD', bind.errno);
  const d: VmmDevice = {
    name: spec.name,
    vsid: spec.vrid % 65536,
    fd,
    devid: outputOf(bind.out, 'out_devid'),
    hwpt: 0,
    s1Hwpt: 0,
    vdevice: 0,
  };
  if (!v.state.s2Hwpt) {
    const s2 = yield* ioctl(v, 'IOMMU_HWPT_ALLOC', { flags: NEST_PARENT, dev_id: d.devid, pt_id: v.state.ioas });
    if (s2.errno !== '0') return yield* undo(v, fd, 'IOMMU_HWPT_ALLOC', s2.errno);
    v.state.s2Hwpt = outputOf(s2.out, 'out_hwpt_id');
  }
  const attached = yield* attach(v, d, v.state.s2Hwpt);
  if (attached !== '0') return yield* undo(v, fd, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', attached);
  const failure = (yield* checkHardware(v, d)) || (v.state.viommu ? DONE : yield* makeViommu(v, d));
  if (failure) {
    yield* ioctl(v, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 0 }, fd);
    return yield* undo(v, fd, '', failure);
  }
  v.state.devices.unshift(d);
  return DONE;
}

function* undo(v: VmmContext, fd: number, call: string, why: string): Op<Failure> {
  if (v.state.devices.length === 0) yield* freeParent(v);
  yield* v.kernel.close(fd);
  return call ? `${call}: ${why}` : why;
}

function* freeParent(v: VmmContext): Op<void> {
  if (v.state.s2Hwpt) yield* destroy(v, v.state.s2Hwpt);
  v.state.s2Hwpt = 0;
}

/** VFIO_DEVICE_ATTACH_IOMMUFD_PT: attach, or replace what is attached. @returns the errno */
export function* attach(v: VmmContext, d: VmmDevice, hwpt: number): Op<string> {
  const r = yield* ioctl(v, 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', { flags: 0, pt_id: hwpt }, d.fd);
  if (r.errno === '0') d.hwpt = hwpt;
  return r.errno;
}

function* destroy(v: VmmContext, id: number): Op<void> {
  const r = yield* ioctl(v, 'IOMMU_DESTROY', { id });
  if (r.errno !== '0') report(v, `failed to free id ${id}: ${r.errno}`);
}

/** smmuv3_accel_hw_compatible: GET_HW_INFO, settle the automatic properties, compare. */
function* checkHardware(v: VmmContext, d: VmmDevice): Op<Failure> {
  const r = yield* ioctl(v, 'IOMMU_GET_HW_INFO', { flags: 0, dev_id: d.devid, data_len: HW_INFO_BYTES });
  if (r.errno !== '0') return `IOMMU_GET_HW_INFO: ${r.errno}`;
  const type = outputOf(r.out, 'out_data_type');
  if (type !== HW_INFO_ARM_SMMUV3) return `Wrong data type (${type}) for Host SMMUv3 device info`;
  const host = hostRegisters(String(r.out['data'] ?? ''));
  if (!v.state.finalised) {
    finaliseAuto(v.state.registers, host);
    v.state.finalised = true;
  }
  return incompatibility(v.state.registers, host);
}

/** struct iommu_hw_info_arm_smmuv3 from its bytes as hex: flags, reserved, idr[6], iidr, aidr. */
function hostRegisters(hexBytes: string): Registers {
  const word = (offset: number): bigint => {
    const bytes = hexBytes.slice(offset * 2, offset * 2 + 8).padEnd(8, '0');
    return BigInt(`0x${bytes.match(/../g)!.reverse().join('')}`);
  };
  const r: Registers = { IIDR: word(32), AIDR: word(36) };
  for (let i = 0; i < 6; i++) r[`IDR${i}`] = word(8 + i * 4);
  return r;
}

/** smmuv3_accel_alloc_viommu; on a failure what it made is freed again. */
function* makeViommu(v: VmmContext, d: VmmDevice): Op<Failure> {
  const s = v.state;
  const viommu = yield* ioctl(v, 'IOMMU_VIOMMU_ALLOC', {
    flags: 0,
    type: VIOMMU_ARM_SMMUV3,
    dev_id: d.devid,
    hwpt_id: s.s2Hwpt,
  });
  if (viommu.errno !== '0') return `IOMMU_VIOMMU_ALLOC: ${viommu.errno}`;
  s.viommu = outputOf(viommu.out, 'out_viommu_id');
  let failure = yield* allocFixed(v, d, 'abortHwpt', [1n, 0n]);
  if (!failure) failure = yield* allocFixed(v, d, 'bypassHwpt', [9n, 0n]);
  if (!failure) failure = yield* makeVeventq(v);
  if (!failure) {
    const errno = yield* attach(v, d, gbpaHwpt(v));
    if (errno !== '0') failure = `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${errno}`;
  }
  if (failure) yield* freeViommu(v);
  return failure;
}

function* allocFixed(v: VmmContext, d: VmmDevice, to: 'abortHwpt' | 'bypassHwpt', ste: readonly bigint[]): Op<Failure> {
  const r = yield* allocNested(v, d, ste);
  if (r.errno !== '0') return `IOMMU_HWPT_ALLOC: ${r.errno}`;
  v.state[to] = r.id;
  return DONE;
}

/** A nested HWPT on the vIOMMU from the first two words of an STE. */
export function* allocNested(v: VmmContext, d: VmmDevice, ste: readonly bigint[]): Op<{ errno: string; id: number }> {
  const r = yield* ioctl(v, 'IOMMU_HWPT_ALLOC', {
    flags: 0,
    dev_id: d.devid,
    pt_id: v.state.viommu,
    data_type: HWPT_DATA_ARM_SMMUV3,
    data_len: 16,
    data: { ste: [ste[0], ste[1]] },
  });
  return { errno: r.errno, id: outputOf(r.out, 'out_hwpt_id') };
}

/** smmuv3_accel_alloc_veventq: once the guest has switched its event queue on and a vIOMMU exists. */
export function* makeVeventq(v: VmmContext): Op<Failure> {
  const s = v.state;
  if (!s.viommu || s.veventq || !((s.registers['CR0'] ?? 0n) & CR0.eventqen)) return DONE;
  const r = yield* ioctl(v, 'IOMMU_VEVENTQ_ALLOC', {
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
export function* makeVdevice(v: VmmContext, d: VmmDevice): Op<Failure> {
  if (d.vdevice || !v.rules.makesVdevice()) return DONE;
  const r = yield* ioctl(v, 'IOMMU_VDEVICE_ALLOC', {
    viommu_id: v.state.viommu,
    dev_id: d.devid,
    virt_id: BigInt(d.vsid),
  });
  if (r.errno !== '0') return `IOMMU_VDEVICE_ALLOC: ${r.errno}`;
  d.vdevice = outputOf(r.out, 'out_vdevice_id');
  return DONE;
}

/** The fixed HWPT that GBPA.ABORT selects. */
export const gbpaHwpt = (v: VmmContext): number =>
  (v.state.registers['GBPA'] ?? 0n) & GBPA.abort ? v.state.abortHwpt : v.state.bypassHwpt;

/** smmuv3_accel_attach_gbpa_hwpt: all devices; one that fails does not stop the others. */
export function* attachGbpa(v: VmmContext): Op<void> {
  if (!v.state.viommu) return;
  for (const d of v.state.devices) {
    const errno = yield* attach(v, d, gbpaHwpt(v));
    if (errno !== '0') report(v, `Failed to attach GBPA hwpt ${gbpaHwpt(v)} for ${d.name}: ${errno}`);
  }
}

/** A nested HWPT that no device uses any more. */
export function* freeNested(v: VmmContext, d: VmmDevice): Op<void> {
  if (d.s1Hwpt) yield* destroy(v, d.s1Hwpt);
  d.s1Hwpt = 0;
}

/** Unrealizes a device (smmuv3_accel_unset_iommu_device, then VFIO's detach and close); the last one takes the vIOMMU with it. */
export function* unplug(v: VmmContext, d: VmmDevice): Op<void> {
  if ((yield* attach(v, d, v.state.s2Hwpt)) !== '0') report(v, `Unable to attach the default HW pagetable: ${d.name}`);
  yield* freeNested(v, d);
  if (d.vdevice) yield* destroy(v, d.vdevice);
  v.state.devices = v.state.devices.filter((x) => x !== d);
  if (v.state.devices.length === 0) yield* freeViommu(v);
  yield* ioctl(v, 'VFIO_DEVICE_DETACH_IOMMUFD_PT', { flags: 0 }, d.fd);
  if (v.state.devices.length === 0) yield* freeParent(v);
  yield* v.kernel.close(d.fd);
}

/** smmuv3_accel_free_viommu: event queue, bypass, abort, vIOMMU. */
function* freeViommu(v: VmmContext): Op<void> {
  const s = v.state;
  if (s.veventq) {
    yield* v.kernel.close(s.veventq.fd);
    yield* destroy(v, s.veventq.id);
  }
  for (const id of [s.bypassHwpt, s.abortHwpt, s.viommu]) if (id) yield* destroy(v, id);
  s.veventq = null;
  s.bypassHwpt = s.abortHwpt = s.viommu = 0;
}
