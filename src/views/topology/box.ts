import type { SceneObject, SceneQueue } from '../../engine/machine/index.ts';
import { type Face, fitLine, fitText, textWidth } from './measure.ts';
import type { Metrics } from './metrics.ts';
import { linesOf, measuredLines, mergeTables, type Slot } from './slots.ts';
import { columnsWidth, inner, placeTable, type TableShape, tableHeight, tableShape } from './table.ts';
import type { ObjectBox, PlacedText, Rect, RingCell, RowMarks } from './types.ts';

const ringCells = 8;
const inlineGap = 8;

/** Width that shows title and lines of whatever has stood in the place without cutting. */
export function naturalWidth(s: Slot, m: Metrics): number {
  const beside = s.title * m.titleSize + inlineGap * m.scale + (s.lines[0] ?? 0) * m.textSize;
  const widest =
    m.density === 'dense' ? beside : Math.max(s.title * m.titleSize, ...s.lines.map((l) => l * m.textSize));
  return Math.ceil(widest) + 2 * m.padX + 3;
}

/** Width that a column must have for the place: a long line does not count, it is cut or its box grows to the right. */
export function neededWidth(s: Slot, m: Metrics): number {
  return Math.ceil(Math.max(titleWidth(s, m), Math.min(naturalWidth(s, m), m.longLine)));
}

/** Width that shows the title alone. */
export const titleWidth = (s: Slot, m: Metrics): number => s.title * m.titleSize + 2 * m.padX + 3;

const isInline = (s: Slot, width: number, m: Metrics): boolean =>
  s.lines.length > 0 &&
  (m.density === 'dense' ||
    (m.density !== 'roomy' &&
      s.title * m.titleSize + inlineGap * m.scale + s.lines[0]! * m.textSize <= inner(width, m)));

/** How many of its lines a box shows. */
const shownLines = (count: number, m: Metrics): number =>
  m.density === 'dense' || m.density === 'short' ? Math.min(1, count) : count;

/** One measure for places that stand in a row, so that all of them hold their text the same way. */
export function rowSlot(slots: readonly Slot[]): Slot {
  const all = (f: (s: Slot) => number): number => Math.max(0, ...slots.map(f));
  const count = all((s) => s.lines.length);
  return {
    occupant: '',
    title: all((s) => s.title),
    lines: Array.from({ length: count }, (_, i) => all((s) => s.lines[i] ?? 0)),
    queue: slots.some((s) => s.queue),
    table: slots.reduce<Slot['table']>((t, s) => (t && s.table ? mergeTables(t, s.table) : (t ?? s.table)), null),
  };
}

/** Height of title and lines, upper padding included. */
export function headHeight(s: Slot, width: number, m: Metrics): number {
  const lines = shownLines(s.lines.length, m) - (isInline(s, width, m) ? 1 : 0);
  return m.padY + m.titleLine + lines * m.textLine;
}

/** Height of a place at that width; a table gets `rows` rows. */
export function naturalHeight(s: Slot, width: number, m: Metrics, rows: number): number {
  const head = headHeight(s, width, m);
  if (s.table) return tableHeight(shapeOf(s, width, m), rows, m);
  return Math.ceil(head + (s.queue ? m.ringHeight + 3 : 0) + m.padY);
}

export function shapeOf(s: Slot, width: number, m: Metrics): TableShape {
  const beside = isInline(s, width, m) ? inlineGap * m.scale + s.lines[0]! * m.textSize : 0;
  return tableShape(s.table!, s.title * m.titleSize + beside, width, headHeight(s, width, m), m);
}

/** Narrowest that letters are pressed to before a text is cut. */
const pressedTo = 0.92;

/** Width at which a common table needs to wrap no row. */
export function tableWidth(s: Slot, m: Metrics): number {
  return Math.ceil(columnsWidth(s.table!, m)) + 2 * m.padX + 3;
}

function cut(full: string, face: Face, size: number, width: number): { text: string; full?: string; pressed?: number } {
  const natural = textWidth(full, face, size);
  if (natural > width && natural * pressedTo <= width) return { text: full, pressed: Math.floor(width) };
  const text = face === 'mono' ? fitLine(full, face, size, width) : fitText(full, face, size, width);
  return text === full ? { text } : { text, full };
}

/** The last entries of a ring; an entry keeps its cell while newer ones come, and its cell is used again after a turn. */
export function ringOf(q: SceneQueue, rect: Rect): RingCell[] {
  const n = Math.max(1, Math.min(ringCells, q.size));
  const gap = Math.min(3, rect.w / n / 4);
  const w = (rect.w - gap * (n - 1)) / n;
  const byCell = new Map<number, SceneQueue['slots'][number]>();
  for (const s of q.slots.slice(-n)) byCell.set(s.index % n, s);
  return Array.from({ length: n }, (_, i): RingCell => {
    const s = byCell.get(i);
    return {
      x: rect.x + i * (w + gap),
      y: rect.y,
      w,
      h: rect.h,
      index: s?.index ?? -1,
      state: s?.state ?? 'free',
      text: s?.text ?? '',
    };
  });
}

/** `+1 more` at the end of the title's line, shorter where that has no room; null when nothing is hidden or there is none. */
function moreLines(hidden: number, y: number, from: number, to: number, m: Metrics): PlacedText | null {
  if (hidden <= 0) return null;
  const text = [`+${hidden} more`, `+${hidden}`].find(
    (t) => from + inlineGap * m.scale + textWidth(t, 'text', m.textSize) <= to,
  );
  return text === undefined ? null : { text, x: to, y, size: m.textSize, face: 'text', anchor: 'end' };
}

/** Everything of one object, placed into `rect`. */
export function placeBox(
  o: SceneObject,
  slot: Slot,
  rect: Rect,
  m: Metrics,
  marks: RowMarks | undefined,
  gone: boolean,
): ObjectBox {
  const left = rect.x + 3 + m.padX;
  const width = inner(rect.w, m);
  const lines = measuredLines(o);
  const first = rect.y + m.padY + m.titleLine * 0.76;
  const title: PlacedText = {
    ...cut(o.title, 'title', m.titleSize, width),
    x: left,
    y: first,
    size: m.titleSize,
    face: 'title',
    anchor: 'start',
  };
  const inline = isInline(slot, rect.w, m);
  const titleEnd = left + textWidth(title.text, 'title', m.titleSize) + inlineGap * m.scale;
  const count = shownLines(lines.length, m);
  const placed = lines.slice(0, count).map((l, i): PlacedText => {
    const beside = inline && i === 0;
    const x = beside ? titleEnd : left;
    const row = inline ? i - 1 : i;
    const y = beside ? first : rect.y + m.padY + m.titleLine + row * m.textLine + m.textLine * 0.76;
    const shown = cut(l, 'mono', m.textSize, left + width - x);
    // A few letters around an ellipsis say nothing.
    if (shown.full !== undefined && [...shown.text].length < 6) shown.text = '';
    return { ...shown, x, y, size: m.textSize, face: 'mono', anchor: 'start' };
  });
  const beside = inline ? placed[0] : undefined;
  const lineEnd = beside ? beside.x + textWidth(beside.text, 'mono', m.textSize) : titleEnd - inlineGap * m.scale;
  const ringTop = rect.y + headHeight(slot, rect.w, m) + 2;
  const table =
    o.cache && slot.table
      ? placeTable(o.cache.columns, o.cache.rows, marks, shapeOf(slot, rect.w, m), rect, lineEnd - left, m)
      : {
          heads: [],
          rows: [],
          more: o.listed ? moreLines(lines.length - count, first, lineEnd, left + width, m) : null,
        };
  return {
    ...rect,
    id: o.id,
    band: o.band,
    type: o.type,
    device: o.device ?? null,
    titleText: o.title,
    label: [o.title, ...linesOf(o)].join(', ') + (gone ? ', destroyed' : ''),
    title,
    lines: placed.filter((l) => l.text !== ''),
    ring: o.queue ? ringOf(o.queue, { x: left, y: ringTop, w: width, h: m.ringHeight - 1 }) : [],
    ...table,
    cache: o.cache !== undefined,
    gone,
  };
}
