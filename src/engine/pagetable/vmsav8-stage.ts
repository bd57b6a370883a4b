import { EXEC, READ, WRITE } from './access.ts';
import { maskFrom } from './halves.ts';

export { ANY_DATA, EXEC, FOR_CD, FOR_INPUT, FOR_TABLE, NO_WRITE, READ, WRITE } from './access.ts';

/** One stage's parameters as the walker takes them, and the bits of its results. Source: Arm DDI 0487 D8. */

/** Outcome of a walk. */
export const OK = 0;
export const TRANSLATION = 1;
export const ADDR_SIZE = 2;
export const ACCESS = 3;
export const PERMISSION = 4;
export const EABT = 5;

/**
 * Permissions of a translation, as cached: stage 1 unprivileged [2:0] and privileged [5:3], each R, W, X; stage 2 [9:6]:
 * R, W, unprivileged X, privileged X. Device memory at stage 2 [10], not global [11]. A writable-clean page counts as
 * writable, and stage 1 [12] or stage 2 [13] says that the first write must walk and mark the descriptor dirty.
 */
export const UNPRIV_SHIFT = 0;
export const PRIV_SHIFT = 3;
export const S2_SHIFT = 6;
export const S2_DEVICE = 1 << 10;
export const NON_GLOBAL = 1 << 11;
export const S1_CLEAN = 1 << 12;
export const S2_CLEAN = 1 << 13;
export const ALL_S1 = 0x3f;
export const ALL_S2 = 0x3c0;

/** The need of an access in the terms of stage 2, where execution is allowed apart for each privilege. */
export const stage2Need = (need: number, priv: boolean): number =>
  (need & (READ | WRITE)) | (priv ? (need & EXEC) << 1 : need & EXEC);

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
  /** Stage 1: privileged data accesses fail where unprivileged ones are allowed (PAN). */
  pan: boolean;
  /** Stage 1: the regime has one privilege only (EL2 without E2H), so that AP[1] and PXN mean nothing. */
  single: boolean;
  /** Stage 2: table or CD fetches from Device memory fault. */
  ptw: boolean;
  /** Stage 2: XN tells privileged from unprivileged execution (FEAT_XNX). */
  xnx: boolean;
  /** Hardware sets the access flag (CD.HA, STE.S2HA). */
  ha: boolean;
  /** Hardware marks writable-clean descriptors dirty (CD.HD, STE.S2HD); only with `ha`. */
  hd: boolean;
  /** Bits of a descriptor's low half that are address bits 51:48: 15:12 with the 64 KiB granule and 52 bits, else none. */
  topMask: number;
}

/** What `stageConfig` completes; what is left out is off. */
export type StageInput = Omit<
  StageConfig,
  'outMaskHi' | 'inMaskHi' | 'inMaskLo' | 'firstMask' | 'ha' | 'hd' | 'topMask'
> & {
  readonly ha?: boolean;
  readonly hd?: boolean;
  /** Descriptors carry 52-bit addresses, as those of the 64 KiB granule do where the SMMU has them. */
  readonly lpa?: boolean;
};

/** Completes a stage's parameters with the masks that the walk compares. */
export function stageConfig({ lpa = false, ha = false, hd = false, ...c }: StageInput): StageConfig {
  const firstBits = c.inputBits - c.granule - (3 - c.startLevel) * (c.granule - 3);
  return {
    ...c,
    ha,
    hd: ha && hd,
    topMask: lpa && c.granule === 16 ? 0xf000 : 0,
    outMaskHi: maskFrom(c.outputBits - 32),
    inMaskHi: maskFrom(c.inputBits - 32),
    inMaskLo: maskFrom(c.inputBits),
    firstMask: (1 << firstBits) - 1,
  };
}

/** Dirty bit modifier (51) and Contiguous hint (52) in a descriptor's high half. */
const DBM = 0x80000;
const CONTIGUOUS = 0x100000;

/**
 * Log2 of how many descriptors of a level a contiguous hint joins: 16 with the 4 KiB granule; 128 pages or 32 blocks with
 * 16 KiB; 32 with 64 KiB. 0 where the descriptor has no hint, or where the range would leave the input size.
 * Source: Arm DDI 0487 D8.7.1 (the Contiguous bit).
 */
export function contiguousBits(s: StageConfig, level: number, hi: number): number {
  // Blocks of 4 TiB have none.
  if ((hi & CONTIGUOUS) === 0 || (s.granule === 16 && level === 1)) return 0;
  const n = s.granule === 12 ? 4 : s.granule === 14 && level === 3 ? 7 : 5;
  return s.granule + (3 - level) * (s.granule - 3) + n > s.inputBits ? 0 : n;
}

/**
 * Permissions and the nG bit of a stage-1 leaf. AP[2] (7): read-only; AP[1] (6): unprivileged access; UXN 54, PXN 53.
 * Source: Arm DDI 0487, AArch64.S1DirectBasePermissions.
 * @param tables what the table descriptors on the way leave, bits as those of the result
 */
export function leafPerms(s1: StageConfig, lo: number, hi: number, tables: number): number {
  let marks = (lo & 0x800) !== 0 ? NON_GLOBAL : 0;
  let rw = (lo & 0x80) === 0 ? READ | WRITE : READ;
  if (s1.hd && rw === READ && (hi & DBM) !== 0) {
    // Writable, clean: for every check the page is writable. Source: Arm IHI 0070 3.13.8, DDI 0487 D8.4.1.2.6.
    rw |= WRITE;
    marks |= S1_CLEAN;
  }
  let priv = rw & (tables >> PRIV_SHIFT);
  if (s1.single) {
    if ((hi & 0x400000) === 0 && (tables & EXEC) !== 0 && !(s1.wxn && (priv & WRITE) !== 0)) priv |= EXEC;
    return marks | (priv << PRIV_SHIFT) | priv;
  }
  const unpriv = (lo & 0x40) !== 0 ? rw & tables : 0;
  let exec = 0;
  if ((hi & 0x400000) === 0 && !(s1.wxn && (unpriv & WRITE) !== 0)) exec = tables & EXEC;
  // What unprivileged code can write, privileged code cannot execute.
  if ((hi & 0x200000) === 0 && !(s1.wxn && (priv & WRITE) !== 0) && (unpriv & WRITE) === 0)
    exec |= tables & (EXEC << PRIV_SHIFT);
  if (s1.pan && unpriv !== 0) priv = 0;
  return marks | (priv << PRIV_SHIFT) | unpriv | exec;
}

/**
 * Permissions of a stage-2 leaf. S2AP[7:6] is write, read; XN[54:53]; MemAttr[5:4] = 0 is Device memory.
 * Source: Arm DDI 0487 D8.4.1.2 (stage 2 data accesses), D8.4.1.2.4 (XN with FEAT_XNX).
 */
export function leafPerms2(s2: StageConfig, lo: number, hi: number): number {
  let marks = (lo & 0x30) === 0 ? S2_DEVICE : 0;
  if (s2.hd && (lo & 0x80) === 0 && (hi & DBM) !== 0) marks |= S2_CLEAN | (WRITE << S2_SHIFT);
  const xn = (hi >> 21) & 3;
  // 00 both, 01 unprivileged only, 10 none, 11 privileged only; without XNX bit 54 alone counts.
  const exec = xn === 0 ? 3 : (xn & 2) === 0 ? (s2.xnx ? 1 : 3) : xn === 3 && s2.xnx ? 2 : 0;
  return ((lo & 0xc0) << (S2_SHIFT - 6)) | (exec << (S2_SHIFT + 2)) | marks;
}
