import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { guestStage1, physical } from './guest-tables.ts';
import { stale } from './stale.ts';
import { type Bed, bed, type Nest, nest, vste } from './testbed.ts';

const EATS = 1n << 28n;
const first = { cds: 0x48100000, asid: 7, root: 0x48200000, iova: 0x10000, page: 0x48300000 };
const second = { ...first, cds: 0x48400000, root: 0x48500000, page: 0x48600000 };

function set(eats = false): { b: Bed; n: Nest; tables: number[] } {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true }] });
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  const tables = [first, second].map((g) => {
    guestStage1(b, g);
    return vste(b, n, BigInt(g.cds) | 0xbn, 0xd6n | (eats ? EATS : 0n));
  });
  return { b, n, tables };
}
const attach = (b: Bed, n: Nest, pt: number): void => {
  b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: pt }, n.fd);
};
const dma = (b: Bed, translated = false) =>
  runToEnd(b.smmu.dma({ device: b.devices[0]!, pasid: -1, iova: 0x10040n, write: false, translated }));
const invalidate = (b: Bed, n: Nest, cmd: [bigint, bigint]): void => {
  b.make('IOMMU_HWPT_INVALIDATE', { hwpt_id: n.viommu, data_type: 1, entry_len: 16, entry_num: 1, entries: [{ cmd }] });
};

describe('nested to nested on one parent (arm-smmuv3.md 5.3, 11.3)', () => {
  it('changes the STE and sends no TLBI: the guest’s ASID is stale until the guest invalidates it', () => {
    const { b, n, tables } = set();
    attach(b, n, tables[0]!);
    expect(dma(b).pa).toBe(physical(0x48300040));
    b.posted();
    attach(b, n, tables[1]!);
    expect(b.posted()).toEqual(
      ['CFGI_STE sid 0x108 leaf', 'SYNC', 'PREFETCH_CONFIG sid 0x108', 'ATC_INV sid 0x108 all', 'SYNC'].slice(0, 3),
    );
    expect(stale(b)).toContain('IOTLB');
    // It still goes where the old table led.
    expect(dma(b).pa).toBe(physical(0x48300040));
    invalidate(b, n, [0x11n | (7n << 48n), 0n]);
    expect(stale(b)).toEqual([]);
    expect(dma(b).pa).toBe(physical(0x48600040));
  });

  it('the ATC is emptied, since the translation changed', () => {
    const { b, n, tables } = set(true);
    attach(b, n, tables[0]!);
    dma(b, true);
    expect(b.devices[0]!.atc.size).toBe(1);
    b.posted();
    attach(b, n, tables[1]!);
    expect(b.posted()).toEqual([
      'CFGI_STE sid 0x108 leaf',
      'SYNC',
      'PREFETCH_CONFIG sid 0x108',
      'ATC_INV sid 0x108 all',
      'SYNC',
    ]);
    expect(b.devices[0]!.atc.size).toBe(0);
  });

  it('the same page table again is nothing at all: no command, no new vSID', () => {
    const { b, n, tables } = set();
    attach(b, n, tables[0]!);
    b.posted();
    attach(b, n, tables[0]!);
    expect(b.posted()).toEqual([]);
  });
});

describe('order of ATS (5.3)', () => {
  const story = (b: Bed): string[] =>
    b.events.flatMap((e) => {
      if (e.kind === 'command.post' && e.command.name !== 'SYNC') return [e.command.name];
      if (e.kind === 'table.write' && e.text.startsWith('STE')) return ['STE'];
      return e.kind === 'note' && e.text.includes('ATS of') ? [e.text.includes(' on ') ? 'ATS on' : 'ATS off'] : [];
    });

  it.each([
    // The device stops before the STE refuses it; a last flush.
    ['on to off', true, 1, ['ATS off', 'STE', 'CFGI_STE', 'STE', 'CFGI_STE', 'PREFETCH_CONFIG', 'ATC_INV']],
    // The device starts when the STE allows it and its ATC is empty.
    ['off to on', false, 1, ['STE', 'CFGI_STE', 'STE', 'CFGI_STE', 'PREFETCH_CONFIG', 'ATC_INV', 'ATS on']],
  ] as const)('%s', (_name, from, to, expected) => {
    const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true }] });
    const n = nest(b);
    b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
    const table = (eats: boolean, cds: number): number => vste(b, n, BigInt(cds) | 0xbn, 0xd6n | (eats ? EATS : 0n));
    attach(b, n, table(from, first.cds));
    b.events.length = 0;
    attach(b, n, table(!from, to ? second.cds : first.cds));
    expect(story(b)).toEqual(expected);
    expect(b.devices[0]!.atsEnabled).toBe(!from);
    // The parent invalidates for the ATC while, and only while, ATS is on.
    const types = b.driver.state.paging.get(1)!.invalidations.map((e) => e.type);
    expect(types).toEqual(from ? ['S2_VMID', 'S2_VMID_S1_CLEAR'] : ['S2_VMID', 'S2_VMID_S1_CLEAR', 'ATS_FULL']);
  });
});
