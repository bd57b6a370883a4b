import { describe, expect, it } from 'vitest';
import { bootedMachine, realMachine } from './real-machine.ts';
import { vmmOnRecorder } from './recording-kernel.ts';
import type { VmmProperties } from './registers.ts';

/** A VMM whose first device sits behind an SMMU with these ID registers. */
function behind(properties: VmmProperties, change: (idr: number[]) => void = () => {}) {
  const v = vmmOnRecorder({ properties });
  change(v.kernel.idr);
  v.run(v.vmm.start());
  const r = v.run(v.vmm.plug('nic0'));
  const idr = (n: number): number => Number(v.vmm.readVirtual(`IDR${n}`));
  return { v, r, ats: (idr(0) >> 10) & 1, ril: (idr(3) >> 10) & 1, oas: idr(5) & 7, ssid: (idr(1) >> 6) & 31 };
}

const noAts = (idr: number[]): void => {
  idr[0]! &= ~0x400;
};
const noRil = (idr: number[]): void => {
  idr[3]! &= ~0x400;
};
const oas = (code: number) => (idr: number[]) => {
  idr[5] = (idr[5]! & ~7) | code;
};
const ssid = (bits: number) => (idr: number[]) => {
  idr[1] = (idr[1]! & ~(31 << 6)) | (bits << 6);
};

describe('properties of the vSMMU, arm-smmuv3.md 8.1', () => {
  it('auto takes what the SMMU has', () => {
    expect(behind({})).toMatchObject({ ats: 1, ril: 1, oas: 4, ssid: 16, r: { ok: true } });
    expect(behind({}, noAts)).toMatchObject({ ats: 0, r: { ok: true } });
    expect(behind({}, noRil)).toMatchObject({ ril: 0, r: { ok: true } });
    expect(behind({}, ssid(9))).toMatchObject({ ssid: 9, r: { ok: true } });
    expect(behind({ oas: 'auto' })).toMatchObject({ oas: 5, r: { ok: true } });
    expect(behind({ oas: 'auto' }, oas(4))).toMatchObject({ oas: 4, r: { ok: true } });
  });

  it('fixed values stay', () => {
    expect(behind({ ats: 'off', ril: 'off', oas: 48, ssidsize: 5 })).toMatchObject({ ats: 0, ril: 0, oas: 5, ssid: 5 });
    expect(behind({ ats: 'on', ril: 'on', oas: 44, ssidsize: 0 })).toMatchObject({ ats: 1, ril: 1, oas: 4, ssid: 0 });
  });

  it.each([
    ['ATS', { ats: 'on' }, noAts, "Host SMMUv3 doesn't support Address Translation Services"],
    ['RIL', { ril: 'on' }, noRil, "Host SMMUv3 doesn't support Range Invalidation"],
    ['OAS', { oas: 48 }, oas(4), 'Host SMMUv3 supports only 44-bit IPA, but the vSMMU OAS implies 48-bit IPA'],
    ['OAS auto', { oas: 'auto' }, oas(3), 'Host SMMUv3 supports only 42-bit IPA, but the vSMMU OAS implies 44-bit IPA'],
    ['SSIDSIZE', { ssidsize: 10 }, ssid(9), 'Host SMMUv3 SSIDSIZE not compatible (host=9, QEMU=10)'],
    [
      'SIDSIZE',
      {},
      (idr: number[]) => {
        idr[1] = (idr[1]! & ~63) | 8;
      },
      'Host SMMUv3 SIDSIZE not compatible (host=8, QEMU=16)',
    ],
    [
      'ST_LEVEL',
      {},
      (idr: number[]) => {
        idr[0]! &= ~(3 << 27);
      },
      'Host SMMUv3 Stream Table format mismatch (host STLEVEL=0, QEMU STLEVEL=1)',
    ],
    [
      'TTENDIAN',
      {},
      (idr: number[]) => {
        idr[0]! |= 3 << 21;
      },
      "Host SMMUv3 doesn't support Little-endian translation table",
    ],
    [
      'TTF',
      {},
      (idr: number[]) => {
        idr[0] = (idr[0]! & ~12) | 4;
      },
      "Host SMMUv3 doesn't support AArch64 translation table format",
    ],
    ...(
      [
        ['4K', 4],
        ['16K', 5],
        ['64K', 6],
      ] as const
    ).map(
      ([size, bit]) =>
        [
          size,
          {},
          (idr: number[]) => {
            idr[5]! &= ~(1 << bit);
          },
          `Host SMMUv3 doesn't support ${size} translation granule`,
        ] as const,
    ),
  ] as readonly (readonly [string, VmmProperties, (idr: number[]) => void, string])[])(
    '%s: an SMMU that cannot do it refuses the device by name',
    (_name, properties, change, message) => {
      const { r, v } = behind(properties, change);
      expect(r).toEqual({ ok: false, text: `nic0 cannot be plugged: ${message}` });
      expect(v.vmm.state.parents).toEqual([]);
    },
  );

  it('a later device is held against what the first has settled, also after that has gone', () => {
    const { v } = behind({});
    v.run(v.vmm.unplug('nic0'));
    noAts(v.kernel.idr);
    expect(v.run(v.vmm.plug('nic1')).text).toBe(
      "nic1 cannot be plugged: Host SMMUv3 doesn't support Address Translation Services",
    );
  });

  it('another kind of IOMMU is refused', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.kernel.answers.set('IOMMU_GET_HW_INFO', { errno: '0', out: { out_data_type: 1 } });
    expect(v.run(v.vmm.plug('nic0')).text).toContain('Wrong data type (1) for Host SMMUv3 device info');
  });
});

describe('PASIDs', () => {
  it('the guest’s device has the capability when both the vSMMU and the host let it', () => {
    const v = vmmOnRecorder();
    v.kernel.maxPasidLog2 = 6;
    v.run(v.vmm.start());
    expect(v.vmm.pasidBits('nic0')).toBe(0);
    v.run(v.vmm.plug('nic0'));
    expect(v.vmm.pasidBits('nic0')).toBe(6);
    const none = vmmOnRecorder({ properties: { ssidsize: 0 } });
    none.kernel.maxPasidLog2 = 6;
    none.run(none.vmm.start());
    none.run(none.vmm.plug('nic0'));
    expect(none.vmm.pasidBits('nic0')).toBe(0);
  });

  it('a guest with SubstreamIDs shares a process with its device', () => {
    const m = bootedMachine({ devices: [{ name: 'nic0', rid: 0x108, vrid: 8, ats: true, pasidBits: 8 }] });
    const { guest, memory } = m.guests[0]!;
    m.step(guest.bind({ device: 'nic0', process: 'app' }));
    m.step(guest.map({ domain: 'app', iova: 0x10000, gpa: 0x40300000, size: 4096 }));
    const r = m.dmaOf('nic0', { pasid: 1, iova: 0x10008n });
    expect(r).toMatchObject({ ok: true, pa: memory.resolve(0x40300000) + 8 });
  });

  it('without them it is refused', () => {
    const m = bootedMachine({
      devices: [{ name: 'nic0', rid: 0x108, vrid: 8, ats: true, pasidBits: 8 }],
      properties: { ssidsize: 0 },
    });
    expect(m.run(m.guests[0]!.guest.bind({ device: 'nic0', process: 'app' })).ok).toBe(false);
  });
});

describe('function-level reset', () => {
  it('is a trap and the kernel’s work: the vSMMU’s objects stay, and the attachment comes back', () => {
    const m = bootedMachine();
    const { vmm, guest } = m.guests[0]!;
    m.step(guest.attach({ device: 'nic0', domain: 'dma0' }));
    m.step(guest.map({ domain: 'dma0', iova: 0x10000, gpa: 0x40200000, size: 4096 }));
    m.dma('nic0', 0x10000n);
    const before = structuredClone(vmm.units[0]!.state);
    const objects = m.iommufd.objects();
    const { drivers } = m;
    const posted = m.step(
      vmm.deviceReset('nic0', function* () {
        yield* drivers.resetPrepare('nic0');
        expect(m.dma('nic0', 0x10000n).ok).toBe(false);
        yield* drivers.resetDone('nic0');
      }),
    );
    expect(posted.filter((c) => c.startsWith('CFGI_STE'))).not.toEqual([]);
    expect(vmm.units[0]!.state).toEqual(before);
    expect(m.iommufd.objects()).toEqual(objects);
    expect(m.dma('nic0', 0x10000n).ok).toBe(true);
  });

  it('of a device that is not there is refused', () => {
    const m = realMachine();
    expect(m.run(m.guests[0]!.vmm.deviceReset('nic0', function* () {}))).toEqual({
      ok: false,
      text: 'nic0 is not plugged',
    });
  });
});
