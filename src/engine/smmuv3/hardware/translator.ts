import { ATTR, IPA_HI, IPA_LO, OUT_HI, OUT_LO, SHIFT } from '../../cache/index.ts';
import {
  beyond,
  EXEC,
  FOR_INPUT,
  NON_GLOBAL,
  OK,
  PRIV_SHIFT,
  READ,
  S2_SHIFT,
  UNPRIV_SHIFT,
  WRITE,
} from '../../pagetable/vmsav8.ts';
import { EL2 } from './caches.ts';
import type { CdConfig, SteConfig } from './config.ts';
import { ABORTED, ATS_REQUEST, ConfigReader, DONE, EVENT, FAULTED, TRANSLATED, walkEvents } from './config-reader.ts';

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
   * @param need READ, WRITE, EXEC bits of the access; 0 for an ATS request
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
    this.leafShift = 12;
    this.ipaHi = hi;
    this.ipaLo = lo;
    w.caches = this.caches;
    w.visitor = this.trace?.listener ? this.visit : null;
    const status = this.run(sid, ssid, hi, lo, need, priv, kind);
    if (this.caches !== null) this.caches.commit();
    this.reads = this.fetched + w.reads;
    if (this.trace !== null) this.trace.reads += this.reads;
    this.status = status;
    return status;
  }

  private run(sid: number, ssid: number, hi: number, lo: number, need: number, priv: boolean, kind: number): number {
    if (!this.enabled) {
      // GBPA decides; a translation request cannot be answered. Source: IHI 0070 3.11, 7.3.6.
      if (kind === ATS_REQUEST) return this.fault(EVENT.F_BAD_ATS_TREQ);
      if (this.gbpaAbort || beyond(hi, lo, this.features.oas)) return ABORTED;
      return this.pass(hi, lo);
    }
    const ste = this.findSte(sid);
    if (ste === null) return FAULTED;
    this.ste = ste;
    if (ste.bad) return this.fault(EVENT.C_BAD_STE);
    if (kind === ATS_REQUEST && (ste.config < 4 || ste.eats === 0)) return this.fault(EVENT.F_BAD_ATS_TREQ);
    if (ste.config < 4) return ABORTED;
    if (kind === TRANSLATED) {
      if (this.atsChk && ste.eats === 0) return this.fault(EVENT.F_TRANSL_FORBIDDEN);
      // Split-stage ATS: the device holds IPAs, stage 2 still applies.
      if (ste.eats === 2 && ste.s2 !== null) return this.stage2Only(ste, hi, lo, need);
      return this.pass(hi, lo);
    }
    if (ste.privCfg >= 2) priv = ste.privCfg === 3;
    if (ste.instCfg === 2 && (need & EXEC) !== 0) need = READ;
    if (!ste.s1) {
      if (ssid >= 0) return this.fault(EVENT.C_BAD_SUBSTREAMID);
      return ste.s2 === null ? this.bypassed(hi, lo) : this.stage2Only(ste, hi, lo, need);
    }
    let index = 0;
    if (ssid >= 0) {
      if (ste.s1CdMax === 0 || ssid >= 2 ** ste.s1CdMax) return this.fault(EVENT.C_BAD_SUBSTREAMID);
      if (ste.s1Dss === 2 && ssid === 0) return this.fault(EVENT.F_STREAM_DISABLED);
      index = ssid;
    } else if (ste.s1CdMax > 0) {
      if (ste.s1Dss === 1) return ste.s2 === null ? this.bypassed(hi, lo) : this.stage2Only(ste, hi, lo, need);
      if (ste.s1Dss !== 2) return this.fault(EVENT.F_STREAM_DISABLED);
    }
    const cd = this.findCd(ste, index);
    if (cd === null) return FAULTED;
    this.cd = cd;
    if (cd.bad) return this.fault(EVENT.C_BAD_CD);
    return this.bothStages(ste, cd, ssid, hi, lo, need, priv);
  }

  /** Chooses the half by the region bit, checks the region, then IOTLB and walk. Source: IHI 0070 3.4.1, DDI 0487 D8.2. */
  private bothStages(
    ste: SteConfig,
    cd: CdConfig,
    ssid: number,
    hi: number,
    lo: number,
    need: number,
    priv: boolean,
  ): number {
    const w = this.walker;
    // The region bit is 63, or 55 when that half ignores the top byte.
    const upper = (hi & 0x800000) !== 0 ? (cd.tbi1 ? true : hi < 0) : cd.tbi0 ? false : hi < 0;
    const ignoreTop = upper ? cd.tbi1 : cd.tbi0;
    const va = ignoreTop ? (hi << 8) >> 8 : hi;
    const s1 = upper ? cd.ttb1 : cd.ttb0;
    if (s1 === null || (upper ? beyond(~va, ~lo, s1.inputBits) : beyond(va, lo, s1.inputBits))) {
      this.recorded = cd.record;
      return this.walkFault(EVENT.F_TRANSLATION, 1, FOR_INPUT, 0, 0);
    }
    const vmid = ste.el2 ? EL2 : ste.vmid;
    const caches = this.caches;
    if (caches !== null) {
      const i = caches.iotlb.lookup(vmid, cd.asid, va, lo);
      if (i >= 0) return this.iotlbHit(i, ste, cd, va, lo, need, priv);
      caches.begin(vmid, cd.asid, ste.sid, ssid, s1.granule, ste.s2 === null ? s1.granule : ste.s2.granule);
    }
    const r = w.stage1(s1, ste.s2, va, lo, need, priv);
    this.answeredBy = 0;
    if (r !== OK) {
      this.recorded = w.faultStage === 2 ? ste.s2Record : cd.record;
      return this.walkFault(walkEvents[r]!, w.faultStage, w.faultFor, w.faultHi, w.faultLo);
    }
    if (caches !== null) caches.fillLeaf(w, va, lo, (w.perms & NON_GLOBAL) === 0);
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
    const lowHi = shift > 32 ? hi & ((1 << (shift - 32)) - 1) : 0;
    const lowLo = shift >= 32 ? lo : lo & ((1 << shift) - 1);
    this.ipaHi = c.e[i + IPA_HI]! | lowHi;
    this.ipaLo = c.e[i + IPA_LO]! | lowLo;
    if ((need & ~(attr >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT))) !== 0) {
      this.recorded = cd.record;
      return this.walkFault(EVENT.F_PERMISSION, 1, FOR_INPUT, 0, 0);
    }
    if ((need & ~(attr >>> S2_SHIFT)) !== 0) {
      this.recorded = ste.s2Record;
      return this.walkFault(EVENT.F_PERMISSION, 2, FOR_INPUT, this.ipaHi, this.ipaLo);
    }
    return this.done(c.e[i + OUT_HI]! | lowHi, c.e[i + OUT_LO]! | lowLo, attr, priv, shift);
  }

  private stage2Only(ste: SteConfig, hi: number, lo: number, need: number): number {
    const s2 = ste.s2!;
    const w = this.walker;
    // Input above the IPA size limit is reported as a stage-1 fault. Source: IHI 0070 3.4.
    if (beyond(hi, lo, this.features.oas)) return this.walkFault(EVENT.F_ADDR_SIZE, 1, FOR_INPUT, 0, 0);
    if (this.caches !== null) this.caches.begin(ste.vmid, 0, ste.sid, -1, s2.granule, s2.granule);
    const before = w.reads;
    const r = w.stage2(s2, hi, lo, need, FOR_INPUT, -1);
    this.answeredBy = w.reads === before ? 2 : 0;
    if (r !== OK) {
      this.recorded = ste.s2Record;
      return this.walkFault(walkEvents[r]!, 2, w.faultFor, w.faultHi, w.faultLo);
    }
    return this.done(w.outHi, w.outLo, w.perms | 0x3f, false, w.leafShift);
  }

  private bypassed(hi: number, lo: number): number {
    if (beyond(hi, lo, this.features.oas)) return this.walkFault(EVENT.F_ADDR_SIZE, 1, FOR_INPUT, 0, 0);
    return this.pass(hi, lo);
  }

  private pass(hi: number, lo: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.granted = READ | WRITE;
    return DONE;
  }

  private done(hi: number, lo: number, perms: number, priv: boolean, shift: number): number {
    this.outHi = hi;
    this.outLo = lo;
    this.granted = (perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT)) & (perms >>> S2_SHIFT) & 7;
    this.leafShift = shift;
    return DONE;
  }
}
