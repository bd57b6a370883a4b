import { describe, expect, it } from 'vitest';
import {
  A,
  attach,
  type Bed,
  bed,
  bind,
  detach,
  GPA,
  guestTable,
  invalidate,
  type Nest,
  nest,
  nested,
  UVA,
} from './testbed.ts';

describe('IOMMU_GET_HW_INFO', () => {
  it('9.2, 10.1: type 1, the registers as they are, and the read-only erratum whatever the silicon', () => {
    const b = bed({ features: { DIT: true } });
    const { dev } = bind(b, A.name);
    const r = b.ioctl('IOMMU_GET_HW_INFO', { dev_id: dev, data_len: 24 });
    expect(r).toMatchObject({ errno: '0', out: { data_len: 24, out_data_type: 1, out_max_pasid_log2: 20 } });
    expect(r.out['data']).toBe('0100000000000000660c78408c00ed19df50f0a69eef0300');
    expect(b.ioctl('IOMMU_GET_HW_INFO', { flags: 1, dev_id: dev, in_data_type: 1 }).errno).toBe('0');
    expect(b.ioctl('IOMMU_GET_HW_INFO', { flags: 1, dev_id: dev, in_data_type: 2 }).errno).toBe('EOPNOTSUPP');
  });

  it('PASIDs as far as the device and the unit have them', () => {
    const b = bed({ features: { PSS: 16 } });
    const { dev } = bind(b, A.name);
    expect(b.ioctl('IOMMU_GET_HW_INFO', { dev_id: dev }).out['out_max_pasid_log2']).toBe(16);
  });
});

describe('IOMMU_HWPT_ALLOC on an IOAS', () => {
  const alloc = (
    b: Bed,
    flags: number,
    more: Record<string, unknown> = {},
  ): { errno: string; lines: readonly string[] } => {
    const { dev } = bind(b, A.name);
    const pt_id = b.make('IOMMU_IOAS_ALLOC');
    const r = b.ioctl('IOMMU_HWPT_ALLOC', { flags, dev_id: dev, pt_id, ...more });
    const made = b.events.findLast((e) => e.kind === 'object.create');
    return { errno: r.errno, lines: made && r.errno === '0' ? [made.text] : [] };
  };

  it.each([
    ['first stage without flags', {}, 0, 'first stage, 5 levels'],
    ['first stage for PASIDs', {}, 8, 'first stage, 5 levels'],
    ['10.2: a nest parent of five levels', {}, 1, 'second stage, nest parent, 5 levels'],
    ['second stage for dirty tracking', {}, 2, 'second stage, 5 levels'],
    ['both', {}, 11, 'second stage, nest parent, 5 levels'],
    ['second stage where there is no first', { FSTS: false }, 0, 'second stage, 5 levels'],
    ['four levels of first stage', { FS5LP: false }, 0, 'first stage, 4 levels'],
    ['four levels of second stage', { SAGAW: 4, MGAW: 48 }, 1, 'second stage, nest parent, 4 levels'],
  ])('%s', (_, features, flags, what) => {
    const r = alloc(bed({ features }), flags);
    expect(r.errno).toBe('0');
    expect(r.lines[0]).toContain(what);
  });

  it.each([
    ['no nesting', { NEST: false }, 1],
    ['no dirty tracking', { SSADS: false }, 2],
    ['VTD-20: dirty tracking on a walk that does not snoop', { SMPWCS: false }, 2],
    ['no second stage', { SSTS: false }, 1],
    ['a nest parent with a fault queue', {}, 5],
    ['an unknown flag', {}, 16],
  ])('EOPNOTSUPP: %s', (_, features, flags) => {
    expect(alloc(bed({ features }), flags).errno).toBe('EOPNOTSUPP');
  });

  it('EOPNOTSUPP: user data', () => {
    expect(alloc(bed(), 0, { data_type: 1, data_len: 24, data: {} }).errno).toBe('EOPNOTSUPP');
  });
});

describe('IOMMU_HWPT_ALLOC of a nested page table', () => {
  const alloc = (b: Bed, n: Nest, o: Record<string, unknown> = {}): string =>
    b.ioctl('IOMMU_HWPT_ALLOC', {
      flags: 0,
      dev_id: n.dev,
      pt_id: n.parent,
      data_type: 1,
      data_len: 24,
      data: { flags: 0, pgtbl_addr: 0x44000000, addr_width: 48 },
      ...o,
    }).errno;

  it.each([
    ['the flag NEST_PARENT', { flags: 1 }, 'EOPNOTSUPP'],
    ['no data', { data_type: 0, data_len: 0 }, 'EOPNOTSUPP'],
    ['data of another type', { data_type: 2 }, 'EOPNOTSUPP'],
    ['a type that is wrong comes before a length that is', { data_type: 2, data_len: 8 }, 'EOPNOTSUPP'],
    ['short data', { data_len: 16 }, 'EINVAL'],
    ['long data', { data_len: 32 }, 'EINVAL'],
    ['a wrong length comes before an unreadable pointer', { data_len: 16, data: null }, 'EINVAL'],
    ['an unreadable pointer', { data: null }, 'EFAULT'],
    ['a fault queue that does not exist', { flags: 4, fault_id: 99 }, 'ENOENT'],
  ])('%s', (_, o, errno) => {
    const b = bed();
    expect(alloc(b, nest(b), o)).toBe(errno);
  });

  it('a parent that is none: EINVAL, before the data is looked at', () => {
    const b = bed();
    const n = nest(b);
    const plain = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: n.dev, pt_id: n.ioas });
    expect(alloc(b, { ...n, parent: plain }, { data_len: 16 })).toBe('EINVAL');
  });

  it('10.8: addresses, widths, flags and the reserved field are not looked at', () => {
    const b = bed();
    const n = nest(b);
    expect(alloc(b, n, { data: { flags: 0xffn << 56n, pgtbl_addr: 0x44000fff, addr_width: 99, __reserved: 1 } })).toBe(
      '0',
    );
  });

  it('an unreadable field of the data is an unreadable pointer', () => {
    const b = bed();
    expect(alloc(b, nest(b), { data: { pgtbl_addr: 'nowhere' } })).toBe('EFAULT');
  });
});

describe('what is found only when a device is attached', () => {
  const attached = (features: Record<string, boolean>, o: { width?: number; flags?: number; table?: number }) => {
    const b = bed({ features });
    const n = nest(b);
    const s1 = nested(b, n, o.table ?? 0x44000000, o);
    const { errno } = attach(b, n, s1);
    return { b, n, errno, words: b.driver.pasidEntry(A.name, 0)?.words ?? [], log: b.driver.log.at(-1) };
  };

  it.each([
    ['a width of nothing known', {}, { width: 40 }, 'Invalid stage-1 address width 40'],
    ['57 bits without five levels', { FS5LP: false }, { width: 57 }, '5-level paging not supported'],
    ['supervisor requests', { SRS: false }, { flags: 1 }, 'No supervisor request support on dmar0'],
    ['extended accessed flag', { EAFS: false }, { flags: 2 }, 'No extended access flag support on dmar0'],
  ])('%s: EINVAL', (_, features, o, line) => {
    const r = attached(features, o);
    expect(r.errno).toBe('EINVAL');
    expect(r.log).toContain(line);
    expect((r.words[0] ?? 0n) & 1n).toBe(0n);
  });

  it('10.8: the low bits of pgtbl_addr land in control bits of the entry', () => {
    // FSPM, WPE and EAFE by way of the address.
    expect(attached({}, { table: 0x44000000 | 0x94 }).words[2]).toBe(0x44000094n);
  });

  it('10.10: WPE without SRE is dropped silently', () => {
    expect(attached({}, { flags: 4 }).words[2]).toBe(0x44000000n);
    expect(attached({}, { flags: 5 }).words[2]).toBe(0x44000011n);
  });
});

describe('IOMMU_HWPT_INVALIDATE', () => {
  const call = (entries: unknown, o: Record<string, unknown> = {}) => {
    const b = bed();
    const n = nest(b);
    const s1 = nested(b, n, guestTable(b, GPA + 0x4000000).root);
    attach(b, n, s1);
    b.posted();
    const list = Array.isArray(entries) ? entries : [entries];
    const r = b.ioctl('IOMMU_HWPT_INVALIDATE', {
      hwpt_id: s1,
      data_type: 0,
      entry_len: 24,
      entry_num: list.length,
      entries: list,
      ...o,
    });
    return { errno: r.errno, done: r.out['entry_num'], posted: b.posted() };
  };
  const page = { addr: 0x10000, npages: 1, flags: 1 };

  it.each([
    ['another type', page, { data_type: 1 }, 'EINVAL'],
    ['short entries', page, { entry_len: 16 }, 'EINVAL'],
    ['long entries', page, { entry_len: 32 }, 'EINVAL'],
    ['an unreadable entry', [null], {}, 'EFAULT'],
    ['an unknown flag', { ...page, flags: 2 }, {}, 'EOPNOTSUPP'],
    ['the reserved field', { ...page, __reserved: 1 }, {}, 'EOPNOTSUPP'],
    ['flags come before the address', { addr: 1, npages: 1, flags: 2 }, {}, 'EOPNOTSUPP'],
    ['an address inside a page', { ...page, addr: 0x10800 }, {}, 'EINVAL'],
    ['everything, but not from 0', { addr: 0x1000, npages: 2n ** 64n - 1n, flags: 0 }, {}, 'EINVAL'],
  ])('%s', (_, entries, o, errno) => {
    expect(call(entries, o)).toEqual({ errno, done: 0, posted: [] });
  });

  it('entry_num comes back as the number handled before the first bad one', () => {
    expect(call([page, { ...page, addr: 0x20000 }, { ...page, flags: 4 }, page])).toEqual({
      errno: 'EOPNOTSUPP',
      done: 2,
      posted: ['0x20036 0x10040', '0x3b0000000003 0x10000', '0x20036 0x20040', '0x3b0000000003 0x20000'],
    });
  });

  it('no entries: success, nothing sent', () => {
    expect(call([], {})).toEqual({ errno: '0', done: 0, posted: [] });
  });

  it('10.7: the mask of a PASID-based invalidation is not capped by MAMV', () => {
    // From 0x1000 to 0x4000_0fff: 2^18 pages that begin off their size.
    const b = bed({ features: { MAMV: 9 } });
    const n = nest(b);
    const s1 = nested(b, n, guestTable(b, GPA + 0x4000000).root);
    attach(b, n, s1);
    b.posted();
    expect(invalidate(b, s1, 0x1000, 2 ** 18, false).errno).toBe('0');
    expect(b.posted()[0]).toBe('0x20036 0x13');
  });

  it('10.6: two pages across a high boundary', () => {
    expect(call({ addr: 0x1f000, npages: 2, flags: 1 }).posted[0]).toBe('0x20036 0x46');
    expect(call({ addr: 0xfffffffff000n, npages: 2, flags: 1 }).posted[0]).toBe('0x20036 0x65');
  });

  it('a page table that is attached nowhere: success, nothing sent', () => {
    const b = bed();
    const n = nest(b);
    const s1 = nested(b, n, 0x44000000);
    expect(invalidate(b, s1)).toEqual({ errno: '0', out: { entry_num: 1 } });
    expect(b.posted()).toEqual([]);
  });

  it('one flush for every PASID, and every device TLB', () => {
    const b = bed();
    const n = nest(b);
    const s1 = nested(b, n, guestTable(b, GPA + 0x4000000).root);
    attach(b, n, s1);
    attach(b, n, s1, 5);
    b.posted();
    invalidate(b, s1, 0x10000, 1);
    expect(b.posted()).toEqual([
      '0x20036 0x10040',
      '0x3b0000000003 0x10000',
      '0x500020036 0x10040',
      '0x53b000008 0x10000',
    ]);
  });

  it('a paging page table, and one that is not there', () => {
    const b = bed();
    const n = nest(b);
    expect(invalidate(b, n.parent).errno).toBe('EINVAL');
    expect(invalidate(b, 99).errno).toBe('ENOENT');
  });
});

describe('10.1: read-only memory', () => {
  it('cannot be mapped into a nest parent', () => {
    const b = bed();
    const n = nest(b);
    const map = { flags: 5, ioas_id: n.ioas, user_va: UVA, length: 4096, iova: 0x1000 };
    expect(b.ioctl('IOMMU_IOAS_MAP', map).errno).toBe('EINVAL');
    expect(b.driver.log.at(-1)).toContain('Read-only mapping is disallowed on the domain');
    b.make('IOMMU_DESTROY', { id: n.parent });
    expect(b.ioctl('IOMMU_IOAS_MAP', map).errno).toBe('0');
  });

  it('that is there already keeps the parent from being made', () => {
    const b = bed();
    const { dev } = bind(b, A.name);
    const pt_id = b.make('IOMMU_IOAS_ALLOC');
    b.make('IOMMU_IOAS_MAP', { flags: 5, ioas_id: pt_id, user_va: UVA, length: 4096, iova: 0x1000 });
    expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id }).errno).toBe('EINVAL');
    expect(b.ioctl('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: dev, pt_id }).errno).toBe('0');
  });
});

it('the parent of nested page tables cannot be destroyed', () => {
  const b = bed();
  const n = nest(b);
  const s1 = nested(b, n, 0x44000000);
  expect(b.ioctl('IOMMU_DESTROY', { id: n.parent }).errno).toBe('EBUSY');
  attach(b, n, s1);
  expect(b.ioctl('IOMMU_DESTROY', { id: s1 }).errno).toBe('EBUSY');
  detach(b, n);
  expect(b.ioctl('IOMMU_DESTROY', { id: s1 }).errno).toBe('0');
  expect(b.ioctl('IOMMU_DESTROY', { id: n.parent }).errno).toBe('0');
});
