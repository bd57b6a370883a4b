/**
 * Widths of text without a DOM, so that a layout is the same everywhere. Advance widths of Inter in 1/100 em for the
 * printable ASCII range, measured from the font that the app ships; a little is added, since a fallback font may be wider.
 */

/** `title`: Inter 600, `text`: Inter 400, `mono`: the monospaced face of values. */
export type Face = 'title' | 'text' | 'mono';

const regular = [
  28, 29, 47, 63, 64, 98, 64, 30, 36, 36, 50, 66, 29, 46, 29, 36, 63, 41, 61, 62, 65, 59, 62, 57, 62, 62, 29, 30, 66,
  66, 66, 51, 97, 69, 65, 73, 72, 60, 59, 75, 74, 27, 57, 67, 57, 90, 75, 76, 64, 76, 64, 64, 65, 74, 69, 99, 68, 68,
  63, 36, 36, 36, 47, 46, 32, 56, 61, 57, 61, 58, 37, 61, 59, 24, 24, 55, 24, 88, 59, 60, 61, 61, 38, 53, 33, 59, 56,
  82, 55, 56, 55, 43, 33, 43, 66,
];
const semibold = [
  25, 32, 52, 64, 65, 100, 66, 33, 37, 37, 54, 67, 32, 47, 32, 38, 66, 42, 62, 64, 67, 61, 64, 58, 64, 64, 32, 33, 67,
  67, 67, 54, 100, 73, 66, 74, 72, 61, 59, 75, 75, 28, 58, 70, 57, 92, 76, 77, 65, 77, 65, 65, 66, 74, 73, 102, 72, 71,
  65, 37, 38, 37, 48, 47, 35, 57, 62, 58, 62, 59, 39, 63, 61, 26, 26, 57, 26, 90, 61, 61, 62, 62, 40, 55, 35, 61, 59,
  84, 57, 59, 57, 45, 36, 45, 67,
];
/** Menlo and DejaVu Sans Mono are the widest of the usual ones: 0.602 em. */
const mono = 0.606;
/** Of a character outside ASCII, which may come from any fallback font. */
const other = 0.95;
const otherMono = 0.84;
/** All digits count as the widest, so that a column does not move when an id changes. */
const digit = { title: 0.67, text: 0.65 };
const reserve = 1.015;

/** Width in CSS pixels at font size `size`; never less than a browser draws with the app's fonts. */
export function textWidth(text: string, face: Face, size: number): number {
  const key = face + text;
  let unit = units.get(key);
  if (unit === undefined) {
    if (units.size > 4000) units.clear();
    units.set(key, (unit = measure(text, face)));
  }
  return unit * size;
}

const units = new Map<string, number>();

function measure(text: string, face: Face): number {
  let sum = 0;
  const table = face === 'title' ? semibold : regular;
  for (const char of text) {
    const code = char.codePointAt(0)!;
    const plain = code >= 32 && code < 127;
    if (face === 'mono') sum += plain || char === '·' || char === '…' ? mono : otherMono;
    else if (char === '·') sum += 0.33;
    else if (code >= 48 && code < 58) sum += digit[face] * reserve;
    else sum += (plain ? table[code - 32]! / 100 : other) * reserve;
  }
  return sum;
}

/** The text, or as much of its beginning and end around an ellipsis as fits `width`; '' when not even that fits. */
export function fitText(text: string, face: Face, size: number, width: number): string {
  if (textWidth(text, face, size) <= width) return text;
  const chars = [...text];
  for (let keep = chars.length - 1; keep >= 2; keep--) {
    const head = Math.ceil(keep * 0.6);
    const cut = `${chars.slice(0, head).join('').trimEnd()}…${chars
      .slice(chars.length - (keep - head))
      .join('')
      .trimStart()}`;
    if (textWidth(cut, face, size) <= width) return cut;
  }
  return textWidth('…', face, size) <= width ? '…' : '';
}

/**
 * A line of several words cut at its end, rather between two words than within one; a single word is cut in its middle,
 * since the ends of an address say most.
 */
export function fitLine(text: string, face: Face, size: number, width: number): string {
  if (textWidth(text, face, size) <= width) return text;
  if (!text.trim().includes(' ')) return fitText(text, face, size, width);
  const chars = [...text];
  let keep = chars.length - 1;
  while (keep > 0 && textWidth(`${chars.slice(0, keep).join('')}…`, face, size) > width) keep--;
  let head = chars.slice(0, keep).join('');
  const space = head.lastIndexOf(' ');
  if (space > 0 && chars[keep] !== ' ' && head.length - space <= 3) head = head.slice(0, space);
  return keep === 0 ? '' : `${head.trimEnd()}…`;
}
