import type { SceneRow } from '../../engine/machine/index.ts';
import { fitText, textWidth } from './measure.ts';
import type { Metrics } from './metrics.ts';
import type { SlotTable } from './slots.ts';
import type { Fate, PlacedText, Rect, RowBox, RowMarks } from './types.ts';

/**
 * How a cache's columns stand in a given width:
 * - `beside`: column names on the title's line, words of fate in the gutter under the title;
 * - `below`: column names on a line of their own, words of fate at the right;
 * - `wrapped`: a row takes several lines, no column names.
 */
export interface TableShape {
  readonly kind: 'beside' | 'below' | 'wrapped';
  readonly gutter: number;
  /** Columns of each line of a row. */
  readonly lines: readonly (readonly number[])[];
  /** Offset of each column from the left inner edge, and its width. */
  readonly x: readonly number[];
  readonly w: readonly number[];
  /** Height of what stands above the rows. */
  readonly head: number;
  /** Height of one row. */
  readonly row: number;
}

/** Longest first; the first that fits is shown, the whole sentence is in the row's label. */
export const fateWords: Readonly<Record<Fate | 'stale', readonly string[]>> = {
  filled: ['filled', '+'],
  hit: ['hit', '•'],
  removed: ['removed', '×'],
  wasted: ['removed, still valid', '× still valid', '× valid', '×'],
  stale: ['stale', '!'],
};

const wordsOf = (r: ShownRow): readonly string[] => {
  if (r.stale && r.fate === 'hit') return ['hit, stale', 'stale', '!'];
  if (r.stale && (r.fate === null || r.fate === 'filled')) return fateWords.stale;
  return r.fate ? fateWords[r.fate] : [];
};

const columnGap = (m: Metrics): number => Math.round(7 * m.scale);
/** Width of a cell that nobody has seen yet, at font size 1: eight digits. */
const unknown = 4.9;
const wordWidth = (m: Metrics): number => Math.ceil(textWidth('removed', 'title', m.textSize));
export const inner = (width: number, m: Metrics): number => width - 2 * m.padX - 3;

/** Chooses the shape; `titleWidth` is the width of all that stands on the title's line, `headHeight` the height above the table. */
export function tableShape(
  t: SlotTable,
  titleWidth: number,
  width: number,
  headHeight: number,
  m: Metrics,
): TableShape {
  const room = inner(width, m);
  const gap = columnGap(m);
  const w = t.columns.map((_, i) =>
    Math.ceil(Math.max(t.heads[i] ?? 0, t.rows > 0 ? (t.cells[i] ?? 0) : unknown) * m.textSize),
  );
  const natural = w.reduce((a, b) => a + b, 0) + gap * Math.max(0, w.length - 1);
  const all = [w.map((_, i) => i)];
  const inLine = (from: number): number[] => {
    const x: number[] = [];
    let at = from;
    for (const c of w) {
      x.push(at);
      at += c + gap;
    }
    return x;
  };
  const gutter = Math.max(wordWidth(m), Math.ceil(titleWidth)) + Math.round(6 * m.scale);
  if (gutter + natural <= room)
    return { kind: 'beside', gutter, lines: all, x: inLine(gutter), w, head: headHeight, row: m.rowHeight };
  if (natural <= room)
    return { kind: 'below', gutter: 0, lines: all, x: inLine(0), w, head: headHeight + m.textLine, row: m.rowHeight };

  const lines: number[][] = [[]];
  const x: number[] = [];
  let at = 0;
  w.forEach((c, i) => {
    if (at > 0 && at + c > room) {
      lines.push([]);
      at = 0;
    }
    lines[lines.length - 1]!.push(i);
    x.push(at);
    at += c + gap;
  });
  const row = Math.round(m.rowHeight * lines.length - 2 * (lines.length - 1)) + 2;
  return { kind: 'wrapped', gutter: 0, lines, x, w: w.map((c) => Math.min(c, room)), head: headHeight, row };
}

/** Height of a table of that shape with `rows` rows, inner padding below included. */
export const tableHeight = (s: TableShape, rows: number, m: Metrics): number => s.head + rows * s.row + m.padY;

/** How many rows fit into `height`; at least one. */
export const tableCapacity = (s: TableShape, height: number, m: Metrics): number =>
  Math.max(1, Math.floor((height - s.head - m.padY) / s.row));

interface ShownRow {
  readonly id: number;
  readonly cells: readonly string[];
  readonly fate: Fate | null;
  readonly stale: boolean;
}

/** The cache's rows with the ones removed in this step among them, in the order of their ids' first appearance. */
export function rowsWithGhosts(rows: readonly SceneRow[], marks: RowMarks | undefined): ShownRow[] {
  const shown = rows.map(
    (r): ShownRow => ({ id: r.id, cells: r.cells, fate: marks?.fates.get(r.id) ?? null, stale: r.stale }),
  );
  const present = new Set(rows.map((r) => r.id));
  for (const g of marks?.ghosts ?? []) {
    if (present.has(g.id)) continue;
    const at = shown.findIndex((r) => r.id > g.id);
    const ghost: ShownRow = { id: g.id, cells: g.cells, fate: marks!.fates.get(g.id) ?? 'removed', stale: false };
    shown.splice(at < 0 ? shown.length : at, 0, ghost);
  }
  return shown;
}

/** Those that are shown when only `capacity` fit: touched ones first, then stale ones, then the last. Order is kept. */
export function chooseRows(rows: readonly ShownRow[], capacity: number, marks: RowMarks | undefined): ShownRow[] {
  if (rows.length <= capacity) return [...rows];
  const chosen = new Set<number>();
  const take = (id: number): void => {
    if (chosen.size < capacity) chosen.add(id);
  };
  const present = new Set(rows.map((r) => r.id));
  for (const id of marks?.recent ?? []) if (present.has(id)) take(id);
  for (const r of rows) if (r.stale) take(r.id);
  for (let i = rows.length - 1; i >= 0; i--) take(rows[i]!.id);
  return rows.filter((r) => chosen.has(r.id));
}

/**
 * Draws a table of `shape` into `rect`: column names, as many rows as fit, and how many more there are.
 * @param titleEnd  where the text on the title's line ends, from the left inner edge
 */
export function placeTable(
  columns: readonly string[],
  sceneRows: readonly SceneRow[],
  marks: RowMarks | undefined,
  shape: TableShape,
  rect: Rect,
  titleEnd: number,
  m: Metrics,
): { heads: PlacedText[]; rows: RowBox[]; more: PlacedText | null } {
  const left = rect.x + 3 + m.padX;
  const right = rect.x + rect.w - m.padX;
  const heads: PlacedText[] = [];
  if (shape.kind !== 'wrapped' && sceneRows.length + (marks?.ghosts.length ?? 0) > 0) {
    const line =
      shape.kind === 'beside' ? rect.y + m.padY + m.titleLine * 0.76 : rect.y + shape.head - m.textLine * 0.26;
    columns.forEach((name, i) => {
      heads.push({ text: name, x: left + shape.x[i]!, y: line, size: m.textSize, face: 'text', anchor: 'start' });
    });
  }
  const rows = rowsWithGhosts(sceneRows, marks);
  const capacity = tableCapacity(shape, rect.h, m);
  const at = (y: number, x: number, anchor: 'start' | 'end', text: string): PlacedText => ({
    text,
    x,
    y,
    size: m.textSize,
    face: 'text',
    anchor,
  });
  const place = (shown: readonly ShownRow[]): RowBox[] =>
    shown.map((r, i) =>
      placeRow(
        r,
        columns,
        shape,
        { x: left, y: rect.y + shape.head + i * shape.row, w: right - left, h: shape.row },
        m,
      ),
    );
  let out = place(chooseRows(rows, capacity, marks));
  let more: PlacedText | null = null;
  if (rows.length > out.length) {
    // How many more: in the gutter beside a row, else at the end of the title's line, else instead of a row.
    const free = shape.kind === 'beside' ? out.findLast((r) => r.word === null) : undefined;
    const text = (shown: number): string => `+${rows.length - shown} more`;
    const last = heads[heads.length - 1];
    const end = last && shape.kind === 'beside' ? last.x + textWidth(last.text, 'text', m.textSize) : left + titleEnd;
    const titleY = rect.y + m.padY + m.titleLine * 0.76;
    const titleRoom = right - end - 8;
    const short = [text(out.length), `+${rows.length - out.length}`].find(
      (t) => textWidth(t, 'text', m.textSize) <= titleRoom,
    );
    if (free && textWidth(text(out.length), 'text', m.textSize) <= shape.gutter - 3)
      more = at(free.cells[0]?.y ?? free.y, left, 'start', text(out.length));
    else if (short !== undefined && (capacity === 1 || short === text(out.length)))
      more = at(titleY, right, 'end', short);
    else if (capacity > 1) {
      out = place(chooseRows(rows, capacity - 1, marks));
      more = at(rect.y + shape.head + out.length * shape.row + m.rowHeight * 0.72, left, 'start', text(out.length));
    }
  } else if (rows.length === 0) {
    more = at(rect.y + shape.head + m.rowHeight * 0.72, left, 'start', 'empty');
  }
  return { heads, rows: out, more };
}

function placeRow(r: ShownRow, columns: readonly string[], shape: TableShape, rect: Rect, m: Metrics): RowBox {
  const cells: PlacedText[] = [];
  const lineHeight = shape.lines.length > 1 ? (shape.row - 2) / shape.lines.length : shape.row;
  const baseline = (line: number): number =>
    rect.y + (shape.lines.length > 1 ? 1 : 0) + lineHeight * line + lineHeight * 0.73;
  const words = wordsOf(r);
  let word: PlacedText | null = null;
  shape.lines.forEach((line, k) => {
    let end = rect.x;
    for (const i of line) {
      const full = r.cells[i] ?? '';
      const text = fitText(full, 'mono', m.textSize, Math.min(shape.w[i]!, rect.x + rect.w - (rect.x + shape.x[i]!)));
      const x = rect.x + shape.x[i]!;
      cells.push({
        text,
        ...(text === full ? {} : { full }),
        x,
        y: baseline(k),
        size: m.textSize,
        face: 'mono',
        anchor: 'start',
      });
      if (text !== '') end = x + textWidth(text, 'mono', m.textSize);
    }
    if (word || words.length === 0) return;
    const room = shape.kind === 'beside' ? shape.gutter - 3 : rect.x + rect.w - end - 5;
    const fits = words.find((t) => textWidth(t, 'title', m.textSize) <= room);
    if (!fits || (fits.length === 1 && k < shape.lines.length - 1)) return;
    word = {
      text: fits,
      x: shape.kind === 'beside' ? rect.x : rect.x + rect.w,
      y: baseline(k),
      size: m.textSize,
      face: 'title',
      anchor: shape.kind === 'beside' ? 'start' : 'end',
    };
  });
  const named = columns.map((c, i) => `${c} ${r.cells[i] ?? ''}`.trim()).join(', ');
  const label = words.length > 0 ? `${named}, ${words[0]}` : named;
  return { id: r.id, ...rect, cells, fate: r.fate, stale: r.stale, word, label };
}
