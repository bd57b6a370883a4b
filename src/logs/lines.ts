/**
 * The lines of a pasted log, without what pasting adds: quote marks, margins, colour codes. Lines are cut lazily, so that a
 * text of many megabytes costs one pass and a small window.
 */

export interface TextLine {
  /** 1-based; the pieces of an overlong line share it. */
  readonly number: number;
  /** Without margin, trailing blanks and colour codes. */
  readonly text: string;
  /** `text` without time stamp, log level, host and `kernel:`. */
  readonly body: string;
  /** Whether any of those stood before the body: such a line starts a new message. */
  readonly headed: boolean;
  /** Printed by the Xen hypervisor. */
  readonly xen: boolean;
}

/** Longer lines are cut into pieces: no kernel line is that long, but a paste may have lost its line ends. */
const LONGEST = 4000;
/** Where a long line is best cut: before a time stamp or a driver name. */
const CUT = /\s(?=\[[ ]{0,8}\d{1,8}\.\d{1,9}\]|arm-smmu)/g;

/** Length of the first piece of an overlong line. */
function pieceLength(raw: string): number {
  const head = raw.slice(0, LONGEST);
  let at = -1;
  for (const m of head.matchAll(CUT)) at = m.index;
  return at > 0 ? at + 1 : LONGEST;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes of a terminal begin with ESC
const COLOUR = /\u001b\[[0-9;]{0,20}[A-Za-z]/g;
const MARGIN = /^(?:[ \t]*(?:>|(?:\||\+|=>|#|\*)(?=[ \t>|])))+/;
const HEAD =
  /^[ \t]*(?:<\d{1,3}>|\[[ ]{0,8}\+?\d{1,10}\.\d{1,9}\]|\[[ ]{0,8}[TC]\d{1,9}\]|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d:]{4,16} ?\d{4}\]|[A-Z][a-z]{2}[ ]{1,2}\d{1,2} \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^ \t]{0,20}|(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{3,9})?(?=[ \t])|kern[ ]{0,3}:[a-z]{1,8}[ ]{0,4}:|(?:[\w.-]{1,64}[ \t]+)?kernel(?:\[\d{0,9}\])?:|\(XEN\))[ \t]*/;

/** Makes a line from raw text. */
export function textLine(number: number, raw: string): TextLine {
  let text = raw;
  if (text.includes('\u001b')) text = text.replace(COLOUR, '');
  text = text.replace(/[\r\u00a0\u200b\ufeff]/g, ' ');
  const margin = MARGIN.exec(text);
  if (margin) text = text.slice(margin[0].length);
  text = text.trimEnd();
  // Quoted-printable mail: `=` at the end of a full line is a line break that the mail program made.
  if (text.includes('=3D')) text = text.replaceAll('=3D', '=');
  if (raw.length >= 70 && text.endsWith('=')) text = text.slice(0, -1);
  let body = text;
  let xen = false;
  for (let i = 0; i < 6; i++) {
    const m = HEAD.exec(body);
    if (!m) break;
    if (m[0].includes('(XEN)')) xen = true;
    body = body.slice(m[0].length);
  }
  return { number, text, body: body.trimStart(), headed: body.length < text.length, xen };
}

/** A forward-only cursor over the lines with lookahead. */
export class Lines {
  readonly #text: string;
  #offset = 0;
  #next = 1;
  #done = false;
  /** Where the current line ends, so that an overlong one is searched once. */
  #end = -1;
  readonly #window: TextLine[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  /** The k-th line from here (0 is the current one), or undefined after the end. Keep k small. */
  peek(k: number): TextLine | undefined {
    while (this.#window.length <= k && !this.#done) {
      if (this.#end < this.#offset) {
        const newline = this.#text.indexOf('\n', this.#offset);
        this.#end = newline < 0 ? this.#text.length : newline;
      }
      const end = this.#end;
      if (end - this.#offset > LONGEST) {
        const length = pieceLength(this.#text.slice(this.#offset, this.#offset + LONGEST + 1));
        this.#window.push(textLine(this.#next, this.#text.slice(this.#offset, this.#offset + length)));
        this.#offset += length;
        continue;
      }
      const raw = this.#text.slice(this.#offset, end);
      if (end === this.#text.length) this.#done = true;
      if (!this.#done || raw !== '') this.#window.push(textLine(this.#next++, raw));
      this.#offset = end + 1;
    }
    return this.#window[k];
  }

  /** Moves on by n lines. */
  skip(n: number): void {
    for (let i = 0; i < n; i++) {
      if (this.peek(0) === undefined) return;
      this.#window.shift();
    }
  }
}
