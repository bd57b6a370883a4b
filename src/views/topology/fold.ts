import type { Scene } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import type { ColumnPlan } from './columns.ts';
import { fitText } from './measure.ts';
import type { Metrics } from './metrics.ts';
import type { BandBox, Fold, FoldBox, PlacedText } from './types.ts';

/** One narrow column for all devices that have none: in each band how many of what. */
export function placeFold(
  scene: Scene,
  devices: readonly string[],
  ids: ReadonlyMap<string, Band>,
  bands: readonly BandBox[],
  plan: ColumnPlan,
  m: Metrics,
): Fold | null {
  if (devices.length === 0) return null;
  const more = `+${devices.length} more`;
  const boxes = bands.flatMap((b): FoldBox[] => {
    const counts = new Map<string, number>();
    for (const o of scene.objects) if (ids.get(o.id) === b.band) counts.set(o.type, (counts.get(o.type) ?? 0) + 1);
    if (counts.size === 0) return [];
    const top = b.y + b.lane.h;
    const size = m.textSize;
    const room = Math.floor((b.y + b.h - top - m.bandPad - 2 * m.padY - m.titleLine) / m.textLine);
    const lines = [...counts].slice(0, Math.max(0, room)).map(([type, n]) => `${n} ${type}`);
    const x = plan.foldX + m.padX;
    const width = plan.foldWidth - 2 * m.padX;
    const texts = [more, ...lines].map((full, i): PlacedText => {
      const face = i === 0 ? 'title' : 'text';
      const text = fitText(full, face, size, width);
      const y = top + m.padY + m.titleLine * 0.76 + (i === 0 ? 0 : m.titleLine - m.textLine + i * m.textLine);
      return { text, ...(text === full ? {} : { full }), x, y, size, face, anchor: 'start' };
    });
    const h = b.y + b.h - m.bandPad - top;
    return [{ band: b.band, x: plan.foldX, y: top, w: plan.foldWidth, h, texts }];
  });
  const label = `${devices.length} more devices: ${devices.join(', ')}`;
  return { devices, ids, boxes, x: plan.foldX, w: plan.foldWidth, label };
}
