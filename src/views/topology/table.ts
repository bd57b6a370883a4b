import type { SceneRow } from '../../engine/machine/index.ts';
import { fitText, textWidth } from './measure.ts';
import type { Metrics } from './metrics.ts';
import type { SlotTable } from './slots.ts';
import type { Fate, PlacedText, Rect, RowBox, RowMarks } from './types.ts';

/**
 * How a cache's columns stand in a given width:
 * - `flat`: no column names, the first row beside the title;
 * - `beside`: column names on the title's line, words of fate in the gutter under the title;
 * - `below`: column names on a line of their own, words of fate at the right;
 * - `wrapped`: a row takes several lines, no column names.
 */
export interface TableShape {
  readonly kind: 'flat' | 'beside' | 'below' | 'wrapped';
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
const signWidth = (m: Metrics): number => Math.ceil(textWidth('×', 'title', m.textSize)) + 6;
/** Width of a cell that nobody has seen yet, at font size 1: eight digits. */
const unknown = 4.9;
const wordWidth = (m: Metrics): number => Math.ceil(textWidth('removed', 'title', m.textSize));
export const inner = (width: number, m: Metrics): number => width - 2 * m.padX - 3;

/** Width of the named columns beside each other, and of a sign after them. */
export function columnsWidth(t: SlotTable, m: Metrics): number {
  const w = t.columns.map((_, i) => Math.ceil(Math.max(t.heads[i] ?? 0, cellWidth(t, i)) * m.textSize));
  return w.reduce((a, b) => a + b, 0) + columnGap(m) * Math.max(0, w.length - 1) + signWidth(m);
}

const cellWidth = (t: SlotTable, i: number): number => (t.cells.some((w) => w > 0) ? (t.cells[i] ?? 0) : unknown);

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
  const bare = t.columns.map((_, i) => Math.ceil(cellWidth(t, i) * m.textSize));
  const named = bare.map((w, i) => Math.max(w, Math.ceil((t.heads[i] ?? 0) * m.textSize)));
  const sum = (w: readonly number[], g = gap): number => w.reduce((a, b) => a + b, 0) + g * Math.max(0, w.length - 1);
  const inLine = (w: readonly number[], from: number, g = gap): number[] =>
    w.map((_, i) => from + w.slice(0, i).reduce((a, b) => a + b + g, 0));
  const all = [named.map((_, i) => i)];
  const pad = Math.round(6 * m.scale);
  // Fate is never told by colour alone: where no word fits, there is room for its sign.
  const sign = signWidth(m);
  if (m.flat && headHeight <= m.padY + m.titleLine) {
    const gutter = Math.ceil(titleWidth) + pad;
    const head = m.padY + m.titleLine - m.rowHeight;
    for (const g of [gap, gap - 2])
      if (gutter + sum(bare, g) + sign <= room)
        return { kind: 'flat', gutter, lines: all, x: inLine(bare, gutter, g), w: bare, head, row: m.rowHeight };
  }
  const gutter = Math.max(wordWidth(m), Math.ceil(titleWidth)) + pad;
  if (gutter + sum(named) <= room)
    return {
      kind: 'beside',
      gutter,
      lines: all,
      x: inLine(named, gutter),
      w: named,
      head: headHeight,
      row: m.rowHeight,
    };
  if (sum(named) + sign <= room) {
    const head = headHeight + m.textLine;
    return { kind: 'below', gutter: 0, lines: all, x: inLine(named, 0), w: named, head, row: m.rowHeight };
  }
  return wrapped(bare, room, sign, gap, headHeight, m) ?? wrapped(bare, room - sign, -room, gap, headHeight, m)!;
}

/**
 * Each column goes to the first line that has room for it: short ones fill up the line of a long one.
 * @returns null when no line has room left for a sign
 */
function wrapped(
  bare: readonly number[],
  room: number,
  least: number,
  gap: number,
  head: number,
  m: Metrics,
): TableShape | null {
  const lines: number[][] = [];
  const ends: number[] = [];
  const x: number[] = [];
  bare.forEach((w, i) => {
    let line = ends.findIndex((e) => e + gap + w <= room);
    if (line < 0) {
      line = lines.length;
      lines.push([]);
      ends.push(-gap);
    }
    lines[line]!.push(i);
    x.push(ends[line]! + gap);
    ends[line] = ends[line]! + gap + w;
  });
  if (!ends.some((e) => room - e >= least)) return null;
  const row = Math.round(m.rowHeight * lines.length - 2 * (lines.length - 1)) + 2;
  return { kind: 'wrapped', gutter: 0, lines, x, w: bare.map((w) => Math.min(w, room)), head, row };
}

/** Height of a table of that shape with `rows` rows, inner padding below included. */
export const tableHeight = (s: TableShape, rows: number, m: Metrics): number =>
  Math.ceil(s.head + Math.max(s.kind === 'flat' ? s.row : 0, rows * s.row) + m.padY);

/** How many rows fit into `height`; at least one. */
export const tableCapacity = (s: TableShape, height: number, m: Metrics): number =>
  Math.max(1, Math.floor((height - s.head - m.padY) / s.row));

interface ShownRow {
  readonly id: number;
  readonly cells: readonly string[];
  readonly fate: Fate | null;
  readonly stale: boolean;
}

const shownRow = (r: SceneRow, marks: RowMarks | undefined): ShownRow => ({
  id: r.id,
  cells: r.cells,
  fate: marks?.fates.get(r.id) ?? null,
  stale: r.stale,
});

/**
 * Those that are shown when only `capacity` fit: touched ones first, then stale ones, then the last. Order is kept. A cache
 * can have thousands of rows: what is not shown costs a glance.
 * @returns with `total`, how many there are
 */
export function chooseRows(
  rows: readonly SceneRow[],
  capacity: number,
  marks: RowMarks | undefined,
): { readonly shown: ShownRow[]; readonly total: number } {
  const gone = new Map((marks?.ghosts ?? []).map((g) => [g.id, g]));
  const touched = new Set(marks?.recent ?? []);
  const present = new Set<number>();
  const stale: number[] = [];
  if (gone.size > 0 || touched.size > 0 || rows.some((r) => r.stale))
    for (const r of rows) {
      gone.delete(r.id);
      if (touched.has(r.id)) present.add(r.id);
      if (r.stale) stale.push(r.id);
    }
  const ghosts = [...gone.values()].map(
    (g): ShownRow => ({ id: g.id, cells: g.cells, fate: marks!.fates.get(g.id) ?? 'removed', stale: false }),
  );
  for (const g of ghosts) present.add(g.id);
  const total = rows.length + ghosts.length;
  // A ghost stands before the first row that came after it.
  const before = ghosts.map((g) => {
    const at = rows.findIndex((r) => r.id > g.id);
    return at < 0 ? rows.length : at;
  });
  const chosen = new Set<number>();
  const take = (id: number): void => {
    if (chosen.size < capacity) chosen.add(id);
  };
  if (total > capacity) {
    for (const id of marks?.recent ?? []) if (present.has(id)) take(id);
    for (const id of stale) take(id);
    const late = ghosts.map((g, k) => ({ id: g.id, at: before[k]! })).reverse();
    for (let i = rows.length; i >= 0 && chosen.size < capacity; i--) {
      if (i < rows.length) take(rows[i]!.id);
      for (const g of late) if (g.at === i) take(g.id);
    }
  }
  const all = total <= capacity;
  const shown: ShownRow[] = [];
  const ordered = ghosts.map((g, k) => ({ g, at: before[k]! })).sort((a, b) => a.at - b.at || a.g.id - b.g.id);
  let next = 0;
  for (let i = 0; i <= rows.length; i++) {
    for (; next < ordered.length && ordered[next]!.at === i; next++)
      if (all || chosen.has(ordered[next]!.g.id)) shown.push(ordered[next]!.g);
    if (i < rows.length && (all || chosen.has(rows[i]!.id))) shown.push(shownRow(rows[i]!, marks));
    if (!all && shown.length >= chosen.size) break;
  }
  return { shown, total };
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
  if ((shape.kind === 'beside' || shape.kind === 'below') && sceneRows.length + (marks?.ghosts.length ?? 0) > 0) {
    const line =
      shape.kind === 'beside' ? rect.y + m.padY + m.titleLine * 0.76 : rect.y + shape.head - m.textLine * 0.26;
    columns.forEach((name, i) => {
      heads.push({ text: name, x: left + shape.x[i]!, y: line, size: m.textSize, face: 'text', anchor: 'start' });
    });
  }
  const capacity = tableCapacity(shape, rect.h, m);
  const { shown: fitting, total } = chooseRows(sceneRows, capacity, marks);
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
        i === 0,
        columns,
        shape,
        { x: left, y: rect.y + shape.head + i * shape.row, w: right - left, h: shape.row },
        m,
      ),
    );
  let out = place(fitting);
  let more: PlacedText | null = null;
  if (total > out.length) {
    // How many more: in the gutter beside a row, else at the end of the title's line, else instead of a row.
    const text = (shown: number): string => `+${total - shown} more`;
    const width = (t: string): number => textWidth(t, 'text', m.textSize);
    const free =
      shape.kind === 'beside' || shape.kind === 'flat'
        ? out.findLast((r, i) => r.word?.anchor !== 'start' && (shape.kind === 'beside' || i > 0))
        : undefined;
    const first = out[0]?.word;
    const lastHead = heads[heads.length - 1];
    const end =
      shape.kind === 'flat'
        ? left + shape.x[shape.x.length - 1]! + shape.w[shape.w.length - 1]!
        : shape.kind === 'beside' && lastHead
          ? lastHead.x + width(lastHead.text)
          : left + titleEnd;
    const limit = shape.kind === 'flat' && first ? first.x - textWidth(first.text, 'title', m.textSize) - 6 : right;
    const titleY = shape.kind === 'flat' ? (out[0]?.cells[0]?.y ?? rect.y) : rect.y + m.padY + m.titleLine * 0.76;
    const forms = [text(out.length), `+${total - out.length}`];
    const short = forms.find((t) => width(t) <= limit - end - 8);
    const inGutter = free && forms.find((t) => width(t) <= shape.gutter - 3);
    if (free && inGutter) more = at(free.cells[0]?.y ?? free.y, left, 'start', inGutter);
    else if (short !== undefined && (capacity === 1 || short === text(out.length)))
      more = at(titleY, limit, 'end', short);
    else if (capacity > 1) {
      out = place(chooseRows(sceneRows, capacity - 1, marks).shown);
      const y = rect.y + shape.head + out.length * shape.row + m.rowHeight * 0.72;
      more = at(y, left, 'start', text(out.length));
    }
  } else if (total === 0) {
    const y =
      rect.y +
      (shape.kind === 'flat'
        ? m.padY + m.titleLine * 0.76
        : shape.head - (shape.kind === 'below' ? m.textLine : 0) + m.rowHeight * 0.72);
    more = at(y, left + (shape.kind === 'flat' ? shape.gutter : 0), 'start', 'empty');
  }
  return { heads, rows: out, more };
}

function placeRow(
  r: ShownRow,
  first: boolean,
  columns: readonly string[],
  shape: TableShape,
  rect: Rect,
  m: Metrics,
): RowBox {
  const cells: PlacedText[] = [];
  const lineHeight = shape.lines.length > 1 ? (shape.row - 2) / shape.lines.length : shape.row;
  const baseline = (line: number): number =>
    rect.y + (shape.lines.length > 1 ? 1 : 0) + lineHeight * line + lineHeight * 0.73;
  const ends = shape.lines.map((line, k) => {
    let end = rect.x;
    for (const i of line) {
      const full = r.cells[i] ?? '';
      const x = rect.x + shape.x[i]!;
      const text = fitText(full, 'mono', m.textSize, Math.min(shape.w[i]!, rect.w - shape.x[i]!));
      const cut = text === full ? {} : { full };
      cells.push({ text, ...cut, x, y: baseline(k), size: m.textSize, face: 'mono', anchor: 'start' });
      if (text !== '') end = x + textWidth(text, 'mono', m.textSize);
    }
    return end;
  });
  const words = wordsOf(r);
  const inGutter = shape.kind === 'beside' || (shape.kind === 'flat' && !first && wordWidth(m) <= shape.gutter - 3);
  let word: PlacedText | null = null;
  for (const text of words) {
    const w = textWidth(text, 'title', m.textSize);
    const line = ends.findIndex((end) => w <= (inGutter ? shape.gutter - 3 : rect.x + rect.w - end - 5));
    if (line < 0) continue;
    const x = inGutter ? rect.x : rect.x + rect.w;
    word = { text, x, y: baseline(line), size: m.textSize, face: 'title', anchor: inGutter ? 'start' : 'end' };
    break;
  }
  const named = columns.map((c, i) => `${c} ${r.cells[i] ?? ''}`.trim()).join(', ');
  const label = words.length > 0 ? `${named}, ${words[0]}` : named;
  // The first row of a flat table has the title before it.
  const indent = shape.kind === 'flat' && first ? shape.gutter : 0;
  const area = { ...rect, x: rect.x + indent, w: rect.w - indent };
  return { id: r.id, ...area, cells, fate: r.fate, stale: r.stale, word, label };
}
