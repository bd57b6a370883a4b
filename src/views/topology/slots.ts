import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band } from '../../engine/trace/index.ts';
import { textWidth } from './measure.ts';

/**
 * The memory of a diagram: what has stood where. Objects of one band, device and type share a group of places; one that
 * comes takes a free place of its group, one that goes leaves its place reserved. So nothing moves when something else
 * comes or goes, and the same series of scenes gives the same picture.
 */
export interface TopologySlots {
  readonly devices: readonly string[];
  readonly groups: readonly SlotGroup[];
  /** References that have been seen, `<place>\n<place>`: their ways are kept free. */
  readonly links: readonly string[];
  /** Cell of each place among the common columns: key `<columns>/<group>#<index>`. */
  readonly cells: Readonly<Record<string, Cell>>;
}

export interface Cell {
  readonly column: number;
  readonly row: number;
}

export interface SlotGroup {
  readonly key: string;
  readonly band: Band;
  readonly type: string;
  readonly device: string | null;
  readonly slots: readonly Slot[];
  /** Keys of the groups that its members refer to. */
  readonly refs: readonly string[];
}

/** The largest that has stood in a place; widths at font size 1. */
export interface Slot {
  readonly occupant: string;
  readonly title: number;
  readonly lines: readonly number[];
  readonly queue: boolean;
  readonly table: SlotTable | null;
}

export interface SlotTable {
  readonly columns: readonly string[];
  /** Of the column's name and its widest cell. */
  readonly heads: readonly number[];
  readonly cells: readonly number[];
  readonly rows: number;
}

export const noSlots: TopologySlots = { devices: [], groups: [], links: [], cells: {} };

/** Name of a place: the group and the position in it. */
export const placeKey = (group: { readonly key: string }, index: number): string => `${group.key}#${index}`;

/** Caches stand apart from other objects, even of the same type. */
const kindOf = (o: SceneObject): string => (o.cache ? `${o.type}*` : o.type);

export const groupKey = (o: SceneObject): string => `${o.band}/${o.device ?? ''}/${kindOf(o)}`;

/** Rounded up, so that a text one character longer does not move a column. */
const step = (w: number): number => Math.ceil(w * 10) / 10;

function slotOf(o: SceneObject): Slot {
  const c = o.cache;
  return {
    occupant: o.id,
    title: step(textWidth(o.title, 'title', 1)),
    lines: measuredLines(o).map((l) => step(textWidth(l, 'mono', 1))),
    queue: o.queue !== undefined,
    table: c
      ? {
          columns: c.columns,
          heads: c.columns.map((h) => step(textWidth(h, 'text', 1))),
          cells: c.columns.map((_, i) =>
            c.rows.reduce((w, r) => Math.max(w, step(textWidth(r.cells[i] ?? '', 'mono', 1))), 0),
          ),
          rows: c.rows.length,
        }
      : null,
  };
}

/** The lines of an object; a queue that says nothing of its positions gets a line with them. */
export function linesOf(o: SceneObject): readonly string[] {
  if (o.queue && o.lines.length === 0) return [`prod ${o.queue.prod} cons ${o.queue.cons}`];
  return o.lines.filter((l) => l.trim() !== '');
}

/** The lines that are drawn: a common cache has none, since its rows say it. */
export const measuredLines = (o: SceneObject): readonly string[] =>
  o.cache && o.device === undefined ? [] : linesOf(o);

const larger = (a: readonly number[], b: readonly number[]): number[] =>
  Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0));

/** Room for the rows of both. */
export const mergeTables = (a: SlotTable, b: SlotTable): SlotTable => ({
  columns: b.columns.length >= a.columns.length ? b.columns : a.columns,
  heads: larger(a.heads, b.heads),
  cells: larger(a.cells, b.cells),
  rows: Math.max(a.rows, b.rows),
});

function merge(a: Slot, b: Slot): Slot {
  return {
    occupant: b.occupant,
    title: Math.max(a.title, b.title),
    lines: larger(a.lines, b.lines),
    queue: a.queue || b.queue,
    table: a.table && b.table ? mergeTables(a.table, b.table) : (b.table ?? a.table),
  };
}

/**
 * Adds a scene's objects to the memory.
 * @returns the same object when the scene brings nothing new
 */
export function extendSlots(slots: TopologySlots, scene: Scene): TopologySlots {
  const devices = [...new Set(scene.objects.flatMap((o) => (o.device === undefined ? [] : [o.device])))];
  const same = devices.length === slots.devices.length && devices.every((d) => slots.devices.includes(d));
  // Another set of devices is another picture: what belonged to the ones that left is forgotten.
  const kept = same ? slots.groups : slots.groups.filter((g) => g.device === null || devices.includes(g.device));
  const groups = new Map<string, { group: SlotGroup; slots: Slot[]; refs: Set<string> }>();
  for (const group of kept) groups.set(group.key, { group, slots: [...group.slots], refs: new Set(group.refs) });

  const keyOf = new Map(scene.objects.map((o) => [o.id, groupKey(o)]));
  for (const o of scene.objects) {
    const key = groupKey(o);
    let g = groups.get(key);
    if (!g) {
      const group: SlotGroup = { key, band: o.band, type: kindOf(o), device: o.device ?? null, slots: [], refs: [] };
      groups.set(key, (g = { group, slots: [], refs: new Set() }));
    }
    for (const r of o.refs) {
      const to = keyOf.get(r.to);
      if (to !== undefined && to !== key) g.refs.add(to);
    }
  }
  for (const o of scene.objects) {
    const g = groups.get(groupKey(o))!;
    const mine = g.slots.findIndex((s) => s.occupant === o.id);
    const free = mine >= 0 ? mine : g.slots.findIndex((s) => keyOf.get(s.occupant) !== g.group.key);
    if (free >= 0) g.slots[free] = merge(g.slots[free]!, slotOf(o));
    else g.slots.push(slotOf(o));
  }

  const next = [...groups.values()].map((g): SlotGroup => ({ ...g.group, slots: g.slots, refs: [...g.refs].sort() }));
  const placeOf = new Map(next.flatMap((g) => g.slots.map((s, i) => [`${g.key}\n${s.occupant}`, placeKey(g, i)])));
  const links = new Set(same ? slots.links : []);
  for (const o of scene.objects) {
    for (const r of o.refs) {
      const from = placeOf.get(`${groupKey(o)}\n${o.id}`);
      const to = placeOf.get(`${keyOf.get(r.to)}\n${r.to}`);
      if (from !== undefined && to !== undefined && from !== to) links.add(`${from}\n${to}`);
    }
  }
  const unchanged = same && links.size === slots.links.length && JSON.stringify(next) === JSON.stringify(slots.groups);
  if (unchanged) return slots;
  return {
    devices: same ? slots.devices : devices,
    groups: next,
    links: [...links],
    cells: same ? slots.cells : {},
  };
}
