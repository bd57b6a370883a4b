import { runToEnd } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import type { Smmu } from '../hardware/index.ts';
import { type PlainAnswer, type PlainRequest, plainTranslate } from './plain-walker.ts';

/** An answer as one text, so that two of them compare. */
export const answerText = (a: PlainAnswer): string =>
  a.kind === 'reaches'
    ? `reaches 0x${a.pa.toString(16)}`
    : `${a.kind} ${a.record ? a.record.map((w) => `0x${w.toString(16)}`).join(' ') : 'without a record'}`;

/** What the engine's SMMU makes of an untranslated access, with the record that it wrote to its event queue. */
export function engineAnswer(smmu: Smmu, memory: Memory, device: PciDevice, q: PlainRequest): PlainAnswer {
  const before = smmu.readRegister('EVENTQ_PROD');
  const { ssid: pasid, address: iova, write, exec, priv } = q;
  const r = runToEnd(smmu.dma({ device, pasid, iova, write, exec, priv, translated: false }));
  if (r.ok && !r.raz) return { kind: 'reaches', pa: BigInt(r.pa) };
  const kind = r.raz ? 'raz' : r.stag !== undefined ? 'stall' : 'abort';
  if (smmu.readRegister('EVENTQ_PROD') === before) return { kind, record: null };
  const base = smmu.readRegister('EVENTQ_BASE');
  const index = before & ((1n << (base & 31n)) - 1n);
  const at = Number((base & 0xfffffffffffe0n) + 32n * index);
  const record = [0, 8, 16, 24].map((i) => memory.readWord(at + i));
  // Which tag a stall gets is the engine's choice.
  if (kind === 'stall') record[1]! &= ~0xffffn;
  return { kind, record };
}

/** What the plain walker makes of it, from the registers and the memory of that SMMU. Memory stays as it is. */
export function plainAnswer(
  smmu: Smmu,
  memory: Memory,
  q: PlainRequest,
  written = new Map<number, bigint>(),
): PlainAnswer {
  const size = BigInt(memory.size);
  const reg = (name: string): bigint => smmu.readRegister(name);
  const a = plainTranslate(
    {
      read: (at) => (at + 8n > size ? null : (written.get(Number(at)) ?? memory.readWord(Number(at)))),
      write: (at, word) => void written.set(Number(at), word),
    },
    {
      CR0: reg('CR0'),
      CR2: reg('CR2'),
      GBPA: reg('GBPA'),
      STRTAB_BASE: reg('STRTAB_BASE'),
      STRTAB_BASE_CFG: reg('STRTAB_BASE_CFG'),
      idr: [0, 1, 2, 3, 4, 5].map((i) => Number(reg(`IDR${i}`))),
    },
    q,
  );
  // Nothing answers beyond memory.
  return a.kind === 'reaches' && a.pa >= size ? { kind: 'abort', record: null } : a;
}
