import { halfReader } from '../../bits/index.ts';
import { beyond, type StageConfig, stageConfig } from '../../pagetable/vmsav8.ts';
import { cdLayout, steLayout } from '../layout/index.ts';
import { addressSizeBits, type SmmuFeatures } from './features.ts';

const ste = (name: string) => halfReader(steLayout, name);
const cd = (name: string) => halfReader(cdLayout, name);

const S = {
  V: ste('V'),
  Config: ste('Config'),
  S1Fmt: ste('S1Fmt'),
  S1CDMax: ste('S1CDMax'),
  S1DSS: ste('S1DSS'),
  S1STALLD: ste('S1STALLD'),
  EATS: ste('EATS'),
  STRW: ste('STRW'),
  PRIVCFG: ste('PRIVCFG'),
  INSTCFG: ste('INSTCFG'),
  S2VMID: ste('S2VMID'),
  S2T0SZ: ste('S2T0SZ'),
  S2SL0: ste('S2SL0'),
  S2TG: ste('S2TG'),
  S2PS: ste('S2PS'),
  S2AA64: ste('S2AA64'),
  S2ENDI: ste('S2ENDI'),
  S2AFFD: ste('S2AFFD'),
  S2PTW: ste('S2PTW'),
  S2HD: ste('S2HD'),
  S2HA: ste('S2HA'),
  S2S: ste('S2S'),
  S2R: ste('S2R'),
};

const C = {
  T0SZ: cd('T0SZ'),
  TG0: cd('TG0'),
  EPD0: cd('EPD0'),
  ENDI: cd('ENDI'),
  T1SZ: cd('T1SZ'),
  TG1: cd('TG1'),
  EPD1: cd('EPD1'),
  V: cd('V'),
  IPS: cd('IPS'),
  AFFD: cd('AFFD'),
  WXN: cd('WXN'),
  PAN: cd('PAN'),
  TBI0: cd('TBI0'),
  TBI1: cd('TBI1'),
  AA64: cd('AA64'),
  HD: cd('HD'),
  HA: cd('HA'),
  S: cd('S'),
  R: cd('R'),
  A: cd('A'),
  ASID: cd('ASID'),
  HAD0: cd('HAD0'),
  HAD1: cd('HAD1'),
};

/** Log2 granule of TG0 and S2TG codes, and of TG1 codes; 0 is reserved. */
const tg0 = [12, 16, 14, 0] as const;
const tg1 = [0, 14, 12, 16] as const;

/** An STE as the hardware caches it. `words` are the sixteen 32-bit halves that were read. */
export interface SteConfig {
  readonly sid: number;
  readonly uid: number;
  readonly address: number;
  readonly words: Uint32Array;
  /** C_BAD_STE: V = 0 or an illegal combination. */
  readonly bad: boolean;
  /** Config[2:0]; 0..3 abort. */
  readonly config: number;
  readonly s1: boolean;
  readonly s2: StageConfig | null;
  readonly vmid: number;
  readonly s1Fmt: number;
  readonly s1CdMax: number;
  readonly s1Dss: number;
  /** S1ContextPtr, aligned to the size of the table. */
  readonly contextPtr: number;
  /** 0 where ATS is off, also by Config; 2 counts only with CR0.ATSCHK. */
  readonly eats: number;
  /** 0 where IDR1.ATTR_PERMS_OVR is 0. */
  readonly privCfg: number;
  readonly instCfg: number;
  /** Stage-1 stream world is EL2 or EL2-E2H. */
  readonly el2: boolean;
  readonly s1StallD: boolean;
  readonly s2Record: boolean;
}

/** One half of a CD; null when it is disabled (EPD). */
export type CdHalf = StageConfig | null;

export interface CdConfig {
  readonly sid: number;
  readonly ssid: number;
  readonly uid: number;
  /** Physical address that it was read from. */
  readonly address: number;
  readonly words: Uint32Array;
  readonly bad: boolean;
  readonly asid: number;
  /** EL2 without E2H: no ASID, one half, one privilege. */
  readonly single: boolean;
  readonly ttb0: CdHalf;
  readonly ttb1: CdHalf;
  readonly tbi0: boolean;
  readonly tbi1: boolean;
  readonly record: boolean;
}

const hiOf = (w: Uint32Array, i: number): number => (w[i * 2 + 1]! & 0xfffff) | 0;

/**
 * Base of a translation table: its size aligns it, and a high half of 20 bits is all that the field has. With 52-bit
 * addresses the smallest alignment is 64 bytes. Source: Arm IHI 0070 5.4 (TTB0), 5.2 (S2TTB).
 */
const tableBase = (
  w: Uint32Array,
  word: number,
  firstBits: number,
  outputBits: number,
): { baseHi: number; baseLo: number } => ({
  baseHi: hiOf(w, word),
  baseLo: w[word * 2]! & -(2 ** Math.max(firstBits + 3, outputBits > 48 ? 6 : 4)),
});

/** Effective output size: what the code says against OAS; more than 48 bits only with 64 KiB. Source: IHI 0070 3.4. */
const outputSize = (code: number, granule: number, f: SmmuFeatures): number =>
  Math.min(addressSizeBits[code]!, f.oas, granule === 16 ? 52 : 48);

/** Most input bits of a stage: 52 only with the 64 KiB granule; `wide` says whether the SMMU has them. */
const inputLimit = (granule: number, wide: boolean): number => (granule === 16 && wide ? 52 : 48);

/** Fewest input bits: 25, or with small tables 16, 17 with 64 KiB. Source: IHI 0070 3.4.1, IDR3.STT. */
const inputFloor = (granule: number, f: SmmuFeatures): number => (!f.stt ? 25 : granule === 16 ? 17 : 16);

/** Descriptors with 52-bit addresses are those of the 64 KiB granule of an SMMU that has 52 bits. */
const hasLpa = (granule: number, f: SmmuFeatures): boolean => granule === 16 && f.oas >= 52;

/** Where the CDs or the level-1 descriptors begin; what the table's size makes zero is taken as zero. */
function contextPointer(w: Uint32Array, s1Fmt: number, s1CdMax: number): number {
  const raw = hiOf(w, 0) * 4294967296 + ((w[0]! & 0xffffffc0) >>> 0);
  const log2 = s1Fmt === 0 ? s1CdMax + 6 : Math.max(s1CdMax - (s1Fmt === 1 ? 3 : 7), 6);
  return raw - (raw % 2 ** log2);
}

/**
 * Decodes the STE and decides whether it is illegal.
 * Source: Arm IHI 0070, 5.2 (each field's ILLEGAL conditions), 5.2.2 SteIllegal(), 3.4.3 (S1ContextPtr).
 */
export function decodeSte(w: Uint32Array, sid: number, uid: number, address: number, f: SmmuFeatures): SteConfig {
  const config = S.Config(w, 0);
  const s1 = (config & 5) === 5;
  const s2on = (config & 6) === 6;
  const s1CdMax = f.ssidBits === 0 ? 0 : S.S1CDMax(w, 0);
  const s1Fmt = s1CdMax === 0 || S.S1Fmt(w, 0) === 3 ? 0 : S.S1Fmt(w, 0);
  // Without a translating stage the field is ignored, and nothing can be asked or sent translated.
  const eats = f.ats && (config & 3) !== 0 ? S.EATS(w, 0) : 0;
  const strw = f.s1p && f.hyp && config === 5 ? S.STRW(w, 0) : 0;
  const s2s = S.S2S(w, 0) === 1;
  const contextPtr = contextPointer(w, s1Fmt, s1CdMax);
  let bad = S.V(w, 0) === 0;
  let s2: StageConfig | null = null;
  if (!bad && config >= 4) {
    if (s1) {
      bad ||= !f.s1p;
      bad ||= s1CdMax > f.ssidBits;
      bad ||= s1Fmt !== 0 && !f.cd2l;
      bad ||= S.S1STALLD(w, 0) === 1 && f.stallModel !== 0;
      bad ||= (strw & 1) === 1;
      bad ||= contextPtr >= 2 ** f.oas;
    }
    if (s2on) {
      s2 = f.s2p ? decodeStage2(w, f) : null;
      bad ||= s2 === null;
    }
    bad ||= eats === 1 && s2on && s2s;
    bad ||= eats === 2 && (config !== 7 || s2s || f.ns1ats);
    bad ||= f.s2p && config !== 4 && strw === 0 && !f.vmid16 && S.S2VMID(w, 0) > 0xff;
  }
  return {
    sid,
    uid,
    address,
    words: w,
    bad,
    config,
    s1,
    s2,
    vmid: f.s2p ? S.S2VMID(w, 0) & (f.vmid16 ? 0xffff : 0xff) : 0,
    s1Fmt,
    s1CdMax,
    s1Dss: S.S1DSS(w, 0),
    contextPtr,
    eats: eats === 3 ? 0 : eats,
    privCfg: f.attrPermsOvr ? S.PRIVCFG(w, 0) : 0,
    instCfg: f.attrPermsOvr ? S.INSTCFG(w, 0) : 0,
    el2: s1 && strw === 2,
    s1StallD: S.S1STALLD(w, 0) === 1,
    s2Record: S.S2R(w, 0) === 1,
  };
}

/** Output size that the highest start level asks for. Source: Arm DDI 0487, AArch64.S2InvalidSL. */
const sizeForSl0Two: Readonly<Record<number, number>> = { 12: 44, 14: 42, 16: 44 };

function decodeStage2(w: Uint32Array, f: SmmuFeatures): StageConfig | null {
  const granule = tg0[S.S2TG(w, 0)]!;
  if (!f.granules.includes(granule)) return null;
  const t0sz = S.S2T0SZ(w, 0);
  const inputBits = 64 - t0sz;
  if (inputBits < inputFloor(granule, f) || inputBits > Math.min(f.oas, inputLimit(granule, true))) return null;
  const sl0 = S.S2SL0(w, 0);
  // Code 3 is level 3 of small 4 KiB tables.
  if (sl0 === 3 ? granule !== 12 || !f.stt : sl0 === 2 && f.oas < sizeForSl0Two[granule]!) return null;
  const startLevel = granule === 12 ? (sl0 === 3 ? 3 : 2 - sl0) : 3 - sl0;
  const stride = granule - 3;
  const firstBits = inputBits - granule - (3 - startLevel) * stride;
  // At most sixteen tables are concatenated.
  if (firstBits < 1 || firstBits > stride + 4) return null;
  if (S.S2AA64(w, 0) !== 1 || S.S2ENDI(w, 0) === 1) return null;
  if (S.S2S(w, 0) === 1 ? f.stallModel === 1 : f.stallModel === 2) return null;
  if ((S.S2HA(w, 0) === 1 && f.httu < 1) || (S.S2HD(w, 0) === 1 && f.httu < 2)) return null;
  const outputBits = outputSize(S.S2PS(w, 0), granule, f);
  if (beyond(hiOf(w, 3), w[6]! & ~15, outputBits)) return null;
  return stageConfig({
    ...tableBase(w, 3, firstBits, outputBits),
    granule,
    startLevel,
    inputBits,
    outputBits,
    affd: S.S2AFFD(w, 0) === 1,
    ha: S.S2HA(w, 0) === 1,
    hd: S.S2HD(w, 0) === 1,
    lpa: hasLpa(granule, f),
    had: false,
    wxn: false,
    pan: false,
    single: false,
    ptw: S.S2PTW(w, 0) === 1,
    xnx: f.xnx,
  });
}

/**
 * Decodes a CD.
 * Source: Arm IHI 0070, 5.4, 5.4.1 (EPDx, any-EL2), 5.4.2 CdIllegal().
 * @param single stream world EL2 without E2H, in which EPD, the upper half, ASID and PAN mean nothing
 */
export function decodeCd(
  w: Uint32Array,
  sid: number,
  ssid: number,
  uid: number,
  address: number,
  f: SmmuFeatures,
  steStallD: boolean,
  single = false,
): CdConfig {
  const off0 = !single && C.EPD0(w, 0) === 1;
  const off1 = single || C.EPD1(w, 0) === 1;
  let bad = C.V(w, 0) === 0 || C.AA64(w, 0) === 0;
  bad ||= C.ENDI(w, 0) === 1 && !(off0 && off1);
  bad ||= C.A(w, 0) === 0 && f.termModel;
  bad ||= C.S(w, 0) === 1 ? steStallD || f.stallModel === 1 : f.stallModel === 2;
  bad ||= (C.HA(w, 0) === 1 && f.httu < 1) || (C.HD(w, 0) === 1 && f.httu < 2);
  const asid = single ? 0 : C.ASID(w, 0);
  bad ||= !f.asid16 && asid > 0xff;
  const half = (tsz: number, granule: number, word: number, had: number): CdHalf => {
    const stride = granule - 3;
    const inputBits = 64 - tsz;
    const outputBits = outputSize(C.IPS(w, 0), granule, f);
    if (
      !f.granules.includes(granule) ||
      inputBits < inputFloor(granule, f) ||
      inputBits > inputLimit(granule, f.vax) ||
      beyond(hiOf(w, word), w[word * 2]! & ~15, outputBits)
    ) {
      bad = true;
      return null;
    }
    const levels = Math.ceil((inputBits - granule) / stride);
    return stageConfig({
      ...tableBase(w, word, inputBits - granule - (levels - 1) * stride, outputBits),
      granule,
      startLevel: 4 - levels,
      inputBits,
      outputBits,
      affd: C.AFFD(w, 0) === 1,
      ha: C.HA(w, 0) === 1,
      hd: C.HD(w, 0) === 1,
      lpa: hasLpa(granule, f),
      had: f.had && had === 1,
      wxn: C.WXN(w, 0) === 1,
      pan: C.PAN(w, 0) === 1,
      single,
      ptw: false,
      xnx: false,
    });
  };
  const ttb0 = bad || off0 ? null : half(C.T0SZ(w, 0), tg0[C.TG0(w, 0)]!, 1, C.HAD0(w, 0));
  const ttb1 = bad || off1 ? null : half(C.T1SZ(w, 0), tg1[C.TG1(w, 0)]!, 2, C.HAD1(w, 0));
  return {
    sid,
    ssid,
    uid,
    address,
    words: w,
    bad,
    asid,
    single,
    ttb0,
    ttb1,
    tbi0: C.TBI0(w, 0) === 1,
    tbi1: C.TBI1(w, 0) === 1,
    record: C.R(w, 0) === 1,
  };
}
