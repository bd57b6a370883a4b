import type { Op } from '../../machine/index.ts';
import { ioctl, outputOf, report, type VmmDeviceSpec, vfioAttach, vfioDetach, wordOf } from '../../vmm/index.ts';
import { attachPasid, freeNested } from './bind.ts';
import { dropBindings } from './pasid-cache.ts';
import { configProblem, type HostCapabilities, incompatibility, settle } from './properties.ts';
import { offer, type UnitContext, type VmmDevice } from './state.ts';

/** IOMMU_HW_INFO_TYPE_INTEL_VTD */
const HW_INFO_VTD = 1;
const HW_INFO_BYTES = 24;
/** Ranges that one call has room for: DMA addresses have holes at the MSI window and at reserved regions. */
const RANGES = 16;

/**
 * Realizes a vfio-pci device: VFIO's attach to the nesting parent, then the checks of vtd_dev_set_iommu_device. Nothing is
 * bound yet: the device reaches all of guest memory until the guest switches translation on.
 * @returns '' or why it failed; everything made on the way is then undone
 */
export function* plug(u: UnitContext, spec: VmmDeviceSpec): Op<string> {
  const attached = yield* vfioAttach(u.vmm, spec.name);
  if ('failure' in attached) return attached.failure;
  const host = yield* hostCapabilities(u, attached.devid);
  const failure = typeof host === 'string' ? host : judge(u, host);
  if (failure || typeof host === 'string') {
    yield* vfioDetach(u.vmm, attached);
    return failure;
  }
  const d: VmmDevice = {
    name: spec.name,
    vrid: spec.vrid,
    maxPasidLog2: host.maxPasidLog2,
    ...attached,
    bindings: [],
  };
  u.state.devices.push(d);
  return '';
}

/** Settles the `auto` properties with the first device, then compares. */
function judge(u: UnitContext, host: HostCapabilities): string {
  const s = u.state;
  if (!s.finalised) offer(s, settle(u.vmm.properties, host));
  const failure = configProblem(s.offer) || incompatibility(s.offer, host);
  if (!failure) s.finalised = true;
  return failure;
}

/** IOMMU_IOAS_IOVA_RANGES for the address width, IOMMU_GET_HW_INFO for the unit. @returns the capabilities or what failed */
function* hostCapabilities(u: UnitContext, devid: number): Op<HostCapabilities | string> {
  const ranges = yield* ioctl(u, 'IOMMU_IOAS_IOVA_RANGES', {
    ioas_id: u.vmm.state.ioas,
    num_iovas: RANGES,
    allowed_iovas: [],
  });
  if (ranges.errno !== '0') return `IOMMU_IOAS_IOVA_RANGES: ${ranges.errno}`;
  const info = yield* ioctl(u, 'IOMMU_GET_HW_INFO', { flags: 0, dev_id: devid, data_len: HW_INFO_BYTES });
  if (info.errno !== '0') return `IOMMU_GET_HW_INFO: ${info.errno}`;
  const type = outputOf(info.out, 'out_data_type');
  if (type !== HW_INFO_VTD) return `Incompatible host platform IOMMU type ${type}`;
  const data = String(info.out['data'] ?? '');
  const list = (ranges.out['allowed_iovas'] ?? []) as readonly { readonly last: bigint | number | string }[];
  const last = list.length > 0 ? BigInt(list.at(-1)!.last) : 0n;
  return {
    cap: wordOf(data, 8, 8),
    ecap: wordOf(data, 16, 8),
    maxPasidLog2: outputOf(info.out, 'out_max_pasid_log2'),
    addressBits: last.toString(2).length,
  };
}

/**
 * Unrealizes a device: what the guest has left bound ends, then VFIO's detach. QEMU as read forgets the bindings of a device
 * that its guest has not let go.
 */
export function* unplug(u: UnitContext, d: VmmDevice): Op<void> {
  if (u.vmm.rules.unbindsAtUnplug()) {
    const zero = d.bindings.find((b) => b.pasid === 0);
    if (zero) {
      d.bindings = d.bindings.filter((b) => b !== zero);
      if ((yield* attachPasid(u, d, 0, d.parent)) !== '0')
        report(u, `Unable to attach the default HW pagetable: ${d.name}`);
      yield* freeNested(u, zero);
    }
    yield* dropBindings(u, d);
  }
  u.state.devices = u.state.devices.filter((x) => x !== d);
  yield* vfioDetach(u.vmm, d);
}
