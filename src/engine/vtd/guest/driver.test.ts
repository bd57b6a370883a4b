import { describe, expect, it } from 'vitest';
import { bareMachine } from './bare-machine.ts';
import { attached, guestOnRecorder, nic, QEMU_CAP, QEMU_ECAP } from './recording-unit.ts';

/** A register value with the address that the allocator chose taken out. */
const low = (line: string): string => line.replace(/=0x4[89a-f][0-9a-f]{3}([0-9a-f]{3})$/, '=base|$1');
const word = (w: bigint): string => w.toString(16);
const ESRTPS = 1n << 63n;
const CM = 1n << 7n;
const PRS = 1n << 29n;

describe('boot (7.1)', () => {
  it('queue, root table, page requests, fault interrupt, devices, translation', () => {
    const g = guestOnRecorder();
    expect(g.steps(g.driver.boot()).map(low)).toEqual([
      'IQA_REG=base|801',
      'GCMD_REG=0x4000000',
      'RTADDR_REG=base|400',
      'GCMD_REG=0x44000000',
      'PEDATA_REG=0x22',
      'PEADDR_REG=0xfee00000',
      'PEUADDR_REG=0x0',
      'PECTL_REG=0x0',
      'PQH_REG=0x0',
      'PQT_REG=0x0',
      'PQA_REG=base|004',
      'FEDATA_REG=0x21',
      'FEADDR_REG=0xfee00000',
      'FEUADDR_REG=0x0',
      'FECTL_REG=0x0',
      'CC_INV device sid 0x18',
      'WAIT',
      'IOTLB_INV did 0',
      'WAIT',
      'GCMD_REG=0x84000000',
    ]);
    expect(g.run(g.driver.boot()).ok).toBe(false);
  });

  it('without ESRTPS the caches are emptied, without caching mode a new context entry is nobody’s business', () => {
    const old = guestOnRecorder({ cap: QEMU_CAP & ~ESRTPS, devices: [] });
    expect(old.sent(old.driver.boot())).toEqual([
      '0000000000000011 0000000000000000',
      '0000000000000037 0000000000000000',
      '00000000000000d2 0000000000000000',
    ]);
    const real = guestOnRecorder({ cap: QEMU_CAP & ~CM });
    expect(real.sent(real.driver.boot())).toEqual([]);
    expect(real.sent(real.driver.attach({ device: 'nic0', domain: 'd0' }))).toEqual([]);
  });

  it('9.2: context entries of a device with everything and of a plain one', () => {
    const plain = { name: 'plain', vrid: 0x20, pasidBits: 0, atsCapable: false };
    const g = guestOnRecorder({ devices: [nic, plain] });
    g.ok(g.driver.boot());
    const [a, b] = g.driver.views().devices;
    const words = (at: number | null): bigint[] => [0, 1, 2, 3].map((i) => g.memory.readWord(at! + i * 8));
    expect(words(a!.context).map((w) => word(w & 0xfffn))).toEqual(['e1d', '0', '0', '0']);
    expect(words(b!.context).map((w) => word(w & 0xfffn))).toEqual(['401', '0', '0', '0']);
    const root = g.driver.views().units[0]!.root!;
    expect(g.memory.readWord(root) & 0xfffn).toBe(1n);
    expect(g.memory.readWord(root + 8)).toBe(0n);
    expect(g.events).toEqual([]);
    expect(g.driver.views().devices.map((d) => [d.contextId, d.entries])).toEqual([
      ['guest.context.0x18', []],
      ['guest.context.0x20', []],
    ]);
  });

  it('10.15: with a first stage the guest stays lazy although CM is 1; without one it cannot be', () => {
    const first = guestOnRecorder();
    first.ok(first.driver.boot());
    expect(first.driver.views().log.join()).not.toContain('batching disallowed');
    // SSTS instead of FSTS.
    const second = guestOnRecorder({ ecap: (QEMU_ECAP & ~(1n << 47n)) | (1n << 46n) });
    second.ok(second.driver.boot());
    expect(second.driver.views().log).toContain('DMAR: IOMMU batching disallowed due to virtualization');
    for (const g of [first, second]) {
      g.ok(g.driver.attach({ device: 'nic0', domain: 'd0' }));
      g.ok(g.driver.map({ domain: 'd0', iova: 0x10000, gpa: 0x41000000, size: 4096 }));
    }
    const unmap = { domain: 'd0', iova: 0x10000, size: 4096, flush: 'queued' } as const;
    expect(first.sent(first.driver.unmap(unmap))).toEqual([]);
    expect(second.sent(second.driver.unmap(unmap))).toEqual([
      '00000000000200f2 0000000000010040',
      '0000001800000003 0000000000010000',
    ]);
  });

  it('without PRS there is no page request queue, without queued invalidation no boot', () => {
    const g = guestOnRecorder({ ecap: QEMU_ECAP & ~PRS });
    g.ok(g.driver.boot());
    expect(g.driver.views().units[0]!.prq).toBeNull();
    const bare = guestOnRecorder({ ecap: QEMU_ECAP & ~2n });
    expect(bare.run(bare.driver.boot())).toMatchObject({ ok: false, errno: 'ENXIO' });
    expect(bare.run(bare.driver.attach({ device: 'nic0', domain: 'd0' }))).toMatchObject({ ok: false });
  });

  it('interrupts before boot are nobody’s', () => {
    const g = guestOnRecorder();
    g.unit.irq.fault = g.unit.irq.prq = g.unit.irq.inv = true;
    g.run(g.driver.interrupt());
    expect(g.unit.irq).toEqual({ fault: false, prq: false, inv: false });
    expect(g.unit.takeSeen()).toEqual([]);
  });

  it('a unit whose status does not follow is a panic, told as a refusal', () => {
    const g = guestOnRecorder();
    g.unit.deaf = true;
    expect(g.run(g.driver.boot())).toMatchObject({ ok: false, errno: 'ENXIO' });
    expect(g.run(g.driver.boot()).text).toContain('malfunctioning');
  });
});

describe('attach (7.2, 7.8)', () => {
  it('a DMA domain: fields, P, then PC and P_IOTLB of caching mode', () => {
    const g = guestOnRecorder();
    g.ok(g.driver.boot());
    const writes: string[] = [];
    g.trace.listener = (e) => {
      if (e.kind === 'table.write') writes.push(`${e.at} ${e.text}`);
    };
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd0' }))).toEqual([
      '0000000000020017 0000000000000000',
      '0000000000020026 0000000000000000',
    ]);
    const [d] = g.driver.views().domains;
    const root = word(BigInt(d!.root)).padStart(16, '0');
    expect(writes.map((w) => w.replace(/at 0x.*/, ''))).toEqual([
      expect.stringMatching(/^guest\.context\.0x18 PASID directory entry of nic0, PASIDs from 0x0: qw0 0x[0-9a-f]+1$/),
      `guest.pasid.0x18.0x0 PASID entry of nic0, PASID 0x0: qw2 0x${root}`,
      'guest.pasid.0x18.0x0 PASID entry of nic0, PASID 0x0: qw1 0x0000000000000002',
      'guest.pasid.0x18.0x0 PASID entry of nic0, PASID 0x0: qw0 0x0000000000000048',
      'guest.pasid.0x18.0x0 PASID entry of nic0, PASID 0x0: qw0 0x0000000000000049',
    ]);
    expect(d).toMatchObject({ id: 'guest.fs.d0', levels: 4, dids: [{ unit: 'vdmar0', did: 2 }] });
    expect(d!.tags.map((t) => [t.type, t.did, t.pasid])).toEqual([
      ['iotlb', 2, 0],
      ['devtlb', 2, 0],
    ]);
  });

  it('9.7: a domain takes another’s place: torn down with P_IOTLB, DID freed and taken again', () => {
    const g = attached();
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd1' }))).toEqual([
      '0000000000020017 0000000000000000',
      '0000000000020026 0000000000000000',
      '0000001800000003 7ffffffffffff001',
      '0000000000020017 0000000000000000',
      '0000000000020026 0000000000000000',
    ]);
    expect(g.driver.views().domains.map((d) => d.dids)).toEqual([[], [{ unit: 'vdmar0', did: 2 }]]);
    // The same once more: nothing happens.
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd1' }))).toEqual([]);
  });

  it('pass-through: entry 0x109 with DID 1, and back', () => {
    const g = attached();
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'bypass' })).slice(3)).toEqual([
      '0000000000010017 0000000000000000',
      '0000000000010026 0000000000000000',
    ]);
    const [entry] = g.driver.views().devices[0]!.entries;
    const words = Array.from({ length: 8 }, (_, i) => word(g.memory.readWord(entry!.address + i * 8)));
    expect(words).toEqual(['109', '1', '0', '0', '0', '0', '0', '0']);
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd0' })).slice(0, 3)).toEqual([
      '0000000000010017 0000000000000000',
      '0000000000010026 0000000000000000',
      '0000001800000003 7ffffffffffff001',
    ]);
  });

  it('detach leaves an entry that is all zero', () => {
    const g = attached();
    const [entry] = g.driver.views().devices[0]!.entries;
    g.ok(g.driver.detach({ device: 'nic0' }));
    for (let i = 0; i < 8; i++) expect(g.memory.readWord(entry!.address + i * 8)).toBe(0n);
    expect(g.driver.views().devices[0]).toMatchObject({ domain: 'blocked', entries: [] });
    expect(g.sent(g.driver.detach({ device: 'nic0' }))).toEqual([]);
  });

  it('a PASID of a device: tags before the entry, type 8 for its TLB', () => {
    const g = attached();
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 0x1234 }))).toEqual([
      '0000123400030017 0000000000000000',
      '0000123400030026 0000000000000000',
    ]);
    expect(g.driver.views().devices[0]!.entries.map((e) => e.id)).toEqual([
      'guest.pasid.0x18.0x0',
      'guest.pasid.0x18.0x1234',
    ]);
    expect(g.sent(g.driver.detach({ device: 'nic0', pasid: 0x1234 }))).toEqual([
      '0000123400030017 0000000000000000',
      '0000123400030026 0000000000000000',
      '0000123400180008 7ffffffffffff800',
    ]);
    expect(g.driver.views().devices[0]!.pasids).toEqual([]);
  });

  it('10.14: a PASID directory page is added without an invalidation', () => {
    const g = attached({ cap: QEMU_CAP & ~CM });
    expect(g.sent(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 0x5000 }))).toEqual([]);
  });

  it.each([
    [{ device: 'nic0', domain: 'd0', cdTable: 'nic1' }, 'EINVAL', 'VT-d has no CD tables'],
    [{ device: 'nic0', domain: 'd0', pasid: 0 }, 'EINVAL', 'PASID 0 stands for'],
    [{ device: 'nic0', domain: 'd0', pasid: 2 ** 20 }, 'EINVAL', 'PASIDs below 1048576'],
    [{ device: 'nic0', domain: '', pasid: 4 }, undefined, 'needs a name'],
    [{ device: 'nic0', domain: '' }, undefined, 'needs a name'],
    [{ device: 'nic9', domain: 'd0' }, undefined, 'no device is named'],
  ])('refuses %o', (o, errno, text) => {
    const g = attached();
    const r = g.run(g.driver.attach(o));
    expect([r.ok, r.errno]).toEqual([false, errno]);
    expect(r.text).toContain(text);
    expect(g.unit.takeWords()).toEqual([]);
  });

  it('a device without PASIDs has none to attach', () => {
    const g = attached({ devices: [{ ...nic, pasidBits: 0 }] });
    expect(g.run(g.driver.attach({ device: 'nic0', domain: 'd1', pasid: 4 })).errno).toBe('EOPNOTSUPP');
    expect(g.run(g.driver.bind({ device: 'nic0', process: 'p' })).errno).toBe('ENOSPC');
  });
});

it('a device for whose tables there are no pages is left out at boot, and may be probed later', () => {
  // The page request queue ends with the last page; the two in a row for the device's directory are not to be had.
  const m = bareMachine({ pages: 32 });
  const r = m.run(m.driver.boot());
  expect(r).toMatchObject({ ok: false, errno: 'ENOMEM' });
  expect(r.text).toContain('0 devices behind its IOMMU; nic0: the guest has no free pages');
  expect(m.driver.views()).toMatchObject({ booted: true, devices: [] });
  expect(m.driver.kernel.state.devices).toEqual([]);
  // Translation is on.
  expect(m.dma(0x1000)).toMatchObject({ ok: false });
  expect(m.run(m.driver.attach({ device: 'nic0', domain: 'bypass' })).errno).toBe('ENOMEM');
});

describe('several units', () => {
  it('each has its queue, its ids and its DIDs; a domain may be behind both', () => {
    const nic1 = { ...nic, name: 'nic1', vrid: 0x28 };
    const g = guestOnRecorder({ devices: [nic, nic1], second: ['nic1'] });
    g.ok(g.driver.boot());
    g.ok(g.driver.attach({ device: 'nic1', domain: 'other' }));
    g.ok(g.driver.attach({ device: 'nic0', domain: 'both' }));
    g.ok(g.driver.attach({ device: 'nic1', domain: 'both', pasid: 7 }));
    expect(g.driver.views().domains.find((d) => d.name === 'both')!.dids).toEqual([
      { unit: 'vdmar0', did: 2 },
      { unit: 'vdmar1', did: 3 },
    ]);
    expect(g.driver.views().devices.map((d) => d.entries.map((e) => e.id))).toEqual([
      ['guest.vm1.vdmar0.pasid.0x18.0x0'],
      ['guest.vm1.vdmar1.pasid.0x28.0x0', 'guest.vm1.vdmar1.pasid.0x28.0x7'],
    ]);
    g.unit.takeWords();
    g.unit1.takeWords();
    g.ok(g.driver.map({ domain: 'both', iova: 0x10000, gpa: 0x41000000, size: 4096 }));
    g.ok(g.driver.unmap({ domain: 'both', iova: 0x10000, size: 4096 }));
    expect(g.unit.takeWords()).toEqual(['0000000000020036 0000000000010040', '0000001800000003 0000000000010000']);
    expect(g.unit1.takeWords()).toEqual(['0000000700030036 0000000000010040', '0000000700280008 0000000000010000']);
    expect(g.run(g.driver.invalidate([0x11n], 'vdmar1'))).toMatchObject({ ok: true });
    expect(g.unit1.takeWords()).toEqual(['0000000000000011 0000000000000000']);
    expect(g.run(g.driver.invalidate([0x11n], 'vdmar9')).ok).toBe(false);
  });
});

it('save and load bring everything back, memory aside', () => {
  const g = attached();
  g.ok(g.driver.bind({ device: 'nic0', process: 'p' }));
  const saved = structuredClone(g.driver.save());
  const before = g.driver.views();
  g.ok(g.driver.detach({ device: 'nic0' }));
  g.ok(g.driver.unbind({ device: 'nic0', process: 'p' }));
  g.driver.load(saved);
  expect({ ...g.driver.views(), devices: [] }).toEqual({ ...before, devices: [] });
  expect(g.driver.save()).toEqual(saved);
});
