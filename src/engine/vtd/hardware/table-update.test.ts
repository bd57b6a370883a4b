import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../trace/index.ts';
import { DATA, FS_ROOT, IOVA, OFFSET, type Shape, WalkMachine } from './walk-machine.ts';

const FS_A = 0x20n;
const FS_D = 0x40n;
const EA = 0x400n;
const SS_A = 0x100n;
const SS_D = 0x200n;
const ADE = { entry: { SSADE: 1 } } as const;

/** What hardware writes, as lines of the trace, in order. */
function updates(m: WalkMachine, act: () => void): string[] {
  const out: string[] = [];
  m.trace.listener = (e: TraceEvent) => {
    if (e.kind === 'table.write' && e.actor === 'iommu') out.push(e.text.replace('hardware sets ', ''));
  };
  act();
  m.trace.listener = null;
  return out;
}

/** All first-stage entries without accessed and dirty bits. */
function fresh(shape: Shape): WalkMachine {
  const m = new WalkMachine(shape);
  for (let level = shape.fs ?? 4; level > 0; level--)
    m.write(m.fsEntry(IOVA, level), m.word(m.fsEntry(IOVA, level)) & ~(FS_A | FS_D));
  return m;
}

const bits = (m: WalkMachine, of: bigint): bigint[] => [4, 3, 2, 1].map((level) => m.word(m.fsEntry(IOVA, level)) & of);

describe('first stage', () => {
  it.each([1, 3] as const)('sets A on the way and D at a write, PGTT %i', (pgtt) => {
    const m = fresh({ pgtt });
    expect(updates(m, () => m.dma())).toEqual([4, 3, 2, 1].map((level) => `A, FS level ${level}`));
    expect(bits(m, FS_A | FS_D)).toEqual([FS_A, FS_A, FS_A, FS_A]);
    expect(updates(m, () => m.dma())).toEqual([]);
    // The entry says that the page is clean: the write walks, and the next one need not.
    const write = updates(m, () => expect(m.dma({ write: true })).toMatchObject({ ok: true, hit: 'walk' }));
    expect(write).toEqual(['D, FS level 1']);
    expect(m.dma({ write: true })).toMatchObject({ hit: 'IOTLB' });
  });

  it('sets A and D together at a write', () => {
    const m = fresh({});
    const text = ['A, FS level 4', 'A, FS level 3', 'A, FS level 2', 'A and D, FS level 1'];
    expect(updates(m, () => m.dma({ write: true }))).toEqual(text);
  });

  it('sets EA too with EAFE', () => {
    const m = new WalkMachine({ entry: { EAFE: 1 } });
    m.dma();
    expect(bits(m, EA)).toEqual([EA, EA, EA, EA]);
    expect(bits(new WalkMachine(), EA)).toEqual([0n, 0n, 0n, 0n]);
  });

  it('changes nothing at the leaf that refuses', () => {
    const m = fresh({});
    m.flip(m.fsEntry(IOVA), 2n);
    expect(m.dma({ write: true })).toMatchObject({ ok: false });
    expect(bits(m, FS_A | FS_D)).toEqual([FS_A, FS_A, FS_A, 0n]);
  });

  it('marks what it has passed even where the walk ends below', () => {
    const m = fresh({});
    m.flip(m.fsEntry(IOVA), 1n);
    expect(m.dma()).toMatchObject({ fault: { name: 'SFS.2' } });
    expect(bits(m, FS_A)).toEqual([FS_A, FS_A, FS_A, 0n]);
  });

  it('walks the second stage for the table when the entry was found by a cached step', () => {
    const m = fresh({});
    m.map(IOVA + 4096, DATA + 4096);
    m.dma();
    const clean = IOVA + 4096;
    m.flip(m.fsEntry(clean), FS_D);
    // A leaf of the first stage, of the second, and for the update the one that maps the table.
    expect(m.dma({ iova: BigInt(clean), write: true })).toMatchObject({ ok: true, reads: 3 });
    expect(m.word(m.fsEntry(clean)) & FS_D).toBe(FS_D);

    const refused = fresh({});
    refused.map(clean, DATA + 4096);
    refused.dma();
    refused.flip(refused.fsEntry(clean), FS_D);
    refused.flip(refused.ssEntry(refused.fsGuestEntry(clean)), 2n);
    expect(refused.dma({ iova: BigInt(clean), write: true })).toMatchObject({ fault: { name: 'SFS.8' } });
  });
});

describe('second stage with SSADE', () => {
  it('sets A on the way and D of the leaf at a write', () => {
    const m = new WalkMachine({ pgtt: 2, ...ADE });
    expect(updates(m, () => m.dma())).toEqual([4, 3, 2, 1].map((level) => `A, SS level ${level}`));
    expect(updates(m, () => m.dma({ write: true }))).toEqual(['D, SS level 1']);
    expect(m.word(m.ssEntry(IOVA)) & (SS_A | SS_D)).toBe(SS_A | SS_D);
  });

  it('without it, nothing', () => {
    const m = new WalkMachine({ pgtt: 2 });
    expect(updates(m, () => m.dma({ write: true }))).toEqual([]);
  });

  it('an update of a first-stage entry dirties the page that its table lies in', () => {
    const m = fresh(ADE);
    m.dma();
    for (const level of [4, 3, 2, 1]) {
      const leaf = m.word(m.ssEntry(m.fsGuestEntry(IOVA, level)));
      expect(leaf & (SS_A | SS_D)).toBe(SS_A | SS_D);
    }
    // The data was read.
    expect(m.word(m.ssEntry(DATA)) & (SS_A | SS_D)).toBe(SS_A);
    const read = new WalkMachine(ADE);
    read.dma();
    expect(read.word(read.ssEntry(FS_ROOT)) & (SS_A | SS_D)).toBe(SS_A);
  });

  it('a write that only the second stage knows as clean walks', () => {
    const m = new WalkMachine(ADE);
    m.dma();
    expect(m.dma({ write: true })).toMatchObject({ hit: 'walk' });
    expect(m.word(m.ssEntry(DATA)) & SS_D).toBe(SS_D);
    expect(m.dma({ write: true })).toMatchObject({ hit: 'IOTLB' });
  });

  it('changes nothing at an entry that refuses', () => {
    const m = new WalkMachine({ pgtt: 2, ...ADE });
    m.flip(m.ssEntry(IOVA), 2n);
    expect(m.dma({ write: true })).toMatchObject({ fault: { name: 'SGN.6' } });
    expect(m.word(m.ssEntry(IOVA)) & (SS_A | SS_D)).toBe(0n);
  });
});

describe('translation requests', () => {
  it('dirty what they let the device write', () => {
    const m = fresh(ADE);
    expect(m.ats()).toMatchObject({ ok: true, pa: DATA + OFFSET });
    expect(m.unit.translator.granted & 3).toBe(3);
    expect(m.word(m.fsEntry(IOVA)) & FS_D).toBe(FS_D);
    expect(m.word(m.ssEntry(DATA)) & SS_D).toBe(SS_D);
  });

  it('dirty nothing that the other stage does not let write', () => {
    const first = fresh(ADE);
    first.flip(first.fsEntry(IOVA), 2n);
    expect(first.ats()).toMatchObject({ ok: true });
    expect(first.unit.translator.granted & 3).toBe(1);
    expect(first.word(first.ssEntry(DATA)) & SS_D).toBe(0n);
    const second = fresh(ADE);
    second.flip(second.ssEntry(DATA), 2n);
    expect(second.ats()).toMatchObject({ ok: true });
    expect(second.unit.translator.granted & 3).toBe(1);
    expect(second.word(second.fsEntry(IOVA)) & (FS_A | FS_D)).toBe(FS_A);
  });

  it('grant no writing to a clean page when they say that none will follow', () => {
    const m = fresh({});
    const t = m.unit.translator;
    expect(t.translate(m.device.rid, -1, 0, IOVA, 16 | 32, false, 1)).toBe(0);
    expect(t.granted & 3).toBe(1);
    expect(m.word(m.fsEntry(IOVA)) & FS_D).toBe(0n);
    expect(t.translate(m.device.rid, -1, 0, IOVA, 16, false, 1)).toBe(0);
    expect(t.granted & 3).toBe(3);
  });
});

it('an audit changes no entry', () => {
  const m = fresh(ADE);
  const { unit } = m;
  m.dma();
  for (const level of [4, 3, 2, 1]) m.write(m.fsEntry(IOVA, level), m.word(m.fsEntry(IOVA, level)) & ~FS_A);
  const before = m.memory.generation;
  for (const c of unit.caches.translation())
    c.forEach((i) => {
      expect(unit.audit.verdict(c, i).state).toBe('same');
    });
  expect(m.memory.generation).toBe(before);
});
