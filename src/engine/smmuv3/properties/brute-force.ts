import { runToEnd } from '../../machine/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import { answerText, engineAnswer, plainAnswer } from './engine-answer.ts';
import { bits, flag } from './plain-stage.ts';
import { type Addresses, addressesOf, BLOCK, PASIDS, type Unit } from './random-machine.ts';

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

const universeOf = ({ iovas, gpas }: Addresses): readonly bigint[] =>
  [...iovas, BLOCK, BLOCK + 0x3000, gpas[0]!, 0x4120_0000].map(BigInt);

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

/**
 * Tries every access of the universe twice: by the engine with its caches as they are, and by the plain walker without
 * any. Afterwards the unit is as it was.
 */
export function differences(u: Unit, addresses = addressesOf({})): Difference[] {
  const universe = universeOf(addresses);
  const out: Difference[] = [];
  const { smmu, memory } = u;
  const saved = smmu.save();
  const words = memory.save();
  const back = (): void => {
    memory.load(words);
    smmu.load(saved);
  };
  for (const device of u.devices)
    for (const pasid of [-1, ...PASIDS])
      for (const address of universe)
        for (const write of [false, true]) {
          const q = { sid: device.rid, ssid: pasid, address, write, exec: false, priv: false };
          const plain = plainAnswer(smmu, memory, q);
          const cached = engineAnswer(smmu, memory, device, q);
          if (answerText(plain) !== answerText(cached))
            out.push({
              device: device.name,
              pasid,
              address,
              write,
              translated: false,
              cached: answerText(cached),
              plain: answerText(plain),
            });
        }
  back();
  for (const device of u.devices.filter((d) => d.atsEnabled)) {
    for (const pasid of [-1, ...PASIDS])
      for (const address of universe)
        for (const write of [false, true]) {
          const q = { sid: device.rid, ssid: pasid, address, write, exec: false, priv: false };
          const a = atsAllowed(u, device) ? plainAnswer(smmu, memory, q) : null;
          const plain = a?.kind === 'reaches' ? answerText(a) : 'does not';
          const r = runToEnd(smmu.dma({ device, pasid, iova: address, write, translated: true }));
          const cached = r.ok ? `reaches 0x${r.pa.toString(16)}` : 'does not';
          if (plain !== cached)
            out.push({ device: device.name, pasid, address, write, translated: true, cached, plain });
        }
  }
  back();
  return out;
}
