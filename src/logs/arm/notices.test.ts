import { expect, test } from 'vitest';
import { decodeLog } from '../index.ts';

const P = '[   12.345678] arm-smmu-v3 arm-smmu-v3.0.auto: ';

/** Lines as the kernel's format strings make them, with what must be read from them. */
const lines: readonly (readonly [string, Record<string, unknown>])[] = [
  [
    'nvme 0000:01:00.0: iopf (pasid 5) without domain attached or handler installed',
    { type: 'smmuv3_iopf_unhandled', pasid: 5, device: '0000:01:00.0' },
  ],
  ['nvme 0000:01:00.0: no pending PRQ, drop response', { type: 'smmuv3_iopf_no_request' }],
  ['pci 0000:05:05.0: stream 1280 already in tree', { type: 'smmuv3_stream_conflict', sid: '0x500' }],
  ['pci 0000:05:05.0: stream 1280 already in tree from dev 0000:05:04.0', { sid: '0x500', owner: '0000:05:04.0' }],
  [
    'pci 0000:05:05.0: Aliasing StreamID 0x500 unsupported, expect DMA to be broken',
    { type: 'smmuv3_stream_conflict', sid: '0x500' },
  ],
  [
    'pci 0000:05:05.0: Aliasing StreamID 0x500 (from 0000:05:04.0) unsupported, expect DMA to be broken',
    { owner: '0000:05:04.0' },
  ],
  ['mlx5_core 0000:01:00.0: Failed to enable ATS (STU 12)', { type: 'smmuv3_ats_failed', stu: 12 }],
  [
    `${P}2-level strtab only covers 25/32 bits of SID`,
    { type: 'smmuv3_strtab_covers', covered_bits: 25, sid_bits: 32 },
  ],
  [`${P}no evtq irq - events will not be reported!`, { type: 'smmuv3_no_interrupt', queue: 'evtq' }],
  [`${P}no priq irq - PRI will be broken`, { queue: 'priq', smmu: 'arm-smmu-v3.0.auto' }],
  [`${P}failed to enable gerror irq`, { queue: 'gerror' }],
  [`${P}GBPA not responding to update`, { type: 'smmuv3_gbpa_timeout', severity: 'error' }],
  [`${P}failed to clear cr0`, { type: 'smmuv3_control_timeout', step: 'clear cr0' }],
  [`${P}failed to enable command queue`, { step: 'enable command queue' }],
  [`${P}failed to allocate queue (0x800000 bytes) for cmdq`, { type: 'smmuv3_allocation_failed', what: 'cmdq' }],
  [`${P}SMMU currently enabled! Resetting...`, { type: 'smmuv3_was_enabled' }],
  [`${P}VINTF0: VCMDQ0/LVCMDQ0: uncleared error detected, resetting`, { type: 'smmuv3_cmdqv_uncleared_error' }],
  [`${P}VINTF0: failed to enable, STATUS=0x00000004`, { type: 'smmuv3_cmdqv_control_timeout', status: '0x4' }],
];

test.each(lines)('%s', (line, want) => {
  const { records, unread } = decodeLog(line);
  expect(unread).toEqual([]);
  expect(records).toMatchObject([{ vendor: 'arm', line: 1, ...want }]);
  expect(records[0]!.explain).toMatch(/^[^\n]{20,}\.$/);
});

test('what holds no fault is still named as such', () => {
  for (const body of [
    'msi_domain absent - falling back to wired irqs',
    'IDR0.COHACC overridden by FW configuration (true)',
  ])
    expect(decodeLog(P + body)).toMatchObject({
      records: [],
      unread: [{ why: expect.stringContaining('holds no fault') }],
    });
});

test('a stalled event and the PRI block', () => {
  const text = [
    'event 0x10 received:',
    '\t0x0000010800000810',
    '\t0x0000020880000042',
    '\t0x00007f0000001000',
    '\t0x0000000000000000',
    'unexpected PRI request received:',
    '\tsid 0x00000108.0x00005: [3] unprivileged R access at iova 0x00007f0000001000',
    'unexpected PRI request received:',
    '\tsid 0x00000108.0x00000: [511L] privileged RWX access at iova 0x00007f0000002000',
  ]
    .map((l) => P + l)
    .join('\n');
  expect(decodeLog(text)).toMatchObject({
    records: [
      { event: 'F_TRANSLATION', stall: 1, stag: '0x42', explain: expect.stringContaining('stalled with STAG 0x42') },
      { type: 'smmuv3_pri_request', group: 3, last: false, permissions: 'R' },
      { type: 'smmuv3_pri_request', group: 511, last: true, privileged: true, permissions: 'RWX' },
    ],
    unread: [],
  });
});
