import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import samples from '../fixtures/qemu-trace.json';
import { decodeLog, type LogRecord } from '../index.ts';
import { eventNames, parseArguments } from './formats.ts';

type Facts = Record<string, unknown>;

const traces = (records: readonly LogRecord[]): LogRecord[] => records.filter((r) => r.event !== undefined);

describe('real traces', () => {
  test.each(samples.map((s) => [s.id, s] as const))('%s', (_, { text, expect: want }) => {
    const { records, unread } = decodeLog(text);
    // A line of another device of QEMU is no IOMMU message.
    expect(unread.filter((u) => !u.text.includes(': virtio: '))).toEqual([]);
    const found = traces(records);
    for (const r of found) {
      expect(r.model).toBe(want.model);
      expect(r.type).toMatch(/^qemu_/);
      expect(r.explain).toMatch(/^[^\n]{15,}\.$/);
    }
    // The description has some samples with only the lines that matter: each must be there, in order.
    let at = 0;
    for (const event of want.events as Facts[]) {
      while (at < found.length && !matches(found[at] as LogRecord, event)) at++;
      expect(at, JSON.stringify(event)).toBeLessThan(found.length);
      at++;
    }
    const counts = (want as { counts?: Record<string, number> }).counts ?? {};
    for (const [name, count] of Object.entries(counts))
      expect(found.filter((r) => r.event === name)).toHaveLength(count);
  });
});

const matches = (r: LogRecord, want: Facts): boolean =>
  Object.entries(want).every(([k, v]) => JSON.stringify(r[k]) === JSON.stringify(v));

/** Lines as `printf` makes them from the formats of hw/arm/trace-events, old and new. */
const printed: readonly (readonly [string, Facts])[] = [
  [
    'smmu_ptw_level level=3 iova=0x1000 subpage_sz=0x1000 baseaddr=0x4e4d3000 offset=1 => pte=0x50000f47',
    { event: 'smmu_ptw_level', level: 3, offset: 1, pte: '0x50000f47' },
  ],
  [
    'smmu_ptw_level stage=2 level=3 iova=0x1000 subpage_sz=0x1000 baseaddr=0x4e4d3000 offset=1 => pte=0x50000f47',
    { stage: 2, iova: '0x1000' },
  ],
  [
    'smmu_ptw_block_pte stage=1 level=2 base@=0x1000 pte@=0x1008 pte=0x40000f45 iova=0x200000 block address = 0x40000000 block size = 2 MiB',
    { gpa: '0x40000000', bsize_mb: 2 },
  ],
  [
    'smmu_iotlb_lookup_miss IOTLB cache MISS asid=3 addr=0x1000 hit=1 miss=2 hit rate=33',
    { asid: 3, hits: 1, misses: 2, hit_rate: 33 },
  ],
  ['smmu_iotlb_lookup_miss IOTLB cache MISS asid=3 vmid=-1 addr=0x1000 hit=1 miss=2 hit rate=33', { vmid: -1 }],
  [
    'smmuv3_record_event SMMU_EVT_F_TRANSLATION sid=16',
    { event: 'smmuv3_record_event', recorded: 'SMMU_EVT_F_TRANSLATION', sid: '0x10' },
  ],
  ['smmuv3_propagate_event SMMU_EVT_F_TRANSLATION sid=0x10', { sid: '0x10' }],
  ['smmuv3_find_ste SID:0x8 features:0x2, sid_split:0x8', { sid: '0x8', sid_split: '0x8' }],
  ['smmuv3_find_ste sid=0x8 features:0x2, sid_split:0x8', { sid: '0x8' }],
  ['smmuv3_decode_cd_tt TT[0]:tsz:16 ttb:0x4a000000 granule_sz:12', { i: 0, tsz: 16, ttb: '0x4a000000' }],
  ['smmuv3_decode_cd_tt TT[1]:tsz:16 ttb:0x4a000000 granule_sz:12 had:0', { i: 1, had: 0 }],
  [
    'smmuv3_translate_abort smmuv3-iommu-memory-region-0-1 sid=8 abort on iova:0x1000 is_write=1',
    { sid: '0x8', is_write: 1 },
  ],
  ['smmuv3_cmdq_tlbi_nh_va vmid =0 asid =1 addr=0xfffff000 leaf=1', { asid: 1, addr: '0xfffff000', leaf: 1 }],
  [
    'smmuv3_range_inval vmid=0 asid=1 addr=0xfffff000 tg=1 num_pages=0x10 ttl=3 leaf=1 stage=1',
    { num_pages: '0x10', stage: 1 },
  ],
  ['smmuv3_s1_range_inval vmid=0 asid=1 addr=0xfffff000 tg=1 num_pages=0x10 ttl=3 leaf=1', { ttl: 3 }],
  [
    'smmuv3_accel_install_ste vSID=0x10 ste type=translate hwpt_id=0x5',
    { sid: '0x10', ste_type: 'translate', hwpt_id: '0x5' },
  ],
  [
    'smmuv3_accel_translate_ste vSID=0x10 hwpt_id=0x5 ste=20000000:4300000b',
    { ste_1: '0x20000000', ste_0: '0x4300000b' },
  ],
  ['tegra241_cmdqv_write_mmio offset: 0x1000 val: 0x1 size: 0x4', { offset: '0x1000', size: 4 }],
  [
    'tegra241_cmdqv_read_vcmdq_page0 vcmdq[1] vi (hw) offset0: 0x8 val: 0x2',
    { index: 1, aperture: 'vi', backing: 'hw', val: '0x2' },
  ],
  ['tegra241_cmdqv_read_vcmdq_page0 vcmdq[1] direct offset0: 0x8 val: 0x2', { index: 1, aperture: 'direct' }],
  ['tegra241_cmdqv_err_map hw irq received. error (hex) maps: 0000:0000:0000:0001', { map0: '0x1', map3: '0x0' }],
  ['tegra241_cmdqv_init_regs register init, param=0x00001234', { param: '0x1234' }],
  ['iommufd_backend_alloc_viommu  iommufd=10 type=1 dev_id=2 hwpt_id=3 viommu_id=4 (0)', { viommu_id: 4, ret: 0 }],
  [
    'iommufd_backend_alloc_vdev  iommufd=10 dev_id=2 viommu_id=4 virt_id=0x10 vdev_id=7 (0)',
    { virt_id: '0x10', vdev_id: 7 },
  ],
  [
    'iommufd_viommu_alloc_eventq  iommufd=10 viommu_id=4 type=1 veventq_id=8 veventq_fd=33 (0)',
    { veventq_id: 8, veventq_fd: 33 },
  ],
  ['smmuv3_cmdq_tlbi_nsnh ', { event: 'smmuv3_cmdq_tlbi_nsnh' }],
];

describe('every form of a line', () => {
  test.each(printed)('%s', (line, want) => {
    for (const head of ['', '4242@1700000000.123456:', '2026-11-24T12:00:00.000000Z ', '> ', 'qemu: ']) {
      const { records, unread } = decodeLog(head + line);
      expect(unread, head).toEqual([]);
      expect(traces(records)[0], head).toMatchObject({ type: 'qemu_trace', ...want });
    }
  });

  test('as simpletrace.py prints it', () => {
    expect(traces(decodeLog('smmuv3_get_ste 12.345 pid=77 addr=0x4e179200').records)[0]).toMatchObject({
      addr: '0x4e179200',
    });
    expect(
      traces(
        decodeLog(
          "smmuv3_cmdq_opcode 3.100 pid=77 opcode=b'SMMU_CMD_SYNC'\nsmmuv3_cmdq_consume 1.000 pid=77 prod=0x2 cons=0x1 prod_wrap=0x0 cons_wrap=0x0",
        ).records,
      ),
    ).toMatchObject([{ opcode: 'CMD_SYNC' }, { prod: 2, cons: 1 }]);
    expect(
      traces(decodeLog('smmuv3_config_cache_hit 0.5 pid=7 sid=0x10 hits=0x3 misses=0x1 perc=0x4b').records)[0],
    ).toMatchObject({
      sid: '0x10',
      hits: 3,
      hit_rate: 75,
    });
  });

  test('wrapped by a mail program', () => {
    const { records, unread } = decodeLog(
      'smmuv3_translate_success smmuv3-iommu-memory-region-1-0 sid=0x1\n iova=0xfffff000 translated=0x40a00000 perm=0x3\nsmmu_iotlb_inv_all IOTLB invalidate all',
    );
    expect(unread).toEqual([]);
    expect(traces(records)).toMatchObject([{ translated: '0x40a00000' }, { line: 3, event: 'smmu_iotlb_inv_all' }]);
  });

  test('an unknown form is named, not guessed', () => {
    const { records, unread } = decodeLog('smmuv3_get_ste the entry at 4711');
    expect(records).toEqual([]);
    expect(unread).toMatchObject([{ line: 1, why: expect.stringContaining('smmuv3_get_ste') }]);
  });

  test('any text behind any name: an answer, never an exception', () => {
    const piece = fc.oneof(
      fc.constantFrom(...eventNames),
      fc.string({ maxLength: 30 }),
      fc.constantFrom('sid=0x', 'prod=1 ', '(', ')', '\n', '0x', '='),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (parts) => {
        expect(() => decodeLog(parts.join(' '))).not.toThrow();
      }),
      { numRuns: 300 },
    );
    for (const name of eventNames) expect(() => parseArguments(name, ' '.repeat(5000))).not.toThrow();
  });
});

describe('the lines of one guest command', () => {
  const ok = `smmuv3_cmdq_consume prod=3 cons=0 prod.wrap=0 cons.wrap=0
smmuv3_cmdq_opcode <--- SMMU_CMD_CFGI_STE
smmuv3_cmdq_cfgi_ste streamid= 0x10
smmuv3_get_ste STE addr: 0x4e179400
iommufd_backend_alloc_hwpt  iommufd=10 dev_id=1 pt_id=5 flags=0x0 hwpt_type=2 len=16 data_ptr=0x7ffc0000 out_hwpt=6 (0)
smmuv3_accel_install_ste vSID=0x10 ste type=translate hwpt_id=0x6
smmuv3_cmdq_consume prod=3 cons=1 prod.wrap=0 cons.wrap=0
smmuv3_cmdq_opcode <--- SMMU_CMD_TLBI_NH_VA
smmuv3_range_inval vmid=0 asid=1 addr=0xfffff000 tg=1 num_pages=0x1 ttl=3 leaf=1 stage=1
iommufd_backend_invalidate_cache  iommufd=10 id=4 data_type=1 entry_len=16 entry_num=1 done_num=1 data_ptr=0x7ffc0010 (0)
smmuv3_cmdq_consume prod=3 cons=2 prod.wrap=0 cons.wrap=0
smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC
smmuv3_cmdq_consume_out prod:3, cons:3, prod_wrap:0, cons_wrap:0 `;

  test('are put together, with what the guest meant', () => {
    const commands = decodeLog(ok).records.filter((r) => r.type === 'qemu_guest_command');
    expect(commands).toMatchObject([
      { command: 'CMD_CFGI_STE', sid: '0x10', hwpt_id: '0x6', ok: true, line: 1, index: 0 },
      { command: 'CMD_TLBI_NH_VA', addr: '0xfffff000', asid: 1, ok: true, line: 7, index: 1 },
      { command: 'CMD_SYNC', ok: true, line: 11, index: 2 },
    ]);
    expect(commands[0]?.lines).toEqual([1, 2, 3, 5, 6]);
    expect(commands[0]?.explain).toContain('made HWPT 6');
    expect(commands[1]?.explain).toContain('carried 1 command of the guest to the kernel, which took 1');
    const parts = decodeLog(ok).records.filter((r) => r.part_of === 7);
    expect(parts.map((r) => r.line)).toEqual([7, 8, 9, 10]);
  });

  test('an error leads to its reason', () => {
    const failing = (middle: string, code = 1): LogRecord =>
      decodeLog(`smmuv3_cmdq_consume prod=3 cons=0 prod.wrap=0 cons.wrap=0
smmuv3_cmdq_opcode <--- SMMU_CMD_CFGI_STE
${middle}
smmuv3_cmdq_consume_error Error on SMMU_CMD_CFGI_STE command execution: ${code}
smmuv3_cmdq_consume_out prod:3, cons:0, prod_wrap:0, cons_wrap:0 `).records[0]!;
    const refused = failing(
      'iommufd_backend_alloc_hwpt  iommufd=10 dev_id=1 pt_id=5 flags=0x0 hwpt_type=2 len=16 data_ptr=0x7ffc0000 out_hwpt=0 (-22)',
    );
    expect(refused).toMatchObject({
      ok: false,
      error: 1,
      error_name: 'CERROR_ILL',
      failed: [{ ret: -22, errno: 'EINVAL' }],
    });
    expect(refused.explain).toContain("the kernel refused the guest's STE (alloc_hwpt, EINVAL");
    expect(failing('smmuv3_unhandled_cmd Unhandled command type=66').explain).toContain('does not carry out');
    expect(failing('smmuv3_get_ste STE addr: 0x10', 2).explain).toContain('could not read');
    expect(
      failing(
        'iommufd_backend_invalidate_cache  iommufd=10 id=4 data_type=1 entry_len=16 entry_num=1 done_num=0 data_ptr=0x7ffc0010 (-5)',
      ).explain,
    ).toContain('the kernel refused the command (invalidate_cache, EIO');
  });
});
