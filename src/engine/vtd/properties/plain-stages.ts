import { BIT, bits, flag } from '../../properties/words.ts';
import type { PlainFeatures } from './plain-features.ts';

/**
 * First and second stage, read straight from the VT-d specification (3.6 to 3.8, 9.8, 9.9) with bigints: no cache, no table
 * of precomputed masks, nothing shared with the walker that the engine uses.
 */

/** What the walk may touch. */
export interface PlainMemory {
  /** The 64-bit word at a physical address; null: nothing answers there. */
  read(address: bigint): bigint | null;
  /** An entry that hardware updates. */
  write(address: bigint, word: bigint): void;
}

export interface PlainAccess {
  /** A translation request is none of these: it asks for what there is. */
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly ats: boolean;
  /** A supervisor request. */
  readonly priv: boolean;
}

/** Fault reason, as scalable mode has it. */
export class PlainFault {
  readonly reason: number;
  /** FPD of some entry on the way keeps it from being recorded. */
  readonly silent: boolean;

  constructor(reason: number, silent: boolean) {
    this.reason = reason;
    this.silent = silent;
  }
}

export interface Reached {
  readonly address: bigint;
  /** Log2 of the page's size. */
  readonly size: number;
  readonly read: boolean;
  readonly write: boolean;
}

export interface PlainSecond {
  readonly root: bigint;
  readonly levels: number;
  readonly execute: boolean;
  readonly ad: boolean;
  readonly snooped: boolean;
}

export interface PlainFirst {
  readonly root: bigint;
  readonly levels: number;
  readonly wpe: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly eafe: boolean;
  readonly snooped: boolean;
}

/** Lowest address bit that the index of a level takes. */
const lowest = (level: number): number => 12 + 9 * (level - 1);
const indexOf = (address: bigint, level: number): bigint => bits(address, lowest(level) + 8, lowest(level));
/** Address bits 51:12 of an entry. */
const pointer = (w: bigint): bigint => bits(w, 51, 12) << 12n;

export interface SecondResult extends Reached {
  /** Makes the leaf dirty, for an access that turns out to be a write. @throws the reason */
  readonly dirty: () => void;
}

/**
 * Translates a guest address.
 * @param a rights that the access needs
 * @param forTable it is the address of a first-stage entry
 * @param mayWrite false: the first stage lets a translation request do nothing but read
 * @throws number: the reason
 */
export function second(
  m: PlainMemory,
  f: PlainFeatures,
  s: PlainSecond,
  gpa: bigint,
  a: PlainAccess,
  mayWrite = true,
  forTable = false,
): SecondResult {
  if (gpa >> BigInt(Math.min(f.mgaw, 12 + 9 * s.levels)) !== 0n) throw 0x84;
  let table = s.root;
  let read = true;
  let write = true;
  let execute = true;
  for (let level = s.levels; ; level--) {
    const at = table + 8n * indexOf(gpa, level);
    let w = m.read(at);
    if (w === null) throw level === s.levels ? 0x7b : 0x78;
    // There is no present bit: an entry without any right is none.
    read &&= flag(w, 0);
    write &&= flag(w, 1);
    execute &&= !s.execute || flag(w, 2);
    const absent = !flag(w, 0) && !flag(w, 1) && !(s.execute && flag(w, 2));
    if (absent) throw 0x79;
    const leaf = level === 1 || flag(w, 7);
    if (bits(w, 51, 12) >> BigInt(f.haw - 12) !== 0n || flag(w, 62)) throw 0x7a;
    if (flag(w, 11) && (!leaf || !f.sc)) throw 0x7a;
    if (leaf && level > 1) {
      const there = level === 2 ? f.ss2m : level === 3 ? f.ss1g : false;
      if (!there || bits(w, lowest(level) - 1, 12) !== 0n) throw 0x7a;
    }
    if (leaf) {
      if (!read && !write) throw 0x79;
      if ((a.read || a.exec) && !read) throw 0x86;
      // Tables must be writable where hardware marks entries of the second stage.
      if ((a.write || (s.ad && forTable)) && !write) throw 0x85;
      if (a.exec && !execute) throw 0x82;
    }
    const mark = (bit: number): void => {
      if (flag(w!, bit)) return;
      if (!s.snooped) throw 0x7c;
      w = w! | BIT(bit);
      m.write(at, w);
    };
    if (s.ad) {
      mark(8);
      if (leaf && (a.write || (a.ats && write && mayWrite))) mark(9);
    }
    if (!leaf) {
      table = pointer(w);
      continue;
    }
    const size = lowest(level);
    return {
      address: ((pointer(w) >> BigInt(size)) << BigInt(size)) | bits(gpa, size - 1, 0),
      size,
      read,
      write,
      dirty: () => {
        if (s.ad) mark(9);
      },
    };
  }
}

const reading: PlainAccess = { read: true, write: false, exec: false, ats: false, priv: false };

/**
 * The first stage, over the second one where there is one.
 * @throws number: the reason
 */
export function first(
  m: PlainMemory,
  f: PlainFeatures,
  s: PlainFirst,
  below: PlainSecond | null,
  iova: bigint,
  a: PlainAccess,
): Reached {
  const width = 12 + 9 * s.levels;
  const upper = iova >> BigInt(width - 1);
  if (upper !== 0n && upper !== (1n << BigInt(64 - width + 1)) - 1n) throw 0x80;
  let table = s.root;
  let writable = true;
  let user = true;
  let never = false;
  for (let level = s.levels; ; level--) {
    const at = table + 8n * indexOf(iova, level);
    let under: SecondResult | null = null;
    if (below)
      try {
        under = second(m, f, below, at, reading, true, true);
      } catch (reason) {
        if (reason === 0x84) throw 0x74;
        if (reason === 0x85 || reason === 0x86) throw level === s.levels ? 0x75 : 0x76;
        throw reason;
      }
    const pa = under ? under.address : at;
    const w = m.read(pa);
    if (w === null) throw level === s.levels ? 0x73 : 0x70;
    if (!flag(w, 0)) throw 0x71;
    const leaf = level === 1 || flag(w, 7);
    if (bits(w, 51, 12) >> BigInt(f.haw - 12) !== 0n) throw 0x72;
    const size = lowest(level);
    if (leaf && level > 1) {
      if (level > 3 || (level === 3 && !f.fs1gp)) throw 0x72;
      // Bit 12 is PAT.
      if (bits(w, size - 1, 13) !== 0n) throw 0x72;
    }
    writable &&= flag(w, 1);
    user &&= flag(w, 2);
    never ||= s.nxe && flag(w, 63);
    const mayWrite = writable || (a.priv && !s.wpe);
    if (leaf) {
      if (!a.priv && !user) throw 0x81;
      if (a.exec && (never || (a.priv && user && s.smep))) throw 0x82;
      if (a.write && !mayWrite) throw 0x85;
    }
    let now = w;
    const mark = (bits: bigint): void => {
      if ((now | bits) === now) return;
      if (!s.snooped) throw 0x90;
      if (under && !under.write) throw 0x77;
      under?.dirty();
      now |= bits;
      m.write(pa, now);
    };
    const used = BIT(5) | (s.eafe ? BIT(10) : 0n);
    mark(leaf && a.write ? used | BIT(6) : used);
    if (!leaf) {
      table = pointer(w);
      continue;
    }
    const gpa = ((pointer(w) >> BigInt(size)) << BigInt(size)) | bits(iova, size - 1, 0);
    let end: Reached = { address: gpa, size, read: true, write: true };
    try {
      if (below) end = second(m, f, below, gpa, a, mayWrite);
    } catch (reason) {
      // An entry of the first stage leads beyond.
      throw reason === 0x84 ? 0x74 : reason;
    }
    const write = mayWrite && end.write;
    // A page that a device may write is dirty from the time it gets the translation.
    if (a.ats && write) mark(BIT(6));
    return { address: end.address, size: Math.min(size, end.size), read: end.read, write };
  }
}
