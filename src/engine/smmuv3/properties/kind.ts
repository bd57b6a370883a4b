import { type Platform, runToEnd } from '../../machine/index.ts';
import { loadVendors } from '../../machine/vendors.ts';
import type { Memory } from '../../memory/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import { type Access, compare } from '../../properties/brute-force.ts';
import type { Kind } from '../../properties/random-machine.ts';
import { bits, flag } from '../../properties/words.ts';
import type { Smmu } from '../hardware/index.ts';
import { smmuv3Vendor } from '../index.ts';
import type { Smmuv3Platform } from '../platform/platform.ts';
import { answerText, engineAnswer, plainAnswer } from './engine-answer.ts';
import { regressions } from './regressions.ts';

await loadVendors(['smmuv3']);

interface Unit {
  readonly smmu: Smmu;
  readonly memory: Memory;
  readonly devices: readonly PciDevice[];
}

/** The machine's units with the devices behind them, as the platform stands now. */
export function unitsOf(platform: Platform): readonly Unit[] {
  const { memory, units } = (platform as Smmuv3Platform).parts;
  return units.map(({ iommu: smmu, devices }) => ({ smmu, memory, devices }));
}

/** Whether the STE in memory lets the device translate at all, as the plain walker finds it. */
function atsAllowed(u: Unit, d: PciDevice): boolean {
  const reg = (name: string): bigint => u.smmu.readRegister(name);
  const cfg = reg('STRTAB_BASE_CFG');
  const base = bits(reg('STRTAB_BASE'), 51, 6) << 6n;
  const sid = BigInt(d.rid);
  const split = bits(cfg, 10, 6);
  let at = base + 64n * sid;
  if (bits(cfg, 17, 16) === 1n) {
    const l1 = u.memory.readWord(Number(base + 8n * (sid >> split)));
    if (bits(l1, 4, 0) === 0n) return false;
    at = (bits(l1, 51, 6) << 6n) + 64n * (sid & ((1n << split) - 1n));
  }
  const w0 = u.memory.readWord(Number(at));
  const w1 = u.memory.readWord(Number(at + 8n));
  return flag(w0, 0) && bits(w0, 3, 1) > 4n && bits(w1, 29, 28) === 1n;
}

const asked = ({ device, pasid, address, write }: Access) => ({
  sid: device.rid,
  ssid: pasid,
  address,
  write,
  exec: false,
  priv: false,
});

function compared(u: Unit) {
  const { smmu, memory, devices } = u;
  return {
    memory,
    devices,
    iommu: smmu,
    untranslated: (a: Access): [string, string] => {
      const plain = answerText(plainAnswer(smmu, memory, asked(a)));
      return [plain, answerText(engineAnswer(smmu, memory, a.device, asked(a)))];
    },
    translated: ({ device, pasid, address, write }: Access): [string, string] => {
      const a = atsAllowed(u, device) ? plainAnswer(smmu, memory, asked({ device, pasid, address, write })) : null;
      const r = runToEnd(smmu.dma({ device, pasid, iova: address, write, translated: true }));
      return [a?.kind === 'reaches' ? answerText(a) : 'does not', r.ok ? `reaches 0x${r.pa.toString(16)}` : 'does not'];
    },
  };
}

/** What the properties ask of an SMMU. */
export const smmuv3: Kind = {
  vendor: smmuv3Vendor,
  commands: [
    { name: 'TLBI_NSNH_ALL' },
    { name: 'TLBI_NH_ASID', ASID: 1 },
    { name: 'CFGI_STE_RANGE', Range: 31 },
    { name: 'TLBI_NH_VAA', Address: '0x10000' },
  ],
  widest: { name: 'CFGI_STE_RANGE', Range: 31 },
  differences: (platform, addresses) => unitsOf(platform).flatMap((u) => compare(compared(u), addresses)),
  regressions,
};
