import type { Memory } from '../memory/index.ts';
import type { PciDevice } from '../pci/index.ts';
import { type Addresses, BLOCK, PASIDS } from './random-machine.ts';

/** An access that gives something else with the caches than without them. */
export interface Difference {
  readonly device: string;
  readonly pasid: number;
  readonly address: bigint;
  readonly write: boolean;
  readonly translated: boolean;
  readonly cached: string;
  readonly plain: string;
}

/** What is asked: a device, a PASID (-1: none), an address. */
export interface Access {
  readonly device: PciDevice;
  readonly pasid: number;
  readonly address: bigint;
  readonly write: boolean;
}

/** A unit with its memory, and what two ways to translate make of an access, as texts. */
export interface Compared {
  readonly memory: Memory;
  readonly iommu: { save(): unknown; load(s: unknown): void };
  readonly devices: readonly PciDevice[];
  /** Without any cache first, which leaves memory alone, then with the caches as they are. */
  readonly untranslated: (a: Access) => readonly [plain: string, cached: string];
  /** The same for what a device does with its own cache. */
  readonly translated: (a: Access) => readonly [plain: string, cached: string];
}

const universeOf = ({ iovas, gpas }: Addresses): readonly bigint[] =>
  [...iovas, BLOCK, BLOCK + 0x3000, gpas[0]!, 0x4120_0000].map(BigInt);

/** Tries every access of the universe both ways. Afterwards the unit is as it was. */
export function compare(u: Compared, addresses: Addresses): Difference[] {
  const universe = universeOf(addresses);
  const out: Difference[] = [];
  const saved = u.iommu.save();
  const words = u.memory.save();
  const ask = (devices: readonly PciDevice[], translated: boolean): void => {
    for (const device of devices)
      for (const pasid of [-1, ...PASIDS])
        for (const address of universe)
          for (const write of [false, true]) {
            const a = { device, pasid, address, write };
            const [plain, cached] = translated ? u.translated(a) : u.untranslated(a);
            if (plain !== cached) out.push({ ...a, device: device.name, translated, cached, plain });
          }
    u.memory.load(words);
    u.iommu.load(saved);
  };
  ask(u.devices, false);
  ask(
    u.devices.filter((d) => d.atsEnabled),
    true,
  );
  return out;
}
