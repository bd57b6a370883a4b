import { type Platform, runToEnd } from '../../machine/index.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { type Access, compare } from '../../properties/brute-force.ts';
import type { Addresses, Kind } from '../../properties/random-machine.ts';
import { vtdVendor } from '../index.ts';
import type { VtdPlatform } from '../platform/platform.ts';
import { answerText, engineAnswer, plainAnswer } from './engine-answer.ts';
import { againstGuest } from './guest-view.ts';
import type { PlainRequest } from './plain-walker.ts';
import { regressions } from './regressions.ts';

await loadVendors(['vtd']);

export const partsOf = (platform: Platform): VtdPlatform['parts'] => (platform as VtdPlatform).parts;

const asked = (a: Access, type: PlainRequest['type']): PlainRequest => ({
  rid: a.device.rid,
  pasid: a.pasid,
  address: a.address,
  write: a.write,
  exec: false,
  priv: false,
  type,
});

/** Every access by the engine with its caches as they are, and by the plain walker without any. */
function differences(platform: Platform, addresses: Addresses) {
  const { memory, units } = partsOf(platform);
  return units.flatMap(({ iommu: unit, devices }) =>
    compare(
      {
        memory,
        iommu: unit,
        devices,
        untranslated: (a) => {
          const q = asked(a, 'untranslated');
          // A device without PASIDs sends none; and a record that stands there would hide the next.
          if (a.pasid >= 0 && !a.device.pasidEnabled) return ['', ''];
          runToEnd(unit.writeRegister('FRCD_REG0_HI', 1n << 63n));
          runToEnd(unit.writeRegister('FSTS_REG', 1n));
          const plain = answerText(plainAnswer(unit, memory, q), q);
          return [plain, answerText(engineAnswer(unit, a.device, q), q)];
        },
        translated: (a) => {
          if (a.pasid >= 0 && !a.device.pasidEnabled) return ['', ''];
          const { device, pasid, address: iova, write } = a;
          const p = plainAnswer(unit, memory, asked(a, 'request'));
          const granted = p.kind === 'reaches' && (write ? p.write : p.read) && p.pa < BigInt(memory.size);
          const r = runToEnd(unit.dma({ device, pasid, iova, write, translated: true }));
          const reaches = (pa: number | bigint): string => `reaches 0x${pa.toString(16)}`;
          return [granted ? reaches(p.pa) : 'does not', r.ok ? reaches(r.pa) : 'does not'];
        },
      },
      addresses,
    ),
  );
}

/** What the properties ask of a VT-d unit. */
export const vtd: Kind = {
  vendor: vtdVendor,
  commands: [
    { name: 'IOTLB_INV', G: 1 },
    { name: 'P_IOTLB_INV', G: 2, DID: 2, PASID: 1 },
    { name: 'PC_INV', G: 3 },
    { name: 'CC_INV', G: 1 },
    { name: 'P_IOTLB_INV', G: 3, DID: 2, PASID: 0, ADDR: '0x10000', AM: 2 },
  ],
  widest: { name: 'PC_INV', G: 3 },
  differences,
  againstGuest,
  regressions,
};
