import type { TableEntry, TableMemory, TableRef } from '../../engine/machine/index.ts';

/**
 * The entries of one table with ranges folded: what is empty, entries that say the same, and consecutive pages with the same
 * attributes whose outputs follow one another. Unfolded they are the entries again, none more and none less.
 */
export type Item =
  | {
      readonly kind: 'entry';
      readonly entry: TableEntry;
      /** As it was before the step, when its words are others now. */
      readonly before?: TableEntry;
    }
  | {
      readonly kind: 'run';
      readonly of: 'empty' | 'page' | 'invalid' | 'record';
      readonly from: number;
      readonly count: number;
      /** First entry of it; absent where nothing was read because nothing was ever written. */
      readonly first?: TableEntry;
      /** Before the step these entries were others: the first of them as it was. */
      readonly before?: TableEntry;
    }
  /** Entries that are read when somebody opens them. */
  | { readonly kind: 'chunk'; readonly from: number; readonly count: number };

/** Entries that are read at a time. */
export const CHUNK = 512;
/** A larger table is not read whole, unless most of it was never written. */
const WHOLE = 8192;
const MOST_CHUNKS = WHOLE / CHUNK;

/** Something of what an entry says that must be alike, and follow, in a run. */
const follows = (a: TableEntry, b: TableEntry, span: bigint): boolean => {
  if (a.kind !== b.kind || a.kind === 'table') return false;
  if (a.kind === 'empty') return true;
  if (a.attributes !== b.attributes || a.layout !== b.layout) return false;
  // A record without attributes, such as a queue's entry, is alone.
  if (a.kind === 'record') return a.attributes !== '';
  return a.kind === 'invalid' || b.output === (a.output ?? 0n) + span;
};

export interface FoldInput {
  readonly span: bigint;
  /** What a changed entry was; undefined for one that has not changed. */
  readonly before?: (index: number) => TableEntry | undefined;
  /** Stands for itself whatever its neighbours are. */
  readonly alone?: (index: number) => boolean;
}

/** Folds consecutive entries. Runs have at least two. */
export function foldEntries(entries: readonly TableEntry[], { span, before, alone }: FoldInput): Item[] {
  const out: Item[] = [];
  let start = 0;
  const was = entries.map((e) => before?.(e.index));
  const joins = (i: number): boolean => {
    const [a, b] = [entries[i - 1]!, entries[i]!];
    if (alone?.(a.index) || alone?.(b.index) || b.index !== a.index + 1 || !follows(a, b, span)) return false;
    const [c, d] = [was[i - 1], was[i]];
    return c === undefined || d === undefined ? c === d : follows(c, d, span);
  };
  const close = (end: number): void => {
    const first = entries[start]!;
    const then = was[start] ? { before: was[start]! } : {};
    if (end - start === 1) out.push({ kind: 'entry', entry: first, ...then });
    else
      out.push({
        kind: 'run',
        of: first.kind as 'empty' | 'page' | 'invalid' | 'record',
        from: first.index,
        count: end - start,
        first,
        ...then,
      });
    start = end;
  };
  for (let i = 1; i <= entries.length; i++) if (i === entries.length || !joins(i)) close(i);
  return out;
}

/** Neighbouring empty runs become one; single empties beside one join it. */
function joinEmpty(items: readonly Item[]): Item[] {
  const out: Item[] = [];
  for (const item of items) {
    const last = out.at(-1);
    if (
      last?.kind === 'run' &&
      item.kind === 'run' &&
      last.of === 'empty' &&
      item.of === 'empty' &&
      !last.before &&
      !item.before &&
      last.from + last.count === item.from
    )
      out[out.length - 1] = { ...last, count: last.count + item.count };
    else out.push(item);
  }
  return out;
}

/** Entries `from` to `from + count - 1` folded. Reads what was ever written of them, and the old words of what has changed. */
export function foldRange(
  t: TableMemory,
  ref: TableRef,
  from: number,
  count: number,
  alone?: (index: number) => boolean,
): Item[] {
  const entries = t.entries(ref, from, count);
  const changes = t.changed({ ...ref, address: ref.address + from * ref.bytes }, entries.length * ref.bytes);
  const before = changes
    ? (index: number): TableEntry | undefined =>
        t.changed({ ...ref, address: ref.address + index * ref.bytes }, ref.bytes)
          ? t.before(ref, index, 1)[0]
          : undefined
    : undefined;
  return foldEntries(entries, { span: ref.span, ...(before ? { before } : {}), ...(alone ? { alone } : {}) });
}

/** A whole table. What was never written costs nothing; of a very large one the written pages wait until they are opened. */
export function foldTable(t: TableMemory, ref: TableRef, alone?: (index: number) => boolean): Item[] {
  const chunks: { readonly from: number; readonly count: number; readonly blank: boolean }[] = [];
  for (let from = 0; from < ref.entries; from += CHUNK) {
    const count = Math.min(CHUNK, ref.entries - from);
    const blank = t.blank({ ...ref, address: ref.address + from * ref.bytes }, count * ref.bytes);
    chunks.push({ from, count, blank });
  }
  const few = chunks.filter((c) => !c.blank).length <= MOST_CHUNKS;
  if (few && ref.entries <= WHOLE && !chunks.some((c) => c.blank)) return foldRange(t, ref, 0, ref.entries, alone);
  const items = chunks.flatMap((c): Item[] => {
    const asked = alone ? Array.from({ length: c.count }, (_, i) => c.from + i).some(alone) : false;
    if (c.blank && !asked) return [{ kind: 'run', of: 'empty', from: c.from, count: c.count }];
    return few || asked ? foldRange(t, ref, c.from, c.count, alone) : [{ kind: 'chunk', from: c.from, count: c.count }];
  });
  return joinEmpty(items);
}

/** Entries that an item stands for. */
export const sizeOfItem = (item: Item): { readonly from: number; readonly count: number } =>
  item.kind === 'entry' ? { from: item.entry.index, count: 1 } : item;

/** What an opened run or chunk shows: its entries one by one, or its parts where they are many. */
export function unfold(t: TableMemory, ref: TableRef, item: Exclude<Item, { kind: 'entry' }>): Item[] {
  if (item.kind === 'run' && item.count > 2 * CHUNK) {
    const parts: Item[] = [];
    for (let from = item.from; from < item.from + item.count; from += CHUNK)
      parts.push({ kind: 'chunk', from, count: Math.min(CHUNK, item.from + item.count - from) });
    return parts;
  }
  if (item.kind === 'chunk') return foldRange(t, ref, item.from, item.count);
  return foldRange(t, ref, item.from, item.count, () => true);
}
