import type { Rect, TopologyLayout } from './types.ts';

export type Direction = 'left' | 'right' | 'up' | 'down';

/** Something that the keyboard reaches: an object, a queue entry, a cache row, the fold. */
export interface Stop extends Rect {
  readonly key: string;
}

/** All stops of a layout, in reading order: band by band, from the upper left. */
export function stopsOf(layout: TopologyLayout): Stop[] {
  const out: Stop[] = [];
  for (const b of layout.boxes) {
    // Of a box with rows only the head counts, so that its rows lie below it and not inside.
    const first = b.rows[0]?.y ?? b.ring[0]?.y ?? b.y + b.h;
    out.push({ key: b.id, x: b.x, y: b.y, w: b.w, h: Math.max(1, first - b.y) });
    for (const c of b.ring)
      if (c.state !== 'free') out.push({ key: `${b.id}[${c.index}]`, x: c.x, y: c.y, w: c.w, h: c.h });
    for (const r of b.rows) out.push({ key: `${b.id}#${r.id}`, x: r.x, y: r.y, w: r.w, h: r.h });
  }
  const f = layout.fold?.boxes[0];
  if (f) out.push({ key: 'fold', x: f.x, y: f.y, w: f.w, h: f.h });
  const r = layout.refold;
  if (r) out.push({ key: 'fold', x: r.x, y: r.y - r.size, w: r.size * 6, h: r.size });
  for (const c of layout.chips) out.push({ key: `chip:${c.section}`, x: c.x, y: c.y, w: c.w, h: c.h });
  const bandAt = (s: Stop): number => layout.bands.findIndex((b) => s.y < b.y + b.h);
  return out.sort((a, b) => bandAt(a) - bandAt(b) || a.x - b.x || a.y - b.y);
}

/** The nearest stop in that direction; what lies straight ahead comes before what lies aside. Null at the edge. */
export function neighbour(stops: readonly Stop[], from: Rect, direction: Direction): Stop | null {
  const horizontal = direction === 'left' || direction === 'right';
  const sign = direction === 'right' || direction === 'down' ? 1 : -1;
  const c = { x: from.x + from.w / 2, y: from.y + from.h / 2 };
  let best: Stop | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const s of stops) {
    const ahead = horizontal
      ? sign > 0
        ? s.x - (from.x + from.w)
        : from.x - (s.x + s.w)
      : sign > 0
        ? s.y - (from.y + from.h)
        : from.y - (s.y + s.h);
    if (ahead < -0.5) continue;
    const beside = horizontal
      ? Math.max(0, s.y - (from.y + from.h), from.y - (s.y + s.h))
      : Math.max(0, s.x - (from.x + from.w), from.x - (s.x + s.w));
    const skew = horizontal ? Math.abs(s.y + s.h / 2 - c.y) : Math.abs(s.x + s.w / 2 - c.x);
    const cost = Math.max(0, ahead) + beside * 3 + skew * 0.15;
    if (cost < least) {
      least = cost;
      best = s;
    }
  }
  return best;
}

/** The next stop in reading order, or the one before it: by this every stop is reached. Null at the end. */
export function inOrder(stops: readonly Stop[], from: Stop, step: 1 | -1): Stop | null {
  return stops[stops.indexOf(from) + step] ?? null;
}
