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

/** A queue's first line comes to this length sooner or later, even if it says `empty` now. */
const positions = 'prod 00 cons 00';

function slotOf(o: SceneObject, ghosts: readonly Cells[]): Slot {
  const c = o.cache;
  const all: readonly Cells[] = [...(c?.rows ?? []), ...ghosts];
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
          cells: c.columns.map((_, i) =>
            all.reduce((w, r) => Math.max(w, step(textWidth(r.cells[i] ?? '', 'mono', 1))), 0),
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
  const groups = new Map<string, { group: SlotGroup; slots: Slot[]; refs: Set<string> }>();
  for (const group of kept) groups.set(group.key, { group, slots: [...group.slots], refs: new Set(group.refs) });

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
      groups.set(key, (g = { group, slots: [], refs: new Set() }));
    }
    for (const r of o.refs) {
      const to = keyOf.get(r.to);
      if (to !== undefined && to !== key) g.refs.add(to);
    }
  }
  for (const o of scene.objects) {
    const g = groups.get(keyOf.get(o.id)!)!;
    const slot = slotOf(o, ghosts?.get(o.id)?.ghosts ?? []);
    const mine = g.slots.findIndex((s) => s.occupant === o.id);
    const free = mine >= 0 ? mine : g.slots.findIndex((s) => keyOf.get(s.occupant) !== g.group.key);
    if (free >= 0) g.slots[free] = merge(g.slots[free]!, slot);
    else g.slots.push(slot);
  }

  const next = [...groups.values()].map((g): SlotGroup => ({ ...g.group, slots: g.slots, refs: [...g.refs].sort() }));
  const placeOf = new Map(next.flatMap((g) => g.slots.map((s, i) => [`${g.key}\n${s.occupant}`, placeKey(g, i)])));
  const links = new Set(same ? slots.links : []);
  for (const o of scene.objects) {
    for (const r of o.refs) {
      const from = placeOf.get(`${keyOf.get(o.id)}\n${o.id}`);
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
    homes: slots.homes,
    cells: same ? slots.cells : {},
  };
}
