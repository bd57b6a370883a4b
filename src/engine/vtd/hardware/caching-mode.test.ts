import { describe, expect, it } from 'vitest';
import { DATA, DID, IOVA, OFFSET, type Shape, WalkMachine } from './walk-machine.ts';

/** CAP.CM = 1: what is not present may be cached, so that making it present needs an invalidation. */
const CM = { features: { CM: true } } as const;

const machine = (shape: Shape): WalkMachine => new WalkMachine({ ...shape, ...CM });
const pasidWord = 1n;

describe('caching mode', () => {
  it('keeps a context entry that is not present until a context-cache invalidation', () => {
    const m = machine({});
    m.flip(m.contextEntry, 1n);
    expect(m.dma()).toMatchObject({ reads: 2, fault: { name: 'SCT.2' } });
    m.flip(m.contextEntry, 1n);
    expect(m.dma()).toMatchObject({ reads: 0, fault: { name: 'SCT.2' } });
    m.unit.caches.contextDevice(0, m.device.rid, 0);
    expect(m.dma()).toMatchObject({ ok: true });
  });

  it('keeps a PASID entry that is not present until a PASID-cache invalidation, of whatever domain', () => {
    const m = machine({});
    m.flip(m.pasidEntry, pasidWord);
    expect(m.dma()).toMatchObject({ fault: { name: 'SPT.2' } });
    m.flip(m.pasidEntry, pasidWord);
    expect(m.dma()).toMatchObject({ reads: 0, fault: { name: 'SPT.2' } });
    m.unit.caches.pasidSelective(DID, 1);
    expect(m.dma()).toMatchObject({ fault: { name: 'SPT.2' } });
    m.unit.caches.pasidSelective(DID, 0);
    expect(m.dma()).toMatchObject({ ok: true });
  });

  it.each([2, 0] as const)('keeps that the second stage maps nothing, PGTT %i', (pgtt) => {
    const m = machine({ pgtt });
    m.flip(m.ssEntry(IOVA), 3n);
    const name = pgtt === 0 ? 'LGN.3' : 'SSS.2';
    expect(m.dma()).toMatchObject({ hit: 'walk', fault: { name } });
    m.flip(m.ssEntry(IOVA), 3n);
    expect(m.dma()).toMatchObject({ hit: 'IOTLB', reads: 0, fault: { name } });
    const { caches, audit } = m.unit;
    caches.iotlb.forEach((i) => {
      expect(audit.verdict(caches.iotlb, i)).toMatchObject({
        state: 'differs',
        now: `PA 0x${(DATA + OFFSET).toString(16)}`,
      });
    });
    caches.iotlbPages(DID, 0, IOVA, 0, true);
    expect(m.dma()).toMatchObject({ ok: true, hit: 'walk' });
  });

  it('does not keep what only lacks a right', () => {
    const m = machine({ pgtt: 2 });
    m.flip(m.ssEntry(IOVA), 2n);
    expect(m.dma({ write: true })).toMatchObject({ fault: { name: 'SGN.6' } });
    m.flip(m.ssEntry(IOVA), 2n);
    expect(m.dma({ write: true })).toMatchObject({ ok: true });
  });

  it('keeps nothing of the first stage, whose changes need no invalidation', () => {
    for (const pgtt of [1, 3] as const) {
      const m = machine({ pgtt });
      m.flip(m.fsEntry(IOVA), 1n);
      expect(m.dma()).toMatchObject({ fault: { name: 'SFS.2' } });
      m.flip(m.fsEntry(IOVA), 1n);
      expect(m.dma()).toMatchObject({ ok: true });
    }
  });

  it('without it nothing is kept that is not present', () => {
    for (const [pgtt, spoil] of [
      [3, (m: WalkMachine) => m.flip(m.contextEntry, 1n)],
      [3, (m: WalkMachine) => m.flip(m.pasidEntry, 1n)],
      [2, (m: WalkMachine) => m.flip(m.ssEntry(IOVA), 3n)],
    ] as const) {
      const m = new WalkMachine({ pgtt });
      spoil(m);
      expect(m.dma()).toMatchObject({ ok: false });
      spoil(m);
      expect(m.dma()).toMatchObject({ ok: true });
    }
  });
});
