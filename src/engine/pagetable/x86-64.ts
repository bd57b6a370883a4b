import { PAGE_WORDS } from '../memory/index.ts';
import { byteIndex, joinHi, joinLo } from './halves.ts';
import { SecondStageWalker } from './vtd-second-stage.ts';
import {
  ACC_ALL,
  ACC_EXEC,
  ACC_USER,
  ACC_WRITE,
  ALL_SS,
  ANY_DATA,
  EXEC,
  type FirstStage,
  FOR_INPUT,
  FOR_TABLE,
  FS_ABSENT,
  FS_BEYOND,
  FS_CLEAN,
  FS_DENIED,
  FS_EXECUTE,
  FS_NO_SNOOP,
  FS_NON_CANONICAL,
  FS_READ,
  FS_RESERVED,
  FS_ROOT_DENIED,
  FS_ROOT_READ,
  FS_UPDATE_DENIED,
  FS_USER,
  FS_WRITE,
  firstPerms,
  NO_WRITE,
  OK,
  PRIV_SHIFT,
  READ,
  type SecondStage,
  SS_BEYOND,
  SS_CLEAN,
  SS_SHIFT,
  SS_UNREADABLE,
  SS_WRITE,
  WRITE,
} from './vtd-walk.ts';
import { nestedFast } from './x86-64-fast.ts';

export type { ReadVisitor, UpdateVisitor } from './access.ts';
export type { PagingCaches } from './vtd-second-stage.ts';
export * from './vtd-walk.ts';

/** Bits of a first-stage entry's low half. */
const PRESENT = 1;
const DIRTY = 0x40;
const PS = 0x80;

/**
 * The hardware's walk of VT-d tables, first stage, second stage and nested, on 32-bit halves and without allocation.
 *
 * Addresses travel as (hi, lo): `hi` is bits 63:32 and `lo` bits 31:0, each an int32. Results are fields of the walker.
 * Order of the checks: an entry's presence, its reserved bits, its accessed bit, and the rights of all levels at the leaf.
 * Source: VT-d specification, 3.6 (first stage), 3.8 (nested), 9.8 (entries), 7.1.3 (faults).
 */
export class X86Walker extends SecondStageWalker {
  /**
   * The first stage, nested in the second when `s` is given. On OK: outHi/outLo the final address, gpaHi/gpaLo the guest's,
   * leafShift the smaller leaf, level that of the first-stage leaf, perms both stages' bits.
   * @param need READ, WRITE, EXEC bits, ANY_DATA (with NO_WRITE), or 0: rights are not asked for
   * @param priv a supervisor request
   */
  first(f: FirstStage, s: SecondStage | null, hi: number, lo: number, need: number, priv: boolean): number {
    if (((hi >> f.signShift) + 1) >>> 0 > 1) return this.unread(this.fault1(FS_NON_CANONICAL), f.levels, f.levels);
    const { caches, visitor } = this;
    if (caches === null && visitor === null && s !== null && nestedFast(this, f, s, hi, lo, need, priv)) return OK;
    const { memory } = this;
    const { words } = memory;
    let { levels: level, baseHi: tableHi, baseLo: tableLo } = f;
    // Guest address of the table that is read; a cached step holds its physical one too.
    let gpaHi = tableHi;
    let gpaLo = tableLo;
    let physical = s === null;
    let acc = ACC_ALL;
    if (caches !== null) {
      const cached = caches.firstTable(this, hi, lo);
      if (cached >= 0) {
        level = cached;
        tableHi = this.tableHi;
        tableLo = this.tableLo;
        gpaHi = this.tableGpaHi;
        gpaLo = this.tableGpaLo;
        acc = this.perms;
        physical = true;
      }
    }
    let low = 0;
    let high = 0;
    let shift = 3 + 9 * level;
    for (; ; shift -= 9, level--) {
      const index = byteIndex(hi, lo, shift) & 0xff8;
      let atHi = tableHi;
      let at = tableLo | index;
      // Rights of the second-stage walk of this entry; -1 where none has been made.
      let granted = -1;
      if (!physical) {
        const r = this.second(s!, atHi, at, READ, FOR_TABLE, level);
        if (r !== OK) return tableFault(r, level === f.levels);
        atHi = this.outHi;
        at = this.outLo;
        granted = this.perms;
        if (caches !== null && level < f.levels) this.fillTable(hi, lo, level, atHi, at & -4096, gpaHi, gpaLo, acc);
      }
      physical = s === null;
      const i = memory.indexOf(atHi, at);
      if (i < PAGE_WORDS && this.aborts(atHi, at))
        return this.unread(this.fault1(level === f.levels ? FS_ROOT_READ : FS_READ), level, level);
      low = words[i]!;
      high = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(1, level, atHi, at, high, low, FOR_TABLE, level, gpaHi, gpaLo | index);
      if ((low & PRESENT) === 0) return this.fault1(FS_ABSENT);
      const leaf = level === 1 || (low & PS) !== 0;
      if ((high & f.reservedHi) !== 0 || (leaf && reservedLeaf(f, level, shift, low))) return this.fault1(FS_RESERVED);
      acc &= (low & (ACC_WRITE | ACC_USER)) | (high < 0 ? 0 : ACC_EXEC);
      let now = low | f.accessed;
      if (leaf) {
        const refused = need === 0 ? OK : refusal(firstPerms(f, acc), acc, need, priv);
        if (refused !== OK) return this.fault1(refused);
        if ((need & WRITE) !== 0) now |= DIRTY;
      }
      if (now !== low) {
        const r = this.mark(f, s, level, granted, gpaHi, gpaLo | index, atHi, at, high, now);
        if (r !== OK) return r;
        low = words[i]!;
      }
      if (leaf) break;
      tableHi = gpaHi = high & 0xfffff;
      tableLo = gpaLo = low & -4096;
      if (s === null && caches !== null) this.fillTable(hi, lo, level - 1, tableHi, tableLo, gpaHi, gpaLo, acc);
    }
    return this.output(f, s, hi, lo, need, priv, level, shift, low, high, acc);
  }

  /** From the first-stage leaf to the end: the guest's address, and the second stage's of it. */
  private output(
    f: FirstStage,
    s: SecondStage | null,
    hi: number,
    lo: number,
    need: number,
    priv: boolean,
    level: number,
    shift: number,
    low: number,
    high: number,
    acc: number,
  ): number {
    let perms = firstPerms(f, acc);
    if ((low & DIRTY) === 0 && (perms & (WRITE | (WRITE << PRIV_SHIFT))) !== 0) perms |= FS_CLEAN;
    this.outHi = this.gpaHi = joinHi(high & 0xfffff, hi, shift);
    this.outLo = this.gpaLo = joinLo(low, lo, shift);
    this.leafShift = shift;
    this.level = level;
    if (s === null) this.perms = perms | ALL_SS;
    else {
      // What the first stage does not let write, a translation request does not make dirty.
      const writable = ((priv ? perms >>> PRIV_SHIFT : perms) & WRITE) !== 0;
      const r = this.second(s, this.gpaHi, this.gpaLo, writable ? need : need | NO_WRITE, FOR_INPUT, -1);
      // Here too it is an entry of the first stage that leads beyond. Source: VT-d specification, 7.1.3 (SFS.5).
      if (r !== OK) return r === SS_BEYOND ? FS_BEYOND : r;
      this.perms |= perms;
      if (shift < this.leafShift) this.leafShift = shift;
      this.level = level;
    }
    // A translation request that a write may follow leaves the leaf dirty when the answer lets it write.
    const both = (priv ? this.perms >>> PRIV_SHIFT : this.perms) & (this.perms >>> SS_SHIFT);
    if (
      (need & (ANY_DATA | NO_WRITE)) === ANY_DATA &&
      (both & WRITE) !== 0 &&
      (this.perms & (FS_CLEAN | SS_CLEAN)) !== 0 &&
      this.updates
    )
      return this.first(f, s, hi, lo, WRITE, priv);
    return OK;
  }

  /** Gives the caches the table of a level, with what the ones above leave of the rights. */
  private fillTable(
    hi: number,
    lo: number,
    level: number,
    tableHi: number,
    tableLo: number,
    gpaHi: number,
    gpaLo: number,
    acc: number,
  ): void {
    this.tableHi = tableHi;
    this.tableLo = tableLo;
    this.tableGpaHi = gpaHi;
    this.tableGpaLo = gpaLo;
    this.perms = acc;
    this.caches!.fillFirstTable(this, hi, lo, level);
  }

  /**
   * Sets accessed and dirty bits of an entry, for which the second stage must let it be written.
   * @param granted rights of the second-stage walk that has just found the entry, -1: a cached step did
   * @param gpaHi,gpaLo guest address of the entry; `atHi`, `at` its physical one
   */
  private mark(
    f: FirstStage,
    s: SecondStage | null,
    level: number,
    granted: number,
    gpaHi: number,
    gpaLo: number,
    atHi: number,
    at: number,
    high: number,
    now: number,
  ): number {
    if (!f.snooped) return this.fault1(FS_NO_SNOOP);
    if (s !== null && granted < 0) {
      const r = this.second(s, gpaHi, gpaLo, READ | WRITE, FOR_TABLE, level);
      if (r !== OK) return r === SS_WRITE ? FS_UPDATE_DENIED : tableFault(r, level === f.levels);
    } else if (s !== null) {
      if (((granted >>> SS_SHIFT) & WRITE) === 0) return this.fault2(FS_UPDATE_DENIED, gpaHi, gpaLo, FOR_TABLE);
      if ((granted & SS_CLEAN) !== 0 && this.updates) this.dirtySecond();
    }
    // One that only looks has seen that it could.
    if (!this.updates) return OK;
    // The word may be the second-stage leaf that has just been marked.
    const before = this.memory.words[this.memory.indexOf(atHi, at)]!;
    this.write(1, level, atHi, at, high, before, before | now);
    return OK;
  }

  private fault1(reason: number): number {
    this.faultUnread = false;
    this.faultStage = 1;
    this.faultFor = FOR_INPUT;
    this.faultHi = 0;
    this.faultLo = 0;
    return reason;
  }
}

/**
 * What a fault of the second stage is called when it hits the address of a first-stage table: what is not mapped at all
 * stays SSS.2. Source: VT-d specification, 7.1.3 (SFS.1, SFS.5 to SFS.7).
 */
function tableFault(reason: number, top: boolean): number {
  if (reason === SS_BEYOND) return FS_BEYOND;
  if (reason !== SS_UNREADABLE && reason !== SS_WRITE) return reason;
  return top ? FS_ROOT_DENIED : FS_DENIED;
}

/** Whether a leaf above level 1 is of a size that does not exist, or has address bits below its size. */
function reservedLeaf(f: FirstStage, level: number, shift: number, low: number): boolean {
  if (level === 1) return false;
  // Bit 12 is the PAT bit of a large page.
  return level > 3 || (level === 3 && !f.gigabyte) || (low & ((1 << shift) - 0x2000)) !== 0;
}

/** Why the first stage refuses an access, or OK. */
function refusal(perms: number, acc: number, need: number, priv: boolean): number {
  if (!priv && (acc & ACC_USER) === 0) return FS_USER;
  const allowed = priv ? perms >>> PRIV_SHIFT : perms;
  if ((need & EXEC & ~allowed) !== 0) return FS_EXECUTE;
  return (need & WRITE & ~allowed) !== 0 ? FS_WRITE : OK;
}
