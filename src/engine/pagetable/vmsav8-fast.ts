import type { Vmsav8Walker } from './vmsav8.ts';
import {
  ALL_S1,
  ANY_DATA,
  leafPerms,
  leafPerms2,
  PRIV_SHIFT,
  S2_SHIFT,
  type StageConfig,
  stage2Need,
  UNPRIV_SHIFT,
} from './vmsav8-stage.ts';

/** APTable, UXNTable, PXNTable (62:59) in a descriptor's high half: they restrict what lies below the table. */
const RESTRICTS = 0x78000000;

/**
 * True when a stage has the shape that `nestedFast` knows: 4 KiB granule, level 0 first, 48 bits, base in near memory, no
 * dirty state of hardware. (An access flag that hardware must set makes it give up.)
 */
const usual = (s: StageConfig, far: number): boolean =>
  s.firstMask === 511 &&
  s.startLevel === 0 &&
  !s.hd &&
  ((s.granule ^ 12) | (s.outMaskHi & 15) | (s.baseHi & far)) === 0;

/**
 * The nested walk when nothing is out of the ordinary: 4 KiB granule and pages, four levels each, no cache, no listener,
 * everything in near memory, no fault, no restriction by a table descriptor. In every other case it gives up without a
 * trace and the general walk decides; a test holds the two equal.
 *
 * It works on page numbers, which fit an integer, and gathers what is wrong in one word instead of branching at each read:
 * a wrong descriptor leads somewhere within near memory, at worst to the zero page, and the result is thrown away.
 */
export function nestedFast(
  w: Vmsav8Walker,
  s1: StageConfig,
  s2: StageConfig,
  vaHi: number,
  vaLo: number,
  need: number,
  priv: boolean,
): boolean {
  const words = w.memory.words;
  const flat = w.memory.flat;
  const near = w.memory.flatHi - 1;
  // Bits of a descriptor's high half that lead out of near memory.
  const far = ~near & 0xffff;
  if (!usual(s1, far) || !usual(s2, far) || (need & ANY_DATA) !== 0) return false;
  const root = flat[(s2.baseHi << 20) | (s2.baseLo >>> 12)]!;
  const vaPage = (vaHi << 20) | (vaLo >>> 12);
  // Intermediate page of the stage-1 table, then of the output; its level-0 index is 0, being near.
  let ipaPage = (s1.baseHi << 20) | (s1.baseLo >>> 12);
  let index = (vaHi >>> 6) & 1022;
  // What all low halves have in common, of tables and of stage-2 leaves; what any high half has.
  let tables = -1;
  let leaves = -1;
  let high = 0;
  let restricts = 0;
  let lo = 0;
  let hi = 0;
  let lo1 = 0;
  let hi1 = 0;
  for (let shift = 17; ; shift -= 9) {
    lo = words[root]!;
    hi = words[root + 1]!;
    tables &= lo;
    high |= hi;
    let i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((ipaPage >>> 17) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    tables &= lo;
    high |= hi;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((ipaPage >>> 8) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    tables &= lo;
    high |= hi;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((ipaPage << 1) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    leaves &= lo;
    high |= hi;
    if (shift < -18) break;
    // Device memory, which may not hold tables.
    if ((lo & 0x30) === 0) return false;
    restricts |= hi1;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | index;
    index = shift < 0 ? (vaPage << 1) & 1022 : (vaPage >>> shift) & 1022;
    lo1 = words[i]!;
    hi1 = words[i + 1]!;
    tables &= lo1;
    high |= hi1;
    ipaPage = ((hi1 & near) << 20) | (lo1 >>> 12);
  }
  // Tables and pages valid, pages of stage 2 readable and accessed, the page of stage 1 accessed.
  if (((~tables & 3) | (~leaves & 0x443) | (high & far) | (restricts & RESTRICTS) | (~lo1 & 0x400)) !== 0) return false;
  const perms = leafPerms(s1, lo1, hi1, ALL_S1);
  const perms2 = leafPerms2(s2, lo, hi);
  if ((need & ~(perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT))) !== 0) return false;
  if ((stage2Need(need, priv) & ~(perms2 >>> S2_SHIFT)) !== 0) return false;
  w.ipaHi = hi1 & 0xffff;
  w.ipaLo = (lo1 & -4096) | (vaLo & 0xfff);
  w.outHi = hi & 0xffff;
  w.outLo = (lo & -4096) | (vaLo & 0xfff);
  w.reads += 24;
  w.perms = perms | perms2;
  w.s1Shift = 12;
  w.leafShift = 12;
  w.level = 3;
  return true;
}
