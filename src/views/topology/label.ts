import { fitLine, fitText, textWidth } from './measure.ts';
import type { Point, Rect } from './types.ts';

/** A piece of a message's text; what was rewritten is `changed`. */
export interface Run {
  readonly text: string;
  readonly tone: 'plain' | 'changed' | 'faint';
  /** Cut at its end, not in its middle: what it is and whom it is for come first. */
  readonly fromEnd?: true;
}

export interface PlacedRun extends Run, Point {
  readonly size: number;
}

/** A text that belongs to a message, on a ground of its own. */
export interface Label extends Rect {
  readonly lines: readonly (readonly PlacedRun[])[];
  /** The whole text, uncut. */
  readonly full: string;
}

const padX = 7;

/** Size of the label of these lines at that scale. */
export function labelSize(lines: readonly (readonly Run[])[], scale: number): { w: number; h: number } {
  const size = 11 * scale;
  const widths = lines.map((l) => l.reduce((sum, r) => sum + textWidth(r.text, 'mono', size), 0));
  return { w: Math.ceil(Math.max(...widths)) + 2 * padX, h: Math.round(lines.length * 14 * scale + 4) };
}

/** Cuts what is longer than `width`, the last run first. */
export function cutRuns(runs: readonly Run[], width: number, scale: number): Run[] {
  const size = 11 * scale;
  let left = width - 2 * padX;
  const out: Run[] = [];
  for (const r of runs) {
    const text = (r.fromEnd ? fitLine : fitText)(r.text, 'mono', size, left);
    if (text === '') break;
    out.push({ ...r, text });
    left -= textWidth(text, 'mono', size);
    if (text !== r.text) break;
  }
  return out;
}

export function placeLabel(lines: readonly (readonly Run[])[], at: Point, scale: number, full: string): Label {
  const size = 11 * scale;
  const { w, h } = labelSize(lines, scale);
  const placed = lines.map((runs, k) => {
    let x = at.x + padX;
    const y = at.y + 2 + 14 * scale * k + 10.4 * scale;
    return runs.map((r): PlacedRun => {
      const p = { ...r, x, y, size };
      x += textWidth(r.text, 'mono', size);
      return p;
    });
  });
  return { x: at.x, y: at.y, w, h, lines: placed, full };
}

export function overlap(a: Rect, b: Rect): number {
  const w = Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x);
  if (w <= 0) return 0;
  const h = Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y);
  return h <= 0 ? 0 : w * h;
}

/** What a label should not cover, and how much it matters. */
export interface Occupied {
  readonly rect: Rect;
  readonly weight: number;
}

/** Occupied places by where they are: a label looks only at those near it. */
export class Ground {
  private readonly cells = new Map<number, Occupied[]>();
  private readonly asked = new Map<Occupied, number>();
  private turn = 0;

  constructor(places: readonly Occupied[]) {
    for (const p of places) this.each(p.rect, (cell) => this.put(cell, p));
  }

  private put(cell: number, p: Occupied): void {
    const list = this.cells.get(cell);
    if (list) list.push(p);
    else this.cells.set(cell, [p]);
  }

  private each(r: Rect, f: (cell: number) => void): void {
    const side = 96;
    for (let y = Math.floor(r.y / side); y <= Math.floor((r.y + r.h) / side); y++)
      for (let x = Math.floor(r.x / side); x <= Math.floor((r.x + r.w) / side); x++) f(y * 4096 + x);
  }

  /** What lies in the cells that a rectangle touches, each once. */
  near(r: Rect): Occupied[] {
    this.turn++;
    const out: Occupied[] = [];
    this.each(r, (cell) => {
      for (const p of this.cells.get(cell) ?? []) {
        if (this.asked.get(p) === this.turn) continue;
        this.asked.set(p, this.turn);
        out.push(p);
      }
    });
    return out;
  }
}

/**
 * The best place for a label of that size: covers least, then lies nearest to `near`.
 * @param ground  what stands there, `others` what has been placed besides
 * @param extra  further cost of a place
 * @param candidates  upper left corners to try, in order of preference
 */
export function bestPlace(
  size: { readonly w: number; readonly h: number },
  candidates: readonly Point[],
  ground: Ground,
  others: readonly Occupied[],
  bounds: Rect,
  near: Point,
  extra: (rect: Rect) => number = () => 0,
): { at: Point; covers: number } {
  let best: Point = { x: bounds.x, y: bounds.y };
  let least = Number.POSITIVE_INFINITY;
  let covers = 0;
  for (const c of candidates) {
    const x = Math.min(Math.max(c.x, bounds.x + 6), bounds.x + bounds.w - size.w - 4);
    const y = Math.min(Math.max(c.y, bounds.y + 2), bounds.y + bounds.h - size.h - 2);
    const distance = Math.hypot(x + size.w / 2 - near.x, (y + size.h / 2 - near.y) * 1.5);
    // Many places are tried for each event: one that is no better already is not looked at further.
    const most = least - distance * 3;
    if (most <= 0) continue;
    const rect = { x, y, w: size.w, h: size.h };
    let over = 0;
    for (let i = 0; i < others.length && over < most; i++) over += overlap(rect, others[i]!.rect) * others[i]!.weight;
    if (over >= most) continue;
    for (const o of ground.near(rect)) over += overlap(rect, o.rect) * o.weight;
    if (over >= most) continue;
    const cost = over + distance * 3 + extra(rect);
    if (cost < least) {
      least = cost;
      best = { x, y };
      covers = over;
    }
  }
  return { at: best, covers };
}

/** Does the straight line from `a` to `b` run through the box? */
export function crosses(a: Point, b: Point, r: Rect): boolean {
  let from = 0;
  let to = 1;
  for (const [start, delta, low, high] of [
    [a.x, b.x - a.x, r.x, r.x + r.w],
    [a.y, b.y - a.y, r.y, r.y + r.h],
  ] as const) {
    if (delta === 0) {
      if (start <= low || start >= high) return false;
      continue;
    }
    const t = [(low - start) / delta, (high - start) / delta];
    from = Math.max(from, Math.min(...t));
    to = Math.min(to, Math.max(...t));
  }
  return from < to;
}

/** Corners of a lattice over `area`, for a label that may stand anywhere in it. */
export function lattice(area: Rect, size: { readonly w: number; readonly h: number }): Point[] {
  const out: Point[] = [];
  for (let y = area.y; y <= area.y + area.h - size.h; y += 4)
    for (let x = area.x; x <= area.x + area.w - size.w; x += 12) out.push({ x, y });
  return out;
}

/** Length of a path of straight pieces. */
export const pathLength = (points: readonly Point[]): number =>
  points.reduce((sum, p, i) => (i === 0 ? 0 : sum + Math.hypot(p.x - points[i - 1]!.x, p.y - points[i - 1]!.y)), 0);

/** The point at `fraction` (0..1) of the path's length. */
export function pointAt(points: readonly Point[], fraction: number): Point {
  let left = pathLength(points) * Math.min(1, Math.max(0, fraction));
  for (let i = 1; i < points.length; i++) {
    const a = points[i - 1]!;
    const b = points[i]!;
    const l = Math.hypot(b.x - a.x, b.y - a.y);
    if (left <= l || i === points.length - 1) {
      const t = l === 0 ? 0 : Math.min(1, left / l);
      return { x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t };
    }
    left -= l;
  }
  return points[0] ?? { x: 0, y: 0 };
}
