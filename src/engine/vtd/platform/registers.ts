import type { InspectedRecord } from '../../machine/index.ts';
import { registerByName, registers } from '../layout/index.ts';

/** Fault recording registers that a unit can have. */
const RECORDS = 256;

/** Names of the registers of any unit, however many fault records it has. */
export const registerNames: readonly string[] = [
  ...new Set([
    ...registers.map((r) => r.name),
    ...Array.from({ length: RECORDS }, (_, n) => [`FRCD_REG${n}_LO`, `FRCD_REG${n}_HI`]).flat(),
  ]),
];

export const registerRecord = (name: string, value: bigint): InspectedRecord => ({
  title: name,
  layout: registerByName(name)!.layout,
  words: [value],
});
