import { type Explained, explain, hex, type Layout, reservedBits } from '../../engine/bits/index.ts';
import { textWidth } from '../topology/measure.ts';

/**
 * Where the fields of a record stand on its ruler: each 64-bit word from bit 63 down to 0, in one row or in several. Pure
 * numbers in CSS pixels; nothing is measured in the page.
 */
export interface RulerLayout {
  readonly width: number;
  readonly height: number;
  readonly words: readonly RulerWord[];
}

export interface RulerWord {
  readonly word: number;
  readonly y: number;
  /** The word's eight bytes in memory order. */
  readonly bytes: readonly RulerByte[];
  readonly bytesY: number;
  readonly rows: readonly RulerRow[];
}

export interface RulerByte {
  readonly text: string;
  readonly x: number;
  /** Bits of the word that the byte holds. */
  readonly lo: number;
}

export interface RulerRow {
  /** Upper edge of the segments. */
  readonly y: number;
  readonly h: number;
  readonly hi: number;
  readonly lo: number;
  readonly segments: readonly RulerSegment[];
  /** Bit numbers above the segments, at their baseline. */
  readonly ticks: readonly {
    readonly text: string;
    readonly x: number;
    readonly y: number;
    readonly anchor: 'start' | 'middle' | 'end';
  }[];
}

export interface RulerSegment {
  readonly hi: number;
  readonly lo: number;
  readonly x: number;
  readonly w: number;
  /** Null for bits that no field describes. */
  readonly field: Explained | null;
  /** Value, as much as fits inside; '' when nothing does. */
  readonly value: string;
  /** Name below, or the bits' numbers where it doesn't fit; null where neither does. */
  readonly name: { readonly text: string; readonly x: number; readonly y: number; readonly isBits: boolean } | null;
  /** Reserved bits that are set. */
  readonly wrong: boolean;
  /** All of it in one sentence. */
  readonly label: string;
}

export interface RulerOptions {
  readonly width: number;
  /** Font size, at least 11. */
  readonly size?: number;
  /** Words that are zero are left out. */
  readonly skipZero?: boolean;
}

/** Narrowest ruler on which 64 bits stand in one row. */
const oneRow = 600;
const levels = 3;

const bits = (hi: number, lo: number): string => (hi === lo ? `${hi}` : `${hi}:${lo}`);

interface Piece {
  readonly hi: number;
  readonly lo: number;
  readonly field: Explained | null;
  readonly reserved: bigint;
}

const cutBits = (word: bigint, hi: number, lo: number): bigint =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);

/** The pieces of one word from bit 63 down, without gaps. */
function piecesOf(fields: readonly Explained[], w: number, reserved: bigint): Piece[] {
  const out: Piece[] = [];
  let top = 63;
  const gap = (hi: number, lo: number): void => {
    if (hi >= lo) out.push({ hi, lo, field: null, reserved: cutBits(reserved, hi, lo) });
  };
  const mine = fields.filter((f) => f.field.word === w);
  for (const f of mine.sort((a, b) => b.field.lo - a.field.lo)) {
    const hi = Math.min(f.field.hi, top);
    if (hi < f.field.lo) continue;
    gap(top, hi + 1);
    out.push({ hi, lo: f.field.lo, field: f, reserved: 0n });
    top = f.field.lo - 1;
  }
  gap(top, 0);
  return out;
}

/** The parts of the pieces that lie in bits `hi`..`lo`. */
const within = (pieces: readonly Piece[], hi: number, lo: number): Piece[] =>
  pieces
    .filter((p) => p.lo <= hi && p.hi >= lo)
    .map((p) => {
      const cut = { ...p, hi: Math.min(p.hi, hi), lo: Math.max(p.lo, lo) };
      return p.field ? cut : { ...cut, reserved: cutBits(p.reserved << BigInt(p.lo), cut.hi, cut.lo) };
    });

/**
 * Widths of a row's pieces: by their bits, none narrower than `least`; whole pixels that add up to `width`.
 * @returns null when not even the least widths fit
 */
function widths(pieces: readonly Piece[], width: number, least: number): number[] | null {
  if (pieces.length * least > width) return null;
  const out = pieces.map(() => 0);
  let room = width;
  let count = pieces.reduce((n, p) => n + p.hi - p.lo + 1, 0);
  const open = new Set(pieces.keys());
  for (;;) {
    const small = [...open].filter((i) => ((pieces[i]!.hi - pieces[i]!.lo + 1) / count) * room < least);
    if (small.length === 0) break;
    for (const i of small) {
      out[i] = least;
      room -= least;
      count -= pieces[i]!.hi - pieces[i]!.lo + 1;
      open.delete(i);
    }
  }
  for (const i of open) out[i] = ((pieces[i]!.hi - pieces[i]!.lo + 1) / count) * room;
  return out;
}

function labelOf(p: Piece): string {
  if (!p.field) {
    const text = `bits ${bits(p.hi, p.lo)}, reserved`;
    return p.reserved === 0n ? text : `${text}, but ${hex(p.reserved)}`;
  }
  const { field, text, valueName, applies } = p.field;
  const value = valueName === '' ? text : `${text} (${valueName})`;
  const unused = applies ? '' : ' Not used with these settings.';
  return `${field.name}, bits ${bits(field.hi, field.lo)}: ${value}. ${field.meaning}${unused}`;
}

/** Forms of a value, longest first; the first that fits is shown. */
function valueForms(p: Piece, whole: boolean): string[] {
  if (!p.field) return p.reserved === 0n ? [] : [hex(p.reserved), '!'];
  if (!whole) return [];
  const { text, value, field } = p.field;
  const plain = field.format === 'addr' ? [] : [value.toString(16)];
  return value === 0n ? ['0'] : [text, ...(text.startsWith('0x') ? plain : [])];
}

/** Places everything of a record's ruler into `width` pixels. */
export function layoutRuler(layout: Layout, words: ArrayLike<bigint>, options: RulerOptions): RulerLayout {
  const { width } = options;
  const size = Math.max(11, options.size ?? 11);
  const fields = explain(layout, words);
  const reserved = reservedBits(layout, words);
  const out: RulerWord[] = [];
  let y = 0;
  for (let w = 0; w < layout.words; w++) {
    const value = BigInt.asUintN(64, words[w] ?? 0n);
    if (options.skipZero && value === 0n && layout.words > 2) continue;
    const pieces = piecesOf(fields, w, reserved[w]!);
    const top = y;
    const bytesY = y + size;
    y += size * 1.55;
    const rows: RulerRow[] = [];
    for (const [hi, lo] of rowRanges(pieces, width, size)) {
      const row = placeRow(within(pieces, hi, lo), hi, lo, y, width, size);
      rows.push(row.row);
      y = row.bottom + size * 0.5;
    }
    const step = textWidth('00 ', 'mono', size);
    const offset = textWidth(offsetText(w), 'text', size) + size;
    const bytes = Array.from(
      { length: 8 },
      (_, i): RulerByte => ({
        text: ((value >> BigInt(8 * i)) & 0xffn).toString(16).padStart(2, '0'),
        x: offset + i * step,
        lo: 8 * i,
      }),
    );
    out.push({ word: w, y: top, bytes, bytesY, rows });
    y += size * 0.5;
  }
  return { width, height: Math.ceil(y), words: out };
}

/** `+0x08`: where a word begins in its record. */
export const offsetText = (word: number): string => `+0x${(word * 8).toString(16).padStart(2, '0')}`;

/** The rows of a word: one of 64 bits where there is room, else two of 32, else four of 16. */
function rowRanges(pieces: readonly Piece[], width: number, size: number): [number, number][] {
  const split = (n: number): [number, number][] =>
    Array.from({ length: n }, (_, i) => [63 - (i * 64) / n, 64 - ((i + 1) * 64) / n]);
  const fits = (n: number): boolean =>
    split(n).every(([hi, lo]) => widths(within(pieces, hi, lo), width, leastWidth(size)) !== null);
  if (width >= oneRow && fits(1)) return split(1);
  return fits(2) ? split(2) : split(4);
}

/** One digit and its margins. */
const leastWidth = (size: number): number => Math.ceil(textWidth('0', 'mono', size)) + 3;

function placeRow(
  pieces: readonly Piece[],
  hi: number,
  lo: number,
  top: number,
  width: number,
  size: number,
): { row: RulerRow; bottom: number } {
  const h = Math.round(size * 1.9);
  const y = top + size * 1.1;
  const exact = width / (hi - lo + 1) >= leastWidth(size);
  const w =
    (exact
      ? pieces.map((p) => ((p.hi - p.lo + 1) / (hi - lo + 1)) * width)
      : widths(pieces, width, leastWidth(size))) ?? pieces.map(() => width / pieces.length);
  const under = Array.from({ length: levels }, () => Number.NEGATIVE_INFINITY);
  let deepest = -1;
  let x = 0;
  const segments = pieces.map((p, i): RulerSegment => {
    const at = x;
    const wide = w[i]!;
    x += wide;
    const whole = p.field !== null && isWidest(p, hi, lo);
    const value = valueForms(p, whole).find((v) => textWidth(v, 'mono', size) <= wide - 2) ?? '';
    let name: RulerSegment['name'] = null;
    if (p.field && whole) {
      const range = bits(p.field.field.hi, p.field.field.lo);
      for (const text of [p.field.field.name, range]) {
        const room = textWidth(text, 'text', size);
        const left = Math.min(Math.max(at + wide / 2 - room / 2, 0), width - room);
        // A name stands under its segment, or one line lower when its neighbour's name is in the way.
        const level = under.findIndex((end) => left >= end + 4);
        if (level < 0) continue;
        under[level] = left + room;
        deepest = Math.max(deepest, level);
        name = {
          text,
          x: left + room / 2,
          y: y + h + size * (1.05 + level * 1.1),
          isBits: text !== p.field.field.name,
        };
        break;
      }
    }
    const wrong = p.field === null && p.reserved !== 0n;
    return {
      hi: p.hi,
      lo: p.lo,
      x: at,
      w: wide,
      field: p.field,
      value,
      name,
      wrong,
      label: labelOf(p),
    };
  });
  const bottom = y + h + (deepest < 0 ? 0 : size * (1.3 + deepest * 1.1));
  return { row: { y, h, hi, lo, segments, ticks: ticksOf(segments, hi, lo, width, y, size, exact) }, bottom };
}

/** Is this the widest of the parts into which the rows have cut the field? It carries name and value. */
function isWidest(p: Piece, hi: number, lo: number): boolean {
  const f = p.field!.field;
  const here = p.hi - p.lo + 1;
  const span = hi - lo + 1;
  // Parts in other rows: the field's bits above this row, and below it.
  const above = Math.min(span, Math.max(0, f.hi - hi));
  const below = Math.min(span, Math.max(0, lo - f.lo));
  return here > above ? here >= below : here === above ? here > below || below === 0 : false;
}

/** Bit numbers: every eighth on a ruler that is true to scale, else the two ends and whatever borders have room. */
function ticksOf(
  segments: readonly RulerSegment[],
  hi: number,
  lo: number,
  width: number,
  y: number,
  size: number,
  exact: boolean,
): RulerRow['ticks'] {
  const at = y - size * 0.3;
  const one = (text: string, x: number, anchor: 'start' | 'middle' | 'end') => ({ text, x, y: at, anchor });
  if (exact) {
    const bit = width / (hi - lo + 1);
    const out = [];
    for (let b = hi; b >= lo; b--)
      if (b === hi || b === lo || (b % 8 === 0 && hi - b > 2 && b - lo > 2))
        out.push(one(String(b), (hi - b + 0.5) * bit, 'middle'));
    return out;
  }
  const out = [one(String(hi), 0, 'start')];
  let end = textWidth(String(hi), 'text', size);
  const last = width - textWidth(String(lo), 'text', size) - 4;
  for (const s of segments.slice(1)) {
    const text = String(s.hi);
    const w = textWidth(text, 'text', size);
    if (s.x < end + 6 || s.x + w > last) continue;
    out.push(one(text, s.x, 'start'));
    end = s.x + w;
  }
  out.push(one(String(lo), width, 'end'));
  return out;
}
