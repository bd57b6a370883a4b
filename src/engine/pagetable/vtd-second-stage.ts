import { PAGE_WORDS } from '../memory/index.ts';
import { byteIndex, joinHi, joinLo } from './halves.ts';
import { TableWalker } from './table-walker.ts';
import {
  ANY_DATA,
  EXEC,
  FOR_TABLE,
  FS_EXECUTE,
  NO_WRITE,
  OK,
  READ,
  type SecondStage,
  SNOOP,
  SS_BEYOND,
  SS_CLEAN,
  SS_DENIED,
  SS_NO_SNOOP,
  SS_READ,
  SS_RESERVED,
  SS_ROOT_READ,
  SS_SHIFT,
  SS_UNREADABLE,
  SS_WRITE,
  WRITE,
} from './vtd-walk.ts';

/** Bits of a second-stage entry's low half. */
const PS = 0x80;
const ACCESSED = 0x100;
const DIRTY = 0x200;
const SNP = 0x800;

/**
 * Caches that a walk may use and fill. All addresses are halves; the walker passes itself so that results are fields.
 * A walk uses only what was cached when it began.
 */
export interface PagingCaches {
  /**
   * Looks for the deepest cached second-stage table. When found sets `tableHi/tableLo` and `perms` and returns its level, else
   * -1. `purpose` and `fsLevel` are those of the walk, for whoever listens.
   */
  secondTable(w: SecondStageWalker, hi: number, lo: number, purpose: number, fsLevel: number): number;
  /** The same for the first stage; sets the table's own guest address, `tableGpaHi/tableGpaLo`, too. */
  firstTable(w: SecondStageWalker, hi: number, lo: number): number;
  fillSecondTable(w: SecondStageWalker, hi: number, lo: number, level: number): void;
  fillFirstTable(w: SecondStageWalker, hi: number, lo: number, level: number): void;
}

/**
 * What both stages' walks share, and the walk of the second stage.
 * Source: VT-d specification, 3.7 (second-stage translation), 9.9 (entries), 3.7.2 (accessed and dirty bits).
 */
export class SecondStageWalker extends TableWalker {
  caches: PagingCaches | null = null;
  /** Guest address before the second stage. */
  gpaHi = 0;
  gpaLo = 0;
  /** Guest address of a first-stage table, for an update of its entries; the table's own without second stage. */
  tableGpaHi = 0;
  tableGpaLo = 0;
  /** Where the last second-stage leaf lies. */
  private leafAtHi = 0;
  private leafAt = 0;

  /**
   * The second stage of one address. On OK the output is in outHi/outLo, perms has only second-stage bits.
   * Rights are those that every level grants, and are looked at once the leaf has been found: without any there is no
   * translation. Source: VT-d specification, 3.7.1, 3.8.1, 7.1.3 (SSS.2, SGN.6, SGN.7).
   * @param need READ, WRITE, EXEC bits that must be granted, or ANY_DATA; 0: any
   * @param purpose FOR_TABLE or FOR_INPUT
   * @param fsLevel level of the first-stage table that is read, for the visitor; -1 otherwise
   */
  second(s: SecondStage, hi: number, lo: number, need: number, purpose: number, fsLevel: number): number {
    if (((hi & s.inMaskHi) | (lo & s.inMaskLo)) !== 0)
      return this.unread(this.fault2(SS_BEYOND, hi, lo, purpose), s.levels, fsLevel);
    const { memory, caches, visitor } = this;
    const { words } = memory;
    const { rights, reservedHi } = s;
    // An execute request is a read, whose leave to execute counts only where the PASID entry says so.
    let wanted = (need & EXEC) !== 0 ? (need | READ) & rights : need & rights;
    // With accessed and dirty bits a first-stage table must be writable to be read. Source: VT-d specification, 3.8.1.
    if (s.ad && purpose === FOR_TABLE) wanted |= WRITE;
    let perms = 7;
    let { levels: level, baseHi: tableHi, baseLo: tableLo } = s;
    if (caches !== null) {
      const cached = caches.secondTable(this, hi, lo, purpose, fsLevel);
      if (cached >= 0) {
        level = cached;
        tableHi = this.tableHi;
        tableLo = this.tableLo;
        perms = this.perms;
      }
    }
    for (let shift = 3 + 9 * level; ; shift -= 9, level--) {
      const at = tableLo | (byteIndex(hi, lo, shift) & 0xff8);
      const i = memory.indexOf(tableHi, at);
      // Only a page that was never written can lie outside memory.
      if (i < PAGE_WORDS && this.aborts(tableHi, at))
        return this.unread(this.fault2(level === s.levels ? SS_ROOT_READ : SS_READ, hi, lo, purpose), level, fsLevel);
      let low = words[i]!;
      const high = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(2, level, tableHi, at, high, low, purpose, fsLevel, hi, lo);
      perms &= low | (~rights & 4);
      if ((low & rights) === 0) return this.fault2(SS_DENIED, hi, lo, purpose);
      const leaf = level === 1 || (low & PS) !== 0;
      if (leaf ? reservedLeaf(s, level, shift, low, high) : ((low & SNP) | (high & reservedHi)) !== 0)
        return this.fault2(SS_RESERVED, hi, lo, purpose);
      if (leaf && ((perms & 3) === 0 || (wanted & ~perms) !== 0))
        return this.fault2(denial(perms, wanted), hi, lo, purpose);
      if (s.ad) {
        let now = low | ACCESSED;
        // A translation request that a write may follow counts as a write.
        if (leaf && ((need & WRITE) !== 0 || ((need & (ANY_DATA | NO_WRITE)) === ANY_DATA && (perms & WRITE) !== 0)))
          now |= DIRTY;
        if (now !== low) {
          if (!s.snooped) return this.fault2(SS_NO_SNOOP, hi, lo, purpose);
          if (this.updates) {
            this.write(2, level, tableHi, at, high, low, now);
            low = now;
          }
        }
      }
      if (!leaf) {
        tableHi = high & 0xfffff;
        tableLo = low & -4096;
        if (caches !== null) {
          this.tableHi = tableHi;
          this.tableLo = tableLo;
          this.perms = perms;
          caches.fillSecondTable(this, hi, lo, level - 1);
        }
        continue;
      }
      this.leafAtHi = tableHi;
      this.leafAt = at;
      this.outHi = joinHi(high & 0xfffff, hi, shift);
      this.outLo = joinLo(low, lo, shift);
      this.leafShift = shift;
      this.level = level;
      this.perms =
        (perms << SS_SHIFT) |
        (s.ad && (low & DIRTY) === 0 && (perms & WRITE) !== 0 ? SS_CLEAN : 0) |
        ((low & SNP) !== 0 ? SNOOP : 0);
      return OK;
    }
  }

  /** Marks the leaf of the last second-stage walk dirty, because hardware is about to write through it. */
  protected dirtySecond(): void {
    const { memory, leafAtHi, leafAt, level } = this;
    const i = memory.indexOf(leafAtHi, leafAt);
    const low = memory.words[i]!;
    this.write(2, level, leafAtHi, leafAt, memory.words[i + 1]!, low, low | DIRTY);
  }

  protected fault2(reason: number, hi: number, lo: number, purpose: number): number {
    this.faultUnread = false;
    this.faultStage = 2;
    this.faultFor = purpose;
    this.faultHi = hi;
    this.faultLo = lo;
    return reason;
  }
}

/** What a translation that grants too little is refused for. */
function denial(perms: number, wanted: number): number {
  if ((perms & 3) === 0) return SS_DENIED;
  if ((wanted & READ & ~perms) !== 0) return SS_UNREADABLE;
  return (wanted & WRITE & ~perms) !== 0 ? SS_WRITE : FS_EXECUTE;
}

/** Whether a leaf has a bit that must be zero: its address beyond the width or below its size, SNP, a size that is not there. */
function reservedLeaf(s: SecondStage, level: number, shift: number, low: number, high: number): boolean {
  if (((low & s.leafReserved) | (high & s.reservedHi)) !== 0) return true;
  return level > 1 && (level > 3 || ((s.large >> level) & 1) === 0 || (low & ((1 << shift) - 4096)) !== 0);
}
