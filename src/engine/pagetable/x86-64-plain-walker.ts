/**
 * A second walker of VT-d tables for tests, of bigints and plain loops, that shares nothing with the first but the bytes. It is
 * written from the specification's tables: one entry at a time, its fields by their bits.
 */

/** Rights as letters: r, w, x. */
export interface Ask {
  readonly r: boolean;
  readonly w: boolean;
  readonly x: boolean;
  /** A translation request: reading or writing; `nw`: no write will follow. */
  readonly any: boolean;
  readonly nw: boolean;
  readonly priv: boolean;
}

export interface PlainFirst {
  readonly root: bigint;
  readonly levels: number;
  readonly wpe: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly eafe: boolean;
  readonly fs1gp: boolean;
}

export interface PlainSecond {
  readonly root: bigint;
  readonly levels: number;
  readonly mgaw: number;
  readonly ssee: boolean;
  readonly ssade: boolean;
  readonly sslps: number;
  readonly sc: boolean;
}

export interface PlainMachine {
  readonly words: Map<bigint, bigint>;
  /** Bytes of memory. */
  readonly size: bigint;
  readonly haw: number;
  readonly snooped: boolean;
}

export interface Found {
  readonly out: bigint;
  readonly gpa: bigint;
  readonly shift: number;
  readonly user: string;
  readonly priv: string;
  readonly ss: string;
  readonly snp: boolean;
  /** Some leaf would still have to be marked dirty before a write. */
  readonly clean: boolean;
}

export type Outcome = { readonly fault: number } | Found;

class Fault {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
}

const bit = (e: bigint, n: number): boolean => ((e >> BigInt(n)) & 1n) === 1n;
const any = (e: bigint, hi: number, lo: number): boolean =>
  hi >= lo && ((e >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n)) !== 0n;
const field = (e: bigint, hi: number, lo: number): bigint =>
  ((e >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n)) << BigInt(lo);
const letters = (r: boolean, w: boolean, x: boolean): string => (r ? 'r' : '') + (w ? 'w' : '') + (x ? 'x' : '');

interface SecondFound {
  readonly out: bigint;
  readonly shift: number;
  readonly r: boolean;
  readonly w: boolean;
  readonly x: boolean;
  readonly snp: boolean;
  clean: boolean;
  /** Where its leaf lies. */
  readonly leaf: bigint;
}

const nothing: Ask = { r: false, w: false, x: false, any: false, nw: false, priv: false };

export class PlainWalker {
  reads = 0;
  private readonly m: PlainMachine;
  constructor(m: PlainMachine) {
    this.m = m;
  }

  walk(f: PlainFirst | null, s: PlainSecond | null, address: bigint, ask: Ask): Outcome {
    try {
      return f === null ? this.onlySecond(s!, address, ask) : this.firstOf(f, s, address, ask);
    } catch (e) {
      if (e instanceof Fault) return { fault: e.code };
      throw e;
    }
  }

  private read(at: bigint, code: number): bigint {
    if (at + 8n > this.m.size) throw new Fault(code);
    this.reads++;
    return this.m.words.get(at) ?? 0n;
  }

  private onlySecond(s: PlainSecond, a: bigint, ask: Ask): Found {
    const t = this.second(s, a, ask);
    const ss = letters(t.r, t.w, t.x);
    return { out: t.out, gpa: a, shift: t.shift, user: 'rwx', priv: 'rwx', ss, snp: t.snp, clean: t.clean };
  }

  private second(s: PlainSecond, a: bigint, ask: Ask, forTable = false): SecondFound {
    if (a >> BigInt(Math.min(s.mgaw, 12 + 9 * s.levels)) !== 0n) throw new Fault(0x84);
    let table = s.root;
    let [r, w, x] = [true, true, true];
    for (let level = s.levels; ; level--) {
      const shift = 12 + 9 * (level - 1);
      const at = table + 8n * ((a >> BigInt(shift)) & 511n);
      const e = this.read(at, level === s.levels ? 0x7b : 0x78);
      r &&= bit(e, 0);
      w &&= bit(e, 1);
      if (s.ssee) x &&= bit(e, 2);
      const present = bit(e, 0) || bit(e, 1) || (s.ssee && bit(e, 2));
      if (!present) throw new Fault(0x79);
      const leaf = level === 1 || bit(e, 7);
      let reserved = any(e, 51, this.m.haw) || bit(e, 62);
      if (!leaf) reserved ||= bit(e, 11);
      else {
        reserved ||= bit(e, 11) && !s.sc;
        if (level === 2) reserved ||= (s.sslps & 1) === 0 || any(e, 20, 12);
        if (level === 3) reserved ||= (s.sslps & 2) === 0 || any(e, 29, 12);
        if (level > 3) reserved = true;
      }
      if (reserved) throw new Fault(0x7a);
      if (leaf) {
        if (!r && !w) throw new Fault(0x79);
        if ((ask.r || ask.x) && !r) throw new Fault(0x86);
        if ((ask.w || (forTable && s.ssade)) && !w) throw new Fault(0x85);
        if (ask.x && !x) throw new Fault(0x82);
      }
      const writes = leaf && (ask.w || (ask.any && !ask.nw && w));
      if (s.ssade) this.set(at, (1n << 8n) | (writes ? 1n << 9n : 0n), 0x7c);
      if (!leaf) {
        table = field(e, 51, 12);
        continue;
      }
      const below = (1n << BigInt(shift)) - 1n;
      const clean = s.ssade && w && !bit(this.m.words.get(at)!, 9);
      return { out: (field(e, 51, 12) & ~below) | (a & below), shift, r, w, x, snp: bit(e, 11), clean, leaf: at };
    }
  }

  private set(at: bigint, bits: bigint, code: number): void {
    const e = this.m.words.get(at)!;
    if ((e & bits) === bits) return;
    if (!this.m.snooped) throw new Fault(code);
    this.m.words.set(at, e | bits);
  }

  private firstOf(f: PlainFirst, s: PlainSecond | null, a: bigint, ask: Ask): Found {
    const top = a >> BigInt(12 + 9 * f.levels - 1);
    const ones = (1n << BigInt(64 - (12 + 9 * f.levels - 1))) - 1n;
    if (top !== 0n && top !== ones) throw new Fault(0x80);
    let table = f.root;
    let [rw, us, xd] = [true, true, false];
    for (let level = f.levels; ; level--) {
      const shift = 12 + 9 * (level - 1);
      const gpa = table + 8n * ((a >> BigInt(shift)) & 511n);
      const way = s === null ? null : this.tableAccess(s, gpa, level === f.levels);
      const at = way?.out ?? gpa;
      const e = this.read(at, level === f.levels ? 0x73 : 0x70);
      if (!bit(e, 0)) throw new Fault(0x71);
      const leaf = level === 1 || bit(e, 7);
      let reserved = any(e, 51, this.m.haw);
      if (leaf && level > 3) reserved = true;
      if (leaf && level === 3) reserved ||= !f.fs1gp || any(e, 29, 13);
      if (leaf && level === 2) reserved ||= any(e, 20, 13);
      if (reserved) throw new Fault(0x72);
      rw &&= bit(e, 1);
      us &&= bit(e, 2);
      xd ||= bit(e, 63);
      const executable = !xd || !f.nxe;
      const user = us ? letters(true, rw, executable) : '';
      const priv = letters(true, rw || !f.wpe, executable && !(us && f.smep));
      const mine = ask.priv ? priv : user;
      if (leaf && (ask.r || ask.w || ask.x || ask.any)) {
        if (!ask.priv && !us) throw new Fault(0x81);
        if (ask.x && !mine.includes('x')) throw new Fault(0x82);
        if (ask.w && !mine.includes('w')) throw new Fault(0x85);
      }
      this.mark(at, (1n << 5n) | (f.eafe ? 1n << 10n : 0n) | (leaf && ask.w ? 1n << 6n : 0n), s, way);
      if (!leaf) {
        table = field(e, 51, 12);
        continue;
      }
      const below = (1n << BigInt(shift)) - 1n;
      const output = (field(e, 51, 12) & ~below) | (a & below);
      const dirty = bit(this.m.words.get(at)!, 6);
      const writable = user.includes('w') || priv.includes('w');
      if (s === null) {
        const clean = writable && !dirty;
        if (ask.any && !ask.nw && mine.includes('w') && clean)
          return this.firstOf(f, s, a, { ...nothing, w: true, priv: ask.priv });
        return { out: output, gpa: output, shift, user, priv, ss: 'rwx', snp: false, clean };
      }
      const t = this.lastAccess(s, output, { ...ask, nw: ask.nw || !mine.includes('w') });
      const clean = (writable && !dirty) || t.clean;
      if (ask.any && !ask.nw && mine.includes('w') && t.w && clean)
        return this.firstOf(f, s, a, { ...nothing, w: true, priv: ask.priv });
      const ss = letters(t.r, t.w, t.x);
      return { out: t.out, gpa: output, shift: Math.min(shift, t.shift), user, priv, ss, snp: t.snp, clean };
    }
  }

  /** The second stage of the output: where it lies is the fault of a first-stage entry. */
  private lastAccess(s: PlainSecond, gpa: bigint, ask: Ask): SecondFound {
    try {
      return this.second(s, gpa, ask);
    } catch (e) {
      throw e instanceof Fault && e.code === 0x84 ? new Fault(0x74) : e;
    }
  }

  /** The second stage of an entry's address: reading a table. */
  private tableAccess(s: PlainSecond, gpa: bigint, top: boolean): SecondFound {
    try {
      return this.second(s, gpa, { ...nothing, r: true }, true);
    } catch (e) {
      if (e instanceof Fault && e.code === 0x84) throw new Fault(0x74);
      if (e instanceof Fault && (e.code === 0x85 || e.code === 0x86)) throw new Fault(top ? 0x75 : 0x76);
      throw e;
    }
  }

  /** Sets bits of a first-stage entry, which is a write as far as the second stage is concerned. */
  private mark(at: bigint, bits: bigint, s: PlainSecond | null, way: SecondFound | null): void {
    const e = this.m.words.get(at)!;
    if ((e & bits) === bits) return;
    if (!this.m.snooped) throw new Fault(0x90);
    if (s !== null && way !== null) {
      if (!way.w) throw new Fault(0x77);
      if (s.ssade) this.m.words.set(way.leaf, this.m.words.get(way.leaf)! | (1n << 9n));
    }
    this.m.words.set(at, this.m.words.get(at)! | bits);
  }
}
