import { Contexts } from './contexts.ts';
import {
  A,
  ANY,
  ATTR,
  alignHi,
  alignLo,
  B,
  BLOCK_SHIFT,
  type CacheSnapshot,
  Chains,
  type EntryData,
  FIRST_LINK,
  GLOBAL,
  GRANULE,
  IN_HI,
  IN_LO,
  IPA_HI,
  IPA_LO,
  LAST_LINK,
  LEVEL,
  leafOverlaps,
  mix,
  NEXT_AGE,
  NEXT_BLOCK,
  NEXT_GROUP,
  NEXT_LOOKUP,
  OUT_HI,
  OUT_LO,
  PREV_AGE,
  SHIFT,
  SID,
  SizeList,
  SSID,
  STRIDE,
  UID,
} from './entry.ts';

/**
 * A tagged translation cache: IOTLB, walk caches, stage-2 TLB, ATC. Entries live in typed arrays; a lookup, a fill and an
 * invalidation allocate nothing (growth apart), and an invalidation costs what it removes: by address it probes the pages
 * of its range, by context it follows the context's list, and it takes the shorter of the two.
 *
 * An entry stays until something removes it. There is no replacement unless `capacity` is set: the worst case that
 * software must be written for.
 *
 * `a` and `b` are the tag: VMID and ASID for the IOTLB, VMID and 0 for stage 2, 0 and SSID for an ATC. `GLOBAL` as `b`
 * matches every `b` of its `a`.
 */
export class TranslationCache {
  readonly name: string;
  /** Entries at most, 0: no limit. The oldest goes first. */
  readonly capacity: number;
  /** Called before an entry goes, when set; the entry's columns are still valid. */
  onRemove: ((index: number) => void) | null = null;
  size = 0;

  /** All entries; an index is that of an entry's first integer, a field is at index + offset. Replaced when it grows. */
  e = new Int32Array(0);

  /** By tag, start and size of an entry, and by the leaf that it was cut from. */
  private readonly pages = new Chains(NEXT_LOOKUP);
  private readonly leaves = new Chains(NEXT_BLOCK);
  private hashMask = 0;
  private top = 0;
  private free = -1;
  private nextUid: number;
  private oldest = -1;
  private newest = -1;
  private globals = 0;

  private contexts = new Contexts();
  /** What was saved or loaded last, while nothing has changed since: most caches stay as they are from step to step. */
  private saved: CacheSnapshot | null = null;

  /** Sizes in use, ascending. */
  private readonly shifts = new SizeList();
  private readonly blocks = new SizeList();

  /** `firstUid`: where the entries' ids begin, so that several caches of one name share an id space. */
  constructor(name: string, capacity = 0, firstUid = 1) {
    this.name = name;
    this.nextUid = firstUid;
    this.capacity = capacity;
    this.allocate(16);
  }

  /** Makes room for `n` entries, a power of two. */
  private allocate(n: number): void {
    const grown = new Int32Array(n * STRIDE);
    grown.set(this.e.subarray(0, Math.min(this.e.length, grown.length)));
    this.e = grown;
    this.rehash(n);
  }

  private rehash(n: number): void {
    this.hashMask = n * 2 - 1;
    this.pages.reset(n * 2);
    this.leaves.reset(n * 2);
    for (let i = 0; i < this.top; i += STRIDE) if (this.e[i + UID] !== 0) this.linkHashes(i);
  }

  private linkHashes(i: number): void {
    this.pages.add(this.e, this.pageHash(i), i);
    this.leaves.add(this.e, this.blockHash(i), i);
  }

  private pageHash(i: number): number {
    const e = this.e;
    return mix(e[i + A]!, e[i + B]!, e[i + IN_LO]!, e[i + IN_HI]!, e[i + SHIFT]!) & this.hashMask;
  }

  private blockHash(i: number): number {
    const s = this.e[i + BLOCK_SHIFT]!;
    return (
      mix(this.e[i + A]!, this.e[i + B]!, alignLo(this.e[i + IN_LO]!, s), alignHi(this.e[i + IN_HI]!, s), s) &
      this.hashMask
    );
  }

  /** Entry that translates the address in context (a, b), or -1. Global entries of `a` count. */
  lookup(a: number, b: number, hi: number, lo: number): number {
    for (let k = 0; k < this.shifts.count; k++) {
      const s = this.shifts.at[k]!;
      const l = alignLo(lo, s);
      const h = alignHi(hi, s);
      const hit = this.find(a, b, h, l, s);
      if (hit >= 0) return hit;
      if (this.globals > 0) {
        const g = this.find(a, GLOBAL, h, l, s);
        if (g >= 0) return g;
      }
    }
    return -1;
  }

  /** Entry of exactly this tag, start and size, or -1. */
  find(a: number, b: number, hi: number, lo: number, shift: number): number {
    let i = this.pages.heads[mix(a, b, lo, hi, shift) & this.hashMask]!;
    while (
      i >= 0 &&
      !(
        this.e[i + IN_LO] === lo &&
        this.e[i + B] === b &&
        this.e[i + A] === a &&
        this.e[i + IN_HI] === hi &&
        this.e[i + SHIFT] === shift
      )
    )
      i = this.e[i + NEXT_LOOKUP]!;
    return i;
  }

  /**
   * Adds an entry, or renews the one of the same tag and page.
   * @param shift log2 of its size; `blockShift` (>= shift) that of the stage-1 leaf
   * @returns its index
   */
  insert(
    a: number,
    b: number,
    hi: number,
    lo: number,
    shift: number,
    blockShift: number,
    outHi: number,
    outLo: number,
    d: Readonly<EntryData>,
  ): number {
    const inLo = alignLo(lo, shift);
    const inHi = alignHi(hi, shift);
    const old = this.find(a, b, inHi, inLo, shift);
    if (old >= 0) this.remove(old);
    else if (this.capacity > 0 && this.size >= this.capacity) this.remove(this.oldest);
    let i = this.free;
    if (i >= 0) this.free = this.e[i + NEXT_LOOKUP]!;
    else {
      if (this.top === this.e.length) this.allocate((this.top / STRIDE) * 2);
      i = this.top;
      this.top += STRIDE;
    }
    this.e[i + A] = a;
    this.e[i + B] = b;
    this.e[i + IN_LO] = inLo;
    this.e[i + IN_HI] = inHi;
    this.e[i + SHIFT] = shift;
    this.e[i + BLOCK_SHIFT] = blockShift;
    this.e[i + OUT_LO] = outLo;
    this.e[i + OUT_HI] = outHi;
    this.e[i + ATTR] = d.attr;
    this.e[i + LEVEL] = d.level;
    this.e[i + GRANULE] = d.granule;
    this.e[i + SID] = d.sid;
    this.e[i + SSID] = d.ssid;
    this.e[i + IPA_LO] = d.ipaLo;
    this.e[i + IPA_HI] = d.ipaHi;
    this.e[i + UID] = this.nextUid++;
    this.link(i);
    return i;
  }

  private link(i: number): void {
    this.saved = null;
    this.linkHashes(i);
    this.contexts.add(this.e, i);
    this.e[i + PREV_AGE] = this.newest;
    this.e[i + NEXT_AGE] = -1;
    if (this.newest >= 0) this.e[this.newest + NEXT_AGE] = i;
    else this.oldest = i;
    this.newest = i;
    if (this.e[i + B] === GLOBAL) this.globals++;
    this.shifts.add(this.e[i + SHIFT]!);
    this.blocks.add(this.e[i + BLOCK_SHIFT]!);
    this.size++;
  }

  /** Takes one entry out. */
  remove(i: number): void {
    this.onRemove?.(i);
    this.saved = null;
    this.pages.remove(this.e, this.pageHash(i), i);
    this.leaves.remove(this.e, this.blockHash(i), i);
    this.contexts.remove(this.e, i);
    if (this.e[i + PREV_AGE]! >= 0) this.e[this.e[i + PREV_AGE]! + NEXT_AGE] = this.e[i + NEXT_AGE]!;
    else this.oldest = this.e[i + NEXT_AGE]!;
    if (this.e[i + NEXT_AGE]! >= 0) this.e[this.e[i + NEXT_AGE]! + PREV_AGE] = this.e[i + PREV_AGE]!;
    else this.newest = this.e[i + PREV_AGE]!;
    if (this.e[i + B] === GLOBAL) this.globals--;
    this.shifts.remove(this.e[i + SHIFT]!);
    this.blocks.remove(this.e[i + BLOCK_SHIFT]!);
    this.e[i + UID] = 0;
    this.e[i + NEXT_LOOKUP] = this.free;
    this.free = i;
    this.size--;
  }

  /** Removes every entry of context (a, b); `ANY` as `b`: of all contexts of `a`, global entries included. @returns how many */
  removeContext(a: number, b: number): number {
    const before = this.size;
    if (b !== ANY) this.removeGroup(this.contexts.find(a, b));
    else
      for (let g = this.contexts.first(a); g >= 0; ) {
        const next = this.contexts.after(g);
        this.removeGroup(g);
        g = next;
      }
    return before - this.size;
  }

  private removeGroup(g: number): void {
    for (let i = g < 0 ? -1 : this.contexts.head[g]!; i >= 0; ) {
      const next = this.e[i + NEXT_GROUP]!;
      this.remove(i);
      i = next;
    }
  }

  /** Removes every entry whose `a` is not the given one. @returns how many */
  removeAllBut(a: number): number {
    const before = this.size;
    for (let i = this.oldest; i >= 0; ) {
      const next = this.e[i + NEXT_AGE]!;
      if (this.e[i + A] !== a) this.remove(i);
      i = next;
    }
    return before - this.size;
  }

  /**
   * Removes the entries whose stage-1 leaf overlaps [address, address + bytes).
   * @param b context, or `ANY`; global entries of `a` go in any case
   * @param bytes size of the range, a number (may be beyond 2^53 where exactness no longer matters)
   * @param level only leaves of this level, or -1
   * @param granule only entries loaded with this granule (log2), or -1
   * @returns how many
   */
  removeRange(a: number, b: number, hi: number, lo: number, bytes: number, level: number, granule: number): number {
    const before = this.size;
    const c = this.contexts;
    if (b === ANY) {
      for (let g = c.first(a); g >= 0; ) {
        const next = c.after(g);
        this.removeRangeOfGroup(g, a, hi, lo, bytes, level, granule);
        g = next;
      }
    } else {
      this.removeRangeOfGroup(c.find(a, b), a, hi, lo, bytes, level, granule);
      if (this.globals > 0 && b !== GLOBAL)
        this.removeRangeOfGroup(c.find(a, GLOBAL), a, hi, lo, bytes, level, granule);
    }
    return before - this.size;
  }

  private removeRangeOfGroup(
    g: number,
    a: number,
    hi: number,
    lo: number,
    bytes: number,
    level: number,
    granule: number,
  ): void {
    const entries = g < 0 ? 0 : this.contexts.count[g]!;
    if (entries === 0) return;
    const b = this.contexts.b[g]!;
    let probes = 0;
    for (let k = 0; k < this.blocks.count; k++) probes += Math.floor(bytes / 2 ** this.blocks.at[k]!) + 2;
    if (probes > entries) {
      for (let i = this.contexts.head[g]!; i >= 0; ) {
        const next = this.e[i + NEXT_GROUP]!;
        if (leafOverlaps(this.e, i, hi, lo, bytes) && this.matches(i, level, granule)) this.remove(i);
        i = next;
      }
      return;
    }
    // Downwards, since a size leaves the list with its last entry.
    for (let k = this.blocks.count - 1; k >= 0; k--) {
      const s = this.blocks.at[k]!;
      let l = alignLo(lo, s);
      let h = alignHi(hi, s);
      const lead = ((hi >>> 0) - (h >>> 0)) * 4294967296 + ((lo >>> 0) - (l >>> 0));
      const count = Math.ceil((lead + bytes) / 2 ** s);
      for (let p = 0; p < count; p++) {
        this.removeBlock(a, b, h, l, s, level, granule);
        if (s >= 32) h = (h + 2 ** (s - 32)) | 0;
        else {
          const below = l >>> 0;
          l = (l + 2 ** s) | 0;
          if (l >>> 0 < below) h = (h + 1) | 0;
        }
        if (h === 0 && l === 0) break; // ranges do not wrap at the top of the address space
      }
    }
  }

  private removeBlock(a: number, b: number, hi: number, lo: number, s: number, level: number, granule: number): void {
    for (let i = this.leaves.heads[mix(a, b, lo, hi, s) & this.hashMask]!; i >= 0; ) {
      const next = this.e[i + NEXT_BLOCK]!;
      if (
        this.e[i + BLOCK_SHIFT] === s &&
        this.e[i + A] === a &&
        this.e[i + B] === b &&
        alignLo(this.e[i + IN_LO]!, s) === lo &&
        alignHi(this.e[i + IN_HI]!, s) === hi &&
        this.matches(i, level, granule)
      )
        this.remove(i);
      i = next;
    }
  }

  private matches(i: number, level: number, granule: number): boolean {
    return (level < 0 || this.e[i + LEVEL] === level) && (granule < 0 || this.e[i + GRANULE] === granule);
  }

  /** Index of the entry with this id, or -1. Walks all entries: for the inspector only. */
  indexOf(uid: number): number {
    for (let i = this.oldest; i >= 0; i = this.e[i + NEXT_AGE]!) if (this.e[i + UID] === uid) return i;
    return -1;
  }

  /** Calls `f` for each entry, oldest first. `f` must not change the cache. */
  forEach(f: (index: number) => void): void {
    for (let i = this.oldest; i >= 0; i = this.e[i + NEXT_AGE]!) f(i);
  }

  /** The same for those that came after the entry with id `uid`. */
  forEachAfter(uid: number, f: (index: number) => void): void {
    let first = -1;
    for (let i = this.newest; i >= 0 && this.e[i + UID]! > uid; i = this.e[i + PREV_AGE]!) first = i;
    for (let i = first; i >= 0; i = this.e[i + NEXT_AGE]!) f(i);
  }

  /** Id that the newest entry has got, whether it is still there or not. */
  get newestUid(): number {
    return this.nextUid - 1;
  }

  save(): CacheSnapshot {
    if (this.saved) return this.saved;
    // Copied in order of age, so that equal contents give equal snapshots whatever happened before.
    const entries = new Int32Array(this.size * STRIDE);
    let n = 0;
    for (let i = this.oldest; i >= 0; i = this.e[i + NEXT_AGE]!, n += STRIDE) {
      entries.set(this.e.subarray(i, i + STRIDE), n);
      // Links are made anew when it is loaded.
      entries.fill(0, n + FIRST_LINK, n + LAST_LINK + 1);
    }
    this.saved = { entries, uid: this.nextUid };
    return this.saved;
  }

  load(s: CacheSnapshot): void {
    if (this.saved === s) return;
    this.top = 0;
    this.size = 0;
    this.free = -1;
    this.oldest = this.newest = -1;
    this.globals = 0;
    this.contexts = new Contexts();
    this.shifts.clear();
    this.blocks.clear();
    const count = s.entries.length / STRIDE;
    let n = this.e.length / STRIDE;
    while (n < count) n *= 2;
    if (n * STRIDE > this.e.length) this.allocate(n);
    else this.rehash(n);
    this.e.set(s.entries);
    this.e.fill(0, s.entries.length);
    for (let i = 0; i < s.entries.length; i += STRIDE) {
      this.top = i + STRIDE;
      this.link(i);
    }
    this.nextUid = s.uid;
    this.saved = s;
  }
}
