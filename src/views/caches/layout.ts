import type { Life } from '../../engine/analysis/index.ts';
import { textWidth } from '../topology/measure.ts';
import type { Group, Section } from './arrange.ts';
import type { Cache } from './model.ts';

/** All lengths are CSS pixels at a font size of 16; the page may be larger as a whole. */

export const rowHeight = 24;
export const headHeight = 26;
export const groupHeight = 26;
const cellSize = 12;
const headSize = 11;
const gap = 8;
/** A longer cell is cut and says the rest in its title. */
const widest = 150;

/** Widths of a cache's columns, wide enough for every entry that it ever has, so that nothing moves from step to step. */
export function columnWidths(cache: Cache, lives: readonly Life[]): number[] {
  const most = cache.columns.map(() => '');
  for (const l of lives) {
    if (l.at !== cache.id) continue;
    for (let i = 0; i < most.length; i++) if ((l.cells[i]?.length ?? 0) > most[i]!.length) most[i] = l.cells[i]!;
  }
  return cache.columns.map((name, i) =>
    Math.ceil(
      Math.min(widest, Math.max(textWidth(name, 'title', headSize) + 8, textWidth(most[i]!, 'mono', cellSize))) + gap,
    ),
  );
}

/** Where the parts of a line stand. */
export interface Frame {
  readonly width: number;
  readonly state: { readonly x: number; readonly w: number };
  /** Where the cells of a cache begin. */
  readonly cells: { readonly x: number; readonly w: number };
  readonly hits: { readonly x: number; readonly w: number };
  readonly filled: { readonly x: number; readonly w: number };
  /** Null while no removed entry is shown. */
  readonly removed: { readonly x: number; readonly w: number } | null;
  readonly line: { readonly x: number; readonly w: number };
  /** The texts of fill and removal have no room: only their places are said. */
  readonly brief: boolean;
}

const pad = 8;
const stateWidth = 124;
const hitsWidth = 38;
const leastLine = 80;
const briefWidth = 46;
const leastText = 104;

/**
 * Lays out a line. Where the width does not suffice it is wider than the window, which then scrolls.
 * @param cells width of the widest cells of the caches that are shown
 */
export function layoutFrame(width: number, cells: number, withRemoved: boolean): Frame {
  const texts = withRemoved ? 2 : 1;
  const fixed = pad + stateWidth + cells + hitsWidth + pad;
  const rest = width - fixed;
  const brief = rest < leastLine + texts * leastText;
  const line = brief
    ? Math.max(leastLine, rest - texts * briefWidth)
    : Math.min(Math.max(leastLine, Math.floor(rest * 0.5)), 720);
  const text = brief ? briefWidth : Math.floor((rest - line) / texts);
  let x = pad;
  const take = (w: number): { x: number; w: number } => {
    const part = { x, w };
    x += w;
    return part;
  };
  const parts = {
    state: take(stateWidth),
    cells: take(cells),
    hits: take(hitsWidth),
    filled: take(text),
    removed: withRemoved ? take(text) : null,
    line: take(line),
  };
  return { ...parts, width: x + pad, brief };
}

export interface GroupBlock {
  readonly kind: 'group';
  readonly key: string;
  readonly top: number;
  readonly height: number;
  readonly group: Group;
  readonly folded: boolean;
}

export interface SectionBlock {
  readonly kind: 'section';
  readonly key: string;
  readonly top: number;
  readonly height: number;
  readonly section: Section;
  readonly folded: boolean;
  /** Number of its head among all lines; its rows follow. */
  readonly first: number;
}

export type Block = GroupBlock | SectionBlock;

export interface Stack {
  readonly blocks: readonly Block[];
  readonly height: number;
  /** Lines in all: heads of groups, heads of sections, rows. */
  readonly lines: number;
}

/** Groups and sections below each other. @param folded keys of groups (`group KEY`) and sections that are closed */
export function stack(groups: readonly Group[], folded: ReadonlySet<string>): Stack {
  const blocks: Block[] = [];
  let top = 0;
  let lines = 0;
  for (const group of groups) {
    const key = `group ${group.key}`;
    const closed = group.title !== '' && folded.has(key);
    if (group.title !== '') {
      blocks.push({ kind: 'group', key, top, height: groupHeight, group, folded: closed });
      top += groupHeight;
      lines++;
    }
    if (closed) continue;
    for (const section of group.sections) {
      const shut = folded.has(section.key);
      const height = headHeight + (shut ? 0 : section.entries.length * rowHeight);
      blocks.push({ kind: 'section', key: section.key, top, height, section, folded: shut, first: lines });
      top += height;
      lines += 1 + (shut ? 0 : section.entries.length);
    }
  }
  return { blocks, height: top, lines };
}

/** The blocks that reach into a window. */
export function blocksIn(s: Stack, top: number, height: number): readonly Block[] {
  let low = 0;
  let high = s.blocks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const b = s.blocks[middle]!;
    if (b.top + b.height <= top) low = middle + 1;
    else high = middle;
  }
  const out: Block[] = [];
  for (let i = low; i < s.blocks.length && s.blocks[i]!.top < top + height; i++) out.push(s.blocks[i]!);
  return out;
}

/** Rows [from, to) of a section that reach into a window, and a few around them. */
export function rowsIn(b: SectionBlock, top: number, height: number, margin = 8): { from: number; to: number } {
  if (b.folded) return { from: 0, to: 0 };
  const n = b.section.entries.length;
  const from = Math.floor((top - b.top - headHeight) / rowHeight) - margin;
  const to = Math.ceil((top + height - b.top - headHeight) / rowHeight) + margin;
  return { from: Math.max(0, Math.min(n, from)), to: Math.max(0, Math.min(n, to)) };
}

/** A line of the list by its number. */
export type LineOf =
  | { readonly block: GroupBlock; readonly row: null; readonly top: number; readonly height: number }
  | { readonly block: SectionBlock; readonly row: number | null; readonly top: number; readonly height: number };

export function lineAt(s: Stack, line: number): LineOf | null {
  let n = 0;
  for (const block of s.blocks) {
    if (block.kind === 'group') {
      if (n === line) return { block, row: null, top: block.top, height: block.height };
      n++;
      continue;
    }
    const rows = block.folded ? 0 : block.section.entries.length;
    if (line <= n + rows) {
      if (line === n) return { block, row: null, top: block.top, height: headHeight };
      const row = line - n - 1;
      return { block, row, top: block.top + headHeight + row * rowHeight, height: rowHeight };
    }
    n += 1 + rows;
  }
  return null;
}

/** Number of the line of an entry; -1 where it is not shown. Of several entries that had the row, the last one. */
export function lineOfEntry(s: Stack, at: string, row: number): number {
  let found = -1;
  for (const b of s.blocks) {
    if (b.kind !== 'section' || b.folded || b.section.cache.id !== at) continue;
    const i = b.section.entries.findLastIndex((e) => e.life.entry === row);
    if (i >= 0) found = b.first + 1 + i;
  }
  return found;
}
