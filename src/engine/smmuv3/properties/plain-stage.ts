import { bits, flag, num } from '../../properties/words.ts';

/**
 * Stage 1 and stage 2 of VMSAv8-64, read straight from Arm DDI 0487 (D8.2 to D8.5) with bigints: no cache, no table of
 * precomputed masks, nothing shared with the walker that the engine uses.
 */

/** What the walk may touch. */
export interface PlainMemory {
  /** The 64-bit word at a physical address; null: the fetch ends in an external abort. */
  read(address: bigint): bigint | null;
  /** A descriptor that hardware updates. */
  write(address: bigint, word: bigint): void;
}

export interface PlainAccess {
  readonly write: boolean;
  /** An instruction read; never set together with `write`. */
  readonly exec: boolean;
  readonly priv: boolean;
}

export const F_WALK_EABT = 0x0b;
export const F_TRANSLATION = 0x10;
export const F_ADDR_SIZE = 0x11;
export const F_ACCESS = 0x12;
export const F_PERMISSION = 0x13;

export const CLASS_CD = 0;
export const CLASS_TT = 1;
export const CLASS_IN = 2;

/** What a walk throws. */
export class PlainFault {
  readonly id: number;
  readonly stage: 1 | 2;
  readonly klass: number;
  /** Input of stage 2; 0 for stage 1. */
  readonly ipa: bigint;
  /** Physical address of the aborted fetch. */
  readonly fetch: bigint;
  /** F_PERMISSION on a stage-1 descriptor: true when reading it was refused, false when updating it was. */
  readonly ttRead: boolean;

  constructor(id: number, stage: 1 | 2, klass: number, ipa: bigint, fetch: bigint, ttRead: boolean) {
    this.id = id;
    this.stage = stage;
    this.klass = klass;
    this.ipa = ipa;
    this.fetch = fetch;
    this.ttRead = ttRead;
  }
}

/** One translation table: where it starts and what it accepts. */
export interface PlainTable {
  readonly base: bigint;
  /** log2 of the granule: 12, 14, 16. */
  readonly granule: number;
  readonly start: number;
  readonly inputBits: number;
  readonly outputBits: number;
  /** The implementation's output size: with 52 bits the 64 KiB granule has address bits in [15:12] and level-1 blocks. */
  readonly oas: number;
  readonly affd: boolean;
  readonly ha: boolean;
  readonly hd: boolean;
}

export interface PlainStage2 extends PlainTable {
  readonly ptw: boolean;
  readonly xnx: boolean;
}

export interface PlainStage1 extends PlainTable {
  readonly had: boolean;
  readonly wxn: boolean;
  readonly pan: boolean;
  /** A regime without unprivileged accesses (EL2 without E2H). */
  readonly single: boolean;
}

/** Lowest input bit that the index of a level takes. */
export const lowestBit = (granule: number, level: number): number => granule + (granule - 3) * (3 - level);

/** Where a level finds its descriptor. The first level takes all bits that are left: up to sixteen tables in a row. */
function descriptorAt(t: PlainTable, table: bigint, level: number, input: bigint): bigint {
  const low = lowestBit(t.granule, level);
  const high = level === t.start ? t.inputBits - 1 : low + t.granule - 4;
  return table + 8n * bits(input, high, low);
}

/** The first table is aligned to its size, with 52-bit addresses at least to 64 bytes; address bits below do not count. */
function alignedBase(t: PlainTable): bigint {
  const size = 8n << BigInt(t.inputBits - lowestBit(t.granule, t.start));
  const least = t.outputBits > 48 ? 64n : 16n;
  return t.base & ~((size > least ? size : least) - 1n);
}

type Kind = 'invalid' | 'table' | 'leaf';

/** D8.3: what bits [1:0] mean at a level. */
function kindOf(t: PlainTable, level: number, d: bigint): Kind {
  if (!flag(d, 0)) return 'invalid';
  if (level === 3) return flag(d, 1) ? 'leaf' : 'invalid';
  if (flag(d, 1)) return 'table';
  if (t.granule === 12) return level === 1 || level === 2 ? 'leaf' : 'invalid';
  if (level === 2) return 'leaf';
  return t.granule === 16 && level === 1 && t.oas === 52 ? 'leaf' : 'invalid';
}

/** The address in a descriptor, from bit `low` on. */
function addressIn(t: PlainTable, d: bigint, low: number): bigint {
  const address = bits(d, 47, low) << BigInt(low);
  return t.granule === 16 && t.oas === 52 ? address | (bits(d, 15, 12) << 48n) : address;
}

/** @throws PlainFault */
export function stage2(m: PlainMemory, t: PlainStage2, ipa: bigint, access: PlainAccess, klass: number): bigint {
  const fault = (id: number, fetch = 0n): PlainFault => new PlainFault(id, 2, klass, ipa, fetch, !access.write);
  if (ipa >> BigInt(t.inputBits) !== 0n) throw fault(F_TRANSLATION);
  let table = alignedBase(t);
  for (let level = t.start; ; level++) {
    const at = descriptorAt(t, table, level, ipa);
    const d = m.read(at);
    if (d === null) throw fault(F_WALK_EABT, at);
    const kind = kindOf(t, level, d);
    if (kind === 'invalid') throw fault(F_TRANSLATION);
    const low = kind === 'table' ? t.granule : lowestBit(t.granule, level);
    const address = addressIn(t, d, low);
    if (address >> BigInt(t.outputBits) !== 0n) throw fault(F_ADDR_SIZE);
    if (kind === 'table') {
      table = address;
      continue;
    }
    let updated = d;
    if (!flag(d, 10)) {
      if (t.ha) updated |= 1n << 10n;
      else if (!t.affd) throw fault(F_ACCESS);
    }
    // Writable-clean: hardware may make it dirty.
    const clean = t.ha && t.hd && flag(d, 51) && !flag(d, 7);
    const xn = num(d, 54, 53);
    const executable = t.xnx ? xn === 0 || (xn === 1 && !access.priv) || (xn === 3 && access.priv) : !flag(d, 54);
    const allowed = access.write ? flag(d, 7) || clean : access.exec ? executable : flag(d, 6);
    if (!allowed) throw fault(F_PERMISSION);
    // MemAttr of 00xx is Device. With forced write-back it is x0xx, where x is reserved: the reading taken is that x counts.
    const device = bits(d, 5, 4) === 0n;
    if (klass !== CLASS_IN && t.ptw && device) throw fault(F_PERMISSION);
    if (access.write && clean) updated |= 1n << 7n;
    if (updated !== d) m.write(at, updated);
    return address | bits(ipa, low - 1, 0);
  }
}

/**
 * @param toPhysical turns a descriptor's address into a physical one, for reading or updating it (stage 2, or nothing)
 * @throws PlainFault
 */
export function stage1(
  m: PlainMemory,
  t: PlainStage1,
  va: bigint,
  access: PlainAccess,
  toPhysical: (address: bigint, write: boolean) => bigint,
): bigint {
  const fault = (id: number): PlainFault => new PlainFault(id, 1, CLASS_IN, 0n, 0n, true);
  let table = alignedBase(t);
  let readOnly = false;
  let noUser = false;
  let userNever = false;
  let privNever = false;
  const input = bits(va, t.inputBits - 1, 0);
  for (let level = t.start; ; level++) {
    const at = descriptorAt(t, table, level, input);
    const pa = toPhysical(at, false);
    const d = m.read(pa);
    if (d === null) throw new PlainFault(F_WALK_EABT, 1, CLASS_TT, 0n, pa, true);
    const kind = kindOf(t, level, d);
    if (kind === 'invalid') throw fault(F_TRANSLATION);
    const low = kind === 'table' ? t.granule : lowestBit(t.granule, level);
    const address = addressIn(t, d, low);
    if (address >> BigInt(t.outputBits) !== 0n) throw fault(F_ADDR_SIZE);
    if (kind === 'table') {
      table = address;
      if (t.had) continue;
      readOnly ||= flag(d, 62);
      noUser ||= flag(d, 61);
      userNever ||= flag(d, 60);
      privNever ||= flag(d, 59);
      continue;
    }
    let updated = d;
    if (!flag(d, 10)) {
      if (t.ha) updated |= 1n << 10n;
      else if (!t.affd) throw fault(F_ACCESS);
    }
    const clean = t.ha && t.hd && flag(d, 51) && flag(d, 7);
    const writable = (!flag(d, 7) || clean) && !readOnly;
    let allowed: boolean;
    if (t.single) {
      const executable = !flag(d, 54) && !userNever && !(t.wxn && writable);
      allowed = access.write ? writable : access.exec ? executable : true;
    } else {
      const user = flag(d, 6) && !noUser;
      const userWrite = user && writable;
      // What unprivileged code can write, privileged code does not execute.
      const privExec = !flag(d, 53) && !privNever && !userWrite && !(t.wxn && writable);
      const userExec = !flag(d, 54) && !userNever && !(t.wxn && userWrite);
      const kept = access.priv && t.pan && user;
      if (access.exec) allowed = access.priv ? privExec : userExec;
      else if (access.priv) allowed = (access.write ? writable : true) && !kept;
      else allowed = access.write ? userWrite : user;
    }
    if (!allowed) throw fault(F_PERMISSION);
    if (access.write && clean) updated &= ~(1n << 7n);
    if (updated !== d) m.write(toPhysical(at, true), updated);
    return address | bits(input, low - 1, 0);
  }
}
