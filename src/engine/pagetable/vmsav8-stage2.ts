import { PAGE_WORDS } from '../memory/index.ts';
import { byteIndex } from './halves.ts';
import { TableWalker } from './table-walker.ts';
import {
  ACCESS,
  ADDR_SIZE,
  contiguousBits,
  EABT,
  FOR_INPUT,
  leafPerms2,
  OK,
  PERMISSION,
  S2_CLEAN,
  S2_DEVICE,
  S2_SHIFT,
  type StageConfig,
  TRANSLATION,
  WRITE,
} from './vmsav8-stage.ts';

/**
 * Caches that a walk may use and fill. All addresses are halves; the walker passes itself so that results are fields.
 * A walk uses only what was cached when it began.
 */
export interface WalkCaches {
  /**
   * Looks for the stage-2 leaf of an IPA. When found sets `outHi/outLo`, `perms`, `leafShift` of the walker and returns true.
   * `purpose` and `s1Level` are those of the walk, for whoever listens.
   */
  stage2Leaf(w: Stage2Walker, ipaHi: number, ipaLo: number, purpose: number, s1Level: number): boolean;
  /** Looks for the deepest cached stage-2 table. When found sets `tableHi/tableLo` and returns its level, else -1. */
  stage2Table(w: Stage2Walker, ipaHi: number, ipaLo: number, purpose: number, s1Level: number): number;
  /** The same for stage 1; sets `perms` and the table's own intermediate address, `tableIpaHi/tableIpaLo`, too. */
  stage1Table(w: Stage2Walker, vaHi: number, vaLo: number): number;
  fillStage2Leaf(w: Stage2Walker, ipaHi: number, ipaLo: number, level: number): void;
  fillStage2Table(w: Stage2Walker, ipaHi: number, ipaLo: number, level: number): void;
  fillStage1Table(w: Stage2Walker, vaHi: number, vaLo: number, level: number): void;
}

/**
 * What both stages' walks share, and the walk of stage 2.
 * Source: Arm DDI 0487 D8, Arm IHI 0070 3.13, 7.3.
 */
export class Stage2Walker extends TableWalker {
  caches: WalkCaches | null = null;
  /** Whether a contiguous hint widens `leafShift`. */
  contiguous = false;

  /** Log2 of the stage-1 leaf alone, without a hint (stage-1 walks). */
  s1Shift = 0;
  /** Intermediate address, before the second stage. */
  ipaHi = 0;
  ipaLo = 0;
  /** Intermediate address of a stage-1 table, for an update of its descriptors; the table's own without stage 2. */
  tableIpaHi = 0;
  tableIpaLo = 0;
  /** The fault is that of a descriptor's update, which writes. */
  faultWrite = false;

  /**
   * Stage 2 of one IPA. On OK the output is in outHi/outLo, perms has only stage-2 bits.
   * @param need bits that the leaf must allow, as `stage2Need` has them
   * @param purpose FOR_CD, FOR_TABLE or FOR_INPUT
   * @param s1Level level of the stage-1 table that is read, for the visitor; -1 otherwise
   */
  stage2(s2: StageConfig, ipaHi: number, ipaLo: number, need: number, purpose: number, s1Level: number): number {
    const caches = this.caches;
    // biome-ignore lint/complexity/useOptionalChain: null is the common case, and this is the hot path
    if (caches !== null && caches.stage2Leaf(this, ipaHi, ipaLo, purpose, s1Level) && !this.dirties(need, S2_CLEAN))
      return this.checkStage2(s2, ipaHi, ipaLo, need, purpose);
    if (((ipaHi & s2.inMaskHi) | (ipaLo & s2.inMaskLo)) !== 0)
      return this.unread(this.fault2(TRANSLATION, ipaHi, ipaLo, purpose), s2.startLevel, s1Level);
    const memory = this.memory;
    const words = memory.words;
    const visitor = this.visitor;
    const granule = s2.granule;
    const stride = granule - 3;
    const strideMask = ((1 << stride) - 1) << 3;
    const tableMask = -1 << granule;
    const outMaskHi = s2.outMaskHi;
    const topMask = s2.topMask;
    let level = s2.startLevel;
    let tableHi = s2.baseHi;
    let tableLo = s2.baseLo;
    // The first table may be several, concatenated.
    let mask = s2.firstMask << 3;
    if (caches !== null) {
      const cached = caches.stage2Table(this, ipaHi, ipaLo, purpose, s1Level);
      if (cached >= 0) {
        level = cached;
        tableHi = this.tableHi;
        tableLo = this.tableLo;
        mask = strideMask;
      }
    }
    for (let shift = granule + (3 - level) * stride; ; shift -= stride, level++) {
      // Tables are aligned to their size, so the index never carries.
      const at = tableLo | (byteIndex(ipaHi, ipaLo, shift) & mask);
      mask = strideMask;
      const i = memory.indexOf(tableHi, at);
      // Only a page that was never written can lie outside memory.
      if (i < PAGE_WORDS && this.aborts(tableHi, at))
        return this.unread(this.fault2(EABT, tableHi, at, purpose), level, s1Level);
      const lo = words[i]!;
      const hi = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(2, level, tableHi, at, hi, lo, purpose, s1Level, ipaHi, ipaLo);
      if ((lo & 1) === 0) return this.fault2(TRANSLATION, ipaHi, ipaLo, purpose);
      const atHi = tableHi;
      tableHi = (hi & 0xffff) | ((lo & topMask) << 4);
      if (level < 3 && (lo & 2) !== 0) {
        tableLo = lo & tableMask;
        if ((tableHi & outMaskHi) !== 0) return this.fault2(ADDR_SIZE, ipaHi, ipaLo, purpose);
        if (caches !== null) {
          this.tableHi = tableHi;
          this.tableLo = tableLo;
          caches.fillStage2Table(this, ipaHi, ipaLo, level + 1);
        }
        continue;
      }
      if (level === 3 ? (lo & 2) === 0 : !blockAllowed(s2, level))
        return this.fault2(TRANSLATION, ipaHi, ipaLo, purpose);
      if ((tableHi & outMaskHi) !== 0) return this.fault2(ADDR_SIZE, ipaHi, ipaLo, purpose);
      if ((lo & 0x400) === 0 && !s2.affd && !s2.ha) return this.fault2(ACCESS, ipaHi, ipaLo, purpose);
      this.setOut(tableHi, lo, ipaHi, ipaLo, shift);
      this.leafShift = this.spanOf(s2, level, shift, hi, ipaHi, ipaLo);
      this.level = level;
      const perms = leafPerms2(s2, lo, hi);
      this.perms = perms;
      if (s2.ha && ((lo & 0x400) === 0 || (perms & S2_CLEAN) !== 0))
        return this.updateStage2(s2, ipaHi, ipaLo, need, purpose, atHi, at, hi, lo);
      if (caches !== null) caches.fillStage2Leaf(this, ipaHi, ipaLo, level);
      if ((need & ~(perms >> S2_SHIFT)) === 0 && (perms & S2_DEVICE) === 0) return OK;
      return this.checkStage2(s2, ipaHi, ipaLo, need, purpose);
    }
  }

  /** True when an access must walk although a cached leaf allows it: it writes, or may write later, to what is clean. */
  protected dirties(need: number, clean: number): boolean {
    return (need & WRITE) !== 0 && (this.perms & clean) !== 0;
  }

  /**
   * The end of a stage-2 walk whose leaf hardware may have to change. An access that is refused changes nothing (whether it
   * sets the access flag is unknown), and what has no access flag is not cached.
   * Source: Arm IHI 0070 3.13.2, 3.13.3.1.
   */
  private updateStage2(
    s2: StageConfig,
    ipaHi: number,
    ipaLo: number,
    need: number,
    purpose: number,
    atHi: number,
    at: number,
    hi: number,
    lo: number,
  ): number {
    const r = this.checkStage2(s2, ipaHi, ipaLo, need, purpose);
    let now = lo;
    if (r === OK && this.updates) {
      now |= 0x400;
      if (this.dirties(need, S2_CLEAN)) {
        now |= 0x80;
        this.perms &= ~S2_CLEAN;
      }
      if (now !== lo) this.write(2, this.level, atHi, at, hi, lo, now);
    }
    if (this.caches !== null && (now & 0x400) !== 0) this.caches.fillStage2Leaf(this, ipaHi, ipaLo, this.level);
    return r;
  }

  private checkStage2(s2: StageConfig, ipaHi: number, ipaLo: number, need: number, purpose: number): number {
    if ((need & ~(this.perms >>> S2_SHIFT)) !== 0) return this.fault2(PERMISSION, ipaHi, ipaLo, purpose);
    if (purpose !== FOR_INPUT && s2.ptw && (this.perms & S2_DEVICE) !== 0)
      return this.fault2(PERMISSION, ipaHi, ipaLo, purpose);
    return OK;
  }

  /** Log2 of what the leaf stands for; its output lies in outHi/outLo. A hint whose addresses do not fit is ignored. */
  protected spanOf(s: StageConfig, level: number, shift: number, hi: number, inHi: number, inLo: number): number {
    if (!this.contiguous) return shift;
    const span = shift + contiguousBits(s, level, hi);
    const fits = span >= 32 ? (this.outLo ^ inLo) === 0 : ((this.outLo ^ inLo) & ((1 << span) - 1)) === 0;
    if (span <= 32) return fits ? span : shift;
    return fits && ((this.outHi ^ inHi) & (-1 >>> (64 - span))) === 0 ? span : shift;
  }

  /** Output address: the leaf's bits above `shift`, the input's below. */
  protected setOut(hi: number, lo: number, inHi: number, inLo: number, shift: number): void {
    if (shift >= 32) {
      const m = shift === 32 ? 0 : -1 >>> (64 - shift);
      this.outHi = (hi & ~m) | (inHi & m);
      this.outLo = inLo;
    } else {
      const m = (1 << shift) - 1;
      this.outHi = hi;
      this.outLo = (lo & ~m) | (inLo & m);
    }
  }

  protected fault2(kind: number, ipaHi: number, ipaLo: number, purpose: number): number {
    this.faultUnread = false;
    this.faultWrite = false;
    this.faultStage = 2;
    this.faultFor = purpose;
    this.faultHi = ipaHi;
    this.faultLo = ipaLo;
    return kind;
  }
}

/** Levels that may hold a block: 4K granule 1 and 2; 16K 2; 64K 2, and 1 with 52-bit addresses. */
export function blockAllowed(s: StageConfig, level: number): boolean {
  return level === 2 || (level === 1 && (s.granule === 12 || s.topMask !== 0));
}
