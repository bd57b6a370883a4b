import { describe, expect, it } from 'vitest';
import {
  descriptor,
  GranuleMachine,
  PS,
  rootBytes,
  type Tables,
  TG0,
} from '../../engine/smmuv3/hardware/granule-machine.ts';
import type { Trace, TraceEvent } from '../../engine/trace/index.ts';
import { DATA, IOVA, OFFSET, type Shape, WalkMachine } from '../../engine/vtd/hardware/walk-machine.ts';
import { walksOf } from './model.ts';
import { cellsOf, type Walk } from './types.ts';

function walkOf(trace: Trace, act: () => unknown): Walk {
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);
  act();
  trace.listener = null;
  const walks = walksOf(events);
  expect(walks).toHaveLength(1);
  const reads = events.filter((e) => e.kind === 'memory.read').length;
  const placed = walks[0]!.rows.flatMap((r) => cellsOf(r).filter((c) => c.read));
  expect(placed.length).toBe(reads);
  expect(walks[0]!.reads).toBe(reads);
  return walks[0]!;
}

/** Reads of page tables: rows that are no records of the configuration. */
const tableReads = (w: Walk): number =>
  w.rows.reduce((n, r) => n + (r.kind === 'record' ? 0 : cellsOf(r).filter((c) => c.read).length), 0);
const name = (w: Walk, want: 'read' | 'saved' | 'beyond'): string[] =>
  w.rows.flatMap((r) => cellsOf(r).flatMap((c) => (c[want] ? [`${r.title}/${c.level ?? 'entry'}`] : [])));

/** Everything that the cold walk read is read or skipped by the warm one, and the warm one reads nothing else. */
function compare(cold: Walk, warm: Walk): void {
  const read = name(cold, 'read');
  const again = name(warm, 'read');
  const skipped = new Set(name(warm, 'saved'));
  for (const cell of again) expect(read).toContain(cell);
  for (const cell of again) expect(skipped.has(cell)).toBe(false);
  expect(read.filter((c) => !again.includes(c) && !skipped.has(c))).toEqual([]);
}

/** Granule, start level, bits: what the granules allow, stage 2 with and without concatenated tables. */
const first: readonly Tables[] = [
  { granule: 12, start: 0, bits: 48 },
  { granule: 12, start: 1, bits: 39 },
  { granule: 12, start: 2, bits: 30 },
  { granule: 14, start: 0, bits: 48 },
  { granule: 14, start: 1, bits: 47 },
  { granule: 14, start: 3, bits: 25 },
  { granule: 16, start: 1, bits: 48 },
  { granule: 16, start: 2, bits: 42 },
  { granule: 16, start: 3, bits: 29 },
];
const second: readonly Tables[] = [
  { granule: 12, start: 0, bits: 48 },
  { granule: 12, start: 1, bits: 40 },
  { granule: 12, start: 1, bits: 42 },
  { granule: 14, start: 1, bits: 48 },
  { granule: 14, start: 2, bits: 40 },
  { granule: 16, start: 1, bits: 48 },
  { granule: 16, start: 2, bits: 42 },
];

function arm(t: Tables, s2: Tables | null): GranuleMachine {
  const root = 0x400_0000n;
  const m = new GranuleMachine({
    s2,
    ...(s2 && { ste: { S2PS: PS[s2.bits] ?? 5, S2T0SZ: 64 - s2.bits } }),
    cd: { EPD0: 0, T0SZ: 64 - t.bits, TG0: TG0[t.granule], TTB0: root, IPS: 5 },
  });
  expect(rootBytes(t) > 0n).toBe(true);
  const page = s2 ? m.allocIpa(1n << BigInt(t.granule)) : m.alloc(1n << BigInt(t.granule));
  m.write(m.s1Entry(t, root, VA, 3), descriptor(t.granule, page, 0xf47n));
  if (s2) m.pa(page + (VA % (1n << BigInt(t.granule))));
  return m;
}

const VA = 0x12_3000n;

describe('Arm: (n + 1)(m + 1) - 1 reads, whatever the granules', () => {
  for (const t of first)
    for (const s2 of second)
      it(`stage 1 ${t.bits} bits of 2^${t.granule} from level ${t.start}, stage 2 ${s2.bits} of 2^${s2.granule} from ${s2.start}`, () => {
        const m = arm(t, s2);
        const w = walkOf(m.trace, () => m.access(VA));
        expect(w.end.kind).toBe('done');
        const n = 4 - t.start;
        const k = 4 - s2.start;
        expect([w.first?.levels.length, w.columns.length]).toEqual([n, k]);
        expect(tableReads(w)).toBe((n + 1) * (k + 1) - 1);
        compare(
          w,
          walkOf(m.trace, () => m.access(VA)),
        );
        const tables = /(\d+) tables concatenated/.exec(w.second!.text)?.[1];
        const bytes = Number(rootBytes(s2));
        expect(tables ?? '1').toBe(String(Math.max(1, bytes / 2 ** s2.granule)));
        // With the leaves gone the tables above are still known: each cache says what it saved.
        const { caches } = m.smmu;
        caches.iotlb.removeAllBut(-1);
        compare(
          w,
          walkOf(m.trace, () => m.access(VA)),
        );
        for (const c of [caches.iotlb, caches.s1walk, caches.s2tlb]) c.removeAllBut(-1);
        compare(
          w,
          walkOf(m.trace, () => m.access(VA)),
        );
      });
  for (const t of first)
    it(`stage 1 alone, ${t.bits} bits of 2^${t.granule} from level ${t.start}`, () => {
      const m = arm(t, null);
      const w = walkOf(m.trace, () => m.access(VA));
      expect(tableReads(w)).toBe(4 - t.start);
      expect(w.columns).toEqual([]);
      compare(
        w,
        walkOf(m.trace, () => m.access(VA)),
      );
      m.smmu.caches.iotlb.removeAllBut(-1);
      compare(
        w,
        walkOf(m.trace, () => m.access(VA)),
      );
    });
});

describe('Intel: (n + 1)(m + 1) - 1 reads, whatever the levels', () => {
  for (const fs of [4, 5] as const)
    for (const ss of [3, 4, 5] as const)
      it(`${fs} levels in ${ss}`, () => {
        const m = new WalkMachine({ fs, ss });
        const w = walkOf(m.trace, () => m.dma());
        expect(tableReads(w)).toBe((fs + 1) * (ss + 1) - 1);
        expect([w.first?.levels[0], w.columns[0]]).toEqual([fs, ss]);
        compare(
          w,
          walkOf(m.trace, () => m.dma()),
        );
        m.unit.caches.iotlb.removeAllBut(-1);
        compare(
          w,
          walkOf(m.trace, () => m.dma()),
        );
        m.unit.caches.fswalk.removeAllBut(-1);
        m.unit.caches.iotlb.removeAllBut(-1);
        compare(
          w,
          walkOf(m.trace, () => m.dma()),
        );
      });

  it.each<Shape>([{ pgtt: 1 }, { pgtt: 1, fs: 5 }, { pgtt: 2 }, { pgtt: 2, ss: 5 }, { pgtt: 0 }, { pgtt: 0, ss: 3 }])(
    'one stage alone: %j',
    (shape) => {
      const m = new WalkMachine(shape);
      const w = walkOf(m.trace, () => m.dma());
      expect(tableReads(w)).toBe(shape.pgtt === 1 ? (shape.fs ?? 4) : (shape.ss ?? 4));
      expect(w.first === null).toBe(shape.pgtt !== 1);
      compare(
        w,
        walkOf(m.trace, () => m.dma()),
      );
    },
  );

  it('pass-through reads the configuration alone, and says so from the IOTLB', () => {
    const m = new WalkMachine({ pgtt: 4 });
    const w = walkOf(m.trace, () => m.dma());
    expect([w.reads, tableReads(w), w.end.kind]).toEqual([4, 0, 'done']);
    const warm = walkOf(m.trace, () => m.dma());
    expect(warm.hits.map((h) => h.entry.cache)).toEqual(['Context', 'PASID', 'IOTLB']);
  });
});

describe('large pages end it earlier', () => {
  it('of the second stage, in its row', () => {
    const m = new WalkMachine();
    const size = 2 ** 21;
    m.write(m.ssEntry(DATA, 2), BigInt(DATA - (DATA % size) + OFFSET) | 0x83n);
    const w = walkOf(m.trace, () => m.dma());
    expect(tableReads(w)).toBe(23);
    expect(name(w, 'beyond')).toEqual(['output/1']);
    expect(w.rows.at(-1)!.second.at(-1)!.beyond).toMatchObject({ page: 21, level: 2 });
  });

  it('of the first stage, with the rows below', () => {
    const m = new WalkMachine();
    m.write(m.fsEntry(IOVA, 2), BigInt(DATA) | 0xe7n);
    m.write(m.ssEntry(DATA + 0x145000), BigInt(DATA + OFFSET + 0x145000) | 3n);
    const w = walkOf(m.trace, () => m.dma());
    expect(tableReads(w)).toBe(19);
    expect(name(w, 'beyond')).toEqual(['FS L1/4', 'FS L1/3', 'FS L1/2', 'FS L1/1', 'FS L1/entry']);
    expect(w.rows.find((r) => r.title === 'FS L1')!.entry!.beyond).toMatchObject({ page: 21, level: 2 });
  });
});

describe('the device asks, and hardware writes', () => {
  it('ATS: the request is a walk, the translated access another', () => {
    const m = new WalkMachine();
    const events: TraceEvent[] = [];
    m.trace.listener = (e) => events.push(e);
    m.dma({ translated: true, write: true });
    const walks = walksOf(events);
    expect(walks.map((w) => [w.request.cause, w.end.kind])).toEqual([
      ['request', 'answered'],
      ['translated', 'done'],
    ]);
    expect(walks[0]!.end.pa).toBe(DATA + OFFSET);
    events.length = 0;
    m.dma({ translated: true });
    const [hit] = walksOf(events);
    expect(hit!.request.atc?.entry.cache).toBe('ATC');
    expect(hit!.reads).toBe(0);
  });

  it('a request without permissions names its reason', () => {
    const m = new WalkMachine();
    m.flip(m.ssEntry(DATA), 3n);
    const w = walkOf(m.trace, () => m.ats());
    expect(w.end).toMatchObject({ kind: 'answered', pa: null });
    expect(w.rows.at(-1)!.second.at(-1)!.stop).toMatchObject({ name: 'SSS.2', read: true });
  });

  it('accessed and dirty bits stand at the entry that they change', () => {
    const m = new WalkMachine();
    m.flip(m.fsEntry(IOVA), 0x60n);
    const w = walkOf(m.trace, () => m.dma({ write: true }));
    const cell = w.rows.find((r) => r.title === 'FS L1')!.entry!;
    expect(cell.update).toMatchObject({ text: 'hardware sets A and D, FS level 1', word: m.word(m.fsEntry(IOVA)) });
  });
});
