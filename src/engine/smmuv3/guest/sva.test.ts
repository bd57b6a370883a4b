import { describe, expect, it } from 'vitest';
import { guestOnRecorder, type RecorderOptions } from './recording-smmu.ts';

const nic0 = { name: 'nic0', vrid: 8, pasidBits: 8, atsCapable: true };
const nic1 = { ...nic0, name: 'nic1', vrid: 16 };
const cd = (sid: string, ssid: number): string[] => [`CFGI_CD sid ${sid} ssid 0x${ssid.toString(16)} leaf`, 'SYNC'];
const times = (n: number, list: string[]): string[] => Array.from({ length: n }, () => list).flat();

function booted(o: RecorderOptions = {}) {
  const g = guestOnRecorder({ ats: true, ssidBits: 8, devices: [nic0, nic1], ...o });
  g.ok(g.driver.boot());
  const { driver } = g;
  const view = (name = 'nic0') => driver.views().devices.find((d) => d.name === name)!;
  const cdWord = (ssid: number, i: number): bigint => g.memory.readWord(view().ownTable!.address + ssid * 64 + i * 8);
  const bind = (device = 'nic0', process = 'app', pasid?: number) =>
    g.run(driver.bind({ device, process, ...(pasid ? { pasid } : {}) }));
  return { ...g, view, cdWord, bind };
}

describe('bind (arm-smmuv3.md 7.6)', () => {
  it('writes the CD of the PASID with the process’s page table and the CPU’s attributes', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    const r = g.driver.bind({ device: 'nic0', process: 'app' });
    expect(g.sent(r)).toEqual([...times(2, cd('0x8', 1)), 'ATC_INV sid 0x8 ssid 0x1 all', 'SYNC']);
    const process = g.driver.views().processes[0]!;
    expect(process).toMatchObject({ name: 'app', id: 'guest.s1.app', pasid: 1, spaces: [{ asid: 2 }] });
    // T0SZ 16, TG0 4K, walks write-back and inner shareable, EPD1, V, IPS 44 bits, AA64, R, A, ASET, ASID 2.
    expect(g.cdWord(1, 0)).toBe(0x0002e204c0003510n);
    expect(g.cdWord(1, 1)).toBe(BigInt(process.pgd));
    // MAIR_EL1 of arm64 Linux, not the driver's own.
    expect(g.cdWord(1, 3)).toBe(0x040044ffffn);
  });

  it('one PASID a process, the lowest free one, the same on every device; one domain an SMMU', () => {
    const g = booted();
    expect(g.bind('nic0', 'a')).toMatchObject({ ok: true, main: 1, out: { pasid: 1 } });
    expect(g.bind('nic0', 'b')).toMatchObject({ main: 2 });
    expect(g.bind('nic1', 'b')).toMatchObject({ main: 2 });
    const asids = g.driver.views().processes.map((p) => p.spaces.map((s) => s.asid));
    expect(asids).toEqual([[1], [2]]);
    expect(g.view('nic1').pasids).toEqual([{ pasid: 2, kind: 'process', name: 'b', users: 1 }]);
    // A PASID is free again when its process has gone, and so is the ASID.
    g.ok(g.driver.unbind({ device: 'nic0', process: 'a' }));
    expect(g.bind('nic0', 'c')).toMatchObject({ main: 3 });
    g.ok(g.driver.exit({ process: 'a' }));
    expect(g.bind('nic0', 'd')).toMatchObject({ main: 1 });
    // c took ASID 1 when a had left it.
    expect(g.driver.views().processes.map((p) => [p.name, p.spaces[0]?.asid])).toEqual([
      ['b', 2],
      ['c', 1],
      ['d', 3],
    ]);
  });

  it('a second bind of a device only counts, and takes a second unbind', () => {
    const g = booted();
    expect(g.bind().ok).toBe(true);
    g.smmu.take();
    expect(g.bind().ok).toBe(true);
    expect(g.smmu.take()).toEqual([]);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'app' }))).toEqual([]);
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'app' }))[0]).toBe(cd('0x8', 1)[0]);
    expect(g.run(g.driver.unbind({ device: 'nic0', process: 'app' }))).toMatchObject({ ok: false, errno: 'ENOENT' });
  });

  it('a PASID can be chosen, not twice', () => {
    const g = booted();
    expect(g.bind('nic0', 'a', 40)).toMatchObject({ ok: true, main: 40 });
    expect(g.bind('nic1', 'a', 41)).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(g.bind('nic1', 'b', 40)).toMatchObject({ ok: false, errno: 'ENOSPC' });
    expect(g.bind('nic1', 'b', 256)).toMatchObject({ ok: false, errno: 'ENOSPC' });
    g.ok(g.driver.attach({ device: 'nic1', domain: 'dma0', pasid: 41 }));
    expect(g.bind('nic1', 'c', 41)).toMatchObject({ ok: false, errno: 'EBUSY' });
  });

  it.each([
    ['a walker that does not snoop', { coherent: false }, 'EOPNOTSUPP'],
    ['narrower output addresses than the CPU’s', { cpu: { paBits: 48, asidBits: 16 } as const }, 'EOPNOTSUPP'],
    ['8-bit ASIDs under a 16-bit CPU', { asid16: false }, 'EOPNOTSUPP'],
    ['no granule of the CPU’s page size', { sizes: 0x64n }, 'EOPNOTSUPP'],
    ['64 KiB pages without that granule', { sizes: 0x34n, page: 65536 } as const, 'EOPNOTSUPP'],
    ['no SubstreamIDs', { ssidBits: 0 }, 'ENOSPC'],
  ] as const)('%s: no SVA', (_why, o, errno) => {
    const g = booted(o);
    expect(g.bind()).toMatchObject({ ok: false, errno });
    expect(g.driver.views().processes).toEqual([]);
  });

  it.each([
    ['8-bit ASIDs on both sides', { asid16: false, cpu: { paBits: 40, asidBits: 8 } as const }, 0xe202c0003510n],
    ['a narrower CPU', { cpu: { paBits: 36, asidBits: 16 } as const }, 0xe201c0003510n],
    ['64 KiB pages', { page: 65536 } as const, 0xe204c0003550n],
    ['16 KiB pages', { page: 16384 } as const, 0xe204c0003590n],
  ] as const)('%s: IPS and TG0 follow', (_why, o, word) => {
    const g = booted(o);
    expect(g.bind().ok).toBe(true);
    expect(g.cdWord(1, 0)).toBe((1n << 48n) | word);
  });

  it('a process is no domain and a domain no process', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    expect(g.bind('nic0', 'dma0')).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(g.bind().ok).toBe(true);
    expect(g.run(g.driver.attach({ device: 'nic1', domain: 'app' }))).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'dma0', pasid: 1 }))).toMatchObject({ errno: 'EBUSY' });
    expect(g.run(g.driver.detach({ device: 'nic0', pasid: 1 }))).toMatchObject({ errno: 'EBUSY' });
    const unmap = g.driver.unmap({ domain: 'app', iova: 0, size: 4096, flush: 'queued' });
    expect(g.run(unmap)).toMatchObject({ ok: false });
  });
});

describe('the notifier (arm_smmu_mm_arch_invalidate_secondary_tlbs)', () => {
  const notified = (pages: number, o: RecorderOptions = {}, va = 0x400000): string[] => {
    const g = booted(o);
    const page = o.page ?? 4096;
    for (const device of ['nic0', 'nic1']) g.bind(device);
    const map = (at: number, n: number) =>
      g.ok(g.driver.map({ domain: 'app', iova: at, gpa: 0x40000000, size: n * page }));
    expect(g.sent(g.driver.map({ domain: 'app', iova: va, gpa: 0x40000000, size: pages * page }))).toEqual([]);
    map(va + pages * page, 1);
    return g.sent(g.driver.unmap({ domain: 'app', iova: va, size: pages * page }));
  };

  it('is never leaf only; one page becomes two, an odd count one more', () => {
    expect(notified(1)).toEqual([
      'TLBI_NH_VA asid 1 va 0x400000 pages 2 of 4K',
      'SYNC',
      'ATC_INV sid 0x8 ssid 0x1 va 0x400000 pages 1',
      'ATC_INV sid 0x10 ssid 0x1 va 0x400000 pages 1',
      'SYNC',
    ]);
    // 33 pages: one command that covers 34 (arm-smmuv3.md 2.2).
    expect(notified(33).slice(0, 2)).toEqual(['TLBI_NH_VA asid 1 va 0x400000 pages 34 of 4K', 'SYNC']);
    expect(notified(45).slice(0, 3)).toEqual([
      'TLBI_NH_VA asid 1 va 0x400000 pages 13 of 4K',
      'TLBI_NH_VA asid 1 va 0x40d000 pages 32 of 4K',
      'SYNC',
    ]);
    expect(notified(1, { page: 65536 }, 0x20000000)[0]).toBe('TLBI_NH_VA asid 1 va 0x20000000 pages 2 of 64K');
    expect(notified(1, { page: 16384 }, 0x20000000)[0]).toBe('TLBI_NH_VA asid 1 va 0x20000000 pages 2 of 16K');
  });

  it('without range commands: one a page, from 512 on the whole ASID', () => {
    expect(notified(2, { ril: false, ats: false })).toEqual([
      'TLBI_NH_VA asid 1 va 0x400000',
      'TLBI_NH_VA asid 1 va 0x401000',
      'SYNC',
    ]);
    expect(notified(511, { ril: false, ats: false })).toHaveLength(512);
    expect(notified(512, { ril: false, ats: false })).toEqual(['TLBI_NH_ASID asid 1', 'SYNC']);
  });

  it('a table of pages that covers no area any more goes along, from its start', () => {
    const g = booted({ ats: false });
    g.bind();
    const map = (iova: number, size: number) => g.ok(g.driver.map({ domain: 'app', iova, gpa: 0x40000000, size }));
    map(0x7f0000210000, 4096);
    map(0x7f0000400000, 4096);
    // The only area in its 2 MiB: from the table's first page to the unmapped one, 17 pages.
    expect(g.sent(g.driver.unmap({ domain: 'app', iova: 0x7f0000210000, size: 4096 }))).toEqual([
      'TLBI_NH_VA asid 1 va 0x7f0000200000 pages 17 of 4K',
      'SYNC',
    ]);
    // Nothing present, nothing flushed.
    g.ok(g.driver.map({ domain: 'app', iova: 0x10000, gpa: 0x40000000, size: 8192, present: false }));
    expect(g.sent(g.driver.unmap({ domain: 'app', iova: 0x10000, size: 8192 }))).toEqual([]);
    expect(g.run(g.driver.unmap({ domain: 'app', iova: 0x10800, size: 4096 }))).toMatchObject({ errno: 'EINVAL' });
  });

  it('says nothing when it is told to forget', () => {
    const g = booted();
    g.bind();
    g.ok(g.driver.map({ domain: 'app', iova: 0x10000, gpa: 0x40000000, size: 4096 }));
    expect(g.sent(g.driver.unmap({ domain: 'app', iova: 0x10000, size: 4096, flush: 'none' }))).toEqual([]);
  });
});

describe('exit and unbind (arm-smmuv3.md 7.6)', () => {
  it('exit first: the CD goes quiet in two steps that keep V, then ASID and ATC', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.bind();
    g.ok(g.driver.map({ domain: 'app', iova: 0x400000, gpa: 0x40000000, size: 8192 }));
    const states: bigint[] = [];
    g.trace.listener = (e) => {
      if (e.kind === 'table.write' && e.layout === 'smmuv3.cd') states.push(e.words[0]!, e.words[1]!);
    };
    const { pgd } = g.driver.views().processes[0]!;
    expect(g.sent(g.driver.exit({ process: 'app' }))).toEqual([
      ...times(2, cd('0x8', 1)),
      'TLBI_NH_ASID asid 2',
      'SYNC',
      'ATC_INV sid 0x8 ssid 0x1 all',
      'SYNC',
    ]);
    // EPD0 and EPD1 set, no S, no R; V, A, ASID stay.
    const quiet = 0x0002c204c0004000n;
    expect(states).toEqual([quiet, BigInt(pgd), quiet, 0n]);
    expect(g.driver.views().processes).toMatchObject([{ exited: true, pasid: 1, areas: [] }]);
    expect(g.run(g.driver.map({ domain: 'app', iova: 0, gpa: 0x40000000, size: 4096 }))).toMatchObject({
      errno: 'ESRCH',
    });
    expect(g.bind('nic1')).toMatchObject({ ok: false, errno: 'EINVAL' });
    expect(g.run(g.driver.exit({ process: 'app' }))).toMatchObject({ errno: 'ESRCH' });
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'app' }))).toEqual([
      ...times(2, cd('0x8', 1)),
      'ATC_INV sid 0x8 ssid 0x1 all',
      'SYNC',
      'TLBI_NH_ASID asid 2',
      'SYNC',
    ]);
    expect(g.driver.views().processes).toEqual([]);
  });

  it('unbind first: the CD is cleared, the last device’s ASID flushed; exit then says nothing', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.bind();
    g.bind('nic1');
    expect(g.sent(g.driver.unbind({ device: 'nic0', process: 'app' }))).toEqual([
      ...times(2, cd('0x8', 1)),
      'ATC_INV sid 0x8 ssid 0x1 all',
      'SYNC',
    ]);
    // nic1's RID was never attached: its STE goes back to abort.
    expect(g.sent(g.driver.unbind({ device: 'nic1', process: 'app' }))).toEqual([
      ...times(2, cd('0x10', 1)),
      'ATC_INV sid 0x10 ssid 0x1 all',
      'SYNC',
      'TLBI_NH_ASID asid 2',
      'SYNC',
      'CFGI_STE sid 0x10 leaf',
      'SYNC',
      'CFGI_STE sid 0x10 leaf',
      'SYNC',
      'PREFETCH_CONFIG sid 0x10',
      'ATC_INV sid 0x10 all',
      'SYNC',
    ]);
    expect(g.sent(g.driver.exit({ process: 'app' }))).toEqual([]);
    expect(g.driver.views().processes).toEqual([]);
  });

  it('gives every page back', () => {
    const g = booted();
    g.ok(g.driver.attach({ device: 'nic0', domain: 'dma0' }));
    g.bind();
    g.ok(g.driver.unbind({ device: 'nic0', process: 'app' }));
    g.ok(g.driver.exit({ process: 'app' }));
    const lifetime = (): number => {
      g.bind();
      g.ok(g.driver.map({ domain: 'app', iova: 0x7f0000000000, gpa: 0x40000000, size: 2 ** 22 + 8192 }));
      g.ok(g.driver.unmap({ domain: 'app', iova: 0x7f0000000000, size: 2 ** 21 }));
      g.ok(g.driver.exit({ process: 'app' }));
      g.ok(g.driver.unbind({ device: 'nic0', process: 'app' }));
      const { next, free } = g.pages.save();
      return next - free.reduce((sum, f) => sum + f.size, 0);
    };
    const { next, free } = g.pages.save();
    expect(lifetime()).toBe(next - free.reduce((sum, f) => sum + f.size, 0));
  });

  it('a device that is unplugged is unbound first', () => {
    const g = booted();
    g.bind();
    g.bind();
    g.ok(g.driver.remove({ device: 'nic0' }));
    expect(g.driver.views()).toMatchObject({ devices: [{ name: 'nic1' }], processes: [{ spaces: [] }] });
  });
});
