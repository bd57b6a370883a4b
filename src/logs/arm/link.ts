/**
 * What lies where in a dump: entries found by their form point to others (an STE to its CDs and stage-2 tables, a CD to its
 * stage-1 tables), and what is pointed to needs no guess.
 */

import { fieldOf, getField } from '../../engine/bits/index.ts';
import { cdLayout, l1cdLayout, l1stdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { Image } from '../image.ts';
import type { Block } from './blocks.ts';
import { judgeCd, judgeSte } from './judge.ts';
import { getter } from './legality.ts';
import {
  explore,
  type FoundLeaf,
  type FoundTable,
  stage1Trees,
  stage2Tree,
  type ToPhysical,
  type Tree,
  type WalkEnd,
  walk,
} from './table-walk.ts';

export interface SteFound {
  readonly words: readonly bigint[];
  /** Where its bytes lie in the image, null where the text has no address. */
  readonly address: number | null;
  readonly sid: number | null;
  readonly block: Block;
}

export interface CdFound {
  readonly words: readonly bigint[];
  readonly address: number | null;
  /** `address` is a guest physical one. */
  readonly guest: boolean;
  readonly ssid: number;
  /** The STE that leads here, null for one that nothing points to. */
  readonly ste: SteFound | null;
  readonly trees: readonly TreeFound[];
}

export interface TreeFound {
  readonly tree: Tree;
  readonly tables: readonly FoundTable[];
  readonly leaves: readonly FoundLeaf[];
  readonly missing: readonly { readonly at: number; readonly level: number; readonly input: number }[];
}

export type Role =
  | { readonly kind: 'ste'; readonly at: number; readonly bytes: number; readonly sid: number | null }
  | {
      readonly kind: 'cd';
      readonly at: number;
      readonly bytes: number;
      readonly ssid: number;
      readonly s1stalld: boolean;
      readonly guest: boolean;
    }
  | { readonly kind: 'l1cd'; readonly at: number; readonly bytes: number; readonly guest: boolean }
  | { readonly kind: 'table'; readonly at: number; readonly bytes: number; readonly found: FoundTable };

/** Everything found in the blocks of a text. */
export interface Dump {
  readonly arch: 'smmuv3';
  readonly blocks: readonly Block[];
  readonly image: Image;
  readonly stes: readonly SteFound[];
  readonly cds: readonly CdFound[];
  /** Stage-2 trees by STE. */
  readonly stage2: ReadonlyMap<SteFound, TreeFound>;
  /** Subtracted from the virtual addresses of the text; null where it has none, or none that fits. */
  readonly linear: bigint | null;
  /** Tables that nothing in the text points to, taken as stage 1: a text of nothing but table pages. */
  readonly lone: TreeFound | null;
  roleAt(address: number): Role | null;
}

const steGet = (w: readonly bigint[], n: string): bigint => getter(steLayout, w)(n);
const cdGet = (w: readonly bigint[], n: string): bigint => getter(cdLayout, w)(n);

/** Kernel virtual addresses: no physical address has bits from here up. */
const VIRTUAL = 1n << 52n;

/** The distance of a linear map that lets the most pointers of the dump hit its blocks. */
function linearMap(blocks: readonly Block[]): bigint | null {
  const virtual = blocks.filter((b) => b.address !== null && b.address >= VIRTUAL);
  if (virtual.length === 0) return null;
  const pointers: bigint[] = [];
  for (const b of blocks) {
    const { kind } = b;
    for (let i = 0; i + 8 <= b.words.length && pointers.length < 256; i += 8) {
      const w = b.words.slice(i, i + 8);
      if (kind === 'ste') pointers.push(steGet(w, 'S1ContextPtr'), steGet(w, 'S2TTB'));
      if (kind === 'cd') pointers.push(cdGet(w, 'TTB0'), cdGet(w, 'TTB1'));
    }
    if (kind === 'descriptors')
      for (const w of b.words.slice(0, 512))
        if ((w & 3n) === 3n && pointers.length < 512) pointers.push(w & 0xfffffffff000n);
  }
  const wanted = [...new Set(pointers)].filter((p) => p !== 0n);
  const hitsOf = (delta: bigint): number =>
    wanted.filter((q) =>
      virtual.some((v) => v.address! - delta <= q && q < v.address! - delta + BigInt(8 * v.words.length)),
    ).length;
  let best = 0n;
  let most = 0;
  for (const b of virtual.slice(0, 32))
    for (const p of wanted.slice(0, 64)) {
      const delta = b.address! - p;
      if (delta <= 0n || delta % 4096n !== 0n || best === delta) continue;
      const hits = hitsOf(delta);
      if (hits <= most) continue;
      most = hits;
      best = delta;
    }
  return most > 0 ? best : null;
}

class Roles {
  readonly #byPage = new Map<number, Role[]>();

  add(role: Role): void {
    for (let page = Math.floor(role.at / 4096); page * 4096 < role.at + role.bytes; page++) {
      const list = this.#byPage.get(page);
      if (!list) this.#byPage.set(page, [role]);
      else if (list.length < 80 && !list.some((r) => r.kind === role.kind && r.at === role.at)) list.push(role);
    }
  }

  /** What was found by its own form counts more than what a pointer makes of it. */
  at(address: number): Role | null {
    let table: Role | null = null;
    for (const r of this.#byPage.get(Math.floor(address / 4096)) ?? []) {
      if (address < r.at || address >= r.at + r.bytes) continue;
      if (r.kind !== 'table') return r;
      table ??= r;
    }
    return table;
  }
}

/** Where stage 2 of an STE takes an address; without stage 2, or without its tables in the text, the address itself. */
export function physicalOf(image: Image, ste: readonly bigint[] | null): ToPhysical {
  const identity: ToPhysical = (a) => ({ kind: 'mapped', out: a, word: 0n, shift: 64 });
  if (!ste || (steGet(ste, 'Config') & 7n) !== 7n) return identity;
  const tree = stage2Tree(ste);
  if (!tree) return identity;
  return (a) => walk(image, tree, a);
}

/** As `physicalOf`, but bytes that the text gives under the guest's own address are taken from there. */
function reachable(image: Image, ste: readonly bigint[] | null): ToPhysical {
  const to = physicalOf(image, ste);
  if (!ste || (steGet(ste, 'Config') & 7n) !== 7n) return to;
  return (a) => {
    const end = to(a);
    const there = end.kind === 'mapped';
    const guest: WalkEnd = { kind: 'mapped', out: a, word: 0n, shift: 12, guest: true };
    if (there && image.word(end.out - (end.out % 8)) !== null) return end;
    if (image.word(a - (a % 8)) !== null) return guest;
    // Of a table that the text gives in part, any word tells where it lies.
    if (there && image.touches(end.out)) return end;
    return image.touches(a) ? guest : end;
  };
}

/** Puts the blocks of a text together. */
export function link(blocks: readonly Block[]): Dump {
  const linear = linearMap(blocks);
  const image = new Image();
  for (const b of blocks) {
    b.pa = b.address === null ? null : b.address < VIRTUAL ? Number(b.address) : null;
    if (b.address !== null && b.address >= VIRTUAL && linear !== null && b.address >= linear)
      b.pa = Number(b.address - linear);
    if (b.pa !== null && (b.pa % 8 !== 0 || b.pa > Number(VIRTUAL))) b.pa = null;
    if (b.pa !== null) image.add(b.pa, b.words);
  }
  const roles = new Roles();
  const stes: SteFound[] = [];
  const known = new Set<number>();
  const addSte = (words: readonly bigint[], address: number | null, sid: number | null, block: Block): void => {
    if (words.every((w) => w === 0n) || (address !== null && known.has(address))) return;
    if (address !== null) {
      known.add(address);
      roles.add({ kind: 'ste', at: address, bytes: 64, sid });
    }
    stes.push({ words, address, sid, block });
  };
  for (const b of blocks) {
    if (b.kind === 'ste')
      for (let i = 0; i + 8 <= b.words.length; i += 8)
        addSte(b.words.slice(i, i + 8), b.pa === null ? null : b.pa + 8 * i, b.sid === null ? null : b.sid + i / 8, b);
    if (b.kind === 'l1std')
      for (const [i, w] of b.words.entries()) {
        const span = Number(getField(fieldOf(l1stdLayout, 'Span'), [w]));
        if (span === 0 || span > 11) continue;
        const table = Number(getField(fieldOf(l1stdLayout, 'L2Ptr'), [w]));
        for (let k = 0; k < 2 ** (span - 1); k++) {
          const words = image.words(table + 64 * k, 8);
          const block =
            words &&
            blocks.find((x) => x.pa !== null && x.pa <= table + 64 * k && table + 64 * k < x.pa + 8 * x.words.length);
          if (words && block) addSte(words, table + 64 * k, b.sid === null ? null : b.sid + i * 256 + k, block);
        }
      }
  }
  const cds: CdFound[] = [];
  const cdAt = new Set<number>();
  const stage2 = new Map<SteFound, TreeFound>();
  const addTrees = (trees: readonly Tree[], to: ToPhysical): TreeFound[] =>
    trees.map((tree) => {
      const found = explore(image, tree, to);
      for (const t of found.tables) roles.add({ kind: 'table', at: t.pa, bytes: t.entries * 8, found: t });
      return { tree, ...found };
    });
  const addCd = (
    words: readonly bigint[],
    at: number | null,
    ssid: number,
    ste: SteFound | null,
    guest = false,
  ): void => {
    if (at !== null && cdAt.has(at)) return;
    if (at !== null) {
      cdAt.add(at);
      const s1stalld = ste !== null && steGet(ste.words, 'S1STALLD') === 1n;
      roles.add({ kind: 'cd', at, bytes: 64, ssid, s1stalld, guest });
    }
    const legal = judgeCd(words).fit === 'legal';
    cds.push({
      words,
      address: at,
      guest,
      ssid,
      ste,
      trees: legal ? addTrees(stage1Trees(words), reachable(image, ste?.words ?? null)) : [],
    });
  };
  for (const ste of stes) {
    const config = Number(steGet(ste.words, 'Config'));
    if (judgeSte(ste.words).fit !== 'legal' || config < 5) continue;
    const tree = (config & 2) !== 0 ? stage2Tree(ste.words) : null;
    if (tree) stage2.set(ste, addTrees([tree], (a) => ({ kind: 'mapped', out: a, word: 0n, shift: 64 }))[0]!);
    if ((config & 1) !== 0) findCds(image, ste, roles, addCd);
  }
  for (const b of blocks)
    if (b.kind === 'cd')
      for (let i = 0; i + 8 <= b.words.length; i += 8) {
        const words = b.words.slice(i, i + 8);
        if (words.some((w) => w !== 0n)) addCd(words, b.pa === null ? null : b.pa + 8 * i, i / 8, lonely(stes));
      }
  const lone = stes.length === 0 && cds.length === 0 ? loneTree(blocks, image) : null;
  if (lone) for (const t of lone.tables) roles.add({ kind: 'table', at: t.pa, bytes: t.entries * 8, found: t });
  return { arch: 'smmuv3', blocks, image, stes, cds, stage2, linear, lone, roleAt: (a) => roles.at(a) };
}

/** The tree of table pages alone: its root is the page that no other points to, its depth tells the level. */
function loneTree(blocks: readonly Block[], image: Image): TreeFound | null {
  const pages = new Set<number>();
  for (const b of blocks)
    if (b.pa !== null && b.kind === 'descriptors')
      for (let at = b.pa - (b.pa % 4096); at < b.pa + 8 * b.words.length; at += 4096) pages.add(at);
  if (pages.size < 2 || pages.size > 1024) return null;
  const next = (page: number): number[] => {
    const out: number[] = [];
    for (let i = 0; i < 512; i++) {
      const w = image.word(page + 8 * i);
      if (w !== null && (w & 3n) === 3n) out.push(Number(w & 0xfffffffff000n));
    }
    return out.filter((p) => p !== page && pages.has(p));
  };
  const pointed = new Set([...pages].flatMap(next));
  const root = [...pages].find((p) => !pointed.has(p) && next(p).length > 0);
  if (root === undefined) return null;
  let depth = 1;
  for (let at = next(root); at.length > 0 && depth < 4; at = at.flatMap(next).slice(0, 512)) depth++;
  const tree: Tree = { stage: 1, root, granule: 12, start: 4 - depth, bits: Math.min(48, 12 + 9 * depth), offset: 0n };
  return { tree, ...explore(image, tree) };
}

/** A CD without an address belongs to the only STE of the text, if there is just one with a stage 1. */
function lonely(stes: readonly SteFound[]): SteFound | null {
  const with1 = stes.filter((s) => (steGet(s.words, 'Config') & 5n) === 5n);
  return with1.length === 1 ? with1[0]! : null;
}

/** The CDs of an STE that the text holds. */
function findCds(
  image: Image,
  ste: SteFound,
  roles: Roles,
  add: (words: readonly bigint[], at: number | null, ssid: number, ste: SteFound, guest: boolean) => void,
): void {
  const w = ste.words;
  const to = reachable(image, w);
  const max = Number(steGet(w, 'S1CDMax'));
  const fmt = max === 0 ? 0 : Number(steGet(w, 'S1Fmt')) % 3;
  const pointer = Number(steGet(w, 'S1ContextPtr'));
  const leaf = (table: number, first: number, count: number): void => {
    for (let page = 0; page * 64 < count; page++) {
      const base = to(table + page * 4096 - (table % 64));
      if (base.kind !== 'mapped' || !image.touches(base.out)) continue;
      for (let i = 0; i < 64 && page * 64 + i < count; i++) {
        const at = to(table + (page * 64 + i) * 64);
        if (at.kind !== 'mapped') continue;
        const words = image.words(at.out, 8);
        if (words?.some((x) => x !== 0n)) add(words, at.out, first + page * 64 + i, ste, at.guest === true);
      }
    }
  };
  if (fmt === 0) {
    leaf(pointer, 0, 2 ** Math.min(max, 20));
    return;
  }
  const per = fmt === 1 ? 64 : 1024;
  for (let i = 0; i < Math.max(1, 2 ** Math.min(max, 20) / per); i++) {
    const at = to(pointer + 8 * i);
    const word = at.kind === 'mapped' ? image.word(at.out) : null;
    if (at.kind !== 'mapped' || word === null) continue;
    roles.add({ kind: 'l1cd', at: at.out, bytes: 8, guest: at.guest === true });
    if ((word & 1n) === 1n) leaf(Number(getField(fieldOf(l1cdLayout, 'L2Ptr'), [word])), i * per, per);
  }
}
