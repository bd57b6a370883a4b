import { runToEnd } from '../../machine/index.ts';
import { encodeEvent } from '../layout/index.ts';
import type { Effect } from './deviation-effects.ts';
import { ats, attach, dma, invalidate, nested, pasids, ROOT, unmapSlot } from './deviation-scenes.ts';
import { hostRulesWith } from './deviations.ts';
import { HostDriver } from './driver.ts';
import { guestUnmap } from './guest-tables.ts';
import { stale } from './stale.ts';
import { bed, nest, UVA, vste } from './testbed.ts';

/** For tests: the other half of `effects`. */
export const otherEffects: Readonly<Record<string, Effect>> = {
  'host.no-pasid-atc-inv': {
    seen: (d) => {
      const s = pasids(d);
      s.set(s.a, 6);
      s.set(s.a, 5);
      dma(s.b, 0x10040, true, 5);
      s.clear(5);
      return stale(s.b);
    },
    right: [],
    wrong: ['ATC nic0'],
  },
  'host.no-cfgi-cd': {
    seen: (d) => {
      const s = pasids(d);
      s.set(s.a, 5);
      dma(s.b, 0x10040, false, 5);
      s.set(s.c, 5);
      return stale(s.b).includes('CD');
    },
    right: false,
    wrong: true,
  },
  'host.no-cfgi-l1cd': {
    seen: (d) => {
      const s = pasids(d, 16);
      s.set(s.a, 5);
      dma(s.b, 0x10040, false, 3000);
      s.set(s.a, 3000);
      return [stale(s.b), dma(s.b, 0x10040, false, 3000).ok];
    },
    right: [[], true],
    wrong: [['L1CD'], false],
  },
  'host.no-reset-flush': {
    seen: (d) => {
      const b = bed({ deviations: d });
      nest(b);
      dma(b, 0x40000000);
      const { smmu, memory, pages, devices, injector } = b;
      const trace = (b.smmu as unknown as { trace: never }).trace;
      const again = new HostDriver({ smmu, memory, pages, devices, trace, injector, rules: hostRulesWith(d) });
      runToEnd(again.probe());
      return [stale(b), smmu.caches.ste.size];
    },
    right: [[], 0],
    wrong: [['L1STD', 'STE'], 1],
  },
  'host.no-block-on-reset': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      runToEnd(b.drivers.resetPrepare('nic0'));
      b.devices[0]!.reset();
      b.posted();
      unmapSlot(b, n);
      return b.posted().includes('ATC_INV sid 0x108 all');
    },
    right: false,
    wrong: true,
  },
  'host.forward-without-sync': {
    seen: (d) => {
      const { b, n } = nested(d);
      return [invalidate(b, n, [0x10n, 0n]), b.posted()];
    },
    right: ['0', ['TLBI_NH_ALL vmid 1', 'SYNC']],
    wrong: ['0', ['TLBI_NH_ALL vmid 1']],
  },
  'host.dirty-without-flush': {
    seen: (d) => {
      const b = bed({ devices: [ats], deviations: d });
      const fd = b.iommufd.openDevice('nic0');
      const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const ioas = b.make('IOMMU_IOAS_ALLOC');
      b.make('IOMMU_IOAS_MAP', { flags: 7, ioas_id: ioas, user_va: UVA, length: 4096, iova: 0x10000 });
      const hwpt = b.make('IOMMU_HWPT_ALLOC', { flags: 2, dev_id: dev, pt_id: ioas });
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: hwpt }, fd);
      const write = (): void => {
        const device = b.devices[0]!;
        runToEnd(b.smmu.dma({ device, pasid: -1, iova: 0x10000n, write: true, translated: false }));
      };
      const read = (): unknown =>
        b.ioctl('IOMMU_HWPT_GET_DIRTY_BITMAP', { hwpt_id: hwpt, iova: 0x10000, length: 4096, page_size: 4096 }).out[
          'bitmap'
        ];
      write();
      read();
      write();
      return read();
    },
    right: '01',
    wrong: '00',
  },
  'host.no-queue-repair': {
    seen: (d) => {
      const { b, n } = nested(d);
      return [invalidate(b, n, [0x412n, 1n]), invalidate(b, n, [0x10n, 0n])];
    },
    right: ['0', '0'],
    wrong: ['ETIMEDOUT', 'ETIMEDOUT'],
  },
  'host.fault-retry-always': {
    seen: (d) => {
      const b = bed({ features: { STALL_MODEL: 0 }, devices: [{ ...ats, stall: true }], deviations: d });
      b.smmu.deliverEvent(encodeEvent('F_TRANSLATION', { SID: 0x108, Stall: 1, STAG: 4, CLASS: 2 }));
      b.posted();
      runToEnd(b.driver.interrupt());
      return b.posted();
    },
    right: ['RESUME sid 0x108 stag 0x4 abort'],
    wrong: ['RESUME sid 0x108 stag 0x4 retry'],
  },
  'host.faults-left-behind': {
    seen: (d) => {
      const b = bed({ features: { STALL_MODEL: 0 }, devices: [{ ...ats, stall: true }], deviations: d });
      const fd = b.iommufd.openDevice('nic0');
      const dev_id = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const pt_id = b.make('IOMMU_IOAS_ALLOC');
      const fault_id = b.make('IOMMU_FAULT_QUEUE_ALLOC');
      const hwpt = b.make('IOMMU_HWPT_ALLOC', { flags: 4, dev_id, pt_id, fault_id });
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: hwpt }, fd);
      dma(b, 0x10000);
      runToEnd(b.driver.interrupt());
      b.make('VFIO_DEVICE_DETACH_IOMMUFD_PT', {}, fd);
      return b.smmu.stalled().length;
    },
    right: 0,
    wrong: 1,
  },
  'host.page-request-unanswered': {
    seen: (d) => {
      const b = bed({ devices: [{ ...ats, pri: true }], deviations: d });
      runToEnd(b.smmu.pri(b.devices[0]!, -1, 0x1000n, { read: true, write: false }, 3, true));
      runToEnd(b.driver.interrupt());
      return b.devices[0]!.pri.waiting().length;
    },
    right: 0,
    wrong: 1,
  },
  'host.guest-vmid': {
    seen: (d) => {
      const { b, n } = nested(d);
      dma(b, 0x10040);
      guestUnmap(b, ROOT, 0x10000);
      invalidate(b, n, [0x11n | (7n << 48n), 0n]);
      return stale(b);
    },
    right: [],
    wrong: ['IOTLB'],
  },
  'host.nsnh-all-as-is': {
    seen: (d) => {
      const { b, n } = nested(d);
      const fd = b.iommufd.openDevice('nic1');
      const dev = b.make('VFIO_DEVICE_BIND_IOMMUFD', { iommufd: 0 }, fd);
      const parent = b.make('IOMMU_HWPT_ALLOC', { flags: 1, dev_id: dev, pt_id: n.ioas });
      b.make('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { pt_id: parent }, fd);
      dma(b, 0x40000000, false, -1, 1);
      invalidate(b, n, [0x30n, 0n]);
      return b.smmu.caches.s2tlb.size;
    },
    right: 1,
    wrong: 0,
  },
  'host.stage2-faults-to-guest': {
    seen: (d) => {
      const { b, n, hwpt } = nested(d);
      const q = b.ioctl('IOMMU_VEVENTQ_ALLOC', { viommu_id: n.viommu, type: 1, veventq_depth: 8 });
      attach(b, n, n.parent);
      attach(b, n, hwpt);
      unmapSlot(b, n);
      dma(b, 0x10040);
      runToEnd(b.driver.interrupt());
      return b.iommufd.read(Number(q.out['out_veventq_fd']), 400).out.records.length;
    },
    right: 0,
    wrong: 1,
  },
  'host.v6.19-ats': {
    seen: (d) => {
      const { b, n } = nested(d, { eats: true });
      attach(b, n, vste(b, n, 9n));
      return b.devices[0]!.atsEnabled;
    },
    right: true,
    wrong: false,
  },
};
