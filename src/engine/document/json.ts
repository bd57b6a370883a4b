/**
 * A JSON reader that says where a text is wrong. The built-in one names the place differently in every engine, keeps the
 * last of two equal keys without a word, and cannot tell where a value stood once it is read.
 */

export type Path = readonly (string | number)[];

export interface Place {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 code units. */
  readonly column: number;
}

export interface JsonProblem extends Place {
  readonly path: Path;
  readonly message: string;
}

export type JsonResult = { readonly ok: true; readonly value: unknown } | ({ readonly ok: false } & JsonProblem);

/** Containers inside one another. A document needs about ten. */
export const maxNesting = 64;

class Unreadable {
  readonly at: number;
  readonly message: string;

  constructor(at: number, message: string) {
    this.at = at;
    this.message = message;
  }
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const word = /[A-Za-z_$][A-Za-z0-9_$]*/y;
const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** Reads values from `at` on. Recursion is bounded by `maxNesting`, whatever the text is. */
class Reader {
  readonly text: string;
  at = 0;
  /** Keys and indices of the value being read; tells the path of a problem. */
  readonly trail: (string | number)[] = [];

  constructor(text: string) {
    this.text = text;
    if (text.charCodeAt(0) === 0xfeff) this.at = 1;
  }

  fail(message: string, at = this.at): never {
    throw new Unreadable(at, message);
  }

  /** What stands at the position, for a message. */
  found(): string {
    if (this.at >= this.text.length) return 'the end of the text';
    word.lastIndex = this.at;
    const w = word.exec(this.text)?.[0];
    if (w) return w.length > 20 ? `${w.slice(0, 20)}...` : w;
    const c = String.fromCodePoint(this.text.codePointAt(this.at)!);
    if (c === '/') return '/ (comments are not part of JSON)';
    if (c === "'") return "' (strings stand in double quotes)";
    const code = c.codePointAt(0)!;
    return code < 0x20 || (code >= 0x7f && code < 0xa0) ? `the control character 0x${code.toString(16)}` : c;
  }

  space(): void {
    const t = this.text;
    for (;;) {
      const c = t.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.at++;
    }
  }

  value(): unknown {
    this.space();
    const c = this.text.charCodeAt(this.at);
    if (c === 0x22) return this.string();
    if (c === 0x7b) return this.object();
    if (c === 0x5b) return this.array();
    if (c === 0x2d || (c >= 0x30 && c <= 0x39)) return this.number();
    for (const [name, v] of [
      ['true', true],
      ['false', false],
      ['null', null],
    ] as const) {
      if (this.text.startsWith(name, this.at)) {
        this.at += name.length;
        return v;
      }
    }
    return this.fail(`expected a value, found ${this.found()}`);
  }

  number(): number {
    number.lastIndex = this.at;
    const m = number.exec(this.text);
    if (!m) return this.fail('expected digits after -');
    const next = this.text.charCodeAt(this.at + m[0].length);
    if (next === 0x78 || next === 0x58)
      return this.fail('hexadecimal numbers stand in double quotes: "0x1f"', this.at + m[0].length);
    if (next >= 0x30 && next <= 0x39) return this.fail('a number does not start with 0');
    this.at += m[0].length;
    const v = Number(m[0]);
    return v === 0 ? 0 : v;
  }

  string(): string {
    const t = this.text;
    const start = this.at++;
    let from = this.at;
    let out = '';
    for (;;) {
      const c = t.charCodeAt(this.at);
      if (c === 0x22) {
        out += t.slice(from, this.at++);
        return out;
      }
      if (Number.isNaN(c)) return this.fail('the string that starts here does not end', start);
      if (c < 0x20) return this.fail('a string holds no line break or control character: write \\n or \\u00..');
      if (c !== 0x5c) {
        this.at++;
        continue;
      }
      out += t.slice(from, this.at);
      const e = t[this.at + 1] ?? '';
      if (e === 'u') {
        const digits = t.slice(this.at + 2, this.at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) return this.fail('expected four hexadecimal digits after \\u');
        out += String.fromCharCode(Number.parseInt(digits, 16));
        this.at += 6;
      } else {
        if (!Object.hasOwn(escapes, e)) return this.fail(`unknown escape \\${e}`);
        out += escapes[e];
        this.at += 2;
      }
      from = this.at;
    }
  }

  /** Reads `"key" :` and leaves the position before the value. */
  key(): string {
    if (this.text.charCodeAt(this.at) !== 0x22)
      this.fail(
        this.text[this.at] === '}'
          ? 'expected a key, found } (no comma before it)'
          : `expected a key in double quotes, found ${this.found()}`,
      );
    const key = this.string();
    this.space();
    if (this.text.charCodeAt(this.at) !== 0x3a) this.fail(`expected : after "${short(key)}", found ${this.found()}`);
    this.at++;
    this.space();
    return key;
  }

  /** After an element: true when another one follows. */
  more(close: string): boolean {
    this.space();
    const c = this.text[this.at];
    if (c !== ',' && c !== close) return this.fail(`expected , or ${close}, found ${this.found()}`);
    this.at++;
    this.space();
    return c === ',';
  }

  open(): void {
    if (this.trail.length >= maxNesting)
      this.fail(`expected at most ${maxNesting} objects and arrays inside one another, found more`);
    this.at++;
    this.space();
  }

  object(): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    this.open();
    if (this.text[this.at] === '}') {
      this.at++;
      return out;
    }
    do {
      const at = this.at;
      const key = this.key();
      this.trail.push(key);
      if (key === '__proto__') this.fail('the key "__proto__" is not allowed', at);
      if (Object.hasOwn(out, key)) this.fail('the key stands twice in this object', at);
      out[key] = this.value();
      this.trail.pop();
    } while (this.more('}'));
    return out;
  }

  array(): unknown[] {
    const out: unknown[] = [];
    this.open();
    if (this.text[this.at] === ']') {
      this.at++;
      return out;
    }
    do {
      this.trail.push(out.length);
      if (this.text[this.at] === ']') this.fail('expected a value, found ] (no comma before it)');
      out.push(this.value());
      this.trail.pop();
    } while (this.more(']'));
    return out;
  }
}

const short = (s: string): string => (s.length > 40 ? `${s.slice(0, 40)}...` : s);

function placeOf(text: string, at: number): Place {
  let line = 1;
  let start = 0;
  for (let i = text.indexOf('\n'); i >= 0 && i < at; i = text.indexOf('\n', i + 1)) {
    line++;
    start = i + 1;
  }
  return { line, column: at - start + 1 };
}

/** Reads a whole text as JSON. Numbers come back as doubles. Never throws. */
export function parseJson(text: string): JsonResult {
  const r = new Reader(text);
  try {
    const value = r.value();
    r.space();
    if (r.at < text.length) r.fail(`expected the end of the text, found ${r.found()}`);
    return { ok: true, value };
  } catch (e) {
    if (!(e instanceof Unreadable)) throw e;
    return { ok: false, path: [...r.trail], message: e.message, ...placeOf(text, e.at) };
  }
}

/**
 * Where the value of a path stands in a text that `parseJson` has read: its key, or the element itself in an array. Where
 * the path leads nowhere (a missing key), the innermost container that exists.
 */
export function locate(text: string, path: Path): Place {
  const r = new Reader(text);
  r.space();
  let at = r.at;
  for (const part of path) {
    const opens = typeof part === 'number' ? '[' : '{';
    if (text[r.at] !== opens) break;
    const hit = descend(r, part);
    if (hit < 0) break;
    at = hit;
  }
  return placeOf(text, at);
}

/** Moves to the value of one key or index; returns where its key or itself starts, -1 when there is none. */
function descend(r: Reader, part: string | number): number {
  r.at++;
  r.space();
  const close = typeof part === 'number' ? ']' : '}';
  if (r.text[r.at] === close) return -1;
  for (let i = 0; ; i++) {
    const start = r.at;
    const name = typeof part === 'number' ? i : r.key();
    if (name === part) return start;
    r.value();
    if (!r.more(close)) return -1;
  }
}

/** `steps[3].in["odd key"]`; the empty path is the document itself. */
export function pathText(path: Path): string {
  let out = '';
  for (const p of path) {
    if (typeof p === 'number') out += `[${p}]`;
    else if (/^[A-Za-z_$][\w$]*$/.test(p)) out += out ? `.${p}` : p;
    else out += `[${JSON.stringify(short(p))}]`;
    if (out.length > 90) return `${out}...`;
  }
  return out;
}
