/** Entries printed as tools print them come back as the words that they were. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../engine/bits/index.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { addressed, bare, type Form } from '../fixtures/dump-forms.ts';
import { decodeLog } from '../index.ts';

const word = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;

const page = fc.bigInt(1n, (1n << 32n) - 1n).map((n) => n << 12n);

/** STEs as Linux and QEMU's guests write them. */
const ste = fc
  .record({
    Config: fc.constantFrom(5, 6, 7),
    ptr: page,
    ttb: page,
    S2VMID: fc.nat(65535),
    S1CDMax: fc.constantFrom(0, 4, 10, 16),
    EATS: fc.constantFrom(0, 1),
    MEV: fc.nat(1),
    S2R: fc.nat(1),
  })
  .map(({ ptr, ttb, Config, S1CDMax, S2VMID, ...r }) =>
    encode(steLayout, {
      V: 1,
      Config,
      EATS: r.EATS,
      MEV: r.MEV,
      ...(Config !== 6 ? { S1ContextPtr: ptr, S1CDMax, S1CIR: 1, S1COR: 1, S1CSH: 3 } : {}),
      ...(Config !== 5
        ? {
            S2VMID,
            S2R: r.S2R,
            S2T0SZ: 16,
            S2SL0: 2,
            S2IR0: 1,
            S2OR0: 1,
            S2SH0: 3,
            S2PS: 5,
            S2AA64: 1,
            S2PTW: 1,
            S2TTB: ttb,
          }
        : {}),
    }),
  );

const cd = fc
  .record({ ttb: page, ASID: fc.integer({ min: 1, max: 65535 }), T0SZ: fc.constantFrom(16, 25, 32), R: fc.nat(1) })
  .map(({ ttb, ...r }) =>
    encode(cdLayout, {
      ...r,
      IR0: 1,
      OR0: 1,
      SH0: 3,
      EPD1: 1,
      V: 1,
      IPS: 5,
      AA64: 1,
      A: 1,
      ASET: 1,
      TTB0: ttb,
      MAIR: 0xf404ff44n,
    }),
  );

const forms: readonly [string, Form, boolean][] = [
  ...Object.entries(addressed).map(([n, f]) => [n, f, true] as [string, Form, boolean]),
  ...Object.entries(bare).map(([n, f]) => [n, f, false] as [string, Form, boolean]),
];

describe.each(forms)('%s', (_, form, placed) => {
  test.each([
    ['smmuv3_ste', ste],
    ['smmuv3_cd', cd],
  ] as const)('%s, one or several', (type, one) => {
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 4 }), page, (entries, at) => {
        const text = form(at, entries.flat());
        const { records, unread } = decodeLog(text);
        expect(unread, text).toEqual([]);
        expect(records.map((r) => [r.type, r.raw])).toEqual(entries.map((e) => [type, e.map(word)]));
        for (const [i, r] of records.entries()) {
          expect(r.legal, text).toBe(true);
          expect(r.address).toBe(placed ? `0x${(at + BigInt(64 * i)).toString(16)}` : undefined);
          expect(text.split('\n')[r.line - 1]).toBeDefined();
          expect(r.explain).toMatch(/^[^\n]{20,}\.$/);
        }
      }),
      { numRuns: 25 },
    );
  });
});

const one = (text: string) => {
  const { records, unread } = decodeLog(text);
  expect(unread, text).toEqual([]);
  expect(records).toHaveLength(1);
  return records[0]!;
};

describe('what it is', () => {
  test('all fields by name, and the sentence', () => {
    const r = one('STE of sid 0x10:\n0x4e178fcf 0x0 0xd009400000000 0x4e4d0000');
    expect(r).toMatchObject({ type: 'smmuv3_ste', sid: '0x10', incomplete: '4 of 8 words; the rest is taken as zero' });
    expect(r.fields).toMatchObject({ V: 1, Config: 7, S1ContextPtr: '0x4e178fc0', S2T0SZ: 20, S2TTB: '0x4e4d0000' });
    expect(r.explain).toContain('stage 1 uses one CD at IPA 0x4e178fc0');
  });

  test('illegal entries name the field and the event', () => {
    const bad = encode(steLayout, { V: 1, Config: 6, S2T0SZ: 16, S2SL0: 2, S2TG: 3, S2AA64: 1, S2TTB: 0x1000n });
    expect(one(bare['a line of words']!(0n, bad))).toMatchObject({
      type: 'smmuv3_ste',
      legal: false,
      event: 'C_BAD_STE',
      illegal: ['S2TG 3 is reserved (S2TG)'],
    });
    const cdBad = encode(cdLayout, { T0SZ: 50, EPD1: 1, V: 1, IPS: 5, AA64: 1, R: 1, A: 1, TTB0: 0x1000n });
    const r = one(`CD:\n${bare['a line of words']!(0n, cdBad)}`);
    expect(r).toMatchObject({ type: 'smmuv3_cd', legal: false, event: 'C_BAD_CD' });
    expect(r.illegal).toEqual(['T0SZ 50 gives 14 bits: out of range (T0SZ)']);
  });

  test('what an SMMU must have is a need, not a fault', () => {
    const r = one(
      bare['a line of words']!(
        0n,
        encode(steLayout, { V: 1, Config: 5, S1Fmt: 2, S1CDMax: 16, S1ContextPtr: 0x4000n }),
      ),
    );
    expect(r.legal).toBe(true);
    expect(r.needs).toEqual(['IDR1.SSIDSIZE >= 16: S1CDMax 16', 'IDR0.CD2L = 1: a two-level CD table']);
  });

  test('bytes that can be several things are named as each', () => {
    const r = one('0x0000000000000000 0x0 0x0 0x0 0x0 0x0 0x0 0x0');
    expect(r.type).toBe('smmuv3_undecided');
    expect((r.candidates as { kind: string; fit: string }[]).filter((c) => c.fit !== 'no').map((c) => c.kind)).toEqual([
      'ste',
      'cd',
      'descriptors',
      'l1std',
      'l1cd',
    ]);
    expect(r.explain).toContain('can be a stream table entry (STE) (V is 0');
  });

  test('a label decides, and so do words that are commands', () => {
    const zero = '0x0000000000000000 0x0 0x0 0x0 0x0 0x0 0x0 0x0';
    expect(one(`CD at 0x49000000:\n${zero}`)).toMatchObject({ type: 'smmuv3_cd', address: '0x49000000', legal: false });
    const cmds = '0001000000000012 00000000fffff701\n000000000fc02046 0000000000000000\n'.repeat(2);
    expect(decodeLog(cmds).records.map((r) => r.type)).toEqual(Array(4).fill('smmuv3_command'));
  });

  test('level-1 descriptors and page-table descriptors', () => {
    const std = decodeLog('L1STD:\n0000000048000009 0000000000000000\n0000000048004009 0000000000000000');
    expect(std.records).toMatchObject([
      { type: 'smmuv3_l1std', fields: { Span: 9, L2Ptr: '0x48000000' } },
      { type: 'smmuv3_l1std', fields: { Span: 9, L2Ptr: '0x48004000' }, index: 2 },
    ]);
    const pte = decodeLog('000000004a003000: 0x0000000050000f47 0x00000000500017ff');
    expect(pte.records).toMatchObject([
      { type: 'vmsav8_descriptor', form: 'page', stage: 1 },
      { type: 'vmsav8_descriptor', address: '0x4a003008' },
    ]);
  });

  test('`*` of hexdump stands for lines like the one before', () => {
    const text = `00049000  0b 00 00 48 00 00 00 00  00 00 00 00 00 00 00 00  |...H............|
00049010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
00049040`;
    expect(one(text)).toMatchObject({ type: 'smmuv3_ste', address: '0x49000', fields: { Config: 5 } });
  });

  test('gdb prints a structure', () => {
    // Zeros shortened beside whole words, as mails do.
    expect(one('CD: 0001e204c0003510 0000000048200000 0 00000000f404ff44 0 0 0 0')).toMatchObject({
      type: 'smmuv3_cd',
      legal: true,
      raw: expect.arrayContaining(['0x00000000f404ff44']),
    });
    expect(one('ste = {data = {0x4e178fcf, 0x0, 0xd009400000000, 0x4e4d0000, 0x0 <repeats 4 times>}}')).toMatchObject({
      type: 'smmuv3_ste',
      legal: true,
    });
  });

  test('other numbers of a log are no dump', () => {
    for (const text of ['deadbeef', '12345678', 'x29: ffff80001000be40 x28: ffff000012345678', '0x1234'])
      expect(decodeLog(text).records, text).toEqual([]);
  });
});

describe('size', () => {
  const lines: readonly [string, string][] = [
    ['entries', '0x4e178fcf 0x0 0xd009400000000 0x4e4d0000 0x0 0x0 0x0 0x0\n'],
    ['nonsense words', '0x0000000000000000 0x4e178fcf00000000\n'],
    ['repeats', '00001000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n'],
    ['labels', 'DW0: 0x1 '],
    ['addresses', 'ffff0000: '],
    ['headings', 'STE:\n'],
    ['digits', '0123456789abcdef'],
    ['repeat counts', '0x0 <repeats 9999 times>, '],
  ];
  test.each(lines)(
    'a megabyte of %s is read in seconds',
    (_, unit) => {
      const start = performance.now();
      decodeLog(unit.repeat(Math.ceil(1_000_000 / unit.length)));
      expect(performance.now() - start).toBeLessThan(20_000);
    },
    40_000,
  );
});

test('the four words of an STE that Linux writes, without a label, are an STE and no event', () => {
  // E2 and E3 of the worked examples.
  for (const text of [
    '000000004810000f 00001000000800d6 044d359000000001 0000880040000000',
    '000000000000000d 0000100000000000 044d359000000001 0000880040000000',
  ]) {
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    expect(records.map((r) => r.type)).toEqual(['smmuv3_ste']);
  }
  // V1: an event record of four words stays one.
  expect(decodeLog('0000010800000010 0000020000000000 00000000fffff040 0').records.map((r) => r.type)).toEqual([
    'smmuv3_event',
  ]);
});
