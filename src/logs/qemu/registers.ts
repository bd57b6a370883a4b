/** Registers that an MMIO trace line names by their offset. */

import { fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { registers } from '../../engine/smmuv3/layout/index.ts';

/** Secure registers lie from here; those that have a Non-secure twin lie at the same place behind it. */
const SECURE = 0x8000;

/** What a value of a register says. QEMU takes page 1 as another view of page 0, and prints the offset in page 0. */
export function mmioFacts(offset: number, value: bigint): Record<string, unknown> {
  const secure = offset >= SECURE && offset < 0x10000;
  const plain = secure ? offset - SECURE : offset;
  if (secure && plain === 0x3c) return { reg: 'SMMU_S_INIT' };
  const found = registers.find((r) => (r.offset & 0xffff) === plain);
  const upper = found ? undefined : registers.find((r) => r.width === 64 && (r.offset & 0xffff) === plain - 4);
  if (upper) return { reg: `SMMU_${secure ? 'S_' : ''}${upper.name}`, half: 'upper' };
  if (!found) return {};
  const { layout, name } = found;
  const facts: Record<string, unknown> = { reg: `SMMU_${secure ? 'S_' : ''}${name}` };
  const get = (n: string): bigint => getField(fieldOf(layout, n), [value]);
  if (/^(?:CMDQ|EVENTQ|PRIQ)_BASE$/.test(name)) {
    facts.queue_base = hexPlain(get('ADDR'));
    facts.log2size = Number(get('LOG2SIZE'));
  } else if (name === 'STRTAB_BASE') facts.strtab_base = hexPlain(get('ADDR'));
  else if (name === 'STRTAB_BASE_CFG')
    facts.fields = Object.fromEntries(layout.fields.map((f) => [f.name, Number(getField(f, [value]))]));
  else if (/^(?:CR0|CR0ACK|IRQ_CTRL|IRQ_CTRLACK|GERROR|GERRORN)$/.test(name))
    facts.set = layout.fields.filter((f) => f.format === 'flag' && getField(f, [value]) === 1n).map((f) => f.name);
  return facts;
}
