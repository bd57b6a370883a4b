import { ATTR, alignHi, alignLo, IPA_HI, IPA_LO, OUT_HI, OUT_LO, SHIFT } from '../../cache/index.ts';
import {
  ALL_FS,
  ALL_SS,
  ANY_DATA,
  beyond,
  EXEC,
  type FirstStage,
  FOR_INPUT,
  FS_CLEAN,
  FS_NON_CANONICAL,
  NO_WRITE,
  OK,
  PRIV_SHIFT,
  READ,
  type SecondStage,
  SNOOP,
  SS_BEYOND,
  SS_CLEAN,
  SS_DENIED,
  SS_READ,
  SS_RESERVED,
  SS_ROOT_READ,
  SS_SHIFT,
  SS_UNREADABLE,
  SS_WRITE,
  WRITE,
} from '../../pagetable/x86-64.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import { ABORTED, ConfigReader, DONE, FAULTED, INTERRUPT } from './config-reader.ts';
import { ABSENT } from './iotlb-tags.ts';
import { REASON } from './reasons.ts';

export { ABORTED, DONE, FAULTED, INTERRUPT } from './config-reader.ts';

/** Kinds of request. */
export const UNTRANSLATED = 0;
export const ATS_REQUEST = 1;
export const TRANSLATED = 2;

/** Bits 63:20 of addresses of interrupt messages. */
const INTERRUPT_MEGABYTE = 0xfee;

const PASS_THROUGH = 4;

/**
 * Translates requests: context and PASID entry, caches, walk. With `caches` null nothing is cached, which is how a fresh
 * translation is computed for the comparison with cached entries. The result lies in the object's fields; a translation
 * that hits, and one that walks, allocates nothing.
 * Source: VT-d specification, 3.4 to 3.9, 4.2 (device TLBs), 7.1.3 (fault reasons).
 */
export class Translator extends ConfigReader {
  /** READ, WRITE, EXEC of the access, or ANY_DATA. */
  need = 0;
  private kind = UNTRANSLATED;
  /** FPD of context, directory or PASID entry. */
  private silent = false;
  /** Of a translation request: the device may only come untranslated. */
  untranslatedOnly = false;

  /**
   * One request.
   * @param rid requester id, whose segment does not count; `pasid` -1 without PASID
   * @param hi,lo input address, int32 halves
   * @param need READ, WRITE (an AtomicOp is both) or EXEC; ANY_DATA for a translation request (with NO_WRITE when it has
   * NW = 1), 0 to ask nothing of the permissions
   * @param priv a supervisor request, as its PASID prefix says; without PASID the context entry decides
   * @param kind UNTRANSLATED, ATS_REQUEST or TRANSLATED
   * @returns DONE, FAULTED (`event` is the reason), ABORTED or INTERRUPT
   */
  translate(rid: number, pasid: number, hi: number, lo: number, need: number, priv: boolean, kind: number): number {
    const w = this.walker;
    w.reads = 0;
    this.begin();
    this.need = need;
    this.priv = priv;
    this.kind = kind;
    this.leafShift = 12;
    this.gpaHi = hi;
    this.gpaLo = lo;
    w.caches = this.caches;
    if (this.trace?.listener) w.watch(this.visit, this.noteUpdate);
    else w.watch(this.observer, null);
    const status = this.run(rid & 0xffff, pasid, hi, lo);
    if (this.caches !== null) this.caches.finish(status === DONE);
    this.reads = this.fetched + w.reads;
    if (this.trace !== null) this.trace.reads += this.reads;
    this.status = status;
    return status;
  }

  private begin(): void {
    this.fetched = 0;
    this.event = 0;
    this.recorded = true;
    this.answeredBy = 2;
    this.usedPasid = 0;
    this.context = null;
    this.pasidEntry = null;
    this.missing = null;
    this.beside = false;
    this.walker.faultUnread = false;
    this.granted = 0;
    this.clean = 0;
    this.snoop = false;
    this.silent = false;
    this.untranslatedOnly = false;
  }

  private run(rid: number, pasid: number, hi: number, lo: number): number {
    const { kind, need } = this;
    // Source: VT-d specification, 3.15: what may be an interrupt message is not translated.
    const toInterrupts = hi === 0 && lo >>> 20 === INTERRUPT_MEGABYTE;
    if (toInterrupts && kind === UNTRANSLATED && pasid < 0 && (need & (READ | WRITE)) === WRITE) return INTERRUPT;
    if (!this.enabled) return kind !== UNTRANSLATED || beyond(hi, lo, this.features.haw) ? ABORTED : this.pass(hi, lo);
    if (!this.rootAllows(pasid >= 0)) return FAULTED;
    const c = this.findContext(rid);
    if (c === null) return FAULTED;
    this.context = c;
    this.silent = c.fpd;
    if (kind !== UNTRANSLATED && !c.dte)
      return this.fault(c.scalable ? REASON.DTE_CLEAR : REASON.REQUEST_BLOCKED, c.fpd);
    if (kind === TRANSLATED) {
      if (toInterrupts) return this.toInterrupts();
      return beyond(hi, lo, this.features.haw) ? this.beyondWidth() : this.pass(hi, lo);
    }
    if (!c.scalable) {
      if (toInterrupts) return this.toInterrupts();
      return this.through(c.did, 0, c.ss === null ? PASS_THROUGH : 2, null, c.ss, false, hi, lo);
    }
    const p = this.selectPasid(c, pasid);
    if (p < 0) return FAULTED;
    const e = this.findPasid(c, p);
    if (e === null) return FAULTED;
    this.pasidEntry = e;
    this.silent = c.fpd || e.fpd;
    if ((need & EXEC) !== 0 && !e.ere) return this.fault(REASON.ERE_CLEAR, this.silent);
    if (this.priv && !e.sre) return this.fault(REASON.SRE_CLEAR, this.silent);
    if (toInterrupts && pasid < 0) return this.toInterrupts();
    return this.through(e.did, p, e.pgtt, e.fs, e.ss, e.pgsnp, hi, lo);
  }

  /**
   * A request to the interrupt addresses that is no message: a translation request without PASID is told to come untranslated
   * (S.1) or, when it will not write, gets nothing (S.2); other requests are blocked.
   * Source: VT-d specification, 3.15, 7.1.3 (LGN.4, SGN.8, S.1, S.2).
   */
  private toInterrupts(): number {
    this.beside = true;
    if (this.kind !== ATS_REQUEST)
      return this.fault(this.legacy ? REASON.INTERRUPT_ADDRESS : REASON.SM_INTERRUPT_ADDRESS, this.silent);
    this.untranslatedOnly = (this.need & NO_WRITE) === 0;
    return DONE;
  }

  /** An address that is a physical one is wider than there are. */
  private beyondWidth(): number {
    this.beside = true;
    return this.fault(this.legacy ? REASON.ADDRESS_BEYOND : REASON.SM_ADDRESS_BEYOND, this.silent);
  }

  /**
   * PASID of a request, and whether the context entry lets it use one. Source: VT-d specification, 3.4.3, 9.4.
   * @returns -1: `event` is set
   */
  private selectPasid(c: ContextEntry, pasid: number): number {
    if (pasid >= 0 && !c.paside) this.fault(REASON.PASIDE_CLEAR, c.fpd);
    else if (pasid >= c.pasidLimit) this.fault(REASON.PASID_TOO_LARGE, c.fpd);
    else if (pasid >= 0 && pasid === c.ridPasid) this.fault(REASON.PASID_IS_RID_PASID, c.fpd);
    else if (pasid >> this.features.pasidBits > 0) this.fault(REASON.PASID_BEYOND_PSS, c.fpd);
    else {
      if (pasid < 0) this.priv = c.ridPriv;
      this.usedPasid = pasid < 0 ? c.ridPasid : pasid;
      return this.usedPasid;
    }
    return -1;
  }

  /**
   * Whether a page request may go into the queue: it must find its PASID entry, which is in `pasidEntry` then.
   * Source: VT-d specification, 7.4.1, 6.5.3.1, 7.1.3 (last columns).
   * @returns 0, or the fault reason; `recorded` says whether FPD silences it
   */
  pageRequestFault(rid: number, pasid: number): number {
    this.begin();
    this.priv = false;
    if (this.legacy) this.fault(REASON.LEGACY_PAGE_REQUEST);
    else if (this.rootAllows(false)) {
      const c = this.findContext(rid & 0xffff);
      this.context = c;
      if (c !== null) {
        if (!c.pre) this.fault(REASON.PRE_CLEAR, c.fpd);
        else {
          const p = this.selectPasid(c, pasid);
          if (p >= 0) this.pasidEntry = this.findPasid(c, p);
        }
      }
    }
    return this.event;
  }

  /** What the context and PASID entries lead to: pass-through, or IOTLB and walk. */
  private through(
    did: number,
    pasid: number,
    pgtt: number,
    fs: FirstStage | null,
    ss: SecondStage | null,
    pgsnp: boolean,
    hi: number,
    lo: number,
  ): number {
    const { caches, need, priv } = this;
    // A pre-condition of the first stage, whatever is cached.
    if (fs !== null && ((hi >> fs.signShift) + 1) >>> 0 > 1) {
      this.beside = true;
      return this.fault(FS_NON_CANONICAL, this.silent);
    }
    if (caches !== null) {
      const i = caches.iotlb.lookup(did, pasid, hi, lo);
      if (i >= 0) {
        const attr = caches.iotlb.e[i + ATTR]!;
        if ((attr & ABSENT) !== 0) return this.absentHit(i);
        if (grants(attr, need, priv)) return this.iotlbHit(i, hi, lo);
        // What the entry does not grant is walked for again. Source: VT-d specification, 6.2.4.
        caches.renews();
      }
      caches.begin(did, pasid, this.context!.rid, pgtt);
    }
    if (fs === null && ss === null) return this.passThrough(hi, lo, pgsnp);
    const w = this.walker;
    this.answeredBy = 0;
    let r: number;
    if (fs !== null) {
      r = w.first(fs, ss, hi, lo, need, priv);
      this.gpaHi = w.gpaHi;
      this.gpaLo = w.gpaLo;
    } else {
      r = w.second(ss!, hi, lo, need, FOR_INPUT, -1);
      if (r === OK) w.perms |= ALL_FS;
    }
    if (r !== OK) {
      // What the second stage alone does not map may be kept in caching mode. Source: VT-d specification, 6.1.
      if (fs === null && r === SS_DENIED && this.features.cm && caches !== null) caches.fillAbsent(hi, lo);
      return this.secondFault(r);
    }
    return this.walked(hi, lo, w.perms | (pgsnp ? SNOOP : 0));
  }

  private secondFault(reason: number): number {
    return this.fault(this.legacy ? legacyReason(reason, this.need) : reason, this.silent);
  }

  /** A walk has found the translation: it is cached unless it leads to where it must not. */
  private walked(hi: number, lo: number, perms: number): number {
    const w = this.walker;
    const status = this.arrive(w.outHi, w.outLo, perms, w.leafShift);
    if (status === DONE && this.caches !== null)
      this.caches.fillLeaf(hi, lo, w.leafShift, w.outHi, w.outLo, this.gpaHi, this.gpaLo, perms, w.level);
    return status;
  }

  /** Source: VT-d specification, 3.9 (pass-through). */
  private passThrough(hi: number, lo: number, pgsnp: boolean): number {
    if (beyond(hi, lo, this.features.haw)) return this.beyondWidth();
    const perms = ALL_FS | ALL_SS | (pgsnp ? SNOOP : 0);
    const status = this.arrive(hi, lo, perms, 12);
    if (status === DONE && this.caches !== null) this.caches.fillLeaf(hi, lo, 12, hi, lo, hi, lo, perms, 1);
    return status;
  }

  /** Caching mode: the unit remembers that nothing is mapped. */
  private absentHit(i: number): number {
    this.caches!.hit(this.caches!.iotlb, i);
    this.answeredBy = 1;
    return this.secondFault(SS_DENIED);
  }

  private iotlbHit(i: number, hi: number, lo: number): number {
    const caches = this.caches!;
    const c = caches.iotlb;
    caches.hit(c, i);
    this.answeredBy = 1;
    const shift = c.e[i + SHIFT]!;
    const high = hi & ~alignHi(-1, shift);
    const low = lo & ~alignLo(-1, shift);
    this.gpaHi = c.e[i + IPA_HI]! | high;
    this.gpaLo = c.e[i + IPA_LO]! | low;
    return this.arrive(c.e[i + OUT_HI]! | high, c.e[i + OUT_LO]! | low, c.e[i + ATTR]!, shift);
  }

  /** The end of every translation. No table may lead to the interrupt addresses. Source: VT-d specification, 3.15. */
  private arrive(hi: number, lo: number, perms: number, shift: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.leafShift = shift;
    this.clean = perms & (FS_CLEAN | SS_CLEAN);
    this.snoop = (perms & SNOOP) !== 0;
    // What is clean and stays so grants no writing.
    const limit = this.clean !== 0 && (this.need & NO_WRITE) !== 0 ? READ | EXEC : READ | WRITE | EXEC;
    this.granted = (perms >>> (this.priv ? PRIV_SHIFT : 0)) & (perms >>> SS_SHIFT) & limit;
    // A device must not hold a translation of any part of them.
    const bits = this.kind === ATS_REQUEST && shift > 20 ? shift - 20 : 0;
    if (hi === 0 && (lo >>> 20) >>> bits === INTERRUPT_MEGABYTE >>> bits) {
      this.beside = true;
      return this.fault(this.legacy ? REASON.INTERRUPT_ADDRESS : REASON.SM_INTERRUPT_ADDRESS, this.silent);
    }
    return DONE;
  }

  private pass(hi: number, lo: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.granted = READ | WRITE | EXEC;
    return DONE;
  }

  // For the comparison of cached entries with memory; see audit.ts.

  /** What a fresh walk by this entry gives, without a look at the request's rights; the walker has the result. */
  walkFor(e: ContextEntry | PasidEntry, hi: number, lo: number): number {
    const w = this.walker;
    const fs = 'fs' in e ? e.fs : null;
    if (fs !== null) return w.first(fs, e.ss, hi, lo, 0, false);
    if (e.ss !== null) {
      const r = w.second(e.ss, hi, lo, 0, FOR_INPUT, -1);
      w.perms |= ALL_FS;
      w.gpaHi = hi;
      w.gpaLo = lo;
      return r;
    }
    if (beyond(hi, lo, this.features.haw)) return REASON.SM_ADDRESS_BEYOND;
    w.outHi = w.gpaHi = hi;
    w.outLo = w.gpaLo = lo;
    w.perms = ALL_FS | ALL_SS;
    w.leafShift = 12;
    return OK;
  }
}

/**
 * Whether a cached entry answers an access: it has the rights, and no entry in memory would have to be marked dirty first,
 * as by a write, and by a translation request that a write may follow. Source: VT-d specification, 3.6.3, 6.2.4.
 */
function grants(perms: number, need: number, priv: boolean): boolean {
  const allowed = (priv ? perms >>> PRIV_SHIFT : perms) & (perms >>> SS_SHIFT);
  const clean = (perms & (FS_CLEAN | SS_CLEAN)) !== 0;
  if ((need & ANY_DATA) !== 0)
    return (allowed & (READ | WRITE)) !== 0 && !(clean && (allowed & WRITE) !== 0 && (need & NO_WRITE) === 0);
  return (need & ~allowed & (READ | WRITE | EXEC)) === 0 && !(clean && (need & WRITE) !== 0);
}

/** Reasons of the second stage as legacy mode has them. */
function legacyReason(reason: number, need: number): number {
  switch (reason) {
    case SS_DENIED:
      return (need & WRITE) !== 0 ? REASON.WRITE_DENIED : REASON.READ_DENIED;
    case SS_WRITE:
      return REASON.WRITE_DENIED;
    case SS_UNREADABLE:
      return REASON.READ_DENIED;
    case SS_ROOT_READ:
      return REASON.CONTEXT_INVALID;
    case SS_READ:
      return REASON.TABLE_READ;
    case SS_RESERVED:
      return REASON.ENTRY_RESERVED;
    case SS_BEYOND:
      return REASON.ADDRESS_BEYOND;
    default:
      return reason;
  }
}
