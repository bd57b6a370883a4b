import type { Band } from '../../engine/trace/index.ts';
import {
  headHeight,
  naturalHeight,
  naturalWidth,
  neededWidth,
  rowSlot,
  shapeOf,
  tableWidth,
  titleWidth,
} from './box.ts';
import type { ColumnPlan } from './columns.ts';
import type { Metrics } from './metrics.ts';
import { type DeviceRow, deviceRows, isTable, placeCommon } from './place.ts';
import { type Cell, placeKey, type Slot, type SlotGroup, type TopologySlots } from './slots.ts';
import { tableHeight } from './table.ts';
import type { Rect } from './types.ts';

/** Places of one band, relative to the upper edge of its content. */
export interface BandPlan {
  readonly band: Band;
  readonly rects: ReadonlyMap<string, Rect>;
  /** By what each place measures its text: the same for places that stand in a row. */
  readonly measures: ReadonlyMap<string, Slot>;
  readonly height: number;
  /** Text of this band may have another density than the rest. */
  readonly m: Metrics;
  /** Rows that every table has at least. */
  readonly rows: number;
  /** Cells that were chosen here, to be remembered. */
  readonly cells: Readonly<Record<string, Cell>>;
}

/** A device's cache is not drawn higher than for that many rows, unless it has more. */
const calmRows = 4;

interface Drawing {
  readonly slots: TopologySlots;
  readonly band: Band;
  readonly plan: ColumnPlan;
  readonly m: Metrics;
  readonly rects: Map<string, Rect>;
  readonly measures: Map<string, Slot>;
}

const groupsOf = (slots: TopologySlots, band: Band, test: (g: SlotGroup) => boolean): SlotGroup[] =>
  slots.groups.filter((g) => g.band === band && test(g));

/**
 * Places everything of a band.
 * @param height  of the content; 0 asks for the least height
 * @param tableRows  rows that every table gets at least
 */
export function planBand(
  slots: TopologySlots,
  band: Band,
  plan: ColumnPlan,
  m: Metrics,
  height: number,
  tableRows: number,
): BandPlan {
  const rects = new Map<string, Rect>();
  const measures = new Map<string, Slot>();
  const d: Drawing = { slots, band, plan, m, rects, measures };
  for (const g of groupsOf(slots, band, (x) => x.device === null))
    for (const [i, s] of g.slots.entries()) measures.set(placeKey(g, i), s);
  const rows = deviceRows(slots, band);
  const tables = groupsOf(slots, band, (g) => g.device === null && isTable(g));
  const boxes = groupsOf(slots, band, (g) => g.device === null && !isTable(g));

  // Tables stand beside the band's other boxes when that leaves them wide enough, else below. Beside tables the boxes
  // are no wider than their texts, in a dense band than their titles: a table gains more from width.
  const need = (s: Slot): number => (m.density === 'dense' ? titleWidth(s, m) : neededWidth(s, m));
  const needed = Math.max(m.minColumn * 0.9, ...boxes.flatMap((g) => g.slots.map(need)));
  const left = boxes.length > 0 ? Math.min(plan.commonWidth, needed) : -m.gapX;
  const rightX = plan.commonX[plan.common - 1]! + plan.commonWidth;
  const regionX = plan.commonX[0]! + left + m.gapX;
  const beside =
    tables.length > 0 && tables.every((g) => g.slots.every((s) => shapeOf(s, rightX - regionX, m).kind !== 'wrapped'));
  const { n, boxWidth, boxX } = beside
    ? { n: 1, boxWidth: left, boxX: plan.commonX }
    : tables.length > 0
      ? spread(boxes, plan, needed, rightX, m)
      : { n: plan.common, boxWidth: plan.commonWidth, boxX: plan.commonX };
  const { cells, memory } = placeCommon(slots, band, n, rows.filter((r) => !r.table).length);

  let low = 0;
  for (let column = 0; column < n; column++) {
    const mine = boxes
      .flatMap((g) => g.slots.map((slot, i) => ({ slot, key: placeKey(g, i), cell: cells.get(placeKey(g, i))! })))
      .filter((p) => p.cell.column === column)
      .sort((a, b) => a.cell.row - b.cell.row);
    let y = 0;
    for (const p of mine) {
      const h = naturalHeight(p.slot, boxWidth, m, 0);
      rects.set(p.key, { x: boxX[column]!, y, w: boxWidth, h });
      y += h + m.gapY;
    }
    low = Math.max(low, y - m.gapY);
  }

  const top = beside ? 0 : low > 0 ? low + m.gapY : 0;
  const region = { x: beside ? regionX : plan.commonX[0]!, y: top, w: 0, h: Math.max(0, height - top) };
  region.w = rightX - region.x;
  if (tables.length > 0) low = Math.max(low, top + planTables(tables, region, m, tableRows, rects));

  const deviceLow = planDevices(d, rows, height, tableRows);
  if (!beside) growBoxes(boxes, rects, rows.length > 0 ? rightX : plan.width - m.edge, m);
  return { band, rects, measures, height: Math.max(low, deviceLow, m.titleLine), m, rows: tableRows, cells: memory };
}

/** Columns for boxes that have tables below them: as few rows as possible, since tables need the height. */
function spread(boxes: readonly SlotGroup[], plan: ColumnPlan, needed: number, rightX: number, m: Metrics) {
  const count = boxes.reduce((sum, g) => sum + g.slots.length, 0);
  const room = rightX - plan.commonX[0]!;
  const n = Math.max(plan.common, Math.min(count, Math.floor((room + m.gapX) / (needed + m.gapX))));
  if (n === plan.common) return { n, boxWidth: plan.commonWidth, boxX: plan.commonX };
  const boxWidth = Math.floor((room + m.gapX) / n - m.gapX);
  return { n, boxWidth, boxX: Array.from({ length: n }, (_, i) => plan.commonX[0]! + i * (boxWidth + m.gapX)) };
}

/** A box whose text is too long for its column takes the free room at its right. */
function growBoxes(groups: readonly SlotGroup[], rects: Map<string, Rect>, right: number, m: Metrics): void {
  for (const g of groups) {
    g.slots.forEach((slot, i) => {
      if (slot.queue) return;
      const r = rects.get(placeKey(g, i))!;
      const want = Math.min(naturalWidth(slot, m), right - r.x);
      let free = want;
      for (const o of rects.values())
        if (o.x > r.x && o.y < r.y + r.h + m.gapY && o.y + o.h + m.gapY > r.y)
          free = Math.min(free, o.x - m.gapX - r.x);
      if (free > r.w) rects.set(placeKey(g, i), { ...r, w: free });
    });
  }
}

/** Stacks the common tables; gives each its rows while there is height left, the one that lacks most first. */
function planTables(groups: readonly SlotGroup[], region: Rect, m: Metrics, least: number, rects: Map<string, Rect>) {
  const all = groups.flatMap((g) => g.slots.map((slot, i) => ({ slot, key: placeKey(g, i) })));
  const parts = [0, 1].map((s) => all.filter((_, i) => i % 2 === s));
  const needs = parts.map((p) => Math.max(0, ...p.map((t) => tableWidth(t.slot, m))));
  const spare = region.w - m.gapX - needs[0]! - needs[1]!;
  const two = all.length > 1 && spare >= 0;
  const stacks = two ? parts : [all];
  const widths = two ? needs.map((n) => Math.floor(n + spare / 2)) : [region.w];
  let low = 0;
  stacks.forEach((stack, s) => {
    const items = stack.map((t) => {
      const shape = shapeOf(t.slot, widths[s]!, m);
      return { ...t, shape, rows: least, want: Math.max(least, t.slot.table?.rows ?? 0) };
    });
    const total = (): number => items.reduce((sum, t) => sum + tableHeight(t.shape, t.rows, m) + m.gapY, 0) - m.gapY;
    for (;;) {
      const lacking = items.filter((t) => t.rows < t.want && total() + t.shape.row <= region.h);
      if (lacking.length === 0) break;
      lacking.reduce((a, b) => (b.rows / b.want < a.rows / a.want ? b : a)).rows++;
    }
    let y = region.y;
    for (const t of items) {
      const h = tableHeight(t.shape, t.rows, m);
      const x = region.x + (s === 0 ? 0 : widths[0]! + m.gapX);
      rects.set(t.key, { x, y, w: widths[s]!, h });
      y += h + m.gapY;
    }
    low = Math.max(low, y - m.gapY - region.y);
  });
  return low;
}

/** Rows of the device columns; a row is as high as its highest box, caches share what is left. */
function planDevices(d: Drawing, rows: readonly DeviceRow[], height: number, tableRows: number): number {
  const { m, plan } = d;
  const mine = groupsOf(d.slots, d.band, (g) => g.device !== null);
  const measured = rows.map((row) => {
    const groups = mine.filter((g) => g.type === row.type && g.slots.length > row.index);
    const slot = rowSlot(groups.map((g) => g.slots[row.index]!));
    const tall = (n: number): number => naturalHeight(slot, plan.deviceWidth, m, n);
    if (!row.table) return { row, groups, slot, least: tall(0), want: 0 };
    // The height must not depend on how wide the entries happen to be: two lines a row are reckoned with.
    const reckoned = (n: number): number => headHeight(slot, plan.deviceWidth, m) + m.padY + n * 2 * m.rowHeight;
    const least = Math.max(reckoned(tableRows), tall(1));
    return { row, groups, slot, least, want: Math.max(reckoned(calmRows), tall(slot.table?.rows ?? 0)) };
  });
  let spare = Math.max(0, height - measured.reduce((sum, r) => sum + r.least + m.gapY, -m.gapY));
  let left = measured.filter((r) => r.row.table).length;
  let y = 0;
  for (const r of measured) {
    let h = r.least;
    if (r.row.table) {
      const more = Math.max(0, Math.min(spare / left, r.want - h));
      h += more;
      spare -= more;
      left--;
    }
    for (const g of r.groups) {
      const column = plan.shown.indexOf(g.device!);
      if (column < 0) continue;
      const key = placeKey(g, r.row.index);
      d.measures.set(key, r.slot);
      d.rects.set(key, { x: plan.deviceX[column]!, y, w: plan.deviceWidth, h: Math.floor(h) });
    }
    y += Math.floor(h) + m.gapY;
  }
  return Math.max(0, y - m.gapY);
}
