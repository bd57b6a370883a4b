import { describe, expect, it } from 'vitest';
import { runToEnd } from '../machine/index.ts';
import { machine } from './guest/whole-machine.ts';

const cfgiSte = (sid: string): string[] => [`CFGI_STE sid ${sid} leaf`, 'SYNC'];
const cfgiCd = (sid: string): string[] => [`CFGI_CD sid ${sid} ssid 0x0 leaf`, 'SYNC'];
const prefetch = (sid: string): string => `PREFETCH_CONFIG sid ${sid}`;

describe('arm-smmuv3.md 10.6, command by command', () => {
  it('VMM start, probe, attach, map, unmap', () => {
    const m = machine();
    runToEnd(m.host.probe());

    expect(m.step(m.vmm.start())).toEqual({ guest: [], host: [], ioctls: ['IOAS_ALLOC', 'IOAS_MAP'] });
    const plug = m.step(m.vmm.plug('nic0'));
    expect(plug.ioctls).toEqual([
      'BIND_IOMMUFD',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
      'GET_HW_INFO',
      'VIOMMU_ALLOC',
      'HWPT_ALLOC',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
    ]);
    // The claim of DMA ownership finds the STE at abort already; what follows is the parent, then the bypass HWPT.
    expect(plug.host.slice(-6)).toEqual([
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
      prefetch('0x108'),
    ]);
    expect(m.step(m.vmm.reset())).toEqual({ guest: [], host: [], ioctls: ['ATTACH_IOMMUFD_PT'] });

    expect(m.step(m.guest.boot())).toEqual({
      guest: ['CFGI_ALL', 'SYNC', '0000000000000030 0000000000000000', 'SYNC'],
      host: ['0000000100000010 0000000000000000', 'SYNC'],
      ioctls: ['VDEVICE_ALLOC', 'HWPT_INVALIDATE', 'VEVENTQ_ALLOC'],
    });

    const attach = m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    expect(attach.guest).toEqual([
      ...cfgiCd('0x8'),
      ...cfgiCd('0x8'),
      ...cfgiSte('0x8'),
      ...cfgiSte('0x8'),
      prefetch('0x8'),
    ]);
    expect(attach.ioctls).toEqual([
      'HWPT_INVALIDATE',
      'HWPT_INVALIDATE',
      'ATTACH_IOMMUFD_PT',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
    ]);
    expect(attach.host).toEqual([
      ...cfgiCd('0x108'),
      ...cfgiCd('0x108'),
      // Guest STE still abort: S2 to abort.
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
      // Abort to nested.
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
    ]);

    expect(m.step(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }))).toEqual({
      guest: [],
      host: [],
      ioctls: [],
    });
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }))).toEqual({
      guest: ['0001000000000012 00000000fffff701', 'SYNC'],
      host: ['0001000100000012 00000000fffff701', 'SYNC'],
      ioctls: ['HWPT_INVALIDATE'],
    });
  });

  it('with ATS: the ATC is emptied when EATS turns on, and after the TLBI', () => {
    const m = machine({ ats: true });
    runToEnd(m.host.probe());
    m.step(m.vmm.start());
    m.step(m.vmm.plug('nic0'));
    m.step(m.guest.boot());
    const attach = m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    expect(attach.host.filter((c) => c.startsWith('0000010800000040')).length).toBeGreaterThanOrEqual(1);
    expect(attach.host.at(-2)).toBe('0000010800000040 0000000000000034');
    expect(m.devices[0]!.atsEnabled).toBe(true);
    m.step(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }));
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }))).toEqual({
      guest: ['0001000000000012 00000000fffff701', 'SYNC', '0000000800000040 00000000fffff000', 'SYNC'],
      host: ['0001000100000012 00000000fffff701', 'SYNC', '0000010800000040 00000000fffff000', 'SYNC'],
      ioctls: ['HWPT_INVALIDATE', 'HWPT_INVALIDATE'],
    });
  });
});
