import type { InspectedRecord } from '../../machine/index.ts';
import type { Draft } from '../../platform/index.ts';
import { faultLayout, faultName, faultText } from '../layout/index.ts';

/** Fault recording registers of a unit, physical or virtual. */

type Read = (register: string) => bigint;

const F = 1n << 63n;

/** Records that software has not cleared, with their numbers. */
export function recordedFaults(read: Read): { readonly index: number; readonly words: readonly bigint[] }[] {
  const count = Number((read('CAP_REG') >> 40n) & 0xffn) + 1;
  return Array.from({ length: count }, (_, index) => ({
    index,
    words: [read(`FRCD_REG${index}_LO`), read(`FRCD_REG${index}_HI`)],
  })).filter((r) => (r.words[1]! & F) !== 0n);
}

/** In one short word: a record that is written and read within a step should not make the box grow. */
export function frcdObject(id: string, title: string, read: Read): Draft {
  const faults = recordedFaults(read);
  const reasons = faults.map(({ words: [, hi] }) => faultName(Number((hi! >> 32n) & 0xffn)));
  return {
    id,
    type: 'FRCD',
    title,
    lines: [reasons.length > 1 ? `${reasons.length} faults` : (reasons[0] ?? 'empty')],
  };
}

export const faultRecords = (read: Read): InspectedRecord[] =>
  recordedFaults(read).map(({ index, words }) => ({
    title: `Record ${index}: ${faultText(words).replace(/^DMAR: /, '')}`,
    layout: faultLayout(words),
    words,
  }));
