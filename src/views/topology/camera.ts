import type { Point, Rect } from './types.ts';

/** How a diagram is seen: a point p of it lies at (p.x * k + x, p.y * k + y) of the window. */
export interface Camera extends Point {
  readonly k: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

export const home: Camera = { x: 0, y: 0, k: 1 };

/** Larger than life that letters are shown at most. */
const mostScale = 4;

/** From the scale at which all of the diagram is seen to the largest. */
export const scalesOf = (diagram: Size, view: Size): readonly [number, number] => [
  Math.min(1, view.width / diagram.width, view.height / diagram.height),
  mostScale,
];

/** The whole diagram, no larger than it was laid out for. */
export const fitted = (diagram: Size, view: Size): Camera =>
  clamped({ x: 0, y: 0, k: scalesOf(diagram, view)[0] }, diagram, view);

/** The camera with nothing but diagram in the window; where the diagram is smaller it stands in the middle. */
export function clamped(c: Camera, diagram: Size, view: Size): Camera {
  const [least, most] = scalesOf(diagram, view);
  const k = Math.min(most, Math.max(least, c.k));
  const inside = (at: number, length: number, room: number): number =>
    length * k <= room ? (room - length * k) / 2 : Math.min(0, Math.max(room - length * k, at));
  return { k, x: inside(c.x, diagram.width, view.width), y: inside(c.y, diagram.height, view.height) };
}

/** Zooms by a factor; the point `at` of the window stays where it is. */
export function zoomed(c: Camera, factor: number, at: Point, diagram: Size, view: Size): Camera {
  const [least, most] = scalesOf(diagram, view);
  const k = Math.min(most, Math.max(least, c.k * factor));
  return clamped({ k, x: at.x - ((at.x - c.x) / c.k) * k, y: at.y - ((at.y - c.y) / c.k) * k }, diagram, view);
}

/** Moves as little as shows `r` (of the diagram) with `margin` around it; the same camera when it is in the window already. */
export function revealing(c: Camera, r: Rect, diagram: Size, view: Size, margin = 24): Camera {
  const to = (start: number, length: number, at: number, room: number): number => {
    const low = start * c.k + at;
    const high = low + length * c.k;
    if (low >= 0 && high <= room) return at;
    return low < 0 || high - low > room ? at - low + margin : at - (high - room) - margin;
  };
  const x = to(r.x, r.w, c.x, view.width);
  const y = to(r.y, r.h, c.y, view.height);
  return x === c.x && y === c.y ? c : clamped({ ...c, x, y }, diagram, view);
}
