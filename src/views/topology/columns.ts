import { neededWidth } from './box.ts';
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
    for (const s of g.slots) w = Math.max(w, neededWidth(s, m));
  }
  return w;
};

/** Texts may be pressed a little, so columns may be that much narrower than their texts. */
const press = 0.94;

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
  const m = metricsOf(1, 'compact');
  const deviceWidth = Math.min(widest(slots, m, true), m.maxColumn) * press;
  const commonWidth = Math.min(widest(slots, m, false), m.maxColumn) * press;
  const forDevices = width - 2 * m.edge - 2 * (commonWidth + m.gapX) + m.gapX;
  const fit = Math.floor(forDevices / (deviceWidth + m.gapX));
  if (open || all.length <= Math.max(2, fit)) return { shown: [...all], folded: [] };
  const room = Math.max(1, Math.floor((forDevices - foldWidthOf(m) - m.gapX) / (deviceWidth + m.gapX)));
  // No more than there is room for, those named first: a diagram that grows in the middle of a step would jump.
  const first = pinned.filter((d) => all.includes(d)).slice(0, room);
  const always = all.filter((d) => first.includes(d));
  const rest = all.filter((d) => !pinned.includes(d)).slice(0, Math.max(0, room - always.length));
  const shown = all.filter((d) => always.includes(d) || rest.includes(d));
  return { shown, folded: all.filter((d) => !shown.includes(d)) };
}

const foldWidthOf = (m: Metrics): number => Math.round(106 * m.scale);

/** Distributes `width` over two to four common columns, the shown devices and a fold. */
export function planColumns(
  slots: TopologySlots,
  shown: readonly string[],
  folded: readonly string[],
  width: number,
  m: Metrics,
): ColumnPlan {
  const devices = shown.length;
  const foldWidth = folded.length > 0 ? foldWidthOf(m) : 0;
  const forFold = foldWidth > 0 ? foldWidth + m.gapX : 0;
  const needDevice = Math.min(widest(slots, m, true), m.maxColumn);
  const needCommon = Math.min(widest(slots, m, false), m.maxColumn);
  /** For all columns, without the gaps between them. */
  const room = (common: number): number => width - 2 * m.edge - forFold - (common + devices - 1) * m.gapX;
  const share = (common: number): number => room(common) / (common * needCommon + devices * needDevice);
  let common = 4;
  while (common > 2 && share(common) < (common > 3 ? 1 : press)) common--;
  // Wider than needed: all grow alike. Narrower: not below what letters can be pressed into; the diagram is wider then.
  const factor = Math.max(share(common), press);
  const deviceWidth = devices === 0 ? 0 : Math.floor(Math.min(needDevice * factor, m.maxColumn * 1.1));
  const rest = (room(common) - devices * deviceWidth) / common;
  const commonWidth = Math.floor(Math.max(needCommon * press, Math.min(rest, m.maxColumn * 1.2)));
  const commonX = Array.from({ length: common }, (_, i) => m.edge + i * (commonWidth + m.gapX));
  const total = common * (commonWidth + m.gapX) + devices * (deviceWidth + m.gapX) + forFold - m.gapX + 2 * m.edge;
  const full = Math.max(width, Math.ceil(total));
  // What is left over stands between the common columns and the devices, which keep to the right.
  let x = full - m.edge - forFold - devices * (deviceWidth + m.gapX) + m.gapX;
  const deviceX = shown.map((_, i) => x + i * (deviceWidth + m.gapX));
  x += devices * (deviceWidth + m.gapX);
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
    // Text grows only into room that three common columns leave.
    fits: full <= width && share(common) >= (m.scale > 1 ? 1 : press) && (m.scale === 1 || common >= 3),
  };
}
