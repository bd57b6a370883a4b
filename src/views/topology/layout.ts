import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import { naturalHeight, placeBox, shapeOf } from './box.ts';
import { type ColumnPlan, chooseDevices, planColumns } from './columns.ts';
import { placeFold } from './fold.ts';
import { textWidth } from './measure.ts';
import { candidates, type Metrics, metricsOf } from './metrics.ts';
import { bandOrder, type DeviceRow, deviceRows, isTable, placeCommon } from './place.ts';
import { arrowsOf, foldId, routingOf } from './route.ts';
import { type Cell, extendSlots, groupKey, noSlots, placeKey, type SlotGroup, type TopologySlots } from './slots.ts';
import { tableHeight } from './table.ts';
import type { BandBox, LayoutOptions, ObjectBox, Rect, TopologyLayout } from './types.ts';

const bandTitles: Readonly<Record<Band, readonly [string, string]>> = {
  guest: ['GUEST', 'its own tables and queue'],
  vmm: ['VMM', 'traps, calls iommufd'],
  kernel: ['HOST KERNEL', 'iommufd objects, driver'],
  hardware: ['HARDWARE', 'the physical IOMMU and devices'],
};

/** Rows that every table has room for, whatever it holds, so that a first entry moves nothing. */
const leastRows = { compact: 2, roomy: 3 };
const wantedRows = 5;

interface BandPlan {
  readonly band: Band;
  readonly rects: Map<string, Rect>;
  readonly height: number;
}

interface Geometry {
  readonly m: Metrics;
  readonly plan: ColumnPlan;
  readonly bands: readonly BandPlan[];
  readonly memory: Readonly<Record<string, Cell>>;
  readonly height: number;
  readonly fits: boolean;
}

const groupsOf = (slots: TopologySlots, band: Band, test: (g: SlotGroup) => boolean): SlotGroup[] =>
  slots.groups.filter((g) => g.band === band && test(g));

/**
 * Places of a band's boxes relative to the band's content.
 * @param height  of the content, for the last call; 0 asks for the least height
 */
function planBand(slots: TopologySlots, band: Band, plan: ColumnPlan, m: Metrics, height: number, tableRows: number) {
  const rects = new Map<string, Rect>();
  const rows = deviceRows(slots, band);
  const tables = groupsOf(slots, band, (g) => g.device === null && isTable(g));
  const boxes = groupsOf(slots, band, (g) => g.device === null && !isTable(g));

  // Tables stand beside the band's other boxes when that leaves them wide enough, else below.
  const regionX = boxes.length > 0 ? (plan.commonX[1] ?? plan.commonX[0]!) : plan.commonX[0]!;
  const rightX = plan.commonX[plan.common - 1]! + plan.commonWidth;
  const beside =
    tables.length > 0 && tables.every((g) => g.slots.every((s) => shapeOf(s, rightX - regionX, m).kind !== 'wrapped'));
  const n = beside ? 1 : plan.common;
  const { cells, memory } = placeCommon(slots, band, n, rows.filter((r) => !r.table).length);

  let low = 0;
  for (let column = 0; column < n; column++) {
    const mine = boxes
      .flatMap((g) => g.slots.map((slot, i) => ({ slot, key: placeKey(g, i), cell: cells.get(placeKey(g, i))! })))
      .filter((p) => p.cell.column === column)
      .sort((a, b) => a.cell.row - b.cell.row);
    let y = 0;
    for (const p of mine) {
      const h = naturalHeight(p.slot, plan.commonWidth, m, 0);
      rects.set(p.key, { x: plan.commonX[column]!, y, w: plan.commonWidth, h });
      y += h + m.gapY;
    }
    low = Math.max(low, y - m.gapY);
  }

  const top = beside ? 0 : low > 0 ? low + m.gapY : 0;
  const region = { x: beside ? regionX : plan.commonX[0]!, y: top, w: 0, h: Math.max(0, height - top) };
  region.w = rightX - region.x;
  if (tables.length > 0) low = Math.max(low, top + planTables(tables, region, m, tableRows, rects));

  const deviceLow = planDevices(slots, band, rows, plan, m, height, tableRows, rects);
  return { plan: { band, rects, height: Math.max(low, deviceLow, m.titleLine) }, memory };
}

/** Stacks the common tables; gives each its rows while there is height left, the one that lacks most first. */
function planTables(groups: readonly SlotGroup[], region: Rect, m: Metrics, least: number, rects: Map<string, Rect>) {
  const all = groups.flatMap((g) => g.slots.map((slot, i) => ({ slot, key: placeKey(g, i) })));
  const half = Math.floor((region.w - m.gapX) / 2);
  const two = all.length > 1 && all.every((t) => shapeOf(t.slot, half, m).kind !== 'wrapped');
  const w = two ? half : region.w;
  const stacks = (two ? [0, 1] : [0]).map((s) => all.filter((_, i) => !two || i % 2 === s));
  let low = 0;
  stacks.forEach((stack, s) => {
    const items = stack.map((t) => {
      const shape = shapeOf(t.slot, w, m);
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
      rects.set(t.key, { x: region.x + s * (half + m.gapX), y, w, h });
      y += h + m.gapY;
    }
    low = Math.max(low, y - m.gapY - region.y);
  });
  return low;
}

function planDevices(
  slots: TopologySlots,
  band: Band,
  rows: readonly DeviceRow[],
  plan: ColumnPlan,
  m: Metrics,
  height: number,
  tableRows: number,
  rects: Map<string, Rect>,
): number {
  const mine = groupsOf(slots, band, (g) => g.device !== null);
  const tablesLeft = rows.filter((r) => r.table).length;
  let y = 0;
  let left = tablesLeft;
  for (const row of rows) {
    const places = mine
      .filter((g) => g.type === row.type && g.slots.length > row.index)
      .map((g) => ({ g, slot: g.slots[row.index]! }));
    const natural = Math.max(0, ...places.map((p) => naturalHeight(p.slot, plan.deviceWidth, m, tableRows)));
    let h = natural;
    if (row.table && height > 0) {
      // Caches share what is left of the column, but not more than their rows need.
      const share = (height - y - m.gapY * (left - 1)) / left;
      const want = Math.max(
        ...places.map((p) => naturalHeight(p.slot, plan.deviceWidth, m, Math.max(tableRows, p.slot.table?.rows ?? 0))),
      );
      h = Math.max(natural, Math.min(share, want));
      left--;
    }
    for (const p of places) {
      const column = plan.shown.indexOf(p.g.device!);
      if (column < 0) continue;
      rects.set(placeKey(p.g, row.index), { x: plan.deviceX[column]!, y, w: plan.deviceWidth, h: Math.floor(h) });
    }
    y += Math.floor(h) + m.gapY;
  }
  return Math.max(0, y - m.gapY);
}

function tryGeometry(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  size: { readonly width: number; readonly height: number },
  candidate: (typeof candidates)[number],
): Geometry {
  const m = metricsOf(candidate.scale, candidate.compact);
  const plan = planColumns(slots, shown, folded, size.width, m);
  const least = candidate.compact ? leastRows.compact : leastRows.roomy;
  const memory: Record<string, Cell> = {};
  const bands = bandOrder.map((band) => {
    const b = planBand(slots, band, plan, m, 0, least);
    Object.assign(memory, b.memory);
    return b.plan;
  });
  const height = bands.reduce((sum, b) => sum + b.height + m.lane + m.bandPad, 0);
  return { m, plan, bands, memory, height, fits: plan.fits && height <= size.height };
}

/**
 * Places a scene into four bands: Guest, VMM, Host kernel, Hardware. Each device is a column through all of them;
 * what belongs to no device stands at the left.
 * @param size  room in CSS pixels; the result is at least that wide and high, and larger only when 11 px text needs it
 */
export function layoutTopology(
  scene: Scene,
  size: { readonly width: number; readonly height: number },
  options: LayoutOptions = {},
): TopologyLayout {
  const slots = extendSlots(options.slots ?? noSlots, scene);
  const { shown, folded } = chooseDevices(slots, size.width, options.open ?? false, options.pinned ?? []);
  let g!: Geometry;
  for (const c of candidates) {
    g = tryGeometry(slots, shown, folded, size, c);
    if (g.fits) break;
  }
  const { m, plan } = g;
  const memory = { ...slots.cells, ...g.memory };

  // What the room has over goes to the tables first, then between the bands, then below the last band.
  const least = m.compact ? leastRows.compact : leastRows.roomy;
  const width = plan.width;
  let spare = Math.max(0, size.height - g.height);
  const last = bandOrder.length - 1;
  const lastWanted = planBand({ ...slots, cells: memory }, bandOrder[last]!, plan, m, 0, wantedRows).plan.height;
  const forTables = Math.min(spare, Math.max(0, lastWanted - g.bands[last]!.height));
  spare -= forTables;
  const airy = Math.floor(Math.min(spare / (bandOrder.length * 2), 14 * m.scale));
  spare -= airy * bandOrder.length;

  const bands: BandBox[] = [];
  const rects = new Map<string, Rect>();
  let y = 0;
  bandOrder.forEach((band, i) => {
    const isLast = i === last;
    const content = g.bands[i]!.height + (isLast ? forTables + spare : 0);
    const b = isLast ? planBand({ ...slots, cells: memory }, band, plan, m, content, least).plan : g.bands[i]!;
    const h = m.lane + content + m.bandPad + airy;
    const top = y + m.lane + Math.floor(airy / 2);
    for (const [key, r] of b.rects) rects.set(key, { ...r, y: r.y + top });
    bands.push(bandBox(band, { x: 0, y, w: width, h }, m));
    y += h;
  });

  const boxes: ObjectBox[] = [];
  const behind = new Map<string, Band>();
  const placeOf = new Map<string, string>();
  const placed = new Set<string>();
  const add = (o: SceneObject, gone: boolean): void => {
    const group = slots.groups.find((x) => x.key === groupKey(o));
    const index = group?.slots.findIndex((s) => s.occupant === o.id) ?? -1;
    if (!group || index < 0) return;
    const place = placeKey(group, index);
    if (placed.has(place)) return;
    placed.add(place);
    if (!gone) placeOf.set(o.id, place);
    const rect = rects.get(place);
    if (rect) boxes.push(placeBox(o, group.slots[index]!, rect, m, options.marks?.get(o.id), gone));
    else behind.set(o.id, o.band);
  };
  for (const o of scene.objects) add(o, false);
  for (const o of options.gone ?? []) add(o, true);
  const fold = placeFold(scene, folded, behind, bands, plan, m);
  const routing = routingOf(rects, slots.links, fold, bands, m);
  const arrows = arrowsOf(scene, routing, (id) => {
    const band = behind.get(id);
    if (band !== undefined) return { place: foldId(band), id: foldId(band) };
    const place = placeOf.get(id);
    return place === undefined ? undefined : { place, id };
  });
  return {
    width,
    height: y,
    scale: m.scale,
    bands,
    boxes,
    columns: shown.map((device, i) => ({ device, x: plan.deviceX[i]!, w: plan.deviceWidth })),
    fold,
    arrows,
    routing,
    slots: { ...slots, cells: memory },
  };
}

function bandBox(band: Band, rect: Rect, m: Metrics): BandBox {
  const [title, subtitle] = bandTitles[band];
  const size = Math.max(11, 10.5 * m.scale);
  const y = rect.y + m.lane * 0.5 + size * 0.36;
  const x = rect.x + m.edge;
  // Letters are spaced by 0.1 em.
  const w = textWidth(title, 'title', size) + title.length * size * 0.1;
  return {
    ...rect,
    band,
    title: { text: title, x, y, size, face: 'title', anchor: 'start' },
    subtitle: m.compact ? null : { text: subtitle, x: x + w + 10 * m.scale, y, size, face: 'text', anchor: 'start' },
    lane: { x: rect.x, y: rect.y, w: rect.w, h: m.lane },
  };
}
