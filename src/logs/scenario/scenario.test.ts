/** A dump becomes a document that walks exactly its bytes. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode } from '../../engine/bits/index.ts';
import { parseDocument } from '../../engine/document/authoring.ts';
import { type ScenarioDocument, Session, serializeDocument } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { addressed, bare } from '../fixtures/dump-forms.ts';
import { decodeLog, scenarioOf } from '../index.ts';

await loadVendors(['smmuv3']);

type Words = Map<number, bigint>;

/** Tables of 4 KiB granule and 48 bits, made one descriptor at a time. */
class Tables {
  readonly words: Words = new Map();
  readonly root: number;
  private next: number;
  private readonly place: (table: number) => number;

  /** @param place where a table that descriptors name lies in memory */
  constructor(first: number, place: (table: number) => number = (t) => t) {
    this.root = first;
    this.next = first + 4096;
    this.place = place;
  }

  map(input: number, output: number, leaf: bigint): void {
    let table = this.root;
    for (let level = 0; level < 3; level++) {
      const at = this.place(table) + (Math.floor(input / 2 ** (12 + 9 * (3 - level))) % 512) * 8;
      const old = this.words.get(at);
      if (old === undefined) {
        this.words.set(at, BigInt(this.next) | 3n);
        table = this.next;
        this.next += 4096;
      } else table = Number(old & 0xfffffffff000n);
    }
    this.words.set(this.place(table) + (Math.floor(input / 4096) % 512) * 8, BigInt(output) | leaf);
  }
}

/** Aligned pairs of words with the addresses of `words`, as text. */
function dump(words: Words, form = addressed['QEMU xp /gx']!): string {
  const at = [...new Set([...words.keys()].map((a) => a - (a % 16)))].sort((a, b) => a - b);
  return at.map((a) => form(BigInt(a), [words.get(a) ?? 0n, words.get(a + 8) ?? 0n])).join('\n');
}

const s1Leaf = 0xf47n;
const s2Leaf = 0x7ffn;

const cdOf = (ttb: number) =>
  encode(cdLayout, {
    T0SZ: 16,
    IR0: 1,
    OR0: 1,
    SH0: 3,
    EPD1: 1,
    V: 1,
    IPS: 5,
    AA64: 1,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: 7,
    TTB0: BigInt(ttb),
    MAIR: 0xf404ff44n,
  });
const steOf = (config: number, cd: number, s2: number) =>
  encode(steLayout, {
    V: 1,
    Config: config,
    ...(config !== 6 ? { S1ContextPtr: BigInt(cd), S1CIR: 1, S1COR: 1, S1CSH: 3 } : {}),
    ...(config !== 5 ? { S2VMID: 3, S2T0SZ: 16, S2SL0: 2, S2PS: 5, S2AA64: 1, S2R: 1, S2TTB: BigInt(s2) } : {}),
  });

const put = (words: Words, at: number, list: readonly bigint[]): void => {
  list.forEach((w, i) => {
    words.set(at + 8 * i, w);
  });
};

/** Runs a document through the parser and the machine. */
function run(document: ScenarioDocument) {
  const parsed = parseDocument(serializeDocument(document));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  const session = new Session(parsed.document);
  session.runAll();
  for (const s of session.steps) expect(s.failures).toEqual([]);
  const last = session.steps.at(-1)!;
  return { last, reads: last.events.flatMap((e) => (e.kind === 'memory.read' ? [e] : [])) };
}

const pages = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 34 }), { minLength: 1, maxLength: 6 });
const forms = Object.entries(addressed);

describe('a dump of all that a walk needs', () => {
  test('stage 1 alone: the first mapped address arrives where the tables say, through these bytes', () => {
    fc.assert(
      fc.property(pages, fc.constantFrom(...forms), (list, [, form]) => {
        const t = new Tables(0x4a000000);
        const sorted = [...list].sort((a, b) => a - b);
        sorted.forEach((p, i) => {
          t.map(p * 4096, 0x50000000 + i * 4096, s1Leaf);
        });
        const words: Words = new Map(t.words);
        const head = `${addressed['gdb x/gx']!(0x48000200n, steOf(5, 0x49000000, 0))}\n${addressed['gdb x/gx']!(0x49000000n, cdOf(t.root))}\n`;
        const log = decodeLog(head + dump(words, form));
        const scenario = scenarioOf(log);
        if (!scenario.ok) throw new Error(scenario.why);
        expect(scenario.missing).toEqual([]);
        const { last, reads } = run(scenario.document);
        expect(last.result).toMatchObject({ ok: true, pa: 0x50000000 });
        expect(last.operation).toMatchObject({ iova: BigInt(sorted[0]! * 4096) });
        // STE, CD, and four descriptors, each as it was pasted.
        expect(reads).toHaveLength(6);
        for (const r of reads.slice(2)) expect(words.get(r.address)).toBe(r.words[0]);
        expect(reads.map((r) => r.address).slice(0, 2)).toEqual([0x48000200, 0x49000000]);
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  /** Guest memory from 0x40000000 on lies at 0x180000000. */
  const host = (gpa: number): number => gpa + 0x140000000;

  function nested(list: readonly number[]) {
    const s2 = new Tables(0x90000000);
    const guest = new Tables(0x44000000);
    const sorted = [...list].sort((a, b) => a - b);
    sorted.forEach((p, i) => {
      guest.map(p * 4096, 0x60000000 + i * 4096, s1Leaf);
      s2.map(0x60000000 + i * 4096, host(0x60000000 + i * 4096), s2Leaf);
    });
    const guestWords: Words = new Map(guest.words);
    put(guestWords, 0x43000000, cdOf(guest.root));
    for (const a of guestWords.keys()) s2.map(a - (a % 4096), host(a - (a % 4096)), s2Leaf);
    const hostWords: Words = new Map(s2.words);
    put(hostWords, 0x48000400, steOf(7, 0x43000000, s2.root));
    return { guestWords, hostWords, first: sorted[0]! * 4096 };
  }

  test.each([
    ['physical', host],
    ['guest', (a: number) => a],
  ] as const)(
    'nested, the guest’s tables under their %s addresses',
    (kind, shown) => {
      fc.assert(
        fc.property(pages, (list) => {
          const { guestWords, hostWords, first } = nested(list);
          const all: Words = new Map(hostWords);
          for (const [a, w] of guestWords) all.set(shown(a), w);
          const scenario = scenarioOf(decodeLog(dump(all)));
          if (!scenario.ok) throw new Error(scenario.why);
          expect(scenario.missing).toEqual([]);
          const { last, reads } = run(scenario.document);
          expect(last.result).toMatchObject({ ok: true, pa: host(0x60000000) });
          expect(last.operation).toMatchObject({ iova: BigInt(first) });
          // One STE, a CD and four stage-1 descriptors behind five stage-2 walks each, and the output: 1 + 5 + 4*5 + 4.
          expect(reads).toHaveLength(30);
          for (const r of reads) {
            const word = hostWords.get(r.address) ?? guestWords.get(r.address - 0x140000000);
            expect(r.words[0]).toBe(word);
          }
          expect(scenario.notes.some((n) => n.includes('guest physical addresses'))).toBe(kind === 'guest');
        }),
        { numRuns: 20 },
      );
    },
    60_000,
  );

  test('a kernel’s virtual addresses become physical ones when the pointers fit', () => {
    const t = new Tables(0x4a000000);
    t.map(0x7000, 0x50000000, s1Leaf);
    const words: Words = new Map(t.words);
    put(words, 0x48000200, steOf(5, 0x49000000, 0));
    put(words, 0x49000000, cdOf(t.root));
    const shift = 0xffff000080000000n;
    const text = dump(words, (at, w) => addressed['crash rd -p']!(at + shift, w).replace(/^crash.*\n/, ''));
    const scenario = scenarioOf(decodeLog(text));
    if (!scenario.ok) throw new Error(scenario.why);
    expect(scenario.notes.join()).toContain('0xffff000080000000');
    expect(run(scenario.document).last.result).toMatchObject({ ok: true, pa: 0x50000000 });
  });

  test('an STE and a CD without addresses are placed where they point', () => {
    const t = new Tables(0x4a000000);
    t.map(0x7000, 0x50000000, s1Leaf);
    const text = `STE of sid 0x1234:\n${bare['a line of words']!(0n, steOf(5, 0x49000000, 0))}\n\nCD:\n${bare['a line of words']!(0n, cdOf(t.root))}\n\n${dump(t.words)}`;
    const scenario = scenarioOf(decodeLog(text));
    if (!scenario.ok) throw new Error(scenario.why);
    const { last, reads } = run(scenario.document);
    expect(last.result).toMatchObject({ ok: true, pa: 0x50000000 });
    expect(scenario.document.devices?.[0]?.rid).toBe('0000:12:06.4');
    // Through a level-1 stream table that is made for the StreamID.
    expect(reads.map((r) => r.layout)).toEqual([
      'smmuv3.l1std',
      'smmuv3.ste',
      'smmuv3.cd',
      ...Array.from({ length: 3 }, () => 'vmsav8.s1.table'),
      'vmsav8.s1.page',
    ]);
    expect(reads.find((r) => r.layout === 'smmuv3.cd')!.address).toBe(0x49000000);
  });

  test('a fault of the text is what the device does', () => {
    const t = new Tables(0x4a000000);
    t.map(0x7000, 0x50000000, s1Leaf);
    const words: Words = new Map(t.words);
    put(words, 0x48000200, steOf(5, 0x49000000, 0));
    put(words, 0x49000000, cdOf(t.root));
    const fault = `arm-smmu-v3 arm-smmu-v3.0.auto: event 0x10 received:
arm-smmu-v3 arm-smmu-v3.0.auto: \t0x0000000800000010
arm-smmu-v3 arm-smmu-v3.0.auto: \t0x0000020000000000
arm-smmu-v3 arm-smmu-v3.0.auto: \t0x0000000000008040
arm-smmu-v3 arm-smmu-v3.0.auto: \t0x0000000000000000
`;
    const scenario = scenarioOf(decodeLog(fault + dump(words)));
    if (!scenario.ok) throw new Error(scenario.why);
    const dma = scenario.document.steps.at(-1) as unknown as Record<string, unknown>;
    expect(dma).toMatchObject({
      do: 'device.dma',
      iova: '0x8040',
      access: 'write',
      expect: { fault: 'F_TRANSLATION' },
    });
    expect(scenario.document.devices?.[0]?.rid).toBe('0000:00:01.0');
    expect(run(scenario.document).last.result.fault?.fields).toMatchObject({ InputAddr: 0x8040n });
  });

  test('stage 2 alone, and page tables alone', () => {
    const t = new Tables(0x4a000000);
    t.map(0x40007000, 0x50000000, s2Leaf);
    const words: Words = new Map(t.words);
    put(words, 0x48000200, steOf(6, 0, t.root));
    const two = scenarioOf(decodeLog(dump(words)));
    if (!two.ok) throw new Error(two.why);
    expect(run(two.document).last.result).toMatchObject({ ok: true, pa: 0x50000000 });

    const one = new Tables(0x4a000000);
    one.map(0x40007000, 0x50000000, s1Leaf);
    const tables = scenarioOf(decodeLog(dump(one.words)));
    if (!tables.ok) throw new Error(tables.why);
    const { last } = run(tables.document);
    expect(last.result).toMatchObject({ ok: true, pa: 0x50000000 });
  });

  test('features that the entries need are those of the machine', () => {
    const cd = encode(cdLayout, {
      T0SZ: 16,
      EPD1: 1,
      V: 1,
      IPS: 5,
      AA64: 1,
      R: 1,
      ASET: 1,
      S: 1,
      A: 0,
      ASID: 7,
      TTB0: 0x4a000000n,
    });
    const t = new Tables(0x4a000000);
    t.map(0x7000, 0x50000000, s1Leaf);
    const words: Words = new Map(t.words);
    put(words, 0x48000200, steOf(5, 0x49000000, 0));
    put(words, 0x49000000, cd);
    const scenario = scenarioOf(decodeLog(dump(words)));
    if (!scenario.ok) throw new Error(scenario.why);
    expect(scenario.document.platform.features).toEqual({ STALL_MODEL: 0, TERM_MODEL: false });
    expect(run(scenario.document).last.result).toMatchObject({ ok: true });
  });
});

describe('what is missing is named', () => {
  const whole = (): Words => {
    const t = new Tables(0x4a000000);
    t.map(0x7000, 0x50000000, s1Leaf);
    const words: Words = new Map(t.words);
    put(words, 0x48000200, steOf(5, 0x49000000, 0));
    put(words, 0x49000000, cdOf(t.root));
    return words;
  };

  test('a table page: its address, and the walk ends there', () => {
    const words = whole();
    words.delete(0x4a003000 + 7 * 8);
    const scenario = scenarioOf(decodeLog(dump(words)));
    if (!scenario.ok) throw new Error(scenario.why);
    expect(scenario.missing).toEqual([
      { at: 0x4a003000, bytes: 8, what: 'a stage-1 level-3 descriptor, read to translate 0x0' },
    ]);
    expect(scenario.document.about).toContain('0x4a003000');
    const { last } = run(scenario.document);
    expect(last.result.fault?.name).toBe('F_TRANSLATION');
  });

  test('the context descriptor', () => {
    const words = whole();
    for (let i = 0; i < 8; i++) words.delete(0x49000000 + 8 * i);
    const scenario = scenarioOf(decodeLog(dump(words)));
    if (!scenario.ok) throw new Error(scenario.why);
    expect(scenario.missing[0]).toEqual({ at: 0x49000000, bytes: 64, what: 'the address of the context descriptor' });
    expect(run(scenario.document).last.result.fault?.name).toBe('C_BAD_CD');
  });

  test('an illegal STE is walked as far as it goes', () => {
    const words = whole();
    words.set(0x48000208, 1n << 30n);
    const scenario = scenarioOf(
      decodeLog(
        `STE:\n${dump(new Map([...words].filter(([a]) => a < 0x48000240)))}\n${dump(new Map([...words].filter(([a]) => a >= 0x48000240)))}`,
      ),
    );
    if (!scenario.ok) throw new Error(scenario.why);
    expect(run(scenario.document).last.result.fault?.name).toBe('C_BAD_STE');
  });

  test('nothing to walk', () => {
    expect(scenarioOf(decodeLog('hello'))).toMatchObject({
      ok: false,
      why: expect.stringContaining('no stream table entry'),
    });
    expect(scenarioOf(decodeLog('0001000000000012 00000000fffff701'))).toMatchObject({ ok: false });
  });
});

test('any dump at all gives a document that runs, or a reason', () => {
  const word = fc.oneof(
    fc.constant(0n),
    fc.bigInt(0n, (1n << 64n) - 1n),
    fc.constantFrom(...steOf(7, 0x49000000, 0x4a000000), ...cdOf(0x4a001000), 0x4a001003n, 0x50000f47n),
  );
  const block = fc.tuple(fc.integer({ min: 0x48000, max: 0x48010 }), fc.array(word, { minLength: 2, maxLength: 24 }));
  fc.assert(
    fc.property(
      fc.array(block, { minLength: 1, maxLength: 5 }),
      fc.constantFrom('', 'STE:', 'CD:'),
      (blocks, label) => {
        const text = blocks.map(([p, w]) => `${label}\n${addressed['QEMU xp /gx']!(BigInt(p * 4096), w)}`).join('\n');
        const scenario = scenarioOf(decodeLog(text));
        if (scenario.ok) run(scenario.document);
        else expect(scenario.why).not.toBe('');
      },
    ),
    { numRuns: 60 },
  );
}, 60_000);
