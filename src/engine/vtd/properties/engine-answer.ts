import { ATTR, SHIFT } from '../../cache/index.ts';
import { runToEnd } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import { flag } from '../../properties/words.ts';
import type { VtdUnit } from '../hardware/index.ts';
import { plainFeatures } from './plain-features.ts';
import { type PlainAnswer, type PlainRequest, plainTranslate } from './plain-walker.ts';

/** An answer as one text, so that two of them compare. Of an access only the place counts. */
export function answerText(a: PlainAnswer, q: PlainRequest): string {
  const hex = (w: bigint): string => `0x${w.toString(16)}`;
  if (a.kind === 'nothing') return 'a completion without rights';
  if (a.kind === 'refused') return a.record ? `refused ${a.record.map(hex).join(' ')}` : 'refused without a record';
  const rights = q.type === 'request' ? ` 2^${a.size} ${a.read ? 'r' : ''}${a.write ? 'w' : ''}` : '';
  return `reaches ${hex(a.pa)}${rights}`;
}

const half = (a: bigint, at: bigint): number => Number((a >> at) & 0xffff_ffffn) | 0;

/** What the engine's unit makes of a request, with the fault record that it left in its registers. Software clears it. */
export function engineAnswer(unit: VtdUnit, device: PciDevice, q: PlainRequest): PlainAnswer {
  const { pasid, address, write, exec, priv } = q;
  const [hi, lo] = [half(address, 32n), half(address, 0n) & -4096];
  const tag = pasid < 0 ? NO_PASID : pasid;
  if (q.type === 'translated') {
    const rights = { attr: 3, level: 0, granule: 12, sid: q.rid, ssid: pasid, ipaHi: 0, ipaLo: 0 };
    device.atc.insert(0, tag, hi, lo, 12, 12, hi, lo, rights);
  }
  const r =
    q.type === 'request'
      ? runToEnd(unit.ats(device, pasid, address, write))
      : runToEnd(unit.dma({ device, pasid, iova: address, write, exec, priv, translated: q.type === 'translated' }));
  if (r.ok && q.type !== 'request') return { kind: 'reaches', pa: BigInt(r.pa), size: 12, read: true, write: true };
  if (r.ok) {
    const i = device.atc.lookup(0, tag, hi, lo);
    const attr = device.atc.e[i + ATTR]!;
    return {
      kind: 'reaches',
      pa: BigInt(r.pa),
      size: device.atc.e[i + SHIFT]!,
      read: (attr & 1) !== 0,
      write: (attr & 2) !== 0,
    };
  }
  const high = unit.readRegister('FRCD_REG0_HI');
  if (!flag(high, 63))
    return q.type === 'request' && (r.untranslatedOnly || r.why?.includes('grants nothing'))
      ? { kind: 'nothing' }
      : { kind: 'refused', record: null };
  const low = unit.readRegister('FRCD_REG0_LO');
  runToEnd(unit.writeRegister('FRCD_REG0_HI', 1n << 63n));
  return { kind: 'refused', record: [low, high] };
}

/** What the plain walker makes of it, from the registers and the memory of that unit. Memory stays as it is. */
export function plainAnswer(
  unit: VtdUnit,
  memory: Memory,
  q: PlainRequest,
  written = new Map<number, bigint>(),
): PlainAnswer {
  const size = BigInt(memory.size);
  const a = plainTranslate(
    {
      read: (at) => (at + 8n > size ? null : (written.get(Number(at)) ?? memory.readWord(Number(at)))),
      write: (at, word) => void written.set(Number(at), word),
    },
    { root: unit.regs.rootAddress, enabled: flag(unit.readRegister('GSTS_REG'), 31) },
    plainFeatures(unit.readRegister('CAP_REG'), unit.readRegister('ECAP_REG'), unit.features.haw),
    q,
  );
  // Nothing answers beyond memory.
  const nowhere = a.kind === 'reaches' && q.type !== 'request' && a.pa >= size && a.pa >> 20n !== 0xfeen;
  return nowhere ? { kind: 'refused', record: null } : a;
}
