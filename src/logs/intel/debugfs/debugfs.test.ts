/** Each file under /sys/kernel/debug/iommu/intel as its versions print it, where no sample shows it. */

import { describe, expect, test } from 'vitest';
import { decodeLog, type LogRecord } from '../../index.ts';

const file = (text: string): LogRecord => {
  const { records, unread } = decodeLog(text);
  expect(unread).toEqual([]);
  return records[0] as LogRecord;
};

describe('dmar_translation_struct', () => {
  // 4.20 to 5.2.
  test('as lists', () => {
    const { records, unread } = decodeLog(
      [
        'IOMMU dmar2: Root Table Address:4362cc000',
        'Root Table Entries:',
        ' Bus: 0 H: 0 L: 4362f0001',
        ' Context Table Entries for Bus: 0',
        '  Entry\tB:D.F\tHigh\tLow',
        '  160   00:14.0\t102     4362ef001',
        '  248   00:1f.0\t202     436300001',
      ].join('\n'),
    );
    expect(unread).toEqual([]);
    expect(records[0]).toMatchObject({
      file: 'dmar_translation_struct',
      rows: [
        {
          iommu: 'dmar2',
          root_table: '0x4362cc000',
          device: '00:14.0',
          mode: 'legacy',
          root_lo: '0x4362f0001',
          context: { P: 1, TT: 0, slptptr: '0x4362ef000', AW: 2, domain_id: 1 },
          pasid: null,
        },
        { device: '00:1f.0', context: { domain_id: 2 } },
      ],
    });
    expect(records.slice(1)).toMatchObject([
      { type: 'vtd_context_entry', device: '00:14.0', part_of: 1, line: 6 },
      { type: 'vtd_context_entry', device: '00:1f.0', line: 7 },
    ]);
  });

  // 5.3, before scalable mode.
  test('without a column of PASIDs', () => {
    const r = file(
      'IOMMU dmar2: Root Table Address: 0x436f7d000\nB.D.F\tRoot_entry\t\t\t\tContext_entry\n00:14.0\t0x0000000000000000:0x0000000436fbd001\t0x0000000000000102:0x0000000436fbc001',
    );
    expect(r.rows).toMatchObject([{ mode: 'legacy', pasid: null, context: { domain_id: 1 } }]);
  });

  test('several units, several PASIDs of a device, and a unit that is off', () => {
    const row = (pasid: number, words: string): string =>
      `3b:00.0\t0x0000000000000000:0x0000000100001001\t0x0000000000000000:0x0000000100100e1d\t${pasid}     \t${words}`;
    const { records, unread } = decodeLog(
      [
        'DMA Remapping is not enabled on dmar1',
        'IOMMU dmar0: Root Table Address: 0x100000000',
        'B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry',
        row(0, '0x0000000000000000:0x0000000000800003:0x0000000100300089'),
        row(4660, '0x0000000104567000:0x0000000001800005:0x00000001003000c9'),
      ].join('\n'),
    );
    expect(unread).toEqual([]);
    expect(records[0]).toMatchObject({
      not_enabled: ['dmar1'],
      rows: [
        { pasid: 0, pasid_entry: { PGTT_name: 'second-stage only', domain_id: 3 } },
        {
          pasid: 4660,
          context_fields: { PDTS: 7, DTE: 1 },
          pasid_entry: { PGTT_name: 'nested', domain_id: 5, slptptr: '0x100300000', flptptr: '0x104567000' },
        },
      ],
    });
    expect(records[2]).toMatchObject({ type: 'vtd_pasid_entry', pasid: '0x1234', layout: 'vtd.pasid' });
    expect(records[2]?.explain).toContain('nested');
  });
});

test('domain_translation_struct: large pages and five levels, and the form without a PASID', () => {
  const r = file(
    [
      'Device 0000:3b:00.0 @0x100300000',
      'IOVA_PFN\t\tPML5E\t\t\tPML4E\t\t\tPDPE\t\t\tPDE\t\t\tPTE',
      '0x0000000000000 |\t0x0000000100301003\t0x0000000100302003\t0x0000000100303003\t0x0000000040200083',
      '0x0000000040000 |\t0x0000000100301003\t0x0000000100302003\t0x0000000080000083',
      '0x0000000080001 |\t0x0000000100301003\t0x0000000100302003\t0x0000000100304003\t0x0000000100305003\t0x0000000189abc803',
    ].join('\n'),
  );
  expect(r).toMatchObject({
    file: 'domain_translation_struct',
    device: '0000:3b:00.0',
    pasid: null,
    pgd: '0x100300000',
    levels: 5,
    rows: [
      { iova: '0x0', pa: '0x40200000', size: '0x200000' },
      { iova: '0x40000000', pa: '0x80000000', size: '0x40000000' },
      { iova: '0x80001000', pa: '0x189abc000' },
    ],
  });
});

test('invalidation_queue: where it stands, and what is illegal there', () => {
  const r = file(
    [
      'Invalidation queue on IOMMU: dmar0',
      ' Base: 0x102340000\tHead: 1\tTail: 3',
      'Index\t\tqw0\t\t\tqw1\t\t\tqw2\t\t\tqw3\t\t\tstatus',
      '    0\t0000123400050026\t0000000000000000\t0000000000000000\t0000000000000000\t0000000000000002',
      '    1\t0000000000020016\t0000000000000000\t0000000000000000\t0000000000000000\t0000000000000000',
      '    2\t0000000200000025\t0000000102345678\t0000000000000000\t0000000000000000\t0000000000000000',
      '    3\t0000000000000000\t0000000000000000\t0000000000000000\t0000000000000000\t0000000000000000',
    ].join('\n'),
  );
  expect(r).toMatchObject({
    head: 1,
    tail: 3,
    empty: false,
    descriptor_bytes: 32,
    descriptors: [
      { index: 0, desc_type: 6, granularity: 'pasid', domain_id: 5, pasid: '0x1234' },
      { index: 1, illegal: ['granularity 1 is illegal'] },
      { index: 2, desc_type: 5 },
    ],
  });
  expect(r.explain).toContain('the unit stands at entry 1');
});

test('ir_translation_struct: posted entries, and a unit that is off', () => {
  const r = file(
    [
      'Remapped Interrupt supported on IOMMU: dmar1',
      'Interrupt Remapping is not enabled',
      '****',
      'Posted Interrupt supported on IOMMU: dmar0',
      ' IR table address:100900000',
      ' Entry SrcID   PDA_high PDA_low  Vct IRTE_high\t\tIRTE_low',
      ' 4     00:0a.0 00000001 02345640 24  0000000100040050\t0234564000248001',
    ].join('\n'),
  );
  expect(r).toMatchObject({
    tables: [
      { iommu: 'dmar1', kind: 'remapped', enabled: false, entries: [] },
      {
        iommu: 'dmar0',
        kind: 'posted',
        table: '0x100900000',
        entries: [{ index: 4, src: '00:0a.0', pda: '0x102345640', vector: '0x24', P: 1 }],
      },
    ],
  });
});

test('iommu_regset: two units, capabilities and the root table', () => {
  const unit = (name: string, gsts: string): string =>
    [
      `IOMMU: ${name} Register Base Address: fed90000`,
      'Name\t\t\tOffset\t\tContents',
      'VER             \t0x00\t\t0x0000000000000060',
      `GSTS            \t0x1c\t\t0x${gsts}`,
      'FSTS            \t0x34\t\t0x0000000000000102',
      'CAP             \t0x08\t\t0x19ed008c40780c66',
      'ECAP            \t0x10\t\t0x0003ef9ea6f050df',
      'RTADDR          \t0x20\t\t0x0000000100000400',
      'IQH             \t0x80\t\t0x0000000000000040',
      'IQT             \t0x88\t\t0x0000000000000060',
    ].join('\n');
  const { records, unread } = decodeLog(`${unit('dmar0', '00000000c7000000')}\n\n${unit('dmar1', '0000000040000000')}`);
  expect(unread).toEqual([]);
  expect(records).toMatchObject([
    {
      iommu: 'dmar0',
      version: '6.0',
      gsts_bits: ['TES', 'RTPS', 'QIES', 'IRES', 'IRTPS'],
      fsts_bits: ['PPF'],
      cap_fields: { MAMV: 45, MGAW: 56 },
      ecap_fields: { NEST: 1, SMTS: 1 },
      root_table: '0x100000000',
      table_mode: 'scalable',
      queue_empty: false,
    },
    { iommu: 'dmar1', gsts_bits: ['RTPS'] },
  ]);
  expect(records[1]?.explain).toContain('DMA remapping is off');
});

test('dmar_perf_latency: all kinds in one block', () => {
  const r = file(
    [
      'IOMMU: dmar0 Register Base Address: fed90000',
      '                  <0.1us   0.1us-1us    1us-10us  10us-100us   100us-1ms    1ms-10ms      >=10ms     min(us)     max(us) average(us)',
      '   inv_iotlb           0           0          18           2           0           0           0           2          31           4',
      '  inv_devtlb           0           0           0           0           0           1           0        1200        1200        1200',
    ].join('\n'),
  );
  expect(r).toMatchObject({
    file: 'dmar_perf_latency',
    inv_iotlb: { '1us-10us': 18, '10us-100us': 2, min_us: 2, max_us: 31, average_us: 4 },
    inv_devtlb: { '1ms-10ms': 1, average_us: 1200 },
  });
});

test('the command that printed a file, and lines of other things around it', () => {
  const { records, unread } = decodeLog(
    [
      'root@host:~# cat /sys/kernel/debug/iommu/intel/invalidation_queue',
      'Invalidation queue on IOMMU: dmar0',
      ' Base: 0x102340000\tHead: 1\tTail: 1',
      'Index\t\tqw0\t\t\tqw1\t\t\tstatus',
      '    0\t0000000000000011\t0000000000000000\t0000000000000002',
      'root@host:~# uptime',
    ].join('\n'),
  );
  expect(records).toMatchObject([{ file: 'invalidation_queue', empty: true, descriptor_bytes: 16 }]);
  expect(unread).toMatchObject([{ line: 6 }]);
});
