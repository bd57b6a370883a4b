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
  /** Column in which a reserved object stands from first to last, by `<id>\n<type>`: a device, or null for the common part. */
  readonly homes: Readonly<Record<string, string | null>>;
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

export const noSlots: TopologySlots = { devices: [], groups: [], links: [], homes: {}, cells: {} };

/** Name of a place: the group and the position in it. */
export const placeKey = (group: { readonly key: string }, index: number): string => `${group.key}#${index}`;

/** Caches stand apart from other objects, even of the same type; a device without a cache stands beside those that have one. */
const kindOf = (o: SceneObject): string =>
  o.cache || (o.type === 'device' && o.band === 'hardware') ? `${o.type}*` : o.type;

const homeKey = (o: SceneObject): string => `${o.id}\n${kindOf(o)}`;

/**
 * The device in whose column an object stands, null for the common part: where it was first reserved, since an object that
 * changes hands should not jump; else what the scene says. Another device's object under an id that was used before is new.
 */
function columnOf(homes: TopologySlots['homes'], o: SceneObject): string | null {
  const device = o.device ?? null;
  const home = homes[homeKey(o)];
  return home === undefined || (home !== null && device !== null && home !== device) ? device : home;
}

const keyIn = (homes: TopologySlots['homes'], o: SceneObject): string =>
  `${o.band}/${columnOf(homes, o) ?? ''}/${kindOf(o)}`;

/** Key of the group in which an object has its place. */
export const groupKey = (slots: TopologySlots, o: SceneObject): string => keyIn(slots.homes, o);

/** Rounded up, so that a text one character longer does not move a column. */
const step = (w: number): number => Math.ceil(w * 10) / 10;

interface Cells {
  readonly cells: readonly string[];
}

const rowWidths = new WeakMap<Cells, readonly number[]>();

/** Widths of a row's cells; a scene's row keeps its identity, so thousands of rows are measured once. */
function widthsOf(row: Cells): readonly number[] {
  let w = rowWidths.get(row);
  if (!w) rowWidths.set(row, (w = row.cells.map((c) => step(textWidth(c, 'mono', 1)))));
  return w;
}

/** Widest cell of each of `n` columns. */
function widestCells(n: number, rows: readonly Cells[], ghosts: readonly Cells[]): number[] {
  const out = new Array<number>(n).fill(0);
  for (const list of [rows, ghosts])
    for (const row of list) {
      const w = widthsOf(row);
      for (let i = 0; i < n; i++) if (w[i]! > out[i]!) out[i] = w[i]!;
    }
  return out;
}

/** A queue's first line comes to this length sooner or later, even if it says `empty` now. */
const positions = 'prod 00 cons 00';

function slotOf(o: SceneObject, ghosts: readonly Cells[]): Slot {
  const c = o.cache;
  return {
    occupant: o.id,
    title: step(textWidth(o.title, 'title', 1)),
    lines: measuredLines(o).map(
      (l, i, all) =>
        step(textWidth(o.queue && i === 0 && l.length < positions.length ? positions : l, 'mono', 1)) +
        // Room to say how many entries of a list are not shown.
        (o.listed && all.length > 1 && i === 0 ? step(textWidth('  +10', 'text', 1)) : 0),
    ),
    queue: o.queue !== undefined,
    table: c
      ? {
          columns: c.columns,
          heads: c.columns.map((h) => step(textWidth(h, 'text', 1))),
          cells: widestCells(c.columns.length, c.rows, ghosts),
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

/** The larger of each; `a` itself when nothing of `b` is larger, so that what has not changed can be told by identity. */
function larger(a: readonly number[], b: readonly number[]): readonly number[] {
  if (b.length <= a.length && b.every((x, i) => x <= a[i]!)) return a;
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => Math.max(a[i] ?? 0, b[i] ?? 0));
}

const sameTexts = (a: readonly string[], b: readonly string[]): boolean =>
  a === b || (a.length === b.length && a.every((x, i) => x === b[i]));

/** Room for the rows of both. */
export function mergeTables(a: SlotTable, b: SlotTable): SlotTable {
  const columns = b.columns.length < a.columns.length || sameTexts(a.columns, b.columns) ? a.columns : b.columns;
  const heads = larger(a.heads, b.heads);
  const cells = larger(a.cells, b.cells);
  if (columns === a.columns && heads === a.heads && cells === a.cells && b.rows <= a.rows) return a;
  return { columns, heads, cells, rows: Math.max(a.rows, b.rows) };
}

/** Room for both, held by the second; `a` itself when it is that already. */
function merge(a: Slot, b: Slot): Slot {
  const lines = larger(a.lines, b.lines);
  const table = a.table && b.table ? mergeTables(a.table, b.table) : (b.table ?? a.table);
  const same = a.occupant === b.occupant && b.title <= a.title && lines === a.lines && table === a.table;
  if (same && (a.queue || !b.queue)) return a;
  return {
    occupant: b.occupant,
    title: Math.max(a.title, b.title),
    lines,
    queue: a.queue || b.queue,
    table,
  };
}

/** Keeps places free for scenes that will be shown, in their order. */
export function reserveSlots(scenes: readonly Scene[]): TopologySlots {
  const homes: Record<string, string | null> = {};
  let slots: TopologySlots = { ...noSlots, homes };
  for (const scene of scenes) {
    for (const o of scene.objects) homes[homeKey(o)] ??= o.device ?? null;
    slots = extendSlots(slots, scene);
  }
  return slots;
}

/**
 * Adds a scene's objects to the memory.
 * @param ghosts  rows that are shown though they are gone, by the id of their cache: they count for widths
 * @returns the same object when the scene brings nothing new
 */
export function extendSlots(
  slots: TopologySlots,
  scene: Scene,
  ghosts?: ReadonlyMap<string, { readonly ghosts: readonly Cells[] }>,
): TopologySlots {
  const devices = [...new Set(scene.objects.flatMap((o) => (o.device === undefined ? [] : [o.device])))];
  const same = devices.length === slots.devices.length && devices.every((d) => slots.devices.includes(d));
  // Another set of devices is another picture: what belonged to the ones that left is forgotten.
  const kept = same ? slots.groups : slots.groups.filter((g) => g.device === null || devices.includes(g.device));
  const groups = new Map<string, { group: SlotGroup; slots: Slot[]; refs: Set<string>; changed: boolean }>();
  for (const group of kept)
    groups.set(group.key, { group, slots: [...group.slots], refs: new Set(group.refs), changed: false });

  const keyOf = new Map(scene.objects.map((o) => [o.id, keyIn(slots.homes, o)]));
  for (const o of scene.objects) {
    const key = keyOf.get(o.id)!;
    let g = groups.get(key);
    if (!g) {
      const group: SlotGroup = {
        key,
        band: o.band,
        type: kindOf(o),
        device: columnOf(slots.homes, o),
        slots: [],
        refs: [],
      };
      groups.set(key, (g = { group, slots: [], refs: new Set(), changed: true }));
    }
    for (const r of o.refs) {
      const to = keyOf.get(r.to);
      if (to === undefined || to === key || g.refs.has(to)) continue;
      g.refs.add(to);
      g.changed = true;
    }
  }
  for (const o of scene.objects) {
    const g = groups.get(keyOf.get(o.id)!)!;
    const slot = slotOf(o, ghosts?.get(o.id)?.ghosts ?? []);
    const mine = g.slots.findIndex((s) => s.occupant === o.id);
    const free = mine >= 0 ? mine : g.slots.findIndex((s) => keyOf.get(s.occupant) !== g.group.key);
    const before = g.slots[free];
    const after = before ? merge(before, slot) : slot;
    if (after === before) continue;
    g.slots[free < 0 ? g.slots.length : free] = after;
    g.changed = true;
  }

  const next = [...groups.values()].map(
    (g): SlotGroup => (g.changed ? { ...g.group, slots: g.slots, refs: [...g.refs].sort() } : g.group),
  );
  const placeOf = new Map(next.flatMap((g) => g.slots.map((s, i) => [`${g.key}\n${s.occupant}`, placeKey(g, i)])));
  const links = new Set(same ? slots.links : []);
  for (const o of scene.objects) {
    for (const r of o.refs) {
      const from = placeOf.get(`${keyOf.get(o.id)}\n${o.id}`);
      const to = placeOf.get(`${keyOf.get(r.to)}\n${r.to}`);
      if (from !== undefined && to !== undefined && from !== to) links.add(`${from}\n${to}`);
    }
  }
  const grown = links.size !== slots.links.length;
  const changed = !same || next.length !== slots.groups.length || next.some((g, i) => g !== slots.groups[i]);
  if (!changed && !grown) return slots;
  return {
    devices: same ? slots.devices : devices,
    groups: changed ? next : slots.groups,
    links: same && !grown ? slots.links : [...links],
    homes: slots.homes,
    cells: same ? slots.cells : {},
  };
}
