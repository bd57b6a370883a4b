/** Every VT-d event of QEMU as `printf` makes it from its format, and the model's error messages. */

import { describe, expect, test } from 'vitest';
import { decodeLog, type LogRecord } from '../index.ts';
import { vtdFormats } from './vtd-formats.ts';

type Facts = Record<string, unknown>;

const printed: readonly (readonly [string, Facts])[] = [
  [
    'vtd_inv_desc invalidate desc type p-iotlb high 0xfffff040 low 0x20036',
    { desc: 'p-iotlb', desc_name: 'PASID-based IOTLB Invalidation', domain_id: 2, addr: '0xfffff000', ih: 1 },
  ],
  [
    'vtd_inv_desc invalidate desc type page group response high 0x28 low 0x3b000009',
    { desc: 'page group response', group: 5, pasid: null },
  ],
  ['vtd_inv_desc invalidate desc type pasid-cache high 0x0', { desc: 'pasid-cache', cut: true }],
  ['vtd_inv_desc_invalid invalid inv desc hi 0x0 lo 0xa', { desc_name: 'UNKNOWN' }],
  ['vtd_inv_desc_cc_invalid invalid context-cache desc hi 0x0 lo 0x1', { desc_type: 1 }],
  ['vtd_inv_desc_iotlb_invalid invalid iotlb desc hi 0x0 lo 0x2', { desc_type: 2 }],
  ['vtd_inv_desc_wait_invalid invalid wait desc hi 0x0 lo 0x5', { desc_type: 5 }],
  ['vtd_err invalid tail', { msg: 'invalid tail' }],
  ['vtd_err_dmar_iova_overflow iova 0x1d40000030c0', { iova: '0x1d40000030c0' }],
  ['vtd_err_dmar_slpte_read_error iova 0x1000 level 4', { level: 4 }],
  ['vtd_err_dmar_slpte_perm_error iova 0x1000 level 3 slpte 0x0 write 1', { slpte: '0x0', write: 1 }],
  ['vtd_err_dmar_slpte_resv_error iova 0x1000 level 1 slpte 0x102681803', { slpte: '0x102681803' }],
  ['vtd_err_dmar_translate dev 01:00.00 iova 0x1000', { device: '01:00.0' }],
  ['vtd_inv_desc_cc_domain context invalidate domain 0x2', { domain: '0x2' }],
  ['vtd_inv_desc_cc_global context invalidate globally', {}],
  ['vtd_inv_desc_cc_device context invalidate device 02:00.01', { device: '02:00.1' }],
  [
    'vtd_inv_desc_cc_devices context invalidate devices sid 0x200 fmask 0x3',
    { sid: '0x200', sid_bdf: '02:00.0', fmask: '0x3' },
  ],
  ['vtd_inv_desc_iotlb_global iotlb invalidate global', {}],
  ['vtd_inv_desc_iotlb_domain iotlb invalidate whole domain 0x2', { domain: '0x2' }],
  [
    'vtd_inv_desc_iotlb_pages iotlb invalidate domain 0x2 addr 0xfffff000 mask 0x5',
    { addr: '0xfffff000', mask: '0x5' },
  ],
  ['vtd_inv_desc_iotlb_pasid_pages iotlb invalidate domain 0x2 addr 0xfffff000 mask 0x5 pasid 0x1', { pasid: '0x1' }],
  ['vtd_inv_desc_iotlb_pasid iotlb invalidate domain 0x2 pasid 0x1', { domain: '0x2', pasid: '0x1' }],
  ['vtd_inv_desc_wait_sw wait invalidate status write addr 0x102345678 data 0x2', { addr: '0x102345678', data: '0x2' }],
  ['vtd_inv_desc_wait_irq One pending, skip current', { msg: 'One pending, skip current' }],
  ['vtd_inv_desc_wait_write_fail write fail for wait desc hi 0x1000 lo 0x200000025', { desc_type: 5 }],
  ['vtd_inv_desc_iec granularity 0x1 index 0x12 mask 0x0', { granularity: '0x1', index: '0x12' }],
  ['vtd_inv_qi_enable enabled 1', { enable: 1 }],
  ['vtd_inv_qi_setup addr 0x102340000 size 256', { addr: '0x102340000', size: 256 }],
  ['vtd_inv_qi_head read head 3', { head: 3 }],
  ['vtd_inv_qi_tail write tail 5', { tail: 5 }],
  ['vtd_inv_qi_fetch ', {}],
  ['vtd_context_cache_reset ', {}],
  ['vtd_pasid_cache_reset ', {}],
  ['vtd_inv_desc_pasid_cache_gsi ', {}],
  ['vtd_pasid_cache_gsi ', {}],
  ['vtd_inv_desc_pasid_cache_dsi Domain selective PC invalidation domain 0x2', { domain: '0x2' }],
  ['vtd_pasid_cache_dsi Domain selective PC invalidation domain 0x2', { domain: '0x2' }],
  ['vtd_inv_desc_pasid_cache_psi PASID selective PC invalidation domain 0x2 pasid 0x1', { pasid: '0x1' }],
  ['vtd_pasid_cache_psi PASID selective PC invalidation domain 0x2 pasid 0x1', { pasid: '0x1' }],
  ['vtd_pasid_cache_devsi Dev selective PC invalidation dev: 02:00.00', { device: '02:00.0' }],
  ['vtd_re_not_present Root entry bus 2 not present', { bus: 2 }],
  ['vtd_re_invalid invalid root entry hi 0x0 lo 0x1001', { lo: '0x1001' }],
  ['vtd_ce_not_present Context entry bus 2 devfn 8 not present', { bus: 2, devfn: 8 }],
  ['vtd_ce_invalid invalid context entry hi 0x0 lo 0x1001', { hi: '0x0' }],
  [
    'vtd_iotlb_page_hit IOTLB page hit sid 0x10 iova 0xfffff000 slpte 0x102681803 domain 0x2',
    { sid_bdf: '00:02.0', pte: '0x102681803' },
  ],
  ['vtd_iotlb_page_update IOTLB page update sid 0x10 iova 0xfffff000 pte 0x102681803 domain 0x2', { pte_name: 'pte' }],
  ['vtd_iotlb_cc_hit IOTLB context hit bus 0x0 devfn 0x10 high 0x102 low 0x10303f005 gen 1', { devfn: '0x10', gen: 1 }],
  [
    'vtd_iotlb_cc_update IOTLB context update bus 0x0 devfn 0x10 high 0x102 low 0x10303f005 gen 0 -> gen 1',
    { new_gen: 1 },
  ],
  ['vtd_iotlb_reset IOTLB reset (reason: iotlb exceeds size limit)', { reason: 'iotlb exceeds size limit' }],
  ['vtd_fault_disabled Fault processing disabled for context entry', {}],
  [
    'vtd_replay_ce_valid scalable mode: replay valid context device 02:00.00 domain 0x2 hi 0x0 lo 0x100100e1d',
    { mode: 'scalable', lo: '0x100100e1d' },
  ],
  ['vtd_replay_ce_valid replay valid context device 02:00.00 domain 0xd hi 0xd02 lo 0x10303f005', { domain: '0xd' }],
  ['vtd_replay_ce_invalid replay invalid context device 02:00.00', { device: '02:00.0' }],
  [
    'vtd_page_walk_level walk (base=0x10303f000, level=4) iova range 0x0 - 0xffffffffffff',
    { base: '0x10303f000', level: 4 },
  ],
  [
    'vtd_page_walk_one domain 0x2 iova 0xfffff000 -> gpa 0x102681000 mask 0xfff perm 3',
    { gpa: '0x102681000', perm: 3 },
  ],
  ['vtd_page_walk_one_skip_map iova 0xfffff000 mask 0xfff translated 0x102681000', { translated: '0x102681000' }],
  ['vtd_page_walk_one_skip_unmap iova 0xfffff000 mask 0xfff', { mask: '0xfff' }],
  ['vtd_page_walk_skip_read Page walk skip iova 0x0 - 0x200000 due to unable to read', { next: '0x200000' }],
  ['vtd_page_walk_skip_perm Page walk skip iova 0x0 - 0x200000 due to perm empty', { next: '0x200000' }],
  ['vtd_page_walk_skip_reserve Page walk skip iova 0x0 - 0x200000 due to rsrv set', { next: '0x200000' }],
  ['vtd_switch_address_space Device 02:00.0 switching address space (iommu enabled=1)', { device: '02:00.0', on: 1 }],
  ['vtd_as_unmap_whole Device 02:00.0 start 0x0 size 0x1000000000000', { size: '0x1000000000000' }],
  ['vtd_translate_pt source id 0x10, iova 0xfffff000', { sid: '0x10' }],
  ['vtd_pt_enable_fast_path sid 0x10 1', { success: 1 }],
  ['vtd_irq_generate addr 0xfee00000 data 0x21', { data: '0x21' }],
  ['vtd_reg_read addr 0x34 size 0x4', { reg: 'FSTS_REG' }],
  [
    'vtd_reg_write addr 0x90 size 0x8 value 0x102340801',
    { reg: 'IQA_REG', reg_fields: { DW: 1, QS: 1, BASE: '0x102340000' } },
  ],
  ['vtd_reg_write addr 0x24 size 0x4 value 0x1', { reg: 'RTADDR_REG', half: 'upper' }],
  ['vtd_reg_dmar_root addr 0x100000000 scalable 1', { scalable: 1 }],
  ['vtd_reg_ir_root addr 0x100900000 size 0x10000', { size: '0x10000' }],
  [
    'vtd_reg_write_gcmd status 0x44000000 value 0xc4000000',
    { set: ['QIE', 'SRTP', 'TE'], status_set: ['QIES', 'RTPS'] },
  ],
  ['vtd_reg_write_fectl value 0x0', { val: '0x0' }],
  ['vtd_reg_write_iectl value 0x80000000', { val: '0x80000000' }],
  ['vtd_reg_ics_clear_ip ', {}],
  [
    'vtd_dmar_translate dev 02:00.00 iova 0xfffff000 -> gpa 0x102681000 mask 0xfff',
    { device: '02:00.0', gpa: '0x102681000' },
  ],
  ['vtd_dmar_enable enable 1', { enable: 1 }],
  [
    'vtd_dmar_fault sid 0xb00 fault 6 addr 0x1187a9000 write 0',
    { sid_bdf: '0b:00.0', condition: 'LGN.3', access: 'read' },
  ],
  ['vtd_dmar_fault sid 0xb00 fault 113 addr 0x1187a9000 write 1', { reason: '0x71', condition: 'SFS.2' }],
  ['vtd_ir_enable enable 1', { enable: 1 }],
  ['vtd_ir_irte_get index 1 low 0x100ef000d high 0x40050', { index: 1, lo: '0x100ef000d' }],
  ['vtd_ir_remap index 1 trigger 0 vector 33 deliver 0 dest 0x1 mode 1', { vector: 33 }],
  ['vtd_ir_remap_type MSI', { kind: 'MSI' }],
  ['vtd_ir_remap_msi (addr 0xfee00018, data 0x0) -> (addr 0xfee01004, data 0x21)', { new_data: '0x21' }],
  ['vtd_ir_remap_msi_req addr 0xfee00018 data 0x0', { addr: '0xfee00018' }],
  ['vtd_fsts_ppf FSTS PPF bit set to 1', { set: 1 }],
  ['vtd_fsts_clear_ip ', {}],
  [
    'vtd_frr_new index 0 high 0x8012347180003b00 low 0x7f0012345000',
    {
      condition: 'SFS.2',
      sid_bdf: '3b:00.0',
      pasid: '0x1234',
      access: 'write',
      addr: '0x7f0012345000',
      layout: 'vtd.frcd',
    },
  ],
  ['vtd_warn_invalid_qi_tail tail 0x1000', { tail: '0x1000' }],
  ['vtd_warn_ir_vector sid 0x10 index 1 vec 33 (should be: 34)', { vector: 33, target: 34 }],
  ['vtd_warn_ir_trigger sid 0x10 index 1 trigger 0 (should be: 1)', { trigger: 0, target: 1 }],
  ['vtd_reset_exit ', {}],
  ['vtd_device_attach_hwpt dev_id 1 pasid 0 hwpt_id 7, ret: 1', { dev_id: 1, hwpt_id: 7, ret: 1 }],
  ['vtd_device_detach_hwpt dev_id 1 pasid 0 ret: 1', { ret: 1 }],
  ['vtd_device_reattach_def_hwpt dev_id 1 pasid 0 hwpt_id 5, ret: 0', { hwpt_id: 5, ret: 0 }],
  [
    'vfio_listener_region_add_iommu region_add [iommu] vtd-00.0-dmar 0x0 - 0xfedfffff',
    { region: 'vtd-00.0-dmar', end: '0xfedfffff' },
  ],
  ['vfio_listener_region_add_ram region_add [ram] 0x0 - 0x9ffff [0x7f0000000000]', { end: '0x9ffff' }],
  ['vfio_listener_region_del region_del 0x0 - 0x9ffff', { end: '0x9ffff' }],
  ['vfio_listener_region_skip SKIPPING region_add 0xfee00000 - 0xfeefffff', { start: '0xfee00000' }],
  ['vfio_iommu_map_notify iommu UNMAP @ 0xfefc0000 - 0xfefc0fff', { op: 'UNMAP', start: '0xfefc0000' }],
];

const head = /^[A-Z][^\n]{8,}\.$/;

describe('every event', () => {
  test('has a line here', () => {
    const names = new Set(printed.map(([l]) => l.split(' ')[0]));
    expect(Object.keys(vtdFormats).filter((n) => !names.has(n))).toEqual([]);
  });

  test.each(printed)('%s', (line, want) => {
    for (const prefix of ['', '4242@1700000000.123456:', '> ']) {
      const { records, unread } = decodeLog(prefix + line);
      expect(unread, prefix).toEqual([]);
      expect(records, prefix).toMatchObject([{ type: 'qemu_trace', event: line.split(' ')[0], ...want }]);
      expect(records[0]?.explain).not.toMatch(/^QEMU's trace event|\?|undefined/);
      expect(records[0]?.explain).toMatch(/^(?:[A-Z]|0x)[^\n]{8,}\.$/);
      expect(records[0]?.model).toBe(line.startsWith('vfio') ? 'vfio' : 'intel_iommu');
    }
  });

  test('9.9: what QEMU refuses is said', () => {
    const [r] = decodeLog('vtd_inv_desc invalidate desc type p-iotlb high 0x0 low 0x20016').records;
    expect(r).toMatchObject({ legal: false, illegal: ['granularity 1 is illegal'] });
    expect(r?.explain).toContain('QEMU refuses it');
  });

  test('where it arises', () => {
    const at = (line: string): unknown => decodeLog(line).records[0]?.where?.at;
    expect(at('vtd_inv_qi_fetch ')).toBe('vmm.viommu');
    expect(at('vtd_frr_new index 0 high 0x8012347180003b00 low 0x7f0012345000')).toBe('guest.frcd');
    expect(at('vtd_device_detach_hwpt dev_id 1 pasid 0 ret: 1')).toBe('kernel.driver');
  });
});

const messages: readonly (readonly [string, Facts])[] = [
  [
    'vtd_iova_to_slpte: detected slpte permission error (iova=0x1187a9000, level=0x3, slpte=0x0, write=0, pasid=0xffffffff)',
    {
      event: 'vtd_iova_to_slpte',
      error: 'slpte permission error',
      iova: '0x1187a9000',
      level: 3,
      slpte: '0x0',
      write: 0,
    },
  ],
  [
    'vtd_iova_to_sspte: detected sspte permission error (iova=0x1187a9000, level=0x3, sspte=0x0, write=1, pasid=0x0)',
    { event: 'vtd_iova_to_sspte', error: 'sspte permission error', sspte: '0x0', write: 1 },
  ],
  [
    'vtd_iova_to_slpte: detected splte reserve non-zero iova=0xfffff002, level=0x1slpte=0x102681803)',
    { error: 'slpte reserved bits non-zero', iova: '0xfffff002', level: 1, slpte: '0x102681803' },
  ],
  [
    'vtd_iova_to_slpte: detected IOVA overflow (iova=0x1d40000030c0)',
    { error: 'IOVA overflow', iova: '0x1d40000030c0' },
  ],
  ['vtd_iova_to_slpte: detected IOVA overflow (iova=0x1d40000030c0,pasid=0xffffffff)', { pasid: '0xffffffff' }],
  ['vtd_iova_to_slpte: detected read error on DMAR slpte (iova=0x1000)', { error: 'read error on DMAR slpte' }],
  [
    'vtd_iova_to_fspte: detected non canonical IOVA (iova=0x8000000000000000,pasid=0x0)',
    { error: 'non canonical IOVA' },
  ],
  [
    'vtd_iommu_translate: detected translation failure (dev=01:00:00, iova=0xfffff002)',
    { event: 'vtd_iommu_translate', error: 'translation failure', dev: '01:00.0', iova: '0xfffff002' },
  ],
  [
    'vtd_process_iotlb_desc: invalid iotlb inv desc: hi=0x0, lo=0x20016 (reserved bits unzero)',
    { event: 'vtd_process_iotlb_desc', desc_type: 6 },
  ],
  ['New fault is not recorded due to compression of faults', { event: 'fault_compressed' }],
  ['New fault is not recorded due to Primary Fault Overflow', { event: 'fault_lost' }],
  ['Next Fault Recording Reg is used, new fault is not recorded, set PFO field', { event: 'fault_lost' }],
  ['There are pending faults already, fault event is not generated', { event: 'fault_event_pending' }],
  ['Interrupt Mask set, irq is not generated', { event: 'interrupt_masked' }],
];

describe('error messages', () => {
  test.each(messages)('%s', (text, want) => {
    for (const prefix of [
      'qemu-system-x86_64: ',
      '> qemu-system-x86_64-dt: ',
      '2023-02-13T07:02:37.074397Z qemu-system-x86_64: ',
    ]) {
      const { records, unread } = decodeLog(prefix + text);
      expect(unread, prefix).toEqual([]);
      expect(records, prefix).toMatchObject([{ type: 'qemu_message', model: 'intel_iommu', ...want }]);
      expect(records[0]?.explain).toMatch(head);
    }
  });

  test.each(messages.map((m) => m[0]))('wrapped at blanks at any width: %s', (text) => {
    const whole = decodeLog(`qemu-system-x86_64: ${text}`).records;
    const { line, ...facts } = whole[0] as LogRecord;
    for (let width = 34; width < 100; width += 7) {
      const lines: string[] = [];
      let rest = `qemu-system-x86_64: ${text}`;
      while (rest.length > width) {
        const at = rest.lastIndexOf(' ', width);
        if (at <= 0) break;
        lines.push(rest.slice(0, at));
        rest = rest.slice(at + 1);
      }
      const { records } = decodeLog([...lines, rest, 'qemu-system-x86_64: virtio: something'].join('\n'));
      expect(records, `${width}`).toMatchObject([facts]);
    }
  });
});

describe('the lines of one guest descriptor', () => {
  // 9.5: a guest unmap on its way to the host, and the wait behind it.
  const unmap = `vtd_reg_write addr 0x88 size 0x8 value 0x40
vtd_inv_qi_tail write tail 2
vtd_inv_qi_fetch 
vtd_inv_qi_head read head 0
vtd_inv_desc invalidate desc type p-iotlb high 0xfffff040 low 0x20036
iommufd_backend_invalidate_cache  iommufd=10 id=7 data_type=0 entry_len=24 entry_num=1 done_num=1 data_ptr=0x7ffc0010 (0)
vtd_inv_qi_head read head 1
vtd_inv_desc invalidate desc type wait high 0x102345678 low 0x200000025
vtd_inv_desc_wait_sw wait invalidate status write addr 0x102345678 data 0x2`;

  test('9.5: are put together where they reached the host', () => {
    const { records, unread } = decodeLog(unmap);
    expect(unread).toEqual([]);
    const commands = records.filter((r) => r.type === 'qemu_guest_command');
    expect(commands).toMatchObject([
      {
        command: 'P_IOTLB_INV',
        domain_id: 2,
        addr: '0xfffff000',
        ih: 1,
        ok: true,
        line: 4,
        lines: [5, 6],
        arch: 'vtd',
      },
    ]);
    expect(commands[0]?.explain).toContain('IOMMU_HWPT_INVALIDATE on object 7');
    expect(records.filter((r) => r.part_of === 4).map((r) => r.line)).toEqual([5, 6]);
    expect(records.filter((r) => r.event !== undefined)).toHaveLength(9);
  });

  test('a bind that the kernel refused', () => {
    const [r] = decodeLog(`vtd_inv_qi_head read head 0
vtd_inv_desc invalidate desc type pasid-cache high 0x0 low 0x20017
vtd_inv_desc_pasid_cache_psi PASID selective PC invalidation domain 0x2 pasid 0x0
iommufd_backend_alloc_hwpt  iommufd=10 dev_id=1 pt_id=5 flags=0x0 hwpt_type=1 len=24 data_ptr=0x7ffc0000 out_hwpt=0 (-22)`).records.filter(
      (x) => x.type === 'qemu_guest_command',
    );
    expect(r).toMatchObject({
      command: 'PC_INV',
      ok: false,
      failed: [{ ret: -22, errno: 'EINVAL' }],
      lines: [2, 3, 4],
    });
    expect(r?.explain).toContain('the guest is not told');
  });
});
