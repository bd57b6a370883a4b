/** Bits of an access, and of the permissions that answer it. */

export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;
/** As the need of a translation request: a read or a write must be allowed, whichever. Source: Arm IHI 0070 3.9.1.2. */
export const ANY_DATA = 16;
/** With ANY_DATA: the request says that no write will follow (NW = 1), so that nothing is marked dirty. */
export const NO_WRITE = 32;

/** What a second-stage translation is for; what is reported of its fault follows from it. */
export const FOR_CD = 0;
export const FOR_TABLE = 1;
export const FOR_INPUT = 2;

/**
 * Sees each memory read of a walk when set. `tableLevel`: of the first-stage table that is read, else -1; `inHi`, `inLo`: the
 * address before the second stage: what it translates, or the entry's own in the first stage.
 */
export type ReadVisitor = (
  stage: 1 | 2,
  level: number,
  hi: number,
  lo: number,
  valueHi: number,
  valueLo: number,
  purpose: number,
  tableLevel: number,
  inHi: number,
  inLo: number,
) => void;

/** Sees each entry that hardware has updated, when set; the value is the new one. */
export type UpdateVisitor = (
  stage: 1 | 2,
  level: number,
  hi: number,
  lo: number,
  valueHi: number,
  valueLo: number,
  /** Bits that changed in the low half. */
  changed: number,
) => void;
