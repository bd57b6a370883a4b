import {
  A,
  attach,
  type Bed,
  bed,
  bind,
  detach,
  dma,
  GPA,
  guestTable,
  invalidate,
  MiB,
  type Nest,
  nested,
  stale,
  UVA,
} from './testbed.ts';

/**
 * For tests: what each deviation that needs a nest parent does, in the smallest scene that shows it. `seen` runs the scene and
 * says what came of it; `right` is what comes of the kernel's own rules.
 */
export interface Effect {
  readonly seen: (deviations: readonly string[]) => unknown;
  readonly right: unknown;
  readonly wrong: unknown;
}

const TABLE = GPA + 0x200000;
const PAGE = GPA + 0x400000;
const IOVA = 0x10000;
/** A piece of guest memory of its own, which can go away. */
const SLOT = { iova: 0x200000000, length: 2 * MiB };

interface Scene {
  readonly b: Bed;
  readonly n: Nest;
  readonly s1: number;
  readonly t: ReturnType<typeof guestTable>;
}

/** A device on a nested page table; IOVA 0x1_0000 leads to `PAGE`, 0x20_0000 to the piece that can go away. */
function scene(deviations: readonly string[], o: { flags?: number; pasid?: number } = {}): Scene {
  const b = bed({ deviations, devices: [A] });
  const d = bind(b, A.name);
  const ioas = b.make('IOMMU_IOAS_ALLOC');
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 16 * MiB, iova: GPA });
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA + 2 ** 30, ...SLOT });
  const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 9 | (o.flags ?? 0), dev_id: d.dev, pt_id: ioas });
  const n = { ...d, ioas, parent };
  const t = guestTable(b, TABLE);
  t.map(IOVA, PAGE, 4 * 4096);
  t.map(0x200000, SLOT.iova);
  const s1 = nested(b, n, t.root);
  if (attach(b, n, s1, o.pasid).errno !== '0') throw new Error('not attached');
  b.posted();
  return { b, n, s1, t };
}

/** The piece goes; the guest's tables stay. */
const unmapSlot = ({ b, n }: Scene): void => {
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, ...SLOT });
};

/** What is stale when the piece has gone after the device has got a translation to it. */
const staleWithoutSlot = (deviations: readonly string[]): string[] => {
  const s = scene(deviations);
  dma(s.b, 0x200000, { translated: true });
  unmapSlot(s);
  return stale(s.b);
};

/** The page was written to since it was last asked. */
const isDirty = ({ b, n }: Scene): boolean => {
  const range = { iova: PAGE, length: 4096, page_size: 4096 };
  return b.ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', { hwpt_id: n.parent, ...range }).out['bitmap'] === '01';
};

const track = ({ b, n }: Scene): void => {
  b.make('IOMMU_HWPT_SET_DIRTY_TRACKING', { hwpt_id: n.parent, flags: 1 });
};

const writes = (s: Scene): void => {
  dma(s.b, IOVA, { write: true });
};

export const effects: Readonly<Record<string, Effect>> = {
  'host.unmap-own-did-only': {
    seen: (d) => {
      const s = scene(d);
      dma(s.b, 0x200000);
      unmapSlot(s);
      return stale(s.b).includes('IOTLB');
    },
    right: false,
    wrong: true,
  },
  'host.unmap-no-nested-dev-tlb': {
    seen: staleWithoutSlot,
    right: [],
    wrong: ['ATC 0000:3b:00.0'],
  },
  'host.unmap-dev-tlb-by-gpa': {
    seen: staleWithoutSlot,
    right: [],
    wrong: ['ATC 0000:3b:00.0'],
  },
  'host.nested-no-dev-tlb-tag': {
    seen: (d) => {
      const s = scene(d);
      dma(s.b, IOVA, { translated: true });
      s.t.unmap(IOVA);
      invalidate(s.b, s.s1, IOVA, 1);
      return stale(s.b);
    },
    right: [],
    wrong: ['ATC 0000:3b:00.0'],
  },
  'host.unmap-keeps-range': {
    seen: (d) => {
      const s = scene(d);
      attach(s.b, s.n, s.n.parent, 5);
      s.b.posted();
      unmapSlot(s);
      // The parent's own tag stands behind the nested device TLB's.
      return s.b.posted()[2];
    },
    right: '0x300e2 0x0',
    wrong: '0x300f2 0x200000049',
  },
  'host.second-stage-flush-for-nested': {
    seen: (d) => {
      const s = scene(d);
      invalidate(s.b, s.s1, IOVA, 1);
      return s.b.posted()[0];
    },
    right: '0x20036 0x10040',
    wrong: '0x200f2 0x10040',
  },
  'host.dirty-own-entries-only': {
    seen: (d) => {
      const s = scene(d, { flags: 2 });
      track(s);
      writes(s);
      return isDirty(s);
    },
    right: true,
    wrong: false,
  },
  'host.dirty-not-on-attach': {
    seen: (d) => {
      const s = scene(d, { flags: 2 });
      detach(s.b, s.n);
      track(s);
      attach(s.b, s.n, s.s1);
      writes(s);
      return isDirty(s);
    },
    right: true,
    wrong: false,
  },
  'host.dirty-no-flush': {
    seen: (d) => {
      const s = scene(d, { flags: 2 });
      writes(s);
      track(s);
      writes(s);
      return isDirty(s);
    },
    right: true,
    wrong: false,
  },
  'host.nested-tear-down-by-pasid': {
    seen: (d) => {
      const s = scene(d);
      detach(s.b, s.n);
      return s.b.posted()[1];
    },
    right: '0x200e2 0x0',
    wrong: '0x20026 0x0',
  },
  'host.read-only-parent': {
    seen: (d) => {
      const { b, n } = scene(d);
      const map = { flags: 5, ioas_id: n.ioas, user_va: UVA, length: 4096, iova: 0x1000 };
      return b.ioctl('IOMMU_IOAS_MAP', map).errno;
    },
    right: 'EINVAL',
    wrong: '0',
  },
  'host.no-forced-snoop': {
    seen: (d) => {
      const { b } = scene(d);
      return b.driver.pasidEntry(A.name, 0)!.words[1];
    },
    right: 0x1800002n,
    wrong: 0x800002n,
  },
  'host.nested-leaf-always': {
    seen: (d) => {
      const s = scene(d);
      // A table full of pages, which the guest takes away as a whole, and says so (no LEAF).
      s.t.map(0x400000, PAGE + 4096, 2 * MiB);
      dma(s.b, 0x400000);
      s.t.unmap(0x400000, 2 * MiB);
      invalidate(s.b, s.s1, 0x400000, 512, false);
      return stale(s.b);
    },
    right: [],
    wrong: ['FS walk'],
  },
  'host.nested-one-page': {
    seen: (d) => {
      const s = scene(d);
      dma(s.b, IOVA + 0x3000);
      s.t.unmap(IOVA, 4 * 4096);
      invalidate(s.b, s.s1, IOVA, 4);
      return stale(s.b);
    },
    right: [],
    wrong: ['IOTLB'],
  },
  'host.dirty-without-flush': {
    seen: (d) => {
      const s = scene(d, { flags: 2 });
      track(s);
      writes(s);
      const first = isDirty(s);
      writes(s);
      return [first, isDirty(s)];
    },
    right: [true, true],
    wrong: [true, false],
  },
  'host.map-no-flush': {
    seen: (d) => {
      const b = bed({ deviations: d, devices: [A], features: { CM: true } });
      const { fd, dev } = bind(b, A.name);
      const ioas_id = b.make('IOMMU_IOAS_ALLOC');
      attach(b, { fd, dev }, b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas_id }));
      b.posted();
      b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id, user_va: UVA, length: 2 * MiB, iova: GPA });
      return b.posted();
    },
    right: ['0x200f2 0x40000009'],
    wrong: [],
  },
  'host.context-no-dev-tlb-inv': {
    seen: (d) => {
      // Legacy mode.
      const b = bed({ deviations: d, devices: [{ ...A, pasidBits: 0 }], features: { SMTS: false } });
      const { fd, dev } = bind(b, A.name);
      const ioas_id = b.make('IOMMU_IOAS_ALLOC');
      b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id, user_va: UVA, length: 2 * MiB, iova: GPA });
      if (attach(b, { fd, dev }, ioas_id).errno !== '0') throw new Error('not attached');
      if (!dma(b, GPA, { translated: true }).ok) throw new Error('no translation');
      detach(b, { fd, dev });
      return stale(b);
    },
    right: [],
    wrong: ['ATC 0000:3b:00.0'],
  },
};
