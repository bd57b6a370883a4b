import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import { placeBox } from './box.ts';
import { placeChips } from './chips.ts';
import { chooseDevices } from './columns.ts';
import { placeFold } from './fold.ts';
import { geometryOf } from './geometry.ts';
import { textWidth } from './measure.ts';
import type { Metrics } from './metrics.ts';
import { arrowsOf, foldId, routingOf } from './route.ts';
import { extendSlots, groupKey, noSlots, placeKey, type Slot, type TopologySlots } from './slots.ts';
import type { BandBox, LayoutOptions, ObjectBox, PlacedText, Rect, RowMarks, TopologyLayout } from './types.ts';

/** All that decides how a box looks. */
interface Made {
  readonly o: SceneObject;
  readonly slot: Slot;
  readonly rect: Rect;
  readonly m: Metrics;
  readonly marks: RowMarks | undefined;
  readonly gone: boolean;
}

const madeFrom = new WeakMap<ObjectBox, Made>();

const sameList = <T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean = (x, y) => x === y): boolean =>
  a === b || (a.length === b.length && a.every((x, i) => same(x, b[i]!)));

/** Whether two scene objects are drawn alike; references are arrows, not part of the box. */
function sameObject(a: SceneObject, b: SceneObject): boolean {
  if (a === b) return true;
  if (a.title !== b.title || a.band !== b.band || a.type !== b.type || a.device !== b.device) return false;
  if (a.listed !== b.listed || !sameList(a.lines, b.lines)) return false;
  const { queue: q, cache: c } = a;
  if (!q !== !b.queue || !c !== !b.cache) return false;
  if (q && b.queue) {
    if (q.size !== b.queue.size || q.prod !== b.queue.prod || q.cons !== b.queue.cons) return false;
    const same = (x: (typeof q.slots)[number], y: (typeof q.slots)[number]): boolean =>
      x.index === y.index && x.state === y.state && x.text === y.text;
    if (!sameList(q.slots, b.queue.slots, same)) return false;
  }
  return !c || !b.cache || (sameList(c.columns, b.cache.columns) && sameList(c.rows, b.cache.rows));
}

const sameMaking = (a: Made | undefined, b: Made): boolean =>
  a !== undefined &&
  a.slot === b.slot &&
  a.rect === b.rect &&
  a.m === b.m &&
  a.gone === b.gone &&
  a.marks === b.marks &&
  sameObject(a.o, b.o);

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
  const slots = extendSlots(options.slots ?? noSlots, scene, options.marks);
  const { shown, folded } = chooseDevices(slots, size.width, options.open ?? false, options.pinned ?? []);
  const g = geometryOf(slots, shown, folded, size);
  const { m, plan } = g;
  const groups = new Map(slots.groups.map((x) => [x.key, x]));
  const boxes: ObjectBox[] = [];
  const behind = new Map<string, Band>();
  const placeOf = new Map<string, string>();
  const placed = new Set<string>();
  const before = new Map(options.before?.boxes.map((b) => [b.id, b]));
  const box = (o: SceneObject, slot: Slot, rect: Rect, m: Metrics, gone: boolean): ObjectBox => {
    const made: Made = { o, slot, rect, m, marks: options.marks?.get(o.id), gone };
    const known = before.get(o.id);
    if (known && sameMaking(madeFrom.get(known), made)) return known;
    const b = placeBox(o, slot, rect, m, made.marks, gone);
    madeFrom.set(b, made);
    return b;
  };
  const add = (o: SceneObject, gone: boolean): void => {
    const group = groups.get(groupKey(slots, o));
    const index = group?.slots.findIndex((s) => s.occupant === o.id) ?? -1;
    if (!group || index < 0) return;
    const place = placeKey(group, index);
    if (placed.has(place)) return;
    placed.add(place);
    if (!gone) placeOf.set(o.id, place);
    const rect = g.rects.get(place);
    if (rect) boxes.push(box(o, g.measures.get(place)!, rect, g.metrics[o.band], gone));
    else behind.set(o.id, o.band);
  };
  for (const o of scene.objects) add(o, false);
  for (const o of options.gone ?? []) add(o, true);
  const refold = options.open && wouldFold(slots, size.width) ? refoldText(g.bands[0]!, m.scale) : null;
  const fold = placeFold(scene, folded, behind, g.bands, plan, m);
  const routing = routingOf(g.rects, slots.links, fold, g.bands, m);
  const arrows = arrowsOf(scene, routing, (id) => {
    const band = behind.get(id);
    if (band !== undefined) return { place: foldId(band), id: foldId(band) };
    const place = placeOf.get(id);
    return place === undefined ? undefined : { place, id };
  });
  return {
    width: plan.width,
    height: g.height,
    scale: m.scale,
    bands: g.bands,
    boxes,
    columns: shown.map((device, i) => ({ device, x: plan.deviceX[i]!, w: plan.deviceWidth })),
    fold,
    refold,
    chips: placeChips(options.sections ?? [], g.bands, refold, m.scale),
    arrows,
    routing,
    slots: g.slots,
  };
}

const wouldFold = (slots: TopologySlots, width: number): boolean =>
  chooseDevices(slots, width, false, []).folded.length > 0;

function refoldText(band: BandBox, scale: number): PlacedText {
  const { title } = band;
  const x = title.x + textWidth(title.text, 'title', title.size) * 1.2 + 14 * scale;
  return { text: 'Fold devices', x, y: title.y, size: 11 * scale, face: 'text', anchor: 'start' };
}
