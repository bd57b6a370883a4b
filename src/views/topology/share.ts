import type { Arrow, TopologyLayout } from './types.ts';

const text = new WeakMap<object, string>();

function textOf(x: object): string {
  let t = text.get(x);
  if (t === undefined) text.set(x, (t = JSON.stringify(x)));
  return t;
}

/** `next`, or the object of `before` with the same content, so that drawings compare by identity. */
function same<T extends object>(before: T | undefined, next: T): T {
  return before && (before === next || textOf(before) === textOf(next)) ? before : next;
}

/** Arrows keep their points while nothing is routed anew, so they are told by identity. */
const sameArrows = (a: readonly Arrow[], b: readonly Arrow[]): boolean =>
  a.length === b.length && a.every((x, i) => x.id === b[i]!.id && x.label === b[i]!.label && x.points === b[i]!.points);

/** The new layout, built from the parts of the one before wherever nothing has changed. */
export function shareLayout(before: TopologyLayout | null, next: TopologyLayout): TopologyLayout {
  if (!before) return next;
  const boxes = new Map(before.boxes.map((b) => [b.id, b]));
  return {
    ...next,
    bands: same(before.bands, next.bands),
    boxes: next.boxes.map((b) => same(boxes.get(b.id), b)),
    columns: same(before.columns, next.columns),
    chips: same(before.chips, next.chips),
    arrows: sameArrows(before.arrows, next.arrows) ? before.arrows : same(before.arrows, next.arrows),
    fold: before.fold && next.fold ? same(before.fold, next.fold) : next.fold,
  };
}
