import { type Memory, PAGE_WORDS } from '../memory/index.ts';

/**
 * The hardware's walk of VMSAv8-64 tables, stage 1, stage 2 and nested, on 32-bit halves and without allocation.
 *
 * Addresses travel as (hi, lo): `hi` is bits 63:32 and `lo` bits 31:0, each an int32. Results are fields of the walker.
 * Source: Arm DDI 0487 D8 (descriptor formats), Arm IHI 0070 3.4 (address sizes), 7.3 (order of faults).
 */

/** Outcome of a walk. */
export const OK = 0;
export const TRANSLATION = 1;
export const ADDR_SIZE = 2;
export const ACCESS = 3;
export const PERMISSION = 4;
export const EABT = 5;

/** What a stage-2 translation is for; the event's CLASS follows from it. */
export const FOR_CD = 0;
export const FOR_TABLE = 1;
export const FOR_INPUT = 2;

/** Bits of an access and of the permissions that answer it. */
export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;

/** Permissions of a translation, as cached: stage 1 unprivileged [2:0], stage 1 privileged [5:3], stage 2 [8:6]; each R, W, X. Device memory at stage 2 [9], global [10]. */
export const UNPRIV_SHIFT = 0;
export const PRIV_SHIFT = 3;
export const S2_SHIFT = 6;
export const S2_DEVICE = 1 << 9;
export const NON_GLOBAL = 1 << 10;
export const ALL_S1 = 0x3f;
export const ALL_S2 = 0x1c0;

/** One stage's parameters, flattened from a CD half or an STE. */
export interface StageConfig {
  /** Base of the first table. */
  baseHi: number;
  baseLo: number;
  /** Log2 of the granule: 12, 14 or 16. */
  granule: number;
  /** 0..3 */
  startLevel: number;
  /** Input address bits. */
  inputBits: number;
  /** Effective output bits (IPS or S2PS against OAS), at least 32. */
  outputBits: number;
  /** Bits of the high half that lie beyond outputBits and inputBits; see `stageConfig`. */
  outMaskHi: number;
  inMaskHi: number;
  inMaskLo: number;
  /** Mask of the first table's index; for stage 2 it takes all bits above (concatenated tables). */
  firstMask: number;
  /** Access-flag faults off. */
  affd: boolean;
  /** Stage 1: hierarchical permissions off. Stage 2: unused. */
  had: boolean;
  /** Stage 1: writable implies execute-never. */
  wxn: boolean;
  /** Stage 2: table or CD fetches from Device memory fault. */
  ptw: boolean;
}

/** Completes a stage's parameters with the masks that the walk compares. */
export function stageConfig(c: Omit<StageConfig, 'outMaskHi' | 'inMaskHi' | 'inMaskLo' | 'firstMask'>): StageConfig {
  const firstBits = c.inputBits - c.granule - (3 - c.startLevel) * (c.granule - 3);
  return {
    ...c,
    outMaskHi: maskFrom(c.outputBits - 32),
    inMaskHi: maskFrom(c.inputBits - 32),
    inMaskLo: maskFrom(c.inputBits),
    firstMask: (1 << firstBits) - 1,
  };
}

/** Bits from `bit` up of a 32-bit half; all of them for a negative bit. */
const maskFrom = (bit: number): number => (bit <= 0 ? -1 : bit >= 32 ? 0 : -1 << bit);

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

/**
 * Index of the stage-2 leaf of an intermediate page, through four levels of near memory; 0 when anything is out of the
 * ordinary. A page number below 2^22 has no level-0 index; a missing table leads to the zero page, which is invalid.
 */
function nearLeaf(page: number, root: number, words: Int32Array, flat: Int32Array, far: number): number {
  let i = root;
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page >>> 17) & 1022);
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page >>> 8) & 1022);
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page << 1) & 1022);
  // Valid page, accessed, readable, not Device memory.
  return (words[i]! & 0x443) !== 0x443 || (words[i]! & 0x30) === 0 || (words[i + 1]! & far) !== 0 ? 0 : i;
}

/** First word of a readable intermediate page, or a number below PAGE_WORDS. */
function nearPage(page: number, root: number, words: Int32Array, flat: Int32Array, far: number): number {
  const i = nearLeaf(page, root, words, flat, far);
  return i === 0 ? 0 : flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10;
}

export class Vmsav8Walker {
  private readonly memory: Memory;
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
   * @param need READ, WRITE or EXEC bits that the leaf must allow
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
      // S2AP[7:6] is write, read; XN is bit 54.
      const perms =
        ((lo & 0xc0) << (S2_SHIFT - 6)) |
        ((hi & 0x400000) === 0 ? EXEC << S2_SHIFT : 0) |
        ((lo & 0x30) === 0 ? S2_DEVICE : 0);
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
   * @param need READ, WRITE, EXEC bits
   * @param priv whether the access is privileged
   */
  stage1(s1: StageConfig, s2: StageConfig | null, vaHi: number, vaLo: number, need: number, priv: boolean): number {
    const caches = this.caches;
    const visitor = this.visitor;
    if (caches === null && visitor === null && s2 !== null && this.nestedFast(s1, s2, vaHi, vaLo, need, priv))
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
    const perms = this.leafPerms(s1, lo, hi) & (tablePerms | NON_GLOBAL);
    this.s1Shift = shift;
    const s1Level = level;
    this.setOut(ipaHi, lo, vaHi, vaLo, shift);
    this.ipaHi = this.outHi;
    this.ipaLo = this.outLo;
    this.perms = perms | (s2 === null ? ALL_S2 : 0);
    this.leafShift = shift;
    this.level = s1Level;
    if ((need & ~(perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT))) !== 0) return this.fault1(PERMISSION);
    if (s2 === null) return OK;
    const r = this.stage2(s2, this.ipaHi, this.ipaLo, need, FOR_INPUT, -1);
    if (r !== OK) return r;
    this.perms |= perms;
    if (shift < this.leafShift) this.leafShift = shift;
    this.level = s1Level;
    return OK;
  }

  /**
   * The nested walk when nothing is out of the ordinary: 4 KiB granule and pages, four levels each, no cache, no listener,
   * everything in near memory, no fault, no restriction by a table descriptor. In every other case it gives up without a
   * trace and the general walk decides; a test holds the two equal. It works on page numbers, which fit an integer.
   */
  private nestedFast(
    s1: StageConfig,
    s2: StageConfig,
    vaHi: number,
    vaLo: number,
    need: number,
    priv: boolean,
  ): boolean {
    const words = this.memory.words;
    const flat = this.memory.flat;
    // Bits of a descriptor's high half that lead out of near memory, or restrict what lies below a table (62:59).
    const far = ~(this.memory.flatHi - 1) & 0xffff;
    if (s1.firstMask !== 511 || s2.firstMask !== 511 || s1.startLevel !== 0 || s2.startLevel !== 0) return false;
    if (
      ((s1.granule ^ 12) |
        (s2.granule ^ 12) |
        (s1.outMaskHi & 15) |
        (s2.outMaskHi & 15) |
        (s1.baseHi & far) |
        (s2.baseHi & far)) !==
      0
    )
      return false;
    const page = (vaHi << 20) | (vaLo >>> 12);
    const root = flat[(s2.baseHi << 20) | (s2.baseLo >>> 12)]! << 10;
    let i = nearPage((s1.baseHi << 20) | (s1.baseLo >>> 12), root, words, flat, far) | ((vaHi >>> 6) & 1022);
    if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
    i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page >>> 17) & 1022);
    if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
    i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page >>> 8) & 1022);
    if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
    i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page << 1) & 1022);
    if (i < PAGE_WORDS) return false;
    const lo = words[i]!;
    const hi = words[i + 1]!;
    if ((lo & 0x403) !== 0x403 || (hi & far) !== 0) return false;
    const perms = this.leafPerms(s1, lo, hi);
    if ((need & ~(perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT))) !== 0) return false;
    i = nearLeaf((hi << 20) | (lo >>> 12), root, words, flat, far);
    if (i === 0 || ((need & WRITE) !== 0 && (words[i]! & 0x80) === 0)) return false;
    const exec = (words[i + 1]! & 0x400000) === 0 ? EXEC << S2_SHIFT : 0;
    if ((need & EXEC) !== 0 && exec === 0) return false;
    this.ipaHi = hi & 0xffff;
    this.ipaLo = (lo & -4096) | (vaLo & 0xfff);
    this.outHi = words[i + 1]! & 0xffff;
    this.outLo = (words[i]! & -4096) | (vaLo & 0xfff);
    this.reads += 24;
    this.perms = perms | ((words[i]! & 0xc0) << (S2_SHIFT - 6)) | exec;
    this.s1Shift = 12;
    this.leafShift = 12;
    this.level = 3;
    return true;
  }

  /** Permissions and the nG bit of a stage-1 leaf. AP[2] (7): read-only; AP[1] (6): unprivileged access; UXN 54, PXN 53. */
  private leafPerms(s1: StageConfig, lo: number, hi: number): number {
    const rw = (lo & 0x80) === 0 ? READ | WRITE : READ;
    const unpriv = (lo & 0x40) !== 0 ? rw : 0;
    let perms = (rw << PRIV_SHIFT) | unpriv | ((lo & 0x800) !== 0 ? NON_GLOBAL : 0);
    if ((hi & 0x400000) === 0 && !(s1.wxn && (unpriv & WRITE) !== 0)) perms |= EXEC;
    // What unprivileged code can write, privileged code cannot execute.
    if ((hi & 0x200000) === 0 && !(s1.wxn && (rw & WRITE) !== 0) && (unpriv & WRITE) === 0) perms |= EXEC << PRIV_SHIFT;
    return perms;
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
