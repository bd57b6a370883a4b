import { PAGE_WORDS } from '../memory/index.ts';
import { byteIndex } from './halves.ts';
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
  NO_WRITE,
  OK,
  PERMISSION,
  PRIV_SHIFT,
  READ,
  S1_CLEAN,
  S2_CLEAN,
  S2_SHIFT,
  type StageConfig,
  stage2Need,
  TRANSLATION,
  UNPRIV_SHIFT,
  WRITE,
} from './vmsav8-stage.ts';
import { blockAllowed, Stage2Walker } from './vmsav8-stage2.ts';

export type { ReadVisitor, UpdateVisitor } from './access.ts';
export { beyond } from './halves.ts';
export * from './vmsav8-stage.ts';
export type { WalkCaches } from './vmsav8-stage2.ts';

/**
 * The hardware's walk of VMSAv8-64 tables, stage 1, stage 2 and nested, on 32-bit halves and without allocation.
 *
 * Addresses travel as (hi, lo): `hi` is bits 63:32 and `lo` bits 31:0, each an int32. Results are fields of the walker.
 * Source: Arm DDI 0487 D8 (descriptor formats), Arm IHI 0070 3.4 (address sizes), 3.13 (hardware update of access flag and
 * dirty state), 7.3 (order of faults).
 */
export class Vmsav8Walker extends Stage2Walker {
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
    // Intermediate address of the table that is read.
    let entryHi = tableHi;
    let entryLo = tableLo;
    if (caches !== null) {
      const cached = caches.stage1Table(this, vaHi, vaLo);
      if (cached >= 0) {
        level = cached;
        tableHi = this.tableHi;
        tableLo = this.tableLo;
        entryHi = this.tableIpaHi;
        entryLo = this.tableIpaLo;
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
    let at = 0;
    let atHi = 0;
    let index = 0;
    for (; ; level++) {
      shift = granule + (3 - level) * stride;
      index = byteIndex(vaHi, vaLo, shift) & mask;
      at = tableLo | index;
      atHi = tableHi;
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
          this.tableIpaHi = entryHi;
          this.tableIpaLo = entryLo;
          this.perms = tablePerms;
          caches.fillStage1Table(this, vaHi, vaLo, level);
        }
      }
      physical = s2 === null;
      const i = memory.indexOf(atHi, at);
      if (i < PAGE_WORDS && this.aborts(atHi, at)) return this.unread(this.fault1Fetch(atHi, at), level, level);
      lo = words[i]!;
      hi = words[i + 1]!;
      this.reads++;
      if (visitor !== null) visitor(1, level, atHi, at, hi, lo, FOR_TABLE, level, entryHi, entryLo | index);
      if ((lo & 1) === 0) return this.fault1(TRANSLATION);
      ipaHi = (hi & 0xffff) | ((lo & s1.topMask) << 4);
      ipaLo = lo & (-1 << granule);
      if ((lo & 2) === 0 || level === 3) break;
      if ((ipaHi & s1.outMaskHi) !== 0) return this.fault1(ADDR_SIZE);
      tableHi = entryHi = ipaHi;
      tableLo = entryLo = ipaLo;
      if (!s1.had) {
        // APTable[1] (62): read-only below; APTable[0] (61): no unprivileged access; UXNTable 60, PXNTable 59.
        if ((hi & 0x40000000) !== 0) tablePerms &= ~((WRITE << PRIV_SHIFT) | WRITE);
        if ((hi & 0x20000000) !== 0) tablePerms &= ~(READ | WRITE);
        if ((hi & 0x10000000) !== 0) tablePerms &= ~EXEC;
        if ((hi & 0x08000000) !== 0) tablePerms &= ~(EXEC << PRIV_SHIFT);
      }
      if (s2 === null && caches !== null) {
        this.tableHi = this.tableIpaHi = tableHi;
        this.tableLo = this.tableIpaLo = tableLo;
        this.perms = tablePerms;
        caches.fillStage1Table(this, vaHi, vaLo, level + 1);
      }
    }
    if (level === 3 ? (lo & 2) === 0 : !blockAllowed(s1, level)) return this.fault1(TRANSLATION);
    if ((ipaHi & s1.outMaskHi) !== 0) return this.fault1(ADDR_SIZE);
    if ((lo & 0x400) === 0 && !s1.affd && !s1.ha) return this.fault1(ACCESS);
    let perms = leafPerms(s1, lo, hi, tablePerms);
    const allowed = perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT);
    if ((need & ANY_DATA) !== 0 ? (allowed & (READ | WRITE)) === 0 : (need & ~allowed) !== 0)
      return this.fault1(PERMISSION);
    // APTable, not the descriptor, may be what forbids writing.
    if (((perms | (perms >>> PRIV_SHIFT)) & WRITE) === 0) perms &= ~S1_CLEAN;
    const s1Level = level;
    if (s1.ha && this.updates) {
      const now = (need & WRITE) !== 0 && (perms & S1_CLEAN) !== 0 ? (lo | 0x400) & ~0x80 : lo | 0x400;
      if (now !== lo) {
        const r = this.updateStage1(s2, s1Level, entryHi, entryLo | index, atHi, at, hi, lo, now);
        if (r !== OK) return r;
        if (((lo ^ now) & 0x80) !== 0) perms &= ~S1_CLEAN;
        lo = now;
      }
    }
    this.s1Shift = shift;
    this.setOut(ipaHi, lo, vaHi, vaLo, shift);
    this.ipaHi = this.outHi;
    this.ipaLo = this.outLo;
    this.perms = perms | (s2 === null ? ALL_S2 : 0);
    const span = this.spanOf(s1, s1Level, shift, hi, vaHi, vaLo);
    this.leafShift = span;
    this.level = s1Level;
    if (s2 !== null) {
      const r = this.stage2(s2, this.ipaHi, this.ipaLo, stage2Need(need, priv), FOR_INPUT, -1);
      if (r !== OK) return r;
      this.perms |= perms;
      if (span < this.leafShift) this.leafShift = span;
      this.level = s1Level;
    }
    if ((need & (ANY_DATA | NO_WRITE)) !== ANY_DATA || (this.perms & (S1_CLEAN | S2_CLEAN)) === 0 || !this.updates)
      return OK;
    return this.dirtyForRequest(s1, s2, vaHi, vaLo, priv, allowed & WRITE);
  }

  /**
   * A translation request that may be followed by writes has found a writable-clean page: when both stages would allow
   * the write, both are marked dirty before the answer, as by a write. Source: Arm IHI 0070 3.13.7.1.
   * @param writes WRITE when stage 1 allows it
   */
  private dirtyForRequest(
    s1: StageConfig,
    s2: StageConfig | null,
    vaHi: number,
    vaLo: number,
    priv: boolean,
    writes: number,
  ): number {
    if ((writes & (this.perms >>> S2_SHIFT)) === 0) return OK;
    return this.stage1(s1, s2, vaHi, vaLo, writes, priv);
  }

  /**
   * Changes a stage-1 descriptor, which needs leave to write at stage 2. Its refusal is a fault of that stage.
   * Source: Arm IHI 0070 3.13.5, 7.3.16 (TTRnW).
   */
  private updateStage1(
    s2: StageConfig | null,
    level: number,
    entryHi: number,
    entryLo: number,
    atHi: number,
    at: number,
    hi: number,
    lo: number,
    now: number,
  ): number {
    if (s2 !== null) {
      const r = this.stage2(s2, entryHi, entryLo, WRITE, FOR_TABLE, level);
      if (r !== OK) {
        this.faultWrite = true;
        return r;
      }
    }
    this.write(1, level, atHi, at, hi, lo, now);
    return OK;
  }

  private fault1(kind: number): number {
    this.faultUnread = false;
    this.faultWrite = false;
    this.faultStage = 1;
    this.faultFor = FOR_INPUT;
    this.faultHi = 0;
    this.faultLo = 0;
    return kind;
  }

  private fault1Fetch(hi: number, lo: number): number {
    this.faultWrite = false;
    this.faultStage = 1;
    this.faultFor = FOR_TABLE;
    this.faultHi = hi;
    this.faultLo = lo;
    return EABT;
  }
}
