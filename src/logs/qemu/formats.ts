import { vtdFormats } from './vtd-formats.ts';

/**
 * QEMU's trace events of the SMMUv3 and of iommufd: how each prints its arguments, in all versions.
 * Source: qemu hw/arm/trace-events and backends/trace-events, from the first SMMUv3 model to accel=on and Tegra241 CMDQV.
 *
 * `{name:x}` a hexadecimal number, `{name:d}` a decimal one, `{name:n}` a number printed in decimal by old versions and in
 * hexadecimal by new ones (an id), `{name:s}` a text without blanks, `[...]` a part that old or patched versions lack.
 */
const table: Readonly<Record<string, readonly string[]>> = {
  ...vtdFormats,
  smmu_add_mr: ['{region:s}'],
  smmu_set_iommu_device: ['devfn={devfn:n} (sid={sid:n})'],
  smmu_unset_iommu_device: ['devfn={devfn:n} (sid={sid:n})'],
  smmu_page_walk: ['stage={stage:d}, baseaddr={baseaddr:x}, first level={level:d}, start={start:x}, end={end:x}'],
  smmu_lookup_table: [
    'level={level:d} baseaddr={baseaddr:x} granule={granule_sz:d}, start={start:x} end={end:x} flags={flags:d} subpage_size={subpage_size:x}',
  ],
  smmu_ptw_level: [
    '[stage={stage:d} ]level={level:d} iova={iova:x} subpage_sz={subpage_size:x} baseaddr={baseaddr:x} offset={offset:d} => pte={pte:x}',
  ],
  smmu_ptw_invalid_pte: [
    'stage={stage:d} level={level:d} base@={baseaddr:x} pte@={pteaddr:x} offset={offset:d} pte={pte:x}',
  ],
  smmu_ptw_page_pte: [
    'stage={stage:d} level={level:d} iova={iova:x} base@={baseaddr:x} pte@={pteaddr:x} pte={pte:x} page address = {address:x}',
  ],
  smmu_ptw_block_pte: [
    'stage={stage:d} level={level:d} base@={baseaddr:x} pte@={pteaddr:x} pte={pte:x} iova={iova:x} block address = {gpa:x} block size = {bsize_mb:d} MiB',
  ],
  smmu_get_pte: ['baseaddr={baseaddr:x} index={index:x}, pteaddr={pteaddr:x}, pte={pte:x}'],
  smmu_iotlb_cache_hit: [
    'IOTLB cache HIT asid={asid:d} addr={addr:x} hit={hits:d} miss={misses:d} hit rate={hit_rate:d}',
  ],
  smmu_iotlb_cache_miss: [
    'IOTLB cache MISS asid={asid:d} addr={addr:x} hit={hits:d} miss={misses:d} hit rate={hit_rate:d}',
  ],
  smmu_iotlb_lookup_hit: [
    'IOTLB cache HIT asid={asid:d}[ vmid={vmid:d}] addr={addr:x} hit={hits:d} miss={misses:d} hit rate={hit_rate:d}',
  ],
  smmu_iotlb_lookup_miss: [
    'IOTLB cache MISS asid={asid:d}[ vmid={vmid:d}] addr={addr:x} hit={hits:d} miss={misses:d} hit rate={hit_rate:d}',
  ],
  smmu_iotlb_insert: ['IOTLB ++ asid={asid:d}[ vmid={vmid:d}] addr={addr:x} tg={tg:d} level={level:d}'],
  smmu_iotlb_inv_all: ['IOTLB invalidate all'],
  smmu_iotlb_inv_asid: ['IOTLB invalidate asid={asid:d}'],
  smmu_iotlb_inv_asid_vmid: ['IOTLB invalidate asid={asid:d} vmid={vmid:d}'],
  smmu_iotlb_inv_vmid: ['IOTLB invalidate vmid={vmid:d}'],
  smmu_iotlb_inv_vmid_s1: ['IOTLB invalidate vmid={vmid:d}'],
  smmu_iotlb_inv_iova: ['IOTLB invalidate asid={asid:d} addr={addr:x}'],
  smmu_configs_inv_sid_range: ['Config cache INV SID range from {start:x} to {end:x}'],
  smmu_config_cache_inv: ['Config cache INV for sid={sid:n}'],
  smmu_inv_notifiers_mr: ['iommu mr={region:s}'],
  smmu_reset_exit: [''],

  smmuv3_read_mmio: ['addr: {addr:x} val:{val:x} size: {size:d}[({result:d})]'],
  smmuv3_write_mmio: ['addr: {addr:x} val:{val:x} size: {size:d}[({result:d})]'],
  smmuv3_write_mmio_idr: ['write to RO/Unimpl reg {addr:x} val64:{val:x}'],
  smmuv3_write_mmio_evtq_cons_bef_clear: [
    'Before clearing interrupt prod:{prod:x} cons:{cons:x} prod.w:{prod_wrap:d} cons.w:{cons_wrap:d}',
  ],
  smmuv3_write_mmio_evtq_cons_after_clear: [
    'after clearing interrupt prod:{prod:x} cons:{cons:x} prod.w:{prod_wrap:d} cons.w:{cons_wrap:d}',
  ],
  smmuv3_trigger_irq: ['irq={irq:d}'],
  smmuv3_write_gerror: ['toggled={toggled:x}, new GERROR={gerror:x}'],
  smmuv3_write_gerrorn: ['acked={acked:x}, new GERRORN={gerrorn:x}'],
  smmuv3_unhandled_cmd: ['Unhandled command type={opcode_number:d}'],
  smmuv3_cmdq_consume: [
    'prod={prod:d} cons={cons:d} prod.wrap={prod_wrap:d} cons.wrap={cons_wrap:d}[ is_secure_cmdq={secure:d}]',
  ],
  smmuv3_cmdq_opcode: ['<--- {opcode:s}'],
  smmuv3_cmdq_consume_out: ['prod:{prod:d}, cons:{cons:d}, prod_wrap:{prod_wrap:d}, cons_wrap:{cons_wrap:d}'],
  smmuv3_cmdq_consume_error: ['Error on {command:s} command execution: {error:d}'],
  smmuv3_update: ['q empty:{is_empty:d} prod:{prod:d} cons:{cons:d} p.wrap:{prod_wrap:d} p.cons:{cons_wrap:d}'],
  smmuv3_update_check_cmd: ['cmdq not enabled or error :{error:x}'],
  smmuv3_record_event: ['{recorded:s} sid={sid:n}'],
  smmuv3_propagate_event: ['{recorded:s} sid={sid:n}'],
  smmuv3_find_ste: [
    'sid={sid:n} features:{features:x}, sid_split:{sid_split:x}',
    'SID:{sid:n} features:{features:x}, sid_split:{sid_split:x}',
  ],
  smmuv3_find_ste_2lvl: [
    'strtab_base:{strtab_base:x} l1ptr:{l1ptr:x} l1_off:{l1_ste_offset:x}, l2ptr:{l2ptr:x} l2_off:{l2_ste_offset:x} max_l2_ste:{max_l2_ste:d}',
  ],
  smmuv3_get_ste: ['STE addr: {addr:x}'],
  smmuv3_translate: ['{region:s} sid={sid:n} iova={addr:x} is_write={is_write:d}'],
  smmuv3_translate_disable: ['{region:s} sid={sid:n} bypass (smmu disabled) iova:{addr:x} is_write={is_write:d}'],
  smmuv3_translate_bypass: ['{region:s} sid={sid:n} STE bypass iova:{addr:x} is_write={is_write:d}'],
  smmuv3_translate_abort: ['{region:s} sid={sid:n} abort on iova:{addr:x} is_write={is_write:d}'],
  smmuv3_translate_success: [
    '{region:s} sid={sid:n} iova={iova:x} translated={translated:x} perm={perm:x}[ stage={stage:d}]',
  ],
  smmuv3_get_cd: ['CD addr: {addr:x}'],
  smmuv3_decode_cd: ['oas={oas:d}'],
  smmuv3_decode_cd_tt: ['TT[{i:d}]:tsz:{tsz:d} ttb:{ttb:x} granule_sz:{granule_sz:d}[ had:{had:d}]'],
  smmuv3_config_ste: ['iommu mr={region:s} config={config:d} s1ctxptr={s1ctxptr:x}'],
  smmuv3_cmdq_cfgi_ste: ['streamid= {sid:n}', 'streamid ={sid:n}'],
  smmuv3_cmdq_cfgi_ste_range: ['start={start:x} - end={end:x}'],
  smmuv3_cmdq_cfgi_cd: ['sid={sid:n}', 'streamid = {sid:n}'],
  smmuv3_config_cache_hit: [
    'Config cache HIT for sid={sid:n} (hits={hits:d}, misses={misses:d}, hit rate={hit_rate:d})',
    'Config cache HIT for sid {sid:n} (hits={hits:d}, misses={misses:d}, hit rate={hit_rate:d})',
  ],
  smmuv3_config_cache_miss: [
    'Config cache MISS for sid={sid:n} (hits={hits:d}, misses={misses:d}, hit rate={hit_rate:d})',
    'Config cache MISS for sid {sid:n} (hits={hits:d}, misses={misses:d}, hit rate={hit_rate:d})',
  ],
  smmuv3_config_cache_inv: ['Config cache INV for sid={sid:n}', 'Config cache INV for sid {sid:n}'],
  smmuv3_range_inval: [
    'vmid={vmid:d} asid={asid:d} addr={addr:x} tg={tg:d} num_pages={num_pages:x} ttl={ttl:d} leaf={leaf:d}[ stage={stage:d}]',
  ],
  smmuv3_s1_range_inval: [
    'vmid={vmid:d} asid={asid:d} addr={addr:x} tg={tg:d} num_pages={num_pages:x} ttl={ttl:d} leaf={leaf:d}',
  ],
  smmuv3_s1_asid_inval: ['asid={asid:d}'],
  smmuv3_cmdq_tlbi_nh: ['vmid={vmid:d}', ''],
  smmuv3_cmdq_tlbi_nsnh: [''],
  smmuv3_cmdq_tlbi_nh_asid: ['asid={asid:d}'],
  smmuv3_cmdq_tlbi_s12_vmid: ['vmid={vmid:d}'],
  smmuv3_cmdq_tlbi_nh_va: ['vmid ={vmid:d} asid ={asid:d} addr={addr:x} leaf={leaf:d}'],
  smmuv3_cmdq_tlbi_nh_vaa: ['vmid ={vmid:d} addr={addr:x}'],
  smmuv3_notify_flag_add: ['ADD SMMUNotifier node for iommu mr={region:s}'],
  smmuv3_notify_flag_del: ['DEL SMMUNotifier node for iommu mr={region:s}'],
  smmuv3_inv_notifiers_iova: [
    'iommu mr={region:s} asid={asid:d}[ vmid={vmid:d}] iova={iova:x}[ tg={tg:d} num_pages={num_pages:x}][ stage={stage:d}]',
  ],
  smmuv3_invalidate_all_caches: ['Invalidate all SMMU caches and TLBs'],
  smmuv3_get_device_info: ['idr0={idr0:x} idr1={idr1:x} idr3={idr3:x} idr5={idr5:x}'],

  smmuv3_accel_set_iommu_device: ['devfn={devfn:x} (idev devid={devid:x})'],
  smmuv3_accel_unset_iommu_device: ['devfn={devfn:x} (idev devid={devid:x})'],
  smmuv3_accel_translate_ste: ['vSID={sid:x} hwpt_id={hwpt_id:x} ste={ste_1:x}:{ste_0:x}'],
  smmuv3_accel_install_ste: ['vSID={sid:x} ste type={ste_type:s} hwpt_id={hwpt_id:x}'],

  tegra241_cmdqv_read_mmio: ['offset: {offset:x} val: {val:x} size: {size:d}'],
  tegra241_cmdqv_write_mmio: ['offset: {offset:x} val: {val:x} size: {size:d}'],
  tegra241_cmdqv_read_vcmdq_page0: ['vcmdq[{index:d}] {aperture:s}[ ({backing:s})] offset0: {offset:x} val: {val:x}'],
  tegra241_cmdqv_read_vcmdq_page1: ['vcmdq[{index:d}] {aperture:s}[ ({backing:s})] offset0: {offset:x} val: {val:x}'],
  tegra241_cmdqv_write_vcmdq_page0: ['vcmdq[{index:d}] {aperture:s}[ ({backing:s})] offset0: {offset:x} val: {val:x}'],
  tegra241_cmdqv_write_vcmdq_page1: ['vcmdq[{index:d}] {aperture:s}[ ({backing:s})] offset0: {offset:x} val: {val:x}'],
  tegra241_cmdqv_err_map: ['hw irq received. error (hex) maps: {map3:x}:{map2:x}:{map1:x}:{map0:x}'],
  tegra241_cmdqv_init_regs: ['register init, param={param:x}', 'hw info received. param: {param:x}'],

  iommufd_change_process: ['fd={fd:d} ({ret:d})'],
  iommufd_backend_connect: ['fd={fd:d} owned={owned:d} users={users:d}'],
  iommufd_backend_disconnect: ['fd={fd:d} users={users:d}'],
  iommu_backend_set_fd: ['pre-opened /dev/iommu fd={fd:d}'],
  iommufd_backend_map_dma: [
    'iommufd={iommufd:d} ioas={ioas:d} iova={iova:x} size={size:x} addr={addr:x} readonly={readonly:d} ({ret:d})',
  ],
  iommufd_backend_map_file_dma: [
    'iommufd={iommufd:d} ioas={ioas:d} iova={iova:x} size={size:x} fd={fd:d} start={start:d} readonly={readonly:d} ({ret:d})',
  ],
  iommufd_backend_unmap_dma_non_exist: [
    'Unmap nonexistent mapping: iommufd={iommufd:d} ioas={ioas:d} iova={iova:x} size={size:x} ({ret:d})',
  ],
  iommufd_backend_unmap_dma: ['iommufd={iommufd:d} ioas={ioas:d} iova={iova:x} size={size:x} ({ret:d})'],
  iommufd_backend_alloc_ioas: ['iommufd={iommufd:d} ioas={ioas:d}[ ({ret:d})]'],
  iommufd_backend_alloc_hwpt: [
    'iommufd={iommufd:d} dev_id={dev_id:d} pt_id={pt_id:d} flags={flags:x} hwpt_type={hwpt_type:d} len={len:d} data_ptr={data_ptr:x} out_hwpt={out_hwpt:d} ({ret:d})',
  ],
  iommufd_backend_free_id: ['iommufd={iommufd:d} id={id:d} ({ret:d})'],
  iommufd_backend_set_dirty: ['iommufd={iommufd:d} hwpt={hwpt:d} enable={enable:d} ({ret:d})'],
  iommufd_backend_get_dirty_bitmap: [
    'iommufd={iommufd:d} hwpt={hwpt:d} iova={iova:x} size={size:x}[ flags={flags:x}] page_size={page_size:x} ({ret:d})',
  ],
  iommufd_backend_invalidate_cache: [
    'iommufd={iommufd:d} id={id:d} data_type={data_type:d} entry_len={entry_len:d} entry_num={entry_num:d} done_num={done_num:d} data_ptr={data_ptr:x} ({ret:d})',
  ],
  iommufd_backend_alloc_viommu: [
    'iommufd={iommufd:d} type={viommu_type:d} dev_id={dev_id:d} hwpt_id={hwpt_id:d} viommu_id={viommu_id:d} ({ret:d})',
  ],
  iommufd_backend_alloc_vdev: [
    'iommufd={iommufd:d} dev_id={dev_id:d} viommu_id={viommu_id:d} virt_id={virt_id:x} vdev_id={vdev_id:d} ({ret:d})',
  ],
  iommufd_viommu_alloc_eventq: [
    'iommufd={iommufd:d} viommu_id={viommu_id:d} type={veventq_type:d} veventq_id={veventq_id:d} veventq_fd={veventq_fd:d} ({ret:d})',
  ],
  iommufd_cdev_getfd: ['{path:s} (fd={fd:d})'],
  iommufd_cdev_connect_and_bind: [
    '[iommufd={iommufd:d}] Successfully bound device {device:s} (fd={fd:d}): output devid={devid:d}',
  ],
  iommufd_cdev_alloc_ioas: ['[iommufd={iommufd:d}] new IOMMUFD container with ioasid={ioas:d}'],
  iommufd_cdev_attach_ioas_hwpt: [
    '[iommufd={iommufd:d}] Successfully attached device {device:s} ({fd:d}) to id={id:d}',
    '[iommufd={iommufd:d}] Successfully attached device {device:s} ({fd:d}) to id={id:d}',
  ],
  iommufd_cdev_detach_ioas_hwpt: ['[iommufd={iommufd:d}] Successfully detached {device:s}'],
  iommufd_cdev_device_info: ['{device:s} ({fd:d}) num_irqs={num_irqs:d} num_regions={num_regions:d} flags={flags:d}'],
};

type How = 'x' | 'd' | 'n' | 's' | 't' | 'r';

interface Slot {
  readonly name: string;
  readonly how: How;
}

interface Format {
  readonly pattern: RegExp;
  readonly slots: readonly Slot[];
}

const shapes: Readonly<Record<How, string>> = {
  x: '(?:0x)?(-?[0-9a-fA-F]{1,16})',
  d: '(-?(?:0x[0-9a-fA-F]{1,16}|\\d{1,20}))',
  n: '(0x[0-9a-fA-F]{1,16}|\\d{1,12})',
  s: '([^\\s()]{1,120})',
  t: '([^:()\\n]{1,60}?)',
  r: '(\\S.{0,119})',
};

const escaped = (s: string): string => s.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&').replace(/[ ]+/g, '\\s+');

/** A bracket opens an optional part only if it holds a slot and does not stand for itself: `vcmdq[{index:d}]`, `TT[{i:d}]`. */
function compile(format: string): Format {
  const slots: Slot[] = [];
  const one = (text: string): string =>
    text
      .split(/(\{\w+:[xdnstr]\})/)
      .map((piece) => {
        const m = /^\{(\w+):([xdnstr])\}$/.exec(piece);
        if (!m) return escaped(piece);
        slots.push({ name: m[1] as string, how: m[2] as How });
        return shapes[m[2] as How];
      })
      .join('');
  let source = '';
  let rest = format;
  for (;;) {
    const m = /\[([ (][^[\]]*|stage=\{stage:d\} )\]/.exec(rest);
    if (!m) break;
    source += `${one(rest.slice(0, m.index))}(?:${one(m[1] as string)})?`;
    rest = rest.slice(m.index + m[0].length);
  }
  source += one(rest);
  return { pattern: new RegExp(`^\\s*${source}`), slots };
}

const formats = new Map<string, readonly Format[]>();

/** Names of all events. */
export const isEvent = (name: string): boolean => Object.hasOwn(table, name);
export const eventNames: readonly string[] = Object.keys(table);

const numberOrText = (text: string, how: How): string | number => {
  if (how === 's' || how === 't' || how === 'r') return text;
  const negative = text.startsWith('-');
  const digits = negative ? text.slice(1) : text;
  if (how === 'd') return Number(digits) * (negative ? -1 : 1);
  const v = how === 'x' ? BigInt(`0x${digits.replace(/^0x/i, '')}`) : BigInt(digits);
  return `${negative ? '-' : ''}0x${v.toString(16)}`;
};

export type Fields = Record<string, string | number>;

/** Names that the arguments have in QEMU's source, where they differ: simpletrace prints those. */
const renamed: Readonly<Record<string, string>> = {
  n: 'region',
  name: 'region',
  iommu: 'region',
  perc: 'hit_rate',
  p: 'hit_rate',
  hit: 'hits',
  miss: 'misses',
  r: 'result',
  cmd_name: 'command',
  cmd_error: 'error',
  streamid: 'sid',
  vsid: 'sid',
  offset0: 'offset',
  out_hwpt_id: 'out_hwpt',
  hwpt_id: 'hwpt_id',
};

/** Arguments as `simpletrace.py` prints them: `name 12.345 pid=77 sid=0x8`. */
function simple(name: string, text: string): { fields: Fields; end: number } | null {
  const head = /^\s*-?\d{1,12}\.\d{1,6}(?:\s+pid=\d{1,9})?(?=\s|$)/.exec(text);
  if (!head) return null;
  const slots = new Map(formatsOf(name).flatMap((f) => f.slots.map((s) => [s.name, s.how] as const)));
  const fields: Fields = {};
  let end = head[0].length;
  const pair = /\s+(\w{1,40})=(?:b'([^']{0,120})'|([^\s]{1,120}))/y;
  for (;;) {
    pair.lastIndex = end;
    const m = pair.exec(text);
    if (!m) break;
    const key = renamed[m[1] as string] ?? (m[1] === 'type' ? kindSlot(slots) : (m[1] as string));
    const raw = m[2] ?? (m[3] as string);
    const how = slots.get(key);
    const number = /^(?:0x[0-9a-f]{1,16}|\d{1,20})$/i.test(raw);
    fields[key] = how && !/[str]/.test(how) && number ? numberOrText(raw, how === 'x' ? 'n' : how) : raw;
    end = pair.lastIndex;
  }
  return { fields, end };
}

/** `type` is the record's own: the argument of that name has a more telling one here. */
const kindSlot = (slots: ReadonlyMap<string, How>): string =>
  ['recorded', 'ste_type', 'viommu_type', 'veventq_type', 'opcode_number'].find((k) => slots.has(k)) ?? 'kind';

function formatsOf(name: string): readonly Format[] {
  let list = formats.get(name);
  if (!list) formats.set(name, (list = (table[name] ?? []).map(compile)));
  return list;
}

/**
 * Reads the arguments of an event.
 * @returns the fields and where they end, or null when the text has none of the event's forms
 */
export function parseArguments(name: string, text: string): { fields: Fields; end: number } | null {
  for (const f of formatsOf(name)) {
    const m = f.pattern.exec(text);
    if (!m) continue;
    const fields: Fields = {};
    f.slots.forEach((s, i) => {
      const v = m[i + 1];
      if (v !== undefined) fields[s.name] = numberOrText(v, s.how);
    });
    return { fields, end: m[0].length };
  }
  return simple(name, text);
}
