import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeEvent } from '../layout/index.ts';
import { hostDeviations, hostRulesWith } from './deviations.ts';
import { hostRules } from './rules.ts';
import { bed, GiB, MiB, nest, UVA, vste } from './testbed.ts';

/** A life with a little of everything, as the lines that a deviation can change. */
function story(deviations: string[]): string[] {
  const b = bed({ devices: [{ name: 'nic0', rid: 0x108, ats: true }], deviations });
  const n = nest(b);
  b.make('IOMMU_VDEVICE_ALLOC', { viommu_id: n.viommu, dev_id: n.dev, virt_id: 8 });
  const q = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 8 });
  const attach = (w0: bigint, w1: bigint): void => {
    b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: vste(b, n, w0, w1) }, n.fd);
  };
  attach(0x4810000bn, 0x100000d6n);
  attach(0x9n, 0n);
  attach(0x4810000bn, 0xd6n);
  attach(0x4810000bn, 0x100000d6n);
  const entries = [{ cmd: [0x30n, 0n] }, { cmd: [0x12n, 0x1001n] }, { cmd: [0x0000000800000040n, 0x34n] }];
  b.ioctl('IOMMU_HWPT_INVALIDATE', { hwpt_id: n.viommu, data_type: 1, entry_len: 16, entry_num: 3, entries });
  b.smmu.deliverEvent(encodeEvent('F_TRANSLATION', { SID: 0x108, S2: 1, CLASS: 2, IPA: 0x1000n }));
  runToEnd(b.driver.interrupt());
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
  b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: n.ioas, user_va: UVA, length: 2 * MiB, iova: 0x48000000 });
  b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x48000000, length: 2 * MiB });
  b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
  const lines = b.events.flatMap((e) => {
    if (e.kind === 'command.post') return [e.command.words.map((w) => w.toString(16)).join(' ')];
    if (e.kind === 'table.write' && e.layout === 'smmuv3.ste') return [e.text];
    return [];
  });
  return [
    ...lines,
    JSON.stringify(b.iommufd.read(Number(q.out['out_veventq_fd']), 4096), (_k, v) =>
      typeof v === 'bigint' ? `${v}` : v,
    ),
  ];
}

describe('deviations', () => {
  const right = story([]);

  it.each(hostDeviations.map((d) => d.name))('%s changes what happens', (name) => {
    expect(story([name])).not.toEqual(right);
  });

  it('replace one rule each, by a name of their own', () => {
    const names = hostDeviations.map((d) => d.name);
    expect(new Set(names).size).toBe(names.length);
    for (const d of hostDeviations) {
      const rules = hostRulesWith([d.name, 'guest.no-tlbi']);
      const changed = Object.keys(hostRules).filter(
        (k) => rules[k as keyof typeof rules] !== hostRules[k as keyof typeof rules],
      );
      expect(changed).toEqual([d.rule]);
    }
    expect(() => hostRulesWith(['host.no-such-thing'])).toThrow('no deviation is named host.no-such-thing');
  });
});
