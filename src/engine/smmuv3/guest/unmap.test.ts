import { describe, expect, it } from 'vitest';
import { guestOnRecorder } from './recording-smmu.ts';

const MiB2 = 2 ** 21;
const one = 'TLBI_NH_VA asid 1 va';

function attached(o: Parameters<typeof guestOnRecorder>[0] = {}) {
  const g = guestOnRecorder(o);
  g.run(g.driver.boot());
  g.run(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
  g.smmu.take();
  return g;
}

describe('unmap, arm-smmuv3.md 7.4', () => {
  const cases = (ril: boolean, ats: boolean) => {
    const g = attached({ ril, ats });
    const both = (iova: number, gpa: number, size: number, step?: number): string[] => {
      for (let at = 0; at < size; at += step ?? size)
        expect(g.run(g.driver.map({ domain: 'dma0', iova: iova + at, gpa: gpa + at, size: step ?? size })).ok).toBe(
          true,
        );
      expect(g.smmu.take()).toEqual([]);
      expect(g.run(g.driver.unmap({ domain: 'dma0', iova, size }))).toMatchObject({
        ok: true,
        out: { unmapped: size },
      });
      return g.smmu.take();
    };
    return { g, both };
  };

  it('one page', () => {
    expect(cases(true, false).both(0xfffff000, 0x48300000, 4096)).toEqual([
      `${one} 0xfffff000 pages 1 of 4K level 3 leaf`,
      'SYNC',
    ]);
    expect(cases(false, false).both(0xfffff000, 0x48300000, 4096)).toEqual([`${one} 0xfffff000 leaf`, 'SYNC']);
    expect(cases(true, true).both(0xfffff000, 0x48300000, 4096)).toEqual([
      `${one} 0xfffff000 pages 1 of 4K level 3 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xfffff000 pages 1',
      'SYNC',
    ]);
  });

  it('45 pages in one unmap', () => {
    const size = 45 * 4096;
    expect(cases(true, true).both(0xfff00000, 0x48300000, size)).toEqual([
      `${one} 0xfff00000 pages 13 of 4K level 3 leaf`,
      `${one} 0xfff0d000 pages 32 of 4K level 3 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xfff00000 pages 64',
      'SYNC',
    ]);
    const plain = cases(false, false).both(0xfff00000, 0x48300000, size);
    expect(plain).toHaveLength(46);
    expect(plain[44]).toBe(`${one} 0xfff2c000 leaf`);
  });

  it('from 512 pages on, without range support, the whole ASID', () => {
    // 511 pages up to a 2 MiB border, then one after it: 512 in a row without a table that empties.
    const r = cases(false, false).both(0x201000, 0x48401000, 512 * 4096);
    expect(r).toEqual(['TLBI_NH_ASID asid 1', 'SYNC']);
    // One less: 64 commands a batch, of which only the last ends with a CMD_SYNC.
    const c = cases(false, false);
    const before = c.g.smmu.doorbells;
    const many = c.both(0x201000, 0x48401000, 511 * 4096);
    expect(c.g.smmu.doorbells - before).toBe(8);
    expect(many.filter((s) => s === 'SYNC')).toHaveLength(1);
    expect(many).toHaveLength(512);
  });

  it('a 2 MiB block and a 1 GiB block', () => {
    expect(cases(true, false).both(0xffe00000, 0x48400000, MiB2)).toEqual([
      `${one} 0xffe00000 pages 512 of 4K level 2 leaf`,
      'SYNC',
    ]);
    expect(cases(false, false).both(0xffe00000, 0x48400000, MiB2)).toEqual([`${one} 0xffe00000 leaf`, 'SYNC']);
    expect(cases(true, false).both(0x40000000, 0x40000000, 2 ** 30)).toEqual([
      `${one} 0x40000000 pages 262144 of 4K level 1 leaf`,
      'SYNC',
    ]);
  });

  it('a 2 MiB region of pages: first the table, then the leaves', () => {
    expect(cases(true, true).both(0xffe00000, 0x48400000, MiB2, 4096)).toEqual([
      `${one} 0xffe00000 pages 512 of 4K`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xffe00000 pages 512',
      'SYNC',
      `${one} 0xffe00000 pages 512 of 4K level 2 leaf`,
      'SYNC',
      'ATC_INV sid 0x8 va 0xffe00000 pages 512',
      'SYNC',
    ]);
    expect(cases(false, false).both(0xffe00000, 0x48400000, MiB2, 4096)).toEqual([
      'TLBI_NH_ASID asid 1',
      'SYNC',
      `${one} 0xffe00000 leaf`,
      'SYNC',
    ]);
  });

  it('queued: leaves wait for the flush queue, tables do not', () => {
    const g = attached({ ats: true });
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'queued' }));
    expect(g.smmu.take()).toEqual([]);
    expect(g.driver.views().domains[0]!.queued).toBe(4096);
    g.run(g.driver.flush());
    expect(g.smmu.take()).toEqual(['TLBI_NH_ASID asid 1', 'SYNC', 'ATC_INV sid 0x8 all', 'SYNC']);
    g.run(g.driver.flush());
    expect(g.smmu.take()).toEqual([]);
    for (let at = 0; at < MiB2; at += 4096)
      g.run(g.driver.map({ domain: 'dma0', iova: MiB2 + at, gpa: 0x48400000 + at, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: MiB2, size: MiB2, flush: 'queued' }));
    expect(g.smmu.take()[0]).toBe(`${one} 0x200000 pages 512 of 4K`);
  });

  it('none: the descriptors go, no command is sent', () => {
    const g = attached({ ats: true });
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    expect(g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096, flush: 'none' })).ok).toBe(true);
    expect(g.smmu.take()).toEqual([]);
  });

  it('flushes the ATC of every stream of the domain, in order of StreamID', () => {
    const g = guestOnRecorder({
      ats: true,
      devices: [
        { name: 'b', vrid: 0x110, pasidBits: 0, atsCapable: true },
        { name: 'a', vrid: 8, pasidBits: 0, atsCapable: true },
        { name: 'c', vrid: 0x10, pasidBits: 0, atsCapable: false },
      ],
    });
    g.run(g.driver.boot());
    for (const device of ['b', 'a', 'c']) g.run(g.driver.attach({ device, domain: 'dma0' }));
    g.run(g.driver.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 4096 }));
    g.smmu.take();
    g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 4096 }));
    expect(g.smmu.take().slice(2)).toEqual([
      'ATC_INV sid 0x8 va 0x10000 pages 1',
      'ATC_INV sid 0x110 va 0x10000 pages 1',
      'SYNC',
    ]);
  });

  it('reports what it cannot do', () => {
    const g = attached();
    const map = (iova: number | bigint, gpa = 0x48300000, size = 4096) =>
      g.run(g.driver.map({ domain: 'dma0', iova, gpa, size })).errno;
    expect(map(0x10000)).toBeUndefined();
    expect(map(0x10000)).toBe('EEXIST');
    expect(map(0x10800)).toBe('EINVAL');
    expect(map(-4096)).toBe('EINVAL');
    expect(map(2n ** 63n)).toBe('ERANGE');
    expect(map(0x20000, 2 ** 44)).toBe('ERANGE');
    expect(g.run(g.driver.unmap({ domain: 'dma0', iova: 0x10000, size: 8192 }))).toMatchObject({
      ok: false,
      out: { unmapped: 4096 },
    });
    expect(g.run(g.driver.map({ domain: 'bypass', iova: 0, gpa: 0, size: 4096 })).errno).toBe('ENODEV');
    expect(g.run(g.driver.attach({ device: 'nobody', domain: 'dma0' })).ok).toBe(false);
  });
});

describe('deviations', () => {
  const unmapped = (deviation: string): string[] => {
    const g = attached({ ats: true, deviations: [deviation, 'vmm.not-ours'] });
    for (let at = 0; at < MiB2; at += 4096)
      g.run(g.driver.map({ domain: 'dma0', iova: MiB2 + at, gpa: 0x48400000 + at, size: 4096 }));
    g.run(g.driver.unmap({ domain: 'dma0', iova: MiB2, size: MiB2 }));
    return g.smmu.take().filter((s) => s !== 'SYNC');
  };
  const walk = `${one} 0x200000 pages 512 of 4K`;
  const leaf = `${one} 0x200000 pages 512 of 4K level 2 leaf`;
  const atc = 'ATC_INV sid 0x8 va 0x200000 pages 512';

  it.each([
    ['guest.no-tlbi', [walk, atc, atc]],
    ['guest.no-atc-inv', [walk, leaf]],
    ['guest.no-walk-flush', [atc, leaf, atc]],
    ['guest.leaf-only-walk-flush', [`${one} 0x200000 pages 512 of 4K level 3 leaf`, atc, leaf, atc]],
    ['guest.atc-before-tlbi', [atc, walk, atc, leaf]],
  ])('%s', (name, expected) => {
    expect(unmapped(name)).toEqual(expected);
  });

  it('refuses a name that does not exist', () => {
    expect(() => guestOnRecorder({ deviations: ['guest.no-such'] })).toThrow(/guest\.no-such/);
  });
});

it('an unmap of a domain that does not exist makes none', () => {
  const g = guestOnRecorder();
  g.run(g.driver.boot());
  const before = g.driver.views().domains.length;
  expect(g.run(g.driver.unmap({ domain: 'never', iova: 0x1000, size: 4096 }))).toMatchObject({
    ok: false,
    errno: 'ENODEV',
  });
  expect(g.driver.views().domains.length).toBe(before);
});
