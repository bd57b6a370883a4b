const isSpace = (c: number): boolean => c === 32 || (c >= 9 && c <= 13);

/**
 * Reads one driver message that may be wrapped at any place. The wrapped pieces are joined by a newline; a newline may stand
 * between any two characters of a literal, and a blank of a literal may have become any white space.
 */
export class Cursor {
  readonly text: string;
  pos = 0;

  constructor(text: string, pos = 0) {
    this.text = text;
    this.pos = pos;
  }

  skipSpace(): void {
    while (this.pos < this.text.length && isSpace(this.text.charCodeAt(this.pos))) this.pos++;
  }

  get atEnd(): boolean {
    this.skipSpace();
    return this.pos >= this.text.length;
  }

  /** Matches a literal and moves behind it; stays where it is otherwise. */
  lit(literal: string): boolean {
    const start = this.pos;
    this.skipSpace();
    for (let i = 0; i < literal.length; i++) {
      const c = literal[i];
      if (c === ' ') {
        this.skipSpace();
        continue;
      }
      while (this.text[this.pos] === '\n') this.pos++;
      if (this.text[this.pos] !== c) {
        this.pos = start;
        return false;
      }
      this.pos++;
    }
    return true;
  }

  /** The first of several literals that matches. */
  oneOf<T extends string>(...literals: T[]): T | null {
    for (const l of literals) if (this.lit(l)) return l;
    return null;
  }

  /**
   * A hexadecimal number of at most 16 digits after `0x`, or null. Digits broken by a newline are joined when `before` (what
   * must come behind the number) then follows, or, without it, when the next piece is nothing but digits.
   * @param bare the `0x` may be missing
   */
  hex(before?: string, bare = false): bigint | null {
    const start = this.pos;
    if (!this.lit('0x')) {
      if (!bare) return null;
      this.skipSpace();
    }
    let digits = this.#digits();
    while (this.text[this.pos] === '\n') {
      const breakAt = this.pos;
      if (digits !== '' && before !== undefined && this.#follows(before)) break;
      this.pos++;
      const more = this.#digits();
      const next = this.text[this.pos];
      const joins =
        more !== '' &&
        (digits === '' || next === undefined || next === '\n' || (before !== undefined && this.#follows(before)));
      if (!joins || digits.length + more.length > 16) {
        this.pos = breakAt;
        break;
      }
      digits += more;
    }
    if (digits === '' || digits.length > 16) {
      this.pos = start;
      return null;
    }
    return BigInt(`0x${digits}`);
  }

  /** A decimal number, or null. */
  dec(): number | null {
    this.skipSpace();
    const m = /^\d{1,10}/.exec(this.text.slice(this.pos, this.pos + 10));
    if (!m) return null;
    this.pos += m[0].length;
    return Number(m[0]);
  }

  /** Upper-case name with underscores, joined over a break; '' if there is none. */
  name(): string {
    this.skipSpace();
    const m = /^[A-Z0-9_]+(?:\n[A-Z0-9_]+)*/.exec(this.text.slice(this.pos, this.pos + 80));
    if (!m) return '';
    this.pos += m[0].length;
    return m[0].replaceAll('\n', '');
  }

  /** The text up to a literal (not consumed), at most `limit` characters; null when the literal does not come. */
  until(literal: string, limit: number): string | null {
    this.skipSpace();
    const start = this.pos;
    const first = literal.charCodeAt(0);
    const end = Math.min(this.text.length, start + limit);
    for (let i = start; i < end; i++) {
      if (this.text.charCodeAt(i) !== first) continue;
      this.pos = i;
      if (this.#follows(literal)) {
        this.pos = i;
        return this.text.slice(start, i).trim();
      }
    }
    this.pos = start;
    return null;
  }

  /** The rest of the piece, up to a newline. */
  rest(): string {
    this.skipSpace();
    const end = this.text.indexOf('\n', this.pos);
    const s = this.text.slice(this.pos, end < 0 ? undefined : end).trim();
    this.pos = end < 0 ? this.text.length : end;
    return s;
  }

  #digits(): string {
    const m = /^[0-9a-fA-F]*/.exec(this.text.slice(this.pos, this.pos + 40)) as RegExpExecArray;
    this.pos += m[0].length;
    return m[0].toLowerCase();
  }

  #follows(literal: string): boolean {
    const at = this.pos;
    const ok = this.lit(literal);
    this.pos = at;
    return ok;
  }
}
