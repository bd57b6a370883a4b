import type { TextLine } from '../../lines.ts';
import type { Draft } from '../../record.ts';

/** A record of a file, before its content is known. */
export const fileRecord = (file: string, line: TextLine, at: string): Draft => ({
  type: 'debugfs',
  vendor: 'intel',
  arch: 'vtd',
  line: line.number,
  file,
  explain: '',
  where: { at },
});

/** `0x0` to `0xffff_ffff_ffff_ffff` of digits with or without a prefix. */
export const value = (digits: string): bigint => BigInt(`0x${digits.replace(/^0x/i, '')}`);

/** Most entries that are kept of one file. */
export const MOST_ROWS = 4096;

export const counted = (n: number, what: string, many = `${what}s`): string => `${n} ${n === 1 ? what : many}`;
