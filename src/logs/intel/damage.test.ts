/** Clean messages are damaged as pasting does; what survives must decode as before. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deviceText, faultReasons } from '../../engine/vtd/layout/index.ts';
import { wrap } from '../fixtures/wrap.ts';
import { decodeLog } from '../index.ts';

const fault = fc.record({
  write: fc.boolean(),
  rid: fc.integer({ min: 0, max: 0xffff }),
  pasid: fc.option(fc.integer({ min: 0, max: 0xfffff }), { nil: null }),
  addr: fc.bigInt(0n, (1n << 57n) - 1n).map((a) => a & ~0xfffn),
  reason: fc.constantFrom(...faultReasons.filter((r) => r.text !== 'Unknown' && (r.code < 0x20 || r.code > 0x29))),
});

type Fault = typeof fault extends fc.Arbitrary<infer T> ? T : never;

const access = (f: Fault): string => (f.write ? 'DMA Write' : 'DMA Read');
/** The kernel's forms, new to old. */
const forms: readonly ((f: Fault) => string)[] = [
  (f) =>
    `[${access(f)} ${f.pasid === null ? 'NO_PASID' : `PASID 0x${f.pasid.toString(16)}`}] Request device [${deviceText(f.rid)}] fault addr 0x${f.addr.toString(16)} [fault reason 0x${f.reason.code.toString(16).padStart(2, '0')}] ${f.reason.text}`,
  (f) =>
    `[${access(f)}] Request device [${deviceText(f.rid)}] PASID ${f.pasid === null ? 'ffffffff' : f.pasid.toString(16)} fault addr ${f.addr.toString(16)} [fault reason ${String(f.reason.code).padStart(2, '0')}] ${f.reason.text}`,
];

const expected = (f: Fault): Record<string, unknown> => ({
  type: 'dma_fault',
  access: f.write ? 'write' : 'read',
  device: deviceText(f.rid),
  pasid: f.pasid === null ? null : `0x${f.pasid.toString(16)}`,
  addr: `0x${f.addr.toString(16)}`,
  reason: `0x${f.reason.code.toString(16)}`,
  reason_name: f.reason.text,
});

const digits = (v: unknown): string => String(v).replace(/^0x/, '');
const heads = fc.constantFrom('', '[  131.474962] ', 'Nov 24 08:12:01 host kernel: ', '<3>[  131.474962][    C0] ');
const quotes = fc.constantFrom('', '> ', '> > ', '| ', '    ');

describe('damage', () => {
  test('a fault in each form, wrapped at any width, anywhere', () => {
    fc.assert(
      fc.property(
        fault,
        fc.constantFrom(...forms),
        heads,
        quotes,
        fc.integer({ min: 44, max: 130 }),
        fc.boolean(),
        (f, form, head, quote, width, atBlank) => {
          const text = wrap(`${head}DMAR: ${form(f)}`, Math.max(width, head.length + 30), atBlank)
            .map((l) => quote + l)
            .join('\n');
          const { records, unread } = decodeLog(text);
          expect(unread, text).toEqual([]);
          expect(records, text).toHaveLength(1);
          expect(records[0], text).toMatchObject(expected(f));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('several faults with lines of other drivers between them', () => {
    const other = fc.constantFrom(
      'xhci_hcd 0000:00:14.0: WARNING: Host System Error',
      'mlx5_core 0000:42:00.1 eth4: Link down',
      'DMAR: DRHD: handling fault status reg 3',
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fault, fc.constantFrom(...forms), fc.option(other)), { maxLength: 6 }), (list) => {
        const lines = list.flatMap(([f, form, o]) => [`[1.0] DMAR: ${form(f)}`, ...(o ? [`[1.0] ${o}`] : [])]);
        const { records } = decodeLog(lines.join('\n'));
        expect(records.filter((r) => r.type === 'dma_fault')).toMatchObject(list.map(([f]) => expected(f)));
      }),
      { numRuns: 100 },
    );
  });

  test('cut anywhere: what stands is right, what is missing is absent', () => {
    fc.assert(
      fc.property(fault, fc.constantFrom(...forms), fc.nat(200), (f, form, n) => {
        const line = `DMAR: ${form(f)}`.slice(0, n);
        const { records } = decodeLog(line);
        const whole = expected(f);
        for (const r of records) {
          if (typeof r.device === 'string') expect(r.device).toBe(whole.device);
          // A number that is cut at the end may be a shorter number: it is the beginning of the whole one.
          if (typeof r.addr === 'string') expect(digits(whole.addr).startsWith(digits(r.addr)), line).toBe(true);
          if (typeof r.reason === 'string') expect(r.reason, line).toBe(whole.reason);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("the lines of Linux's walk, wrapped at blanks", () => {
    const u64 = fc.bigInt(0n, (1n << 64n) - 1n);
    const word = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;
    fc.assert(
      fc.property(
        fc.array(u64, { minLength: 13, maxLength: 13 }),
        fc.integer({ min: 40, max: 100 }),
        quotes,
        (w, width, quote) => {
          const lines = [
            'Dump dmar3 table entries for IOVA 0xfffff000',
            `scalable mode root entry: hi ${word(w[0] as bigint)}, low ${word(w[1] as bigint)}`,
            `context entry: hi ${word(w[2] as bigint)}, low ${word(w[3] as bigint)}`,
            `pasid dir entry: ${word(w[4] as bigint)}`,
            ...w.slice(5).map((x, i) => `pasid table entry[${i}]: ${word(x)}`),
            'page table not present at level 3',
          ];
          const text = lines
            .flatMap((l) => wrap(`[  131.474962] DMAR: ${l}`, width, true))
            .map((l) => quote + l)
            .join('\n');
          const { records, unread } = decodeLog(text);
          expect(unread, text).toEqual([]);
          expect(records, text).toMatchObject([
            {
              iommu: 'dmar3',
              iova: '0xfffff000',
              root_hi: word(w[0] as bigint),
              root_lo: word(w[1] as bigint),
              context_hi: word(w[2] as bigint),
              context_lo: word(w[3] as bigint),
              pasid_directory: word(w[4] as bigint),
              raw: w.slice(5).map(word),
              stopped_at: 'page table not present at level 3',
            },
          ]);
        },
      ),
      { numRuns: 100 },
    );
  });
});
