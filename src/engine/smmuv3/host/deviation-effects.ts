import { ats, attach, between, DW1, dma, nested, nextOwner, TRANSLATE, unmapSlot } from './deviation-scenes.ts';
import { stale } from './stale.ts';
import { bed, GiB, MiB, nest, UVA, vste } from './testbed.ts';

/**
 * For tests: what each deviation of the host driver does, in the smallest scene that shows it. `seen` runs the scene and says
 * what came of it; `right` is what comes of the kernel's own rules.
 */
export interface Effect {
  readonly seen: (deviations: string[]) => unknown;
  readonly right: unknown;
  readonly wrong: unknown;
}

export const effects: Readonly<Record<string, Effect>> = {
  'host.no-safe-bits': {
    seen: (d) => {
      // ATS goes off under bypass as before v7.1, so that EATS and Config change together.
      const { b, n } = nested([...d, 'host.v6.19-ats'], { eats: true });
      b.events.length = 0;
      attach(b, n, vste(b, n, 9n));
      return b.events.some((e) => e.kind === 'table.write' && e.text.startsWith('STE') && e.words[0] === 0n);
    },
    right: false,
    wrong: true,
  },
  'host.ste-in-one-go': {
    seen: (d) => {
      const b = bed({ deviations: d });
      nest(b);
      return b.events
        .flatMap((e) => (e.kind === 'table.write' && e.text.startsWith('STE 0x108') ? [e.text] : []))
        .at(-1);
    },
    right: 'STE 0x108 DW0',
    wrong: 'STE 0x108 DW0..3',
  },
  'host.no-cfgi-ste': {
    seen: (d) => {
      const b = bed({ deviations: d });
      dma(b, 0x1000);
      nest(b);
      return stale(b);
    },
    right: [],
    wrong: ['STE'],
  },
  'host.unmap-no-nh-all': {
    seen: (d) => {
      const { b, n } = nested(d);
      if (!dma(b, 0x10040).ok) throw new Error('the guest table does not translate');
      unmapSlot(b, n);
      return stale(b).includes('IOTLB');
    },
    right: false,
    wrong: true,
  },
  'host.unmap-no-atc-inv': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      dma(b, 0x10040, true);
      unmapSlot(b, n);
      return stale(b).includes('ATC nic0');
    },
    right: false,
    wrong: true,
  },
  'host.unmap-atc-by-ipa': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      dma(b, 0x10040, true);
      unmapSlot(b, n);
      return stale(b).includes('ATC nic0');
    },
    right: false,
    wrong: true,
  },
  'host.one-batch': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      unmapSlot(b, n);
      const posted = b.posted();
      return posted.some((c, i) => c.startsWith('ATC_INV') && posted[i - 1]!.startsWith('TLBI'));
    },
    right: false,
    wrong: true,
  },
  'host.leaf-only-walk-flush': {
    seen: (d) => {
      const b = bed({ deviations: d, chunk: 4096 });
      const fd = b.iommufd.openDevice('nic0');
      const dev_id = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const pt_id = b.make('IOMMU_IOAS_ALLOC');
      // A table of pages, which the unmap takes away as a whole.
      const slot = { ioas_id: pt_id, iova: 0x40000000, length: 2 * MiB };
      b.make('IOMMU_IOAS_MAP', { flags: 7, user_va: UVA, ...slot });
      const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id, pt_id });
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd);
      dma(b, 0x40001000);
      b.make('IOMMU_IOAS_UNMAP', slot);
      return stale(b);
    },
    right: [],
    wrong: ['S2 walk'],
  },
  'host.no-tag-flush': {
    seen: (d) => {
      const b = bed({ deviations: d });
      const n = nest(b);
      dma(b, 0x40000000);
      b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
      nextOwner(b, n);
      return stale(b);
    },
    right: [],
    wrong: ['S2 TLB'],
  },
  'host.leave-before-entry': {
    seen: (d) => {
      const b = bed({ deviations: d });
      const n = nest(b);
      b.events.length = 0;
      const flushed = (): boolean => {
        const at = b.events.findIndex((e) => e.kind === 'command.fetch' && e.command.name === 'TLBI_S12_VMALL');
        return at >= 0 && b.events.slice(at).some((e) => e.kind === 'sync');
      };
      between(b.iommufd.ioctl({ call: 'VFIO_DEVICE_DETACH_IOMMUFD_PT', fd: n.fd, input: {} }), flushed, () => {
        dma(b, 0x40000000);
      });
      nextOwner(b, n);
      return stale(b);
    },
    right: [],
    wrong: ['S2 TLB'],
  },
  'host.join-after-entry': {
    seen: (d) => {
      const b = bed({ deviations: d });
      const n = nest(b);
      b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, n.fd);
      b.events.length = 0;
      const written = (): boolean => b.events.some((e) => e.kind === 'sync' && b.driver.ste('nic0').words[0] !== 1n);
      const op = b.iommufd.ioctl({ call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', fd: n.fd, input: { pt_id: n.parent } });
      between(op, written, () => {
        dma(b, 0x40000000);
        b.make('IOMMU_IOAS_UNMAP', { ioas_id: n.ioas, iova: 0x40000000, length: GiB });
      });
      return stale(b).includes('S2 TLB');
    },
    right: false,
    wrong: true,
  },
  'host.no-atc-inv-on-attach': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      dma(b, 0x10040, true);
      attach(b, n, n.parent);
      return stale(b).includes('ATC nic0');
    },
    right: false,
    wrong: true,
  },
  'host.ats-flag-too-early': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      attach(b, n, vste(b, n, TRANSLATE, DW1));
      b.posted();
      unmapSlot(b, n);
      return b.posted().includes('ATC_INV sid 0x108 all');
    },
    right: false,
    wrong: true,
  },
  'host.ats-on-before-entry': {
    seen: (d) => {
      const b = bed({ devices: [ats], deviations: d });
      const outcomes: unknown[] = [];
      const on = (): boolean => b.devices[0]!.atsEnabled;
      const fd = b.iommufd.openDevice('nic0');
      const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const ioas = b.make('IOMMU_IOAS_ALLOC');
      b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 2 * MiB, iova: 0x40000000 });
      const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: ioas });
      between(b.iommufd.ioctl({ call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', fd, input: { pt_id: parent } }), on, () => {
        outcomes.push(dma(b, 0x40000000, true).ok);
      });
      return outcomes;
    },
    right: [true],
    wrong: [false],
  },
};
