import { ATTR, IPA_HI, IPA_LO, OUT_HI, OUT_LO, SHIFT } from '../../cache/index.ts';
import type { Memory } from '../../memory/index.ts';
import {
  ACCESS,
  ADDR_SIZE,
  beyond,
  EABT,
  EXEC,
  FOR_CD,
  FOR_INPUT,
  FOR_TABLE,
  NON_GLOBAL,
  OK,
  PERMISSION,
  PRIV_SHIFT,
  READ,
  S2_SHIFT,
  TRANSLATION,
  UNPRIV_SHIFT,
  Vmsav8Walker,
  WRITE,
} from '../../pagetable/vmsav8.ts';
import type { ReadStep, Trace } from '../../trace/index.ts';
import { EL2, type L1Entry, l1cdKey, type SmmuCaches } from './caches.ts';
import { type CdConfig, decodeCd, decodeSte, type SteConfig } from './config.ts';
import type { SmmuFeatures } from './features.ts';
import type { RegisterFile } from './registers.ts';
import { locateSte, steOfL1, streamTableGeometry } from './stream-table.ts';

/** Kinds of request. */
export const UNTRANSLATED = 0;
export const ATS_REQUEST = 1;
export const TRANSLATED = 2;

/** Outcomes of a request. `FAULTED` has an event, `ABORTED` none. */
export const DONE = 0;
export const FAULTED = 1;
export const ABORTED = 2;

/** Event numbers. Source: Arm IHI 0070, 7.3. */
export const EVENT = {
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
} as const;

const walkEvents: readonly number[] = [];
(walkEvents as number[])[TRANSLATION] = EVENT.F_TRANSLATION;
(walkEvents as number[])[ADDR_SIZE] = EVENT.F_ADDR_SIZE;
(walkEvents as number[])[ACCESS] = EVENT.F_ACCESS;
(walkEvents as number[])[PERMISSION] = EVENT.F_PERMISSION;
(walkEvents as number[])[EABT] = EVENT.F_WALK_EABT;

/**
 * Translates requests: configuration look-up, caches, walk. With `caches` null nothing is cached, which is how a fresh
 * translation is computed for the comparison with cached entries. The result lies in the object's fields; a translation
 * that hits, and one that walks, allocates nothing.
 * Source: Arm IHI 0070, 3.3, 3.4, 7.3 (priorities); references in the functions.
 */
export class Translator {
  readonly walker: Vmsav8Walker;
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  readonly features: SmmuFeatures;
  readonly caches: SmmuCaches | null;
  private readonly trace: Trace | null;

  // Registers as numbers, renewed by `registersChanged`.
  private enabled = false;
  private atsChk = false;
  private gbpaAbort = false;
  private strtabBase = 0n;
  private strtabCfg = 0n;
  private twoLevel = false;
  private split = 8;
  private log2Size = 0;

  // Result.
  status = DONE;
  event = 0;
  outHi = 0;
  outLo = 0;
  /** Intermediate address; same as the input without stage 1. */
  ipaHi = 0;
  ipaLo = 0;
  /** READ, WRITE, EXEC that an ATS completion grants (both stages). */
  granted = 0;
  leafShift = 12;
  /** 0 walk, 1 IOTLB, 2 stage-2 TLB alone, 3 no translation. */
  answeredBy = 0;
  reads = 0;
  /** Of an event. */
  faultStage = 1;
  faultClass = 2;
  faultIpaHi = 0;
  faultIpaLo = 0;
  fetchAddress = 0;
  /** False when the CD or STE says that the fault is not recorded. */
  recorded = true;
  ssidValid = false;
  /** The configuration that was used, null when it was not reached. */
  ste: SteConfig | null = null;
  cd: CdConfig | null = null;
  private fetched = 0;

  constructor(
    memory: Memory,
    regs: RegisterFile,
    features: SmmuFeatures,
    caches: SmmuCaches | null,
    trace: Trace | null,
  ) {
    this.memory = memory;
    this.regs = regs;
    this.features = features;
    this.caches = caches;
    this.trace = trace;
    this.walker = new Vmsav8Walker(memory);
    this.registersChanged();
  }

  registersChanged(): void {
    const cr0 = this.regs.num('CR0');
    this.enabled = (cr0 & 1) !== 0;
    this.atsChk = (cr0 & 16) !== 0;
    this.gbpaAbort = (this.regs.num('GBPA') & (1 << 20)) !== 0;
    this.strtabBase = this.regs.get('STRTAB_BASE');
    this.strtabCfg = this.regs.get('STRTAB_BASE_CFG');
    const g = streamTableGeometry(this.strtabBase, this.strtabCfg);
    this.twoLevel = g.twoLevel;
    this.split = g.split;
    this.log2Size = g.log2Size;
  }

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

  private fault(event: number): number {
    this.event = event;
    return FAULTED;
  }

  private walkFault(event: number, stage: number, purpose: number, ipaHi: number, ipaLo: number): number {
    this.event = event;
    this.faultStage = stage;
    this.faultClass = purpose === FOR_CD ? 0 : purpose === FOR_TABLE ? 1 : 2;
    this.faultIpaHi = ipaHi;
    this.faultIpaLo = ipaLo;
    if (event === EVENT.F_WALK_EABT) {
      this.fetchAddress = (ipaHi >>> 0) * 4294967296 + (ipaLo >>> 0);
      this.recorded = true;
    }
    return FAULTED;
  }

  private fetchFault(event: number, address: number): null {
    this.event = event;
    this.fetchAddress = address;
    return null;
  }

  /** STE of a StreamID, from the configuration cache or memory. Null: `event` is set. */
  private findSte(sid: number): SteConfig | null {
    const hit = this.caches?.ste.get(sid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'STE', hit);
      return hit;
    }
    const at = this.steAddress(sid);
    if (at < 0) return null;
    this.fetched++;
    const words = this.readRecord(at);
    const e = decodeSte(words, sid, this.caches?.newUid() ?? 0, at, this.features);
    this.traceRead('STE', at, words, `STE ${sid.toString(16)}`, 'smmuv3.ste', undefined);
    this.caches?.addSte(e);
    return e;
  }

  private steAddress(sid: number): number {
    if (!this.twoLevel || sid >= 2 ** this.log2Size) {
      const at = locateSte(this.memory, this.strtabBase, this.strtabCfg, sid);
      if ('error' in at) {
        this.fetchFault(EVENT[at.error], at.address);
        return -1;
      }
      return at.address;
    }
    const index = Math.floor(sid / 2 ** this.split);
    const cached = this.caches?.l1std.get(index);
    let at = null;
    if (cached !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'L1STD', cached);
      at = steOfL1(this.memory, this.split, sid, cached.address, cached.word);
    } else {
      at = locateSte(this.memory, this.strtabBase, this.strtabCfg, sid);
      if (!('error' in at && at.error === 'F_STE_FETCH' && !this.memory.contains(at.address))) {
        const l1Address = 'error' in at ? at.address : at.l1Address;
        const word = this.memory.readWord(l1Address);
        this.fetched++;
        this.traceRead('L1STD', l1Address, null, `L1STD[${index.toString(16)}]`, 'smmuv3.l1std', word);
        // A descriptor without a table is never cached: Linux makes tables later without an invalidation.
        if (!('error' in at))
          this.caches?.addL1('L1STD', { key: index, uid: this.caches.newUid(), sid, address: l1Address, word });
      }
    }
    if ('error' in at) {
      this.fetchFault(EVENT[at.error], at.address);
      return -1;
    }
    return at.address;
  }

  /** CD of an SSID. Null: `event` and the fault's fields are set. */
  private findCd(ste: SteConfig, ssid: number): CdConfig | null {
    const hit = this.caches?.cd.get(ste.sid)?.get(ssid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'CD', hit);
      return hit;
    }
    let address = ste.contextPtr;
    if (ste.s1Fmt === 0) address += ssid * 64;
    else {
      const l2bits = ste.s1Fmt === 1 ? 6 : 10;
      const table = this.l1cd(ste, Math.floor(ssid / 2 ** l2bits));
      if (table < 0) return null;
      address = table + (ssid % 2 ** l2bits) * 64;
    }
    const pa = this.fetchable(ste, address);
    if (pa < 0) return null;
    const words = this.readRecord(pa);
    this.fetched++;
    this.traceRead('CD', pa, words, `CD ${ssid}`, 'smmuv3.cd', undefined);
    const e = decodeCd(words, ste.sid, ssid, this.caches?.newUid() ?? 0, pa, this.features, ste.s1StallD);
    this.caches?.addCd(e);
    return e;
  }

  /** Address of a level-2 CD table, or -1 with the fault set. */
  private l1cd(ste: SteConfig, index: number): number {
    const key = l1cdKey(ste.sid, index);
    let e: L1Entry | undefined = this.caches?.l1cd.get(key);
    if (e === undefined) {
      const pa = this.fetchable(ste, ste.contextPtr + index * 8);
      if (pa < 0) return -1;
      const word = this.memory.readWord(pa);
      this.fetched++;
      this.traceRead('L1CD', pa, null, `L1CD[${index}]`, 'smmuv3.l1cd', word);
      e = { key, uid: this.caches?.newUid() ?? 0, sid: ste.sid, address: pa, word };
      this.caches?.addL1('L1CD', e);
    } else if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'L1CD', e);
    if ((e.word & 1n) === 0n) {
      this.event = EVENT.C_BAD_SUBSTREAMID;
      return -1;
    }
    return Number(e.word & 0xffffffffff000n);
  }

  /** Physical address of a CD or L1CD: through stage 2 when nested. -1 with the fault set. */
  private fetchable(ste: SteConfig, address: number): number {
    let pa = address;
    if (ste.s2 !== null) {
      const w = this.walker;
      const hi = Math.floor(address / 4294967296);
      this.caches?.begin(ste.vmid, 0, ste.sid, -1, ste.s2.granule, ste.s2.granule);
      const r = w.stage2(ste.s2, hi, address | 0, READ, FOR_CD, -1);
      if (r !== OK) {
        this.recorded = ste.s2Record;
        this.walkFault(walkEvents[r]!, 2, FOR_CD, w.faultHi, w.faultLo);
        return -1;
      }
      pa = (w.outHi >>> 0) * 4294967296 + (w.outLo >>> 0);
    }
    if (!this.memory.contains(pa, 8)) {
      this.fetchFault(EVENT.F_CD_FETCH, pa);
      return -1;
    }
    return pa;
  }

  private readRecord(address: number): Uint32Array {
    const words = new Uint32Array(16);
    for (let i = 0; i < 16; i++) words[i] = this.memory.read32(address + 4 * i);
    return words;
  }

  private traceRead(
    what: ReadStep['what'],
    address: number,
    halves: Uint32Array | null,
    text: string,
    layout: string,
    word: bigint | undefined,
  ): void {
    if (!this.trace?.listener) return;
    const words =
      word !== undefined
        ? [word]
        : Array.from({ length: 8 }, (_, i) => (BigInt(halves![2 * i + 1]!) << 32n) | BigInt(halves![2 * i]!));
    this.trace.listener({
      kind: 'memory.read',
      actor: 'iommu',
      at: 'hw.smmu',
      address,
      words,
      layout,
      step: { what, level: -1, s1Level: -1 },
      text,
    });
  }

  /** Reports a page-table read to whoever listens. Bound once, so that setting it allocates nothing. */
  private readonly visit = (
    stage: 1 | 2,
    level: number,
    hi: number,
    lo: number,
    valueHi: number,
    valueLo: number,
    purpose: number,
    s1Level: number,
  ): void => {
    const address = (hi >>> 0) * 4294967296 + (lo >>> 0);
    const word = (BigInt(valueHi >>> 0) << 32n) | BigInt(valueLo >>> 0);
    const form = (valueLo & 1) === 0 ? 'invalid' : level === 3 ? 'page' : (valueLo & 2) !== 0 ? 'table' : 'block';
    const step: ReadStep =
      stage === 1
        ? { what: 'S1', level, s1Level: level }
        : { what: 'S2', level, s1Level, purpose: purpose === FOR_CD ? 'CD' : purpose === FOR_TABLE ? 'S1' : 'out' };
    this.trace!.listener!({
      kind: 'memory.read',
      actor: 'iommu',
      at: 'hw.smmu',
      address,
      words: [word],
      layout: `vmsav8.s${stage}.${form === 'invalid' ? 'page' : form}`,
      step,
      text: `stage ${stage} level ${level}: ${form}`,
    });
  };

  // For the comparison of cached entries with memory; see audit.ts.

  /** STE of a stream as memory has it; null when there is none. Only for a translator without caches. */
  readSte(sid: number): SteConfig | null {
    return this.findSte(sid);
  }

  readCd(ste: SteConfig, ssid: number): CdConfig | null {
    return this.findCd(ste, ssid);
  }
}
