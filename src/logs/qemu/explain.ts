/** What each trace event of QEMU means, in one sentence. */

import type { Fields } from './formats.ts';
import { explainVtd, isVtdEvent } from './vtd.ts';

/** Linux errnos that the ioctls of iommufd give, by number. */
const errnos: Readonly<Record<number, readonly [string, string]>> = {
  1: ['EPERM', 'it is not allowed'],
  2: ['ENOENT', 'an object or mapping does not exist'],
  5: ['EIO', 'the hardware refused it or did not answer'],
  6: ['ENXIO', 'a StreamID has no vDEVICE'],
  12: ['ENOMEM', 'memory ran out'],
  13: ['EACCES', 'access is not allowed'],
  14: ['EFAULT', 'a pointer is bad'],
  16: ['EBUSY', 'the object is in use'],
  17: ['EEXIST', 'it is there already'],
  19: ['ENODEV', 'there is no such device'],
  22: ['EINVAL', 'an argument or a guest structure is not acceptable'],
  25: ['ENOTTY', 'the kernel does not know the call'],
  28: ['ENOSPC', 'there is no room'],
  95: ['EOPNOTSUPP', 'the hardware or the kernel does not support it'],
  110: ['ETIMEDOUT', 'it did not complete in time'],
};

/** Name and meaning of a negative errno, or of -1, where QEMU leaves the number in errno. */
export function errnoOf(ret: number): { name: string | null; text: string } {
  const known = errnos[-ret];
  if (ret === -1) return { name: null, text: 'the message behind it tells why' };
  return known ? { name: known[0], text: `${known[0]}: ${known[1]}` } : { name: null, text: `errno ${-ret}` };
}

const n = (f: Fields, k: string): string => String(f[k] ?? '?');
const tag = (f: Fields): string => {
  const parts: string[] = [];
  if (f.asid !== undefined) parts.push(Number(f.asid) < 0 ? 'any ASID' : `ASID ${f.asid}`);
  if (f.vmid !== undefined) parts.push(Number(f.vmid) < 0 ? 'any VMID' : `VMID ${f.vmid}`);
  return parts.join(', ');
};
const failed = (f: Fields): string =>
  f.ret === undefined || Number(f.ret) === 0
    ? ''
    : Number(f.ret) === -1
      ? ', and failed; the message behind it tells why'
      : `, and failed: ${errnoOf(Number(f.ret)).text}`;
const granule = (tg: unknown): string =>
  ({ 1: '4 KiB', 2: '16 KiB', 3: '64 KiB', 12: '4 KiB', 14: '16 KiB', 16: '64 KiB' })[Number(tg)] ?? '';
const stage = (f: Fields): string =>
  f.stage === undefined ? '' : ({ 1: ' (stage 1)', 2: ' (stage 2)', 3: ' (both stages)' }[Number(f.stage)] ?? '');
const pages = (f: Fields): string => {
  const g = granule(f.tg);
  return `${Number(BigInt(n(f, 'num_pages') === '?' ? 1 : (f.num_pages as string)))} page${f.num_pages === '0x1' ? '' : 's'}${g ? ` of ${g}` : ''}`;
};
const access = (f: Fields): string => (Number(f.is_write) === 1 ? 'write to' : 'read of');
const perms = ['nothing', 'reads', 'writes', 'reads and writes'] as const;

type Explain = (f: Fields) => string;

const texts: Readonly<Record<string, Explain>> = {
  smmu_add_mr: (f) => `QEMU made the memory region ${n(f, 'region')} through which a device behind the SMMU does DMA`,
  smmu_set_iommu_device: (f) => `A device (devfn ${n(f, 'devfn')}) was tied to a host IOMMU device`,
  smmu_unset_iommu_device: (f) => `A device (devfn ${n(f, 'devfn')}) was untied from its host IOMMU device`,
  smmu_ptw_level: (f) =>
    `QEMU's walk of ${n(f, 'iova')}${stage(f)} read ${n(f, 'pte')} at level ${n(f, 'level')}, entry ${n(f, 'offset')} of the table at ${n(f, 'baseaddr')}`,
  smmu_ptw_invalid_pte: (f) =>
    `QEMU's walk${stage(f)} ended at level ${n(f, 'level')}: the descriptor ${n(f, 'pte')} at ${n(f, 'pteaddr')} maps nothing, which gives F_TRANSLATION`,
  smmu_ptw_page_pte: (f) =>
    `QEMU's walk of ${n(f, 'iova')}${stage(f)} ended in a page at ${n(f, 'address')} (descriptor ${n(f, 'pte')} at ${n(f, 'pteaddr')})`,
  smmu_ptw_block_pte: (f) =>
    `QEMU's walk of ${n(f, 'iova')}${stage(f)} ended in a block of ${n(f, 'bsize_mb')} MiB at ${n(f, 'gpa')} (descriptor ${n(f, 'pte')} at ${n(f, 'pteaddr')})`,
  smmu_get_pte: (f) => `QEMU read the descriptor ${n(f, 'pte')} at ${n(f, 'pteaddr')}`,
  smmu_iotlb_lookup_hit: (f) => `The emulated IOTLB held ${n(f, 'addr')} (${tag(f)})`,
  smmu_iotlb_lookup_miss: (f) =>
    `The emulated IOTLB did not hold ${n(f, 'addr')} (${tag(f)}), so the tables are walked`,
  smmu_iotlb_insert: (f) => `The emulated IOTLB keeps ${n(f, 'addr')} (${tag(f)}, level ${n(f, 'level')})`,
  smmu_iotlb_inv_all: () => 'Every entry of the emulated IOTLB was removed',
  smmu_iotlb_inv_iova: (f) => `The entry of ${n(f, 'addr')} (${tag(f)}) was removed from the emulated IOTLB`,
  smmu_iotlb_inv_vmid_s1: (f) => `The stage-1 entries of ${tag(f)} were removed from the emulated IOTLB`,
  smmu_configs_inv_sid_range: (f) => `Cached configuration of StreamIDs ${n(f, 'start')} to ${n(f, 'end')} was dropped`,
  smmu_inv_notifiers_mr: (f) =>
    `Every mapping of ${n(f, 'region')} was withdrawn from whoever follows it (vhost, emulated VFIO)`,
  smmu_reset_exit: () => 'The emulated SMMU was reset',
  smmuv3_write_mmio_idr: (f) => `The guest wrote a register that is read-only or not there (offset ${n(f, 'addr')})`,
  smmuv3_trigger_irq: (f) =>
    `QEMU raised the interrupt of the ${['event queue', 'PRI queue', 'CMD_SYNC', 'global error'][Number(f.irq)] ?? `line ${n(f, 'irq')}`}`,
  smmuv3_write_gerror: (f) =>
    `QEMU reported a global error (GERROR is now ${n(f, 'gerror')}, changed bits ${n(f, 'toggled')})`,
  smmuv3_write_gerrorn: (f) => `The guest acknowledged global errors (GERRORN is now ${n(f, 'gerrorn')})`,
  smmuv3_unhandled_cmd: (f) =>
    `The guest sent a command that QEMU does not carry out (opcode 0x${Number(f.opcode_number).toString(16)})`,
  smmuv3_cmdq_consume: (f) =>
    `QEMU takes the command at index ${n(f, 'cons')} of the guest's queue (the guest has filled it up to ${n(f, 'prod')})`,
  smmuv3_cmdq_opcode: (f) => `The command is ${n(f, 'opcode')}`,
  smmuv3_cmdq_consume_out: (f) =>
    `QEMU stops at index ${n(f, 'cons')} of the guest's queue${f.prod === f.cons ? ': it is empty' : ', before its end'}`,
  smmuv3_cmdq_consume_error: (f) =>
    `The guest's ${n(f, 'command')} failed with ${cerror(Number(f.error))}: the queue stops there until the guest handles the global error`,
  smmuv3_find_ste: (f) => `QEMU looks for the STE of StreamID ${n(f, 'sid')}`,
  smmuv3_find_ste_2lvl: (f) =>
    `The STE is entry ${n(f, 'l2_ste_offset')} of the level-2 table at ${n(f, 'l2ptr')}, which the descriptor at ${n(f, 'l1ptr')} names`,
  smmuv3_get_ste: (f) => `QEMU reads the guest's STE at ${n(f, 'addr')}`,
  smmuv3_translate: (f) => `A device (StreamID ${n(f, 'sid')}) asks for a ${access(f)} ${n(f, 'addr')}`,
  smmuv3_translate_disable: (f) =>
    `The ${access(f)} ${n(f, 'addr')} by StreamID ${n(f, 'sid')} passes untranslated: the guest has not enabled its SMMU`,
  smmuv3_translate_bypass: (f) =>
    `The ${access(f)} ${n(f, 'addr')} by StreamID ${n(f, 'sid')} passes untranslated: its STE says bypass`,
  smmuv3_translate_abort: (f) =>
    `The ${access(f)} ${n(f, 'addr')} by StreamID ${n(f, 'sid')} was aborted: its STE says abort`,
  smmuv3_translate_success: (f) =>
    `StreamID ${n(f, 'sid')}: ${n(f, 'iova')} translates to ${n(f, 'translated')}${stage(f)}, allowing ${perms[Number(f.perm) & 3]}`,
  smmuv3_get_cd: (f) => `QEMU reads the guest's context descriptor at ${n(f, 'addr')}`,
  smmuv3_decode_cd: (f) => `The context descriptor's output addresses have ${n(f, 'oas')} bits`,
  smmuv3_decode_cd_tt: (f) =>
    `TTB${n(f, 'i')} is ${n(f, 'ttb')}: inputs of ${64 - Number(f.tsz)} bits, granule ${granule(f.granule_sz) || n(f, 'granule_sz')}`,
  smmuv3_cmdq_cfgi_ste: (f) => `The guest says that the STE of StreamID ${n(f, 'sid')} changed`,
  smmuv3_cmdq_cfgi_ste_range: (f) =>
    `The guest says that the STEs of StreamIDs ${n(f, 'start')} to ${n(f, 'end')} changed`,
  smmuv3_cmdq_cfgi_cd: (f) => `The guest says that a context descriptor of StreamID ${n(f, 'sid')} changed`,
  smmuv3_config_cache_hit: (f) => `The configuration of StreamID ${n(f, 'sid')} was cached`,
  smmuv3_config_cache_miss: (f) =>
    `The configuration of StreamID ${n(f, 'sid')} was not cached, so STE and CD are read`,
  smmuv3_range_inval: (f) =>
    `${pages(f)} from ${n(f, 'addr')} (${tag(f)}) are removed from the emulated IOTLB${stage(f)}${Number(f.leaf) ? ', last level only' : ''}`,
  smmuv3_cmdq_tlbi_nh: (f) =>
    `The guest removes all its stage-1 translations${f.vmid === undefined ? '' : ` (${tag(f)})`}`,
  smmuv3_cmdq_tlbi_nsnh: () => 'The guest removes every Non-secure translation that is not of a hypervisor',
  smmuv3_cmdq_tlbi_nh_asid: (f) => `The guest removes the translations of ASID ${n(f, 'asid')}`,
  smmuv3_cmdq_tlbi_s12_vmid: (f) => `The guest removes the translations of both stages of ${tag(f)}`,
  smmuv3_cmdq_tlbi_nh_va: (f) => `The guest removes the translation of ${n(f, 'addr')} (${tag(f)})`,
  smmuv3_cmdq_tlbi_nh_vaa: (f) => `The guest removes the translation of ${n(f, 'addr')} in every ASID (${tag(f)})`,
  smmuv3_notify_flag_add: (f) => `Somebody began to follow the mappings of ${n(f, 'region')}`,
  smmuv3_notify_flag_del: (f) => `Nobody follows the mappings of ${n(f, 'region')} any more`,
  smmuv3_inv_notifiers_iova: (f) => `The withdrawal of ${n(f, 'iova')} (${tag(f)}) is passed on to ${n(f, 'region')}`,
  smmuv3_invalidate_all_caches: () => 'Every cache of the emulated SMMU was emptied',
  smmuv3_accel_set_iommu_device: (f) =>
    `The device at devfn ${n(f, 'devfn')} is handled by the host's SMMU from now on (iommufd device ${n(f, 'devid')})`,
  smmuv3_accel_unset_iommu_device: (f) =>
    `The device at devfn ${n(f, 'devfn')} is not handled by the host's SMMU any more`,
  smmuv3_accel_translate_ste: (f) =>
    `QEMU made the nested HWPT ${n(f, 'hwpt_id')} from the guest's STE of vSID ${n(f, 'sid')} (DW0 ${n(f, 'ste_0')}, DW1 ${n(f, 'ste_1')})`,
  smmuv3_accel_install_ste: (f) =>
    `QEMU attached the device with vSID ${n(f, 'sid')} to HWPT ${n(f, 'hwpt_id')}: its STE says ${n(f, 'ste_type')}`,
  tegra241_cmdqv_err_map: (f) =>
    `The host reports errors of the guest's own command queues (bit maps ${[3, 2, 1, 0].map((i) => n(f, `map${i}`)).join(', ')})`,
  tegra241_cmdqv_init_regs: (f) => `The CMDQV model was set up from the host's PARAM ${n(f, 'param')}`,
  iommufd_backend_connect: (f) => `QEMU opened /dev/iommu (fd ${n(f, 'fd')})`,
  iommufd_backend_disconnect: (f) => `QEMU closed /dev/iommu (fd ${n(f, 'fd')})`,
  iommufd_backend_map_dma: (f) =>
    `IOMMU_IOAS_MAP: ${n(f, 'size')} bytes at ${n(f, 'iova')} of IOAS ${n(f, 'ioas')}${Number(f.readonly) ? ', read-only' : ''}`,
  iommufd_backend_map_file_dma: (f) =>
    `IOMMU_IOAS_MAP_FILE: ${n(f, 'size')} bytes at ${n(f, 'iova')} of IOAS ${n(f, 'ioas')}`,
  iommufd_backend_unmap_dma: (f) =>
    `IOMMU_IOAS_UNMAP: ${n(f, 'size')} bytes at ${n(f, 'iova')} of IOAS ${n(f, 'ioas')}`,
  iommufd_backend_unmap_dma_non_exist: (f) => `IOMMU_IOAS_UNMAP of ${n(f, 'iova')}, where nothing was mapped`,
  iommufd_backend_alloc_ioas: (f) => `IOMMU_IOAS_ALLOC made IOAS ${n(f, 'ioas')}`,
  iommufd_backend_alloc_hwpt: (f) =>
    `IOMMU_HWPT_ALLOC on ${n(f, 'pt_id')} for device ${n(f, 'dev_id')}${hwptKind(f)}${Number(f.ret) ? '' : ` made HWPT ${n(f, 'out_hwpt')}`}`,
  iommufd_backend_free_id: (f) => `IOMMU_DESTROY of object ${n(f, 'id')}`,
  iommufd_backend_set_dirty: (f) =>
    `Dirty tracking of HWPT ${n(f, 'hwpt')} was switched ${Number(f.enable) ? 'on' : 'off'}`,
  iommufd_backend_get_dirty_bitmap: (f) => `The dirty bits of HWPT ${n(f, 'hwpt')} from ${n(f, 'iova')} were read`,
  iommufd_backend_invalidate_cache: (f) =>
    `IOMMU_HWPT_INVALIDATE on object ${n(f, 'id')} carried ${n(f, 'entry_num')} command${Number(f.entry_num) === 1 ? '' : 's'} of the guest to the kernel, which took ${n(f, 'done_num')}`,
  iommufd_backend_alloc_viommu: (f) =>
    `IOMMU_VIOMMU_ALLOC (type ${n(f, 'viommu_type')}) on parent HWPT ${n(f, 'hwpt_id')}${Number(f.ret) ? '' : ` made vIOMMU ${n(f, 'viommu_id')}`}`,
  iommufd_backend_alloc_vdev: (f) =>
    `IOMMU_VDEVICE_ALLOC: in vIOMMU ${n(f, 'viommu_id')} the guest's StreamID ${n(f, 'virt_id')} is device ${n(f, 'dev_id')}`,
  iommufd_viommu_alloc_eventq: (f) =>
    `IOMMU_VEVENTQ_ALLOC on vIOMMU ${n(f, 'viommu_id')}${Number(f.ret) ? '' : ` made event queue ${n(f, 'veventq_id')}`}`,
  iommufd_cdev_getfd: (f) => `QEMU opened ${n(f, 'path')}`,
  iommufd_cdev_connect_and_bind: (f) =>
    `VFIO_DEVICE_BIND_IOMMUFD: ${n(f, 'device')} is iommufd device ${n(f, 'devid')}`,
  iommufd_cdev_alloc_ioas: (f) => `The container uses IOAS ${n(f, 'ioas')}`,
  iommufd_cdev_attach_ioas_hwpt: (f) =>
    `VFIO_DEVICE_ATTACH_IOMMUFD_PT: ${n(f, 'device')} is attached to object ${n(f, 'id')}`,
  iommufd_cdev_device_info: (f) =>
    `VFIO_DEVICE_GET_INFO of ${n(f, 'device')}: ${n(f, 'num_irqs')} interrupts, ${n(f, 'num_regions')} regions`,
  vfio_listener_region_add_iommu: (f) =>
    `VFIO follows the IOMMU of the guest at ${n(f, 'start')} to ${n(f, 'end')}${f.region === undefined ? '' : ` (${n(f, 'region')})`}`,
  vfio_listener_region_add_ram: (f) => `VFIO maps guest memory at ${n(f, 'start')} to ${n(f, 'end')}`,
  vfio_listener_region_del: (f) => `VFIO withdraws ${n(f, 'start')} to ${n(f, 'end')}`,
  vfio_listener_region_skip: (f) => `VFIO leaves out ${n(f, 'start')} to ${n(f, 'end')}`,
  vfio_iommu_map_notify: (f) =>
    `The emulated IOMMU tells VFIO to ${n(f, 'op') === 'UNMAP' ? 'unmap' : 'map'} ${n(f, 'start')} to ${n(f, 'end')}`,
  iommufd_cdev_detach_ioas_hwpt: (f) => `VFIO_DEVICE_DETACH_IOMMUFD_PT: ${n(f, 'device')} is detached`,
};

/** Data types of IOMMU_HWPT_ALLOC. */
const hwptKind = (f: Fields): string =>
  ({ 0: ', no nesting data', 1: ', VT-d stage 1', 2: ', a nested SMMUv3 STE' })[Number(f.hwpt_type)] ?? '';

/** CMDQ_CONS.ERR, as QEMU gives it. */
export const cerror = (code: number): string =>
  ['CERROR_NONE', 'CERROR_ILL', 'CERROR_ABT', 'CERROR_ATC_INV_SYNC'][code] ?? `error code ${code}`;

/** One sentence for an event. `facts` may hold what a register's value says. */
export function explainTrace(event: string, f: Fields, facts: Record<string, unknown>): string {
  if (isVtdEvent(event)) return explainVtd(event, f, facts);
  const mmio = /_(read|write)_(mmio|vcmdq_page[01])$/.exec(event);
  if (mmio) {
    const reg = facts.reg ?? `offset ${n(f, f.addr === undefined ? 'offset' : 'addr')}`;
    const set = Array.isArray(facts.set) ? ` (${facts.set.join(', ') || 'all off'})` : '';
    const unit = event.startsWith('tegra') ? ` of the CMDQV${f.index === undefined ? '' : `'s VCMDQ ${f.index}`}` : '';
    return `The guest ${mmio[1] === 'read' ? `read ${n(f, 'val')} from` : `wrote ${n(f, 'val')} to`} ${reg}${unit}${set}.`;
  }
  if (/_(?:record|propagate)_event$/.test(event))
    return `QEMU put ${n(f, 'recorded').replace(/^SMMU_EVT_/, '')} for StreamID ${n(f, 'sid')} into the guest's event queue.`;
  const text = texts[event];
  if (text) return `${text(f)}${failed(f)}.`;
  if (event.startsWith('smmu_iotlb_inv')) return `The entries of ${tag(f)} were removed from the emulated IOTLB.`;
  if (event.includes('config_cache_inv')) return `The cached configuration of StreamID ${n(f, 'sid')} was dropped.`;
  if (event.startsWith('smmu_iotlb_cache_'))
    return `The emulated IOTLB ${event.endsWith('hit') ? 'held' : 'did not hold'} ${n(f, 'addr')} (${tag(f)}).`;
  return `QEMU's trace event ${event}${failed(f)}.`;
}

const meanings: Readonly<Record<string, string>> = {
  CFGI_STE: 'says that an STE changed',
  CFGI_STE_RANGE: 'says that many STEs changed, or all of them',
  CFGI_CD: 'says that a context descriptor changed',
  CFGI_CD_ALL: 'says that every context descriptor of a stream changed',
  TLBI_NH_ALL: 'removes all its stage-1 translations',
  TLBI_NH_ASID: 'removes the translations of an address space',
  TLBI_NH_VA: 'removes the translations of an address range',
  TLBI_NH_VAA: 'removes the translations of an address range in every address space',
  TLBI_NSNH_ALL: 'removes every translation',
  TLBI_S12_VMALL: 'removes the translations of both stages of a VMID',
  TLBI_S2_IPA: 'removes stage-2 translations',
  ATC_INV: 'asks a device to drop translations from its own cache',
  PRI_RESP: 'answers a page request',
  RESUME: 'answers a stalled access',
  STALL_TERM: 'ends stalled accesses',
  SYNC: 'waits until the commands before have completed',
  PREFETCH_CONFIG: 'asks to load configuration ahead of use',
};

/** What a guest's command is for. */
export const meaningOf = (command: string): string => meanings[command.replace(/^CMD_/, '')] ?? 'sends a command';
