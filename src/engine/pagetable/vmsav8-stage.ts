/** One stage's parameters as the walker takes them, and the bits of its results. Source: Arm DDI 0487 D8. */

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

/** Permissions and the nG bit of a stage-1 leaf. AP[2] (7): read-only; AP[1] (6): unprivileged access; UXN 54, PXN 53. */
export function leafPerms(s1: StageConfig, lo: number, hi: number): number {
  const rw = (lo & 0x80) === 0 ? READ | WRITE : READ;
  const unpriv = (lo & 0x40) !== 0 ? rw : 0;
  let perms = (rw << PRIV_SHIFT) | unpriv | ((lo & 0x800) !== 0 ? NON_GLOBAL : 0);
  if ((hi & 0x400000) === 0 && !(s1.wxn && (unpriv & WRITE) !== 0)) perms |= EXEC;
  // What unprivileged code can write, privileged code cannot execute.
  if ((hi & 0x200000) === 0 && !(s1.wxn && (rw & WRITE) !== 0) && (unpriv & WRITE) === 0) perms |= EXEC << PRIV_SHIFT;
  return perms;
}
