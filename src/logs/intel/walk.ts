/**
 * VT-d's tables over the bytes of a text: what points to what, and where a walk arrives. One entry at a time; what the text does
 * not hold is named. Source: Intel VT-d, 3.4 to 3.8, 9.1 to 9.9.
 */

import { fieldOf, getField, type Layout } from '../../engine/bits/index.ts';
import { pasidLayout, secondStageEntryLayout, vtdLevelShift, x86EntryLayout } from '../../engine/vtd/layout/index.ts';
import type { Image } from '../image.ts';

/** A page table as an entry describes it. */
export interface Tree {
  readonly stage: 1 | 2;
  readonly root: number;
  readonly levels: number;
}

export const field = (layout: Layout, name: string, words: readonly bigint[]): bigint =>
  getField(fieldOf(layout, name), words);

const pasid = (words: readonly bigint[], name: string): bigint => field(pasidLayout, name, words);

/** Widest address that a document's memory has. */
const MASK = 0x000f_ffff_ffff_f000n;

/** The stages of a PASID entry. */
export function treesOf(words: readonly bigint[]): { first: Tree | null; second: Tree | null } {
  const pgtt = pasid(words, 'PGTT');
  const aw = Number(pasid(words, 'AW'));
  return {
    first:
      pgtt === 1n || pgtt === 3n
        ? { stage: 1, root: Number(pasid(words, 'FSPTPTR') & MASK), levels: pasid(words, 'FSPM') === 1n ? 5 : 4 }
        : null,
    second:
      (pgtt === 2n || pgtt === 3n) && aw >= 1 && aw <= 3
        ? { stage: 2, root: Number(pasid(words, 'SSPTPTR') & MASK), levels: aw + 2 }
        : null,
  };
}

export type Form = 'absent' | 'table' | 'page';

/** What an entry is at a level. */
export function formOf(stage: 1 | 2, level: number, word: bigint): Form {
  const id = (stage === 1 ? x86EntryLayout(level, word) : secondStageEntryLayout(level, word)).id;
  return id.endsWith('.absent') ? 'absent' : id.endsWith('.table') ? 'table' : 'page';
}

/** Where an entry points to, without the bits below its page. */
export const outputOf = (level: number, form: Form, word: bigint): number =>
  Number(word & MASK & ~((1n << BigInt(form === 'page' ? vtdLevelShift(level) : 12)) - 1n));

export const indexOf = (level: number, input: bigint): number =>
  Number((input >> BigInt(vtdLevelShift(level))) & 0x1ffn);

export type WalkEnd =
  | { readonly kind: 'mapped'; readonly out: number; readonly guest?: boolean }
  | { readonly kind: 'absent'; readonly at: number; readonly stage: 1 | 2; readonly level: number }
  | { readonly kind: 'missing'; readonly at: number; readonly stage: 1 | 2; readonly level: number };

export type ToPhysical = (address: number) => WalkEnd;
export const identity: ToPhysical = (address) => ({ kind: 'mapped', out: address });

/** Walks one address through one stage. */
export function walk(image: Image, tree: Tree, input: bigint, physical: ToPhysical = identity): WalkEnd {
  let table = tree.root;
  for (let level = tree.levels; level >= 1; level--) {
    const to = physical(table + indexOf(level, input) * 8);
    if (to.kind !== 'mapped') return to;
    const word = image.word(to.out);
    if (word === null) return { kind: 'missing', at: to.out, stage: tree.stage, level };
    const form = formOf(tree.stage, level, word);
    if (form === 'absent') return { kind: 'absent', at: to.out, stage: tree.stage, level };
    const out = outputOf(level, form, word);
    if (form === 'page')
      return { kind: 'mapped', out: out + Number(input & ((1n << BigInt(vtdLevelShift(level))) - 1n)) };
    table = out;
  }
  return { kind: 'absent', at: table, stage: tree.stage, level: 0 };
}

/** Where a second stage puts guest addresses; bytes that the text gives under the guest's own address count too. */
export function throughSecond(image: Image, second: Tree | null): ToPhysical {
  if (!second) return identity;
  return (a) => {
    const end = walk(image, second, BigInt(a));
    const there = end.kind === 'mapped';
    const guest: WalkEnd = { kind: 'mapped', out: a, guest: true };
    if (there && image.word(end.out - (end.out % 8)) !== null) return end;
    if (image.word(a - (a % 8)) !== null) return guest;
    // Of a table that the text gives in part, any word tells where it lies.
    if (there && image.touches(end.out)) return end;
    return image.touches(a) ? guest : end;
  };
}

/** A table that the text holds, at least in part. */
export interface FoundTable {
  readonly tree: Tree;
  readonly level: number;
  readonly pa: number;
  /** First input address that it covers. */
  readonly input: bigint;
  /** `pa` is a guest address. */
  readonly guest: boolean;
}

export interface FoundLeaf {
  readonly input: bigint;
  readonly out: number;
  readonly word: bigint;
}

const MOST_TABLES = 4096;
const MOST_LEAVES = 4096;

/** Follows every entry that the text holds, in the order of the input addresses. */
export function explore(
  image: Image,
  tree: Tree,
  physical: ToPhysical = identity,
): { readonly tables: FoundTable[]; readonly leaves: FoundLeaf[] } {
  const tables: FoundTable[] = [];
  const leaves: FoundLeaf[] = [];
  const seen = new Set<string>();
  const visit = (table: number, level: number, input: bigint): void => {
    const to = physical(table);
    const base = to.kind === 'mapped' ? to.out : table;
    const key = `${level} ${base}`;
    if (level < 1 || seen.has(key) || tables.length >= MOST_TABLES || !image.touches(base)) return;
    seen.add(key);
    tables.push({ tree, level, pa: base, input, guest: to.kind === 'mapped' && to.guest === true });
    for (let i = 0; i < 512; i++) {
      const word = image.word(base + 8 * i);
      if (word === null || word === 0n) continue;
      const form = formOf(tree.stage, level, word);
      const at = input + (BigInt(i) << BigInt(vtdLevelShift(level)));
      if (form === 'table') visit(outputOf(level, form, word), level - 1, at);
      else if (form === 'page' && leaves.length < MOST_LEAVES)
        leaves.push({ input: signed(tree, at), out: outputOf(level, form, word), word });
    }
  };
  visit(tree.root, tree.levels, 0n);
  return { tables, leaves };
}

/** The upper half of a first stage has all upper bits set. */
export function signed(tree: Tree, input: bigint): bigint {
  const bits = 12 + 9 * tree.levels;
  return tree.stage === 1 && bits < 64 ? BigInt.asUintN(64, BigInt.asIntN(bits, input)) : input;
}
