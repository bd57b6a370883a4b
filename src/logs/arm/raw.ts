/**
 * Bytes and words without a log around them: sixteen-byte commands and 32-byte event records, as a debugger, `hexdump`, `xxd`
 * or a mail shows them.
 */

import { bytesToWords, fieldOf, getField, reservedBits } from '../../engine/bits/index.ts';
import { commandLayout, eventIds, eventLayout, unknownCommandLayout } from '../../engine/smmuv3/layout/index.ts';

export type Hint = 'command' | 'event' | null;

export interface HexLine {
  /** In memory order, if the numbers are little-endian words (or bytes). */
  readonly bytes: readonly number[];
  /** In memory order, if the digits stand as the bytes lie (as `xxd -g8` prints). */
  readonly straight: readonly number[];
  /** What a label in front says it is. */
  readonly hint: Hint;
}

const LABEL = /^[\w .#[\]()-]{0,24}\b(cmdq?|command|evtq?|v?event|record)\b[\w .#[\]()-]{0,16}[:=]\s*(?=[0-9a-fx{[(])/i;
const OFFSET = /^(?:0x)?[0-9a-f]{4,16}(?:\s*<[^>]{0,60}>)?:\s+/i;
/** `hexdump -C`: an offset, two blanks, and bytes. */
const DUMP_OFFSET = /^[0-9a-f]{7,8}\s\s(?=(?:[0-9a-f]{2}\s{1,2}){7,16}[0-9a-f]{2}(?:\s|$))/i;
const OD_OFFSET = /^[0-9a-f]{7}\s(?=(?:[0-9a-f]{4}\s?){8}$)/i;

const fromHex = (s: string): number[] =>
  Array.from({ length: s.length / 2 }, (_, i) => Number.parseInt(s.slice(2 * i, 2 * i + 2), 16));

/** Little-endian bytes of a word printed as a number. */
const littleEndian = (s: string): number[] => fromHex(s).reverse();

/** Bytes of a line that holds nothing but hexadecimal numbers, or null. At most 64 bytes. */
export function hexLine(text: string): HexLine | null {
  let s = text.trim();
  if (s.length < 16 || s.length > 400) return null;
  let hint: Hint = null;
  const label = LABEL.exec(s);
  if (label) {
    hint = /^(?:cmdq?|command)$/i.test(label[1] as string) ? 'command' : 'event';
    s = s.slice(label[0].length);
  }
  if (!/^[0-9a-fx]/i.test(s) && !/^[{[(]/.test(s)) return null;
  s = s.replace(/\s+\|.{0,32}\|$/, '');
  const colon = OFFSET.exec(s);
  const dump = colon ? null : DUMP_OFFSET.exec(s);
  const od = colon || dump ? null : OD_OFFSET.exec(s);
  if (colon) s = s.slice(colon[0].length);
  else if (dump) s = s.slice(dump[0].length);
  else if (od) s = s.slice(od[0].length);
  // The characters that xxd and debuggers print behind two blanks are not hexadecimal numbers.
  if (colon) s = s.replace(/\s\s.{1,40}$/, (tail) => (/^[\s0-9a-fx]+$/i.test(tail) ? tail : ''));
  const tokens = s.split(/[\s,;{}[\]()]+/).filter((t) => t !== '');
  if (tokens.length === 0 || tokens.length > 64) return null;
  const digits = tokens.map((t) => /^(?:0x)?([0-9a-f]{1,64})(?:u?ll?)?$/i.exec(t)?.[1] ?? '');
  if (digits.some((d) => d === '')) return null;
  const prefixed = tokens.every((t) => /^0x/i.test(t));
  const width = Math.max(...digits.map((d) => d.length));
  if (prefixed && width > 2) {
    // Numbers after 0x may lack leading zeros: sizes come from how many there are.
    if (width > 8 || tokens.length === 2) return sized(digits, 16, hint);
    return sized(digits, 8, hint);
  }
  if (digits.some((d) => d.length !== width && !prefixed)) return null;
  switch (width) {
    case 1:
    case 2:
      return tokens.length >= 8
        ? plain(
            digits.flatMap((d) => fromHex(d.padStart(2, '0'))),
            hint,
          )
        : null;
    case 4:
      if (tokens.length % 8 !== 0) return null;
      return plain(
        digits.flatMap((d) => (od ? littleEndian(d) : fromHex(d))),
        hint,
      );
    case 8:
      return tokens.length % 4 === 0 || hint ? sized(digits, 8, hint) : null;
    case 16:
      return sized(digits, 16, hint);
    case 32:
    case 64:
      return tokens.length === 1 ? plain(fromHex(digits[0] as string), hint) : null;
    default:
      return null;
  }
}

const plain = (bytes: readonly number[], hint: Hint): HexLine => ({ bytes, straight: bytes, hint });

function sized(digits: readonly string[], width: 8 | 16, hint: Hint): HexLine | null {
  if (digits.some((d) => d.length > width)) return null;
  const padded = digits.map((d) => d.padStart(width, '0'));
  return { bytes: padded.flatMap(littleEndian), straight: padded.flatMap(fromHex), hint };
}

/** Whether the words can be an event record: a known id, no reserved bit in the first word, and a class that the stage allows. */
export function plausibleEvent(words: readonly bigint[]): boolean {
  const id = Number((words[0] ?? 0n) & 0xffn);
  if (!Object.values(eventIds).includes(id)) return false;
  if (((words[0] ?? 0n) & 0x700n) !== 0n) return false;
  if (id < 0x10 || id > 0x13 || words.length < 2) return true;
  const layout = eventLayout(words);
  const get = (name: string): bigint => getField(fieldOf(layout, name), words);
  return (
    get('CLASS') !== 3n && (get('S2') === 1n || get('CLASS') === 2n) && (((words[1] ?? 0n) >> 16n) & 0x7fffn) === 0n
  );
}

/** Whether the words can be a command: a known opcode and no reserved bit. */
export function plausibleCommand(words: readonly bigint[]): boolean {
  const layout = commandLayout(words);
  return layout !== unknownCommandLayout && reservedBits(layout, words).every((w) => w === 0n);
}

export interface RawItem {
  readonly kind: 'command' | 'event';
  readonly words: readonly bigint[];
  /** Index of its first byte in the block. */
  readonly offset: number;
}

/**
 * Splits a block of bytes into records.
 * @param bytes the block in memory order
 * @param force decode what is only formally right too (a reserved opcode, say): the text holds nothing else
 * @returns the records, or the reason why there are none
 */
export function rawItems(bytes: readonly number[], hint: Hint, force: boolean): RawItem[] | string {
  if (bytes.length % 16 !== 0) return `${bytes.length} bytes: a command has 16 and an event record 32`;
  const w = bytesToWords(Uint8Array.from(bytes));
  const groups = (n: number): bigint[][] => Array.from({ length: w.length / n }, (_, i) => w.slice(i * n, i * n + n));
  const items = (kind: 'command' | 'event', n: number): RawItem[] =>
    groups(n).map((words, i) => ({ kind, words, offset: i * n * 8 }));
  const canBeEvents = bytes.length % 32 === 0;
  if (hint === 'command') return items('command', 2);
  if (hint === 'event') return canBeEvents ? items('event', 4) : `${bytes.length} bytes: an event record has 32`;
  if (canBeEvents && groups(4).every(plausibleEvent)) return items('event', 4);
  if (groups(2).every(plausibleCommand)) return items('command', 2);
  if (force && bytes.length === 32) return items('event', 4);
  if (force) return items('command', 2);
  return 'hexadecimal numbers that are neither a command nor an event record of an SMMUv3';
}
