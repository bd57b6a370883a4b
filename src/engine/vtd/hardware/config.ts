import { halfReader } from '../../bits/index.ts';
import { beyond, type FirstStage, firstStage, type SecondStage, secondStage } from '../../pagetable/x86-64.ts';
import { contextLayout, contextLegacyLayout, pasidLayout } from '../layout/index.ts';
import type { VtdFeatures } from './features.ts';
import { REASON } from './reasons.ts';

const context = (name: string) => halfReader(contextLayout, name);
const legacy = (name: string) => halfReader(contextLegacyLayout, name);
const pasid = (name: string) => halfReader(pasidLayout, name);

const C = {
  P: context('P'),
  FPD: context('FPD'),
  DTE: context('DTE'),
  PASIDE: context('PASIDE'),
  PRE: context('PRE'),
  PDTS: context('PDTS'),
  RID_PASID: context('RID_PASID'),
  RID_PRIV: context('RID_PRIV'),
};

const L = { TT: legacy('TT'), AW: legacy('AW'), DID: legacy('DID') };

const E = {
  P: pasid('P'),
  FPD: pasid('FPD'),
  AW: pasid('AW'),
  SSEE: pasid('SSEE'),
  PGTT: pasid('PGTT'),
  SSADE: pasid('SSADE'),
  DID: pasid('DID'),
  PWSNP: pasid('PWSNP'),
  PGSNP: pasid('PGSNP'),
  SRE: pasid('SRE'),
  ERE: pasid('ERE'),
  FSPM: pasid('FSPM'),
  WPE: pasid('WPE'),
  NXE: pasid('NXE'),
  SMEP: pasid('SMEP'),
  EAFE: pasid('EAFE'),
};

/** A context entry as the hardware caches it. */
export interface ContextEntry {
  readonly rid: number;
  readonly uid: number;
  readonly address: number;
  /** Halves that were read: eight, in legacy mode four. */
  readonly words: Uint32Array;
  readonly scalable: boolean;
  /** Why it cannot be used, 0: it can. */
  readonly fault: number;
  readonly fpd: boolean;
  /** Translation requests and translated requests are allowed: DTE, in legacy mode TT = 1. */
  readonly dte: boolean;
  readonly paside: boolean;
  readonly pre: boolean;
  /** First PASID beyond the directory. */
  readonly pasidLimit: number;
  readonly directory: number;
  /** PASID of requests without one, and whether they are supervisor requests. */
  readonly ridPasid: number;
  readonly ridPriv: boolean;
  /** Legacy mode: domain id, and the second stage, null with pass-through. Scalable mode: 0 and null. */
  readonly did: number;
  readonly ss: SecondStage | null;
}

/** A PASID table entry as the hardware caches it, with what the directory entry above says. */
export interface PasidEntry {
  readonly rid: number;
  readonly pasid: number;
  readonly uid: number;
  readonly address: number;
  /** Sixteen halves that were read. */
  readonly words: Uint32Array;
  /** The directory entry that led here, and where it lies. */
  readonly directory: bigint;
  readonly directoryAddress: number;
  readonly fault: number;
  /** FPD of this entry or of the directory entry. */
  readonly fpd: boolean;
  /** 1 first stage, 2 second stage, 3 nested, 4 pass-through. */
  readonly pgtt: number;
  readonly did: number;
  readonly fs: FirstStage | null;
  readonly ss: SecondStage | null;
  readonly sre: boolean;
  readonly ere: boolean;
  readonly pgsnp: boolean;
}

/** High half of a pointer; the low one without its flags. */
const pointer = (w: Uint32Array, word: number): { baseHi: number; baseLo: number } => ({
  baseHi: w[word * 2 + 1]! | 0,
  baseLo: w[word * 2]! & -4096,
});

/** Byte address of a pointer whose reserved bits are zero. */
const whole = (w: Uint32Array, word: number): number => w[word * 2 + 1]! * 4294967296 + ((w[word * 2]! & -4096) >>> 0);

/** Bits of a pointer at and above the host address width, which are reserved. */
const tooHigh = (w: Uint32Array, word: number, f: VtdFeatures): boolean => beyond(w[word * 2 + 1]! | 0, 0, f.haw);

/** Levels of an AW code that CAP.SAGAW has, or 0. Source: VT-d specification, 9.6 (AW), CAP_REG.SAGAW. */
const levelsOf = (aw: number, f: VtdFeatures): number =>
  aw >= 1 && aw <= 3 && ((f.sagaw >> aw) & 1) !== 0 ? aw + 2 : 0;

/** Domain ids are as wide as CAP.ND says; bits above are reserved. */
const didTooHigh = (did: number, f: VtdFeatures): boolean => did >= 2 ** f.didBits;

const unusable = {
  paside: false,
  pre: false,
  pasidLimit: 0,
  directory: 0,
  ridPasid: 0,
  ridPriv: false,
  did: 0,
  ss: null,
} as const;

/** Decodes a scalable-mode context entry of eight halves. Source: VT-d specification, 9.4, 7.1.3 (SCT.2 to SCT.4). */
export function decodeContext(w: Uint32Array, rid: number, uid: number, address: number, f: VtdFeatures): ContextEntry {
  const flag = (read: (w: Uint32Array, at: number) => number): boolean => read(w, 0) === 1;
  const dte = flag(C.DTE);
  const pre = flag(C.PRE);
  const paside = flag(C.PASIDE);
  const pasidLimit = 2 ** (C.PDTS(w, 0) + 13);
  let fault = 0;
  if (!flag(C.P)) fault = REASON.SM_CONTEXT_ABSENT;
  else if (
    (w[0]! & 0x1e0) !== 0 ||
    tooHigh(w, 0, f) ||
    (w[2]! & 0xffe00000) !== 0 ||
    (w[3]! | w[4]! | w[5]! | w[6]! | w[7]!) !== 0 ||
    (dte && !f.dt) ||
    (paside && !f.pasid) ||
    (pre && !f.prs) ||
    (C.RID_PASID(w, 0) !== 0 && !f.rps) ||
    (flag(C.RID_PRIV) && !f.rprivs)
  )
    fault = REASON.SM_CONTEXT_RESERVED;
  // Page requests come from device TLBs; the PASID of requests without one must have a place in the directory.
  else if ((pre && !dte) || C.RID_PASID(w, 0) >= pasidLimit) fault = REASON.SM_CONTEXT_INVALID;
  return {
    rid,
    uid,
    address,
    words: w,
    scalable: true,
    fault,
    fpd: flag(C.FPD),
    dte,
    paside,
    pre,
    pasidLimit,
    directory: fault === 0 ? whole(w, 0) : 0,
    ridPasid: f.rps ? C.RID_PASID(w, 0) : 0,
    ridPriv: f.rprivs && flag(C.RID_PRIV),
    did: 0,
    ss: null,
  };
}

/** Decodes a legacy context entry of four halves. Source: VT-d specification, 9.3, 7.1.3 (LCT.2 to LCT.4). */
export function decodeLegacyContext(
  w: Uint32Array,
  rid: number,
  uid: number,
  address: number,
  f: VtdFeatures,
): ContextEntry {
  const tt = L.TT(w, 0);
  const did = L.DID(w, 0);
  const levels = levelsOf(L.AW(w, 0), f);
  let fault = 0;
  if ((w[0]! & 1) === 0) fault = REASON.CONTEXT_ABSENT;
  else if (
    (w[0]! & 0xff0) !== 0 ||
    (tt !== 2 && tooHigh(w, 0, f)) ||
    (w[2]! & 0xff000080) !== 0 ||
    w[3]! !== 0 ||
    didTooHigh(did, f)
  )
    fault = REASON.CONTEXT_RESERVED;
  else if (levels === 0 || tt === 3 || (tt === 1 && !f.dt) || (tt === 2 && !f.pt)) fault = REASON.CONTEXT_INVALID;
  return {
    ...unusable,
    rid,
    uid,
    address,
    words: w,
    scalable: false,
    fault,
    fpd: (w[0]! & 2) !== 0,
    dte: tt === 1,
    did,
    ss: fault === 0 && tt < 2 ? secondStage({ ...pointer(w, 0), levels }, f) : null,
  };
}

/** Whether a PASID entry has a bit set that is reserved, by the format or for want of a feature. */
function reservedBits(w: Uint32Array, f: VtdFeatures): boolean {
  if ((w[0]! & 0xc00) !== 0 || (w[2]! & 0xf87f_0000) !== 0 || (w[4]! & 0xf00) !== 0) return true;
  if (tooHigh(w, 0, f) || tooHigh(w, 2, f)) return true;
  if (!f.ssts && (E.AW(w, 0) !== 0 || w[1] !== 0 || (w[0]! & -4096) !== 0)) return true;
  if (!f.fsts && ((w[4]! & 0xffff_f01c) !== 0 || w[5] !== 0)) return true;
  for (let i = 6; i < 16; i++) if (w[i] !== 0) return true;
  if (didTooHigh(E.DID(w, 0), f)) return true;
  return (
    (E.SSADE(w, 0) === 1 && !f.ssads) ||
    (E.PWSNP(w, 0) === 1 && !f.smpwcs) ||
    (E.PGSNP(w, 0) === 1 && !f.sc) ||
    (E.SRE(w, 0) === 1 && !f.srs) ||
    (E.SSEE(w, 0) === 1 && !f.ers) ||
    (E.ERE(w, 0) === 1 && !f.ers) ||
    (E.EAFE(w, 0) === 1 && !f.eafs)
  );
}

/** Which translation types the hardware has. Source: VT-d specification, ECAP_REG. */
const hasType = (pgtt: number, f: VtdFeatures): boolean =>
  (pgtt === 1 && f.fsts) || (pgtt === 2 && f.ssts) || (pgtt === 3 && f.nest) || (pgtt === 4 && f.pt);

/** Decodes a PASID table entry of sixteen halves. Source: VT-d specification, 9.6, 7.1.3 (SPT.2 to SPT.4). */
export function decodePasidEntry(
  w: Uint32Array,
  at: Pick<PasidEntry, 'rid' | 'pasid' | 'uid' | 'address' | 'directory' | 'directoryAddress'>,
  f: VtdFeatures,
): PasidEntry {
  const pgtt = E.PGTT(w, 0);
  const hasFirst = pgtt === 1 || pgtt === 3;
  const hasSecond = pgtt === 2 || pgtt === 3;
  const fspm = E.FSPM(w, 0);
  const ssLevels = levelsOf(E.AW(w, 0), f);
  let fault = 0;
  if (E.P(w, 0) === 0) fault = REASON.PASID_ABSENT;
  else if (reservedBits(w, f)) fault = REASON.PASID_RESERVED;
  else if (
    !hasType(pgtt, f) ||
    (hasSecond && ssLevels === 0) ||
    (hasFirst && (fspm > 1 || (fspm === 1 && !f.fs5lp))) ||
    // The second stage must be able to translate the address of the first one's top table.
    (pgtt === 3 && beyond(w[5]! | 0, w[4]! & -4096, Math.min(12 + 9 * ssLevels, f.mgaw)))
  )
    fault = REASON.PASID_INVALID;
  const snooped = E.PWSNP(w, 0) === 1;
  const usable = fault === 0;
  return {
    ...at,
    words: w,
    fault,
    fpd: E.FPD(w, 0) === 1 || (at.directory & 2n) !== 0n,
    pgtt,
    did: E.DID(w, 0),
    fs:
      usable && hasFirst
        ? firstStage(
            {
              ...pointer(w, 2),
              levels: 4 + fspm,
              wpe: E.WPE(w, 0) === 1,
              nxe: E.NXE(w, 0) === 1,
              smep: E.SMEP(w, 0) === 1,
              eafe: E.EAFE(w, 0) === 1,
              snooped,
            },
            f,
          )
        : null,
    ss:
      usable && hasSecond
        ? secondStage(
            { ...pointer(w, 0), levels: ssLevels, exec: E.SSEE(w, 0) === 1, ad: E.SSADE(w, 0) === 1, snooped },
            f,
          )
        : null,
    sre: E.SRE(w, 0) === 1,
    ere: E.ERE(w, 0) === 1,
    pgsnp: E.PGSNP(w, 0) === 1,
  };
}
