import { runToEnd } from '../../machine/index.ts';
import {
  boot,
  type GuestBedOptions,
  type GuestDeviceOptions,
  guestCount,
  guestKernelParts,
  guestParts,
  stepping,
} from '../../vmm/fixtures/guest-bed.ts';
import { GuestDriver } from '../guest/index.ts';
import { type Bed, bed, GiB, RAM } from '../host/testbed.ts';
import type { VmmProperties } from './registers.ts';
import { Vmm } from './vmm.ts';

export interface RealOptions extends GuestBedOptions {
  readonly devices?: readonly GuestDeviceOptions[];
  readonly smmus?: number;
  readonly properties?: VmmProperties;
}

const usual: readonly GuestDeviceOptions[] = [{ name: 'nic0', rid: 0x108, vrid: 8, ats: true }];

/** For tests: guests on the real kernel, host driver and SMMU. Nothing is started. */
export function realMachine(o: RealOptions = {}) {
  const devices = o.devices ?? usual;
  const b: Bed = bed({
    devices: devices.map((d) => ({ ...d })),
    units: o.smmus ?? 1,
    ...(o.features ? { features: o.features } : {}),
  });
  const count = guestCount(devices);
  const guests = Array.from({ length: count }, (_, index) => oneGuest(b, o, devices, index, count));
  const { settle, step } = stepping(
    b,
    guests,
    () => {
      for (const u of b.drivers.units) runToEnd(u.interrupt());
    },
    (c) => (c.name === 'SYNC' ? 'SYNC' : c.text),
  );
  /** A transaction of a device; -1: without PASID. */
  const dmaOf = (device: string, t: { pasid?: number; iova: bigint; write?: boolean }) => {
    const index = b.devices.findIndex((d) => d.name === device);
    const smmu = b.smmus[devices[index]!.unit ?? 0]!;
    return runToEnd(smmu.dma({ device: b.devices[index]!, pasid: -1, write: false, translated: false, ...t }));
  };
  const dma = (device: string, iova: bigint) => dmaOf(device, { iova });
  return { ...b, guests, settle, step, dma, dmaOf, run: runToEnd };
}

export type RealMachine = ReturnType<typeof realMachine>;

function oneGuest(b: Bed, o: RealOptions, all: readonly GuestDeviceOptions[], index: number, count: number) {
  const g = guestParts(b, o, all, { index, count, unitName: 'vsmmu', ram: RAM + (index + 1) * GiB });
  const vmm = new Vmm({ ...g.parts, ...(o.properties ? { properties: o.properties } : {}) });
  const units = g.units.map((u, i) => ({ ...u, smmu: vmm.units[i]! }));
  const guest = new GuestDriver({ ...guestKernelParts(b, g, vmm), units });
  return { vmm, guest, memory: g.memory, process: g.process };
}

/** For tests: all devices plugged, the machine reset that follows, and the guests booted. */
export const bootedMachine = (o: RealOptions = {}): RealMachine => boot(realMachine(o), o.devices ?? usual);
