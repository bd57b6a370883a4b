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
export const GLOBAL = -1;
/** As the `b` of an invalidation: every context of `a`, global entries included. */
export const ANY = -2;

/** What is stored beside tag, input and output. All are 32-bit integers. */
export interface EntryData {
  /** Bits of the cache owner: permissions, memory type. */
  attr: number;
  /** Level of the leaf, or of the table for walk entries. */
  level: number;
  /** Log2 of the granule that the entry was loaded with. */
  granule: number;
  /** StreamID and SSID (-1: none) of the transaction that filled it. */
  sid: number;
  ssid: number;
  /** Intermediate address of the page's start; same as the output where there is no second stage. */
  ipaLo: number;
  ipaHi: number;
}

const COLUMNS = [
  'a', 'b', 'inLo', 'inHi', 'shift', 'blockShift', 'outLo', 'outHi', 'attr', 'level', 'granule', 'sid', 'ssid', 'ipaLo', 'ipaHi', 'uid',
  'group', 'nextLookup', 'nextBlock', 'prevGroup', 'nextGroup', 'prevAge', 'nextAge',
] as const;
type Column = (typeof COLUMNS)[number];

export interface CacheSnapshot {
  readonly columns: Readonly<Record<Column, Int32Array>>;
  readonly top: number;
  readonly free: number;
  readonly uid: number;
}

const mix = (a: number, b: number, lo: number, hi: number, shift: number): number => {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b + 3, 0x85ebca6b) ^ Math.imul(hi + shift * 64, 0xc2b2ae35);
  h ^= Math.imul(lo >>> 12, 0x27d4eb2f) ^ (lo >>> 20);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
};

/** Low half of an address with its lower `shift` bits cleared. */
export const alignLo = (lo: number, shift: number): number => (shift >= 32 ? 0 : lo & (-1 << shift));
/** High half of an address with its lower `shift` bits cleared. */
export const alignHi = (hi: number, shift: number): number => (shift <= 32 ? hi : hi & (-1 << (shift - 32)));

/** The few sizes in use, sorted, without allocation when one comes or goes. */
class SizeList {
  readonly at = new Int32Array(64);
  count = 0;

  add(s: number): void {
    let k = this.count++;
    for (; k > 0 && this.at[k - 1]! > s; k--) this.at[k] = this.at[k - 1]!;
    this.at[k] = s;
  }

  delete(s: number): void {
    const k = this.at.indexOf(s);
    this.at.copyWithin(k, k + 1, this.count--);
  }
}

export class TranslationCache {
  readonly name: string;
  /** Entries at most, 0: no limit. The oldest goes first. */
  readonly capacity: number;
  /** Called before an entry goes, when set; the entry's columns are still valid. */
  onRemove: ((index: number) => void) | null = null;
  size = 0;

  a = new Int32Array(0);
  b = new Int32Array(0);
  inLo = new Int32Array(0);
  inHi = new Int32Array(0);
  /** Log2 of the bytes that the entry translates. */
  shift = new Int32Array(0);
  /** Log2 of the stage-1 leaf that it was cut from; an invalidation by address removes every piece of that leaf. */
  blockShift = new Int32Array(0);
  outLo = new Int32Array(0);
  outHi = new Int32Array(0);
  attr = new Int32Array(0);
  level = new Int32Array(0);
  granule = new Int32Array(0);
  sid = new Int32Array(0);
  ssid = new Int32Array(0);
  ipaLo = new Int32Array(0);
  ipaHi = new Int32Array(0);
  /** Stable id of the entry, never used twice. */
  uid = new Int32Array(0);
  private group = new Int32Array(0);
  private nextLookup = new Int32Array(0);
  private nextBlock = new Int32Array(0);
  private prevGroup = new Int32Array(0);
  private nextGroup = new Int32Array(0);
  private prevAge = new Int32Array(0);
  private nextAge = new Int32Array(0);

  private lookupHeads = new Int32Array(0);
  private blockHeads = new Int32Array(0);
  private hashMask = 0;
  private top = 0;
  private free = -1;
  private nextUid = 1;
  private oldest = -1;
  private newest = -1;
  private globals = 0;

  /** Contexts that have or had entries: a, then b, to the number of its list. Small-integer keys, so a look-up boxes nothing. */
  private groupOf = new Map<number, Map<number, number>>();
  private groupB: number[] = [];
  private groupHead: number[] = [];
  private groupCount: number[] = [];
  private groupsOfA = new Map<number, number[]>();

  private readonly shiftCount = new Int32Array(64);
  private readonly blockCount = new Int32Array(64);
  /** Sizes in use, ascending. */
  private readonly shifts = new SizeList();
  private readonly blocks = new SizeList();

  constructor(name: string, capacity = 0) {
    this.name = name;
    this.capacity = capacity;
    this.allocate(16);
  }

  private allocate(n: number): void {
    for (const c of COLUMNS) {
      const grown = new Int32Array(n);
      grown.set((this[c] as Int32Array).subarray(0, Math.min(n, this[c].length)));
      (this as unknown as Record<Column, Int32Array>)[c] = grown;
    }
    this.rehash(n);
  }

  private rehash(n: number): void {
    this.hashMask = n * 2 - 1;
    this.lookupHeads = new Int32Array(n * 2).fill(-1);
    this.blockHeads = new Int32Array(n * 2).fill(-1);
    for (let i = 0; i < this.top; i++) if (this.uid[i] !== 0) this.linkHashes(i);
  }

  private linkHashes(i: number): void {
    const h = mix(this.a[i]!, this.b[i]!, this.inLo[i]!, this.inHi[i]!, this.shift[i]!) & this.hashMask;
    this.nextLookup[i] = this.lookupHeads[h]!;
    this.lookupHeads[h] = i;
    const g = this.blockHash(i);
    this.nextBlock[i] = this.blockHeads[g]!;
    this.blockHeads[g] = i;
  }

  private blockHash(i: number): number {
    const s = this.blockShift[i]!;
    return mix(this.a[i]!, this.b[i]!, alignLo(this.inLo[i]!, s), alignHi(this.inHi[i]!, s), s) & this.hashMask;
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
    let i = this.lookupHeads[mix(a, b, lo, hi, shift) & this.hashMask]!;
    while (i >= 0 && !(this.inLo[i] === lo && this.b[i] === b && this.a[i] === a && this.inHi[i] === hi && this.shift[i] === shift))
      i = this.nextLookup[i]!;
    return i;
  }

  /**
   * Adds an entry, or renews the one of the same tag and page.
   * @param shift log2 of its size; `blockShift` (>= shift) that of the stage-1 leaf
   * @returns its index
   */
  insert(a: number, b: number, hi: number, lo: number, shift: number, blockShift: number, outHi: number, outLo: number, d: Readonly<EntryData>): number {
    const inLo = alignLo(lo, shift);
    const inHi = alignHi(hi, shift);
    const old = this.find(a, b, inHi, inLo, shift);
    if (old >= 0) this.remove(old);
    else if (this.capacity > 0 && this.size >= this.capacity) this.remove(this.oldest);
    let i = this.free;
    if (i >= 0) this.free = this.nextLookup[i]!;
    else {
      if (this.top === this.a.length) this.allocate(this.top * 2);
      i = this.top++;
    }
    this.a[i] = a;
    this.b[i] = b;
    this.inLo[i] = inLo;
    this.inHi[i] = inHi;
    this.shift[i] = shift;
    this.blockShift[i] = blockShift;
    this.outLo[i] = outLo;
    this.outHi[i] = outHi;
    this.attr[i] = d.attr;
    this.level[i] = d.level;
    this.granule[i] = d.granule;
    this.sid[i] = d.sid;
    this.ssid[i] = d.ssid;
    this.ipaLo[i] = d.ipaLo;
    this.ipaHi[i] = d.ipaHi;
    this.uid[i] = this.nextUid++;
    this.link(i);
    return i;
  }

  private link(i: number): void {
    const a = this.a[i]!;
    const b = this.b[i]!;
    this.linkHashes(i);
    const g = this.groupFor(a, b);
    this.group[i] = g;
    this.prevGroup[i] = -1;
    this.nextGroup[i] = this.groupHead[g]!;
    if (this.groupHead[g]! >= 0) this.prevGroup[this.groupHead[g]!] = i;
    this.groupHead[g] = i;
    this.groupCount[g]!++;
    this.prevAge[i] = this.newest;
    this.nextAge[i] = -1;
    if (this.newest >= 0) this.nextAge[this.newest] = i;
    else this.oldest = i;
    this.newest = i;
    if (b === GLOBAL) this.globals++;
    if (this.shiftCount[this.shift[i]!]!++ === 0) this.shifts.add(this.shift[i]!);
    if (this.blockCount[this.blockShift[i]!]!++ === 0) this.blocks.add(this.blockShift[i]!);
    this.size++;
  }

  private groupFor(a: number, b: number): number {
    let ofA = this.groupOf.get(a);
    if (!ofA) {
      ofA = new Map();
      this.groupOf.set(a, ofA);
      this.groupsOfA.set(a, []);
    }
    let g = ofA.get(b);
    if (g === undefined) {
      g = this.groupB.length;
      ofA.set(b, g);
      this.groupB.push(b);
      this.groupHead.push(-1);
      this.groupCount.push(0);
      this.groupsOfA.get(a)!.push(g);
    }
    return g;
  }

  /** Takes one entry out. */
  remove(i: number): void {
    this.onRemove?.(i);
    this.unchain(this.lookupHeads, this.nextLookup, mix(this.a[i]!, this.b[i]!, this.inLo[i]!, this.inHi[i]!, this.shift[i]!) & this.hashMask, i);
    this.unchain(this.blockHeads, this.nextBlock, this.blockHash(i), i);
    const g = this.group[i]!;
    if (this.prevGroup[i]! >= 0) this.nextGroup[this.prevGroup[i]!] = this.nextGroup[i]!;
    else this.groupHead[g] = this.nextGroup[i]!;
    if (this.nextGroup[i]! >= 0) this.prevGroup[this.nextGroup[i]!] = this.prevGroup[i]!;
    this.groupCount[g]!--;
    if (this.prevAge[i]! >= 0) this.nextAge[this.prevAge[i]!] = this.nextAge[i]!;
    else this.oldest = this.nextAge[i]!;
    if (this.nextAge[i]! >= 0) this.prevAge[this.nextAge[i]!] = this.prevAge[i]!;
    else this.newest = this.prevAge[i]!;
    if (this.b[i] === GLOBAL) this.globals--;
    const s = this.shift[i]!;
    if (--this.shiftCount[s]! === 0) this.shifts.delete(s);
    const bs = this.blockShift[i]!;
    if (--this.blockCount[bs]! === 0) this.blocks.delete(bs);
    this.uid[i] = 0;
    this.nextLookup[i] = this.free;
    this.free = i;
    this.size--;
  }

  private unchain(heads: Int32Array, next: Int32Array, h: number, i: number): void {
    let at = heads[h]!;
    if (at === i) {
      heads[h] = next[i]!;
      return;
    }
    while (next[at] !== i) at = next[at]!;
    next[at] = next[i]!;
  }

  /** Removes every entry of context (a, b); `ANY` as `b`: of all contexts of `a`, global entries included. @returns how many */
  removeContext(a: number, b: number): number {
    if (b !== ANY) {
      const g = this.groupOf.get(a)?.get(b);
      return g === undefined ? 0 : this.removeGroup(g);
    }
    const groups = this.groupsOfA.get(a);
    let n = 0;
    if (groups) for (let k = 0; k < groups.length; k++) n += this.removeGroup(groups[k]!);
    return n;
  }

  private removeGroup(g: number): number {
    let n = 0;
    for (let i = this.groupHead[g]!; i >= 0; n++) {
      const next = this.nextGroup[i]!;
      this.remove(i);
      i = next;
    }
    return n;
  }

  /** Removes every entry whose `a` is not the given one. @returns how many */
  removeAllBut(a: number): number {
    let n = 0;
    for (let i = this.oldest; i >= 0; ) {
      const next = this.nextAge[i]!;
      if (this.a[i] !== a) {
        this.remove(i);
        n++;
      }
      i = next;
    }
    return n;
  }

  /** Removes everything. @returns how many */
  removeAll(): number {
    let n = 0;
    for (let i = this.oldest; i >= 0; ) {
      const next = this.nextAge[i]!;
      this.remove(i);
      n++;
      i = next;
    }
    return n;
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
    const ofA = this.groupOf.get(a);
    if (!ofA) return 0;
    let n = 0;
    if (b === ANY) {
      const groups = this.groupsOfA.get(a)!;
      for (let k = 0; k < groups.length; k++) n += this.removeRangeOfGroup(groups[k]!, a, this.groupB[groups[k]!]!, hi, lo, bytes, level, granule);
      return n;
    }
    const own = ofA.get(b);
    if (own !== undefined) n += this.removeRangeOfGroup(own, a, b, hi, lo, bytes, level, granule);
    const global = this.globals > 0 && b !== GLOBAL ? ofA.get(GLOBAL) : undefined;
    if (global !== undefined) n += this.removeRangeOfGroup(global, a, GLOBAL, hi, lo, bytes, level, granule);
    return n;
  }

  private removeRangeOfGroup(g: number, a: number, b: number, hi: number, lo: number, bytes: number, level: number, granule: number): number {
    if (this.groupCount[g] === 0) return 0;
    let probes = 0;
    for (let k = 0; k < this.blocks.count; k++) probes += Math.floor(bytes / 2 ** this.blocks.at[k]!) + 2;
    let n = 0;
    if (probes > this.groupCount[g]!) {
      for (let i = this.groupHead[g]!; i >= 0; ) {
        const next = this.nextGroup[i]!;
        const s = this.blockShift[i]!;
        const from = (alignHi(this.inHi[i]!, s) >>> 0) - (hi >>> 0);
        const delta = from * 4294967296 + ((alignLo(this.inLo[i]!, s) >>> 0) - (lo >>> 0));
        if (delta < bytes && delta + 2 ** s > 0 && this.matches(i, level, granule)) {
          this.remove(i);
          n++;
        }
        i = next;
      }
      return n;
    }
    // Downwards, since a size leaves the list with its last entry.
    for (let k = this.blocks.count - 1; k >= 0; k--) {
      const s = this.blocks.at[k]!;
      let l = alignLo(lo, s);
      let h = alignHi(hi, s);
      const lead = ((hi >>> 0) - (h >>> 0)) * 4294967296 + ((lo >>> 0) - (l >>> 0));
      const count = Math.ceil((lead + bytes) / 2 ** s);
      for (let p = 0; p < count; p++) {
        n += this.removeBlock(a, b, h, l, s, level, granule);
        if (s >= 32) h = (h + 2 ** (s - 32)) | 0;
        else {
          const before = l >>> 0;
          l = (l + 2 ** s) | 0;
          if (l >>> 0 < before) h = (h + 1) | 0;
        }
        if (h === 0 && l === 0) break; // ranges do not wrap at the top of the address space
      }
    }
    return n;
  }

  private removeBlock(a: number, b: number, hi: number, lo: number, s: number, level: number, granule: number): number {
    let n = 0;
    for (let i = this.blockHeads[mix(a, b, lo, hi, s) & this.hashMask]!; i >= 0; ) {
      const next = this.nextBlock[i]!;
      if (
        this.blockShift[i] === s && this.a[i] === a && this.b[i] === b &&
        alignLo(this.inLo[i]!, s) === lo && alignHi(this.inHi[i]!, s) === hi && this.matches(i, level, granule)
      ) {
        this.remove(i);
        n++;
      }
      i = next;
    }
    return n;
  }

  private matches(i: number, level: number, granule: number): boolean {
    return (level < 0 || this.level[i] === level) && (granule < 0 || this.granule[i] === granule);
  }

  /** Index of the entry with this id, or -1. Walks all entries: for the inspector only. */
  indexOf(uid: number): number {
    for (let i = this.oldest; i >= 0; i = this.nextAge[i]!) if (this.uid[i] === uid) return i;
    return -1;
  }

  /** Calls `f` for each entry, oldest first. `f` must not change the cache. */
  forEach(f: (index: number) => void): void {
    for (let i = this.oldest; i >= 0; i = this.nextAge[i]!) f(i);
  }

  save(): CacheSnapshot {
    // Entries are copied in age order, so that equal contents give equal snapshots whatever happened before.
    const columns = {} as Record<Column, Int32Array>;
    for (const c of COLUMNS) columns[c] = new Int32Array(this.size);
    let n = 0;
    for (let i = this.oldest; i >= 0; i = this.nextAge[i]!, n++) for (const c of COLUMNS) columns[c][n] = this[c][i]!;
    return { columns, top: n, free: -1, uid: this.nextUid };
  }

  load(s: CacheSnapshot): void {
    this.top = 0;
    this.size = 0;
    this.free = -1;
    this.oldest = this.newest = -1;
    this.globals = 0;
    this.groupOf = new Map();
    this.groupB = [];
    this.groupHead = [];
    this.groupCount = [];
    this.groupsOfA = new Map();
    this.shiftCount.fill(0);
    this.blockCount.fill(0);
    this.shifts.count = 0;
    this.blocks.count = 0;
    let n = 16;
    while (n < s.top) n *= 2;
    if (n > this.a.length) this.allocate(n);
    else this.rehash(this.a.length);
    for (const c of COLUMNS) this[c].set(s.columns[c]);
    for (let i = 0; i < s.top; i++) {
      this.top = i + 1;
      this.link(i);
    }
    this.uid.fill(0, s.top);
    this.nextUid = s.uid;
  }
}
