import { hex } from '../../engine/bits/index.ts';
import type { TableEntry, TableRef, TableRoot } from '../../engine/machine/index.ts';
import type { Item } from './fold.ts';
import { refKey, type TableReader } from './reader.ts';
import type { Filter } from './rows.ts';
import { rangeText, runText, wasText, wordChanges } from './say.ts';

/** The tables as text: each root with what it holds, tables below tables indented. */

export interface TextLine {
  readonly depth: number;
  readonly text: string;
  /** What the step did: `new`, `was 0x…`; '' when nothing. */
  readonly change: string;
}

export interface TextSection {
  readonly title: string;
  readonly about: string;
  readonly lines: readonly TextLine[];
  /** Not everything is listed. */
  readonly cut: boolean;
}

/** Lines of one root; the tree shows the rest. */
const MOST = 300;

const NOBODY: ReadonlySet<number> = new Set();

/** Everything that is there: empty ranges only where they have become so, each table once. */
export function tablesText(reader: TableReader, filter: Filter): TextSection[] {
  const roots = reader.roots.filter((r) => filter !== 'changed' || reader.changesIn(r.ref, true));
  const own = new Map(roots.map((r) => [refKey(r.ref), r]));
  return roots.map((root) => {
    const lines: TextLine[] = [];
    const seen = new Set<string>();
    const cut = !walk(reader, filter, root, root.ref, 0, lines, seen, own);
    return { title: root.title, about: root.about, lines, cut };
  });
}

function changeOf(now: TableEntry, before: TableEntry | undefined, count: number): string {
  if (!before) return '';
  if (before.kind === 'empty') return 'new';
  if (count > 1) return `was ${wasText(before, count)}`;
  const words = wordChanges(before, now).map((w) => `word ${w.word}: ${hex(w.from)} → ${hex(w.to)}`);
  return `was ${wasText(before)} (${words.join(', ')})`;
}

/** @returns false when there was more than fits */
function walk(
  reader: TableReader,
  filter: Filter,
  root: TableRoot,
  ref: TableRef,
  depth: number,
  lines: TextLine[],
  seen: Set<string>,
  own: ReadonlyMap<string, TableRoot>,
): boolean {
  seen.add(refKey(ref));
  for (const item of reader.items(ref, NOBODY)) {
    if (lines.length >= MOST) return false;
    const line = lineOf(ref, item);
    const isChanged = line !== null && line.change !== '';
    const children = item.kind === 'entry' ? item.entry.children : [];
    const inside = children.some((c) => !reader.isRoot(c) && reader.changesIn(c));
    const dull = (item.kind === 'run' && item.of === 'empty') || (item.kind === 'entry' && item.entry.kind === 'empty');
    if (!line || (filter === 'changed' && !isChanged && !inside) || (dull && !isChanged)) continue;
    if (filter === 'valid' && item.kind === 'run' && (item.of === 'empty' || item.of === 'invalid')) continue;
    lines.push({ ...line, depth });
    for (const child of children) {
      const other = own.get(refKey(child));
      if (other && other !== root) {
        lines.push({
          depth: depth + 1,
          text: `${child.title} at ${hex(child.address)}: see ${other.title}`,
          change: '',
        });
        continue;
      }
      if (seen.has(refKey(child))) continue;
      if (filter === 'changed' && !reader.changesIn(child)) continue;
      if (children.length > 1)
        lines.push({ depth: depth + 1, text: `${child.title} at ${hex(child.address)}`, change: '' });
      if (!walk(reader, filter, root, child, depth + (children.length > 1 ? 2 : 1), lines, seen, own)) return false;
    }
  }
  return true;
}

function lineOf(ref: TableRef, item: Item): Omit<TextLine, 'depth'> | null {
  if (item.kind === 'chunk')
    return { text: `${rangeText(ref, item.from, item.count)}: ${item.count} entries`, change: '' };
  if (item.kind === 'run') {
    const change = item.before
      ? item.of === 'empty'
        ? 'cleared'
        : item.before.kind === 'empty'
          ? 'new'
          : 'changed'
      : '';
    const was = item.before && item.before.kind !== 'empty' ? `, was ${wasText(item.before, item.count)}` : '';
    return { text: `${rangeText(ref, item.from, item.count)} → ${runText(ref, item)}`, change: `${change}${was}` };
  }
  const { entry, before } = item;
  return { text: `${rangeText(ref, entry.index)} → ${entry.text}`, change: changeOf(entry, before, 1) };
}
