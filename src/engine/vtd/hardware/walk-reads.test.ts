import { describe, expect, it } from 'vitest';
import { DATA, DID, IOVA, OFFSET, type Shape, WalkMachine } from './walk-machine.ts';

/** Reads of a complete miss, and where it arrives. */
function cold(shape: Shape, prepare: (m: WalkMachine) => void = () => {}): number {
  const m = new WalkMachine(shape);
  prepare(m);
  const r = m.dma();
  expect(r).toMatchObject({ ok: true, pa: DATA + OFFSET + (IOVA % 4096) });
  return r.reads;
}

/** Root, context, PASID directory and PASID entry. */
const CONFIG = 4;

describe('4.2: memory reads of a full miss', () => {
  it.each([
    [4, 3, 19],
    [4, 4, 24],
    [4, 5, 29],
    [5, 3, 23],
    [5, 4, 29],
    [5, 5, 35],
  ] as const)('first stage of %i levels, second of %i: %i reads', (fs, ss, reads) => {
    expect(cold({ fs, ss })).toBe(reads + CONFIG);
    expect((fs + 1) * (ss + 1) - 1).toBe(reads);
  });

  it('10.2: a parent of five levels costs a four-level guest 29 reads, not 24', () => {
    expect(cold({ ss: 5 })).toBe(29 + CONFIG);
  });

  it.each([4, 5] as const)('first stage alone: %i reads', (fs) => {
    expect(cold({ pgtt: 1, fs })).toBe(fs + CONFIG);
  });

  it.each([3, 4, 5] as const)('second stage alone: %i reads', (ss) => {
    expect(cold({ pgtt: 2, ss })).toBe(ss + CONFIG);
    expect(cold({ pgtt: 0, ss })).toBe(ss + 2);
  });

  it('pass-through: the configuration alone', () => {
    const m = new WalkMachine({ pgtt: 4 });
    expect(m.dma({ iova: 0x1234_5678n })).toMatchObject({ ok: true, pa: 0x1234_5678, reads: CONFIG });
    expect(new WalkMachine({ pgtt: 0, context: { TT: 2 } }).dma()).toMatchObject({ ok: true, pa: IOVA, reads: 2 });
  });

  it('large pages of the second stage save one read or two for each walk that they serve', () => {
    const large = (level: number) => (m: WalkMachine) => {
      const page = DATA - (DATA % 2 ** (3 + 9 * level));
      m.write(m.ssEntry(DATA, level), BigInt(page + OFFSET) | 0x83n);
    };
    // Tables and data lie in 2 MiB pages of their own, and all in one of 1 GiB.
    expect(cold({}, large(2))).toBe(24 - 1 + CONFIG);
    expect(cold({}, large(3))).toBe(24 - 2 * 5 + CONFIG);
  });

  it('large pages of the first stage save one read or two with their second-stage walks', () => {
    const large = (level: number) => (m: WalkMachine) => {
      const size = 2 ** (3 + 9 * level);
      // The page begins where the input address has its place in it.
      const at = DATA - (IOVA % size) + (IOVA % 4096);
      const base = Math.ceil(at / size) * size;
      m.write(m.fsEntry(IOVA, level), BigInt(base) | 0xe7n);
      const gpa = base + (IOVA % size) - (IOVA % 4096);
      m.write(m.ssEntry(gpa), BigInt(DATA + OFFSET) | 3n);
    };
    expect(cold({}, large(2))).toBe(24 - 5 + CONFIG);
    expect(cold({}, large(3))).toBe(24 - 10 + CONFIG);
  });

  it('caches the smaller of both pages', () => {
    const m = new WalkMachine();
    m.write(m.fsEntry(IOVA, 2), BigInt(DATA) | 0xe7n);
    for (const page of [0x145000, 0x146000]) m.write(m.ssEntry(DATA + page), BigInt(DATA + OFFSET + page) | 3n);
    expect(m.dma()).toMatchObject({ pa: DATA + OFFSET + (IOVA % 2 ** 21) });
    expect(m.dma({ iova: BigInt(IOVA + 4096) })).toMatchObject({ hit: 'walk' });
    expect(m.unit.caches.iotlb.size).toBe(2);
  });
});

describe('4.3: the order of the look-ups', () => {
  it('answers from the IOTLB without a read', () => {
    for (const pgtt of [0, 1, 2, 3, 4] as const) {
      const m = new WalkMachine({ pgtt });
      m.dma();
      expect(m.dma({ write: true })).toMatchObject({ ok: true, hit: 'IOTLB', reads: 0 });
    }
  });

  it('a neighbour costs the two leaves that the paging-structure caches do not have', () => {
    const m = new WalkMachine();
    m.map(IOVA + 4096, DATA + 4096);
    m.dma();
    expect(m.dma({ iova: BigInt(IOVA + 4096) })).toMatchObject({ pa: DATA + 4096 + OFFSET + 0x678, reads: 2 });
  });

  it('without the first-stage tables cached, the second-stage ones serve each level', () => {
    const m = new WalkMachine();
    m.dma();
    m.unit.caches.iotlb.removeAllBut(-1);
    m.unit.caches.fswalk.removeAllBut(-1);
    // Each of five second-stage walks finds its lowest table.
    expect(m.dma()).toMatchObject({ reads: 4 + 5 });
  });

  it('reads context and PASID entry again when only they are gone', () => {
    const m = new WalkMachine();
    m.dma();
    m.unit.caches.pasidGlobal();
    expect(m.dma()).toMatchObject({ hit: 'IOTLB', reads: 2 });
    m.unit.caches.contextGlobal();
    expect(m.dma()).toMatchObject({ hit: 'IOTLB', reads: 2 });
  });

  it('keeps filling under the old domain id until the PASID cache is invalidated', () => {
    const m = new WalkMachine();
    m.dma();
    m.write(m.pasidEntry + 8, (m.word(m.pasidEntry + 8) & ~0xffffn) | 9n);
    m.unit.caches.iotlbDomain(DID);
    expect(m.dma()).toMatchObject({ hit: 'walk' });
    expect(m.unit.caches.iotlb.removeContext(9, 0)).toBe(0);
    m.unit.caches.pasidSelective(DID, 0);
    m.unit.caches.iotlbDomain(DID);
    m.dma();
    expect(m.unit.caches.iotlb.removeContext(9, 0)).toBe(1);
  });

  it('walks again when the entry does not grant the access, and takes what it finds', () => {
    const m = new WalkMachine();
    m.flip(m.fsEntry(IOVA), 2n);
    m.dma();
    expect(m.dma({ write: true }).fault).toMatchObject({ name: 'SGN.6' });
    expect(m.dma()).toMatchObject({ hit: 'IOTLB' });
    m.flip(m.fsEntry(IOVA), 2n);
    expect(m.dma({ write: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.dma({ write: true })).toMatchObject({ hit: 'IOTLB' });
    expect(m.unit.caches.iotlb.size).toBe(1);
  });

  it('inserts nothing for a walk that faults', () => {
    const m = new WalkMachine();
    m.flip(m.ssEntry(DATA), 3n);
    expect(m.dma().fault).toMatchObject({ name: 'SSS.2' });
    for (const c of m.unit.caches.translation()) expect([c.name, c.size]).toEqual([c.name, 0]);
    // 2.5.5: what becomes present needs no invalidation.
    m.flip(m.ssEntry(DATA), 3n);
    expect(m.dma()).toMatchObject({ ok: true });
  });

  it('10.14: a directory page that comes later is found without an invalidation', () => {
    const m = new WalkMachine({ pasid: 0x1234 });
    const word = m.word(m.directoryEntry);
    m.write(m.directoryEntry, 0n);
    expect(m.dma().fault).toMatchObject({ name: 'SPD.2' });
    m.write(m.directoryEntry, word);
    expect(m.dma()).toMatchObject({ ok: true });
  });
});
