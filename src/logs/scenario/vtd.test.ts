/** A VT-d dump becomes a document that walks exactly its bytes. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../engine/bits/index.ts';
import { parseDocument } from '../../engine/document/authoring.ts';
import { type ScenarioDocument, Session, serializeDocument } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { contextLayout, contextLegacyLayout, pasidLayout } from '../../engine/vtd/layout/index.ts';
import files from '../fixtures/debugfs-intel.json';
import logs from '../fixtures/dmesg-intel.json';
import { addressed } from '../fixtures/dump-forms.ts';
import { decodeLog, scenarioOf } from '../index.ts';

await loadVendors(['vtd']);

/** Runs a document through the parser and the machine. */
function run(document: ScenarioDocument) {
  const parsed = parseDocument(serializeDocument(document));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  const session = new Session(parsed.document);
  session.runAll();
  for (const s of session.steps) expect(s.failures).toEqual([]);
  const last = session.steps.at(-1);
  if (!last) throw new Error('no steps');
  return { last, reads: last.events.flatMap((e) => (e.kind === 'memory.read' ? [e] : [])) };
}

function scenario(text: string) {
  const s = scenarioOf(decodeLog(text));
  if (!s.ok) throw new Error(s.why);
  return { ...s, ...run(s.document) };
}

const xp = addressed['QEMU xp /gx'] as (typeof addressed)[string];
const zeros = [0n, 0n, 0n, 0n, 0n];

/** The memory of the worked walk 9.3, as someone would dump it. */
const memory: readonly (readonly [string, bigint, readonly bigint[]])[] = [
  ['root entry of bus 3b', 0x1_0000_03b0n, [0x1_0000_1001n, 0n]],
  ['context entry', 0x1_0000_1000n, [0x1_0010_0e1dn, 0n, 0n, 0n]],
  ['PASID directory entry 0x48', 0x1_0010_0240n, [0x1_0020_0001n, 0n]],
  ['PASID entry', 0x1_0020_0d00n, [0x1_0030_00c9n, 0x180_0005n, 0x1_0456_7000n, ...zeros]],
  ['', 0x1_0030_0000n, [0x1_0030_1003n, 0n]],
  ['', 0x1_0030_1010n, [0x1_0030_4003n, 0n, 0x1_0030_2003n, 0n]],
  ['', 0x1_0030_2110n, [0x1_0030_3003n, 0n]],
  ['', 0x1_0030_3b30n, [0n, 0x2_0456_7803n, 0x2_0456_8803n, 0x2_0456_9803n, 0x2_0456_a803n, 0n]],
  ['', 0x1_0030_4260n, [0n, 0x1_0030_5003n]],
  ['', 0x1_0030_55e0n, [0x1_89ab_c803n, 0n]],
  ['', 0x2_0456_77f0n, [0x1_0456_8027n, 0n]],
  ['', 0x2_0456_8000n, [0x1_0456_9027n, 0n]],
  ['', 0x2_0456_9480n, [0n, 0x1_0456_a027n]],
  ['', 0x2_0456_aa20n, [0n, 0x89ab_c067n]],
];
const text = memory.map(([head, at, words]) => `${head ? `${head}:\n` : ''}${xp(at, words)}`).join('\n\n');
const fault =
  'DMAR: [DMA Read PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear';

describe('a dump of all that a nested walk needs', () => {
  test('9.3: 28 reads, each as it was pasted, and the address where they lead', () => {
    const s = scenario(`${fault}\n\n${text}`);
    expect(s.missing).toEqual([]);
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x1_89ab_c000 });
    expect(s.last.operation).toMatchObject({ pasid: 0x1234, iova: 0x7f00_1234_5000n });
    expect(s.reads).toHaveLength(28);
    const given = new Map(memory.flatMap(([, at, words]) => words.map((w, i) => [Number(at) + 8 * i, w] as const)));
    for (const r of s.reads) expect(given.get(r.address), `0x${r.address.toString(16)}`).toBe(r.words[0]);
  });

  test('without a fault, the first address that the tables map is sent, with its PASID', () => {
    const s = scenario(text);
    expect(s.last.operation).toMatchObject({ pasid: 0x1234, iova: 0x7f00_1234_5000n });
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x1_89ab_c000 });
  });

  test('every entry is a record of its own, in the order of the text', () => {
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    const rid = { device: '3b:00.0' };
    expect(records).toMatchObject([
      { type: 'vtd_root_entry', bus: '0x3b', legal: true },
      { type: 'vtd_context_entry', ...rid, mode: 'scalable', fields: { PDTS: 7, DTE: 1, PRE: 1 } },
      { type: 'vtd_pasid_directory_entry', first_pasid: '0x1200' },
      { type: 'vtd_pasid_entry', ...rid, pasid: '0x1234', PGTT_name: 'nested', domain_id: 5, legal: true },
      ...[4, 3, 2, 1, 2, 1].map((level) => ({ type: 'vtd_table', stage: 2, level })),
      ...[4, 3, 2, 1].map((level) => ({ type: 'vtd_table', stage: 1, level })),
    ]);
    const leaf = records.at(-1)?.entries as unknown[];
    expect(leaf).toMatchObject([
      { index: 325, input: '0x7f0012345000', form: 'page', out: '0x89abc000', access: 'read and write' },
    ]);
  });

  test('a piece that is missing is named, and read as zero', () => {
    const without = memory.filter(([, at]) => at !== 0x1_0030_4260n);
    const s = scenario(`${fault}\n\n${without.map(([h, at, w]) => `${h ? `${h}:\n` : ''}${xp(at, w)}`).join('\n\n')}`);
    expect(s.missing).toMatchObject([{ at: 0x1_0030_4268, bytes: 8 }]);
    expect(s.missing[0]?.what).toContain('second-stage level-2 entry');
    expect(s.last.result.fault?.name).toBe('SSS.2');
  });

  test('guest tables given under guest addresses lie where the second stage puts them', () => {
    const moved = memory.map(([h, at, w]) => [h, at >= 0x2_0000_0000n ? at - 0x1_0000_0000n : at, w] as const);
    const s = scenario(`${fault}\n\n${moved.map(([h, at, w]) => `${h ? `${h}:\n` : ''}${xp(at, w)}`).join('\n\n')}`);
    expect(s.notes.join(' ')).toContain('guest physical addresses');
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x1_89ab_c000 });
  });
});

const P = '[   13.4] DMAR: ';
/** What Linux prints with CONFIG_DMAR_DEBUG. */
const kernelWalk = (lines: readonly string[]): string => lines.map((l) => P + l).join('\n');
const w16 = (v: bigint): string => `0x${v.toString(16).padStart(16, '0')}`;

describe("Linux's own walk", () => {
  const lines = (ptes: readonly string[], pasid = 'NO_PASID', entry0 = 0x49n, entry2 = 0x1_0456_7000n) => [
    `[DMA Read ${pasid}] Request device [3b:00.0] fault addr 0xfffff000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear`,
    'Dump dmar0 table entries for IOVA 0xfffff000',
    `scalable mode root entry: hi ${w16(0n)}, low ${w16(0x1_0000_1001n)}`,
    `context entry: hi ${w16(0n)}, low ${w16(0x1_0010_0e1dn)}`,
    `pasid dir entry: ${w16(0x1_0020_0001n)}`,
    ...[entry0, 0x80_0002n, entry2, ...zeros].map((w, i) => `pasid table entry[${i}]: ${w16(w)}`),
    ...ptes,
  ];

  test('is one record, and the place where it stops decides what is shown', () => {
    const log = decodeLog(
      kernelWalk(
        lines([
          `pte level: 4, pte value: ${w16(0x1_0456_8027n)}`,
          `pte level: 3, pte value: ${w16(0x1_0456_9027n)}`,
          `pte level: 2, pte value: ${w16(0n)}`,
          'page table not present at level 1',
        ]),
      ),
    );
    const dump = log.records.find((r) => r.type === 'table_dump');
    expect(dump).toMatchObject({
      iommu: 'dmar0',
      iova: '0xfffff000',
      device: '3b:00.0',
      fault_line: 1,
      mode: 'scalable',
      pasid_entry: { P: 1, PGTT: 1, PGTT_name: 'first-stage only', domain_id: 2, flptptr: '0x104567000' },
      ptes: [{ level: 4 }, { level: 3 }, { level: 2, value: '0x0000000000000000' }],
      stopped_at: 'page table not present at level 1',
      layout: 'vtd.pasid',
      where: { at: 'hw.fswalk' },
    });
    expect(log.unread).toEqual([]);
    const s = scenario(
      kernelWalk(
        lines([
          `pte level: 4, pte value: ${w16(0x1_0456_8027n)}`,
          `pte level: 3, pte value: ${w16(0x1_0456_9027n)}`,
          `pte level: 2, pte value: ${w16(0n)}`,
        ]),
      ),
    );
    expect(s.last.result.fault?.name).toBe('SFS.2');
    // Root, context, directory, PASID entry, and three levels.
    expect(s.reads).toHaveLength(7);
    expect(s.reads.map((r) => r.address).slice(1)).toEqual([
      0x1_0000_1000,
      0x1_0010_0000,
      0x1_0020_0000,
      0x1_0456_7000,
      0x1_0456_8000 + 3 * 8,
      0x1_0456_9000 + 511 * 8,
    ]);
    expect(s.document.steps.at(-1)).toMatchObject({ expect: { fault: 'SFS.2' } });
  });

  test('with a PASID the entry goes to its place', () => {
    const s = scenario(kernelWalk(lines([`pte level: 4, pte value: ${w16(0n)}`], 'PASID 0x1234')));
    expect(s.last.operation).toMatchObject({ pasid: 0x1234 });
    expect(s.reads[3]?.address).toBe(0x1_0020_0000 + 0x34 * 64);
    expect(s.last.result.fault?.name).toBe('SFS.2');
  });

  test('10.22: of a nested entry Linux walks the second stage with the device’s address, and the record says so', () => {
    const r = decodeLog(
      kernelWalk(lines([`pte level: 4, pte value: ${w16(0x1_0030_1003n)}`], 'PASID 0x1', 0x1_0030_00c9n)),
    ).records.find((x) => x.type === 'table_dump');
    expect(r?.where?.at).toBe('hw.sswalk');
    expect(r?.explain).toContain('say nothing about the fault');
  });

  test('in legacy mode', () => {
    const s = scenario(
      kernelWalk([
        '[DMA Write NO_PASID] Request device [00:1f.2] fault addr 0x7000 [fault reason 0x05] PTE Write access is not set',
        'Dump dmar1 table entries for IOVA 0x7000',
        `root entry: ${w16(0x1_0000_1001n)}`,
        `context entry: hi ${w16(0x102n)}, low ${w16(0x1_0030_0001n)}`,
        `pte level: 4, pte value: ${w16(0x1_0030_1003n)}`,
        `pte level: 3, pte value: ${w16(0x1_0030_2003n)}`,
        `pte level: 2, pte value: ${w16(0x1_0030_3003n)}`,
        `pte level: 1, pte value: ${w16(0x8000_0001n)}`,
      ]),
    );
    expect(s.last.result.fault?.name).toBe('LGN.2');
    expect(s.reads).toHaveLength(6);
    expect(s.reads[1]?.address).toBe(0x1_0000_1000 + 0xfa * 16);
  });

  test('lines of other messages in between, and a second walk', () => {
    const a = lines([`pte level: 4, pte value: ${w16(0n)}`]).map((l) => P + l);
    const mixed = a.flatMap((l) => [l, '[   13.5] xhci_hcd 0000:80:14.0: WARNING: Host System Error']);
    const { records } = decodeLog([...mixed, ...a].join('\n'));
    expect(records.filter((r) => r.type === 'table_dump')).toMatchObject([
      { pasid_entry: { PGTT: 1 }, ptes: [{ level: 4 }] },
      { pasid_entry: { PGTT: 1 }, ptes: [{ level: 4 }] },
    ]);
  });
});

describe('files of debugfs', () => {
  test.each(files.filter((f) => f.text.includes('Root Table')).map((f) => [f.id, f.text]))(
    '%s opens, and its device is blocked where the text ends',
    (_, t) => {
      const s = scenario(t);
      expect(s.reads.length).toBeGreaterThan(1);
      expect(s.last.result.ok).toBe(false);
    },
  );

  test('translation structures and pages of the same device lead to the page', () => {
    const pages = files.find((f) => f.id === 'debugfs-008')?.text as string;
    const rows = [
      'IOMMU dmar0: Root Table Address: 0x103028000',
      'B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry',
      '00:0a.0\t0x0000000000000000:0x00000001038a7001\t0x0000000000000000:0x0000000103220e1d\t1     \t0x0000000000000000:0x0000000000800002:0x000000010c112089',
    ].join('\n');
    const s = scenario(`${rows}\n\n${pages}`);
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x1_47c0_0000 });
    expect(s.last.operation).toMatchObject({ pasid: 1, iova: 0n });
    expect(s.missing).toEqual([]);
  });
});

describe('parts of a dump', () => {
  const entry = encode(pasidLayout, { P: 1, PGTT: 1, AW: 2, DID: 3, FSPTPTR: 0x4000_0000 });
  const tables = [
    xp(0x4000_0000n, [0x4000_1027n, 0n]),
    xp(0x4000_1000n, [0x4000_2027n, 0n]),
    xp(0x4000_2000n, [0n, 0x60_00e7n]),
  ].join('\n\n');

  test('a PASID entry without an address, and its tables', () => {
    const s = scenario(`pasid_entry:\n${entry.map((w) => w16(w)).join(' ')}\n\n${tables}`);
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x60_0000 });
    expect(s.last.operation).toMatchObject({ iova: 0x20_0000n });
    expect(s.notes.join(' ')).toContain('no context entry');
  });

  test('page tables alone, with a heading', () => {
    const s = scenario(`first-stage level 4 table:\n${tables}`);
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x60_0000 });
  });

  test('a context entry at an address: its place tells the device', () => {
    const context = encode(contextLayout, { P: 1, PDTS: 2, PASIDDIRPTR: 0x5000_0000 });
    const s = scenario(`context entry at 0x50001200:\n${xp(0x5000_1200n, context)}`);
    expect(s.document.devices).toMatchObject([{ rid: '0000:00:02.0' }]);
    expect(s.missing).toMatchObject([{ at: 0x5000_0000, bytes: 8 }]);
    expect(s.last.result.fault?.name).toBe('SPD.2');
  });

  test('three levels get a machine that has them', () => {
    const legacy = encode(contextLegacyLayout, { P: 1, AW: 1, DID: 2, SSPTPTR: 0x4000_0000 });
    const root = xp(0x5000_0000n, [0x5000_1001n, 0n]);
    const s = scenario(
      `root table:\n${root}\n\nlegacy context entry:\n${xp(0x5000_1100n, legacy)}\n\n${xp(0x4000_0000n, [0x4000_1003n, 0n])}\n\n${xp(0x4000_1000n, [0x60_0083n, 0n])}`,
    );
    expect(s.last.result).toMatchObject({ ok: true, pa: 0x60_0000 });
    expect(s.document.platform).toMatchObject({ features: { SAGAW: 14 } });
  });

  test.each(logs.map((l) => [l.id, l.text]))('%s: a document that runs, or a reason', (_, t) => {
    const s = scenarioOf(decodeLog(t));
    if (s.ok) run(s.document);
    else expect(s.why).toMatch(/Paste/);
  });
});

test('random second-stage tables arrive where they say, in every form of dump', () => {
  const pages = fc.uniqueArray(fc.integer({ min: 0, max: 2 ** 34 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(pages, fc.constantFrom(...Object.keys(addressed)), (list, name) => {
      const form = addressed[name] as (typeof addressed)[string];
      const words = new Map<number, bigint>();
      let next = 0x4000_1000;
      const sorted = [...list].sort((a, b) => a - b);
      sorted.forEach((pfn, i) => {
        let table = 0x4000_0000;
        for (let level = 4; level > 1; level--) {
          const at = table + (Math.floor(pfn / 512 ** (level - 1)) % 512) * 8;
          if (!words.has(at)) {
            words.set(at, BigInt(next) | 3n);
            next += 4096;
          }
          table = Number((words.get(at) as bigint) & 0xf_ffff_ffff_f000n);
        }
        words.set(table + (pfn % 512) * 8, BigInt(0x6000_0000 + i * 4096) | 3n);
      });
      const entry = encode(pasidLayout, { P: 1, PGTT: 2, AW: 2, DID: 3, SSPTPTR: 0x4000_0000 });
      const at = [...new Set([...words.keys()].map((a) => a - (a % 16)))].sort((a, b) => a - b);
      const dumped = at.map((a) => form(BigInt(a), [words.get(a) ?? 0n, words.get(a + 8) ?? 0n])).join('\n');
      const s = scenario(`pasid entry:\n${entry.map((w) => w16(w)).join(' ')}\n\n${dumped}`);
      expect(s.missing).toEqual([]);
      expect(s.last.result).toMatchObject({ ok: true, pa: 0x6000_0000 });
      expect(s.last.operation).toMatchObject({ iova: BigInt(sorted[0] as number) << 12n });
    }),
    { numRuns: 25 },
  );
}, 60_000);
