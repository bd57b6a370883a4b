/** Gathers what a text says of VT-d's tables, puts it together at the end, and shows every entry as a record. */

import { isVtdHint, type VtdHint } from '../hex-line.ts';
import { Image } from '../image.ts';
import type { Sink } from '../reader.ts';
import { lineOf, type WordBlock } from '../word-block.ts';
import type { TranslationRow } from './debugfs/translation.ts';
import { entryRecord, pagingRecord, tableRecord } from './entry-records.ts';
import type { DomainPages, VtdFacts } from './facts.ts';
import { judgeVtd, sizeOf } from './judge.ts';
import { Links, type Role } from './link.ts';
import type { Walk } from './table-dump.ts';
import type { Tree } from './walk.ts';

/** What of VT-d's tables a text holds, for a scenario. */
export interface VtdDump {
  readonly arch: 'vtd';
  /** The bytes of the text with addresses. */
  readonly image: Image;
  readonly links: Links;
  readonly roots: readonly { readonly table: number; readonly scalable: boolean | null }[];
  readonly walks: readonly Walk[];
  readonly rows: readonly TranslationRow[];
  readonly pages: readonly DomainPages[];
  /** Page tables that a label names and that nothing points to. */
  readonly lone: Tree | null;
}

/** No physical address has bits from here up. */
const VIRTUAL = 1n << 52n;
const MOST_RECORDS = 4096;

interface Claimed {
  readonly block: WordBlock;
  readonly kind: VtdHint | null;
  readonly size: number;
}

export class VtdTables implements VtdFacts {
  readonly #sink: Sink;
  readonly #claimed: Claimed[] = [];
  readonly #walks: Walk[] = [];
  readonly #rows: TranslationRow[] = [];
  readonly #pages: DomainPages[] = [];
  readonly #roots: { table: number; scalable: boolean | null }[] = [];
  readonly #image = new Image();
  readonly #links = new Links(this.#image);
  #lone: Tree | null = null;
  /** Records of VT-d and of other architectures so far. */
  #own = 0;
  #others = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** A record was read: what the text is about decides what bare words are. */
  seen(arch: string): void {
    if (arch === 'vtd') this.#own++;
    else if (arch.startsWith('smmu')) this.#others++;
  }

  walk(w: Walk): void {
    this.#walks.push(w);
  }

  row(r: TranslationRow): void {
    this.#rows.push(r);
    this.root(r.rootTable, r.pasid === null ? null : r.pasid >= 0);
  }

  pages(p: DomainPages): void {
    this.#pages.push(p);
  }

  root(table: bigint, scalable: boolean | null): void {
    const at = Number(table & 0x000f_ffff_ffff_f000n);
    if (at !== 0 && !this.#roots.some((r) => r.table === at)) this.#roots.push({ table: at, scalable });
  }

  claim(block: WordBlock, other: () => boolean): boolean {
    if (isVtdHint(block.hint)) {
      this.#take({ block, kind: block.hint, size: sizeOf(block.hint, block.words) });
      return true;
    }
    if (block.hint !== null && block.hint !== 'page request') return false;
    // Words with an address may be a part of a table: they wait for what points to them.
    if (block.address !== null) return false;
    const verdict = judgeVtd(block.words);
    if (!verdict || (!(this.#own > 0 && this.#others === 0) && other())) return false;
    this.#take({ block, ...verdict });
    return true;
  }

  #take(c: Claimed): void {
    this.#claimed.push(c);
    const at = placeOf(c.block);
    if (at !== null) this.#image.add(at, c.block.words);
  }

  reach(blocks: readonly WordBlock[]): ReadonlySet<WordBlock> {
    const taken = new Set<WordBlock>();
    if (this.#claimed.length === 0 && this.#roots.length === 0) return taken;
    const trial = new Image();
    for (const run of this.#image.runs()) trial.add(run.address, run.words);
    for (const b of blocks) {
      const at = placeOf(b);
      if (at !== null && b.hint === null) trial.add(at, b.words);
    }
    const links = new Links(trial);
    this.#start(links, trial);
    for (const b of blocks) {
      const at = placeOf(b);
      if (at === null || b.hint !== null || !b.words.some((_, i) => links.roleAt(at + 8 * i) !== null)) continue;
      taken.add(b);
      this.#take({ block: b, kind: null, size: 0 });
    }
    return taken;
  }

  /** Everything that is known by itself: roots, and entries with a label or a form of their own. */
  #start(links: Links, image: Image): void {
    for (const r of this.#roots) links.root(r.table, r.scalable);
    for (const { block, kind } of this.#claimed) {
      const at = placeOf(block);
      if (kind === 'vtd root') links.root(at === null ? -4096 : at - (at % 4096), null);
    }
    for (const { block, kind, size } of this.#claimed) {
      const at = placeOf(block);
      const entries = size > 0 ? Math.floor(block.words.length / size) : 0;
      for (let i = 0; i < entries && (kind === 'vtd context' || kind === 'vtd pasid'); i++) {
        const words = block.words.slice(i * size, (i + 1) * size);
        if (words.every((w) => w === 0n)) continue;
        const place = at === null ? null : at + i * size * 8;
        const role = place === null ? null : links.roleAt(place)?.kind;
        if (role === 'context' || role === 'pasid') continue;
        if (kind === 'vtd context') links.context(words, place, null, size === 4);
        else links.pasid(words, place, null, null);
      }
    }
    if (!this.#lone) this.#lone = this.#findLone(links);
    if (this.#lone && image.touches(this.#lone.root)) links.tree(this.#lone, null);
  }

  /** Pages with a label that nothing points to: the first one is the top. */
  #findLone(links: Links): Tree | null {
    const stages = { 'vtd first stage': 1, 'vtd second stage': 2 } as const;
    for (const { block, kind } of this.#claimed) {
      const at = placeOf(block);
      if ((kind !== 'vtd first stage' && kind !== 'vtd second stage') || at === null || links.roleAt(at)) continue;
      return { stage: stages[kind], root: at - (at % 4096), levels: 4 };
    }
    return null;
  }

  /** Puts everything together and shows it. @returns null when the text has no tables */
  finish(): VtdDump | null {
    const links = this.#links;
    this.#start(links, this.#image);
    for (const c of this.#claimed) this.#show(c, links);
    const any =
      this.#walks.length + this.#rows.length + links.contexts.length + links.pasids.length > 0 || this.#lone !== null;
    if (!any) return null;
    return {
      arch: 'vtd',
      image: this.#image,
      links,
      roots: this.#roots,
      walks: this.#walks,
      rows: this.#rows,
      pages: this.#pages,
      lone: this.#lone,
    };
  }

  #show({ block, kind, size }: Claimed, links: Links): void {
    const at = placeOf(block);
    let shown = 0;
    let i = 0;
    while (i < block.words.length && shown < MOST_RECORDS) {
      const role = at === null ? null : links.roleAt(at + 8 * i);
      const n = Math.min(
        step(role, kind, size, at === null ? 0 : at + 8 * i, block.words.length - i),
        block.words.length - i,
      );
      const words = block.words.slice(i, i + n);
      const line = lineOf(block, i);
      const address = block.address === null ? null : block.address + BigInt(8 * i);
      i += n;
      if (words.every((w) => w === 0n) && block.words.length > n) continue;
      const record = role
        ? roleRecord(role, words, line, address ?? 0n, at! + 8 * (i - n))
        : kind === 'vtd first stage' || kind === 'vtd second stage'
          ? pagingRecord(kind === 'vtd first stage' ? 1 : 2, words[0] ?? 0n, line, address)
          : kind === null
            ? null
            : entryRecord(kind, words, line, { at: address });
      if (record && words.length === n) {
        this.#sink.record(record);
        shown++;
      }
    }
  }
}

const placeOf = (b: WordBlock): number | null =>
  b.address !== null && b.address < VIRTUAL && b.address % 8n === 0n ? Number(b.address) : null;

const words8: Readonly<Record<Role['kind'], number>> = { root: 2, context: 4, directory: 1, pasid: 8, table: 512 };

/** How many words the entry at an address has, from there on. */
function step(role: Role | null, kind: VtdHint | null, size: number, address: number, left: number): number {
  if (!role) return size > 0 ? size : 1;
  if (role.kind === 'table') return Math.min(left, 512 - (address % 4096) / 8);
  const n = role.kind === 'context' && !role.scalable ? 2 : words8[role.kind];
  // The rest of an entry whose beginning the text does not hold.
  const into = ((address - role.at) / 8) % n;
  return kind !== null && size > 0 && into !== 0 ? size : n - into;
}

function roleRecord(role: Role, words: readonly bigint[], line: number, address: bigint, pa: number) {
  const more = { at: address };
  const index = (bytes: number): number => Math.floor((pa - role.at) / bytes);
  switch (role.kind) {
    case 'root':
      return words.length === 2
        ? entryRecord('vtd root', words, line, { ...more, index: index(16), scalable: role.scalable })
        : null;
    case 'context':
      return words.length === (role.scalable ? 4 : 2)
        ? entryRecord('vtd context', words, line, { ...more, rid: role.rid })
        : null;
    case 'directory':
      return entryRecord('vtd directory', words, line, { ...more, index: role.first + index(8) * 64 });
    case 'pasid':
      return words.length === 8
        ? entryRecord('vtd pasid', words, line, { ...more, rid: role.rid, index: role.first + index(64) })
        : null;
    case 'table':
      return tableRecord(role.found, words, (pa - role.found.pa) / 8, line, address);
  }
}
