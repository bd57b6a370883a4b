/** Every message that the kernel or Xen prints, in every form, with what it says. */

import { describe, expect, test } from 'vitest';
import { faultReasons } from '../../engine/vtd/layout/index.ts';
import { decodeLog, type LogRecord } from '../index.ts';
import { stepOf } from './fault.ts';

type Facts = Record<string, unknown>;

const one = (text: string): LogRecord => {
  const { records, unread } = decodeLog(text);
  expect(unread, text).toEqual([]);
  expect(records, text).toHaveLength(1);
  return records[0] as LogRecord;
};

const heads = ['', '[   12.345678] ', '<3>[  131.474962][    C0] ', 'Nov 24 08:12:01 host kernel: ', '> > '];

describe('DMA faults', () => {
  const forms: readonly [string, Facts][] = [
    // 2.6 to 4.x: two lines, the reason in decimal.
    [
      'DMAR:[DMA Write] Request device [3b:00.0] fault addr 7f0012345000 \nDMAR:[fault reason 113] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'decimal' },
    ],
    [
      'dmar: DMAR:[DMA Write] Request device [3b:00.0] fault addr 7f0012345000\nDMAR:[fault reason 113] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'decimal' },
    ],
    // 4.x to 5.13: one line.
    [
      'DMAR: [DMA Write] Request device [3b:00.0] fault addr 7f0012345000 [fault reason 113] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'decimal' },
    ],
    [
      'DMAR: [DMA Write] Request device [3b:00.0] PASID ffffffff fault addr 7f0012345000 [fault reason 113] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'decimal', pasid: null },
    ],
    [
      'DMAR: [DMA Write] Request device [3b:00.0] PASID 1234 fault addr 7f0012345000 [fault reason 113] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'decimal', pasid: '0x1234' },
    ],
    // 5.14 and later.
    [
      'DMAR: [DMA Write NO_PASID] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'hex', pasid: null },
    ],
    [
      'DMAR: [DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'hex', pasid: '0x1234' },
    ],
    // Without the driver's name.
    [
      '[DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear',
      { pasid: '0x1234' },
    ],
    // Xen.
    [
      '(XEN) [VT-D]DMAR:[DMA Write] Request device [0000:3b:00.0] fault addr 7f0012345000\n(XEN) [VT-D]DMAR: reason 71 - SM: Present bit in first-level paging entry is clear',
      { reason_printed_as: 'hex (Xen)', device: '0000:3b:00.0', hypervisor: 'xen' },
    ],
  ];
  test.each(forms)('%s', (text, facts) => {
    for (const head of heads) {
      const r = one(
        text
          .split('\n')
          .map((l) => head + l)
          .join('\n'),
      );
      expect(r, head).toMatchObject({
        type: 'dma_fault',
        vendor: 'intel',
        access: 'write',
        device: '3b:00.0',
        addr: '0x7f0012345000',
        reason: '0x71',
        reason_name: 'SM: Present bit in first-level paging entry is clear',
        condition: 'SFS.2',
        step: 'first stage',
        ...facts,
      });
      expect(r.where).toEqual({ at: 'hw.fswalk', stage: 1, sid: '0x3b00' });
      expect(r.explain).toMatch(
        /^A write to 0x7f0012345000 by device .*3b:00\.0.* was blocked at the first stage \(SFS\.2/,
      );
    }
  });

  test.each(faultReasons.filter((r) => r.code < 0x20 || r.code > 0x29).map((r) => [r.code, r] as const))(
    'reason %i, in both bases',
    (_, reason) => {
      const line = (printed: string): string =>
        `DMAR: [DMA Read] Request device [00:02.0] fault addr 0x1000 [fault reason ${printed}] ${reason.text}`;
      const hex = one(line(`0x${reason.code.toString(16).padStart(2, '0')}`));
      expect(hex).toMatchObject({ reason: `0x${reason.code.toString(16)}`, reason_name: reason.text });
      const decimal = one(line(String(reason.code).padStart(2, '0')));
      expect(decimal).toMatchObject({ reason: `0x${reason.code.toString(16)}`, reason_printed_as: 'decimal' });
      expect(decimal.explain).toBe(hex.explain);
      // Each reason of the specification has a step and a sentence of its own.
      if (reason.code !== 0 && stepOf(reason.code)) expect(hex.explain).toContain(String(hex.step));
      expect(hex.where?.at).toMatch(/^hw\./);
    },
  );

  test('reasons that the specification names all have a step, but those of what is not modelled', () => {
    const without = faultReasons.filter((r) => r.mnemonic && !stepOf(r.code)).map((r) => `0x${r.code.toString(16)}`);
    const others = ['0x27', '0x28', '0x29', '0x34', '0x49', '0x60', '0x88'];
    // Host permission tables.
    const tables = ['0xa0', '0xa1', '0xa2', '0xa3', '0xa4', '0xa5'];
    expect(without).toEqual([...others, ...tables]);
  });

  test('a number without 0x that only reads as hexadecimal by its text', () => {
    expect(
      one(
        'DMAR: [DMA Read] Request device [00:02.0] fault addr 1000 [fault reason 71] SM: Present bit in first-level paging entry is clear',
      ),
    ).toMatchObject({ reason: '0x71', reason_printed_as: 'hex' });
  });

  test('two faults and their reasons, by turns', () => {
    const { records } = decodeLog(
      [
        'DMAR:[DMA Write] Request device [00:02.0] fault addr 1000',
        'DMAR:[DMA Read] Request device [00:03.0] fault addr 2000',
        'DMAR:[fault reason 05] PTE Write access is not set',
        'DMAR:[fault reason 06] PTE Read access is not set',
      ].join('\n'),
    );
    expect(records).toMatchObject([
      { device: '00:02.0', reason: '0x5' },
      { device: '00:03.0', reason: '0x6' },
    ]);
  });

  test('a reason whose fault is not in the text', () => {
    const r = one('DMAR:[fault reason 06] PTE Read access is not set');
    expect(r).toMatchObject({ type: 'dma_fault', reason: '0x6' });
    expect(r).not.toHaveProperty('device');
    expect(r.incomplete).toContain('names the device');
  });

  test('a text that kernels of today do not print is kept', () => {
    expect(
      one('DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason 0x71] SM: Not present'),
    ).toMatchObject({ reason: '0x71', reason_name: 'SM: Not present', condition: 'SFS.2' });
  });

  test('10.27: "Unknown" is explained all the same', () => {
    expect(
      one('DMAR: [DMA Write PASID 0x1] Request device [5e:02.0] fault addr 0xfffff000 [fault reason 0x91] Unknown')
        .explain,
    ).toContain('atomic update of a first-stage entry failed');
    expect(
      one('DMAR: [DMA Write NO_PASID] Request device [5e:02.0] fault addr 0xfffff000 [fault reason 0xfe] Unknown')
        .explain,
    ).toContain('does not name');
  });
});

describe('interrupt remapping faults', () => {
  test.each([
    [
      'DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 0x1c [fault reason 0x22] Present field in the IRTE entry is clear',
      {},
    ],
    [
      'DMAR: [INTR-REMAP] Request device [f0:1f.7] fault index 1c [fault reason 34] Present field in the IRTE entry is clear',
      { reason_printed_as: 'decimal' },
    ],
    [
      'INTR-REMAP: Request device [[f0:1f.7] fault index 1c\nINTR-REMAP:[fault reason 34] Present field in the IRTE entry is clear',
      { reason_printed_as: 'decimal' },
    ],
    [
      '(XEN) [VT-D]INTR-REMAP: Request device [0000:f0:1f.7] fault index 1c\n(XEN) [VT-D]INTR-REMAP: reason 22 - Present field in the IRTE entry is clear',
      { reason_printed_as: 'hex (Xen)', device: '0000:f0:1f.7' },
    ],
  ])('%s', (text, facts) => {
    const r = one(text);
    expect(r).toMatchObject({
      type: 'intr_remap_fault',
      device: 'f0:1f.7',
      index: '0x1c',
      reason: '0x22',
      reason_name: 'Present field in the IRTE entry is clear',
      ...facts,
    });
    expect(r.explain).toContain('for index 0x1c was blocked (reason 0x22)');
  });
});

describe('status and queue errors', () => {
  test.each([
    ['DMAR: DRHD: handling fault status reg 2', { value: '0x2', bits: ['PPF'], fault_record_index: 0 }, 'hw.frcd'],
    ['DMAR: DRHD: handling fault status reg 602', { value: '0x602', fault_record_index: 6 }, 'hw.frcd'],
    ['DMAR: DRHD: handling fault status reg 10', { bits: ['IQE'] }, 'hw.iq'],
    ['DMAR: DRHD: handling fault status reg 40', { bits: ['ITE'] }, 'hw.iq'],
  ])('%s', (text, facts, at) => {
    const r = one(text);
    expect(r).toMatchObject({ type: 'fault_status', ...facts });
    expect(r.where).toEqual({ at });
  });

  test('an invalidation queue error, its descriptor, and the end', () => {
    const { records, unread } = decodeLog(
      [
        'DMAR: VT-d detected Invalidation Queue Error: Reason 4',
        'DMAR: QI HEAD: PASID-based IOTLB Invalidation qw0 = 0x20016, qw1 = 0x0',
        'DMAR: QI PRIOR: Invalidation Wait qw0 = 0x200000025, qw1 = 0x10005f634',
        'DMAR: Invalidation Queue Error (IQE) cleared',
      ].join('\n'),
    );
    expect(unread).toEqual([]);
    expect(records).toMatchObject([
      { type: 'invalidation_error', error: 'IQE', reason: '0x4', reason_name: 'reserved field set' },
      {
        type: 'qi_descriptor',
        which: 'HEAD',
        desc_type: 6,
        domain_id: 2,
        legal: false,
        illegal: ['granularity 1 is illegal'],
        layout: 'vtd.desc.p_iotlb_inv',
      },
      { type: 'qi_descriptor', which: 'PRIOR', desc_type: 5, status_write: 1 },
      { type: 'invalidation_error_cleared', error: 'IQE' },
    ]);
    expect(records[1]?.explain).toContain('illegal: granularity 1 is illegal');
  });

  test('9.9: descriptors that a unit refuses say why', () => {
    const why = (qw0: string, qw1: string): unknown => one(`DMAR: QI HEAD: UNKNOWN qw0 = ${qw0}, qw1 = ${qw1}`).illegal;
    expect(why('0x20016', '0x0')).toEqual(['granularity 1 is illegal']);
    expect(why('0x200000005', '0x1000')).toEqual(['none of IF, SW and FN is set']);
    expect(why('0x20017', '0x1000')).toEqual(['reserved bits of qw1 are set (0x1000)']);
    expect(why('0xa', '0x0')).toEqual(['type 10 is reserved']);
    expect(why('0x20036', '0x44')).toBeUndefined();
  });

  test.each([
    [
      'DMAR: VT-d detected Invalidation Time-out Error: SID 3b00',
      { error: 'ITE', sid: '0x3b00' },
      /Device 3b:00\.0 did not answer/,
    ],
    ['DMAR: VT-d detected Invalidation Completion Error: SID 3b00', { error: 'ICE', sid: '0x3b00' }, /not asked for/],
    ['DMAR: Invalidation Completion Error (ICE) cleared', { error: 'ICE' }, /cleared/],
    [
      'DMAR: VT-d detected invalid descriptor: low=20016, high=0',
      { error: 'IQE', desc_type: 6, illegal: ['granularity 1 is illegal'] },
      /does not accept/,
    ],
  ])('%s', (text, facts, sentence) => {
    const r = one(text);
    expect(r).toMatchObject(facts);
    expect(r.explain).toMatch(sentence);
  });
});

describe('other messages', () => {
  test.each([
    ['IOMMU: dmar0: PRQ overflow detected', { type: 'page_request_overflow', cleared: false }],
    ['DMAR: IOMMU: dmar0: PRQ overflow cleared', { type: 'page_request_overflow', cleared: true }],
    ['IOMMU: dmar0: Address is not canonical', { type: 'page_request_error', problem: 'Address is not canonical' }],
    ['IOMMU: dmar0: Page request in Privilege Mode', { type: 'page_request_error' }],
    [
      'DMAR: IOMMU: dmar0: Page request without PASID: 0000000000000001 0000000000000000',
      { type: 'page_request_error' },
    ],
    [
      'dmar0: Invalid page request: 12343b000101 7f001234502f',
      { type: 'page_request_error', rid_bdf: '3b:00.0', pasid: '0x1234', addr: '0x7f0012345000', group: 5, last: true },
    ],
    [
      'DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap 19ed008c40780c66 ecap 3ef9ea6f050df',
      {
        type: 'vtd_unit',
        reg_base: '0xfed90000',
        version: '1.0',
        cap_fields: { MAMV: 45 },
        ecap_fields: { NEST: 1, PSS: 19 },
      },
    ],
    ['DMAR: DMAR hardware is malfunctioning', { type: 'hardware_malfunction' }],
    ['dmar_fault: 29 callbacks suppressed', { type: 'suppressed', count: 29 }],
  ])('%s', (text, facts) => {
    const r = decodeLog(text).records[0] as LogRecord;
    expect(r).toMatchObject({ vendor: 'intel', ...facts });
    expect(r.explain).toMatch(/^[^\n]{15,}\.$/);
    expect(r.where?.at).toMatch(/^hw\./);
  });

  test('boot messages are named, not read', () => {
    const { records, unread } = decodeLog(
      [
        'DMAR: Host address width 46',
        'DMAR: DRHD base: 0x000000fed90000 flags: 0x0',
        'DMAR-IR: Enabled IRQ remapping in x2apic mode',
      ].join('\n'),
    );
    expect(records).toEqual([]);
    expect(unread).toMatchObject([{ line: 1, lines: 3, why: expect.stringContaining('holds no fault') }]);
  });
});
