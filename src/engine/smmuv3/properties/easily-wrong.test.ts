import { describe, expect, it } from 'vitest';
import type { StepRecord } from '../../document/index.ts';
import { nic0, nic1, Played } from './played-document.ts';

/**
 * What implementers of nested SMMUv3 translation get wrong, one test for each: bytes in tables and queues, moved by the
 * operations of a document.
 */

const CFGI_STE = [0x0000_0008_0000_0003n, 1n];
const NSNH_ALL = [0x30n, 0n];
const ID = {
  NH_ALL: 0x10,
  NH_ASID: 0x11,
  NH_VA: 0x12,
  S2_IPA: 0x2a,
  ATC_INV: 0x40,
  CFGI_STE: 0x03,
  CFGI_CD: 0x05,
  SYNC: 0x46,
  PREFETCH: 0x01,
};
const calls = (r: StepRecord): string[] => r.events.flatMap((e) => (e.kind === 'ioctl.enter' ? [e.call] : []));

describe('points easily got wrong', () => {
  it('1: a vSTE with V = 0 is accepted and aborts silently; no C_BAD_STE reaches the guest', () => {
    const p = new Played();
    p.attach();
    p.map(0x10000, 0x40200000);
    expect(p.dma(0x10000).ok).toBe(true);
    const at = p.steAt('virtual', 8);
    const [w0] = p.read('guest', at, 1);
    p.write('guest', at, [w0! & ~1n]);
    const events = p.prod('virtual', 'EVENTQ');
    const physical = p.prod('physical', 'EVENTQ');
    const r = p.command(CFGI_STE);
    expect(p.register('virtual', 'CMDQ_CONS') >> 24n).toBe(0n);
    expect(r.events.filter((e) => e.kind === 'ioctl.exit').map((e) => e.errno)).not.toContain('EIO');
    expect(p.ste('physical', 0x108)).toEqual([1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n]);
    expect(p.dma(0x10000)).toMatchObject({ ok: false });
    expect(p.dma(0x10000).fault).toBe(undefined);
    expect(p.prod('virtual', 'EVENTQ')).toBe(events);
    expect(p.prod('physical', 'EVENTQ')).toBe(physical);
  });

  it('2: faults of stage 2 and of fetches stay on the host', () => {
    const p = new Played();
    p.attach();
    p.map(0x10000, 0x9000_0000);
    const guest = p.prod('virtual', 'EVENTQ');
    let host = p.prod('physical', 'EVENTQ');
    expect(p.dma(0x10000, { access: 'write' }).fault!.name).toBe('F_TRANSLATION');
    // Input class, stage 2, write; the intermediate address.
    expect(p.entries('physical', 'EVENTQ', host)).toEqual([
      [0x0000_0108_0000_0010n, 0x0000_0280_0000_0000n, 0x10000n, 0x9000_0000n],
    ]);
    expect(p.prod('virtual', 'EVENTQ')).toBe(guest);
    // A fault of stage 1 goes on to the guest, under the guest's StreamID.
    host = p.prod('physical', 'EVENTQ');
    p.dma(0xfffff040n, { access: 'write' });
    expect(p.entries('physical', 'EVENTQ', host)).toEqual([
      [0x0000_0108_0000_0010n, 0x0000_0200_0000_0000n, 0xfffff040n, 0n],
    ]);
    expect(p.entries('virtual', 'EVENTQ', guest)).toEqual([
      [0x0000_0008_0000_0010n, 0x0000_0200_0000_0000n, 0xfffff040n, 0n],
    ]);
    // A CD outside stage 2: a stage-2 fault of class CD; a CD behind nothing at all: no event of the guest's either.
    const after = p.prod('virtual', 'EVENTQ');
    const at = p.steAt('virtual', 8);
    const [w0] = p.read('guest', at, 1);
    p.write('guest', at, [(w0! & ~0xfffffffffffc0n) | 0x9000_0000n]);
    p.command(CFGI_STE);
    p.command([0x0000_0008_0000_0005n, 1n]);
    host = p.prod('physical', 'EVENTQ');
    p.dma(0x20000);
    expect(p.entries('physical', 'EVENTQ', host)).toEqual([
      [0x0000_0108_0000_0010n, 0x0000_0088_0000_0000n, 0x20000n, 0x9000_0000n],
    ]);
    expect(p.prod('virtual', 'EVENTQ')).toBe(after);
  });

  it('3: replacing one nested vSTE by another sends no TLBI: what the guest does not invalidate survives', () => {
    const p = new Played();
    p.attach();
    p.map(0x10000, 0x40200000);
    p.dma(0x10000);
    const at = p.steAt('virtual', 8);
    const [, w1] = p.read('guest', at, 2);
    p.write('guest', at + 8n, [w1! ^ 0x28n]);
    const sent = p.opcodes(() => p.command(CFGI_STE));
    expect(sent).toContain(ID.CFGI_STE);
    expect(sent.filter((op) => op >= 0x10 && op < 0x40)).toEqual([]);
    expect(p.cached('IOTLB')).toMatchObject([{ vmid: 1n, asid: 1n, va: 0x10000n }]);
  });

  it('4: TLBI_S2_IPA alone leaves combined entries: NH_ALL of the VMID follows, then the whole ATC', () => {
    const sequence = (deviations: readonly string[]): [bigint[][], Played] => {
      const p = new Played({ deviations });
      p.do({ do: 'vmm.map', gpa: '0x90000000', size: '2MiB' });
      p.attach();
      p.map(0x10000, 0x9000_0000);
      p.dma(0x10000, { ats: 'translated' });
      expect(p.cached('IOTLB').length).toBe(1);
      return [p.sent(() => p.do({ do: 'vmm.unmap', gpa: '0x90000000', size: '2MiB' })), p];
    };
    const [all, p] = sequence([]);
    expect(all.map((w) => Number(w[0]! & 0xffn))).toEqual([ID.S2_IPA, ID.NH_ALL, ID.ATC_INV]);
    expect(all[1]).toEqual([0x0000_0001_0000_0010n, 0n]);
    expect(all[2]).toEqual([0x0000_0108_0000_0040n, 0x34n]);
    expect(p.cached('IOTLB')).toEqual([]);
    expect(p.cached('ATC')).toEqual([]);
    const [short, q] = sequence(['host.unmap-no-nh-all']);
    expect(short.map((w) => Number(w[0]! & 0xffn))).not.toContain(ID.NH_ALL);
    expect(q.cached('IOTLB').length).toBe(1);
    expect(q.dma(0x10000)).toMatchObject({ ok: true, hit: 'IOTLB' });
  });

  it('5: the VMID is that of the nesting parent: vIOMMUs on one parent share it', () => {
    const p = new Played({ setup: 'plugged', devices: [nic0] });
    // The plugged VMM has IOAS, device, nesting parent and vIOMMU; a second vIOMMU on the same parent is made beside it.
    const parent = p.session.steps[0]!.events.flatMap((e) =>
      e.kind === 'object.create' && /HWPT/.test(e.type) ? [e.id] : [],
    )[0]!;
    const dev = p.session.steps[0]!.events.flatMap((e) =>
      e.kind === 'object.create' && /DEVICE/i.test(e.type) && !/V/.test(e.type) ? [e.id] : [],
    );
    const device = dev[0] ?? 2;
    const alloc = { do: 'ioctl', call: 'IOMMU_VIOMMU_ALLOC', in: { type: 1, dev_id: device, hwpt_id: parent } };
    const ids = [p.do(alloc), p.do(alloc)].map((r) => {
      expect(r.result.errno).toBe('0');
      return r.result.out!['out_viommu_id'] as number;
    });
    expect(ids[0]).not.toBe(ids[1]);
    const sent = ids.map((id) =>
      p.sent(() =>
        p.do({
          do: 'ioctl',
          call: 'IOMMU_HWPT_INVALIDATE',
          in: {
            hwpt_id: id,
            data_type: 1,
            entry_len: 16,
            entry_num: 1,
            entries: [{ cmd: ['0x0007000000000011', '0x0'] }],
          },
        }),
      ),
    );
    expect(sent[0]).toEqual([[0x0007_0001_0000_0011n, 0n]]);
    expect(sent[1]).toEqual(sent[0]);
  });

  const invalidate = (entries: readonly (readonly [string, string])[], n = entries.length): object => ({
    do: 'ioctl',
    call: 'IOMMU_HWPT_INVALIDATE',
    in: { hwpt_id: 4, data_type: 1, entry_len: 16, entry_num: n, entries: entries.map((cmd) => ({ cmd })) },
  });

  it('6: the index of an error counts commands that were never issued', () => {
    const p = new Played();
    p.attach();
    p.map(0x10000, 0x40200000);
    p.dma(0x10000);
    const before = p.prod('physical', 'CMDQ');
    const r = p.do(
      invalidate([
        ['0x11', '0x0'],
        ['0x0001000000000012', '0x10701'],
        ['0x2a', '0x0'],
      ]),
    );
    expect(r.result).toMatchObject({ errno: 'EIO', out: { entry_num: 2 } });
    expect(p.prod('physical', 'CMDQ')).toBe(before);
    expect(p.cached('IOTLB').length).toBe(1);
  });

  it('7: no entries is EINVAL', () => {
    const p = new Played();
    expect(p.do(invalidate([], 0)).result).toMatchObject({ errno: 'EINVAL', out: { entry_num: 0 } });
  });

  it('8: reserved bits of a forwarded command reach the hardware', () => {
    const p = new Played();
    p.attach();
    const [sent] = p.sent(() => p.command([0x0001_0000_4000_0011n, 0xdead_0000_0000n]));
    expect(sent).toEqual([0x0001_0001_4000_0011n, 0xdead_0000_0000n]);
    // One of them makes it an illegal command: CERROR_ILL on the physical queue, which the driver repairs with a SYNC.
    const from = p.prod('physical', 'CMDQ');
    const r = p.command([0x0001_0000_0000_0411n, 0n]);
    expect(
      r.events
        .filter((e) => e.kind === 'command.error' && e.queue === 'physical')
        .map((e) => e.kind === 'command.error' && e.error),
    ).toEqual(['CERROR_ILL']);
    expect(p.entries('physical', 'CMDQ', from).map((w) => Number(w[0]! & 0xffn))).toEqual([ID.SYNC, 0]);
    expect(p.register('virtual', 'CMDQ_CONS') >> 24n).toBe(0n);
    expect(p.register('physical', 'GERROR')).toBe(p.register('physical', 'GERRORN'));
  });

  it('9: NSNH_ALL becomes NH_ALL of the VMID: entries of stage 2 alone stay', () => {
    const p = new Played();
    p.attach();
    p.map(0x10000, 0x40200000);
    p.dma(0x10000);
    const s2 = p.cached('S2 TLB');
    expect(s2.length).toBeGreaterThan(0);
    expect(p.sent(() => p.command(NSNH_ALL))).toEqual([[0x0000_0001_0000_0010n, 0n]]);
    expect(p.cached('IOTLB')).toEqual([]);
    expect(p.cached('S1 walk')).toEqual([]);
    expect(p.cached('S2 TLB')).toEqual(s2);
  });

  it('10: ranges: a single page that is not leaf-only covers two; TTL tells the level of the leaf', () => {
    const p = new Played();
    p.attach();
    for (const i of [0, 1, 2]) {
      p.map(0x10000 + i * 4096, 0x40200000 + i * 4096);
      p.dma(0x10000 + i * 4096);
    }
    // NUM 0, SCALE 1, TTL 0, Leaf 0: the form that Linux uses for one page.
    p.command([0x0001_0000_0010_0012n, 0x10400n]);
    expect(p.cached('IOTLB').map((e) => e['va'])).toEqual([0x12000n]);
    // NUM, SCALE and TTL all zero with TG set would be illegal: CERROR_ILL.
    const r = p.command([0x0001_0000_0000_0012n, 0x12400n]);
    expect(r.events.some((e) => e.kind === 'command.error' && e.error === 'CERROR_ILL')).toBe(true);
    // 4 KiB: TTL 3; 2 MiB: TTL 2; 1 GiB: TTL 1.
    const page = p.sent(() => p.unmap(0x12000));
    expect(page).toContainEqual([0x0001_0001_0000_0012n, 0x12701n]);
    p.map(0x20_0000, 0x40200000, { size: '2MiB' });
    expect(p.sent(() => p.unmap(0x20_0000, { size: '2MiB' }))).toContainEqual([0x0001_0001_0090_0012n, 0x20_0601n]);
    p.map(0x4000_0000, 0x4000_0000, { size: '1GiB' });
    expect(p.sent(() => p.unmap(0x4000_0000, { size: '1GiB' }))).toContainEqual([0x0001_0001_0120_0012n, 0x4000_0501n]);
  });

  it('11: the attach of a guest is two CFGI_STE traps, abort and then nested; CFGI_CD without a vDEVICE goes nowhere', () => {
    const p = new Played({ devices: [nic0, nic1] });
    const r = p.attach();
    const attached = r.events.flatMap((e) => (e.kind === 'attach' ? [e.text] : []));
    expect(calls(r).filter((c) => c.includes('ATTACH')).length).toBe(2);
    expect(calls(r).filter((c) => c.includes('HWPT_ALLOC')).length).toBe(1);
    expect(attached.length).toBeGreaterThanOrEqual(2);
    // The host's writes of the STE's word 0, in order: abort, then nested.
    const at = p.steAt('physical', 0x108);
    const words = r.events.flatMap((e) =>
      e.kind === 'table.write' && e.space === 'host' && BigInt(e.address) === at ? [e.words[0]!] : [],
    );
    const configs = words.map((w) => Number((w >> 1n) & 7n));
    expect(configs.filter((c, i) => c !== configs[i - 1])).toEqual([0, 7]);
    expect(p.opcodes(() => p.command(CFGI_STE)).filter((op) => op === ID.CFGI_STE)).toEqual([]);
    expect(p.ste('virtual', 8)[0]! & 0xfn).toBe(0xbn);
    // A device plugged after the guest has booted has no vDEVICE before its first CFGI_STE.
    p.do({ do: 'vmm.unplug', device: 'nic1' });
    p.do({ do: 'vmm.plug', device: 'nic1' });
    const before = p.prod('physical', 'CMDQ');
    const cd = p.command([0x0000_0010_0000_0005n, 1n]);
    expect(calls(cd)).toEqual([]);
    expect(p.prod('physical', 'CMDQ')).toBe(before);
    expect(p.register('virtual', 'CMDQ_CONS') >> 24n).toBe(0n);
  });

  it('12: EATS of a bypass vSTE is checked and ignored: ATS stays on', () => {
    const p = new Played();
    p.attach('bypass');
    const at = p.steAt('virtual', 8);
    const eats = (): bigint => (p.ste('physical', 0x108)[1]! >> 28n) & 3n;
    expect(p.read('guest', at, 2)).toEqual([9n, 0n]);
    expect(eats()).toBe(1n);
    p.write('guest', at + 8n, [1n << 28n]);
    p.command(CFGI_STE);
    expect(p.register('virtual', 'CMDQ_CONS') >> 24n).toBe(0n);
    expect(eats()).toBe(1n);
    expect((p.ste('physical', 0x108)[0]! >> 1n) & 7n).toBe(6n);
    // EATS = 2 is refused, in a vSTE that does not look at it too; not in one that is not valid.
    const alloc = (ste: readonly [string, string]): StepRecord['result'] =>
      p.do({
        do: 'ioctl',
        call: 'IOMMU_HWPT_ALLOC',
        in: { dev_id: 2, pt_id: 4, data_type: 2, data_len: 16, data: { ste } },
      }).result;
    expect(alloc(['0x9', '0x20000000']).errno).toBe('EIO');
    expect(alloc(['0x1', '0x20000000']).errno).toBe('EIO');
    expect(alloc(['0x0', '0x20000000']).errno).toBe('0');
    expect(alloc(['0x9', '0x10000000']).errno).toBe('0');
    expect(alloc(['0x1', '0x10000000']).errno).toBe('0');
  });

  it('13: CLASS is TTD for external aborts of stage-1 walks, IN for other stage-1 faults', () => {
    const p = new Played({ setup: 'bare' });
    const cd = 0x0001_e204_c000_3510n;
    // Linear stream table at 1 MiB, a stage-1 stream without stage 2, its CD at 2 MiB, its first table beyond memory.
    p.write('host', 0x10_0000n + 64n * 0x108n, [0x20_000bn, 0xd6n]);
    p.write('host', 0x20_0000n, [cd, 0x9_0000_0000n, 0n, 0xf404_ff44n]);
    for (const [reg, value] of [
      ['STRTAB_BASE', 0x10_0000n],
      ['STRTAB_BASE_CFG', 9n],
      ['EVENTQ_BASE', 0x30_0003n],
      ['CR0', 5n],
    ] as const)
      p.setRegister('physical', reg, value);
    p.dma(0x1000, { access: 'write' });
    expect(p.read('host', 0x30_0000n, 4)).toEqual([
      0x0000_0108_0000_000bn,
      0x0000_0100_0000_0000n,
      0x1000n,
      0x9_0000_0000n,
    ]);
    // An empty first table inside memory: F_TRANSLATION with CLASS IN, although it is a descriptor that is wrong.
    p.write('host', 0x20_0008n, [0x40_0000n]);
    p.setRegister('physical', 'CR0', 0n);
    p.setRegister('physical', 'CMDQ_BASE', 0x50_0003n);
    p.setRegister('physical', 'CR0', 13n);
    p.write('host', 0x50_0000n, [0x0000_0108_0000_0006n, 0n]);
    p.setRegister('physical', 'CMDQ_PROD', 1n);
    p.dma(0x1000, { access: 'write' });
    expect(p.read('host', 0x30_0020n, 4)).toEqual([0x0000_0108_0000_0010n, 0x0000_0200_0000_0000n, 0x1000n, 0n]);
  });
});
