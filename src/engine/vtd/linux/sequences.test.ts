import { describe, expect, it } from 'vitest';
import { A, B, type Bench, bench, during, HOST } from './bench.ts';
import type { DomainOptions } from './domain.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  detachPasid,
  domainOf,
  enforceCoherency,
  exitProcess,
  flushRange,
  flushUnmapped,
  IDENTITY,
  pasidEntry,
  setDirtyTracking,
} from './index.ts';

const FOUR = { cap: HOST.cap | (1n << 10n), ecap: HOST.ecap };
const PARENT: DomainOptions = { kind: 'ss', root: 0x100300000n, levels: 4, nestParent: true, coherent: true };
const FS: DomainOptions = { kind: 'fs', root: 0x104567000n };
const nestedOn = (b: Bench, parent: { readonly handle: number }) =>
  b.domain({ kind: 'nested', parent: parent.handle, root: 0x104567000n });

describe('9.5: a guest unmap', () => {
  it('in the guest: one page-selective descriptor and a wait', () => {
    const b = bench({ actor: 'guest', devices: [{ name: '00:03.0', rid: 0x18, atsCapable: false }] });
    const domain = b.domain(FS);
    b.run(attachDevice(b.k, b.device('00:03.0'), domain));
    const { sent } = during(b, () => b.run(flushUnmapped(b.k, domain, 0xfffff000n, 0xffffffffn, false)));
    expect(sent).toEqual([['0x0000000000020036 0x00000000fffff040']]);
    expect(b.unit.submissions[0]!.length).toBe(2);
  });

  it('on the host: both tags in one submission, with the traces of the kernel', () => {
    const b = bench({ words: FOUR });
    b.k.state.units[0]!.dids.push(2, 3);
    const nested = nestedOn(b, b.domain(PARENT));
    b.run(attachDevice(b.k, b.device(A.name), nested));
    const { sent, lines } = during(b, () => b.run(flushRange(b.k, nested, 0xfffff000n, 0xffffffffn, true)));
    expect(sent).toEqual([['0x0000000000040036 0x00000000fffff040', '0x00003b0000000003 0x00000000fffff000']]);
    expect(lines).toEqual([
      'cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 4 [0xfffff000-0xffffffff] addr 0xfffff000 mask 0x0',
      'cache_tag_flush_range: dmar0 0000:3b:00.0[0] type devtlb did 4 [0xfffff000-0xffffffff] addr 0xfffff000 mask 0x0',
      'qi_submit: p_iotlb_inv dmar0: 0x40036 0xfffff040 0x0 0x0',
      'qi_submit: dev_tlb_inv dmar0: 0x3b0000000003 0xfffff000 0x0 0x0',
    ]);
  });
});

/** The history of 9.6 up to the unmap. */
function twoChildren(deviations: readonly string[] = []) {
  const b = bench({ words: FOUR, deviations });
  const parent = b.domain(PARENT);
  const s1a = nestedOn(b, parent);
  const s1b = nestedOn(b, parent);
  const [a, d] = [b.device(A.name), b.device(B.name)];
  expect(b.run(attachDevice(b.k, a, parent))).toBe('0');
  expect(b.run(attachDevice(b.k, a, s1a))).toBe('0');
  expect(b.run(attachDevice(b.k, d, parent))).toBe('0');
  expect(b.run(attachPasid(b.k, d, 0x1234, s1b))).toBe('0');
  return { b, parent, s1a, s1b };
}
const unmap = (b: Bench, parent: Parameters<typeof flushUnmapped>[1]) =>
  during(b, () => b.run(flushUnmapped(b.k, parent, 0x80000000n, 0x801fffffn, false)));

describe('9.6: parent unmap with two nested children', () => {
  it('10.3, 10.4: every child’s DID is flushed; from the first nesting_devtlb on with everything', () => {
    const { b, parent, s1a, s1b } = twoChildren();
    expect([s1a.dids, parent.dids, s1b.dids]).toEqual([
      [{ unit: 0, did: 2, users: 1 }],
      [{ unit: 0, did: 3, users: 1 }],
      [{ unit: 0, did: 4, users: 1 }],
    ]);
    const { sent, lines } = unmap(b, parent);
    expect(sent).toEqual([
      [
        '0x00000000000200f2 0x0000000080000049',
        '0x00003b0000000003 0x7ffffffffffff001',
        '0x00000000000300e2 0x0000000000000000',
        '0x00005e1000000003 0x7ffffffffffff001',
        '0x00000000000400e2 0x0000000000000000',
        '0x000012345e100008 0x7ffffffffffff800',
      ],
    ]);
    const range = '[0x80000000-0x801fffff]';
    expect(lines.slice(0, 6)).toEqual([
      `cache_tag_flush_range: dmar0 dmar0[0] type nesting_iotlb did 2 ${range} addr 0x80000000 mask 0x9`,
      `cache_tag_flush_range: dmar0 0000:3b:00.0[0] type nesting_devtlb did 2 ${range} addr 0x0 mask 0x34`,
      `cache_tag_flush_range: dmar0 dmar0[0] type iotlb did 3 ${range} addr 0x0 mask 0x34`,
      `cache_tag_flush_range: dmar0 0000:5e:02.0[0] type devtlb did 3 ${range} addr 0x0 mask 0x34`,
      `cache_tag_flush_range: dmar0 dmar0[4660] type nesting_iotlb did 4 ${range} addr 0x0 mask 0x34`,
      `cache_tag_flush_range: dmar0 0000:5e:02.0[4660] type nesting_devtlb did 4 ${range} addr 0x0 mask 0x34`,
    ]);
  });

  it('without the overwritten range the later tags keep theirs', () => {
    const { b, parent } = twoChildren(['host.unmap-keeps-range']);
    expect(unmap(b, parent).sent[0]).toEqual([
      '0x00000000000200f2 0x0000000080000049',
      '0x00003b0000000003 0x7ffffffffffff001',
      '0x00000000000300f2 0x0000000080000049',
      '0x00005e1000000003 0x00000000800ff001',
      '0x00000000000400f2 0x0000000080000049',
      '0x000012345e100008 0x7ffffffffffff800',
    ]);
  });

  it('17 descriptors are two submissions', () => {
    const { b, parent, s1b } = twoChildren();
    for (let pasid = 1; pasid <= 6; pasid++) b.run(attachPasid(b.k, b.device(B.name), pasid, s1b));
    expect(unmap(b, parent).sent.map((s) => s.length)).toEqual([16, 2]);
  });
});

describe('9.7: replacing S2 by a nested page table on the RID', () => {
  const tags = ['iotlb', 'devtlb'].map((t) => `/${t === 'iotlb' ? 'dmar0' : A.name} type ${t} did 2 pasid 0 ref 1`);

  it('10.24: on the host, with the traces of the tags', () => {
    const b = bench({ words: FOUR });
    const parent = b.domain(PARENT);
    const a = b.device(A.name);
    b.run(attachDevice(b.k, a, parent));
    const { sent, lines } = during(b, () => b.run(attachDevice(b.k, a, nestedOn(b, parent))));
    expect(sent).toEqual([
      ['0x0000000000020017 0x0000000000000000'],
      ['0x00000000000200e2 0x0000000000000000'],
      ['0x00003b0000000003 0x7ffffffffffff001'],
    ]);
    expect(lines.filter((l) => l.startsWith('cache_tag'))).toEqual([
      ...tags.map((t) => `cache_tag_unassign: dmar0${t}`),
      ...tags.map((t) => `cache_tag_assign: dmar0${t}`),
      ...tags.map((t) => `cache_tag_assign: dmar0${t.replace('type ', 'type nesting_')}`),
    ]);
  });

  it('the same code in a guest with a first-stage domain', () => {
    const b = bench({ actor: 'guest', devices: [A] });
    const a = b.device(A.name);
    b.run(attachDevice(b.k, a, b.domain(FS)));
    const { sent } = during(b, () => b.run(attachDevice(b.k, a, b.domain(FS))));
    expect(sent).toEqual([
      ['0x0000000000020017 0x0000000000000000'],
      ['0x0000000000020026 0x0000000000000000'],
      ['0x00003b0000000003 0x7ffffffffffff001'],
      ['0x0000000000020017 0x0000000000000000'],
      ['0x0000000000020026 0x0000000000000000'],
    ]);
  });

  it('cache_tag_unassign prints the users as they were', () => {
    const b = bench({ words: FOUR });
    const parent = b.domain(PARENT);
    for (const name of [A.name, B.name]) b.run(attachDevice(b.k, b.device(name), parent));
    const { lines } = during(b, () => b.run(attachDevice(b.k, b.device(A.name), domainOf(b.k, BLOCKED))));
    expect(lines[0]).toBe('cache_tag_unassign: dmar0/dmar0 type iotlb did 2 pasid 0 ref 2');
    expect(parent.tags.map((t) => [t.type, t.device, t.users])).toEqual([
      ['iotlb', 'dmar0', 1],
      ['devtlb', B.name, 1],
    ]);
  });
});

describe('section 6: set-up', () => {
  const kinds: [string, (b: Bench) => Parameters<typeof attachDevice>[2]][] = [
    ['first stage', (b) => b.domain(FS)],
    ['second stage', (b) => b.domain({ ...PARENT, syncMap: true, coherent: false })],
    ['nested', (b) => nestedOn(b, b.domain({ ...PARENT, syncMap: true, coherent: false }))],
  ];
  const CM = { cap: FOUR.cap | (1n << 7n), ecap: FOUR.ecap };

  it.each(kinds)('%s, CM=0: no descriptor', (_name, make) => {
    const b = bench({ words: FOUR, initial: null });
    expect(during(b, () => b.run(attachDevice(b.k, b.device(A.name), make(b)))).sent).toEqual([]);
  });

  it.each(kinds)('10.13: %s, CM=1: PASID cache and P_IOTLB, no device TLB', (_name, make) => {
    const b = bench({ words: CM, initial: null });
    const { result, sent } = during(b, () => b.run(attachDevice(b.k, b.device(A.name), make(b))));
    expect(result).toBe('0');
    expect(sent).toEqual([['0x0000000000020017 0x0000000000000000'], ['0x0000000000020026 0x0000000000000000']]);
  });

  it('pass-through, CM=1: with DID 1', () => {
    const b = bench({ actor: 'guest', initial: null });
    const { sent } = during(b, () => b.run(attachDevice(b.k, b.device(A.name), domainOf(b.k, IDENTITY))));
    expect(sent).toEqual([['0x0000000000010017 0x0000000000000000'], ['0x0000000000010026 0x0000000000000000']]);
  });

  it('RWBF: a write-buffer flush instead', () => {
    const b = bench({ words: { cap: FOUR.cap | 0x10n, ecap: FOUR.ecap }, initial: null });
    during(b, () => b.run(attachDevice(b.k, b.device(A.name), b.domain({ ...FS, syncMap: true }))));
    expect(b.unit.written).toEqual(['GCMD_REG 0x8c000000']);
  });

  it('10.14: a new page of the PASID directory is never followed by an invalidation', () => {
    const b = bench({ actor: 'guest', devices: [A] });
    b.run(attachPasid(b.k, b.device(A.name), 1, b.domain(FS)));
    const far = during(b, () => b.run(attachPasid(b.k, b.device(A.name), 0x4000, b.domain(FS))));
    expect(far.sent).toEqual([['0x0000400000030017 0x0000000000000000'], ['0x0000400000030026 0x0000000000000000']]);
  });
});

describe('section 6: tear-down, change, dirty tracking', () => {
  const devTlb = '0x00003b0000000003 0x7ffffffffffff001';

  it.each([
    ['first stage', FS, '0x0000000000020026 0x0000000000000000'],
    ['second stage', PARENT, '0x00000000000200e2 0x0000000000000000'],
  ])('%s on the RID', (_name, o, iotlb) => {
    const b = bench({ words: FOUR });
    const a = b.device(A.name);
    b.run(attachDevice(b.k, a, b.domain(o)));
    const { sent } = during(b, () => b.run(attachDevice(b.k, a, domainOf(b.k, BLOCKED))));
    expect(sent).toEqual([['0x0000000000020017 0x0000000000000000'], [iotlb], [devTlb]]);
    expect(b.memory.readWord(pasidEntry(b.k, a, 0)!)).toBe(0n);
  });

  it('pass-through on the RID', () => {
    const b = bench({ words: FOUR });
    const { sent } = during(b, () => b.run(attachDevice(b.k, b.device(A.name), domainOf(b.k, BLOCKED))));
    expect(sent).toEqual([
      ['0x0000000000010017 0x0000000000000000'],
      ['0x0000000000010026 0x0000000000000000'],
      [devTlb],
    ]);
  });

  it('nested at a PASID: DSI, and the device TLB of that PASID', () => {
    const b = bench({ words: FOUR });
    const a = b.device(A.name);
    b.run(attachPasid(b.k, a, 0x1234, nestedOn(b, b.domain(PARENT))));
    const { sent } = during(b, () => b.run(detachPasid(b.k, a, 0x1234)));
    expect(sent).toEqual([
      ['0x0000123400020017 0x0000000000000000'],
      ['0x00000000000200e2 0x0000000000000000'],
      ['0x000012343b000008 0x7ffffffffffff800'],
    ]);
  });

  it('each step ends before the next: P is clear at the first descriptor, the rest of the entry is there to the last', () => {
    const b = bench({ words: FOUR });
    const a = b.device(A.name);
    b.run(attachDevice(b.k, a, b.domain(FS)));
    const at = pasidEntry(b.k, a, 0)!;
    const seen: bigint[][] = [];
    b.unit.refuse = () => {
      seen.push([b.memory.readWord(at), b.memory.readWord(at + 16)]);
      return 0;
    };
    b.run(attachDevice(b.k, a, domainOf(b.k, BLOCKED)));
    expect(seen.length).toBe(6);
    for (const words of seen) expect(words).toEqual([0x4cn, 0x104567000n]);
    expect(b.memory.readWord(at + 16)).toBe(0n);
  });

  it('no ATS, or a device that is not present: no device TLB', () => {
    for (const device of [
      { ...A, atsCapable: false },
      { ...A, present: false },
    ]) {
      const b = bench({ words: FOUR, devices: [device] });
      const { sent } = during(b, () => b.run(attachDevice(b.k, b.device(A.name), domainOf(b.k, BLOCKED))));
      expect(sent.length).toBe(2);
    }
  });

  it('an all-zero entry: nothing; one with FPD only: wiped, nothing sent', () => {
    const b = bench({ words: FOUR });
    const a = b.device(A.name);
    const domain = b.domain(FS);
    b.run(attachPasid(b.k, a, 3, domain));
    b.memory.writeWord(pasidEntry(b.k, a, 3)!, 2n);
    expect(during(b, () => b.run(detachPasid(b.k, a, 3))).sent).toEqual([]);
    expect(b.memory.readWord(pasidEntry(b.k, a, 3)!)).toBe(0n);
  });

  it('10.11: a process that exits leaves an all-zero entry, and the later unbind sends nothing', () => {
    const b = bench({ actor: 'guest', devices: [A] });
    const a = b.device(A.name);
    const sva = b.domain({ kind: 'sva', root: 0x104567000n });
    b.run(attachPasid(b.k, a, 1, sva));
    const exit = during(b, () => b.run(exitProcess(b.k, sva)));
    expect(exit.sent).toEqual([
      ['0x0000000100010017 0x0000000000000000'],
      ['0x0000000100010026 0x0000000000000000'],
      ['0x000000013b000008 0x7ffffffffffff800'],
    ]);
    expect(b.memory.readWord(pasidEntry(b.k, a, 1)!)).toBe(0n);
    expect(during(b, () => b.run(detachPasid(b.k, a, 1))).sent).toEqual([]);
  });

  it('a process exits: the device that was bound last goes first', () => {
    const b = bench({ devices: [A, B] });
    const sva = b.domain({ kind: 'sva', root: 0x104567000n, faults: true });
    for (const d of [A, B]) b.run(attachPasid(b.k, b.device(d.name), 1, sva));
    const { sent } = during(b, () => b.run(exitProcess(b.k, sva)));
    expect(sent.flat().filter((s) => / 0x7f/.test(s))).toEqual([
      '0x000000015e100008 0x7ffffffffffff800',
      '0x000000013b000008 0x7ffffffffffff800',
    ]);
  });

  it('page-snoop change of a present entry: PASID cache, P_IOTLB, device TLB', () => {
    const b = bench({ words: FOUR });
    const domain = b.domain(FS);
    b.run(attachDevice(b.k, b.device(A.name), domain));
    const { result, sent } = during(b, () => b.run(enforceCoherency(b.k, domain)));
    expect(result).toBe(true);
    expect(sent).toEqual([
      ['0x0000000000020017 0x0000000000000000'],
      ['0x0000000000020026 0x0000000000000000'],
      [devTlb],
    ]);
    expect(b.memory.readWord(pasidEntry(b.k, b.device(A.name), 0)! + 8)).toBe(0x1800002n);
  });

  it('dirty tracking of a parent: PASID cache, DSI, device TLB for its own users and its children’s', () => {
    const { b, parent } = twoChildren();
    const { result, sent } = during(b, () => b.run(setDirtyTracking(b.k, parent, true)));
    expect(result).toBe('0');
    expect(sent).toEqual([
      ['0x0000000000030017 0x0000000000000000'],
      ['0x00000000000300e2 0x0000000000000000'],
      ['0x00005e1000000003 0x7ffffffffffff001'],
      // list_add puts the youngest child in front.
      ['0x0000123400040017 0x0000000000000000'],
      ['0x00000000000400e2 0x0000000000000000'],
      ['0x000012345e100008 0x7ffffffffffff800'],
      ['0x0000000000020017 0x0000000000000000'],
      ['0x00000000000200e2 0x0000000000000000'],
      ['0x00003b0000000003 0x7ffffffffffff001'],
    ]);
    expect(during(b, () => b.run(setDirtyTracking(b.k, parent, true))).sent).toEqual([]);
  });

  it('dirty tracking: the device and the PASID that came last first, PASIDs after RIDs', () => {
    const { b, parent } = twoChildren();
    const child = b.domain({ kind: 'nested', parent: parent.handle, root: 0x7000n });
    for (const pasid of [2, 1]) b.run(attachPasid(b.k, b.device(A.name), pasid, child));
    for (const device of [B, A]) b.run(attachDevice(b.k, b.device(device.name), child));
    const { sent } = during(b, () => b.run(setDirtyTracking(b.k, parent, true)));
    const tlbs = sent.flat().filter((s) => / 0x7f/.test(s));
    expect(tlbs.slice(0, 4).map((s) => s.slice(0, 18))).toEqual([
      '0x00003b0000000003',
      '0x00005e1000000003',
      '0x000000013b000008',
      '0x000000023b000008',
    ]);
  });

  it('dirty tracking that one entry refuses is undone, the children’s first', () => {
    const { b, parent } = twoChildren();
    const a = b.device(A.name);
    const child = b.domain({ kind: 'nested', parent: parent.handle, root: 0x7000n });
    b.run(attachPasid(b.k, a, 1, child));
    const wrong = b.domain({ kind: 'nested', parent: parent.handle, root: 0x7000n, s1Width: 39 });
    // The entry is gone, the kernel's list still has it.
    expect(b.run(attachPasid(b.k, a, 1, wrong))).toBe('EINVAL');
    b.run(attachPasid(b.k, a, 2, child));
    const { result, sent } = during(b, () => b.run(setDirtyTracking(b.k, parent, true)));
    expect(result).toBe('EOPNOTSUPP');
    expect(parent.dirtyTracking).toBe(false);
    // PASID 2 came last: on and off again, PASID 1 refuses both times; then the parent's own device.
    expect(sent.flat().filter((s) => / 0x7f/.test(s))).toEqual([
      '0x00005e1000000003 0x7ffffffffffff001',
      '0x000000023b000008 0x7ffffffffffff800',
      '0x000000023b000008 0x7ffffffffffff800',
      '0x00005e1000000003 0x7ffffffffffff001',
    ]);
    expect(b.k.state.log.filter((l) => l.includes('translation type 0')).length).toBe(2);
  });

  it('dirty tracking of a first-stage entry: EOPNOTSUPP', () => {
    const b = bench({ words: FOUR });
    const domain = b.domain(FS);
    b.run(attachDevice(b.k, b.device(A.name), domain));
    expect(b.run(setDirtyTracking(b.k, domain, true))).toBe('EOPNOTSUPP');
    expect(b.k.state.log.at(-1)).toContain('Dirty tracking not supported on translation type 1');
  });
});
