import type { Band } from '../../engine/trace/index.ts';
import { type BandPlan, planBand } from './band.ts';
import { type ColumnPlan, planColumns } from './columns.ts';
import { textWidth } from './measure.ts';
import { candidates, type Density, type Metrics, metricsOf } from './metrics.ts';
import { bandOrder } from './place.ts';
import type { Cell, Slot, TopologySlots } from './slots.ts';
import type { BandBox, Rect } from './types.ts';

const bandTitles: Readonly<Record<Band, readonly [string, string]>> = {
  guest: ['GUEST', 'its own tables and queue'],
  vmm: ['VMM', 'traps, calls iommufd'],
  kernel: ['HOST KERNEL', 'iommufd objects, driver'],
  hardware: ['HARDWARE', 'the physical IOMMU and devices'],
};

/**
 * Rows that every table has room for, whatever it holds, so that a first entry moves nothing. Text grows only when more
 * rows still fit.
 */
const leastRows = (m: { readonly scale: number; readonly density: Density }): number =>
  (m.density === 'roomy' ? 3 : m.density === 'dense' ? 1 : 2) + (m.scale > 1.1 ? 1 : 0);
const wantedRows = 5;

/** Bands and places for everything that the slots remember, at one size. */
export interface Geometry {
  readonly m: Metrics;
  readonly plan: ColumnPlan;
  readonly bands: readonly BandBox[];
  readonly rects: ReadonlyMap<string, Rect>;
  readonly measures: ReadonlyMap<string, Slot>;
  readonly metrics: Readonly<Record<Band, Metrics>>;
  readonly height: number;
  /** With the cells that were chosen. */
  readonly slots: TopologySlots;
}

interface Attempt {
  readonly m: Metrics;
  readonly plan: ColumnPlan;
  readonly bands: readonly BandPlan[];
  readonly cells: Readonly<Record<string, Cell>>;
  readonly height: number;
}

const known = new WeakMap<TopologySlots, Map<string, Geometry>>();

/** The geometry of those devices at that size; the same object while slots and size are the same. */
export function geometryOf(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  size: { readonly width: number; readonly height: number },
): Geometry {
  let mine = known.get(slots);
  if (!mine) known.set(slots, (mine = new Map()));
  const key = JSON.stringify([size.width, size.height, shown]);
  let g = mine.get(key);
  if (!g) {
    mine.set(key, (g = findGeometry(slots, shown, folded, size)));
    // What was chosen is what the next call starts from.
    if (g.slots !== slots) known.set(g.slots, new Map([[key, g]]));
  }
  return g;
}

function attempt(slots: TopologySlots, plan: ColumnPlan, m: Metrics): Attempt {
  const cells: Record<string, Cell> = {};
  const bands = bandOrder.map((band): BandPlan => {
    const b = planBand(slots, band, plan, m, 0, leastRows(m));
    Object.assign(cells, b.cells);
    return b;
  });
  return { m, plan, bands, cells, height: total(bands, m) };
}

const total = (bands: readonly BandPlan[], m: Metrics): number =>
  bands.reduce((sum, b) => sum + b.height + m.lane + m.bandPad, 0);

function firstThatFits(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  size: { readonly width: number; readonly height: number },
): Attempt {
  const last = candidates[candidates.length - 1]!;
  for (const c of candidates) {
    const m = metricsOf(c.scale, c.density);
    const plan = planColumns(slots, shown, folded, size.width, m);
    if (!plan.fits && c !== last) continue;
    const a = attempt(slots, plan, m);
    if (a.height <= size.height || c === last) return a;
  }
  throw new Error('no candidate');
}

interface Setting {
  readonly density: Density;
  readonly flat: boolean;
  /** Rows of every table at least. */
  readonly rows: number;
}

/** What a dense diagram gets back while there is room, most useful first: which band, and what of its setting. */
const relief: readonly { readonly band: Band; readonly set: Partial<Setting> }[] = [
  { band: 'hardware', set: { rows: 2 } },
  { band: 'kernel', set: { density: 'short' } },
  { band: 'hardware', set: { flat: false } },
  { band: 'guest', set: { density: 'short' } },
  { band: 'vmm', set: { density: 'short' } },
  { band: 'hardware', set: { density: 'short' } },
  { band: 'hardware', set: { rows: 3 } },
  { band: 'kernel', set: { density: 'compact' } },
  { band: 'guest', set: { density: 'compact' } },
  { band: 'vmm', set: { density: 'compact' } },
  { band: 'hardware', set: { density: 'compact' } },
];

/** The dense diagram with as much relief as the height allows. */
function relax(a: Attempt, slots: TopologySlots, height: number): Attempt {
  const settings = bandOrder.map((): Setting => ({ density: 'dense', flat: true, rows: leastRows(a.m) }));
  const bands = [...a.bands];
  for (const r of relief) {
    const i = bandOrder.indexOf(r.band);
    const setting = { ...settings[i]!, ...r.set };
    const m: Metrics = { ...a.m, density: setting.density, flat: setting.flat };
    const band = planBand(slots, r.band, a.plan, m, 0, setting.rows);
    if (total(bands, a.m) - bands[i]!.height + band.height > height) {
      // What is left is not enough for a second row everywhere: it goes to the tables that have most entries.
      if (r === relief[0]) break;
      continue;
    }
    settings[i] = setting;
    bands[i] = band;
  }
  return { ...a, bands, height: total(bands, a.m) };
}

function findGeometry(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  size: { readonly width: number; readonly height: number },
): Geometry {
  let a = firstThatFits(slots, shown, folded, size);
  const remembered = Object.keys(a.cells).length === 0 ? slots : { ...slots, cells: { ...slots.cells, ...a.cells } };
  if (a.m.density === 'dense' && a.height < size.height) a = relax(a, remembered, size.height);
  const { m, plan } = a;

  // What the room has over goes to the tables first, then between the bands, then below the last band.
  const last = bandOrder.length - 1;
  const end = a.bands[last]!;
  let spare = Math.max(0, size.height - a.height);
  const wanted = planBand(remembered, bandOrder[last]!, plan, end.m, 0, wantedRows).height;
  const forTables = Math.min(spare, Math.max(0, wanted - end.height));
  spare -= forTables;
  const airy = Math.floor(Math.min(spare / (bandOrder.length * 2), 14 * m.scale));
  spare -= airy * bandOrder.length;

  const bands: BandBox[] = [];
  const rects = new Map<string, Rect>();
  const measures = new Map<string, Slot>();
  let y = 0;
  bandOrder.forEach((band, i) => {
    const content = a.bands[i]!.height + (i === last ? forTables + spare : 0);
    const b = i === last ? planBand(remembered, band, plan, end.m, content, end.rows) : a.bands[i]!;
    const h = m.lane + content + m.bandPad + airy;
    const top = y + m.lane + Math.floor(airy / 2);
    for (const [key, r] of b.rects) rects.set(key, { ...r, y: r.y + top });
    for (const [key, s] of b.measures) measures.set(key, s);
    bands.push(bandBox(band, { x: 0, y, w: plan.width, h }, m));
    y += h;
  });
  const [guest, vmm, kernel, hardware] = a.bands.map((b) => b.m) as [Metrics, Metrics, Metrics, Metrics];
  return { m, plan, bands, rects, measures, metrics: { guest, vmm, kernel, hardware }, height: y, slots: remembered };
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
    subtitle:
      m.density !== 'roomy'
        ? null
        : { text: subtitle, x: x + w + 10 * m.scale, y, size, face: 'text', anchor: 'start' },
    lane: { x: rect.x, y: rect.y, w: rect.w, h: m.lane },
  };
}
