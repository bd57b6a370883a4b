import {
  findPath,
  type MemoryPlace,
  type PathStep,
  type TableEntry,
  type TableGoal,
  type TableMemory,
  type TablePath,
  type TableRef,
  type TableRoot,
} from '../../engine/machine/index.ts';
import { CHUNK, foldTable, type Item, unfold } from './fold.ts';

/** Entries that a search through tables reads at most. */
const BUDGET = 60_000;

/** The same table, whoever leads to it. */
export const refKey = (r: TableRef): string =>
  `${r.space}:${r.guest ?? ''}:${r.address.toString(16)}:${r.format}:${r.args.join('.')}:${r.base.toString(16)}`;

const placeKey = (r: TableRef): string => `${r.space}:${r.guest ?? ''}:${r.address.toString(16)}`;

export const rootKey = (r: TableRoot): string =>
  `${r.ref.space}:${r.ref.guest ?? ''}:${r.object}:${r.ref.format}:${r.ref.address.toString(16)}`;

/** Rows of the tree by the way to them: a root, then indexes; with `.k` the table that an entry with several leads to. */
export const entryKey = (table: string, index: number): string => `${table}/${index}`;
export const itemKey = (table: string, item: Item): string =>
  item.kind === 'entry' ? entryKey(table, item.entry.index) : `${table}/${item.kind}${item.from}+${item.count}`;
/** The key under which a child table's entries stand. */
export const childKey = (entry: string, children: number, k: number): string =>
  children > 1 ? `${entry}.${k}` : entry;

/** Tables as one moment has them, read once each. */
export class TableReader {
  readonly memory: TableMemory;
  readonly roots: readonly TableRoot[];
  private readonly tables = new Map<string, readonly Item[]>();
  private readonly opened = new Map<string, readonly Item[]>();
  private readonly inside = new Map<string, boolean>();
  private readonly some: boolean;
  private readonly rootPlaces: ReadonlySet<string>;
  private budget = BUDGET;

  constructor(memory: TableMemory) {
    this.memory = memory;
    this.roots = memory.roots();
    this.rootPlaces = new Set(this.roots.map((r) => placeKey(r.ref)));
    this.some = memory.changes().length > 0;
  }

  /** Items of a table. @param alone indexes that are not to be folded */
  items(ref: TableRef, alone: ReadonlySet<number>): readonly Item[] {
    const key = `${refKey(ref)} ${[...alone].join()}`;
    let items = this.tables.get(key);
    if (!items)
      this.tables.set(key, (items = foldTable(this.memory, ref, alone.size ? (i) => alone.has(i) : undefined)));
    return items;
  }

  unfolded(ref: TableRef, item: Exclude<Item, { kind: 'entry' }>): readonly Item[] {
    const key = `${refKey(ref)} ${item.kind} ${item.from} ${item.count}`;
    let items = this.opened.get(key);
    if (!items) this.opened.set(key, (items = unfold(this.memory, ref, item)));
    return items;
  }

  entryAt = (ref: TableRef, index: number): TableEntry | undefined => this.memory.entries(ref, index, 1)[0];

  path(root: TableRef, goal: TableGoal): TablePath {
    return findPath(this.entryAt, root, goal);
  }

  /** A table that stands in the list by itself, whatever else leads to it. */
  isRoot(ref: TableRef): boolean {
    return this.rootPlaces.has(placeKey(ref));
  }

  /**
   * The step has changed something of a table, or of a table that it leads to.
   * @param own  not counting tables that stand in the list by themselves
   */
  changesIn(ref: TableRef, own = false): boolean {
    if (!this.some) return false;
    const key = `${own} ${refKey(ref)}`;
    const known = this.inside.get(key);
    if (known !== undefined) return known;
    // A table that leads back to itself has nothing more inside.
    this.inside.set(key, false);
    const found =
      this.memory.changed(ref, ref.entries * ref.bytes) ||
      this.children(ref, (child) => (!(own && this.isRoot(child)) && this.changesIn(child, own) ? true : undefined)) ===
        true;
    this.inside.set(key, found);
    return found;
  }

  /** Asks for each table that entries lead to, until there is an answer. What was never written is passed over. */
  private children<T>(
    ref: TableRef,
    ask: (child: TableRef, entry: TableEntry, k: number) => T | undefined,
  ): T | undefined {
    if (ref.last) return undefined;
    for (let from = 0; from < ref.entries; from += CHUNK) {
      const count = Math.min(CHUNK, ref.entries - from);
      if (this.memory.blank({ ...ref, address: ref.address + from * ref.bytes }, count * ref.bytes)) continue;
      if ((this.budget -= count) < 0) return undefined;
      for (const entry of this.memory.entries(ref, from, count))
        for (const [k, child] of entry.children.entries()) {
          const found = ask(child, entry, k);
          if (found !== undefined) return found;
        }
    }
    return undefined;
  }

  /** The way to the entry that holds an address, from the first root that leads there. Null: no table that is known has it. */
  find(place: MemoryPlace, object = ''): { readonly root: TableRoot; readonly steps: readonly PathStep[] } | null {
    this.budget = BUDGET;
    const mine = this.roots.filter((r) => r.object === object && object !== '');
    // Page tables are roots of their own, so the shortest way is the first.
    const order = [...mine, ...this.roots.filter((r) => !mine.includes(r))];
    for (const root of order) {
      const step = this.within(root.ref, place);
      if (step) return { root, steps: [step] };
    }
    const seen = new Set<string>();
    for (const root of order) {
      const steps = this.search(root.ref, place, seen);
      if (steps) return { root, steps };
    }
    return null;
  }

  private within(ref: TableRef, place: MemoryPlace): PathStep | null {
    const { space, guest, address, bytes, entries } = ref;
    if (space !== place.space || (space === 'guest' && place.guest !== undefined && guest !== place.guest)) return null;
    const index = Math.floor((place.address - address) / bytes);
    const entry = index >= 0 && index < entries ? this.entryAt(ref, index) : undefined;
    return entry ? { ref, entry } : null;
  }

  private search(ref: TableRef, place: MemoryPlace, seen: Set<string>): PathStep[] | null {
    const key = refKey(ref);
    if (seen.has(key)) return null;
    seen.add(key);
    return (
      this.children(ref, (child, entry): PathStep[] | undefined => {
        const step = this.within(child, place);
        if (step) return [{ ref, entry }, step];
        const below = this.search(child, place, seen);
        return below ? [{ ref, entry }, ...below] : undefined;
      }) ?? null
    );
  }
}

/** Keys of the entries on a way, and of all that must be open to see the last of them. */
export function keysOf(
  root: string,
  steps: readonly PathStep[],
): { readonly entries: readonly string[]; readonly open: readonly string[] } {
  const entries: string[] = [];
  const open: string[] = [root];
  let table = root;
  for (const [i, { entry }] of steps.entries()) {
    const key = entryKey(table, entry.index);
    entries.push(key);
    const next = steps[i + 1];
    if (!next) break;
    open.push(key);
    const k = entry.children.findIndex((c) => refKey(c) === refKey(next.ref));
    table = childKey(key, entry.children.length, k);
    if (table !== key) open.push(table);
  }
  return { entries, open };
}
