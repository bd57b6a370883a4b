import { ATTR, alignHi, GLOBAL, IPA_HI, IPA_LO, OUT_HI, OUT_LO, SHIFT } from '../../cache/index.ts';
import {
  ALL_S1,
  ANY_DATA,
  beyond,
  EXEC,
  FOR_INPUT,
  NO_WRITE,
  NON_GLOBAL,
  OK,
  PRIV_SHIFT,
  READ,
  S1_CLEAN,
  S2_CLEAN,
  S2_SHIFT,
  stage2Need,
  UNPRIV_SHIFT,
  WRITE,
} from '../../pagetable/vmsav8.ts';
import { BY_UPDATE, EL2 } from './caches.ts';
import type { CdConfig, SteConfig } from './config.ts';
import {
  ABORTED,
  ATS_REQUEST,
  ConfigReader,
  DONE,
  EVENT,
  FAULTED,
  TRANSLATED,
  UNTRANSLATED,
  walkEvents,
} from './config-reader.ts';

export { ABORTED, ATS_REQUEST, DONE, EVENT, FAULTED, TRANSLATED, UNTRANSLATED } from './config-reader.ts';

/**
 * Translates requests: configuration look-up, caches, walk. With `caches` null nothing is cached, which is how a fresh
 * translation is computed for the comparison with cached entries. The result lies in the object's fields; a translation
 * that hits, and one that walks, allocates nothing.
 * Source: Arm IHI 0070, 3.3, 3.4, 7.3 (priorities); references in the functions.
 */
export class Translator extends ConfigReader {
  /**
   * One request.
   * @param sid StreamID; `ssid` -1 without substream
   * @param hi,lo input address, int32 halves
   * @param need READ, WRITE or EXEC of the access; ANY_DATA for an ATS request (with NO_WRITE when it has NW = 1), 0 to ask
   * nothing of the permissions
   * @param priv privileged, as the transaction says
   * @param kind UNTRANSLATED, ATS_REQUEST or TRANSLATED
   * @returns DONE, FAULTED or ABORTED
   */
  translate(sid: number, ssid: number, hi: number, lo: number, need: number, priv: boolean, kind: number): number {
    const w = this.walker;
    w.reads = 0;
    this.fetched = 0;
    this.reads = 0;
    this.event = 0;
    this.answeredBy = 3;
    this.recorded = true;
    this.ssidValid = ssid >= 0;
    this.ste = null;
    this.cd = null;
    this.first = null;
    this.missing = null;
    w.faultUnread = false;
    this.leafShift = 12;
    this.ipaHi = hi;
    this.ipaLo = lo;
    w.caches = this.caches;
    if (this.trace?.listener) w.watch(this.visit, this.noteUpdate);
    else w.watch(this.observer, null);
    const status = this.run(sid, ssid, hi, lo, need, priv, kind);
    if (this.caches !== null) this.caches.commit();
    this.reads = this.fetched + w.reads;
    if (this.trace !== null) this.trace.reads += this.reads;
    this.status = status;
    return status;
  }

  private run(sid: number, ssid: number, hi: number, lo: number, need: number, priv: boolean, kind: number): number {
    this.need = need;
    this.priv = priv;
    if (!this.enabled) {
      // GBPA decides; ATS is not available. Source: IHI 0070 6.3.9.6, 3.9.1.2, 3.9.1.3.
      if (kind !== UNTRANSLATED)
        return this.fault(kind === ATS_REQUEST ? EVENT.F_BAD_ATS_TREQ : EVENT.F_TRANSL_FORBIDDEN);
      if (this.gbpaAbort || beyond(hi, lo, this.features.oas)) return ABORTED;
      return this.pass(hi, lo);
    }
    // Without ATSCHK nothing is looked up for a translated access.
    if (kind === TRANSLATED && !this.atsChk) return this.passTranslated(hi, lo);
    const ste = this.findSte(sid);
    if (ste === null) return FAULTED;
    this.ste = ste;
    if (ste.bad) return this.fault(EVENT.C_BAD_STE);
    if (ste.config < 4) return ABORTED;
    if (kind !== UNTRANSLATED) {
      // Split-stage ATS exists only with ATSCHK.
      if (ste.eats === 0 || (ste.eats === 2 && !this.atsChk))
        return this.fault(kind === ATS_REQUEST ? EVENT.F_BAD_ATS_TREQ : EVENT.F_TRANSL_FORBIDDEN);
      if (kind === TRANSLATED)
        return ste.eats === 2 ? this.stage2Only(ste, hi, lo, need, priv) : this.passTranslated(hi, lo);
    }
    if (ste.privCfg >= 2) this.priv = ste.privCfg === 3;
    // A write is always data. Source: IHI 0070 13.1.2.
    if (ste.instCfg >= 2 && (need & WRITE) === 0 && kind === UNTRANSLATED) this.need = ste.instCfg === 3 ? EXEC : READ;
    const status = this.translateStream(ste, ssid, hi, lo);
    if (kind === ATS_REQUEST && status === DONE && ste.eats === 2) {
      // The device gets what stage 2 will translate. Source: IHI 0070 13.6.3.
      this.outHi = this.ipaHi;
      this.outLo = this.ipaLo;
    }
    return status;
  }

  /** A stream that translates, or that bypasses both stages. Source: IHI 0070 5.2 (S1CDMax, S1DSS), 3.9. */
  private translateStream(ste: SteConfig, ssid: number, hi: number, lo: number): number {
    if (!ste.s1) return ssid >= 0 ? this.fault(EVENT.C_BAD_SUBSTREAMID) : this.withoutStage1(ste, hi, lo);
    let index = 0;
    if (ssid >= 0) {
      if (ste.s1CdMax === 0 || ssid >= 2 ** ste.s1CdMax) return this.fault(EVENT.C_BAD_SUBSTREAMID);
      if (ste.s1Dss === 2 && ssid === 0) return this.fault(EVENT.F_STREAM_DISABLED);
      index = ssid;
    } else if (ste.s1CdMax > 0) {
      if (ste.s1Dss === 1) return this.withoutStage1(ste, hi, lo);
      if (ste.s1Dss !== 2) return this.fault(EVENT.F_STREAM_DISABLED);
    }
    const cd = this.findCd(ste, index);
    if (cd === null) return FAULTED;
    this.cd = cd;
    if (cd.bad) return this.fault(EVENT.C_BAD_CD);
    return this.bothStages(ste, cd, ssid, hi, lo);
  }

  private withoutStage1(ste: SteConfig, hi: number, lo: number): number {
    return ste.s2 === null ? this.bypassed(hi, lo) : this.stage2Only(ste, hi, lo, this.need, this.priv);
  }

  /** Chooses the half by bit 55, checks the region, then IOTLB and walk. Source: IHI 0070 3.4.1, 5.4.1.1 (EPDx). */
  private bothStages(ste: SteConfig, cd: CdConfig, ssid: number, hi: number, lo: number): number {
    const w = this.walker;
    const { need, priv } = this;
    const upper = (hi & 0x800000) !== 0;
    const va = (upper ? cd.tbi1 : cd.tbi0) ? (hi << 8) >> 8 : hi;
    const s1 = upper ? cd.ttb1 : cd.ttb0;
    const outside = s1 !== null && (upper ? beyond(~va, ~lo, s1.inputBits) : beyond(va, lo, s1.inputBits));
    this.first = s1;
    const vmid = ste.el2 ? EL2 : ste.vmid;
    const asid = cd.single ? GLOBAL : cd.asid;
    const caches = this.caches;
    if (caches !== null && !outside) {
      const i = caches.iotlb.lookup(vmid, asid, va, lo);
      if (i >= 0) {
        const attr = caches.iotlb.e[i + ATTR]!;
        if ((attr & (S1_CLEAN | S2_CLEAN)) === 0 || !mustMark(attr, need, priv))
          return this.iotlbHit(i, ste, cd, va, lo, need, priv);
        caches.by = BY_UPDATE;
      }
    }
    // EPD forbids the walk, not the use of what is cached.
    if (s1 === null || outside) {
      this.recorded = cd.record;
      return this.inputFault(EVENT.F_TRANSLATION);
    }
    if (caches !== null)
      caches.begin(vmid, asid, ste.sid, ssid, s1.granule, ste.s2 === null ? s1.granule : ste.s2.granule);
    this.s1Granule = s1.granule;
    const r = w.stage1(s1, ste.s2, va, lo, need, priv);
    this.answeredBy = 0;
    if (r !== OK) {
      this.recorded = w.faultStage === 2 ? ste.s2Record : cd.record;
      return this.walkFault(walkEvents[r]!, w.faultStage, w.faultFor, w.faultHi, w.faultLo);
    }
    if (caches !== null) caches.fillLeaf(w, va, lo, cd.single || (w.perms & NON_GLOBAL) === 0);
    this.ipaHi = w.ipaHi;
    this.ipaLo = w.ipaLo;
    return this.done(w.outHi, w.outLo, w.perms, priv, w.leafShift);
  }

  private iotlbHit(
    i: number,
    ste: SteConfig,
    cd: CdConfig,
    hi: number,
    lo: number,
    need: number,
    priv: boolean,
  ): number {
    const caches = this.caches!;
    const c = caches.iotlb;
    caches.hit(c, i);
    this.answeredBy = 1;
    const shift = c.e[i + SHIFT]!;
    const attr = c.e[i + ATTR]!;
    const high = shift > 32 ? hi & ~alignHi(-1, shift) : 0;
    const low = shift < 32 ? lo & ((1 << shift) - 1) : lo;
    this.ipaHi = c.e[i + IPA_HI]! | high;
    this.ipaLo = c.e[i + IPA_LO]! | low;
    const allowed = attr >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT);
    if ((need & ANY_DATA) !== 0 ? (allowed & (READ | WRITE)) === 0 : (need & ~allowed) !== 0) {
      this.recorded = cd.record;
      return this.walkFault(EVENT.F_PERMISSION, 1, FOR_INPUT, 0, 0);
    }
    if ((stage2Need(need, priv) & ~(attr >>> S2_SHIFT)) !== 0) {
      this.recorded = ste.s2Record;
      return this.walkFault(EVENT.F_PERMISSION, 2, FOR_INPUT, this.ipaHi, this.ipaLo);
    }
    return this.done(c.e[i + OUT_HI]! | high, c.e[i + OUT_LO]! | low, attr, priv, shift);
  }

  private stage2Only(ste: SteConfig, hi: number, lo: number, need: number, priv: boolean): number {
    const s2 = ste.s2!;
    const w = this.walker;
    // Input above the IPA size limit is reported as a stage-1 fault. Source: IHI 0070 3.4.
    if (beyond(hi, lo, this.features.oas)) return this.inputFault(EVENT.F_ADDR_SIZE);
    if (this.caches !== null) this.caches.begin(ste.vmid, 0, ste.sid, -1, s2.granule, s2.granule);
    const before = w.reads;
    let r = w.stage2(s2, hi, lo, stage2Need(need, priv), FOR_INPUT, -1);
    // The request may be followed by a write, which then needs no leave of the SMMU.
    const dirties = (need & (ANY_DATA | NO_WRITE)) === ANY_DATA && (w.perms & S2_CLEAN) !== 0;
    if (r === OK && dirties && w.updates) r = w.stage2(s2, hi, lo, WRITE, FOR_INPUT, -1);
    this.answeredBy = w.reads === before ? 2 : 0;
    if (r !== OK) {
      this.recorded = ste.s2Record;
      return this.walkFault(walkEvents[r]!, 2, w.faultFor, w.faultHi, w.faultLo);
    }
    return this.done(w.outHi, w.outLo, w.perms | ALL_S1, false, w.leafShift);
  }

  /** The input address itself is what is wrong: no table is read. */
  private inputFault(event: number): number {
    const w = this.walker;
    w.faultUnread = true;
    w.faultStage = 1;
    w.faultLevel = this.first === null ? -1 : this.first.startLevel;
    return this.walkFault(event, 1, FOR_INPUT, 0, 0);
  }

  private bypassed(hi: number, lo: number): number {
    if (beyond(hi, lo, this.features.oas)) return this.inputFault(EVENT.F_ADDR_SIZE);
    return this.pass(hi, lo);
  }

  /** A translated access with bits beyond the physical size is aborted without an event. Source: IHI 0070 3.9.1.1. */
  private passTranslated(hi: number, lo: number): number {
    return beyond(hi, lo, this.features.oas) ? ABORTED : this.pass(hi, lo);
  }

  private pass(hi: number, lo: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.granted = READ | WRITE;
    this.clean = 0;
    return DONE;
  }

  private done(hi: number, lo: number, perms: number, priv: boolean, shift: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.clean = perms & (S1_CLEAN | S2_CLEAN);
    // What is clean and stays so grants no writing.
    const data = this.clean !== 0 && (this.need & NO_WRITE) !== 0 ? READ : READ | WRITE;
    this.granted = (perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT)) & (perms >>> S2_SHIFT) & data;
    this.leafShift = shift;
    return DONE;
  }
}

/**
 * True when an access that a writable-clean entry allows must walk, to mark the descriptors dirty: a write, and a
 * translation request that a write may follow. Source: Arm IHI 0070 3.13.3.1, 3.13.7.1.
 */
function mustMark(attr: number, need: number, priv: boolean): boolean {
  const wants = (need & ANY_DATA) !== 0 ? (need & NO_WRITE) === 0 : (need & WRITE) !== 0;
  return wants && ((attr >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT)) & (attr >>> S2_SHIFT) & WRITE) !== 0;
}
