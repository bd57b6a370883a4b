import { describe, expect, test } from 'vitest';
import samples from '../fixtures/ftrace.json';
import { decodeLog } from '../index.ts';

type Facts = Record<string, unknown>;

describe('real traces', () => {
  test.each(samples.map((s) => [s.id, s] as const))('%s', (_, { text, expect: want }) => {
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    const events = want.events as Facts[];
    expect(records.map((r) => r.event)).toEqual(events.map((e) => e.event));
    records.forEach((r, i) => {
      expect(r).toMatchObject(events[i] as Facts);
      expect(r.explain).toMatch(/^[^\n]{20,}\.$/);
      for (const key of ['dev', 'end', 'task', 'pages'])
        if (!(key in (events[i] as Facts))) expect(r[key]).toBeUndefined();
    });
  });
});

/** Lines that the kernel prints, and what they say. */
const printed: readonly [string, Facts][] = [
  // 9.1: the descriptor of example 13 on the first unit.
  [
    'qi_submit: p_iotlb_inv dmar0: 0x123400050036 0x7f0012340044 0x0 0x0',
    {
      printed_type: 'p_iotlb_inv',
      desc_name: 'PASID-based IOTLB Invalidation',
      granularity: 'page',
      domain_id: 5,
      pasid: '0x1234',
      addr: '0x7f0012340000',
      am: 4,
      ih: 1,
      layout: 'vtd.desc.p_iotlb_inv',
    },
  ],
  ['qi_submit: pc_inv dmar0: 0x20017 0x0 0x0 0x0', { granularity: 'pasid', domain_id: 2, pasid: '0x0' }],
  ['qi_submit: cc_inv dmar0: 0x3b0000000031 0x0 0x0 0x0', { granularity: 'device', sid: '0x3b00', function_mask: 0 }],
  [
    'qi_submit: p_dev_tlb_inv dmar0: 0x12343b000008 0x7f0012347800 0x0 0x0',
    { sid_bdf: '3b:00.0', pasid: '0x1234', addr: '0x7f0012340000', pages: 16, whole_address_space: false },
  ],
  [
    'qi_submit: page_grp_resp dmar0: 0x12343b002019 0x28 0x0 0x0',
    { rid_bdf: '3b:00.0', pasid: '0x1234', group: 5, response: 2, response_name: 'reserved' },
  ],
  ['qi_submit: inv_wait dmar0: 0x200000045 0x0 0x0 0x0', { fence: 1, status_write: 0 }],
  ['qi_submit: iec_inv dmar0: 0x1200000014 0x0 0x0 0x0', { granularity: 'index', irte_index: '0x12' }],
  ['qi_submit: 0xa dmar0: 0xa 0x0 0x0 0x0', { desc_name: 'UNKNOWN', legal: false }],
  // 9.8: the page request.
  [
    'prq_report: dmar0/0000:3b:00.0 seq# 0: rid=0x3b00 addr=0x7f0012345 rw--l pasid=0x1234 index=0x5',
    { addr_printed: '0x7f0012345', addr: '0x7f0012345000', read: true, write: true, last: true, group: '0x5' },
  ],
  [
    'prq_report: dmar0/0000:3b:00.0 seq# 7: rid=0x3b00 addr=0x7f0012345 r-xp- pasid=0x1 index=0x0 private=0x1/0x2',
    { exec: true, privileged: true, write: false, private_data: ['0x1', '0x2'] },
  ],
  ['cache_tag_assign: dmar0/dmar0 type iotlb did 2 pasid 0 ref 1', { device: 'dmar0', tag: 'iotlb', ref: 1 }],
  [
    'cache_tag_assign: dmar0/0000:3b:00.0 type nesting_devtlb did 2 pasid 0 ref 1',
    { device: '0000:3b:00.0', tag: 'nesting_devtlb' },
  ],
  // 9.6: all addresses of a child's device TLB.
  [
    'cache_tag_flush_range: dmar0 0000:3b:00.0[0] type nesting_devtlb did 2 [0x80000000-0x801fffff] addr 0x0 mask 0x34',
    { did: 2, start: '0x80000000', end: '0x801fffff', mask: 52, whole_address_space: true },
  ],
  [
    'cache_tag_flush_range: dmar0 dmar0[4660] type nesting_iotlb did 4 [0x80000000-0x801fffff] addr 0x0 mask 0x34',
    { pasid: 4660, tag: 'nesting_iotlb' },
  ],
  [
    'cache_tag_flush_range_np: dmar0 dmar0[0] type iotlb did 2 [0x1000-0x1fff] addr 0x1000 mask 0x0',
    { mask: 0, whole_address_space: false },
  ],
  ['add_device_to_group: IOMMU: groupID=14 device=0000:3b:00.0', { group: 14, device: '0000:3b:00.0' }],
  ['attach_device_to_domain: IOMMU: device=0000:3b:00.0', { device: '0000:3b:00.0' }],
];

describe('every event', () => {
  test.each(printed)('%s', (line, want) => {
    const heads: [string, Facts][] = [
      ['', {}],
      ['> ', {}],
      ['          <idle>-0       [003] d.h2.   131.474962: ', { task: '<idle>', pid: 0, cpu: 3, time: '131.474962' }],
      ['kworker/u16:2-77 (  77) [011] .... 9.000001: ', { task: 'kworker/u16:2', pid: 77, cpu: 11 }],
      ['dd 4242 [002] 131.474962: intel_iommu:', { task: 'dd', pid: 4242, cpu: 2 }],
    ];
    for (const [head, facts] of heads) {
      const { records, unread } = decodeLog(head + line);
      expect(unread, head).toEqual([]);
      expect(records, head).toMatchObject([{ type: 'trace_event', event: line.split(':')[0], ...facts, ...want }]);
      expect(records[0]?.explain).toMatch(/^[A-Z][^\n]{10,}\.$/);
    }
  });

  test('10.24, 10.25: a page number is not an address; an explicit wait is one', () => {
    const [r] = decodeLog(printed[8]?.[0] as string).records;
    expect(r?.explain).toContain('0x7f0012345000 (printed as page number)');
    expect(decodeLog(printed[5]?.[0] as string).records[0]?.explain).toContain('holds later descriptors back');
  });

  test('a line of another subsystem that only looks alike is left alone', () => {
    expect(decodeLog('mmap: map: something else').records).toEqual([]);
    expect(decodeLog('foo map: IOMMU: iova=0x0 paddr=0x0 size=1').records).toEqual([]);
  });

  test('a form that is not known is named', () => {
    const { records, unread } = decodeLog('qi_submit: iotlb_inv dmar1 0x100e2');
    expect(records).toEqual([]);
    expect(unread[0]?.why).toContain('qi_submit');
  });
});
