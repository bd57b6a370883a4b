import { type Memory, PAGE_WORDS } from '../memory/index.ts';
import { nestedFast } from './vmsav8-fast.ts';
import {
  ACCESS,
  ADDR_SIZE,
  ALL_S1,
  ALL_S2,
  ANY_DATA,
  EABT,
  EXEC,
  FOR_INPUT,
  FOR_TABLE,
  leafPerms,
  leafPerms2,
  OK,
  PERMISSION,
  PRIV_SHIFT,
  READ,
  S2_DEVICE,
  S2_SHIFT,
  type StageConfig,
  stage2Need,
  TRANSLATION,
  UNPRIV_SHIFT,
  WRITE,
} from './vmsav8-stage.ts';

export * from './vmsav8-stage.ts';

/**
 * The hardware's walk of VMSAv8-64 tables, stage 1, stage 2 and nested, on 32-bit halves and without allocation.
 *
 * Addresses travel as (hi, lo): `hi` is bits 63:32 and `lo` bits 31:0, each an int32. Results are fields of the walker.
 * Source: Arm DDI 0487 D8 (descriptor formats), Arm IHI 0070 3.4 (address sizes), 7.3 (order of faults).
 */

/** Sees each memory read when set. */
export type ReadVisitor = (
  stage: 1 | 2,
  level: number,
  hi: number,
  lo: number,
  valueHi: number,
  valueLo: number,
  purpose: number,
  s1Level: number,
) => void;

/**
 * Caches that a walk may use and fill. All addresses are halves; the walker passes itself so that results are fields.
 * A walk uses only what was cached when it began.
 */
export interface WalkCaches {
  /** Looks for the stage-2 leaf of an IPA. When found sets `outHi/outLo`, `perms`, `leafShift` of the walker and returns true. */
  stage2Leaf(w: Vmsav8Walker, ipaHi: number, ipaLo: number): boolean;
  /** Looks for the deepest cached stage-2 table. When found sets `tableHi/tableLo` and returns its level, else -1. */
  stage2Table(w: Vmsav8Walker, ipaHi: number, ipaLo: number): number;
  stage1Table(w: Vmsav8Walker, vaHi: number, vaLo: number): number;
  fillStage2Leaf(w: Vmsav8Walker, ipaHi: number, ipaLo: number, level: number): void;
  fillStage2Table(w: Vmsav8Walker, ipaHi: number, ipaLo: number, level: number): void;
  fillStage1Table(w: Vmsav8Walker, vaHi: number, vaLo: number, level: number): void;
}

/** Index of an address at a level, times eight and unmasked: bits from `shift` up, with three zeros below. */
function byteIndex(hi: number, lo: number, shift: number): number {
  const s = shift - 3;
  return s >= 32 ? hi >>> (s - 32) : (lo >>> s) | (hi << (32 - s));
}

export class Vmsav8Walker {
  readonly memory: Memory;
  private readonly limitHi: number;
  private readonly limitLo: number;
  visitor: ReadVisitor | null = null;
  caches: WalkCaches | null = null;

  /** Memory reads since it was last set to 0. */
  reads = 0;
  /** Result of the last walk or table look-up. */
  outHi = 0;
  outLo = 0;
  /** Log2 of the leaf's size; of the smaller leaf after a nested walk. */
  leafShift = 0;
  /** Level of the leaf; of the stage-1 leaf after a nested walk. */
  level = 0;
  /** Log2 of the stage-1 leaf (stage-1 walks). */
  s1Shift = 0;
  perms = 0;
  /** Intermediate address, before the second stage. */
  ipaHi = 0;
  ipaLo = 0;
  tableHi = 0;
  tableLo = 0;
  /** Of a fault: stage, what the stage-2 translation was for, the IPA that faulted, and for EABT the address. */
  faultStage = 1;
  faultFor = FOR_INPUT;
  faultHi = 0;
  faultLo = 0;

  constructor(memory: Memory) {
    this.memory = memory;
    this.limitHi = Math.floor(memory.size / 4294967296);
    this.limitLo = memory.size % 4294967296;
  }

  /** True when the address is beyond physical memory, so that a fetch ends in an external abort. */
  aborts(hi: number, lo: number): boolean {
    return hi > this.limitHi || hi < 0 || (hi === this.limitHi && lo >>> 0 >= this.limitLo);
  }

  /**
   * Stage 2 of one IPA. On OK the output is in outHi/outLo, perms has only stage-2 bits.
   * @param need bits that the leaf must allow, as `stage2Need` has them
   * @param purpose FOR_CD, FOR_TABLE or FOR_INPUT
   * @param s1Level level of the stage-1 table that is read, for the visitor; -1 otherwise
   */
  stage2(s2: StageConfig, ipaHi: number, ipaLo: number, need: number, purpose: number, s1Level: number): number {
    const caches = this.caches;
    // biome-ignore lint/complexity/useOptionalChain: null is the common case, and this is the hot path
    if (caches !== null && caches.stage2Leaf(this, ipaHi, ipaLo))
      return this.checkStage2(s2, ipaHi, ipaLo, need, purpose);
    if (((ipaHi & s2.inMaskHi) | (ipaLo & s2.inMaskLo)) !== 0) return this.fault2(TRANSLATION, ipaHi, ipaLo, purpose);
    const memory = this.memory;
    const words = memory.words;
    const visitor = this.visitor;
    const granule = s2.granule;
    const stride = granule - 3;
    const strideMask = ((1 << stride) - 1) << 3;
    const tableMask = -1 << granule;
    const outMaskHi = s2.outMaskHi;
    let level = s2.startLevel;
    let tableHi = s2.baseHi;
    let tableLo = s2.baseLo;
    // The first table may be several, concatenated.
    let mask = s2.firstMask << 3;
    if (caches !== null) {
      const cached = caches.stage2Table(this, ipaHi, ipaLo);
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
      if (i < PAGE_WORDS && this.aborts(tableHi, at)) return this.fault2(EABT, tableHi, at, purpose);
      const lo = words[i]!;
      const hi = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(2, level, tableHi, at, hi, lo, purpose, s1Level);
      if ((lo & 1) === 0) return this.fault2(TRANSLATION, ipaHi, ipaLo, purpose);
      tableHi = hi & 0xffff;
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
      if (level === 3 ? (lo & 2) === 0 : !blockAllowed(granule, level))
        return this.fault2(TRANSLATION, ipaHi, ipaLo, purpose);
      if ((tableHi & outMaskHi) !== 0) return this.fault2(ADDR_SIZE, ipaHi, ipaLo, purpose);
      if ((lo & 0x400) === 0 && !s2.affd) return this.fault2(ACCESS, ipaHi, ipaLo, purpose);
      this.setOut(tableHi, lo, ipaHi, ipaLo, shift);
      this.leafShift = shift;
      this.level = level;
      const perms = leafPerms2(s2, lo, hi);
      this.perms = perms;
      if (caches !== null) caches.fillStage2Leaf(this, ipaHi, ipaLo, level);
      if ((need & ~(perms >> S2_SHIFT)) === 0 && (perms & S2_DEVICE) === 0) return OK;
      return this.checkStage2(s2, ipaHi, ipaLo, need, purpose);
    }
  }

  private checkStage2(s2: StageConfig, ipaHi: number, ipaLo: number, need: number, purpose: number): number {
    if ((need & ~(this.perms >>> S2_SHIFT)) !== 0) return this.fault2(PERMISSION, ipaHi, ipaLo, purpose);
    if (purpose !== FOR_INPUT && s2.ptw && (this.perms & S2_DEVICE) !== 0)
      return this.fault2(PERMISSION, ipaHi, ipaLo, purpose);
    return OK;
  }

  /**
   * Stage 1, nested in stage 2 when `s2` is given. On OK: outHi/outLo the final address, ipaHi/ipaLo the intermediate
   * one, leafShift the smaller leaf, s1Shift the stage-1 leaf, level the stage-1 level, perms both stages' bits.
   * The caller has chosen the half (TTB0 or TTB1) and checked the region; bits at and above inputBits are ignored here.
   * @param need READ, WRITE, EXEC bits, or ANY_DATA
   * @param priv whether the access is privileged
   */
  stage1(s1: StageConfig, s2: StageConfig | null, vaHi: number, vaLo: number, need: number, priv: boolean): number {
    const caches = this.caches;
    const visitor = this.visitor;
    if (caches === null && visitor === null && s2 !== null && nestedFast(this, s1, s2, vaHi, vaLo, need, priv))
      return OK;
    const memory = this.memory;
    const words = memory.words;
    const granule = s1.granule;
    const stride = granule - 3;
    const strideMask = ((1 << stride) - 1) << 3;
    let level = s1.startLevel;
    // With a second stage this is an IPA that each level translates; a cached walk step holds the physical address.
    let tableHi = s1.baseHi;
    let tableLo = s1.baseLo;
    let mask = s1.firstMask << 3;
    let physical = s2 === null;
    let tablePerms = ALL_S1;
    if (caches !== null) {
      const cached = caches.stage1Table(this, vaHi, vaLo);
      if (cached >= 0) {
        level = cached;
        tableHi = this.tableHi;
        tableLo = this.tableLo;
        tablePerms = this.perms;
        mask = strideMask;
        physical = true;
      }
    }
    let ipaHi = 0;
    let ipaLo = 0;
    let shift = 0;
    let lo = 0;
    let hi = 0;
    for (; ; level++) {
      shift = granule + (3 - level) * stride;
      let at = tableLo | (byteIndex(vaHi, vaLo, shift) & mask);
      let atHi = tableHi;
      mask = strideMask;
      if (!physical) {
        const r = this.stage2(s2!, atHi, at, READ, FOR_TABLE, level);
        if (r !== OK) return r;
        atHi = this.outHi;
        at = this.outLo;
        if (caches !== null && level > s1.startLevel && this.leafShift >= granule) {
          // What a walk step caches is the table, already translated; that needs it in one piece at stage 2.
          this.tableHi = atHi;
          this.tableLo = at & (-1 << granule);
          this.perms = tablePerms;
          caches.fillStage1Table(this, vaHi, vaLo, level);
        }
      }
      physical = s2 === null;
      const i = memory.indexOf(atHi, at);
      if (i < PAGE_WORDS && this.aborts(atHi, at)) return this.fault1Fetch(atHi, at);
      lo = words[i]!;
      hi = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(1, level, atHi, at, hi, lo, FOR_TABLE, level);
      if ((lo & 1) === 0) return this.fault1(TRANSLATION);
      ipaHi = hi & 0xffff;
      ipaLo = lo & (-1 << granule);
      if ((lo & 2) === 0 || level === 3) break;
      if ((ipaHi & s1.outMaskHi) !== 0) return this.fault1(ADDR_SIZE);
      tableHi = ipaHi;
      tableLo = ipaLo;
      if (!s1.had) {
        // APTable[1] (62): read-only below; APTable[0] (61): no unprivileged access; UXNTable 60, PXNTable 59.
        if ((hi & 0x40000000) !== 0) tablePerms &= ~((WRITE << PRIV_SHIFT) | WRITE);
        if ((hi & 0x20000000) !== 0) tablePerms &= ~(READ | WRITE);
        if ((hi & 0x10000000) !== 0) tablePerms &= ~EXEC;
        if ((hi & 0x08000000) !== 0) tablePerms &= ~(EXEC << PRIV_SHIFT);
      }
      if (s2 === null && caches !== null) {
        this.tableHi = tableHi;
        this.tableLo = tableLo;
        this.perms = tablePerms;
        caches.fillStage1Table(this, vaHi, vaLo, level + 1);
      }
    }
    if (level === 3 ? (lo & 2) === 0 : !blockAllowed(granule, level)) return this.fault1(TRANSLATION);
    if ((ipaHi & s1.outMaskHi) !== 0) return this.fault1(ADDR_SIZE);
    if ((lo & 0x400) === 0 && !s1.affd) return this.fault1(ACCESS);
    const perms = leafPerms(s1, lo, hi, tablePerms);
    this.s1Shift = shift;
    const s1Level = level;
    this.setOut(ipaHi, lo, vaHi, vaLo, shift);
    this.ipaHi = this.outHi;
    this.ipaLo = this.outLo;
    this.perms = perms | (s2 === null ? ALL_S2 : 0);
    this.leafShift = shift;
    this.level = s1Level;
    const allowed = perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT);
    if (need === ANY_DATA ? (allowed & (READ | WRITE)) === 0 : (need & ~allowed) !== 0) return this.fault1(PERMISSION);
    if (s2 === null) return OK;
    const r = this.stage2(s2, this.ipaHi, this.ipaLo, stage2Need(need, priv), FOR_INPUT, -1);
    if (r !== OK) return r;
    this.perms |= perms;
    if (shift < this.leafShift) this.leafShift = shift;
    this.level = s1Level;
    return OK;
  }

  /** Output address: the leaf's bits above `shift`, the input's below. */
  private setOut(hi: number, lo: number, inHi: number, inLo: number, shift: number): void {
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

  private fault1(kind: number): number {
    this.faultStage = 1;
    this.faultFor = FOR_INPUT;
    this.faultHi = 0;
    this.faultLo = 0;
    return kind;
  }

  private fault1Fetch(hi: number, lo: number): number {
    this.faultStage = 1;
    this.faultFor = FOR_TABLE;
    this.faultHi = hi;
    this.faultLo = lo;
    return EABT;
  }

  private fault2(kind: number, ipaHi: number, ipaLo: number, purpose: number): number {
    this.faultStage = 2;
    this.faultFor = purpose;
    this.faultHi = ipaHi;
    this.faultLo = ipaLo;
    return kind;
  }
}

/** True when the address has bits at or above `bits`. */
export function beyond(hi: number, lo: number, bits: number): boolean {
  if (bits >= 64) return false;
  if (bits > 32) return hi >>> (bits - 32) !== 0;
  return hi !== 0 || (bits < 32 && lo >>> bits !== 0);
}

/** Levels that may hold a block: 4K granule 1 and 2; 16K 2; 64K 2 (and 1 with 52-bit addresses, which is not modelled). */
function blockAllowed(granule: number, level: number): boolean {
  return granule === 12 ? level === 1 || level === 2 : level === 2;
}
