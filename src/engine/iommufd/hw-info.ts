import { failed, type IoctlResult, type Kernel } from './kernel.ts';
import { type Context, findAs } from './objects.ts';
import type { IoctlArgs } from './structs.ts';

const INPUT_TYPE = 1;
const CAP_DIRTY_TRACKING = 1n << 0n;
const CAP_ATS_NOT_SUPPORTED = 1n << 3n;

/**
 * IOMMU_GET_HW_INFO (drivers/iommu/iommufd/device.c iommufd_get_hw_info): as much of the driver's structure as the buffer
 * takes, zeros after it. The output `data` is the whole buffer as hex.
 */
export function getHwInfo(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  const flags = a.num('flags');
  if (flags & ~INPUT_TYPE || a.num('__reserved') !== 0) return failed('EOPNOTSUPP');
  const dev = findAs(ctx, a.num('dev_id'), 'DEVICE');
  if (!dev) return failed('ENOENT');
  const info = k.driver.hwInfo(dev.device, flags & INPUT_TYPE ? a.num('in_data_type') : 0);
  if (info.errno !== '0') return failed(info.errno);
  const device = k.driver.device(dev.device)!;
  const capabilities =
    (device.dirtyTracking ? CAP_DIRTY_TRACKING : 0n) | (device.atsSupported ? 0n : CAP_ATS_NOT_SUPPORTED);
  const length = a.num('data_len');
  const out: Record<string, unknown> = {
    data_len: info.value.data.length,
    out_data_type: info.value.type,
    out_max_pasid_log2: device.maxPasidLog2,
    out_capabilities: capabilities,
  };
  if (length > 0) {
    // A NULL buffer of some length can't be written.
    if (a.nullPointer('data_uptr')) return failed('EFAULT');
    const buffer = new Uint8Array(length);
    buffer.set(info.value.data.subarray(0, length));
    out.data = [...buffer].map((b) => b.toString(16).padStart(2, '0')).join('');
  }
  return { errno: '0', out };
}
