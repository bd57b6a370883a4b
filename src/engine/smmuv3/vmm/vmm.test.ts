import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../layout/index.ts';
import { plugged, translating, vmmOnRecorder } from './recording-kernel.ts';

describe('objects, arm-smmuv3.md 8.2', () => {
  it('start and the first device', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    expect(v.kernel.take()).toEqual([
      'IOAS_ALLOC',
      'IOAS_MAP flags=7 ioas_id=1 user_va=0x7f0000000000 length=0x10000000 iova=0x40000000',
    ]);
    expect(v.run(v.vmm.plug('nic0')).ok).toBe(true);
    expect(v.kernel.take()).toEqual([
      'BIND_IOMMUFD iommufd=0',
      'HWPT_ALLOC flags=1 dev_id=2 pt_id=1',
      'ATTACH_IOMMUFD_PT pt_id=3',
      'GET_HW_INFO dev_id=2',
      'VIOMMU_ALLOC dev_id=2 hwpt_id=3',
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x1,0x0',
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x9,0x0',
      'ATTACH_IOMMUFD_PT pt_id=6',
    ]);
    v.run(v.vmm.plug('nic1'));
    expect(v.kernel.take()).toEqual(['BIND_IOMMUFD iommufd=0', 'ATTACH_IOMMUFD_PT pt_id=3', 'GET_HW_INFO dev_id=7']);
    v.run(v.vmm.reset());
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=6', 'ATTACH_IOMMUFD_PT pt_id=6']);
  });

  it('the last device takes everything with it, in the model’s order', () => {
    const v = translating();
    v.run(v.vmm.unplug('nic0'));
    expect(v.kernel.take()).toEqual([
      'ATTACH_IOMMUFD_PT pt_id=3',
      'DESTROY id=9',
      'DESTROY id=8',
      'close 99',
      'DESTROY id=7',
      'DESTROY id=6',
      'DESTROY id=5',
      'DESTROY id=4',
      'DETACH_IOMMUFD_PT',
      'DESTROY id=3',
      'close 10',
    ]);
    expect(v.vmm.isPlugged('nic0')).toBe(false);
  });

  it('undoes a plug that fails half-way', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.kernel.take();
    v.kernel.answers.set('IOMMU_VIOMMU_ALLOC', { errno: 'EOPNOTSUPP' });
    expect(v.run(v.vmm.plug('nic0'))).toMatchObject({ ok: false, errno: 'EOPNOTSUPP' });
    expect(v.kernel.take().slice(-3)).toEqual(['DETACH_IOMMUFD_PT', 'DESTROY id=3', 'close 10']);
    expect(v.run(v.vmm.plug('nic0')).ok).toBe(true);
  });

  it('takes ATS, RIL and SSIDSIZE from the first device and compares the rest', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    expect([v.vmm.readVirtual('IDR0'), v.vmm.readVirtual('IDR1')]).toEqual([0x0d44101an, 0x02730010n]);
    expect([v.vmm.readVirtual('IDR3'), v.vmm.readVirtual('IDR5')]).toEqual([0x1404n, 0x74n]);
    v.run(v.vmm.plug('nic0'));
    expect([v.vmm.readVirtual('IDR0'), v.vmm.readVirtual('IDR1')]).toEqual([0x0d44141an, 0x02730410n]);

    const small = vmmOnRecorder();
    small.kernel.idr[5] = (small.kernel.idr[5]! & ~7) | 3;
    small.run(small.vmm.start());
    const refused = small.run(small.vmm.plug('nic0'));
    expect(refused.ok).toBe(false);
    expect(refused.text).toContain('Host SMMUv3 supports only 42-bit IPA, but the vSMMU OAS implies 44-bit IPA');

    const noRil = vmmOnRecorder();
    noRil.kernel.idr[3]! &= ~0x400;
    noRil.run(noRil.vmm.start());
    noRil.run(noRil.vmm.plug('nic0'));
    expect(noRil.vmm.readVirtual('IDR3')).toBe(0x1004n);
  });

  it('adds and removes guest memory', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.kernel.take();
    expect(v.run(v.vmm.map({ gpa: 0x80000000, size: 2 ** 21 })).ok).toBe(true);
    expect(v.kernel.take()[0]).toMatch(/^IOAS_MAP flags=7 ioas_id=1 .* length=0x200000 iova=0x80000000$/);
    v.memory.writeWord(0x80000008, 0x1234n);
    expect(v.memory.readWord(0x80000008)).toBe(0x1234n);
    expect(v.run(v.vmm.map({ gpa: 0x80100000, size: 4096 })).errno).toBe('EEXIST');
    const state = v.vmm.save();
    v.kernel.answers.set('IOMMU_IOAS_UNMAP', { errno: 'ENOENT' });
    expect(v.run(v.vmm.unmap({ gpa: 0x80000000, size: 4096 })).errno).toBe('ENOENT');
    expect(v.run(v.vmm.unmap({ gpa: 0x80000000, size: 2 ** 21 })).ok).toBe(true);
    expect(v.memory.contains(0x80000000)).toBe(false);
    v.vmm.load(state);
    expect(v.memory.readWord(0x80000008)).toBe(0x1234n);
  });
});

describe('CFGI_STE, arm-smmuv3.md 8.3', () => {
  const cfgi = encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 });

  it('makes the vDEVICE once and installs nothing while no STE is found', () => {
    const v = plugged();
    v.write('STRTAB_BASE_CFG', 3);
    v.post(encodeCommand('CFGI_ALL', {}));
    expect(v.kernel.take()).toEqual(['VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8']);
    v.post(cfgi);
    expect(v.kernel.take()).toEqual([]);
  });

  it('chooses the HWPT by SMMUEN, V and Config', () => {
    const v = plugged();
    v.ste(8, 0x4810000bn, 0xd6n);
    v.post(cfgi);
    // SMMUEN = 0: GBPA decides, whatever the STE says.
    expect(v.kernel.take()).toEqual(['VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8', 'ATTACH_IOMMUFD_PT pt_id=6']);
    v.write('CR0', 0xd);
    v.kernel.take();
    v.post(cfgi);
    expect(v.kernel.take()).toEqual(['HWPT_ALLOC dev_id=2 pt_id=4 ste=0x4810000b,0xd6', 'ATTACH_IOMMUFD_PT pt_id=9']);
    v.ste(8, 1n, 0n);
    v.post(cfgi);
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=5', 'DESTROY id=9']);
    v.ste(8, 9n, 0n);
    v.post(cfgi);
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=6']);
    v.ste(8, 0x4810000an, 0xd6n);
    v.post(cfgi);
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=5']);
    expect(v.vmm.readVirtual('GERROR')).toBe(0n);
  });

  it('hands over only the fields that the kernel knows', () => {
    const v = plugged();
    v.write('CR0', 0xd);
    v.kernel.take();
    v.ste(8, 0x500000004810000bn | (1n << 53n), 0xffffffffffffffffn);
    v.post(cfgi);
    expect(v.kernel.take()[1]).toBe('HWPT_ALLOC dev_id=2 pt_id=4 ste=0x500000004810000b,0x380000ff');
  });

  it('refuses stage 2 in a guest STE and says so in CONS', () => {
    const v = plugged();
    v.write('CR0', 0xd);
    v.ste(8, 0xdn, 0n);
    v.post(encodeCommand('PREFETCH_CONFIG', { SID: 8 }), cfgi);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0x01000001n);
    expect(v.vmm.readVirtual('GERROR')).toBe(1n);
    expect(v.vmm.irq.gerror).toBe(true);
  });

  it('keeps the old HWPT when the kernel refuses the new one', () => {
    const v = translating();
    v.ste(8, 0x4820000bn, 0xd6n);
    v.kernel.answers.set('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { errno: 'EBUSY' });
    v.post(cfgi);
    expect(v.kernel.take()).toEqual([
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x4820000b,0xd6',
      'ATTACH_IOMMUFD_PT pt_id=10',
      'DESTROY id=10',
    ]);
    expect(v.vmm.units[0]!.state.devices[0]).toMatchObject({ hwpt: 9, s1Hwpt: 9 });
    expect(v.vmm.readVirtual('CMDQ_CONS') >> 24n).toBe(1n);
  });

  it('CFGI_STE_RANGE reaches the devices inside the aligned range', () => {
    const v = plugged();
    v.run(v.vmm.plug('nic1'));
    v.write('CR0', 0xd);
    v.ste(8, 9n, 0n);
    v.ste(0x10, 9n, 0n);
    v.kernel.take();
    v.post(encodeCommand('CFGI_STE_RANGE', { SID: 0x17, Range: 2 }));
    expect(v.kernel.take()).toEqual(['VDEVICE_ALLOC viommu_id=4 dev_id=7 virt_id=0x10', 'ATTACH_IOMMUFD_PT pt_id=6']);
    v.post(encodeCommand('CFGI_ALL', {}));
    // The list has the newest device first.
    expect(v.kernel.take()).toEqual([
      'ATTACH_IOMMUFD_PT pt_id=6',
      'VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8',
      'ATTACH_IOMMUFD_PT pt_id=6',
    ]);
  });

  it('GBPA updates move the devices, SMMUEN does not', () => {
    const v = translating();
    v.write('CR0', 0xc);
    expect(v.kernel.take()).toEqual([]);
    v.write('GBPA', 0x101000);
    expect(v.kernel.take()).toEqual([]);
    v.write('GBPA', 0x80101000n);
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=5']);
    expect(v.vmm.readVirtual('GBPA')).toBe(0x101000n);
  });
});
