import type { TopologyLayout } from './types.ts';

const text = new WeakMap<object, string>();

function textOf(x: object): string {
  let t = text.get(x);
  if (t === undefined) text.set(x, (t = JSON.stringify(x)));
  return t;
}

/** `next`, or the object of `before` with the same content, so that drawings compare by identity. */
function same<T extends object>(before: T | undefined, next: T): T {
  return before && textOf(before) === textOf(next) ? before : next;
}

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
    arrows: same(before.arrows, next.arrows),
    fold: before.fold && next.fold ? same(before.fold, next.fold) : next.fold,
  };
}
