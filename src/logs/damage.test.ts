/** Clean records are damaged as pasting does; what survives must decode as before. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadVendors } from '../engine/machine/vendors.ts';
import { eventFields } from './arm/event.ts';
import files from './fixtures/debugfs-intel.json';
import arm from './fixtures/dmesg-arm.json';
import intel from './fixtures/dmesg-intel.json';
import traces from './fixtures/ftrace.json';
import qemu from './fixtures/qemu-trace.json';
import { wrap } from './fixtures/wrap.ts';
import { decodeLog, scenarioOf } from './index.ts';

await loadVendors(['vtd']);

const word = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;
const u64 = fc.bigInt(0n, (1n << 64n) - 1n);

/** Any event id, any bits elsewhere. */
const record = fc
  .tuple(
    fc.constantFrom(
      0x01,
      0x02,
      0x03,
      0x04,
      0x05,
      0x06,
      0x07,
      0x08,
      0x09,
      0x0a,
      0x0b,
      0x10,
      0x11,
      0x12,
      0x13,
      0x20,
      0x21,
      0x24,
      0x25,
      0xe0,
    ),
    u64,
    u64,
    u64,
    u64,
  )
  .map(([id, w0, w1, w2, w3]) => [(w0 & ~0xffn) | BigInt(id), w1, w2, w3]);

const instance = fc.constantFrom(
  'arm-smmu-v3.0.auto',
  'arm-smmu-v3.17.auto',
  'fc900000.iommu',
  '2b400000.smmu',
  '8806000000.iommu',
);

/** The kernel's lines: header and four words. */
const print = (words: readonly bigint[]): string[] => [
  `event 0x${(words[0]! & 0xffn).toString(16).padStart(2, '0')} received:`,
  ...words.map((w) => `\t${word(w)}`),
];

const unrelated = [
  '[ 2119.063779] qcom-venus aa00000.video-codec: non legacy binding',
  'dh: Party A: generate public key test failed. err -22',
  '11375.065672] dh alg: dh: test failed on vector 1, err=-22',
  '[382664.218997] hns3 0000:35:00.0: INT status: CMDQ(0x0) HW errors(0x0) other(0x0)',
  '{34}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 7',
  'Nov 24 08:12:01 host kernel: mlx5_core 0000:01:00.0: 0x00000000 0x00000001',
  '[   12.000000] arm-smmu-v3-pmcg arm-smmu-v3-pmcg.8.auto: option mask 0x0',
];

const damage = fc.record({
  quote: fc.constantFrom('', '> ', '> > ', '>> ', '| ', '    '),
  head: fc.constantFrom(
    '',
    '[  131.474962] ',
    'Nov 24 08:12:01 host kernel: ',
    '<3>[  131.474962][    C0] ',
    '[Mon Nov 24 08:12:01 2025] ',
  ),
  blank: fc.constantFrom('\t', ' ', '      '),
  width: fc.integer({ min: 30, max: 120 }),
  /** Digits before a blank in the middle of each word. */
  split: fc.option(fc.integer({ min: 1, max: 15 }), { nil: null, freq: 4 }),
  wrapped: fc.constantFrom('no', 'blank', 'hard'),
  between: fc.array(fc.tuple(fc.nat(8), fc.constantFrom(...unrelated)), { maxLength: 4 }),
  /** Lines that survive. */
  keep: fc.integer({ min: 1, max: 5 }),
  dropPrefix: fc.boolean(),
  crlf: fc.boolean(),
});

describe('damage', () => {
  test('one record: the surviving words decode as they do alone', () => {
    fc.assert(
      fc.property(record, instance, damage, (words, smmu, d) => {
        const prefix = d.dropPrefix ? '' : `arm-smmu-v3 ${smmu}: `;
        let lines = print(words)
          .slice(0, d.keep)
          .map((l) =>
            d.split === null
              ? l
              : l.replace(/^(\t0x)([0-9a-f]{16})$/, (_, x, w) => `${x}${w.slice(0, d.split)} ${w.slice(d.split)}`),
          )
          .map((l) => `${d.head}${prefix}${l.replace('\t', d.blank)}`);
        // A terminal that breaks anywhere is wider than the prefix; a mail program may break inside it.
        const width = d.wrapped === 'hard' ? Math.max(d.width, 68) : d.width;
        if (d.wrapped !== 'no') lines = lines.map((l) => wrap(l, width, d.wrapped === 'blank').join('\u0000'));
        for (const [at, text] of d.between) lines.splice(Math.min(at, lines.length), 0, text);
        const text = lines
          .flatMap((l) => l.split('\u0000'))
          .map((l) => d.quote + l)
          .join(d.crlf ? '\r\n' : '\n');
        const { records } = decodeLog(text);
        expect(records, text).toHaveLength(1);
        const survived = words.slice(0, d.keep - 1);
        const r = records[0]!;
        expect(r.raw, text).toEqual(survived.map(word));
        expect(r.event_id).toBe(`0x${(words[0]! & 0xffn).toString(16)}`);
        expect(r.incomplete, text).toBe(d.keep < 5 ? `${d.keep - 1} of 4 words` : undefined);
        if (survived.length > 0) expect(r).toMatchObject(eventFields(survived).fields);
        if (!d.dropPrefix) expect(r.smmu).toBe(smmu);
      }),
      { numRuns: 500 },
    );
  });

  test('records of several SMMUs shuffled into one another', () => {
    const three = fc.tuple(record, record, record);
    fc.assert(
      fc.property(three, fc.array(fc.nat(2), { minLength: 15, maxLength: 40 }), (recs, order) => {
        const names = ['arm-smmu-v3.0.auto', 'arm-smmu-v3.1.auto', '2b400000.iommu'];
        const queues = recs.map((words, i) => print(words).map((l) => `[    1.000000] arm-smmu-v3 ${names[i]}: ${l}`));
        const lines: string[] = [];
        for (const i of [
          ...order,
          ...new Array<number>(5).fill(0),
          ...new Array<number>(5).fill(1),
          ...new Array<number>(5).fill(2),
        ]) {
          const l = queues[i]!.shift();
          if (l !== undefined) lines.push(l);
        }
        const { records, unread } = decodeLog(lines.join('\n'));
        expect(unread).toEqual([]);
        expect(new Map(records.map((r) => [r.smmu, r.raw]))).toEqual(
          new Map(recs.map((words, i) => [names[i], words.map(word)])),
        );
      }),
      { numRuns: 100 },
    );
  });

  test('printed lines wrapped at any width, anywhere', () => {
    const line = fc.record({
      sid: fc.integer({ min: 0, max: 0xffffffff }),
      ssid: fc.integer({ min: 0, max: 0xfffff }),
      iova: u64,
      ipa: u64.map((v) => v & 0xfffff_fffff000n),
      event: fc.constantFrom('F_TRANSLATION', 'F_ADDR_SIZE', 'F_ACCESS', 'F_PERMISSION'),
      client: fc.constantFrom('0000:75:00.1', '(unassigned sid)', '1d84000.ufshc'),
      access: fc.constantFrom('read', 'write'),
      cls: fc.constantFrom('CD fetch', 'Stage 1 translation table fetch', 'Input address caused fault', 'Reserved'),
      stall: fc.boolean(),
      stag: fc.integer({ min: 0, max: 0xffff }),
    });
    fc.assert(
      fc.property(
        line,
        fc.integer({ min: 50, max: 130 }),
        fc.boolean(),
        fc.constantFrom('', '> ', '> > > '),
        (f, width, atBlank, quote) => {
          const p = '[  131.478201] arm-smmu-v3 fc900000.iommu: ';
          const hex = (v: number | bigint): string => `0x${v.toString(16)}`;
          const lines = [
            `${p}event: ${f.event} client: ${f.client} sid: ${hex(f.sid)} ssid: ${hex(f.ssid)} iova: ${hex(f.iova)} ipa: ${hex(f.ipa)}`,
            `${p}unpriv data ${f.access} s1 "${f.cls}"${f.stall ? ' stall' : ''} stag: ${hex(f.stag)}`,
          ];
          const text = lines
            .flatMap((l) => wrap(l, width, atBlank))
            .map((l) => quote + l)
            .join('\n');
          const { records, unread } = decodeLog(text);
          expect(unread, text).toEqual([]);
          expect(records, text).toHaveLength(1);
          expect(records[0], text).toMatchObject({
            event: f.event,
            client: f.client,
            sid: hex(f.sid),
            ssid: hex(f.ssid),
            iova: hex(f.iova),
            ipa: hex(f.ipa),
            access: f.access,
            class_text: f.cls,
            stall: f.stall,
            stag: hex(f.stag),
          });
        },
      ),
      { numRuns: 500 },
    );
  });

  test('any text at all: an answer, never an exception', () => {
    const pieces = fc.constantFrom(
      ...[...arm, ...intel, ...files, ...traces, ...qemu].flatMap((s) => s.text.split(/(?<=\n)|(?= )/)),
      ...unrelated,
      'event 0x',
      'event: ',
      '0x',
      '\n',
      'arm-smmu-v3 ',
      'CMDQ error (cons 0x',
      'DMAR: ',
      '[DMA Read ',
      '[fault reason ',
      'pasid table entry[',
      'PASID entry:\n',
      'root table:\n',
      'IOMMU dmar0: Root Table Address: 0x1000\n',
      'qi_submit: ',
      'vtd_inv_desc ',
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(pieces, fc.string(), fc.string({ unit: 'binary' })), { maxLength: 60 }),
        (parts) => {
          const text = parts.join('');
          const d = decodeLog(text);
          const lines = text.split('\n').length;
          for (const r of d.records) {
            expect(r.line >= 1 && r.line <= lines && r.explain.length > 0).toBe(true);
            expect(r.explain).not.toMatch(/\bundefined\b|\bNaN\b|\[object/);
          }
          for (const u of d.unread) expect(u.line >= 1 && u.line + (u.lines ?? 1) - 1 <= lines).toBe(true);
          expect(() => JSON.stringify(d)).not.toThrow();
          // What it makes of tables has a document, or a reason against one.
          if (d.dump?.arch === 'vtd') expect(scenarioOf(d)).toHaveProperty('ok');
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('size', () => {
  const clean = `${print([0x10n, 0x20000000000n, 0x1000n, 0n])
    .map((l) => `[  131.474962] arm-smmu-v3 fc900000.iommu: ${l}`)
    .join('\n')}\n`;
  const hostile: readonly [string, string][] = [
    ['records', clean],
    ['records without line ends', clean.replaceAll('\n', ' ')],
    ['driver names', 'arm-smmu-v3 \n'],
    ['half lines', 'event: F_TRANSLATION client:\n'],
    ['blanks', ' '],
    ['brackets', '[1.1] '],
    ['quote marks', '> '],
    ['trace lines', 'smmuv3_cmdq_opcode <--- SMMU_CMD_SYNC\n'],
    ['names of trace events', 'smmuv3_get_ste '],
    ['entries', '0x4e178fcf 0x0 0xd009400000000 0x4e4d0000 0x0 0x0 0x0 0x0\n'],
    [
      'DMA faults',
      'DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x0 [fault reason 0x06] PTE Read access is not set\n',
    ],
    ['faults without a reason', 'DMAR:[DMA Write] Request device [00:02.0] fault addr 1000\n'],
    ['half faults', '[DMA Read\n'],
    ['lines of a walk', 'DMAR: pasid table entry[0]: 0x0000000000000049\n'],
    ['walks', 'DMAR: Dump dmar0 table entries for IOVA 0x1000\n'],
    ['trace events', 'qi_submit: iotlb_inv dmar1: 0x100e2 0x0 0x0 0x0\n'],
    ['rows of debugfs', 'IOMMU dmar0: Root Table Address: 0x1000\n00:0a.0 0x0:0x1001 0x0:0x2e1d 0 0x0:0x2:0x49\n'],
    ['PASID entries', 'PASID entry:\n0x49 0x1 0x1000 0x0 0x0 0x0 0x0 0x0\n'],
    ['hexadecimal lines', '00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n'],
  ];
  // A reader whose time grows with the square of the text would still be at it when the runner gives up.
  test.each(hostile)(
    'a megabyte of %s is read to its end',
    (_, unit) => {
      const text = `${unit.repeat(Math.ceil(1_000_000 / unit.length))}\n\n`;
      const { records } = decodeLog(text + clean);
      const line = text.split('\n').length;
      expect(records.find((r) => r.line === line)).toMatchObject({ event: 'F_TRANSLATION', input_addr: '0x1000' });
    },
    60_000,
  );

  test('a record far down a long line is found', () => {
    const filler = 'x'.repeat(9000);
    const { records } = decodeLog(`${filler} ${clean.replaceAll('\n', ' ')}`);
    expect(records).toMatchObject([{ event: 'F_TRANSLATION', input_addr: '0x1000', line: 1 }]);
  });
});
