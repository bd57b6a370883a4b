import { describe, expect, it } from 'vitest';
import { play } from '../../document/fixtures/played.ts';
import { Session } from '../../document/index.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { documentsOf } from '../../platform/fixtures/machines.ts';

await loadVendors(['vtd']);

const steps = [
  { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
  { do: 'guest.attach', device: 'gpu0', domain: 'dma0' },
  { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '16KiB' },
  { do: 'guest.map', domain: 'dma0', iova: '0x200000', gpa: '0x40400000', size: '2MiB' },
  { do: 'device.dma', device: 'nic0', iova: '0x10000', ats: 'translated' },
  { do: 'device.dma', device: 'gpu0', iova: '0x11000' },
  { do: 'device.dma', device: 'gpu0', iova: '0x200000' },
  { do: 'guest.unmap', domain: 'dma0', iova: '0x10000', size: '8KiB' },
  { do: 'guest.unmap', domain: 'dma0', iova: '0x200000', size: '2MiB' },
  { do: 'guest.attach', device: 'nic0', domain: 'p5', pasid: 5 },
  { do: 'guest.map', domain: 'p5', iova: '0x10000', gpa: '0x40300000' },
  { do: 'device.dma', device: 'nic0', pasid: 5, iova: '0x10000', ats: 'translated' },
  { do: 'guest.bind', device: 'nic0', process: 'app', pasid: 7 },
  { do: 'guest.map', domain: 'app', iova: '0x10000', gpa: '0x40300000' },
  { do: 'device.dma', device: 'nic0', pasid: 7, iova: '0x10000', ats: 'translated' },
  { do: 'guest.unmap', domain: 'app', iova: '0x10000' },
  { do: 'guest.exit', process: 'app' },
  { do: 'guest.detach', device: 'nic0', pasid: 5 },
  { do: 'vmm.map', gpa: '0x90000000' },
  { do: 'guest.map', domain: 'dma0', iova: '0x900000', gpa: '0x90000000', size: '4KiB' },
  { do: 'device.dma', device: 'gpu0', iova: '0x900000', ats: 'translated' },
  { do: 'vmm.unmap', gpa: '0x90000000' },
  { do: 'device.reset', device: 'gpu0' },
  { do: 'vmm.unplug', device: 'gpu0' },
];

const played = (...deviations: string[]): Session =>
  play(
    documentsOf('vtd')(
      'much at once',
      { deviations },
      [
        { name: 'nic0', rid: '0000:01:00.0' },
        { name: 'gpu0', rid: '0000:02:00.0' },
      ],
      steps,
    ),
  );

it('nothing is stale as long as everybody does his duty', () => {
  const s = played();
  expect(s.steps.flatMap((r) => r.hazards.map((h) => h.text))).toEqual([]);
  expect(s.steps.filter((r) => !r.result.ok).map((r) => r.result.text)).toEqual([]);
});

describe('a broken rule', () => {
  it.each([
    ['guest.no-iotlb-inv', 8, 'IOTLB', 'P_IOTLB_INV did 2 pasid 0x0 addr 0x10000 pages 1 leaf', true],
    ['guest.unmap-no-flush', 8, 'ATC', 'DEV_TLB_INV sid 0x100 addr 0x10000 pages 1', true],
    ['guest.sva-no-flush', 16, 'IOTLB', 'P_IOTLB_INV did 1 pasid 0x7 addr 0x10000 pages 1 leaf', true],
    ['guest.no-pasid-cache-inv', 17, 'PASID bindings', 'PC_INV did 1 pasid 0x7', true],
    ['guest.entry-no-flush-on-set-up', 1, 'PASID bindings', 'PC_INV did 2 pasid 0x0', true],
    ['vmm.pc-forgotten', 1, 'PASID bindings', 'PC_INV did 2 pasid 0x0', false],
    ['vmm.no-forward-piotlb', 8, 'IOTLB', 'P_IOTLB_INV did 2 pasid 0x0 addr 0x10000 pages 1 leaf', false],
    ['vmm.leaf-always', 16, 'FS walk', 'P_IOTLB_INV did 1 pasid 0x7 addr 0x0 pages 512', false],
    ['host.no-pasid-cache-inv', 18, 'PASID', 'PC_INV did 4 pasid 0x5', false],
    ['host.no-dev-tlb-inv-on-tear-down', 18, 'ATC', 'P_DEV_TLB_INV sid 0x100 pasid 0x5 addr 0x10000 pages 1', false],
    ['host.unmap-own-did-only', 22, 'IOTLB', 'IOTLB_INV did 2', false],
  ])('%s leaves something behind after step %i in the %s', (name, step, cache, missing, ends) => {
    const s = played(name);
    const found = s.steps[step]!.hazards.filter((h) => h.cache === cache);
    expect(found.map((h) => h.missing).join('; ')).toContain(missing);
    for (const h of found) {
      expect(h.cause, h.text).not.toBeNull();
      if (!ends) continue;
      const again = new Session({ ...s.document, steps: s.document.steps.slice(0, step) });
      const left = again.append(h.remedy as never).hazards;
      expect(left.some((x) => x.at === h.at && x.entry === h.entry)).toBe(false);
    }
  });
});
