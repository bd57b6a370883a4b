import { describe, expect, it } from 'vitest';
import { A, attach, B, type Bed, bed, bind, dma, GPA, guestTable, type Nest, nested, stale, UVA } from './testbed.ts';

/** Dirty tracking of a nest parent, which must reach its children's entries (`intel-vtd.md` 5.4, section 6). */

const TABLE = GPA + 0x200000;
const PAGE = GPA + 0x400000;
const SIZE = 2 ** 24;

/** 16 MiB of guest memory in 4 KiB pages, in a parent that can tell what was written. */
function tracking(deviations: string[] = [], features: Record<string, boolean> = {}): { b: Bed; n: Nest; s1: number } {
  const b = bed({ deviations, features, chunk: 4096 });
  const d = bind(b, A.name);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: SIZE, iova: GPA });
  const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 11, dev_id: d.dev, pt_id: ioas });
  const n = { ...d, ioas, parent };
  const t = guestTable(b, TABLE);
  t.map(0x10000, PAGE, 8 * 4096);
  const s1 = nested(b, n, t.root);
  if (attach(b, n, s1).errno !== '0') throw new Error('not attached');
  b.posted();
  return { b, n, s1 };
}

const set = (b: Bed, n: Nest, flags: number): string =>
  b.ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', { hwpt_id: n.parent, flags }).errno;

/** Guest pages that were written to, from `PAGE` on; they are clean then. */
function written(b: Bed, n: Nest): number[] {
  const r = b.ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', {
    hwpt_id: n.parent,
    iova: PAGE,
    length: 8 * 4096,
    page_size: 4096,
  });
  const byte = Number.parseInt(String(r.out['bitmap']), 16);
  return [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => byte & (1 << i));
}

describe('switching it on', () => {
  it('sets SSADE in the child’s entry, with three flushes', () => {
    const { b, n } = tracking();
    const before = b.driver.pasidEntry(A.name, 0)!.words[0]!;
    expect(set(b, n, 1)).toBe('0');
    expect(b.driver.pasidEntry(A.name, 0)!.words[0]).toBe(before | 0x200n);
    expect(b.posted()).toEqual(['0x20017 0x0', '0x200e2 0x0', '0x3b0000000003 0x7ffffffffffff001']);
    // Again, and nothing changes.
    expect(set(b, n, 1)).toBe('0');
    expect(b.posted()).toEqual([]);
    expect(set(b, n, 0)).toBe('0');
    expect(b.driver.pasidEntry(A.name, 0)!.words[0]).toBe(before);
    expect(b.posted()).toHaveLength(3);
  });

  it('in a page table that cannot: EOPNOTSUPP', () => {
    const b = bed();
    const { dev } = bind(b, A.name);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    const hwpt_id = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
    expect(b.ioctl('IOMMU_HWPT_SET_DIRTY_TRACKING', { hwpt_id, flags: 1 }).errno).toBe('EOPNOTSUPP');
  });

  it('holds for a device that comes later', () => {
    const { b, n } = tracking();
    set(b, n, 1);
    const other = bind(b, B.name);
    attach(b, other, nested(b, { dev: other.dev, parent: n.parent }, TABLE));
    expect(b.driver.pasidEntry(B.name, 0)!.words[0]! & 0x200n).toBe(0x200n);
  });
});

describe('what the guest’s device wrote', () => {
  it('is found, once', () => {
    const { b, n } = tracking();
    set(b, n, 1);
    dma(b, 0x10000);
    dma(b, 0x12000, { write: true });
    expect(written(b, n)).toEqual([2]);
    expect(written(b, n)).toEqual([]);
    // Written through what was cached: it must have been flushed.
    expect(stale(b)).toEqual([]);
    dma(b, 0x12000, { write: true });
    expect(written(b, n)).toEqual([2]);
  });

  it('one flush for what became clean, from the first to the last', () => {
    const { b, n } = tracking();
    set(b, n, 1);
    dma(b, 0x10000, { write: true });
    dma(b, 0x13000, { write: true });
    b.posted();
    expect(written(b, n)).toEqual([0, 3]);
    // GPA of the first page, four pages: the child's DID, leaves only, then its device TLB.
    expect(b.posted()).toEqual([`0x200f2 0x${(PAGE + 0x42).toString(16)}`, '0x3b0000000003 0x7ffffffffffff001']);
  });

  it('before tracking was on is not', () => {
    const { b, n } = tracking();
    dma(b, 0x11000, { write: true });
    set(b, n, 1);
    expect(written(b, n)).toEqual([]);
    dma(b, 0x11000, { write: true });
    expect(written(b, n)).toEqual([1]);
  });
});
