import { EXEC, READ, WRITE } from './access.ts';
import { maskFrom } from './halves.ts';

export { ANY_DATA, EXEC, FOR_INPUT, FOR_TABLE, NO_WRITE, READ, WRITE } from './access.ts';
export { beyond } from './halves.ts';

/** What both stages' walks of VT-d tables share: outcomes, permissions, parameters. Source: VT-d specification, 3.6, 3.7. */

/**
 * Outcome of a walk: 0, or the reason as scalable mode reports it. Source: VT-d specification, 7.1.3.
 */
export const OK = 0;
export const FS_READ = 0x70;
export const FS_ABSENT = 0x71;
export const FS_RESERVED = 0x72;
export const FS_ROOT_READ = 0x73;
/** Nested: the address in a first-stage entry is beyond what the second stage translates. */
export const FS_BEYOND = 0x74;
export const FS_ROOT_DENIED = 0x75;
export const FS_DENIED = 0x76;
export const FS_UPDATE_DENIED = 0x77;
export const SS_READ = 0x78;
export const SS_DENIED = 0x79;
export const SS_RESERVED = 0x7a;
export const SS_ROOT_READ = 0x7b;
export const SS_NO_SNOOP = 0x7c;
export const FS_NON_CANONICAL = 0x80;
export const FS_USER = 0x81;
export const FS_EXECUTE = 0x82;
export const SS_BEYOND = 0x84;
/** Lack of a right that is there for other accesses, in the first stage or in the second. */
export const FS_WRITE = 0x85;
export const SS_WRITE = 0x85;
export const SS_UNREADABLE = 0x86;
export const FS_NO_SNOOP = 0x90;

/**
 * Permissions of a translation, as cached: first stage for user requests [2:0] and for supervisor requests [5:3], each R, W,
 * X; second stage R, W, X [8:6]. The second-stage leaf forces snooping [11]. A writable page whose leaf is not marked dirty
 * yet counts as writable, and first stage [12] or second stage [13] says that the first write must walk and mark it.
 */
export const PRIV_SHIFT = 3;
export const SS_SHIFT = 6;
export const SNOOP = 1 << 11;
export const FS_CLEAN = 1 << 12;
export const SS_CLEAN = 1 << 13;
export const ALL_FS = 0x3f;
export const ALL_SS = 0x1c0;

/** What the tables above leave of a first-stage translation: writable, user, executable. The first two are the entry's bits. */
export const ACC_WRITE = 2;
export const ACC_USER = 4;
export const ACC_EXEC = 8;
export const ACC_ALL = ACC_WRITE | ACC_USER | ACC_EXEC;

/** The first stage as a PASID entry describes it. */
export interface FirstStage {
  /** Address of the top table: physical, or with a second stage that of the guest. */
  readonly baseHi: number;
  readonly baseLo: number;
  /** 4 or 5. */
  readonly levels: number;
  /** Bits 63:N of an address are equal; N less 32. */
  readonly signShift: number;
  /** Bits of an entry's high half that must be zero: the address beyond the host address width. */
  readonly reservedHi: number;
  /** Levels 3 may map 1 GiB (CAP.FS1GP). */
  readonly gigabyte: boolean;
  readonly wpe: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  /** Bits that hardware sets in an entry that it uses: accessed, and with EAFE extended accessed. */
  readonly accessed: number;
  /** Accesses to tables snoop (PWSNP), without which hardware updates nothing. */
  readonly snooped: boolean;
}

/** The second stage as a PASID entry, or a legacy context entry, describes it. */
export interface SecondStage {
  readonly baseHi: number;
  readonly baseLo: number;
  /** 3 to 5. */
  readonly levels: number;
  /** Bits of an input address that are beyond its width. */
  readonly inMaskHi: number;
  readonly inMaskLo: number;
  /** Bits of an entry's high half that must be zero: the address beyond the host address width, and bit 62. */
  readonly reservedHi: number;
  /** Bit 11 where the hardware has no snoop control. */
  readonly leafReserved: number;
  /** Levels that may map a page themselves, as bits: 2 (2 MiB) and 3 (1 GiB). */
  readonly large: number;
  /** Bits 1:0, and 2 where execution counts: an entry without any of them is not present. */
  readonly rights: number;
  /** SSADE: hardware sets accessed and dirty bits. */
  readonly ad: boolean;
  readonly snooped: boolean;
}

/** @param f host address width `haw` in bits, `gigabyte` CAP.FS1GP */
export function firstStage(
  c: {
    readonly baseHi: number;
    readonly baseLo: number;
    readonly levels: number;
    readonly wpe?: boolean;
    readonly nxe?: boolean;
    readonly smep?: boolean;
    readonly eafe?: boolean;
    readonly snooped?: boolean;
  },
  f: { readonly haw: number; readonly fs1gp: boolean },
): FirstStage {
  const { levels, wpe = false, nxe = false, smep = false, snooped = false } = c;
  return {
    baseHi: c.baseHi,
    baseLo: c.baseLo,
    levels,
    signShift: levels === 5 ? 24 : 15,
    reservedHi: maskFrom(f.haw - 32) & 0xfffff,
    gigabyte: f.fs1gp,
    wpe,
    nxe,
    smep,
    accessed: c.eafe ? 0x420 : 0x20,
    snooped,
  };
}

/** @param f `haw` and `mgaw` in bits, `sslps` CAP.SSLPS, `sc` ECAP.SC */
export function secondStage(
  c: {
    readonly baseHi: number;
    readonly baseLo: number;
    readonly levels: number;
    readonly exec?: boolean;
    readonly ad?: boolean;
    readonly snooped?: boolean;
  },
  f: { readonly haw: number; readonly mgaw: number; readonly sslps: number; readonly sc: boolean },
): SecondStage {
  const { levels, exec = false, ad = false, snooped = false } = c;
  const bits = Math.min(12 + 9 * levels, f.mgaw);
  return {
    baseHi: c.baseHi,
    baseLo: c.baseLo,
    levels,
    inMaskHi: maskFrom(bits - 32),
    inMaskLo: maskFrom(bits),
    reservedHi: (maskFrom(f.haw - 32) & 0xfffff) | 0x40000000,
    leafReserved: f.sc ? 0 : 0x800,
    large: f.sslps << 2,
    rights: exec ? 7 : 3,
    ad,
    snooped,
  };
}

/** Permissions of a first-stage translation whose entries leave `acc`. Source: VT-d specification, 3.6.1, 3.6.2. */
export function firstPerms(f: FirstStage, acc: number): number {
  const exec = (acc & ACC_EXEC) !== 0 || !f.nxe ? EXEC : 0;
  const write = acc & ACC_WRITE;
  const user = (acc & ACC_USER) !== 0;
  const priv = READ | (f.wpe ? write : WRITE) | (user && f.smep ? 0 : exec);
  return (priv << PRIV_SHIFT) | (user ? READ | write | exec : 0);
}
