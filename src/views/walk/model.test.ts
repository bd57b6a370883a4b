import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { armGrid, armWorked, intelGrid, intelWorked } from './fixtures/worked.ts';
import { readsUntil, savings, walkAt, walksOf } from './model.ts';
import { cellState, countText, endText, requestText, stagesText, sumText, walkTable } from './text.ts';
import { cellsOf, type Walk } from './types.ts';

const one = (events: readonly TraceEvent[]): Walk => {
  const walks = walksOf(events);
  expect(walks).toHaveLength(1);
  return walks[0]!;
};
const grid = (w: Walk) =>
  w.rows.map((r) => [
    r.title,
    r.second.flatMap((c) => (c.read ? [c.read.address] : [])),
    r.entry?.read?.address ?? null,
  ]);
const numbers = (w: Walk): number[] => w.rows.flatMap((r) => cellsOf(r).flatMap((c) => (c.read ? [c.read.n] : [])));
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);
const stops = (w: Walk): string[] =>
  w.rows.flatMap((r) =>
    cellsOf(r).flatMap((c) =>
      c.stop
        ? [`${r.title}${c.level === null ? '' : `/${c.level}`} ${c.stop.name}${c.stop.read ? '' : ' unread'}`]
        : [],
    ),
  );

describe('the references’ worked walks', () => {
  it('Arm: thirty reads in their places and order', () => {
    const w = one(armWorked().dma());
    expect(grid(w)).toEqual(armGrid);
    expect(numbers(w)).toEqual(upTo(30));
    expect(w.columns).toEqual([0, 1, 2, 3]);
    expect(w.end).toMatchObject({ kind: 'done', pa: 0x880047300040 });
    expect(w.rows.map((r) => r.input?.address ?? null)).toEqual([
      null,
      null,
      0x48100000,
      0x48200000,
      0x48201018,
      0x48202ff8,
      0x48203ff8,
      0x48300040,
    ]);
    // The CD lies in a block of 2 MiB, which ends stage 2 at level 2.
    expect(w.rows[2]!.second[3]!.beyond).toMatchObject({ page: 21, level: 2 });
    expect(w.rows[2]!.second.map((c) => c.read?.means)).toEqual(['table', 'table', '2 MiB block RW AF', undefined]);
    expect(w.rows.at(-2)!.entry!.read!.means).toBe('page RW AF');
    expect(requestText(w)).toBe('nic0 reads 0xffff_f040, no PASID');
    expect(stagesText(w)).toMatch(/^S1: 4 levels, 4 KiB granule, TTB0, ASID 1 × S2: 4 levels, 4 KiB granule, VMID 1$/);
    expect(countText(w, w.to)).toBe('read 30 of 30');
    expect(sumText(w)).toContain('4 × (4 + 1) + 4 = 24 reads');
  });

  it('Intel: twenty-eight reads in their places and order', () => {
    const w = one(intelWorked().dma());
    expect(grid(w)).toEqual(intelGrid);
    expect(numbers(w)).toEqual(upTo(28));
    expect(w.columns).toEqual([4, 3, 2, 1]);
    expect(w.end).toMatchObject({ kind: 'done', pa: 0x189abc678 });
    expect(w.rows[4]!.input?.address).toBe(0x1045677f0);
    expect(w.rows.at(-1)!.input?.address).toBe(0x89abc678);
    expect(stagesText(w)).toMatch(/^FS: 4 levels, 4 KiB tables, PASID 0x1234 × SS: 4 levels, 4 KiB tables, DID 5$/);
    expect(w.rows.at(-2)!.entry!.read!.means).toBe('page RW U A D');
  });

  it('is filled read by read', () => {
    const events = intelWorked().dma();
    const w = one(events);
    const reads = events.flatMap((e, i) => (e.kind === 'memory.read' ? [i + 1] : []));
    for (const [k, at] of reads.entries()) {
      expect(readsUntil(w, at)).toBe(k + 1);
      const states = w.rows.flatMap((r) => cellsOf(r).map((c) => cellState(w, r, c, at)));
      expect(states.filter((s) => s === 'reading')).toHaveLength(1);
      expect(states.filter((s) => s === 'read')).toHaveLength(k);
      expect(endText(w, at).title).toBe('physical address');
    }
    expect(endText(w, w.to)).toEqual({ title: 'physical address', text: '0x1_89ab_c678', bad: false });
  });

  it('the second access is answered by the IOTLB: every cell of the tables is skipped', () => {
    for (const make of [armWorked, intelWorked]) {
      const m = make();
      m.dma();
      const w = one(m.dma());
      expect(w.reads).toBe(0);
      expect(savings(w, w.to).find((s) => s.cache === 'IOTLB')).toMatchObject({ cells: 24, most: true });
      expect(w.rows.every((r) => cellsOf(r).every((c) => c.read === null))).toBe(true);
      expect(walkTable(w, w.to).rows.at(-1)!.cells.at(-1)!.text).toMatch(/^physical address: 0x/);
    }
  });
});

describe('faults', () => {
  const arm = (at: number, word: bigint, q = {}): Walk => {
    const m = armWorked();
    m.memory.writeWord(at, word);
    return one(m.dma(q));
  };
  it('of the worked example: stage 2 of a stage-1 table, the page, its permission, the STE', () => {
    expect(stops(arm(0x880040003018, 0n))).toEqual(['S1 L3/3 F_TRANSLATION']);
    expect(stops(arm(0x880046003ff8, 0n, { write: true }))).toEqual(['S1 L3 F_TRANSLATION']);
    expect(stops(arm(0x880040003800, 0x88004730077fn, { write: true }))).toEqual(['output/3 F_PERMISSION']);
    expect(stops(arm(0x880010100200, 0n))).toEqual(['STE C_BAD_STE']);
  });

  it('a table beyond memory marks the read that was not made', () => {
    const m = intelWorked();
    m.memory.writeWord(0x100302110, 0x20000000003n);
    expect(stops(one(m.dma()))).toEqual(['FS L4/1 SSS.1 unread']);
    const entry = intelWorked();
    entry.memory.writeWord(0x100303b40, 0x20000000003n);
    expect(stops(one(entry.dma()))).toEqual(['FS L3 SFS.1 unread']);
  });

  it('an address beyond the range of stage 1 is no entry’s fault', () => {
    const w = one(armWorked().dma({ iova: 0x1_0000_0000_0000n }));
    expect(stops(w)).toEqual(['S1 L0 F_TRANSLATION unread']);
    expect(w.end).toMatchObject({ kind: 'aborted', fault: { name: 'F_TRANSLATION' } });
  });

  it('Intel: each level of each stage has its reason', () => {
    const intel = (at: number, q = {}): Walk => {
      const m = intelWorked();
      m.memory.writeWord(at, 0n);
      return one(m.dma(q));
    };
    const seen = new Set<string>();
    for (const [title, second, entry] of intelGrid) {
      for (const at of [...second, ...(entry === null ? [] : [entry])]) {
        const w = intel(at);
        expect(stops(w)).toHaveLength(1);
        seen.add(stops(w)[0]!);
        expect(w.end.kind, title).toBe('aborted');
      }
    }
    expect([...seen]).toEqual(
      expect.arrayContaining(['Root SRT.2', 'Context SCT.2', 'PASID SPT.2', 'FS L3 SFS.2', 'output/1 SSS.2']),
    );
  });
});

describe('where the head is', () => {
  it('the walk at it is the last that has begun', () => {
    const m = armWorked();
    const first = m.dma();
    const second = m.dma();
    const walks = walksOf([...first, ...second]);
    expect(walks).toHaveLength(2);
    expect(walkAt(walks, 0)).toBe(0);
    expect(walkAt(walks, first.length)).toBe(0);
    expect(walkAt(walks, first.length + 1)).toBe(1);
    expect(walkAt([], 3)).toBe(-1);
  });
});
