import type { InspectedRecord } from '../../machine/index.ts';
import type { Draft } from '../../platform/index.ts';
import { deviceText, faultLayout, faultName, faultText } from '../layout/index.ts';

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

export function frcdObject(id: string, title: string, read: Read): Draft {
  const faults = recordedFaults(read);
  const lines = faults.map(({ words: [, hi] }) => {
    return `${faultName(Number((hi! >> 32n) & 0xffn))} ${deviceText(Number(hi! & 0xffffn))}`;
  });
  return { id, type: 'FRCD', title, lines: lines.length ? lines : ['empty'], listed: true };
}

export const faultRecords = (read: Read): InspectedRecord[] =>
  recordedFaults(read).map(({ index, words }) => ({
    title: `Record ${index}: ${faultText(words).replace(/^DMAR: /, '')}`,
    layout: faultLayout(words),
    words,
  }));
