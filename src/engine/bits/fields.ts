/** Short builders, so that a layout reads like the specification's own table: one line a field. */

import type { Field } from './layout.ts';

type When = NonNullable<Field['when']>;

const make = (
  name: string,
  word: number,
  hi: number,
  lo: number,
  format: Field['format'],
  meaning: string,
  values?: Field['values'],
  when?: When,
): Field => ({ name, word, hi, lo, format, meaning, ...(values ? { values } : {}), ...(when ? { when } : {}) });

/** One bit. `values` names 0 and 1 where the names say more than the meaning. */
export const flag = (name: string, word: number, bit: number, meaning: string, when?: When, values?: Field['values']) =>
  make(name, word, bit, bit, 'flag', meaning, values, when);

/** A number shown in hexadecimal: an id, a mask, an implementation defined value. */
export const hexBits = (name: string, word: number, hi: number, lo: number, meaning: string, when?: When) =>
  make(name, word, hi, lo, 'hex', meaning, undefined, when);

/** A number shown in decimal: a size exponent, a count. */
export const decBits = (name: string, word: number, hi: number, lo: number, meaning: string, when?: When) =>
  make(name, word, hi, lo, 'dec', meaning, undefined, when);

/** A choice with named values, in order from 0; '' leaves a value without a name. */
export const enumBits = (
  name: string,
  word: number,
  hi: number,
  lo: number,
  meaning: string,
  names: readonly string[],
  when?: When,
) => {
  const values: Record<number, string> = {};
  names.forEach((n, i) => {
    if (n) values[i] = n;
  });
  return make(name, word, hi, lo, 'enum', meaning, values, when);
};

/** An address in place: the bits below `lo` are zero. */
export const addrBits = (name: string, word: number, hi: number, lo: number, meaning: string, when?: When) =>
  make(name, word, hi, lo, 'addr', meaning, undefined, when);
