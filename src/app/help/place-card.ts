export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const gap = 10;
const fits = (a: Box, w: number, h: number): boolean =>
  a.left >= 0 && a.top >= 0 && a.left + a.width <= w && a.top + a.height <= h;

export const covers = (a: Box, b: Box): boolean =>
  a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;

/**
 * Where a card of a size stands beside what it is about, in CSS pixels of the window: it covers it nowhere if any side has
 * room, and else as little as it can, in the corner at the lower left of the window.
 */
export function placeCard(target: Box, width: number, height: number, windowWidth: number, windowHeight: number): Box {
  const clampX = (x: number): number => Math.max(gap, Math.min(x, windowWidth - width - gap));
  const clampY = (y: number): number => Math.max(gap, Math.min(y, windowHeight - height - gap));
  const middleX = clampX(target.left + (target.width - width) / 2);
  const middleY = clampY(target.top + (target.height - height) / 2);
  const at = (left: number, top: number): Box => ({ left, top, width, height });
  const sides = [
    at(middleX, target.top - height - gap),
    at(middleX, target.top + target.height + gap),
    at(target.left - width - gap, middleY),
    at(target.left + target.width + gap, middleY),
  ];
  const free = sides.find((s) => fits(s, windowWidth, windowHeight) && !covers(s, target));
  return free ?? at(gap, windowHeight - height - gap);
}
