import { type Platform, runToEnd } from '../../machine/index.ts';
import { type Access, compare, type Difference } from '../../properties/brute-force.ts';
import type { Addresses } from '../../properties/random-machine.ts';
import type { VtdUnit } from '../hardware/index.ts';
import type { VtdPlatform } from '../platform/platform.ts';
import type { VmmDevice, VVtd } from '../vmm/index.ts';
import { plainFeatures } from './plain-features.ts';
import { plainTranslate } from './plain-walker.ts';

type Parts = VtdPlatform['parts'];

/** Width of the vIOMMU's addresses. */
const WIDTH = 48;

/** Where the guest's own tables lead an access, as if the virtual unit were a real one over guest memory. */
function byGuest(
  memory: Parts['guests'][number]['memory'],
  unit: VVtd,
  device: VmmDevice,
  a: Pick<Access, 'pasid' | 'address' | 'write'>,
): number | null {
  const written = new Map<bigint, bigint>();
  const answer = plainTranslate(
    {
      read: (at) => written.get(at) ?? (memory.contains(Number(at)) ? memory.readWord(Number(at)) : null),
      write: (at, word) => void written.set(at, word),
    },
    // The host's entry says that accesses to tables snoop, whether or not the guest knows of that.
    {
      root: BigInt(unit.state.root) | (unit.state.rootScalable ? 0x400n : 0n),
      enabled: unit.state.dmarEnabled,
      snoops: true,
    },
    // QEMU does not mind fields of what it does not offer: Linux always writes AW, and PWSNP for processes.
    { ...plainFeatures(unit.readVirtual('CAP_REG'), unit.readVirtual('ECAP_REG'), WIDTH), ssts: true, smpwcs: true },
    { rid: device.vrid, ...a, exec: false, priv: false, type: 'untranslated' },
  );
  if (answer.kind !== 'reaches' || !memory.contains(Number(answer.pa), 1)) return null;
  return memory.resolve(Number(answer.pa));
}

const text = (pa: number | null): string => (pa === null ? 'does not' : `reaches 0x${pa.toString(16)}`);

/**
 * Every access twice: where the machine takes it, and where the guest's tables over guest memory say it goes. Devices without
 * a PASID 0 entry are passed over: QEMU has its own way with them (docs/limits.md).
 */
export function againstGuest(platform: Platform, addresses: Addresses): Difference[] {
  const { memory, units, guests } = (platform as VtdPlatform).parts;
  const view = (name: string) => {
    for (const g of guests)
      for (const unit of g.vmm.units) {
        const device = unit.state.devices.find((x) => x.name === name);
        if (device?.bindings.some((b) => b.pasid === 0)) return { memory: g.memory, unit, device };
      }
    return null;
  };
  const each = (iommu: VtdUnit, devices: Parts['units'][number]['devices']): Difference[] =>
    compare(
      {
        memory,
        iommu,
        devices: devices.filter((d) => view(d.name) !== null),
        untranslated: ({ device, pasid, address, write }) => {
          if (pasid >= 0 && !device.pasidEnabled) return ['', ''];
          const v = view(device.name)!;
          const should = byGuest(v.memory, v.unit, v.device, { pasid, address, write });
          const r = runToEnd(iommu.dma({ device, pasid, iova: address, write, translated: false }));
          return [text(should), text(r.ok ? r.pa : null)];
        },
        translated: () => ['', ''],
      },
      addresses,
    );
  return units.flatMap((u) => each(u.iommu, u.devices));
}
