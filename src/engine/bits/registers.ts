import { flag } from './fields.ts';
import type { Field, Layout } from './layout.ts';

export interface RegisterInfo {
  /** The specification's name, without the prefix that all registers share: `CMDQ_PROD`, `IQT_REG`. */
  readonly name: string;
  /** Byte offset from the base of the unit. */
  readonly offset: number;
  readonly width: 32 | 64;
  readonly layout: Layout;
}

/** Name, offset, width, title, fields. */
export type RegisterRow = readonly [string, number, 32 | 64, string, readonly Field[]];

/** A one-bit field of a register. */
export const registerFlag = (name: string, bit: number, meaning: string): Field => flag(name, 0, bit, meaning);

/** The register of a row. @param prefix what its layout id begins with: `smmuv3.reg` */
export const registerOf = (
  prefix: string,
  source: string,
  [name, offset, width, title, fields]: RegisterRow,
): RegisterInfo => ({
  name,
  offset,
  width,
  layout: { id: `${prefix}.${name.toLowerCase()}`, name, title, words: 1, source, fields },
});
