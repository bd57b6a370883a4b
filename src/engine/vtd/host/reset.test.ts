import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { A, attach, type Bed, bed, detach, dma, GPA, guestTable, invalidate, nest, nested, stale } from './testbed.ts';

/** Around a reset of a function (`intel-vtd.md` 7.9): RID and PASIDs are blocked and come back. */

function machine(deviations: string[] = []) {
  const b = bed({ deviations });
  const n = nest(b);
  const t = guestTable(b, GPA + 0x4000000);
  t.map(0x10000, GPA + 0x8000000);
  const rid = nested(b, n, t.root);
  const pasid = nested(b, n, t.root);
  attach(b, n, rid);
  attach(b, n, pasid, 5);
  b.posted();
  return { b, n, rid, pasid };
}

const prepare = (b: Bed): string => runToEnd(b.driver.resetPrepare(A.name));
const done = (b: Bed): void => runToEnd(b.driver.resetDone(A.name));

describe('a reset', () => {
  it('tears down both entries, and makes both again', () => {
    const { b } = machine();
    expect(dma(b, 0x10000).ok).toBe(true);
    expect(prepare(b)).toBe('0');
    expect(b.posted()).toEqual([
      '0x20017 0x0',
      '0x200e2 0x0',
      '0x3b0000000003 0x7ffffffffffff001',
      '0x500030017 0x0',
      '0x300e2 0x0',
      '0x53b000008 0x7ffffffffffff800',
    ]);
    expect(dma(b, 0x10000).ok).toBe(false);
    b.devices[0]!.reset();
    done(b);
    expect(dma(b, 0x10000).ok).toBe(true);
    expect(dma(b, 0x10000, { pasid: 5 }).ok).toBe(true);
    expect(b.devices[0]!.atsEnabled).toBe(true);
    expect(stale(b)).toEqual([]);
  });

  it('attaching meanwhile: EBUSY; invalidations reach nobody', () => {
    const { b, n, rid } = machine();
    prepare(b);
    b.posted();
    expect(attach(b, n, n.parent).errno).toBe('EBUSY');
    expect(attach(b, n, n.parent, 5).errno).toBe('EBUSY');
    expect(invalidate(b, rid).errno).toBe('0');
    expect(b.posted()).toEqual([]);
    done(b);
    expect(dma(b, 0x10000).ok).toBe(true);
  });

  it('VTD-16: detached meanwhile does not come back', () => {
    const { b, n } = machine();
    prepare(b);
    detach(b, n);
    detach(b, n, 5);
    done(b);
    expect(dma(b, 0x10000).ok).toBe(false);
    expect(dma(b, 0x10000, { pasid: 5 }).ok).toBe(false);
    expect(b.driver.state.units[0]!.dids).toEqual([]);
  });

  it('of a device without ATS changes nothing', () => {
    const b = bed({ devices: [{ ...A, ats: false }] });
    const n = nest(b);
    attach(b, n, n.parent);
    b.posted();
    prepare(b);
    done(b);
    expect(b.posted()).toEqual([]);
  });
});
