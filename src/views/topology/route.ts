import { pathRound } from 'd3-path';
import type { Scene } from '../../engine/machine/index.ts';
import { makeRouter, type Router } from './grid.ts';
import { textWidth } from './measure.ts';
import type { Metrics } from './metrics.ts';
import type { Arrow, BandBox, Fold, ObjectBox, Point, Rect } from './types.ts';

/**
 * Ways between the places of a diagram. All places count, whether something stands there now or not, and so do all
 * references that have been seen: an arrow runs the same way all the time.
 */
export interface Routing {
  readonly key: string;
  /** What it was made from: the same objects need no key. */
  readonly source: readonly unknown[];
  /** Of references, by `<from>\n<to>`. */
  readonly links: ReadonlyMap<string, readonly Point[]>;
  readonly router: Router;
  /** Of messages, found when they are needed. */
  readonly ways: Map<string, Point[] | null>;
}

/** The last few: while only texts change, places and references are the same and nothing is searched again. */
let recent: Routing[] = [];

export const foldId = (band: string): string => `fold:${band}`;

const plain = (b: Rect): Rect => ({ x: b.x, y: b.y, w: b.w, h: b.h });

/** Routes the references `links` between `places`; a place behind the fold is the fold's box of its band. */
export function routingOf(
  places: ReadonlyMap<string, Rect>,
  links: readonly string[],
  fold: Fold | null,
  bands: readonly BandBox[],
  m: Metrics,
): Routing {
  const folds = JSON.stringify((fold?.boxes ?? []).map((f) => [f.band, plain(f)]));
  const source = [places, links, bands, folds, m.scale, m.density];
  const same = recent.find((r) => r.source.every((x, i) => x === source[i]));
  if (same) return same;
  const boxes = new Map([...places].map(([id, r]) => [id, plain(r)]));
  for (const f of fold?.boxes ?? []) boxes.set(foldId(f.band), plain(f));
  const resolve = (place: string): string => (boxes.has(place) ? place : foldId(place.split('/')[0]!));
  const wanted = new Map<string, { readonly from: string; readonly to: string }>();
  for (const link of links) {
    const [a, b] = link.split('\n') as [string, string];
    const from = resolve(a);
    const to = resolve(b);
    if (from !== to && boxes.has(from) && boxes.has(to)) wanted.set(`${from}\n${to}`, { from, to });
  }
  const key = JSON.stringify([[...boxes], [...wanted.keys()], bands.map(plain), m.scale, m.density]);
  const known = recent.find((r) => r.key === key);
  if (known) {
    const again = { ...known, source };
    recent = [again, ...recent.filter((r) => r !== known)];
    return again;
  }

  const last = bands[bands.length - 1];
  const router = makeRouter({
    obstacles: [...boxes.values()],
    bounds: { x: 0, y: 0, w: bands[0]?.w ?? 0, h: last ? last.y + last.h : 0 },
    offsetX: Math.round(m.gapX * 0.36),
    offsetY: m.gapY / 2,
    lanes: bands.flatMap((b) => [b.lane.y + b.lane.h * 0.34, b.lane.y + b.lane.h * 0.66]),
    soft: bands.map((b) => ({
      x: b.title.x - 4,
      y: b.lane.y,
      w: textWidth(b.title.text, 'title', b.title.size) * 1.2 + 8,
      h: b.lane.h,
    })),
  });
  const targets = [...new Set([...wanted.values()].map((a) => a.to))].sort();
  const distance = (a: Rect, b: Rect): number =>
    Math.abs(a.x + a.w / 2 - b.x - b.w / 2) + Math.abs(a.y + a.h / 2 - b.y - b.h / 2);
  // Short ones first: they take the straight lines, long ones go around.
  const order = [...wanted]
    .map(([id, a]) => ({ id, ...a, near: distance(boxes.get(a.from)!, boxes.get(a.to)!) }))
    .sort((a, b) => a.near - b.near || (a.id < b.id ? -1 : 1));
  const found = new Map<string, readonly Point[]>();
  for (const a of order) {
    const points = router.route(boxes.get(a.from)!, boxes.get(a.to)!, targets.indexOf(a.to) + 1, true);
    if (points) found.set(a.id, points);
  }
  const result: Routing = { key, source, links: found, router, ways: new Map() };
  recent = [result, ...recent].slice(0, 6);
  return result;
}

/**
 * Arrows of all references between visible objects; they run in the gaps and through no box.
 * @param placeOf  the place of a visible or folded object, undefined for any other id
 */
export function arrowsOf(
  scene: Scene,
  routing: Routing,
  placeOf: (id: string) => { readonly place: string; readonly id: string } | undefined,
): Arrow[] {
  const out = new Map<string, Arrow>();
  for (const o of scene.objects) {
    for (const r of o.refs) {
      const from = placeOf(o.id);
      const to = placeOf(r.to);
      if (!from || !to) continue;
      const points = routing.links.get(`${from.place}\n${to.place}`);
      const id = `${from.id}>${to.id}`;
      if (points && !out.has(id)) out.set(id, { id, from: from.id, to: to.id, label: r.label ?? '', points });
    }
  }
  return [...out.values()];
}

/** What paths must go around, by scene id or `fold:<band>`. */
export function obstaclesOf(boxes: readonly ObjectBox[], fold: Fold | null): Map<string, Rect> {
  const out = new Map<string, Rect>();
  for (const b of boxes) out.set(b.id, plain(b));
  for (const f of fold?.boxes ?? []) out.set(foldId(f.band), plain(f));
  return out;
}

/** Way of a message between two boxes: around all boxes, beside the arrows where there is room; null if there is none. */
export function messageRoute(routing: Routing, from: Rect, to: Rect): Point[] | null {
  const key = `${from.x},${from.y}>${to.x},${to.y}`;
  const known = routing.ways.get(key);
  if (known !== undefined) return known;
  const points = routing.router.route(from, to, -2, false);
  routing.ways.set(key, points);
  return points;
}

/** The corner points as an SVG path with rounded corners; a corner takes at most half of its shorter side. */
export function roundedPath(points: readonly Point[], radius: number): string {
  const [first, ...rest] = points;
  if (!first) return '';
  const path = pathRound(1);
  path.moveTo(first.x, first.y);
  rest.forEach((b, i) => {
    const a = points[i]!;
    const c = rest[i + 1];
    if (!c) path.lineTo(b.x, b.y);
    else
      path.arcTo(
        b.x,
        b.y,
        c.x,
        c.y,
        Math.min(radius, Math.hypot(b.x - a.x, b.y - a.y) / 2, Math.hypot(c.x - b.x, c.y - b.y) / 2),
      );
  });
  return path.toString();
}
