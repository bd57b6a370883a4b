import { describe, expect, it } from 'vitest';
import { bootedMachine, type RealOptions } from './fixtures/real-machine.ts';

/** What a broken VMM does to the hardware: stale entries, wrong addresses, devices that reach too much. */

const GPA0 = 0x41000000;
const IOVA = 0x10000;
const nic = (i: number) => ({
  name: `nic${i}`,
  rid: 0x3b00 + 8 * i,
  vrid: 0x18 + 8 * i,
  ats: true,
  pri: true,
  pasidBits: 20,
});

/** nic0 and nic1 in dma0 with a page at 0x10000, both have used it. */
function used(o: RealOptions = {}) {
  const m = bootedMachine({ devices: [nic(0), nic(1)], ...o });
  const g = m.guests[0]!;
  for (const device of ['nic0', 'nic1']) m.step(g.guest.attach({ device, domain: 'dma0' }));
  m.step(g.guest.map({ domain: 'dma0', iova: IOVA, gpa: GPA0, size: 0x10000 }));
  for (const d of ['nic0', 'nic1']) m.dma(d, BigInt(IOVA));
  return { ...m, ...g, memory: g.memory };
}
type Machine = ReturnType<typeof used>;

/** A page of zeros in guest memory. */
const EMPTY = 0x7f000000;

/** Guest physical address of nic0's entry for PASID 0, whose third word is given. */
function findEntry(m: Machine, table: bigint): number {
  const word = (at: number): number => Number(m.memory.readWord(at) & ~0xfffn);
  const entry = word(word(word(m.vmm.units[0]!.state.root) + 0x18 * 32));
  expect(m.memory.readWord(entry + 16)).toBe(table);
  return entry;
}

/** Which of the devices still reach a page that the guest has unmapped, the second one that it unmaps. */
const unmapped =
  (pages = 4, flush: 'strict' | 'queued' = 'strict') =>
  (o: RealOptions): boolean[] => {
    const m = used(o);
    // Whatever the attach has left behind in a lagging VMM comes with this one.
    m.step(m.guest.unmap({ domain: 'dma0', iova: IOVA + 0x8000, size: 4096, flush: 'strict' }));
    const last = BigInt(IOVA + (pages - 1) * 4096);
    for (const d of ['nic0', 'nic1']) m.dma(d, last);
    m.step(m.guest.unmap({ domain: 'dma0', iova: IOVA, size: pages * 4096, flush }));
    if (flush === 'queued') m.step(m.guest.flush());
    const stale = m.stale();
    const seen = ['nic0', 'nic1'].map((d) => m.dma(d, last).ok);
    expect(stale).toEqual(seen.includes(true) ? ['IOTLB'] : []);
    return seen;
  };
const reaches = (m: Machine, device = 'nic0'): boolean => m.dma(device, BigInt(IOVA)).ok;

describe('broken rules on the real machine', () => {
  it.each<[string, (o: RealOptions) => unknown, unknown, unknown]>([
    ['vmm.no-forward-piotlb', unmapped(), [false, false], [true, true]],
    ['vmm.first-match-only', unmapped(), [false, false], [false, true]],
    ['vmm.forward-by-address-only', unmapped(1, 'queued'), [false, false], [true, true]],
    ['vmm.mask-ignored', unmapped(), [false, false], [true, true]],
    ['vmm.invalidate-later', unmapped(), [false, false], [true, true]],
    ['vmm.batch-across-wait', (o) => unmapped()({ ...o, batch: 8 }), [false, false], [true, true]],
    [
      'vmm.match-pasid-zero',
      (o) => {
        const m = used(o);
        const pasid = Number(m.run(m.guest.bind({ device: 'nic0', process: 'app' })).main);
        m.step(m.guest.map({ domain: 'app', iova: 0x7f0000000000, gpa: GPA0, size: 4096 }));
        m.dma('nic0', 0x7f0000000000n, { pasid });
        m.step(m.guest.unmap({ domain: 'app', iova: 0x7f0000000000, size: 4096, flush: 'strict' }));
        return m.stale();
      },
      [],
      ['FS walk', 'IOTLB'],
    ],
    [
      'vmm.pc-forgotten',
      (o) => {
        const m = used(o);
        // The device keeps VFIO's own attachment: its DMA goes past the guest's page table.
        return [reaches(m), m.dma('nic0', BigInt(GPA0)).ok];
      },
      [true, false],
      [false, true],
    ],
    [
      'vmm.no-replace',
      (o) => {
        const m = used(o);
        // The guest's PASID entry names an empty page from now on, without having been absent in between.
        const b = m.vmm.units[0]!.state.devices[0]!.bindings[0]!;
        m.memory.writeWord(findEntry(m, b.entry[2]!) + 16, BigInt(EMPTY));
        m.run(m.guest.invalidate([0x17n | (b.entry[1]! << 16n), 0n, 0n, 0n]));
        return reaches(m);
      },
      false,
      true,
    ],
    [
      'vmm.unbind-to-parent',
      (o) => {
        const m = used(o);
        m.step(m.guest.detach({ device: 'nic0' }));
        return m.dma('nic0', BigInt(GPA0)).ok;
      },
      false,
      true,
    ],
    [
      'vmm.te-blocks-unbound',
      (o) => {
        const m = bootedMachine(o);
        return m.dma('nic0', BigInt(GPA0)).ok;
      },
      true,
      false,
    ],
    [
      'vmm.reset-register-only',
      (o) => {
        const m = used(o);
        m.step(m.vmm.reset());
        return [reaches(m), m.dma('nic0', BigInt(GPA0)).ok];
      },
      [false, true],
      [true, false],
    ],
    [
      'vmm.destroy-before-attach',
      (o) => {
        const m = used(o);
        const b = m.vmm.units[0]!.state.devices[0]!.bindings[0]!;
        m.memory.writeWord(findEntry(m, b.entry[2]!) + 16, BigInt(EMPTY));
        m.run(m.guest.invalidate([0x17n | (b.entry[1]! << 16n), 0n, 0n, 0n]));
        const failed = m.vmm.state.errors.filter((e) => /failed to free id \d+: EBUSY/.test(e)).length;
        return [failed, m.iommufd.objects().filter((x) => x.type === 'HWPT_NESTED').length];
      },
      [0, 2],
      [1, 3],
    ],
    [
      'vmm.unplug-forgets-bindings',
      (o) => {
        const m = used(o);
        for (const d of ['nic0', 'nic1']) m.run(m.vmm.unplug(d));
        return m.iommufd.objects().map((x) => x.type);
      },
      ['IOAS'],
      ['IOAS', 'HWPT_PAGING', 'HWPT_NESTED', 'HWPT_NESTED'],
    ],
  ])('%s', (name, play, usual, broken) => {
    expect(play({})).toEqual(usual);
    expect(play({ deviations: [name] })).toEqual(broken);
  });
});
