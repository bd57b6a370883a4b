import { naturalWidth } from './box.ts';
import { type Metrics, metricsOf } from './metrics.ts';
import { isTable } from './place.ts';
import type { TopologySlots } from './slots.ts';

/** Widths of all columns; the device columns stand at the right, the fold last. */
export interface ColumnPlan {
  readonly shown: readonly string[];
  readonly folded: readonly string[];
  readonly common: number;
  readonly commonWidth: number;
  readonly deviceWidth: number;
  readonly foldWidth: number;
  /** Left edge of each common column, then of each shown device. */
  readonly commonX: readonly number[];
  readonly deviceX: readonly number[];
  readonly foldX: number;
  readonly width: number;
  /** Every text of a box fits its column. */
  readonly fits: boolean;
}

const widest = (slots: TopologySlots, m: Metrics, device: boolean): number => {
  let w = m.minColumn;
  for (const g of slots.groups) {
    if ((g.device !== null) !== device || (!device && isTable(g))) continue;
    for (const s of g.slots) w = Math.max(w, naturalWidth(s, m));
  }
  return w;
};

/**
 * Which devices have a column: all when there is room, else as many as fit beside a fold, in the document's order,
 * with the pinned ones always among them.
 */
export function chooseDevices(
  slots: TopologySlots,
  width: number,
  open: boolean,
  pinned: readonly string[],
): { shown: string[]; folded: string[] } {
  const all = slots.devices;
  const m = metricsOf(1, true);
  const deviceWidth = Math.min(widest(slots, m, true), m.maxColumn);
  const commonWidth = Math.min(widest(slots, m, false), m.maxColumn);
  const forDevices = width - 2 * m.edge - 2 * (commonWidth + m.gapX) + m.gapX;
  const fit = Math.floor(forDevices / (deviceWidth + m.gapX));
  if (open || all.length <= Math.max(2, fit)) return { shown: [...all], folded: [] };
  const room = Math.max(1, Math.floor((forDevices - foldWidthOf(m) - m.gapX) / (deviceWidth + m.gapX)));
  const always = all.filter((d) => pinned.includes(d));
  const rest = all.filter((d) => !pinned.includes(d)).slice(0, Math.max(0, room - always.length));
  const shown = all.filter((d) => always.includes(d) || rest.includes(d));
  return { shown, folded: all.filter((d) => !shown.includes(d)) };
}

const foldWidthOf = (m: Metrics): number => Math.round(84 * m.scale);

/** Distributes `width` over `common` columns, the shown devices and a fold. */
export function planColumns(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  width: number,
  m: Metrics,
): ColumnPlan {
  const foldWidth = folded.length > 0 ? foldWidthOf(m) : 0;
  const needDevice = widest(slots, m, true);
  const needCommon = widest(slots, m, false);
  const forFold = foldWidth > 0 ? foldWidth + m.gapX : 0;
  let deviceWidth = shown.length === 0 ? 0 : Math.min(needDevice, m.maxColumn);
  const commonLeast = Math.min(needCommon, m.maxColumn);
  const rest = (): number => width - 2 * m.edge - shown.length * (deviceWidth + m.gapX) - forFold;
  const count = (): number => Math.floor((rest() + m.gapX) / (commonLeast + m.gapX));
  // A device's box with its ATC gains most from width; common columns come before that.
  const common = Math.max(2, Math.min(4, count()));
  const least = common * (commonLeast + m.gapX) - m.gapX;
  const spare = Math.max(0, rest() - least);
  if (shown.length > 0) deviceWidth += Math.floor(Math.min(spare / (common + shown.length), m.maxColumn - deviceWidth));
  const commonWidth = Math.floor(
    Math.max(commonLeast, Math.min(m.maxColumn * 1.15, (rest() + m.gapX) / common - m.gapX)),
  );
  const commonX = Array.from({ length: common }, (_, i) => m.edge + i * (commonWidth + m.gapX));
  const total = common * (commonWidth + m.gapX) + shown.length * (deviceWidth + m.gapX) + forFold - m.gapX + 2 * m.edge;
  const full = Math.max(width, total);
  // What is left over stands between the common columns and the devices, which keep to the right.
  let x = full - m.edge - forFold - shown.length * (deviceWidth + m.gapX) + m.gapX;
  const deviceX = shown.map((_, i) => x + i * (deviceWidth + m.gapX));
  x += shown.length * (deviceWidth + m.gapX);
  return {
    shown,
    folded,
    common,
    commonWidth,
    deviceWidth,
    foldWidth,
    commonX,
    deviceX,
    foldX: x,
    width: full,
    fits: total <= width && needDevice <= deviceWidth && needCommon <= commonWidth,
  };
}
