import type { Cursor } from '../cursor.ts';

/** Sixteen-digit words after `0x`; a word may be broken by blanks or a line end. */
export function rawWords(c: Cursor): { words: readonly bigint[]; cut: string | null } | null {
  const words: bigint[] = [];
  let cut: string | null = null;
  let end = c.pos;
  for (;;) {
    c.skipSpace();
    const first = /^0\n?x\n?([0-9a-fA-F]{1,17})(?![0-9a-zA-Z_])/.exec(c.text.slice(c.pos, c.pos + 24));
    const digitsOnly =
      words.length === 0 && !first ? /^([0-9a-fA-F]{16})(?=\s|$)/.exec(c.text.slice(c.pos, c.pos + 20)) : null;
    const m = first ?? digitsOnly;
    if (!m || (m[1] as string).length > 16) break;
    c.pos += m[0].length;
    let digits = m[1] as string;
    while (digits.length < 16) {
      const more = /^[ \t\n_]{1,8}([0-9a-fA-F]{1,15})(?![0-9a-zA-Z_:.])/.exec(c.text.slice(c.pos, c.pos + 32));
      if (!more || digits.length + (more[1] as string).length > 16) break;
      digits += more[1];
      c.pos += more[0].length;
    }
    end = c.pos;
    if (digits.length < 16) {
      cut = digits;
      break;
    }
    words.push(BigInt(`0x${digits}`));
    c.lit(',');
  }
  c.pos = end;
  if (words.length === 0 && cut === null) return null;
  return { words, cut };
}
