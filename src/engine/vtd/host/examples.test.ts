import { describe, expect, it } from 'vitest';
import { A, attach, B, bed, bind, detach, GPA, guestTable, invalidate, MiB, nest, nested, UVA } from './testbed.ts';

/** Worked examples of `intel-vtd.md` 9, on a real unit. Device A is 3b:00.0, B is 5e:02.0. */

describe('9.7: a nested page table replaces the parent on A’s RID', () => {
  const replaced = () => {
    const b = bed();
    const n = nest(b);
    const t = guestTable(b, GPA + 0x4000000);
    const s1 = nested(b, n, t.root);
    expect(attach(b, n, n.parent).errno).toBe('0');
    return { b, n, t, s1 };
  };

  it('the parent gets the lowest DID and two tags, and no descriptor is sent', () => {
    const b = bed();
    const n = nest(b);
    b.posted();
    b.lines();
    attach(b, n, n.parent);
    expect(b.posted()).toEqual([]);
    expect(b.lines('cache_tag')).toEqual([
      'cache_tag_assign: dmar0/dmar0 type iotlb did 2 pasid 0 ref 1',
      'cache_tag_assign: dmar0/0000:3b:00.0 type devtlb did 2 pasid 0 ref 1',
    ]);
    const { words } = b.driver.pasidEntry(A.name, 0)!;
    const root = BigInt(b.driver.table(b.driver.state.devices[0]!.domain)!.root);
    // P, AW 3 (five levels), PGTT 2; DID 2, PWSNP.
    expect(words.slice(0, 3)).toEqual([root | 0x8dn, 0x800002n, 0n]);
  });

  it('order of tags, descriptors and entry', () => {
    const { b, n, s1, t } = replaced();
    b.posted();
    b.lines();
    b.events.length = 0;
    expect(attach(b, n, s1).errno).toBe('0');
    const posts = b.events.flatMap((e) => (e.kind === 'command.post' ? [e.command.words[0]!] : []));
    expect(posts.filter((w) => (w & 0x2fn) !== 0x25n)).toEqual([0x20017n, 0x200e2n, 0x3b0000000003n]);
    // One wait each.
    expect(posts.filter((w) => (w & 0x2fn) === 0x25n)).toHaveLength(3);
    expect(b.lines('cache_tag')).toEqual([
      'cache_tag_unassign: dmar0/dmar0 type iotlb did 2 pasid 0 ref 1',
      'cache_tag_unassign: dmar0/0000:3b:00.0 type devtlb did 2 pasid 0 ref 1',
      'cache_tag_assign: dmar0/dmar0 type iotlb did 2 pasid 0 ref 1',
      'cache_tag_assign: dmar0/0000:3b:00.0 type devtlb did 2 pasid 0 ref 1',
      'cache_tag_assign: dmar0/dmar0 type nesting_iotlb did 2 pasid 0 ref 1',
      'cache_tag_assign: dmar0/0000:3b:00.0 type nesting_devtlb did 2 pasid 0 ref 1',
    ]);
    const { words } = b.driver.pasidEntry(A.name, 0)!;
    // PGTT 3 with the parent's root; DID 2, PWSNP, PGSNP; the guest's table.
    expect(words[0]! & 0xfffn).toBe(0xcdn);
    expect(words.slice(1, 3)).toEqual([0x1800002n, BigInt(t.root)]);
    expect(words.slice(3)).toEqual([0n, 0n, 0n, 0n, 0n]);
  });
});

describe('9.6: the parent is unmapped under two nested children', () => {
  const machine = () => {
    const b = bed();
    const a = nest(b, A.name);
    // Memory of two MiB by itself, in one leaf.
    b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: a.ioas, user_va: UVA + 2 ** 30, length: 2 * MiB, iova: 0x80000000 });
    const other = bind(b, B.name);
    const s1a = nested(b, a, guestTable(b, GPA + 0x4000000).root);
    const s1b = nested(b, { dev: other.dev, parent: a.parent }, guestTable(b, GPA + 0x8000000).root);
    for (const [d, pt, pasid] of [
      [a, a.parent, 0],
      [a, s1a, 0],
      [other, a.parent, 0],
      [other, s1b, 0x1234],
    ] as const)
      expect(attach(b, d, pt, pasid).errno).toBe('0');
    b.posted();
    b.lines();
    return { b, a };
  };

  it('tags in the order of attachment, with the children’s DIDs', () => {
    const { b } = machine();
    const parent = [...b.driver.state.domains.values()].find((d) => d.kind === 'ss')!;
    expect(parent.tags.map((t) => `${t.type} ${t.device} did ${t.did} pasid ${t.pasid}`)).toEqual([
      'nesting_iotlb dmar0 did 2 pasid 0',
      'nesting_devtlb 0000:3b:00.0 did 2 pasid 0',
      'iotlb dmar0 did 3 pasid 0',
      'devtlb 0000:5e:02.0 did 3 pasid 0',
      'nesting_iotlb dmar0 did 4 pasid 4660',
      'nesting_devtlb 0000:5e:02.0 did 4 pasid 4660',
    ]);
  });

  it('10.4: precise up to the first nested device TLB, everything after it', () => {
    const { b, a } = machine();
    const from = b.events.length;
    b.make('IOMMU_IOAS_UNMAP', { ioas_id: a.ioas, iova: 0x80000000, length: 2 * MiB });
    expect(b.posted()).toEqual([
      '0x200f2 0x80000049',
      '0x3b0000000003 0x7ffffffffffff001',
      '0x300e2 0x0',
      '0x5e1000000003 0x7ffffffffffff001',
      '0x400e2 0x0',
      '0x12345e100008 0x7ffffffffffff800',
    ]);
    const range = '[0x80000000-0x801fffff]';
    expect(b.lines('cache_tag_flush_range')).toEqual(
      [
        `dmar0 dmar0[0] type nesting_iotlb did 2 ${range} addr 0x80000000 mask 0x9`,
        `dmar0 0000:3b:00.0[0] type nesting_devtlb did 2 ${range} addr 0x0 mask 0x34`,
        `dmar0 dmar0[0] type iotlb did 3 ${range} addr 0x0 mask 0x34`,
        `dmar0 0000:5e:02.0[0] type devtlb did 3 ${range} addr 0x0 mask 0x34`,
        `dmar0 dmar0[4660] type nesting_iotlb did 4 ${range} addr 0x0 mask 0x34`,
        `dmar0 0000:5e:02.0[4660] type nesting_devtlb did 4 ${range} addr 0x0 mask 0x34`,
      ].map((l) => `cache_tag_flush_range: ${l}`),
    );
    // One submission: one wait.
    const since = b.events.slice(from);
    const waits = since.filter((e) => e.kind === 'command.post' && e.command.name === 'INV_WAIT');
    expect(waits).toHaveLength(1);
    expect(since.filter((e) => e.kind === 'sync')).toHaveLength(1);
  });

  it('10.3: the parent’s own DID is not its children’s', () => {
    const { b } = machine();
    const dids = [...b.driver.state.domains.values()].flatMap((d) => d.dids.map((x) => `${d.kind} ${x.did}`));
    expect(dids).toEqual(['ss 3', 'nested 2', 'nested 4']);
  });
});

describe('9.5: a guest’s unmap of one page', () => {
  // DIDs 2 and 3 are B's, so that A's nested page table has DID 4.
  const machine = () => {
    const b = bed();
    const n = nest(b);
    const other = bind(b, B.name);
    attach(b, other, n.parent);
    const t = guestTable(b, GPA + 0x4000000);
    const busy = nested(b, { dev: other.dev, parent: n.parent }, t.root);
    attach(b, other, busy, 0x10);
    const s1 = nested(b, n, t.root);
    attach(b, n, s1);
    b.posted();
    b.lines();
    return { b, n, s1, t };
  };

  it('one P_IOTLB and one device TLB descriptor, IH as the guest said', () => {
    const { b, s1 } = machine();
    b.events.length = 0;
    b.posted();
    expect(invalidate(b, s1, 0xfffff000, 1)).toEqual({ errno: '0', out: { entry_num: 1 } });
    const words = b.events.flatMap((e) => (e.kind === 'command.post' ? [e.command.words.slice(0, 2)] : []));
    expect(words.slice(0, 2)).toEqual([
      [0x40036n, 0xfffff040n],
      [0x3b0000000003n, 0xfffff000n],
    ]);
    expect(words).toHaveLength(3);
    const range = '[0xfffff000-0xffffffff]';
    expect(b.lines()).toEqual([
      `cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 4 ${range} addr 0xfffff000 mask 0x0`,
      `cache_tag_flush_range: dmar0 0000:3b:00.0[0] type devtlb did 4 ${range} addr 0xfffff000 mask 0x0`,
      'qi_submit: p_iotlb_inv dmar0: 0x40036 0xfffff040 0x0 0x0',
      'qi_submit: dev_tlb_inv dmar0: 0x3b0000000003 0xfffff000 0x0 0x0',
    ]);
  });

  it('shows what became of the guest’s entry, before the descriptor is posted', () => {
    const { b, s1 } = machine();
    b.events.length = 0;
    invalidate(b, s1, 0xfffff000, 1);
    const kinds = b.events.flatMap((e) => (e.kind === 'command.rewrite' || e.kind === 'command.post' ? [e.kind] : []));
    expect(kinds.slice(0, 3)).toEqual(['command.rewrite', 'command.rewrite', 'command.post']);
    const first = b.events.find((e) => e.kind === 'command.rewrite');
    expect(first).toMatchObject({
      at: `kernel.obj.${s1}`,
      to: 'hw.iq',
      from: { name: 'S1_INVALIDATE', words: [0xfffff000n, 1n, 1n] },
      command: { name: 'P_IOTLB_INV' },
    });
    expect(first?.kind === 'command.rewrite' && first.changes).toEqual([
      { field: 'opcode', from: 'S1_INVALIDATE', to: 'P_IOTLB_INV' },
      { field: 'DID', from: '-', to: '4' },
      { field: 'PASID', from: '-', to: '0x0' },
      { field: 'AM', from: '1 pages', to: '0' },
    ]);
  });

  it('everything of a PASID: no address, no mask', () => {
    const { b, s1 } = machine();
    invalidate(b, s1);
    expect(b.posted()).toEqual(['0x40026 0x0', '0x3b0000000003 0x7ffffffffffff001']);
  });
});

it('9.2: entries of a directly attached parent and a nested page table with supervisor requests', () => {
  const b = bed({ features: { SC: false } });
  const n = nest(b);
  const t = guestTable(b, GPA + 0x4000000);
  const s1 = nested(b, n, t.root, { width: 57, flags: 7 });
  attach(b, n, s1);
  const { words } = b.driver.pasidEntry(A.name, 0)!;
  expect(words[0]! & 0xfffn).toBe(0xcdn);
  // Without snoop control no PGSNP.
  expect(words[1]).toBe(0x800002n);
  expect(words[2]).toBe(BigInt(t.root) | 0x95n);
  expect(detach(b, n).errno).toBe('0');
  expect(b.driver.pasidEntry(A.name, 0)!.words).toEqual([0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
});
