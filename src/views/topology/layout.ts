import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import { placeBox } from './box.ts';
import { placeChips } from './chips.ts';
import { chooseDevices } from './columns.ts';
import { placeFold } from './fold.ts';
import { geometryOf } from './geometry.ts';
import { textWidth } from './measure.ts';
import { arrowsOf, foldId, routingOf } from './route.ts';
import { extendSlots, groupKey, noSlots, placeKey, type TopologySlots } from './slots.ts';
import type { BandBox, LayoutOptions, ObjectBox, PlacedText, TopologyLayout } from './types.ts';

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
  const add = (o: SceneObject, gone: boolean): void => {
    const group = groups.get(groupKey(slots, o));
    const index = group?.slots.findIndex((s) => s.occupant === o.id) ?? -1;
    if (!group || index < 0) return;
    const place = placeKey(group, index);
    if (placed.has(place)) return;
    placed.add(place);
    if (!gone) placeOf.set(o.id, place);
    const rect = g.rects.get(place);
    if (rect) boxes.push(placeBox(o, g.measures.get(place)!, rect, g.metrics[o.band], options.marks?.get(o.id), gone));
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
