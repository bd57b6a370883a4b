import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import {
  A,
  attach,
  B,
  type Bed,
  type Bound,
  bed,
  bind,
  detach,
  dma,
  GPA,
  guestTable,
  invalidate,
  MiB,
  type Nest,
  nest,
  nested,
  RAM,
  stale,
  UVA,
} from './testbed.ts';

const TABLE = GPA + 0x4000000;
const PAGE = GPA + 0x8000000;
const GUEST_IOVA = 0x10000;

/** A device on a nested page table whose guest table maps 0x1_0000 to a page of guest memory. */
function guest(
  b: Bed,
  o: { pasid?: number; device?: string; width?: number } = {},
): { n: Nest; s1: number; t: ReturnType<typeof guestTable> } {
  const n = nest(b, o.device);
  const t = guestTable(b, TABLE);
  t.map(GUEST_IOVA, PAGE);
  const s1 = nested(b, n, t.root, o);
  const r = attach(b, n, s1, o.pasid);
  if (r.errno !== '0') throw new Error(r.errno);
  b.posted();
  return { n, s1, t };
}

/** Host physical address of the guest's page: 2 MiB pieces are swapped pairwise. */
const PAGE_PA = (() => {
  const offset = PAGE - GPA;
  return RAM + (Math.floor(offset / (2 * MiB)) ^ 1) * 2 * MiB + (offset % (2 * MiB));
})();

describe('translation', () => {
  it('goes through both stages, and is cached under the nested domain’s DID', () => {
    const b = bed();
    const { t } = guest(b);
    expect(dma(b, GUEST_IOVA + 0x678)).toMatchObject({ ok: true, pa: PAGE_PA + 0x678, hit: 'walk' });
    expect(dma(b, GUEST_IOVA + 0x678)).toMatchObject({ ok: true, pa: PAGE_PA + 0x678, hit: 'IOTLB' });
    expect(dma(b, 0x20000)).toMatchObject({ ok: false, fault: { name: 'SFS.2' } });
    expect(t.leaf(GUEST_IOVA)!.entry).toBe(BigInt(PAGE) | 0x67n);
  });

  it('10.2: 29 reads and four for the tables that find the process, from a cold start', () => {
    const b = bed({ chunk: 4096 });
    const n = nest(b, A.name, 4 * MiB);
    const t = guestTable(b, GPA + MiB);
    t.map(GUEST_IOVA, GPA + 2 * MiB);
    attach(b, n, nested(b, n, t.root));
    const { reads } = dma(b, GUEST_IOVA);
    // Four guest levels on a parent of five with 4 KiB leaves: (4 + 1) * (5 + 1) - 1.
    expect(reads).toBe(29 + 4);
  });

  it('by PASID, each with its own table', () => {
    const b = bed();
    const { n } = guest(b);
    const other = guestTable(b, TABLE + MiB);
    other.map(GUEST_IOVA, PAGE + 0x1000);
    expect(attach(b, n, nested(b, n, other.root), 5).errno).toBe('0');
    expect(dma(b, GUEST_IOVA).pa).toBe(PAGE_PA);
    expect(dma(b, GUEST_IOVA, { pasid: 5 }).pa).toBe(PAGE_PA + 0x1000);
    expect(dma(b, GUEST_IOVA, { pasid: 6 })).toMatchObject({ ok: false, fault: { name: 'SPT.2' } });
  });

  it('a guest’s unmap and its invalidation reach the IOTLB and the device TLB', () => {
    const b = bed();
    const { s1, t } = guest(b);
    dma(b, GUEST_IOVA);
    dma(b, GUEST_IOVA, { translated: true });
    t.unmap(GUEST_IOVA);
    expect(stale(b)).toEqual(['ATC 0000:3b:00.0', 'IOTLB']);
    invalidate(b, s1, GUEST_IOVA, 1);
    expect(stale(b)).toEqual([]);
    expect(dma(b, GUEST_IOVA, { translated: true }).ok).toBe(false);
  });

  it('10.5: a page-selective invalidation of the child’s DID takes all its entries', () => {
    const b = bed();
    const { n, t } = guest(b);
    t.map(0x20000, PAGE + 0x1000);
    dma(b, GUEST_IOVA);
    dma(b, 0x20000);
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: UVA + 2 ** 30, length: 2 * MiB, iova: 0x200000000 });
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x200000000, length: 2 * MiB });
    expect(b.posted()[0]).toBe('0x200f2 0x200000049');
    // Neither page lies in the range that was unmapped.
    expect(dma(b, GUEST_IOVA).hit).toBe('walk');
    expect(dma(b, 0x20000).hit).toBe('walk');
  });

  it('VTD-01, VTD-02: unmapping the parent reaches nested entries and their device TLBs', () => {
    const b = bed();
    const { n } = guest(b);
    dma(b, GUEST_IOVA);
    dma(b, GUEST_IOVA, { translated: true });
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: GPA, length: 2 ** 30 });
    expect(stale(b)).toEqual([]);
    expect(dma(b, GUEST_IOVA).ok).toBe(false);
  });

  it('10.21: a fault of nested DMA is logged on the host, and nobody else is told', () => {
    const b = bed();
    const { n } = guest(b);
    dma(b, 0x20000, { write: true });
    b.events.length = 0;
    runToEnd(b.driver.interrupt());
    expect(b.driver.log.slice(-2)).toEqual([
      'DMAR: DRHD: handling fault status reg 2',
      'DMAR: [DMA Write NO_PASID] Request device [3b:00.0] fault addr 0x20000 [fault reason 0x71] ' +
        'SM: Present bit in first-level paging entry is clear',
    ]);
    expect(b.events.every((e) => e.kind === 'note' || e.kind === 'register.write')).toBe(true);
    // No object of user space's has anything to read.
    expect(b.iommufd.readable(n.fd)).toBe(false);
  });
});

describe('10.9: an attach that fails', () => {
  it('leaves the RID blocked while iommufd still shows the old page table', () => {
    const b = bed();
    const { n, s1, t } = guest(b);
    const bad = nested(b, n, t.root, { width: 40 });
    expect(attach(b, n, bad).errno).toBe('EINVAL');
    expect(dma(b, GUEST_IOVA)).toMatchObject({ ok: false, fault: { name: 'SPT.2' } });
    const device = b.iommufd.objects().find((o) => o.type === 'DEVICE')!;
    expect(JSON.stringify(device)).toContain(String(s1));
    // In use by the attachment that is no more.
    expect(b.ioctl('IOMMU_DESTROY', { id: s1 }).errno).toBe('EBUSY');
    const domain = [...b.driver.state.domains.values()].find((d) => d.kind === 'nested')!;
    expect([domain.dids, domain.tags]).toEqual([[], []]);
    // The same page table again: iommufd finds it attached and does nothing.
    expect(attach(b, n, s1).errno).toBe('0');
    expect(dma(b, GUEST_IOVA).ok).toBe(false);
    expect(attach(b, n, n.parent).errno).toBe('0');
    expect(attach(b, n, s1).errno).toBe('0');
    expect(dma(b, GUEST_IOVA).ok).toBe(true);
  });

  it('of a PASID after the entry is gone: the old domain keeps its DID and tags', () => {
    const b = bed();
    const { n, t } = guest(b, { pasid: 5 });
    const bad = nested(b, n, t.root, { width: 40 });
    expect(attach(b, n, bad, 5).errno).toBe('EINVAL');
    expect(dma(b, GUEST_IOVA, { pasid: 5 })).toMatchObject({ ok: false, fault: { name: 'SPT.2' } });
    const domain = [...b.driver.state.domains.values()].find((d) => d.kind === 'nested')!;
    expect(domain.dids).toEqual([{ unit: 0, did: 2, users: 1 }]);
    expect(domain.tags.map((x) => x.type)).toEqual(['iotlb', 'devtlb']);
  });

  it('between the old entry and the new one the device is blocked', () => {
    const b = bed();
    const { n, t } = guest(b);
    const next = nested(b, n, t.root);
    const outcomes = new Set<boolean>();
    const op = b.iommufd.ioctl({ call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', fd: n.fd, input: { pt_id: next } });
    for (let r = op.next(); !r.done; r = op.next()) outcomes.add(dma(b, GUEST_IOVA).ok);
    expect([...outcomes].sort()).toEqual([false, true]);
    expect(stale(b)).toEqual([]);
  });
});

describe('DIDs', () => {
  it('no free one: ENOSPC, with the kernel’s line', () => {
    // 16 domain ids, of which 0 and 1 are not given out.
    const b = bed({ features: { ND: 0 } });
    const n = nest(b);
    const t = guestTable(b, TABLE);
    for (let pasid = 1; pasid <= 14; pasid++) expect(attach(b, n, nested(b, n, t.root), pasid).errno).toBe('0');
    expect(attach(b, n, nested(b, n, t.root), 15).errno).toBe('ENOSPC');
    expect(b.driver.log.at(-1)).toBe('DMAR: dmar0: No free domain ids');
    detach(b, n, 3);
    expect(attach(b, n, nested(b, n, t.root), 15).errno).toBe('0');
    expect(b.driver.pasidEntry(A.name, 15)!.words[1]! & 0xffffn).toBe(4n);
  });

  it('one page table behind two units has one on each', () => {
    const b = bed({ units: 2, devices: [A, { ...B, unit: 1 }] });
    const a = nest(b, A.name);
    const other = bind(b, B.name);
    expect(attach(b, other, a.parent).errno).toBe('0');
    const busy = nested(b, a, guestTable(b, TABLE).root);
    expect(attach(b, a, busy).errno).toBe('0');
    expect(attach(b, a, a.parent).errno).toBe('0');
    const parent = [...b.driver.state.domains.values()].find((d) => d.kind === 'ss')!;
    expect(parent.dids.map((x) => [x.unit, x.did])).toEqual([
      [1, 2],
      [0, 2],
    ]);
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: a.ioas, iova: GPA, length: 2 ** 30 });
    const queues = b.events.flatMap((e) => (e.kind === 'command.post' ? [e.at] : []));
    expect(new Set(queues)).toEqual(new Set(['hw.dmar0.iq', 'hw.dmar1.iq']));
  });
});

/** `intel-vtd.md` 5.4: a page table of one unit at a device behind another, which lacks something. */
describe('a unit that a page table does not fit', () => {
  const caps = (b: Bed, change: object): void => {
    const unit = b.driver.kernel.state.units[1]!;
    unit.caps = { ...unit.caps!, ...change };
  };
  const two = (): { b: Bed; n: Nest; other: Bound } => {
    const b = bed({ units: 2, devices: [A, { ...B, unit: 1 }] });
    return { b, n: nest(b, A.name), other: bind(b, B.name) };
  };

  it.each([
    ['a walk that snoops less', { smpwcs: false, dirtyTracking: false }],
    ['no nesting', { nested: false }],
    ['no second stage', { ssts: false }],
    ['no table of five levels', { sagaw: 4 }],
    ['narrower addresses', { mgaw: 48 }],
    ['no 1 GiB pages', { sslps: 1 }],
    ['no snoop control', { sc: false }],
    ['caching mode, which wants a flush after each map', { cm: true }],
    ['a write buffer, which wants one too', { rwbf: true }],
  ])('%s: EINVAL, for the parent and for what is nested on it', (_, change) => {
    const { b, n, other } = two();
    caps(b, change);
    const s1 = nested(b, n, guestTable(b, TABLE).root);
    expect(attach(b, other, n.parent).errno).toBe('EINVAL');
    expect(attach(b, other, s1).errno).toBe('EINVAL');
    expect(b.driver.log.at(-1)).toContain('s2 domain is not compatible');
    expect(attach(b, other, s1, 5).errno).toBe('EINVAL');
    expect(b.driver.state.units[1]!.dids).toEqual([]);
    expect(attach(b, n, n.parent).errno).toBe('0');
  });

  it('dirty tracking, where a page table has it', () => {
    const { b, n, other } = two();
    caps(b, { dirtyTracking: false });
    const tracks = b.make('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: n.dev, pt_id: n.ioas });
    expect(attach(b, other, tracks).errno).toBe('EINVAL');
    expect(attach(b, other, n.parent).errno).toBe('0');
  });

  it.each([
    ['no first stage', { fsts: false }],
    ['a walk that snoops less', { smpwcs: false }],
    ['no 1 GiB pages', { fs1gp: false }],
    ['no table of five levels', { fs5lp: false }],
    ['a write buffer', { rwbf: true }],
  ])('%s: EINVAL for a first-stage page table', (_, change) => {
    const { b, n, other } = two();
    caps(b, change);
    const first = b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: n.dev, pt_id: n.ioas });
    expect(attach(b, other, first).errno).toBe('EINVAL');
    expect(attach(b, n, first).errno).toBe('0');
  });

  it('snoop control is not asked of a first-stage one, though its entries force snooping', () => {
    const { b, n, other } = two();
    caps(b, { sc: false });
    expect(attach(b, other, b.make('IOMMU_HWPT_ALLOC', { flags: 8, dev_id: n.dev, pt_id: n.ioas })).errno).toBe('0');
  });
});

describe('PASIDs', () => {
  it('need a page table made for them, on the RID too', () => {
    const b = bed();
    const n = nest(b);
    const plain = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: n.dev, pt_id: n.ioas });
    const t = guestTable(b, TABLE);
    expect(attach(b, n, plain, 5).errno).toBe('EINVAL');
    expect(attach(b, n, plain).errno).toBe('0');
    const s1 = nested(b, n, t.root);
    expect(attach(b, n, s1, 5).errno).toBe('EINVAL');
    expect(attach(b, n, n.parent).errno).toBe('0');
    expect(attach(b, n, s1, 5).errno).toBe('0');
    // While a PASID is in use the RID can't go to a page table that is not made for them.
    expect(attach(b, n, plain).errno).toBe('EINVAL');
  });

  it('as many as the device has', () => {
    const b = bed({ devices: [{ ...A, pasidBits: 5 }] });
    const n = nest(b);
    const s1 = nested(b, n, guestTable(b, TABLE).root);
    expect(attach(b, n, s1, 32).errno).toBe('EINVAL');
    expect(attach(b, n, s1, 31).errno).toBe('0');
  });

  it('detached: entry, tags and DID go', () => {
    const b = bed();
    const { n } = guest(b, { pasid: 5 });
    dma(b, GUEST_IOVA, { pasid: 5 });
    expect(detach(b, n, 5).errno).toBe('0');
    expect(b.posted()).toEqual(['0x500020017 0x0', '0x200e2 0x0', '0x53b000008 0x7ffffffffffff800']);
    expect(b.driver.state.units[0]!.dids).toEqual([]);
    expect(stale(b)).toEqual([]);
  });
});

describe('first-stage page tables of the host', () => {
  it('translate, and are flushed with P_IOTLB', () => {
    const b = bed();
    const d = bind(b, A.name);
    const ioas = b.make('IOMMU_IOAS_ALLOC');
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 2 * MiB, iova: 0x40000000 });
    expect(attach(b, d, ioas).errno).toBe('0');
    expect(dma(b, 0x40001234)).toMatchObject({ ok: true, pa: RAM + 2 * MiB + 0x1234 });
    b.posted();
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: ioas, iova: 0x40000000, length: 2 * MiB });
    expect(b.posted()).toEqual(['0x20036 0x40000049', '0x3b0000000003 0x400ff001']);
    expect(stale(b)).toEqual([]);
  });
});

it('a device given back has nothing left', () => {
  const b = bed();
  const { n } = guest(b);
  dma(b, GUEST_IOVA);
  runToEnd(b.iommufd.close(n.fd));
  expect(dma(b, GUEST_IOVA).ok).toBe(false);
  expect(b.driver.state.units[0]!.dids).toEqual([]);
  expect(stale(b)).toEqual([]);
});

it('a snapshot brings back tables, DIDs and tags', () => {
  const b = bed();
  const { n, s1 } = guest(b);
  const saved = [b.driver.save(), b.iommufd.save(), b.memory.save(), b.pages.save(), b.unit.save()] as const;
  attach(b, n, n.parent);
  b.make('IOMMU_DESTROY', { id: s1 });
  b.driver.load(saved[0]);
  b.iommufd.load(saved[1]);
  b.memory.load(saved[2]);
  b.pages.load(saved[3]);
  b.unit.load(saved[4]);
  expect(dma(b, GUEST_IOVA).pa).toBe(PAGE_PA);
  b.posted();
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: GPA, length: 2 ** 30 });
  expect(dma(b, GUEST_IOVA).ok).toBe(false);
});
