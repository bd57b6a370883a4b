import { describe, expect, it } from 'vitest';
import { attached, nic, QEMU_CAP, QEMU_ECAP } from './recording-unit.ts';

const KiB4 = 4096;
const MiB2 = 2 ** 21;
const VA = 0x7f0012340000;
const GPA = 0x41000000;

function bound(o: Parameters<typeof attached>[0] = {}) {
  const g = attached(o);
  g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
  g.unit.takeWords();
  g.unit.takeSeen();
  return g;
}
const request = { rid: 0x18, pasid: 1, page: BigInt(VA), group: 5, last: true, read: true, write: true };

describe('bind (7.7)', () => {
  it('one PASID a process, DID 1, tags IOTLB and DEVTLB, an entry with PWSNP', () => {
    const g = attached();
    const r = g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    expect([r.main, r.out]).toEqual([1, { pasid: 1 }]);
    expect(g.unit.takeWords()).toEqual(['0000000100010017 0000000000000000', '0000000100010026 0000000000000000']);
    const v = g.driver.views();
    const entry = v.devices[0]!.entries[1]!;
    const pgd = v.processes[0]!.pgd;
    expect([0, 1, 2, 3].map((i) => g.memory.readWord(entry.address + i * 8))).toEqual([
      0x49n,
      0x800001n,
      BigInt(pgd),
      0n,
    ]);
    expect(v.processes[0]!.tags.map((t) => [t.type, t.did, t.pasid])).toEqual([
      ['iotlb', 1, 1],
      ['devtlb', 1, 1],
    ]);
    expect(v.processes[0]!.id).toBe('guest.fs.p');
  });

  it('binds are counted; another process gets the next PASID, a wanted one is taken where free', () => {
    const g = bound();
    g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
    expect(g.ok(g.driver.bind({ device: 'nic0', process: 'q' })).main).toBe(2);
    expect(g.ok(g.driver.bind({ device: 'nic0', process: 'r', pasid: 0x1234 })).main).toBe(0x1234);
    expect(g.run(g.driver.bind({ device: 'nic0', process: 's', pasid: 2 })).errno).toBe('ENOSPC');
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'p', pasid: 9 })).errno).toBe('EINVAL');
    g.unit.takeWords();
    g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
    expect(g.unit.takeWords()).toEqual([]);
    expect(g.driver.views().processes.map((p) => p.name)).toEqual(['p', 'q', 'r']);
  });

  it('a PASID in pass-through belongs to nobody else: both kinds have DID 1', () => {
    const g = attached();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'bypass', pasid: 1 }));
    expect(g.ok(g.driver.bind({ device: 'nic0', process: 'p' })).main).toBe(2);
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'q', pasid: 1 })).errno).toBe('ENOSPC');
    const r = g.run(g.driver.attach({ device: 'nic0', domain: 'bypass', pasid: 2 }));
    expect(r.errno).toBe('EBUSY');
    g.ok(g.driver.detach({ device: 'nic0', pasid: 1 }));
    expect(g.ok(g.driver.bind({ device: 'nic0', process: 'q' })).main).toBe(1);
  });

  it('keeps its PASID on every device, and that PASID is nobody else’s', () => {
    const small = { ...nic, name: 'small', vrid: 0x20, pasidBits: 8 };
    const g = attached({ devices: [nic, small] });
    g.ok(g.driver.bind({ device: 'nic0', process: 'p', pasid: 0x1234 }));
    expect(g.run(g.driver.bind({ device: 'small', process: 'p' })).errno).toBe('EOVERFLOW');
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 0x1234 })).errno).toBe('EBUSY');
    expect(g.run(g.driver.detach({ device: 'nic0', pasid: 0x1234 })).errno).toBe('EBUSY');
    expect(g.driver.views().devices[0]!.pasids).toEqual([{ pasid: 0x1234, kind: 'process', name: 'p', users: 1 }]);
    g.ok(g.driver.attach({ device: 'small', domain: 'd1', pasid: 7 }));
    g.ok(g.driver.bind({ device: 'nic0', process: 'q', pasid: 7 }));
    expect(g.run(g.driver.bind({ device: 'small', process: 'q' })).errno).toBe('EBUSY');
  });

  it('has no more PASIDs than the unit', () => {
    // PSS 15: 16 bits.
    const ecap = (QEMU_ECAP & ~(0x1fn << 35n)) | (15n << 35n);
    const g = attached({ ecap });
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'p', pasid: 0x10000 })).errno).toBe('ENOSPC');
    expect(g.ok(g.driver.bind({ device: 'nic0', process: 'p', pasid: 0xffff })).main).toBe(0xffff);
  });

  it('needs ATS, and pages of 1 GiB where the CPU has them', () => {
    const off = attached({ devices: [{ ...nic, atsCapable: false }] });
    expect(off.run(off.driver.bind({ device: 'nic0', process: 'p' })).errno).toBe('EINVAL');
    expect(off.driver.views().processes).toEqual([]);
    const small = attached({ cap: QEMU_CAP & ~(1n << 56n) });
    const r = small.run(small.driver.bind({ device: 'nic0', process: 'p' }));
    expect(r.errno).toBe('ENODEV');
    expect(r.text).toContain('SVM disabled, incompatible 1GB page capability');
  });

  it('9.10, 10.12: unbind tears the entry down and drains with the DID of the RID’s domain', () => {
    const g = attached();
    g.ok(g.driver.bind({ device: 'nic0', process: 'p', pasid: 0x1234 }));
    g.unit.takeSeen();
    g.unit.takeWords();
    g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
    expect(g.unit.takeWords()).toEqual([
      '0000123400010017 0000000000000000',
      '0000123400010026 0000000000000000',
      '0000123400180008 7ffffffffffff800',
      '0000000200000045 0000000000000000',
      '0000123400020026 0000000000000000',
      '0000123400180008 7ffffffffffff800',
    ]);
    expect(g.unit.takeSeen().at(-1)).toBe('WAIT drain');
    expect(g.driver.views().devices[0]!.entries).toHaveLength(1);
  });
});

describe('memory of a process', () => {
  it('x86 entries: tables 0x67, pages with XD; nothing is announced', () => {
    const g = bound();
    g.trace.listener = (e) => g.events.push(e);
    expect(g.sent(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: 2 * KiB4 }))).toEqual([]);
    const writes = g.events.flatMap((e) =>
      e.kind === 'table.write' ? [[e.layout, (e.words[0]! & 0xfffn).toString(16)]] : [],
    );
    expect(writes).toEqual([
      ['x86.table', '67'],
      ['x86.table', '67'],
      ['x86.table', '67'],
      ['x86.page', '67'],
    ]);
    const last = g.events.at(-1)!;
    expect(last.kind === 'table.write' && last.words).toEqual([0x8000000041000067n, 0x8000000041001067n]);
    g.ok(g.driver.map({ domain: 'p', iova: VA + MiB2, gpa: GPA, size: KiB4, perm: 'r' }));
    const read = g.events.at(-1)!;
    expect(read.kind === 'table.write' && read.words).toEqual([0x8000000041000025n]);
  });

  it('munmap: one flush by PASID and one of the device TLB, never with IH', () => {
    const g = bound();
    g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: 16 * KiB4 }));
    expect(g.sent(g.driver.unmap({ domain: 'p', iova: VA, size: 16 * KiB4 }))).toEqual([
      '0000000100010036 00007f0012200009',
      '0000000100180008 00007f00122ff800',
    ]);
    // With its neighbour still there the table stays, and the flush is as large as the range.
    g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: 17 * KiB4 }));
    expect(g.sent(g.driver.unmap({ domain: 'p', iova: VA, size: 16 * KiB4 }))).toEqual([
      '0000000100010036 00007f0012340004',
      '0000000100180008 00007f0012347800',
    ]);
    expect(g.run(g.driver.unmap({ domain: 'p', iova: VA, size: KiB4, flush: 'queued' })).errno).toBe('EINVAL');
  });

  it('a table that had lost its pages before still has to leave the walk caches', () => {
    const g = bound();
    g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: KiB4 }));
    g.ok(g.driver.map({ domain: 'p', iova: VA + KiB4, gpa: GPA, size: KiB4, present: false }));
    g.ok(g.driver.unmap({ domain: 'p', iova: VA, size: KiB4 }));
    expect(g.sent(g.driver.unmap({ domain: 'p', iova: VA + KiB4, size: KiB4 }))).toEqual([
      '0000000100010036 00007f0012200000',
      '0000000100180008 00007f0012200000',
    ]);
  });

  it('ends a page below 2^47, and holds an address once', () => {
    const g = bound();
    const map = (iova: number, size = KiB4) => g.run(g.driver.map({ domain: 'p', iova, gpa: GPA, size })).errno;
    expect(map(2 ** 47 - KiB4)).toBe('ENOMEM');
    expect(map(2 ** 47 - 2 * KiB4)).toBeUndefined();
    expect(map(2 ** 47 - 3 * KiB4, 2 * KiB4)).toBe('EEXIST');
    expect(map(0x800)).toBe('EINVAL');
  });

  it('the whole address space: the forms for all', () => {
    const g = bound();
    expect(g.sent(g.driver.flush({ domain: 'p' }))).toEqual([
      '0000000100010026 0000000000000000',
      '0000000100180008 7ffffffffffff800',
    ]);
  });
});

describe('page requests (3.6)', () => {
  const served = (o: Parameters<typeof attached>[0] = {}, area: { perm?: 'r' | 'rw' } | null = {}) => {
    const g = bound(o);
    if (area) g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: KiB4, present: false, ...area }));
    return g;
  };

  it('9.8: handled, and answered with success', () => {
    const g = served();
    g.unit.pageRequest(request);
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual(['0000000100180019 0000000000000028']);
    expect(g.unit.registers['PQH_REG']).toBe(32n);
    // The page is there now, dirty.
    const pgd = g.driver.views().processes[0]!.pgd;
    let table = pgd;
    for (const shift of [39, 30, 21]) {
      const entry = g.memory.readWord(table + (Math.floor(VA / 2 ** shift) % 512) * 8);
      table = Number(entry & 0xffffffffff000n);
    }
    expect(g.memory.readWord(table + (Math.floor(VA / KiB4) % 512) * 8)).toBe(0x8000000041000067n);
  });

  it('a read of writable memory makes a clean page, into which hardware may write', () => {
    const g = served();
    g.unit.pageRequest({ ...request, write: false });
    g.trace.listener = (e) => g.events.push(e);
    g.run(g.driver.interrupt());
    const pages = g.events.flatMap((e) => (e.kind === 'table.write' && e.layout === 'x86.page' ? [e.words[0]] : []));
    expect(pages).toEqual([0x8000000041000027n]);
  });

  it.each([
    ['no area', {}, null],
    ['a write into read-only memory', {}, { perm: 'r' }],
  ] as const)('invalid: %s', (_what, o, area) => {
    const g = served(o, area);
    g.unit.pageRequest(request);
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual(['0000000100181019 0000000000000028']);
  });

  it('nobody takes it: without PASID, or of a PASID that belongs to nobody', () => {
    const g = served();
    g.unit.pageRequest({ ...request, pasid: -1 });
    g.unit.pageRequest({ ...request, pasid: 9 });
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual(['0000000000181009 0000000000000028', '0000000900181019 0000000000000028']);
  });

  it('a group with one bad request is invalid, whatever its last one finds', () => {
    const g = served();
    g.unit.pageRequest({ ...request, page: BigInt(VA + MiB2), last: false });
    g.unit.pageRequest(request);
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual(['0000000100181019 0000000000000028']);
  });

  it('a group is answered once, at its last request', () => {
    const g = served();
    g.unit.pageRequest({ ...request, last: false });
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual([]);
    g.unit.pageRequest(request);
    g.run(g.driver.interrupt());
    expect(g.unit.takeWords()).toEqual(['0000000100180019 0000000000000028']);
  });
});

describe('exit', () => {
  it('10.11: entries go without a drain and end all zero; a later unbind finds nothing to do', () => {
    const g = bound();
    g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: KiB4 }));
    const entry = g.driver.views().devices[0]!.entries[1]!;
    expect(g.sent(g.driver.exit({ process: 'p' }))).toEqual([
      '0000000100010017 0000000000000000',
      '0000000100010026 0000000000000000',
      '0000000100180008 7ffffffffffff800',
    ]);
    for (let i = 0; i < 8; i++) expect(g.memory.readWord(entry.address + i * 8)).toBe(0n);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'p' }))).toEqual([]);
    expect(g.driver.views().processes).toEqual([]);
    expect(g.run(g.driver.exit({ process: 'p' })).errno).toBe('ESRCH');
  });

  it('a process that nobody is bound to just goes', () => {
    const g = bound();
    g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
    expect(g.sent(g.driver.exit({ process: 'p' }))).toEqual([]);
    expect(g.driver.views().processes).toEqual([]);
  });

  it('pages come back: bind, fault in, exit, unbind leaves the allocator as it was', () => {
    const g = attached();
    const round = (): unknown => {
      g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
      g.ok(g.driver.map({ domain: 'p', iova: VA, gpa: GPA, size: 600 * KiB4 }));
      g.ok(g.driver.unmap({ domain: 'p', iova: VA, size: 20 * KiB4 }));
      g.ok(g.driver.exit({ process: 'p' }));
      g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
      return g.pages.save();
    };
    const first = round();
    expect(round()).toEqual(first);
  });
});
