import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import { type BandPlan, planBand } from './band.ts';
import { placeBox } from './box.ts';
import { type ColumnPlan, chooseDevices, planColumns } from './columns.ts';
import { placeFold } from './fold.ts';
import { textWidth } from './measure.ts';
import { type Candidate, candidates, type Density, type Metrics, metricsOf } from './metrics.ts';
import { bandOrder } from './place.ts';
import { arrowsOf, foldId, routingOf } from './route.ts';
import { type Cell, extendSlots, groupKey, noSlots, placeKey, type TopologySlots } from './slots.ts';
import type { BandBox, LayoutOptions, ObjectBox, Rect, TopologyLayout } from './types.ts';

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
  ({ roomy: 3, compact: 2, dense: 1 })[m.density] + (m.scale > 1.1 ? 1 : 0);
const wantedRows = 5;

interface Geometry {
  readonly m: Metrics;
  readonly plan: ColumnPlan;
  readonly bands: readonly BandPlan[];
  readonly memory: Readonly<Record<string, Cell>>;
  readonly height: number;
  readonly fits: boolean;
}

function tryGeometry(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  size: { readonly width: number; readonly height: number },
  candidate: Candidate,
): Geometry {
  const m = metricsOf(candidate.scale, candidate.density);
  const plan = planColumns(slots, shown, folded, size.width, m);
  const least = leastRows(candidate);
  const memory: Record<string, Cell> = {};
  const bands = bandOrder.map((band): BandPlan => {
    const b = planBand(slots, band, plan, m, 0, least);
    Object.assign(memory, b.cells);
    return b;
  });
  const height = bands.reduce((sum, b) => sum + b.height + m.lane + m.bandPad, 0);
  return { m, plan, bands, memory, height, fits: plan.fits && height <= size.height };
}

/** Gives the bands of a dense diagram their second lines back while there is room, after two rows for every table. */
function relax(g: Geometry, slots: TopologySlots, height: number): Geometry {
  const bands = [...g.bands];
  const m: Metrics = { ...g.m, density: 'compact' };
  const last = bands.length - 1;
  const tables = planBand(slots, bandOrder[last]!, g.plan, g.m, 0, 2).height;
  let spare = height - g.height - Math.max(0, tables - bands[last]!.height);
  for (const i of [0, 2, 1, 3]) {
    const rows = i === last ? 2 : 1;
    const b = planBand(slots, bandOrder[i]!, g.plan, m, 0, rows);
    const more = b.height - (i === last ? Math.max(tables, bands[i]!.height) : bands[i]!.height);
    if (more > spare) continue;
    spare -= more;
    bands[i] = planBand(slots, bandOrder[i]!, g.plan, m, 0, 1);
  }
  const total = bands.reduce((sum, b) => sum + b.height + g.m.lane + g.m.bandPad, 0);
  return { ...g, bands, height: total };
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
  const memory = { ...slots.cells, ...g.memory };
  const remembered = { ...slots, cells: memory };
  if (g.m.density === 'dense' && g.height < size.height) g = relax(g, remembered, size.height);
  const { m, plan } = g;

  // What the room has over goes to the tables first, then between the bands, then below the last band.
  const least = leastRows(m);
  const width = plan.width;
  let spare = Math.max(0, size.height - g.height);
  const last = bandOrder.length - 1;
  const lastWanted = planBand(remembered, bandOrder[last]!, plan, g.bands[last]!.m, 0, wantedRows).height;
  const forTables = Math.min(spare, Math.max(0, lastWanted - g.bands[last]!.height));
  spare -= forTables;
  const airy = Math.floor(Math.min(spare / (bandOrder.length * 2), 14 * m.scale));
  spare -= airy * bandOrder.length;

  const bands: BandBox[] = [];
  const plans: BandPlan[] = [];
  const rects = new Map<string, Rect>();
  let y = 0;
  bandOrder.forEach((band, i) => {
    const isLast = i === last;
    const content = g.bands[i]!.height + (isLast ? forTables + spare : 0);
    const b = isLast ? planBand(remembered, band, plan, g.bands[i]!.m, content, least) : g.bands[i]!;
    const h = m.lane + content + m.bandPad + airy;
    const top = y + m.lane + Math.floor(airy / 2);
    for (const [key, r] of b.rects) rects.set(key, { ...r, y: r.y + top });
    plans.push(b);
    bands.push(bandBox(band, { x: 0, y, w: width, h }, m));
    y += h;
  });

  const measures = new Map(plans.flatMap((b) => [...b.measures]));
  const metricsOfBand = new Map(plans.map((b) => [b.band, b.m]));
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
    if (rect)
      boxes.push(placeBox(o, measures.get(place)!, rect, metricsOfBand.get(o.band)!, options.marks?.get(o.id), gone));
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
    slots: remembered,
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
    subtitle:
      m.density !== 'roomy'
        ? null
        : { text: subtitle, x: x + w + 10 * m.scale, y, size, face: 'text', anchor: 'start' },
    lane: { x: rect.x, y: rect.y, w: rect.w, h: m.lane },
  };
}
