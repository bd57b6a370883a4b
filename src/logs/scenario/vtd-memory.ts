/** Where the bytes of a VT-d dump go in the memory of a scenario, and what has to be made beside them. */

import { encode } from '../../engine/bits/index.ts';
import {
  contextLayout,
  contextLegacyLayout,
  deviceText,
  pasidDirLayout,
  pasidLayout,
} from '../../engine/vtd/layout/index.ts';
import { freePages, Image } from '../image.ts';
import { Links } from '../intel/link.ts';
import { requesterId } from '../intel/records.ts';
import { entryWords, type Walk } from '../intel/table-dump.ts';
import type { VtdDump } from '../intel/tables.ts';
import { field, formOf, indexOf, outputOf, treesOf, walk } from '../intel/walk.ts';

export interface VtdPlaced {
  readonly image: Image;
  readonly root: number;
  readonly scalable: boolean;
  readonly links: Links;
  /** Requester ids whose entries are there, in the order of the text. */
  readonly rids: readonly number[];
  readonly notes: readonly string[];
  readonly labels: ReadonlyMap<number, string>;
}

const MASK = 0x000f_ffff_ffff_f000n;
const hex = (v: number | bigint): string => `0x${v.toString(16)}`;
/** Device of entries that the text gives without one. */
const SOME_RID = 0x0008;

class Builder {
  readonly image = new Image();
  readonly labels = new Map<number, string>();
  readonly notes: string[] = [];
  readonly rids: number[] = [];
  root = 0;
  readonly scalable: boolean;

  constructor(scalable: boolean) {
    this.scalable = scalable;
  }

  page(label: string): number {
    const at = freePages(this.image, 4096);
    this.image.add(at, [0n]);
    this.labels.set(at, label);
    return at;
  }

  put(at: number, words: readonly bigint[], label: string): void {
    this.image.add(at, words);
    this.labels.set(at, label);
  }

  known(rid: number): void {
    if (!this.rids.includes(rid)) this.rids.push(rid);
  }

  /** Root entry of a bus; a half that is there stays. */
  rootEntry(rid: number, lo: bigint, hi: bigint): void {
    const at = this.root + (rid >> 8) * 16;
    const label = `Root entry of bus ${hex(rid >> 8)}`;
    this.put(at, [lo || (this.image.word(at) ?? 0n), hi || (this.image.word(at + 8) ?? 0n)], label);
  }

  /** Where the context entry of a device is, made with its table if the root entry has none. */
  contextAt(rid: number): number {
    const rootAt = this.root + (rid >> 8) * 16;
    const upper = this.scalable && (rid & 0x80) !== 0;
    const entry = this.image.word(rootAt + (upper ? 8 : 0)) ?? 0n;
    let table = Number(entry & MASK);
    if ((entry & 1n) === 0n) {
      table = this.page('Context table, made since the text does not say where it lies');
      const pointer = BigInt(table) | 1n;
      this.rootEntry(rid, upper ? 0n : pointer, upper ? pointer : 0n);
    }
    return table + (this.scalable ? (rid & 0x7f) * 32 : (rid & 0xff) * 16);
  }

  context(rid: number, lo: bigint, hi: bigint): void {
    this.known(rid);
    const words = this.scalable ? [lo, hi, 0n, 0n] : [lo, hi];
    this.put(this.contextAt(rid), words, `Context entry of ${deviceText(rid)}`);
  }

  /** A PASID entry in its place, with what leads to it made where it is missing. */
  pasid(rid: number, pasid: number, words: readonly bigint[], directory: bigint | null): void {
    this.known(rid);
    const at = this.contextAt(rid);
    let context = this.image.word(at) ?? 0n;
    if ((context & 1n) === 0n) {
      const dir = this.page('PASID directory, made since the text does not hold it');
      const made = encode(contextLayout, { P: 1, PASIDE: 1, PDTS: 7, PASIDDIRPTR: dir });
      this.put(at, made, `Context entry of ${deviceText(rid)}, made`);
      context = made[0] as bigint;
    }
    const slot = Number(context & MASK) + (pasid >> 6) * 8;
    const given = directory ?? this.image.word(slot) ?? 0n;
    const entry = (given & 1n) === 1n ? given : this.#madeDirectory();
    this.put(slot, [entry], 'PASID directory entry');
    this.put(Number(entry & MASK) + (pasid & 63) * 64, words, `PASID entry of ${deviceText(rid)}, PASID ${hex(pasid)}`);
  }

  #madeDirectory(): bigint {
    const table = this.page('PASID table, made since the text does not say where it lies');
    return encode(pasidDirLayout, { P: 1, SMPTBLPTR: table })[0] as bigint;
  }
}

function putWalk(b: Builder, w: Walk): void {
  const rid = typeof w.draft.device === 'string' ? requesterId(w.draft.device) : null;
  const who = rid ?? SOME_RID;
  if (rid === null) b.notes.push(`The text does not name the device of a walk; ${deviceText(SOME_RID)} stands for it.`);
  b.known(who);
  if (w.root) b.rootEntry(who, w.root.lo, w.root.hi ?? 0n);
  if (w.context) b.context(who, w.context.lo, w.context.hi);
  const pasid = pasidOf(w);
  const slot = w.context && w.scalable !== false ? Number(w.context.lo & MASK) + (pasid >> 6) * 8 : null;
  if (slot !== null && w.directory !== null) b.put(slot, [w.directory], 'PASID directory entry');
  const entry = entryWords(w);
  if (entry) b.pasid(who, pasid, entry, w.directory);
  const tree = entry
    ? (treesOf(entry).second ?? treesOf(entry).first)
    : w.scalable === false && w.context
      ? legacyTree(w.context)
      : null;
  const first = entry && field(pasidLayout, 'PGTT', entry) === 1n ? treesOf(entry).first : tree;
  if (!first || typeof w.draft.iova !== 'string') return;
  const iova = BigInt(w.draft.iova);
  let table = first.root;
  for (const p of [...w.ptes].sort((x, y) => y.level - x.level)) {
    const name = first.stage === 1 ? 'First' : 'Second';
    b.put(table + indexOf(p.level, iova) * 8, [p.value], `${name}-stage level-${p.level} entry`);
    const form = formOf(first.stage, p.level, p.value);
    if (form !== 'table') break;
    table = outputOf(p.level, form, p.value);
  }
}

function legacyTree(c: { hi: bigint; lo: bigint }): { stage: 1 | 2; root: number; levels: number } | null {
  const words = [c.lo, c.hi];
  const aw = Number(field(contextLegacyLayout, 'AW', words));
  if (aw < 1 || aw > 3 || field(contextLegacyLayout, 'TT', words) > 1n) return null;
  return { stage: 2, root: Number(field(contextLegacyLayout, 'SSPTPTR', words) & MASK), levels: aw + 2 };
}

/** PASID of a walk: that of its fault; 0 for requests without one, which is also what Linux walks then. */
export const pasidOf = (w: Walk): number => {
  const printed = w.draft.pasid;
  return typeof printed === 'string' ? Number(printed) : 0;
};

function putPages(b: Builder, dump: VtdDump): void {
  for (const p of dump.pages)
    for (const r of p.rows) {
      let table = Number(p.root & MASK);
      for (let level = p.levels; level >= 1; level--) {
        const word = r.path[level] ?? 0n;
        if (word === 0n) break;
        b.image.add(table + indexOf(level, r.pfn << 12n) * 8, [word]);
        // Both formats have the page bit at the same place.
        if (level === 1 || (level < 4 && (word & 0x80n) !== 0n)) break;
        table = Number(word & MASK);
      }
    }
}

/** Copies the bytes; what the text gives under guest addresses goes where the second stage puts it. */
function copy(b: Builder, dump: VtdDump): void {
  let moved = 0;
  for (const run of dump.image.runs())
    for (let i = 0; i < run.words.length; i++) {
      const at = run.address + 8 * i;
      const role = dump.links.roleAt(at);
      let target = at;
      if (role?.kind === 'table' && role.found.guest && role.second) {
        const end = walk(dump.image, role.second, BigInt(at));
        if (end.kind === 'mapped' && end.out !== at) {
          target = end.out;
          moved++;
        }
      }
      b.image.add(target, [run.words[i] as bigint]);
    }
  if (moved > 0)
    b.notes.push(
      `${8 * moved} bytes are given under guest physical addresses; they lie where the second-stage tables put them.`,
    );
}

/** Entries that the text gives without what leads to them. */
function putLonely(b: Builder, dump: VtdDump): void {
  for (const c of dump.links.contexts) {
    if (c.rid !== null) {
      b.known(c.rid);
      continue;
    }
    // The place of an entry in its table tells the device, as far as the bus is not known.
    const size = c.scalable ? 32 : 16;
    const rid = c.at === null ? SOME_RID : Math.floor((c.at % 4096) / size);
    b.notes.push(`The text has no root entry for a context entry; ${deviceText(rid)} stands for its device.`);
    if (c.at !== null) b.rootEntry(rid, BigInt(c.at - (c.at % 4096)) | 1n, 0n);
    b.context(rid, c.words[0] ?? 0n, c.words[1] ?? 0n);
  }
  for (const p of dump.links.pasids) {
    if (p.rid !== null) continue;
    // Found through a context entry of a device that was not known: that one leads here.
    if (p.at !== null && p.pasid !== null) continue;
    const place = p.at === null ? 0 : Math.floor((p.at % 4096) / 64);
    const directory = p.at === null ? null : BigInt(p.at - (p.at % 4096)) | 1n;
    b.notes.push(
      `The text has no context entry for a PASID entry; ${deviceText(SOME_RID)}, PASID ${hex(place)} stands for it.`,
    );
    b.pasid(SOME_RID, place, p.words, directory);
  }
  if (dump.lone && b.rids.length === 0) {
    const { stage, root, levels } = dump.lone;
    const words = encode(pasidLayout, {
      P: 1,
      PGTT: stage === 1 ? 1 : 2,
      AW: stage === 1 ? 2 : levels - 2,
      DID: 2,
      ...(stage === 1 ? { FSPTPTR: root } : { SSPTPTR: root }),
    });
    b.notes.push('The text has page tables alone; root, context and PASID entry are made for them.');
    b.pasid(SOME_RID, 0, words, null);
  }
}

/** Lays everything out. */
export function placeVtd(dump: VtdDump): VtdPlaced {
  const modes = [
    ...dump.walks.map((w) => w.scalable),
    ...dump.rows.map((r) => (r.pasid === null ? null : r.pasid >= 0)),
    ...dump.roots.map((r) => r.scalable),
    ...dump.links.contexts.map((c) => c.scalable),
  ];
  const b = new Builder(modes.find((m) => m !== null) ?? true);
  copy(b, dump);
  const bare = dump.walks.length > 0 || dump.rows.length > 0 || dump.links.contexts.length === 0;
  const rooted = dump.roots[0];
  const found = [...dump.image.runs()].map((r) => r.address).find((a) => dump.links.roleAt(a)?.kind === 'root');
  if (rooted) b.root = rooted.table;
  else if (found !== undefined) b.root = found - (found % 4096);
  else {
    b.root = b.page('Root table, made since the text does not say where it lies');
    if (bare) b.notes.push('The text does not say where the root table lies; one is made.');
  }
  for (const r of dump.rows) {
    const rid = requesterId(r.device);
    if (rid === null) continue;
    if (r.root) b.rootEntry(rid, r.root.lo, r.root.hi);
    if (r.context) b.context(rid, r.context.lo, r.context.hi);
    if (r.entry && r.pasid !== null && r.pasid >= 0)
      b.pasid(rid, r.pasid, [...r.entry, 0n, 0n, 0n, 0n, 0n].slice(0, 8), null);
  }
  for (const w of dump.walks) putWalk(b, w);
  putPages(b, dump);
  putLonely(b, dump);
  const links = new Links(b.image);
  links.root(b.root, b.scalable);
  b.labels.set(b.root, b.labels.get(b.root) ?? 'Root table');
  return {
    image: b.image,
    root: b.root,
    scalable: b.scalable,
    links,
    rids: b.rids,
    notes: [...new Set(b.notes)],
    labels: b.labels,
  };
}
