/** Bytes without a log around them: descriptors, records and entries of VT-d, with and without a label. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressed, bare } from '../fixtures/dump-forms.ts';
import { decodeLog, type LogRecord } from '../index.ts';

type Facts = Record<string, unknown>;

const w = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;
const one = (text: string): LogRecord => {
  const { records, unread } = decodeLog(text);
  expect(unread, text).toEqual([]);
  expect(records, text).toHaveLength(1);
  return records[0] as LogRecord;
};

/** The descriptors of 9.1 that no command of another vendor looks like. */
const descriptors: readonly (readonly [bigint, bigint, Facts])[] = [
  [0x0000_1234_0005_0026n, 0n, { command: 'P_IOTLB_INV', granularity: 'pasid', domain_id: 5, pasid: '0x1234' }],
  [0x0000_1234_0005_0036n, 0x0000_7f00_1234_0044n, { addr: '0x7f0012340000', am: 4, ih: 1 }],
  [0x0000_0000_0005_00f2n, 0x8000_0009n, { command: 'IOTLB_INV', granularity: 'page', am: 9, drain_read: 1 }],
  [0x0000_3b00_0000_0031n, 0n, { command: 'CC_INV', granularity: 'device', sid_bdf: '3b:00.0' }],
  [0x0000_1234_0005_0017n, 0n, { command: 'PC_INV', granularity: 'pasid' }],
  [0x3b00_3b00_0010_1003n, 0xffff_f000n, { command: 'DEV_TLB_INV', pfsid: '0x3b01', queue_depth: 16, pages: 1 }],
  [0x3b00_1234_3b00_1108n, 0x7fff_ffff_ffff_f800n, { command: 'P_DEV_TLB_INV', whole_address_space: true }],
  [0x0000_0002_0000_00a5n, 0x1_0234_5678n, { command: 'INV_WAIT', page_request_drain: 1, status_addr: '0x102345678' }],
  [0x0000_1234_3b00_2019n, 0x28n, { command: 'PAGE_GRP_RESP', response: 2, response_name: 'reserved' }],
];

describe('descriptors', () => {
  test.each(descriptors)('9.1: %s %s', (qw0, qw1, facts) => {
    const words = [qw0, qw1, 0n, 0n];
    const labels = ['invalidation descriptor:', 'QI desc:', 'VT-d descriptor:'];
    for (const label of labels)
      expect(one(`${label}\n${words.map(w).join(' ')}`)).toMatchObject({
        type: 'vtd_descriptor',
        legal: true,
        ...facts,
      });
    // 128 bits.
    expect(one(`inv desc:\n${w(qw0)} ${w(qw1)}`)).toMatchObject({ type: 'vtd_descriptor', ...facts });
    const r = one(`qi: ${w(qw0)} ${w(qw1)}`);
    expect(r).toMatchObject(facts);
    expect(r.where).toEqual({ at: 'hw.iq' });
    expect(r.explain).toMatch(/^A descriptor that .*\.$/);
  });

  test('without a label, where they are nothing of an SMMUv3', () => {
    for (const [qw0, qw1, facts] of [descriptors[0], descriptors[1]] as typeof descriptors)
      expect(one(`${w(qw0)} ${w(qw1)} ${w(0n)} ${w(0n)}`)).toMatchObject({ type: 'vtd_descriptor', ...facts });
  });

  test('what can be either is what the text is about', () => {
    const words = `${w(0x11n)} ${w(0n)}`;
    expect(one(words)).toMatchObject({ arch: 'smmuv3' });
    const log = decodeLog(`DMAR: DRHD: handling fault status reg 2\n${words}`);
    expect(log.records[1]).toMatchObject({ type: 'vtd_descriptor', command: 'CC_INV', granularity: 'global' });
  });

  test('a whole queue as QEMU’s monitor shows it', () => {
    const all = descriptors.flatMap(([a, b]) => [a, b, 0n, 0n]);
    for (const form of ['QEMU xp /gx', 'hexdump -C', 'xxd']) {
      const dump = (addressed[form] as (typeof addressed)[string])(0x1_0234_0000n, all);
      const { records, unread } = decodeLog(`invalidation queue:\n${dump}`);
      expect(unread, form).toEqual([]);
      expect(records, form).toMatchObject(descriptors.map(([, , f]) => ({ type: 'vtd_descriptor', ...f })));
      expect(records[1]?.address).toBe('0x102340020');
    }
  });

  test('an illegal one says why', () => {
    expect(one(`inv desc:\n${w(0x2_0036n)} ${w(0x800n)}`)).toMatchObject({
      legal: false,
      illegal: ['reserved bits of qw1 are set (0x800)'],
    });
  });
});

describe('records', () => {
  test.each([
    [
      0x0000_7f00_1234_5000n,
      0x8012_3471_8000_3b00n,
      { condition: 'SFS.2', access: 'write', pasid: '0x1234', device: '3b:00.0' },
      'hw.fswalk',
    ],
    [
      0x89ab_c000n,
      0xc000_0079_0000_3b00n,
      { condition: 'SSS.2', access: 'read', pasid: null, addr: '0x89abc000' },
      'hw.sswalk',
    ],
    [0x1234_5000n, 0xc000_0059_0000_0018n, { condition: 'SPT.2', device: '00:03.0' }, 'hw.pasid'],
    [0x001c_0000_0000_0000n, 0x8000_0022_0000_f0ffn, { index: '0x1c', device: 'f0:1f.7' }, 'hw.unit'],
  ])('9.4: %s %s', (qw0, qw1, facts, at) => {
    const r = one(`FRCD:\n${w(qw0)} ${w(qw1)}`);
    expect(r).toMatchObject({ type: 'vtd_fault_record', valid: true, ...facts });
    expect(r.where?.at).toBe(at);
    expect(one(`fault record: ${w(qw0)} ${w(qw1)}`)).toMatchObject(facts);
  });

  test('9.8: a page request', () => {
    const words = [0x0000_1234_3b00_0101n, 0x0000_7f00_1234_502fn, 0n, 0n];
    for (const text of [words.map(w).join(' '), `prq:\n${words.map(w).join(' ')}`])
      expect(one(text)).toMatchObject({
        type: 'vtd_page_request',
        device: '3b:00.0',
        pasid: '0x1234',
        addr: '0x7f0012345000',
        group: 5,
        last: true,
        read: true,
        write: true,
      });
  });

  test('an interrupt remapping entry', () => {
    expect(one(`IRTE:\n${w(0x0000_0080_0024_000dn)} ${w(0x4_0050n)}`)).toMatchObject({
      type: 'vtd_irte',
      fields: { V: '0x24', DST: '0x80', SID: '0x50' },
    });
  });
});

describe('entries', () => {
  const entries: readonly (readonly [string, readonly bigint[], Facts])[] = [
    [
      'PASID entry',
      [0x1_0030_00c9n, 0x180_0005n, 0x1_0456_7000n, 0n, 0n, 0n, 0n, 0n],
      { type: 'vtd_pasid_entry', PGTT_name: 'nested', domain_id: 5, slptptr: '0x100300000', flptptr: '0x104567000' },
    ],
    ['PASID entry', [0x109n, 1n, 0n, 0n, 0n, 0n, 0n, 0n], { PGTT_name: 'pass-through', domain_id: 1 }],
    [
      'context entry',
      [0x1_0010_0e1dn, 0n, 0n, 0n],
      {
        type: 'vtd_context_entry',
        mode: 'scalable',
        fields: { DTE: 1, PASIDE: 1, PRE: 1, PDTS: 7, PASIDDIRPTR: '0x100100000' },
      },
    ],
    [
      'context entry',
      [0x1_0303_f005n, 0x102n],
      { mode: 'legacy', fields: { TT: 1, AW: 2, DID: 1, SSPTPTR: '0x10303f000' } },
    ],
    ['root entry', [0x1_0000_1001n, 0n], { type: 'vtd_root_entry', fields: { LP: 1, LCTP: '0x100001000', UP: 0 } }],
  ];
  test.each(entries)('9.2: %s, example %$', (label, words, facts) => {
    for (const form of Object.values(bare)) {
      const { records, unread } = decodeLog(`${label}:\n${form(0n, words)}`);
      expect(unread).toEqual([]);
      expect(records).toMatchObject([{ vendor: 'intel', arch: 'vtd', legal: true, ...facts }]);
      expect(records[0]?.explain).toMatch(/^[^\n]{20,}\.$/);
    }
    const name = label.toLowerCase().replace(' ', '_');
    expect(one(`${name}: ${words.map(w).join(' ')}`)).toMatchObject(facts);
  });

  test('a PASID entry without a label: an STE could look so too, and the text decides', () => {
    const words = (entries[0] as (typeof entries)[number])[1].map(w).join(' ');
    expect(one(words).arch).toBe('smmuv3');
    expect(decodeLog(`DMAR: DRHD: handling fault status reg 2\n${words}`).records[1]).toMatchObject({
      type: 'vtd_pasid_entry',
      domain_id: 5,
    });
  });

  test('an illegal one says why', () => {
    expect(one(`PASID entry:\n${[0x149n, 2n, 0n, 0n, 0n, 0n, 0n, 0n].map(w).join(' ')}`)).toMatchObject({
      legal: false,
      illegal: ['PGTT 5 is reserved'],
      event: 'SPT.4',
    });
  });

  test('paging entries alone', () => {
    const first = decodeLog(`first-stage entry, level 1:\n${w(0x89ab_c067n)} ${w(0n)}`).records;
    expect(first).toMatchObject([{ type: 'vtd_paging_entry', stage: 1, fields: { P: 1, D: 1, ADDR: '0x89abc000' } }]);
    const second = decodeLog(`second-stage PTE:\n${w(0x1_89ab_c803n)} ${w(0n)}`).records;
    expect(second).toMatchObject([{ type: 'vtd_paging_entry', stage: 2, fields: { R: 1, W: 1, SNP: 1 } }]);
  });
});

test('whatever the bits are, a sentence says nothing undefined', () => {
  const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
  const labels = ['inv desc', 'fault record', 'prq', 'pasid entry', 'context entry', 'root entry', 'pasid dir', 'irte'];
  fc.assert(
    fc.property(
      fc.constantFrom(...labels),
      fc.nat(15),
      fc.array(fc.oneof(u64, fc.bigInt(0n, 0xfffn)), { minLength: 8, maxLength: 8 }),
      (label, type, words) => {
        const all = [((words[0] as bigint) & ~0xfn) | BigInt(type), ...words.slice(1)];
        const { records } = decodeLog(`${label}:\n${all.map(w).join(' ')}`);
        expect(records.length).toBeGreaterThan(0);
        for (const r of records) {
          expect(r.vendor).toBe('intel');
          expect(r.explain).toMatch(/^[A-Z][^\n]{10,}\.$/);
          expect(r.explain).not.toMatch(/undefined|NaN|null|\[object/);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
