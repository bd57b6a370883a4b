import { hex } from '../../engine/bits/index.ts';
import { type Face, fitLine, fitText, textWidth } from '../topology/measure.ts';
import {
  beyondText,
  type CellState,
  cellEvent,
  cellLabel,
  cellState,
  columnTitle,
  countText,
  endText,
  inputText,
  requestText,
  rowTitle,
  savingText,
  stagesText,
  sumText,
  wordsText,
} from './text.ts';
import { type Cell, cellsOf, type Walk, type WalkRow } from './types.ts';

export type Tone = 'ink' | 'ink2' | 'ink3' | 'accent' | 'hit' | 'bad' | 'first' | 'second';

/** A line of text; `full` when it had to be cut. */
export interface Line {
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly full?: string;
  readonly size: number;
  readonly face: Face;
  readonly tone: Tone;
  readonly anchor: 'start' | 'middle' | 'end';
}

export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface PlacedCell extends Rect {
  readonly key: string;
  readonly row: number;
  readonly column: number;
  readonly state: CellState | 'result';
  /** Whose table it is: colour of its edge. */
  readonly stage: 'first' | 'second' | 'record';
  /** The walk was stopped here. */
  readonly stopped: boolean;
  readonly updated: boolean;
  readonly lines: readonly Line[];
  readonly label: string;
  /** Position that it stands for; null: none. */
  readonly event: number | null;
  /** Record in memory that was read. */
  readonly record: { readonly address: number; readonly layout: string } | null;
  /** Cache entry that saved the read. */
  readonly saved: { readonly at: string; readonly row: number } | null;
}

export interface PlacedHead extends Rect {
  readonly key: string;
  readonly lines: readonly Line[];
}

export interface WalkLayout {
  readonly width: number;
  readonly height: number;
  readonly compact: boolean;
  /** Lines above the grid. */
  readonly title: readonly Line[];
  /** Where the headings of columns stand, and their height. */
  readonly headTop: number;
  readonly headHeight: number;
  readonly headLeft: number;
  readonly columns: readonly PlacedHead[];
  readonly rows: readonly PlacedHead[];
  readonly cells: readonly PlacedCell[];
}

interface Sizes {
  readonly pad: number;
  readonly gapX: number;
  readonly gapY: number;
  readonly cellH: number;
  /** Of a record that no second stage finds: number and address stand in one line. */
  readonly flatH: number;
  readonly inset: number;
  readonly small: number;
}

const full: Sizes = { pad: 16, gapX: 10, gapY: 10, cellH: 78, flatH: 60, inset: 10, small: 11 };
const tight: Sizes = { pad: 10, gapX: 5, gapY: 5, cellH: 37, flatH: 37, inset: 8, small: 11 };
const mostWidth = 210;
const leastWidth = 96;
const headMost = 190;
/** Edge of a cell in the colour of its stage. */
export const edge = 4;

const lineOf = (
  text: string,
  at: { x: number; y: number; width: number },
  o: { size?: number; face?: Face; tone?: Tone; anchor?: Line['anchor']; middle?: boolean } = {},
): Line => {
  const { size = 11, face = 'text', tone = 'ink2', anchor = 'start' } = o;
  const cut = o.middle ? fitText(text, face, size, at.width) : fitLine(text, face, size, at.width);
  return { x: at.x, y: at.y, text: cut, size, face, tone, anchor, ...(cut !== text && { full: text }) };
};

/** What an entry says where there is little room: a page that has its size needs no other word. */
const shortMeans = (means: string): string => means.replace(/^(\d+ .iB) (?:block|page) /, '$1 ');

/** Words that a cell shows once its read or hit has happened, so that its width stays the same while the walk is played. */
function widest(walk: Walk, row: WalkRow, cell: Cell, compact: boolean): number {
  const w = (text: string, face: Face): number => textWidth(text, face, 11);
  if (cell.read) {
    const { n, address, words, means } = cell.read;
    const says = w(compact ? `${n}  ${shortMeans(means)}` : means, 'text');
    const lines = [w(hex(address), 'mono'), row.kind === 'record' && cell.level === null ? Math.min(says, 120) : says];
    if (!compact) lines.push(w(wordsText(words), 'mono'), row.kind === 'record' ? w(hex(address), 'mono') + 22 : 0);
    return Math.max(...lines);
  }
  if (cell.saved) return w(cell.saved.entry.cache, 'text');
  if (cell.beyond) return Math.min(w(beyondText(walk, row, cell), 'text'), 110);
  return 0;
}

function stateWord(state: CellState, stopped: boolean, updated: boolean): { text: string; tone: Tone } {
  if (stopped) return { text: 'fault', tone: 'bad' };
  if (state === 'reading') return { text: 'reading', tone: 'accent' };
  return updated ? { text: 'updated', tone: 'accent' } : { text: 'read', tone: 'ink3' };
}

/** `sets access flag`: what hardware has changed, without the place that the cell says anyway. */
const updateText = (text: string): string => text.replace(/^hardware /, '').replace(/,.*$/, '');

function cellLines(walk: Walk, row: WalkRow, cell: Cell, r: Rect, event: number, s: Sizes, compact: boolean): Line[] {
  const state = cellState(walk, row, cell, event);
  const stopped = cell.stop !== null && cell.stop.event <= event;
  const x = r.x + s.inset + edge / 2;
  const width = r.w - 2 * s.inset - edge / 2;
  const y = (k: number): number => r.y + (compact ? 15 + k * 15 : 17 + k * (r.h < s.cellH ? 16 : 17));
  const centre = { x: r.x + r.w / 2, y: r.y + r.h / 2 + 4, width };
  switch (state) {
    case 'read':
    case 'reading': {
      const { n, address, words, means } = cell.read!;
      const update = cell.update && cell.update.event <= event ? cell.update : null;
      const raw = wordsText(update ? [update.word] : words);
      const says = stopped
        ? `${cell.stop!.name} ${means}`.trim()
        : update
          ? updateText(update.text)
          : compact
            ? shortMeans(means)
            : means;
      const tone: Tone = stopped ? 'bad' : update || state === 'reading' ? 'accent' : 'ink2';
      if (compact) {
        const number = lineOf(String(n), { x, y: y(1), width: 24 }, { face: 'title', tone: 'ink3' });
        const from = textWidth(String(n), 'title', 11) + 6;
        return [
          lineOf(hex(address), { x, y: y(0), width }, { face: 'mono', tone: 'ink', middle: true }),
          number,
          lineOf(says, { x: x + from, y: y(1), width: width - from }, { tone }),
        ];
      }
      const word = stateWord(state, stopped, update !== null);
      if (r.h < s.cellH) {
        const from = textWidth(String(n), 'title', 11) + 8;
        return [
          lineOf(String(n), { x, y: y(0), width: 26 }, { face: 'title', tone: 'ink3' }),
          lineOf(
            hex(address),
            { x: x + from, y: y(0), width: width - from },
            { face: 'mono', tone: 'ink', middle: true },
          ),
          lineOf(raw, { x, y: y(1), width }, { face: 'mono', tone: 'ink2', middle: true }),
          lineOf(says, { x, y: y(2), width }, { tone }),
        ];
      }
      const right = { x: r.x + r.w - s.inset, y: y(0), width: width - 30 };
      return [
        lineOf(String(n), { x, y: y(0), width: 26 }, { face: 'title', tone: 'ink3' }),
        lineOf(word.text, right, { face: 'title', tone: word.tone, anchor: 'end' }),
        lineOf(hex(address), { x, y: y(1), width }, { face: 'mono', tone: 'ink', middle: true }),
        lineOf(raw, { x, y: y(2), width }, { face: 'mono', tone: 'ink2', middle: true }),
        lineOf(says, { x, y: y(3), width }, { tone }),
      ];
    }
    case 'skipped': {
      const { saved } = cell;
      const first = stopped ? cell.stop!.name : 'skipped';
      const tone: Tone = stopped ? 'bad' : 'hit';
      if (compact)
        return [
          lineOf(first, { x, y: y(0), width }, { face: 'title', tone }),
          lineOf(saved!.entry.cache, { x, y: y(1), width }, { tone: 'ink2' }),
        ];
      return [
        lineOf(first, { x, y: y(0), width }, { face: 'title', tone }),
        lineOf(saved!.entry.cache, { x, y: y(1), width }, { tone: 'ink2' }),
        lineOf(savingText(saved!).slice(saved!.entry.cache.length + 1), { x, y: y(2), width }, { face: 'mono' }),
      ];
    }
    case 'beyond':
      return [lineOf(beyondText(walk, row, cell), centre, { tone: 'ink3', anchor: 'middle' })];
    case 'unreached':
      return [
        stopped
          ? lineOf(`${cell.stop!.name}, not read`, centre, { face: 'title', tone: 'bad', anchor: 'middle' })
          : lineOf('not reached', centre, { tone: 'ink3', anchor: 'middle' }),
      ];
    case 'coming':
      return cell.read ? [lineOf(String(cell.read.n), centre, { face: 'title', tone: 'ink3', anchor: 'middle' })] : [];
    case 'none':
      return [];
  }
}

/** Lines of a longer text, at most `most`; the last one is cut. */
function wrap(text: string, width: number, most: number): string[] {
  const out: string[] = [];
  let rest = text.split(' ');
  while (rest.length > 0 && out.length < most) {
    let n = rest.length;
    if (out.length < most - 1) while (n > 1 && textWidth(rest.slice(0, n).join(' '), 'text', 11) > width) n--;
    out.push(rest.slice(0, n).join(' '));
    rest = rest.slice(n);
  }
  return out;
}

function resultLines(walk: Walk, r: Rect, event: number, s: Sizes, compact: boolean): Line[] {
  const end = endText(walk, event);
  const x = r.x + s.inset;
  const width = r.w - 2 * s.inset;
  const step = compact ? 15 : 17;
  const y = r.y + step;
  const pending = walk.end.event > event && !end.bad;
  const address = /^0x/.test(end.text);
  const title = lineOf(
    end.title,
    { x, y, width },
    { face: 'title', tone: end.bad ? 'bad' : pending ? 'ink3' : 'ink2' },
  );
  if (end.text === '') return [title];
  const o = { face: address ? 'mono' : 'text', tone: pending ? 'ink3' : 'ink', middle: address } as const;
  const lines = address ? [end.text] : wrap(end.text, width, compact ? 1 : 3);
  const placed = lines.map((t, k) => lineOf(t, { x, y: y + step * (k + 1), width }, o));
  const last = placed.at(-1)!;
  // Whoever points at it reads the whole.
  return [title, ...placed.slice(0, -1), lines.length > 1 && last.full ? { ...last, full: end.text } : last];
}

function titleLines(walk: Walk, event: number, s: Sizes, width: number, compact: boolean): Line[] {
  const at = (y: number) => ({ x: s.pad, y, width: width - 2 * s.pad });
  const counts = countText(walk, event);
  if (compact) return [lineOf(`${requestText(walk)} · ${counts}`, at(15), { face: 'title', tone: 'ink', size: 11 })];
  const sum = sumText(walk);
  return [
    lineOf(requestText(walk), at(24), { face: 'title', tone: 'ink', size: 14 }),
    lineOf(stagesText(walk), at(43)),
    lineOf(counts, at(60), { tone: 'ink' }),
    ...(sum === '' ? [] : [lineOf(sum, at(77), { tone: 'ink3' })]),
  ];
}

/**
 * Places a walk.
 * @param event  position of the head in the step
 * @param room.width  width of the window onto it; a larger grid scrolls
 * @param room.compact  two lines a cell, one above the grid
 */
export function layoutWalk(walk: Walk, event: number, room: { width: number; compact: boolean }): WalkLayout {
  const { compact } = room;
  const s = compact ? tight : full;
  const title = titleLines(walk, event, s, room.width, compact);
  const headTop = Math.max(...title.map((l) => l.y)) + (compact ? 4 : 12);
  const headHeight = compact ? 20 : 24;
  const columns: readonly (number | null)[] = [...walk.columns, null];

  const rowText = (r: WalkRow): number =>
    Math.max(
      textWidth(rowTitle(r), 'title', compact ? 11 : 12),
      compact || !r.input ? 0 : textWidth(`${walk.second?.input ?? ''} ${hex(r.input.address)}`, 'mono', 11),
    );
  const headWidth = Math.min(headMost, Math.max(...walk.rows.map(rowText), 40)) + 8;
  const headLeft = s.pad + headWidth;

  // The second stage's columns are as wide as each other; what a record says in words may be cut.
  const wide = (r: WalkRow, cells: readonly Cell[]): number[] => cells.map((c) => widest(walk, r, c, compact));
  const needOf = (inner: readonly number[]): number =>
    Math.min(mostWidth, Math.max(leastWidth, Math.ceil(Math.max(0, ...inner)) + 2 * s.inset + edge));
  const need = needOf(walk.rows.flatMap((r) => wide(r, r.second)));
  const needEntry = needOf([
    ...walk.rows.flatMap((r) => (r.entry ? wide(r, [r.entry]) : [])),
    walk.end.pa === null ? 0 : textWidth(hex(walk.end.pa), 'mono', 11),
  ]);
  const n = walk.columns.length;
  const spare = room.width - headLeft - s.pad - n * (need + s.gapX) - needEntry;
  const more = Math.max(0, Math.min(Math.floor(spare / (n + 1)), n === 0 ? 320 - needEntry : Math.round(need * 0.25)));
  const w = need + more;
  const entryW = needEntry + more;

  const widthOf = (column: number): number => (column === n ? entryW : w);
  const x = (column: number): number => headLeft + column * (w + s.gapX);
  const top = headTop + headHeight;
  const isFlat = (row: WalkRow): boolean =>
    row.kind === 'record' && row.second.every((c) => cellState(walk, row, c, event) === 'none');
  const tops: number[] = [];
  let bottom = top;
  for (const row of walk.rows) {
    tops.push(bottom);
    bottom += (isFlat(row) ? s.flatH : s.cellH) + s.gapY;
  }
  const y = (row: number): number => tops[row]!;
  const h = (row: WalkRow): number => (isFlat(row) ? s.flatH : s.cellH);
  const cells: PlacedCell[] = [];
  walk.rows.forEach((row, i) => {
    cellsOf(row).forEach((cell) => {
      const state = cellState(walk, row, cell, event);
      if (state === 'none') return;
      const column = cell.level === null ? walk.columns.length : walk.columns.indexOf(cell.level);
      const r: Rect = { x: x(column), y: y(i), w: widthOf(column), h: h(row) };
      const shown = state === 'read' || state === 'reading';
      cells.push({
        ...r,
        key: cell.key,
        row: i,
        column,
        state,
        stage: cell.level !== null ? 'second' : row.kind === 'first' ? 'first' : 'record',
        stopped: cell.stop !== null && cell.stop.event <= event,
        updated: cell.update !== null && cell.update.event <= event,
        lines: cellLines(walk, row, cell, r, event, s, compact),
        label: cellLabel(walk, row, cell, event),
        event: cellEvent(cell),
        record: cell.read && shown ? { address: cell.read.address, layout: cell.read.layout } : null,
        saved: cell.saved && state === 'skipped' ? { at: cell.saved.at, row: cell.saved.entry.id } : null,
      });
    });
    if (row.kind !== 'out' || row.again > 0) return;
    const r: Rect = { x: x(n), y: y(i), w: entryW, h: s.cellH };
    const end = endText(walk, event);
    cells.push({
      ...r,
      key: 'result',
      row: i,
      column: columns.length - 1,
      state: 'result',
      stage: 'record',
      stopped: end.bad,
      updated: false,
      lines: resultLines(walk, r, event, s, compact),
      label: `Result: ${end.title}${end.text === '' ? '' : `, ${end.text}`}.`,
      event: walk.end.event,
      record: null,
      saved: null,
    });
  });

  const heads = columns.map((level, k): PlacedHead => {
    const r: Rect = { x: x(k), y: headTop, w: widthOf(k), h: headHeight };
    const tone: Tone = level === null ? (walk.first ? 'first' : 'ink2') : 'second';
    const at = { x: r.x + r.w / 2, y: headTop + (compact ? 14 : 15), width: r.w };
    return {
      ...r,
      key: String(level),
      lines: [lineOf(columnTitle(walk, level), at, { face: 'title', tone, anchor: 'middle' })],
    };
  });
  const rows = walk.rows.map((row, i): PlacedHead => {
    const r: Rect = { x: s.pad, y: y(i), w: headWidth - 8, h: h(row) };
    const tone: Tone = row.kind === 'record' ? 'ink2' : 'first';
    const size = compact ? 11 : 12;
    const input = inputText(walk, row, event);
    const above = compact ? r.h / 2 + 4 : input === '' ? r.h / 2 + 4 : r.h / 2 - 4;
    const lines = [lineOf(rowTitle(row), { x: r.x, y: r.y + above, width: r.w }, { face: 'title', tone, size })];
    if (!compact && input !== '')
      lines.push(lineOf(input, { x: r.x, y: r.y + r.h / 2 + 14, width: r.w }, { face: 'mono', middle: true }));
    return { ...r, key: row.key, lines };
  });
  return {
    width: Math.max(room.width, x(n) + entryW + s.pad),
    height: bottom - s.gapY + s.pad,
    compact,
    title,
    headTop,
    headHeight,
    headLeft,
    columns: heads,
    rows,
    cells,
  };
}

/** The cell beside another one: along its row, or the nearest one in the next row that has one there. */
export function neighbour(l: WalkLayout, key: string, dx: number, dy: number): PlacedCell | null {
  const here = l.cells.find((c) => c.key === key);
  if (!here) return l.cells[0] ?? null;
  const ahead = l.cells.filter((c) =>
    dx !== 0 ? c.row === here.row && Math.sign(c.column - here.column) === dx : Math.sign(c.row - here.row) === dy,
  );
  let best: PlacedCell | null = null;
  const far = (c: PlacedCell): number =>
    Math.abs(c.column - here.column) + Math.abs(c.row - here.row) * (dy !== 0 ? 100 : 1);
  for (const c of ahead) if (!best || far(c) < far(best)) best = c;
  return best;
}
