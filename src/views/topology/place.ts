import type { Band } from '../../engine/trace/index.ts';
import { type Cell, placeKey, type SlotGroup, type TopologySlots } from './slots.ts';

export const bandOrder: readonly Band[] = ['guest', 'vmm', 'kernel', 'hardware'];

const depthsOf = new WeakMap<readonly SlotGroup[], Map<string, number>>();

/** Longest chain of references below each group, counted within its band; a cycle ends where it began. */
export function depths(groups: readonly SlotGroup[]): Map<string, number> {
  let d = depthsOf.get(groups);
  if (!d) depthsOf.set(groups, (d = chains(groups)));
  return d;
}

function chains(groups: readonly SlotGroup[]): Map<string, number> {
  const byKey = new Map(groups.map((g) => [g.key, g]));
  const out = new Map<string, number>();
  const depth = (g: SlotGroup, path: ReadonlySet<string>): number => {
    const known = out.get(g.key);
    if (known !== undefined) return known;
    let d = 0;
    const on = new Set(path).add(g.key);
    for (const r of g.refs) {
      const to = byKey.get(r);
      if (to && to.band === g.band && !on.has(r)) d = Math.max(d, depth(to, on) + 1);
    }
    if (path.size === 0) out.set(g.key, d);
    return d;
  };
  for (const g of groups) depth(g, new Set());
  return out;
}

const isQueue = (g: SlotGroup): boolean => g.slots.some((s) => s.queue);
export const isTable = (g: SlotGroup): boolean => g.slots.some((s) => s.table !== null);

interface Open {
  readonly key: string;
  readonly group: SlotGroup;
  readonly rank: number;
}

/**
 * Cells of a band's common objects in `n` columns: queues leftmost, then what is referred to left of what refers to it,
 * linked ones near each other and near the devices that they are linked with. Places that have a cell keep it.
 * @param rows  rows that the band has anyway, because its device columns need them
 */
export function placeCommon(
  slots: TopologySlots,
  band: Band,
  n: number,
  rows: number,
): { cells: Map<string, Cell>; memory: Readonly<Record<string, Cell>> } {
  const depth = depths(slots.groups);
  const inBand = slots.groups.filter((g) => g.band === band);
  const mine = inBand.filter((g) => g.device === null && !isTable(g));
  const cells = new Map<string, Cell>();
  const taken = new Set<string>();
  const memory: Record<string, Cell> = {};
  const put = (key: string, c: Cell): void => {
    cells.set(key, c);
    taken.add(`${c.column},${c.row}`);
  };
  const open: Open[] = [];
  mine.forEach((g, order) => {
    const rank = (isQueue(g) ? -1 : depth.get(g.key)!) * 1000 + order;
    g.slots.forEach((_, i) => {
      const key = placeKey(g, i);
      const known = slots.cells[`${n}/${key}`];
      if (known) put(key, known);
      else open.push({ key, group: g, rank: rank + i / 1000 });
    });
  });
  const linked = (a: SlotGroup, b: SlotGroup): boolean => a.refs.includes(b.key) || b.refs.includes(a.key);
  const first = mine.some(isQueue) && n > 1 ? 1 : 0;
  for (const o of open.sort((a, b) => a.rank - b.rank)) {
    const g = o.group;
    const want = isQueue(g) ? 0 : Math.min(n - 1, first + depth.get(g.key)!);
    const near = mine
      .filter((x) => x !== g && linked(x, g))
      .flatMap((x) => x.slots.map((_, i) => cells.get(placeKey(x, i))));
    const toDevices = inBand.some((x) => x.device !== null && linked(x, g));
    let best: Cell = { column: want, row: 0 };
    let least = Number.POSITIVE_INFINITY;
    for (let column = 0; column < n; column++) {
      let row = 0;
      while (taken.has(`${column},${row}`)) row++;
      let cost = Math.abs(column - want) * 0.8 + row * 0.6 + Math.max(0, row - rows + 1) * 2;
      if (isQueue(g)) cost += column * 3;
      else if (column < first) cost += 2;
      if (toDevices) cost += (n - column) * 1.6;
      for (const c of near) if (c) cost += Math.abs(c.column - column) * 1.6 + Math.abs(c.row - row);
      if (cost < least) {
        least = cost;
        best = { column, row };
      }
    }
    put(o.key, best);
  }
  // Those of a column that are linked with devices stand in the order of the devices' rows, so that their arrows don't cross.
  const order = deviceRows(slots, band);
  const aim = (g: SlotGroup): number => {
    const linkedRows = order.flatMap((r, i) =>
      inBand.some((x) => x.device !== null && x.type === r.type && linked(x, g)) ? [i] : [],
    );
    return linkedRows.length === 0 ? -1 : linkedRows.reduce((a, b) => a + b, 0) / linkedRows.length;
  };
  for (let column = 0; column < n; column++) {
    const mixed = open
      .filter((o) => !isQueue(o.group) && cells.get(o.key)!.column === column && aim(o.group) >= 0)
      .sort((a, b) => cells.get(a.key)!.row - cells.get(b.key)!.row);
    const free = mixed.map((o) => cells.get(o.key)!);
    [...mixed]
      .sort((a, b) => aim(a.group) - aim(b.group))
      .forEach((o, i) => {
        cells.set(o.key, free[i]!);
      });
  }
  for (const o of open) memory[`${n}/${o.key}`] = cells.get(o.key)!;
  return { cells, memory };
}

/** The kernel's objects of a device in the order in which a message passes them. */
const known = ['vdevice', 'hwptnested', 'device'];
const plain = (type: string): string => type.toLowerCase().replace(/[^a-z]/g, '');

export interface DeviceRow {
  readonly type: string;
  readonly index: number;
  readonly table: boolean;
}

/**
 * The rows of a band's device columns, the same for all devices: what refers stands above what it refers to, a cache
 * stands last and grows.
 */
export function deviceRows(slots: TopologySlots, band: Band): DeviceRow[] {
  let known = rowsOf.get(slots.groups);
  if (!known) rowsOf.set(slots.groups, (known = new Map()));
  let rows = known.get(band);
  if (!rows) known.set(band, (rows = orderRows(slots, band)));
  return rows;
}

const rowsOf = new WeakMap<readonly SlotGroup[], Map<Band, DeviceRow[]>>();

function orderRows(slots: TopologySlots, band: Band): DeviceRow[] {
  const mine = slots.groups.filter((g) => g.band === band && g.device !== null);
  const depth = depths(mine);
  const types = new Map<string, { count: number; depth: number; order: number; table: boolean }>();
  for (const g of mine) {
    const t = types.get(g.type);
    const count = Math.max(t?.count ?? 0, g.slots.length);
    const d = Math.max(t?.depth ?? 0, depth.get(g.key)!);
    types.set(g.type, { count, depth: d, order: t?.order ?? types.size, table: (t?.table ?? false) || isTable(g) });
  }
  const rank = (type: string): number => known.indexOf(plain(type));
  return [...types]
    .sort(([a, x], [b, y]) => {
      if (x.table !== y.table) return x.table ? 1 : -1;
      if (rank(a) >= 0 && rank(b) >= 0) return rank(a) - rank(b);
      return y.depth - x.depth || x.order - y.order;
    })
    .flatMap(([type, t]) =>
      Array.from({ length: t.count }, (_, index): DeviceRow => ({ type, index, table: t.table })),
    );
}
