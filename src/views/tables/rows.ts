import type { TableEntry, TableRef, TableRoot } from '../../engine/machine/index.ts';
import { CHUNK, type Item } from './fold.ts';
import { childKey, itemKey, rootKey, type TableReader } from './reader.ts';

/** The tree as the lines that are open. */

export type Filter = 'all' | 'valid' | 'changed';

interface Base {
  readonly key: string;
  /** Row that it stands under; '' for a root. */
  readonly parent: string;
  readonly depth: number;
  /** Its place among its siblings, from 1, and how many there are. */
  readonly pos: number;
  readonly size: number;
  readonly root: TableRoot;
  /** Table that it is, or is part of. */
  readonly ref: TableRef;
  readonly expandable: boolean;
  readonly open: boolean;
  /** Something below it has changed. */
  readonly inside: boolean;
  /** A walk that was asked for goes through it. */
  readonly onPath: boolean;
}

export type Row = Base &
  (
    | { readonly kind: 'root' | 'table' }
    | { readonly kind: 'entry'; readonly entry: TableEntry; readonly before?: TableEntry }
    | { readonly kind: 'run'; readonly item: Extract<Item, { kind: 'run' }> }
    | { readonly kind: 'chunk'; readonly item: Extract<Item, { kind: 'chunk' }> }
    /** Nothing passes the filter. */
    | { readonly kind: 'note'; readonly text: string }
  );

export interface TreeState {
  /** Keys of rows that are open; with the filter for changes, those with changes inside are open unless `closedKey` is here. */
  readonly open: ReadonlySet<string>;
  readonly filter: Filter;
  /** Keys of entries that a walk goes through. */
  readonly path: ReadonlySet<string>;
  /** Keys of entries that stand alone: those of the path, and one that was selected elsewhere. */
  readonly pins: ReadonlySet<string>;
}

export const closedKey = (key: string): string => `-${key}`;

const isOpen = (s: TreeState, key: string, inside: boolean): boolean =>
  s.filter === 'changed' && inside ? !s.open.has(closedKey(key)) : s.open.has(key);

/** Whether a table has changes in it. Where only those are listed, a table that stands by itself has them there alone. */
const changesIn = (reader: TableReader, s: TreeState, ref: TableRef): boolean =>
  s.filter === 'changed' ? !reader.isRoot(ref) && reader.changesIn(ref, true) : reader.changesIn(ref);

/** Lines beyond which the tree is cut: nobody reads them, and a filter shows the rest. */
const MOST = 200_000;

type Part = Omit<Row, 'pos' | 'size'> & { readonly below?: () => Part[] };

/** Every line that is to be seen, from top to bottom. Only tables that are open are read. */
export function rowsOf(reader: TableReader, s: TreeState): Row[] {
  const out: Row[] = [];
  const place = (parts: readonly Part[]): void => {
    for (const [i, { below, ...part }] of parts.entries()) {
      if (out.length >= MOST) return;
      out.push({ ...part, pos: i + 1, size: parts.length } as Row);
      if (part.open && below) place(below());
    }
  };
  const roots = reader.roots.filter((r) => s.filter !== 'changed' || reader.changesIn(r.ref, true));
  place(
    roots.map((root): Part => {
      const key = rootKey(root);
      const inside = reader.changesIn(root.ref);
      return {
        ...base(root, root.ref, key, '', 0, s),
        kind: 'root',
        expandable: true,
        open: isOpen(s, key, inside),
        inside,
        below: () => tableParts(reader, s, root, root.ref, key, 1, key),
      };
    }),
  );
  return out;
}

const base = (root: TableRoot, ref: TableRef, key: string, parent: string, depth: number, s: TreeState) => ({
  key,
  parent,
  depth,
  root,
  ref,
  onPath: s.path.has(key),
});

/** Indexes of a table's entries that are not to be folded. */
function aloneIn(table: string, pins: ReadonlySet<string>): Set<number> {
  const out = new Set<number>();
  const head = `${table}/`;
  for (const p of pins)
    if (p.startsWith(head)) {
      const rest = /^(\d+)(?:$|[./])/.exec(p.slice(head.length));
      if (rest) out.add(Number(rest[1]));
    }
  return out;
}

/** @param table the key under which its entries stand @param parent the row that it opens under */
function tableParts(
  reader: TableReader,
  s: TreeState,
  root: TableRoot,
  ref: TableRef,
  table: string,
  depth: number,
  parent: string,
): Part[] {
  const parts = itemParts(reader, s, root, ref, reader.items(ref, aloneIn(table, s.pins)), table, depth, parent);
  if (parts.length > 0) return parts;
  const text = s.filter === 'changed' ? 'Nothing in it has changed.' : 'Nothing in it is valid.';
  const note = { ...base(root, ref, `${table}/note`, parent, depth, s), kind: 'note', text } as const;
  return [{ ...note, expandable: false, open: false, inside: false } as Part];
}

function itemParts(
  reader: TableReader,
  s: TreeState,
  root: TableRoot,
  ref: TableRef,
  items: readonly Item[],
  table: string,
  depth: number,
  parent: string,
): Part[] {
  return items.flatMap((item): Part[] => {
    const key = itemKey(table, item);
    const at = base(root, ref, key, parent, depth, s);
    if (item.kind !== 'entry') {
      const changed = item.kind === 'run' ? item.before !== undefined : changedChunk(reader, ref, item);
      if (s.filter === 'changed' && !changed) return [];
      if (s.filter === 'valid' && item.kind === 'run' && (item.of === 'empty' || item.of === 'invalid')) return [];
      const below = (): Part[] => itemParts(reader, s, root, ref, reader.unfolded(ref, item), table, depth + 1, key);
      const open = s.open.has(key);
      const rest = { ...at, expandable: true, open, inside: item.kind === 'chunk' && changed, below };
      return [
        item.kind === 'run' ? ({ ...rest, kind: 'run', item } as Part) : ({ ...rest, kind: 'chunk', item } as Part),
      ];
    }
    const { entry, before } = item;
    const { children } = entry;
    const inside = children.some((c) => changesIn(reader, s, c));
    if (s.filter === 'changed' && !before && !inside) return [];
    if (s.filter === 'valid' && (entry.kind === 'empty' || entry.kind === 'invalid')) return [];
    const only = children.length === 1 ? children[0]! : null;
    const below = (): Part[] =>
      only
        ? tableParts(reader, s, root, only, key, depth + 1, key)
        : children.map((child, k): Part => {
            const under = childKey(key, children.length, k);
            return {
              ...base(root, child, under, key, depth + 1, s),
              kind: 'table',
              expandable: true,
              open: isOpen(s, under, changesIn(reader, s, child)),
              inside: changesIn(reader, s, child),
              below: () => tableParts(reader, s, root, child, under, depth + 2, under),
            };
          });
    const part = {
      ...at,
      kind: 'entry',
      entry,
      ...(before ? { before } : {}),
      expandable: children.length > 0,
      open: children.length > 0 && isOpen(s, key, inside),
      inside,
      below,
    };
    return [part as Part];
  });
}

const changedChunk = (reader: TableReader, ref: TableRef, item: { from: number; count: number }): boolean =>
  reader.memory.changed(
    { ...ref, address: ref.address + item.from * ref.bytes },
    Math.min(item.count, CHUNK) * ref.bytes,
  );
