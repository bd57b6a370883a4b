/** What lies where: root, context, directory and PASID entries of a text, and the page tables they point to. */

import { contextLayout, contextLegacyLayout, pasidDirLayout, pasidLayout } from '../../engine/vtd/layout/index.ts';
import type { Image } from '../image.ts';
import { explore, type FoundLeaf, type FoundTable, field, type Tree, throughSecond, treesOf } from './walk.ts';

export interface ContextFound {
  readonly words: readonly bigint[];
  readonly at: number | null;
  readonly rid: number | null;
  readonly scalable: boolean;
}

export interface PasidFound {
  readonly words: readonly bigint[];
  readonly at: number | null;
  readonly rid: number | null;
  readonly pasid: number | null;
  readonly leaves: readonly FoundLeaf[];
}

export type Role =
  | { readonly kind: 'root'; readonly at: number; readonly bytes: number; readonly scalable: boolean }
  | {
      readonly kind: 'context';
      readonly at: number;
      readonly bytes: number;
      readonly scalable: boolean;
      readonly rid: number | null;
    }
  | { readonly kind: 'directory'; readonly at: number; readonly bytes: number; readonly first: number }
  | {
      readonly kind: 'pasid';
      readonly at: number;
      readonly bytes: number;
      readonly first: number;
      readonly rid: number | null;
    }
  | {
      readonly kind: 'table';
      readonly at: number;
      readonly bytes: number;
      readonly found: FoundTable;
      /** The stage that its address goes through. */
      readonly second: Tree | null;
    };

const MASK = 0x000f_ffff_ffff_f000n;
const MOST_ENTRIES = 4096;

/** Everything that entries of an image lead to. */
export class Links {
  readonly contexts: ContextFound[] = [];
  readonly pasids: PasidFound[] = [];
  /** Leaves of legacy contexts, by requester id. */
  readonly legacyLeaves = new Map<number | null, readonly FoundLeaf[]>();
  readonly #image: Image;
  readonly #roles = new Map<number, Role[]>();
  readonly #seen = new Set<string>();

  constructor(image: Image) {
    this.#image = image;
  }

  #add(role: Role): void {
    for (let page = Math.floor(role.at / 4096); page * 4096 < role.at + role.bytes; page++) {
      const list = this.#roles.get(page) ?? [];
      if (list.length < 160) list.push(role);
      this.#roles.set(page, list);
    }
  }

  /** Entries count more than page tables, which any pointer can make of a page. */
  roleAt(address: number): Role | null {
    let table: Role | null = null;
    for (const r of this.#roles.get(Math.floor(address / 4096)) ?? []) {
      if (address < r.at || address >= r.at + r.bytes) continue;
      if (r.kind !== 'table') return r;
      table ??= r;
    }
    return table;
  }

  #once(kind: string, at: number): boolean {
    const key = `${kind} ${at}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  /** The root table at an address. `scalable` null: its entries tell. */
  root(at: number, scalable: boolean | null): void {
    if (!this.#image.touches(at) || !this.#once('root', at)) return;
    const mode = scalable ?? this.#looksScalable(at);
    this.#add({ kind: 'root', at, bytes: 4096, scalable: mode });
    for (let bus = 0; bus < 256; bus++) {
      const lo = this.#image.word(at + 16 * bus);
      const hi = this.#image.word(at + 16 * bus + 8);
      if (lo !== null && (lo & 1n) === 1n) this.contextTable(Number(lo & MASK), mode, bus << 8);
      if (mode && hi !== null && (hi & 1n) === 1n) this.contextTable(Number(hi & MASK), mode, (bus << 8) | 0x80);
    }
  }

  /** A legacy context entry says a width in its second word; a scalable one has a PASID there, which is 0. */
  #looksScalable(root: number): boolean {
    for (let bus = 0; bus < 256; bus++) {
      const lo = this.#image.word(root + 16 * bus);
      if ((this.#image.word(root + 16 * bus + 8) ?? 0n) !== 0n) return true;
      if (lo === null || (lo & 1n) === 0n) continue;
      for (let i = 0; i < 256; i++) {
        const at = Number(lo & MASK) + 16 * i;
        const low = this.#image.word(at);
        const high = this.#image.word(at + 8);
        if (low !== null && high !== null && (low & 1n) === 1n) return (high & 7n) === 0n;
      }
    }
    return true;
  }

  contextTable(at: number, scalable: boolean, firstRid: number | null): void {
    if (!this.#image.touches(at) || !this.#once('contexts', at)) return;
    const size = scalable ? 32 : 16;
    for (let i = 0; i * size < 4096; i++) {
      const words = this.#image.words(at + i * size, size / 8);
      if (words?.some((w) => w !== 0n))
        this.context(words, at + i * size, firstRid === null ? null : firstRid + i, scalable);
    }
  }

  context(words: readonly bigint[], at: number | null, rid: number | null, scalable: boolean): void {
    if (at !== null) {
      if (!this.#once('context', at)) return;
      this.#add({ kind: 'context', at, bytes: words.length * 8, scalable, rid });
    }
    if (this.contexts.length >= MOST_ENTRIES) return;
    this.contexts.push({ words, at, rid, scalable });
    const layout = scalable ? contextLayout : contextLegacyLayout;
    if (field(layout, 'P', words) === 0n) return;
    if (!scalable) {
      const aw = Number(field(layout, 'AW', words));
      if (field(layout, 'TT', words) > 1n || aw < 1 || aw > 3) return;
      const tree: Tree = { stage: 2, root: Number(field(layout, 'SSPTPTR', words) & MASK), levels: aw + 2 };
      this.legacyLeaves.set(rid, this.tree(tree, null));
      return;
    }
    const directory = Number(field(layout, 'PASIDDIRPTR', words) & MASK);
    const count = 2 ** (Number(field(layout, 'PDTS', words)) + 7);
    for (let first = 0; first < count; first += 512) {
      const page = directory + 8 * first;
      if (!this.#image.touches(page)) continue;
      this.#add({ kind: 'directory', at: page, bytes: 4096, first: first * 64 });
      for (let i = 0; i < 512 && first + i < count; i++) {
        const word = this.#image.word(page + 8 * i);
        if (word !== null && field(pasidDirLayout, 'P', [word]) === 1n)
          this.pasidTable(Number(field(pasidDirLayout, 'SMPTBLPTR', [word]) & MASK), rid, (first + i) * 64);
      }
    }
  }

  pasidTable(at: number, rid: number | null, firstPasid: number | null): void {
    if (!this.#image.touches(at) || !this.#once(`pasids ${rid}`, at)) return;
    this.#add({ kind: 'pasid', at, bytes: 4096, first: firstPasid ?? 0, rid });
    for (let i = 0; i < 64; i++) {
      const words = this.#image.words(at + 64 * i, 8);
      if (words?.some((w) => w !== 0n))
        this.pasid(words, at + 64 * i, rid, firstPasid === null ? null : firstPasid + i);
    }
  }

  pasid(words: readonly bigint[], at: number | null, rid: number | null, pasid: number | null): void {
    if (at !== null && !this.#once(`pasid ${rid}`, at)) return;
    if (at !== null && !this.roleAt(at)) this.#add({ kind: 'pasid', at, bytes: 64, first: pasid ?? 0, rid });
    if (this.pasids.length >= MOST_ENTRIES) return;
    const present = field(pasidLayout, 'P', words) === 1n;
    const { first, second } = present ? treesOf(words) : { first: null, second: null };
    const secondLeaves = second ? this.tree(second, null) : [];
    const leaves = first ? this.tree(first, second) : secondLeaves;
    this.pasids.push({ words, at, rid, pasid, leaves });
  }

  /** Page tables, through the second stage where there is one. Returns their leaves. */
  tree(tree: Tree, second: Tree | null): readonly FoundLeaf[] {
    const found = explore(this.#image, tree, throughSecond(this.#image, second));
    for (const t of found.tables)
      if (this.#once(`table ${t.tree.stage} ${t.level}`, t.pa))
        this.#add({ kind: 'table', at: t.pa, bytes: 4096, found: t, second });
    return found.leaves;
  }
}
