import type { TraceEvent } from '../../engine/trace/index.ts';
import { bandOf } from '../../engine/trace/index.ts';
import { eventText } from '../trace/text.ts';
import {
  bestPlace,
  crosses,
  cutRuns,
  Ground,
  type Label,
  labelSize,
  lattice,
  type Occupied,
  overlap,
  pathLength,
  placeLabel,
  pointAt,
} from './label.ts';
import { type Hop, hopsOf, messageRuns, type Tone, toneOf } from './message.ts';
import { foldId, messageRoute, obstaclesOf } from './route.ts';
import type { ObjectBox, Point, Rect, TopologyLayout } from './types.ts';

/** A message on its way between two objects. */
export interface Flight {
  /** Changes with the event, so that an animation starts anew. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly tone: Tone;
  readonly points: readonly Point[];
  readonly label: Label | null;
}

/** An earlier message of the step. */
export interface Trail {
  readonly id: string;
  readonly tone: Tone;
  readonly points: readonly Point[];
  readonly label: Label | null;
}

/** What is said of the current event where no message flies, or what was rewritten. */
export interface Note {
  readonly id: string;
  readonly tone: Tone;
  readonly label: Label;
  /** From the object to the note; empty when it stands right beside it. */
  readonly connector: readonly Point[];
  readonly rewrite: boolean;
}

export interface BoxMark {
  readonly tone: Tone;
  /** `now`: the current event is here; `passed`: an earlier message of the step was. */
  readonly when: 'now' | 'passed';
}

export interface Motion {
  readonly flight: Flight | null;
  readonly note: Note | null;
  readonly trail: readonly Trail[];
  readonly marks: ReadonlyMap<string, BoxMark>;
  /** Queue entry that the current event writes or reads. */
  readonly slot: { readonly id: string; readonly index: number } | null;
  /** Cache row that the current event touches. */
  readonly row: { readonly id: string; readonly row: number } | null;
  /** Where the current event is; null when that is not in the picture. */
  readonly target: Rect | null;
  /** The current event in one line, for screen readers. */
  readonly caption: string;
}

const noMotion: Motion = {
  flight: null,
  note: null,
  trail: [],
  marks: new Map(),
  slot: null,
  row: null,
  target: null,
  caption: '',
};

const trailLength = 9;
/** Events after which a message is no longer shown; a step of that length still shows its whole way. */
const trailAge = 48;
const trailLabels = 5;

/**
 * What moves, and what the step has left to see: the current message, the trail of earlier ones, and which boxes, rows
 * and queue entries they touch.
 * @param index  the current event; what it did is already in the layout's scene
 */
export function motionOf(layout: TopologyLayout, events: readonly TraceEvent[], index: number): Motion {
  const e = events[index];
  if (!e) return noMotion;
  const places = placesOf(layout);
  const resolve = (id: string): string | null => {
    if (places.has(id)) return id;
    const band = layout.fold?.ids.get(id);
    return band !== undefined && places.has(foldId(band)) ? foldId(band) : null;
  };
  const bandIds = new Map(layout.boxes.map((b) => [b.id, b.band]));
  const hops = hopsOf(events, index, (id) => bandIds.get(id) ?? layout.fold?.ids.get(id));
  const scale = layout.scale;
  const bounds = { x: 0, y: 0, w: layout.width, h: layout.height };
  const ground = groundOf(layout);
  const labels: Occupied[] = [];
  const widest = Math.min(350 * scale, layout.width * 0.55);

  const pathOf = (hop: Hop): Point[] | null => {
    const from = resolve(hop.from);
    const to = resolve(hop.to);
    if (from === null || to === null || from === to) return null;
    return messageRoute(layout.routing, places.get(from)!, places.get(to)!);
  };
  const labelOn = (
    points: readonly Point[],
    ev: TraceEvent,
    ends: readonly string[],
    free: boolean,
    width: number,
  ): { label: Label; covers: number } => {
    const lines = messageRuns(ev)
      .slice(0, 1)
      .map((l) => cutRuns(l, width, scale));
    const size = labelSize(lines, scale);
    const others = [...labels, ...layout.boxes.filter((b) => ends.includes(b.id)).flatMap(coverage)];
    const candidates = [...alongPath(points, size), ...(free ? lattice(around(points, size), size) : [])];
    const place = bestPlace(size, candidates, ground, others, bounds, pointAt(points, 0.5));
    return { label: placeLabel(lines, place.at, scale, eventText(ev)), covers: place.covers };
  };

  // Earlier messages, each way once: the latest text counts.
  const earlier = new Map<string, number>();
  for (let i = Math.max(0, index - trailAge); i < index; i++) {
    const hop = hops[i];
    if (!hop?.lasting) continue;
    const key = `${resolve(hop.from)}>${resolve(hop.to)}`;
    earlier.delete(key);
    earlier.set(key, i);
  }
  const current = hops[index] ?? null;
  if (current) earlier.delete(`${resolve(current.from)}>${resolve(current.to)}`);
  const kept = [...earlier.values()].slice(-trailLength);
  const marks = new Map<string, BoxMark>();
  const trail: Trail[] = [];
  kept.forEach((i, k) => {
    const hop = hops[i]!;
    const points = pathOf(hop);
    const ev = events[i]!;
    const tone = toneOf(ev);
    for (const id of [hop.from, hop.to]) {
      const r = resolve(id);
      if (r !== null) marks.set(r, { tone: marks.get(r)?.tone ?? tone, when: 'passed' });
    }
    if (!points) return;
    let label: Label | null = null;
    if (k >= kept.length - trailLabels && ev.kind !== 'ioctl.exit') {
      // An old message's text is worth less than what it would cover; it is rather cut, or left out.
      const l = [widest, widest * 0.6]
        .map((w) => labelOn(points, ev, [hop.from, hop.to], false, w))
        .find((x) => x.covers < x.label.w * x.label.h * 0.08);
      if (l) {
        label = l.label;
        labels.push({ rect: l.label, weight: 6 });
      }
    }
    trail.push({ id: `${i}`, tone, points, label });
  });

  const tone = toneOf(e);
  const at = resolve(e.at);
  const target = current ? resolve(current.to) : at;
  let flight: Flight | null = null;
  const points = current ? pathOf(current) : null;
  if (current && points) {
    const { label } = labelOn(points, e, [current.from, current.to], true, widest);
    const isRewrite = e.kind === 'record.rewrite' || e.kind === 'command.rewrite';
    flight = { id: `${index}`, from: current.from, to: current.to, tone, points, label: isRewrite ? null : label };
    if (flight.label) labels.push({ rect: flight.label, weight: 6 });
    const from = resolve(current.from)!;
    marks.set(from, { tone, when: 'passed' });
  }
  if (target !== null) marks.set(target, { tone, when: 'now' });

  const rewrite = e.kind === 'command.rewrite' || e.kind === 'record.rewrite';
  const quiet = e.kind === 'cache.fill' || e.kind === 'cache.hit' || e.kind === 'cache.remove';
  let note: Note | null = null;
  if (rewrite || (!flight && !quiet)) {
    const lines = messageRuns(e).map((l) => cutRuns(l, widest, scale));
    const size = labelSize(lines, scale);
    const band = layout.bands.find((b) => b.band === bandOf[e.actor]) ?? layout.bands[0]!;
    const box: Rect = (at !== null ? places.get(at) : undefined) ?? titleRect(band.title);
    const candidates = [...aroundBox(box, size), ...lattice(reach(box, band, bounds), size)];
    const others = layout.boxes.filter((b) => b.id !== at);
    const through = (rect: Rect): number => {
      const [a, b] = connect(box, rect);
      return a && b ? 900 * others.filter((o) => crosses(a, b, o)).length : 0;
    };
    const centre = { x: box.x + box.w / 2, y: box.y + box.h / 2 };
    const place = bestPlace(size, candidates, ground, [...labels, { rect: box, weight: 4 }], bounds, centre, through);
    const label = placeLabel(lines, place.at, scale, eventText(e));
    note = { id: `${index}`, tone, label, connector: flight ? [] : connect(box, label), rewrite };
  }
  const slot =
    e.kind === 'command.post' || e.kind === 'command.fetch' || e.kind === 'command.error'
      ? { id: e.at, index: e.index }
      : null;
  return {
    flight,
    note,
    trail,
    marks,
    slot,
    row: quiet ? { id: e.at, row: e.entry.id } : null,
    target: (target !== null ? places.get(target) : undefined) ?? null,
    caption: eventText(e),
  };
}

/** The parts of a box that hold something weigh more than its empty ground. */
function coverage(b: ObjectBox): Occupied[] {
  if (!b.cache) return [{ rect: b, weight: 1.3 }];
  const last = b.rows[b.rows.length - 1];
  const end = Math.max(last ? last.y + last.h : 0, b.more ? b.more.y + 3 : 0, b.title.y + 4);
  return [
    { rect: { ...b, h: end - b.y }, weight: 2 },
    { rect: { ...b, y: end, h: b.y + b.h - end }, weight: 0.15 },
  ];
}

const grounds = new WeakMap<readonly ObjectBox[], Ground>();

/** Everything that a label should not cover: what holds texts, and the titles of the bands most of all. */
function groundOf(layout: TopologyLayout): Ground {
  let ground = grounds.get(layout.boxes);
  if (!ground)
    grounds.set(
      layout.boxes,
      (ground = new Ground([
        ...layout.boxes.flatMap(coverage),
        ...layout.bands.map((b) => ({ rect: titleRect(b.title), weight: 8 })),
        ...layout.chips.map((rect) => ({ rect, weight: 3 })),
      ])),
    );
  return ground;
}

const known = new WeakMap<TopologyLayout, Map<string, Rect>>();

function placesOf(layout: TopologyLayout): Map<string, Rect> {
  let places = known.get(layout);
  if (!places) known.set(layout, (places = obstaclesOf(layout.boxes, layout.fold)));
  return places;
}

const titleRect = (t: {
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly size: number;
}): Rect => ({
  x: t.x,
  y: t.y - t.size,
  w: t.text.length * t.size * 0.82,
  h: t.size * 1.3,
});

/** The surroundings of a path, where its label may stand when there is no room on it. */
function around(points: readonly Point[], size: { readonly w: number; readonly h: number }): Rect {
  const xs = points.map((p) => p.x);
  const ys = points.map((p) => p.y);
  const x = Math.min(...xs) - size.w - 20;
  const y = Math.min(...ys) - 60;
  return { x, y, w: Math.max(...xs) + size.w + 20 - x, h: Math.max(...ys) + 60 - y };
}

/** Corners at which a label of that size lies on the path. */
function alongPath(points: readonly Point[], size: { readonly w: number; readonly h: number }): Point[] {
  const total = pathLength(points);
  const out: Point[] = [];
  // A long way is looked at more coarsely.
  const n = Math.max(2, Math.ceil(total / Math.max(6, total / 120)));
  for (let i = 1; i < n; i++) {
    const p = pointAt(points, i / n);
    const y = p.y - size.h / 2;
    for (const f of [0.5, 0.2, 0.8, 0.02, 0.98]) out.push({ x: p.x - size.w * f, y });
  }
  return out;
}

function aroundBox(b: Rect, size: { readonly w: number; readonly h: number }): Point[] {
  const gap = 6;
  return [
    { x: b.x, y: b.y + b.h + gap },
    { x: b.x + b.w - size.w, y: b.y + b.h + gap },
    { x: b.x, y: b.y - size.h - gap },
    { x: b.x + b.w - size.w, y: b.y - size.h - gap },
    { x: b.x + b.w + gap, y: b.y },
    { x: b.x - size.w - gap, y: b.y },
  ];
}

/** The band and the lane below it, not further than a glance from the box. */
function reach(box: Rect, band: Rect, bounds: Rect): Rect {
  const x = Math.max(bounds.x, box.x - 420);
  const y = Math.max(bounds.y, band.y);
  return {
    x,
    y,
    w: Math.min(bounds.x + bounds.w, box.x + box.w + 420) - x,
    h: Math.min(bounds.y + bounds.h, band.y + band.h + 20) - y,
  };
}

/** The shortest line from box to label; none when they touch or nearly do. */
function connect(box: Rect, label: Rect): Point[] {
  const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));
  const grown = { x: box.x - 8, y: box.y - 8, w: box.w + 16, h: box.h + 16 };
  if (overlap(grown, label) > 0) return [];
  const c = { x: label.x + label.w / 2, y: label.y + label.h / 2 };
  const a = { x: clamp(c.x, box.x, box.x + box.w), y: clamp(c.y, box.y, box.y + box.h) };
  const b = { x: clamp(a.x, label.x + 6, label.x + label.w - 6), y: clamp(a.y, label.y, label.y + label.h) };
  return [a, b];
}

/** Where the moving message is: its dot, and how far its text is from where it will rest. */
export function flightAt(flight: Flight, progress: number): { readonly dot: Point; readonly label: Point } {
  // Slow at both ends, so that start and arrival are seen.
  const p = Math.min(1, Math.max(0, progress));
  const eased = p < 0.5 ? 2 * p * p : 1 - (2 - 2 * p) ** 2 / 2;
  const dot = pointAt(flight.points, eased);
  if (!flight.label) return { dot, label: { x: 0, y: 0 } };
  const l = flight.label;
  const rest = { x: l.x + l.w / 2, y: l.y + l.h / 2 };
  const start = flight.points[0] ?? rest;
  // The text rides along from the sender and stays behind at its place, where it covers nothing.
  const left = Math.max(0, 1 - eased / 0.5);
  if (left === 0) return { dot, label: { x: 0, y: 0 } };
  return { dot, label: { x: (start.x - rest.x) * left, y: (start.y - rest.y) * left } };
}

/** What moves at one moment: `motionOf` and where its message is. */
export function motionAt(
  layout: TopologyLayout,
  events: readonly TraceEvent[],
  index: number,
  progress: number,
): Motion & { readonly moving: ReturnType<typeof flightAt> | null } {
  const motion = motionOf(layout, events, index);
  return { ...motion, moving: motion.flight ? flightAt(motion.flight, progress) : null };
}
