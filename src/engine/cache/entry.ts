export const GLOBAL = -1;
/** As the `b` of an invalidation: every context of `a`, global entries included. */
export const ANY = -2;

/** What is stored beside tag, input and output. All are 32-bit integers. */
export interface EntryData {
  /** Bits of the cache owner: permissions, memory type. */
  attr: number;
  /** Level of the leaf, or of the table for walk entries. */
  level: number;
  /** Log2 of the granule that the entry was loaded with, or another small number by which its owner's removals select. */
  granule: number;
  /** StreamID and SSID (-1: none) of the transaction that filled it. */
  sid: number;
  ssid: number;
  /** Intermediate address of the page's start; same as the output where there is no second stage. */
  ipaLo: number;
  ipaHi: number;
}

/**
 * Integers of an entry. What a look-up and a removal touch lies in its first 64 bytes, so that a large cache costs one miss
 * an entry and not one a field.
 */
export const A = 0;
export const B = 1;
export const IN_LO = 2;
export const IN_HI = 3;
/** Log2 of the bytes that the entry translates. */
export const SHIFT = 4;
/** Log2 of the stage-1 leaf that it was cut from; an invalidation by address removes every piece of that leaf. */
export const BLOCK_SHIFT = 5;
export const LEVEL = 6;
export const GRANULE = 7;
/** Stable id of the entry, never used twice; 0: free. */
export const UID = 8;
export const GROUP = 9;
export const NEXT_LOOKUP = 10;
export const NEXT_BLOCK = 11;
export const PREV_GROUP = 12;
export const NEXT_GROUP = 13;
export const PREV_AGE = 14;
export const NEXT_AGE = 15;
/** The links are from GROUP to NEXT_AGE. */
export const FIRST_LINK = GROUP;
export const LAST_LINK = NEXT_AGE;
export const OUT_LO = 16;
export const OUT_HI = 17;
export const ATTR = 18;
export const SID = 19;
export const SSID = 20;
export const IPA_LO = 21;
export const IPA_HI = 22;
/** Integers from one entry to the next. */
export const STRIDE = 32;

export interface CacheSnapshot {
  /** Entries in order of age, STRIDE integers each. */
  readonly entries: Int32Array;
  readonly uid: number;
}

export const mix = (a: number, b: number, lo: number, hi: number, shift: number): number => {
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

/** Whether the stage-1 leaf of an entry has a byte in [address, address + bytes). */
export function leafOverlaps(e: Int32Array, i: number, hi: number, lo: number, bytes: number): boolean {
  const s = e[i + BLOCK_SHIFT]!;
  const from = (alignHi(e[i + IN_HI]!, s) >>> 0) - (hi >>> 0);
  const delta = from * 4294967296 + ((alignLo(e[i + IN_LO]!, s) >>> 0) - (lo >>> 0));
  return delta < bytes && delta + 2 ** s > 0;
}

/** The few sizes in use, sorted, without allocation when one comes or goes. */
export class SizeList {
  readonly at = new Int32Array(64);
  count = 0;
  /** Entries of each size. */
  private readonly entries = new Int32Array(64);

  add(s: number): void {
    if (this.entries[s]!++ > 0) return;
    let k = this.count++;
    for (; k > 0 && this.at[k - 1]! > s; k--) this.at[k] = this.at[k - 1]!;
    this.at[k] = s;
  }

  remove(s: number): void {
    if (--this.entries[s]! > 0) return;
    const k = this.at.indexOf(s);
    this.at.copyWithin(k, k + 1, this.count--);
  }

  clear(): void {
    this.count = 0;
    this.entries.fill(0);
  }
}

/** A hash index over entries: chains that lie in the entries themselves. */
export class Chains {
  /** First entry of each hash, -1: none. */
  heads = new Int32Array(0);
  /** Offset of the link in an entry. */
  private readonly next: number;

  constructor(next: number) {
    this.next = next;
  }

  /** Empties the index and gives it `n` chains. */
  reset(n: number): void {
    this.heads = new Int32Array(n).fill(-1);
  }

  add(e: Int32Array, h: number, i: number): void {
    e[i + this.next] = this.heads[h]!;
    this.heads[h] = i;
  }

  remove(e: Int32Array, h: number, i: number): void {
    const { next } = this;
    let at = this.heads[h]!;
    if (at === i) {
      this.heads[h] = e[i + next]!;
      return;
    }
    while (e[at + next] !== i) at = e[at + next]!;
    e[at + next] = e[i + next]!;
  }
}
