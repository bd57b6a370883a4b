import type { Memory } from '../memory/index.ts';
import {
  ACCESS,
  ADDR_SIZE,
  EABT,
  EXEC,
  FOR_INPUT,
  FOR_TABLE,
  OK,
  PERMISSION,
  READ,
  TRANSLATION,
  WRITE,
} from './vmsav8.ts';

/**
 * A second walker, written straight from the descriptor tables of Arm DDI 0487 D8.3 and D8.4 with bigints and plain
 * objects. It shares nothing with the walker under test but the tables in memory.
 */
export interface Stage {
  readonly granule: number;
  readonly base: bigint;
  readonly start: number;
  readonly inputBits: number;
  readonly outputBits: number;
  readonly affd: boolean;
  readonly ptw: boolean;
  readonly had: boolean;
  readonly wxn: boolean;
  readonly pan: boolean;
  readonly single: boolean;
  readonly xnx: boolean;
  /** Hardware sets the access flag, and marks pages dirty. */
  readonly ha: boolean;
  readonly hd: boolean;
  /** 52-bit descriptors (64 KiB granule). */
  readonly lpa: boolean;
}

export interface Outcome {
  readonly fault: number;
  readonly stage: number;
  readonly purpose: number;
  readonly address: bigint;
  readonly out: bigint;
  readonly reads: number;
  /** Descriptors that were changed: address and new value. */
  readonly writes: readonly (readonly [bigint, bigint])[];
}

const bit = (d: bigint, n: number): boolean => ((d >> BigInt(n)) & 1n) === 1n;
const levelShift = (s: Stage, level: number): bigint => BigInt(s.granule + (s.granule - 3) * (3 - level));
/** Which levels may hold a block: 2 MiB and 1 GiB, 32 MiB, 512 MiB; 4 TiB with 52-bit addresses. */
const blockLevels: Readonly<Record<number, readonly number[]>> = { 12: [1, 2], 14: [2], 16: [2] };
const hasBlock = (s: Stage, level: number): boolean =>
  blockLevels[s.granule]!.includes(level) || (s.granule === 16 && s.lpa && level === 1);
/** Address in a descriptor: of 64 KiB ones with 52 bits, bits 15:12 are address bits 51:48. */
const addressOf = (s: Stage, d: bigint): bigint =>
  (d & 0xffff_ffff_ffffn & ~((1n << BigInt(s.granule)) - 1n)) |
  (s.granule === 16 && s.lpa ? ((d >> 12n) & 15n) << 48n : 0n);
/** Dirty state belongs to hardware, the page may be written and is clean. */
const DBM = 51;

export class PlainWalker {
  reads = 0;
  private readonly writes: [bigint, bigint][] = [];
  private readonly before: [bigint, bigint][] = [];
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
  }

  private fetch(pa: bigint): bigint | null {
    if (pa + 8n > BigInt(this.memory.size)) return null;
    this.reads++;
    return this.memory.readWord(Number(pa));
  }

  private end(fault: number, stage: number, purpose: number, address: bigint, out = 0n): Outcome {
    return {
      fault,
      stage,
      purpose,
      address: fault === OK || (stage === 1 && fault !== EABT) ? 0n : address,
      out,
      reads: this.reads,
      writes: this.writes,
    };
  }

  private change(pa: bigint, was: bigint, now: bigint): void {
    if (was === now) return;
    this.memory.writeWord(Number(pa), now);
    this.writes.push([pa, now]);
    this.before.push([pa, was]);
  }

  /** Puts back what the walk has changed, so that another walk finds the same tables. */
  undo(): void {
    for (const [pa, was] of this.before.reverse()) this.memory.writeWord(Number(pa), was);
  }

  /** What a descriptor is at its level. */
  private kind(s: Stage, level: number, d: bigint): 'invalid' | 'table' | 'leaf' {
    if (!bit(d, 0)) return 'invalid';
    if (level === 3) return bit(d, 1) ? 'leaf' : 'invalid';
    if (bit(d, 1)) return 'table';
    return hasBlock(s, level) ? 'leaf' : 'invalid';
  }

  /** Index at a level. The first table takes all the remaining bits: up to sixteen tables may lie side by side. */
  private index(s: Stage, level: number, input: bigint): bigint {
    const shift = levelShift(s, level);
    const bits = level === s.start ? BigInt(s.inputBits) - shift : BigInt(s.granule - 3);
    return (input >> shift) & ((1n << bits) - 1n);
  }

  second(s: Stage, ipa: bigint, need: number, purpose: number, priv: boolean): Outcome {
    const fail = (f: number, at = ipa): Outcome => this.end(f, 2, purpose, at);
    if (ipa >> BigInt(s.inputBits) !== 0n) return fail(TRANSLATION);
    let table = s.base;
    for (let level = s.start; ; level++) {
      const at = table + this.index(s, level, ipa) * 8n;
      const d = this.fetch(at);
      if (d === null) return fail(EABT, at);
      const kind = this.kind(s, level, d);
      if (kind === 'invalid') return fail(TRANSLATION);
      const address = addressOf(s, d);
      if (address >> BigInt(s.outputBits) !== 0n) return fail(ADDR_SIZE);
      if (kind === 'table') {
        table = address;
        continue;
      }
      if (!bit(d, 10) && !s.affd && !s.ha) return fail(ACCESS);
      const clean = s.ha && s.hd && !bit(d, 7) && bit(d, DBM);
      const xn = (bit(d, 54) ? 2 : 0) + (bit(d, 53) && s.xnx ? 1 : 0);
      const executable = xn === 0 || (xn === 1 && !priv) || (xn === 3 && priv);
      if ((need & READ && !bit(d, 6)) || (need & WRITE && !bit(d, 7) && !clean) || (need & EXEC && !executable))
        return fail(PERMISSION);
      const device = (d & 0x30n) === 0n;
      if (purpose !== FOR_INPUT && s.ptw && device) return fail(PERMISSION);
      if (s.ha) this.change(at, d, d | (1n << 10n) | (clean && need & WRITE ? 1n << 7n : 0n));
      const mask = (1n << levelShift(s, level)) - 1n;
      return this.end(OK, 0, purpose, 0n, (address & ~mask) | (ipa & mask));
    }
  }

  /** Whether stage 1 allows the access, in the words of D8.4.1: data, then execution, then what forbids it. */
  private allows(
    s: Stage,
    d: bigint,
    below: { readOnly: boolean; noUnpriv: boolean; uxn: boolean; pxn: boolean },
    need: number,
    priv: boolean,
  ): boolean {
    const clean = s.ha && s.hd && bit(d, DBM);
    const writable = (!bit(d, 7) || clean) && !below.readOnly;
    if (s.single) {
      if (need & WRITE && !writable) return false;
      return !(need & EXEC) || (!bit(d, 54) && !below.uxn && !(s.wxn && writable));
    }
    const unprivReads = bit(d, 6) && !below.noUnpriv;
    const unprivWrites = unprivReads && writable;
    if (priv) {
      if (s.pan && unprivReads && need & (READ | WRITE)) return false;
      if (need & WRITE && !writable) return false;
      return !(need & EXEC) || (!bit(d, 53) && !below.pxn && !unprivWrites && !(s.wxn && writable));
    }
    if (need & READ && !unprivReads) return false;
    if (need & WRITE && !unprivWrites) return false;
    return !(need & EXEC) || (!bit(d, 54) && !below.uxn && !(s.wxn && unprivWrites));
  }

  first(s1: Stage, s2: Stage | null, va: bigint, need: number, priv: boolean): Outcome {
    let table = s1.base;
    const below = { readOnly: false, noUnpriv: false, uxn: false, pxn: false };
    for (let level = s1.start; ; level++) {
      const entry = table + this.index(s1, level, va) * 8n;
      let at = entry;
      if (s2) {
        const r = this.second(s2, at, READ, FOR_TABLE, false);
        if (r.fault !== OK) return r;
        at = r.out;
      }
      const d = this.fetch(at);
      if (d === null) return this.end(EABT, 1, FOR_TABLE, at);
      const fail = (f: number): Outcome => this.end(f, 1, FOR_INPUT, 0n);
      const kind = this.kind(s1, level, d);
      if (kind === 'invalid') return fail(TRANSLATION);
      const address = addressOf(s1, d);
      if (address >> BigInt(s1.outputBits) !== 0n) return fail(ADDR_SIZE);
      if (kind === 'table') {
        if (!s1.had) {
          below.readOnly ||= bit(d, 62);
          below.noUnpriv ||= bit(d, 61);
          below.uxn ||= bit(d, 60);
          below.pxn ||= bit(d, 59);
        }
        table = address;
        continue;
      }
      if (!bit(d, 10) && !s1.affd && !s1.ha) return fail(ACCESS);
      if (!this.allows(s1, d, below, need, priv)) return fail(PERMISSION);
      if (s1.ha) {
        const marks = s1.hd && bit(d, 7) && bit(d, DBM) && (need & WRITE) !== 0;
        const now = (d | (1n << 10n)) & ~(marks ? 1n << 7n : 0n);
        // The descriptor is written through stage 2.
        const r = s2 && now !== d ? this.second(s2, entry, WRITE, FOR_TABLE, false) : null;
        if (r && r.fault !== OK) return r;
        this.change(at, d, now);
      }
      const mask = (1n << levelShift(s1, level)) - 1n;
      const ipa = (address & ~mask) | (va & mask);
      if (!s2) return this.end(OK, 0, FOR_INPUT, 0n, ipa);
      return this.second(s2, ipa, need, FOR_INPUT, priv);
    }
  }
}
