/**
 * A plain walk of VMSAv8-64 tables over the pasted bytes, one descriptor at a time: where the next read is, and what of it is
 * missing. Source: Arm DDI 0487 D8 (descriptors, start level), Arm IHI 0070 5.2 and 5.4 (what STE and CD say).
 */

import { fieldOf, getField } from '../../engine/bits/index.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import type { Image } from '../image.ts';

/** A table tree as an STE or a CD describes it. */
export interface Tree {
  readonly stage: 1 | 2;
  readonly root: number;
  /** Log2 of the granule. */
  readonly granule: number;
  readonly start: number;
  readonly bits: number;
  /** Added to every input: the upper half of the address space. */
  readonly offset: bigint;
}

const granules = [12, 16, 14, 0] as const;
const granules1 = [0, 14, 12, 16] as const;

const steField = (words: readonly bigint[], name: string): bigint => getField(fieldOf(steLayout, name), words);
const cdField = (words: readonly bigint[], name: string): bigint => getField(fieldOf(cdLayout, name), words);

/** Bits of the index at the start level. */
const firstBits = (bits: number, granule: number, start: number): number =>
  bits - granule - (3 - start) * (granule - 3);

const aligned = (address: bigint, bits: number): number => {
  const size = 1n << BigInt(Math.max(bits + 3, 6));
  return Number(address - (address % size));
};

/** Stage-2 tables of an STE that translates with stage 2, or null. */
export function stage2Tree(ste: readonly bigint[]): Tree | null {
  const granule = granules[Number(steField(ste, 'S2TG'))] as number;
  if (granule === 0) return null;
  const bits = 64 - Number(steField(ste, 'S2T0SZ'));
  const sl0 = Number(steField(ste, 'S2SL0'));
  const start = granule === 12 ? (sl0 === 3 ? 3 : 2 - sl0) : 3 - sl0;
  const first = firstBits(bits, granule, start);
  if (first < 1 || first > granule + 1) return null;
  return { stage: 2, root: aligned(steField(ste, 'S2TTB'), first), granule, start, bits, offset: 0n };
}

/** Stage-1 tables of a CD: the lower half, and the upper one. */
export function stage1Trees(cd: readonly bigint[]): Tree[] {
  return ([0, 1] as const).flatMap((n) => {
    if (cdField(cd, `EPD${n}`) === 1n) return [];
    const granule = (n === 0 ? granules : granules1)[Number(cdField(cd, `TG${n}`))] as number;
    const bits = 64 - Number(cdField(cd, `T${n}SZ`));
    if (granule === 0 || bits <= granule || bits > 52) return [];
    const levels = Math.ceil((bits - granule) / (granule - 3));
    const start = 4 - levels;
    const root = aligned(cdField(cd, `TTB${n}`), firstBits(bits, granule, start));
    return [{ stage: 1, root, granule, start, bits, offset: n === 0 ? 0n : (1n << 64n) - (1n << BigInt(bits)) }];
  });
}

export type Form = 'invalid' | 'table' | 'block' | 'page';

/** What a descriptor is at a level. */
export function formOf(word: bigint, level: number, granule: number): Form {
  const type = Number(word & 3n);
  if (level === 3) return type === 3 ? 'page' : 'invalid';
  if (type === 3) return 'table';
  const block = granule === 12 ? level === 1 || level === 2 : level === 2 || (granule === 16 && level === 1);
  return type === 1 && block ? 'block' : 'invalid';
}

export const shiftOf = (level: number, granule: number): number => granule + (3 - level) * (granule - 3);

/** Address bits of a descriptor from `shift` up; with 64 KiB granules bits 15:12 hold address bits 51:48. */
export function outputOf(word: bigint, shift: number, granule: number): number {
  const base = word & 0xffffffffffffn & ~((1n << BigInt(shift)) - 1n);
  return Number(granule === 16 ? base | (((word >> 12n) & 0xfn) << 48n) : base);
}

/** Entries of a table at a level. */
export const entriesOf = (tree: Tree, level: number): number =>
  2 ** (level === tree.start ? firstBits(tree.bits, tree.granule, level) : tree.granule - 3);

export type WalkEnd =
  | {
      readonly kind: 'mapped';
      readonly out: number;
      readonly word: bigint;
      readonly shift: number;
      /** The text gives the bytes under the guest's address, not under the physical one. */
      readonly guest?: boolean;
    }
  | { readonly kind: 'invalid'; readonly at: number; readonly level: number; readonly stage: 1 | 2 }
  /** The text does not hold the word at this (physical) address. */
  | { readonly kind: 'missing'; readonly at: number; readonly level: number; readonly stage: 1 | 2 };

/** Turns a table address into a physical one: identity, or stage 2. */
export type ToPhysical = (address: number) => WalkEnd;

const identity: ToPhysical = (address) => ({ kind: 'mapped', out: address, word: 0n, shift: 64 });

/** Walks one input address. `input` has the tree's offset already taken off. */
export function walk(image: Image, tree: Tree, input: number, physical: ToPhysical = identity): WalkEnd {
  let table = tree.root;
  for (let level = tree.start; level <= 3; level++) {
    const shift = shiftOf(level, tree.granule);
    const index = Math.floor(input / 2 ** shift) % entriesOf(tree, level);
    const to = physical(table + index * 8);
    if (to.kind !== 'mapped') return to;
    const word = image.word(to.out);
    if (word === null) return { kind: 'missing', at: to.out, level, stage: tree.stage };
    const form = formOf(word, level, tree.granule);
    if (form === 'invalid') return { kind: 'invalid', at: to.out, level, stage: tree.stage };
    if (form === 'table') {
      table = outputOf(word, tree.granule, tree.granule);
      continue;
    }
    return { kind: 'mapped', out: outputOf(word, shift, tree.granule) + (input % 2 ** shift), word, shift };
  }
  throw new Error('a walk ends at level 3');
}

/** A table that a walk can reach and of which the text holds at least a part. */
export interface FoundTable {
  readonly tree: Tree;
  readonly level: number;
  /** Where its bytes lie in the image. */
  readonly pa: number;
  readonly entries: number;
  /** First input address that it covers, without the tree's offset. */
  readonly input: number;
  /** `pa` is a guest physical address: the text gives the bytes under that. */
  readonly guest: boolean;
}

/** A leaf that the text reaches. */
export interface FoundLeaf {
  readonly tree: Tree;
  readonly input: number;
  readonly word: bigint;
  readonly level: number;
  readonly out: number;
}

const mostTables = 4096;

/**
 * Follows every table descriptor that the text holds, depth first and in the order of the input addresses.
 * @returns the tables, some leaves of each, and the tables that are missing
 */
export function explore(
  image: Image,
  tree: Tree,
  physical: ToPhysical = identity,
): { tables: FoundTable[]; leaves: FoundLeaf[]; missing: { at: number; level: number; input: number }[] } {
  const tables: FoundTable[] = [];
  const leaves: FoundLeaf[] = [];
  const missing: { at: number; level: number; input: number }[] = [];
  const seen = new Set<string>();
  const visit = (table: number, level: number, input: number): void => {
    const key = `${level} ${table}`;
    if (seen.has(key) || tables.length >= mostTables) return;
    seen.add(key);
    const entries = entriesOf(tree, level);
    const shift = shiftOf(level, tree.granule);
    let any = false;
    let base = -1;
    for (let i = 0; i < entries; i++) {
      // The table is one piece of physical memory within each 4 KiB only.
      if (i % 512 === 0) {
        const to = physical(table + i * 8);
        base = to.kind === 'mapped' ? to.out : -1;
        if (base >= 0 && image.touches(base))
          tables.push({
            tree,
            level,
            pa: base,
            entries: Math.min(512, entries - i),
            input: input + i * 2 ** shift,
            guest: to.kind === 'mapped' && to.guest === true,
          });
      }
      if (base < 0) continue;
      const word = image.word(base + (i % 512) * 8);
      if (word === null) continue;
      any = true;
      const form = formOf(word, level, tree.granule);
      const at = input + i * 2 ** shift;
      if (form === 'table') visit(outputOf(word, tree.granule, tree.granule), level + 1, at);
      else if (form !== 'invalid' && leaves.length < 4096)
        leaves.push({ tree, input: at, word, level, out: outputOf(word, shift, tree.granule) });
    }
    if (!any) missing.push({ at: table, level, input });
  };
  visit(tree.root, tree.start, 0);
  return { tables, leaves, missing };
}
