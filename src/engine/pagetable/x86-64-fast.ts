import type { SecondStageWalker } from './vtd-second-stage.ts';
import {
  ACC_EXEC,
  ACC_USER,
  ACC_WRITE,
  ANY_DATA,
  EXEC,
  type FirstStage,
  FS_CLEAN,
  firstPerms,
  PRIV_SHIFT,
  type SecondStage,
  SNOOP,
  SS_SHIFT,
  WRITE,
} from './vtd-walk.ts';

/** Bits of a second-stage entry of a table or leaf: R, W, PS, SNP; of a first-stage entry: P, A, D, PS. */
const READ_WRITE = 3;
const LARGE_OR_SNP = 0x880;
const SNP = 0x800;
const PRESENT_ACCESSED = 0x21;
const DIRTY = 0x40;
const LARGE = 0x80;

/**
 * The nested walk when nothing is out of the ordinary: four levels each, 4 KiB pages, no cache, no listener, everything in
 * near memory, no fault, all accessed bits set, no dirty bit to set, a second stage that lets everything be read and written.
 * In every other case it gives up without a trace and the general walk decides; a test holds the two equal.
 *
 * It works on page numbers, which fit an integer, and gathers what is wrong in few words instead of branching at each read:
 * a wrong entry leads somewhere within near memory, at worst to the zero page, and the result is thrown away.
 */
export function nestedFast(
  w: SecondStageWalker,
  f: FirstStage,
  s: SecondStage,
  inHi: number,
  inLo: number,
  need: number,
  priv: boolean,
): boolean {
  const { words, flat, flatHi } = w.memory;
  const near = flatHi - 1;
  // Bits of an entry's high half that lead out of near memory.
  const far = ~near & 0xfffff;
  if (
    f.levels !== 4 ||
    s.levels !== 4 ||
    s.rights !== 3 ||
    s.ad ||
    f.accessed !== 0x20 ||
    (need & (ANY_DATA | EXEC)) !== 0
  )
    return false;
  if (((f.baseHi & far) | (s.baseHi & far) | s.leafReserved | s.inMaskLo | (s.inMaskHi & near)) !== 0) return false;
  const root = flat[(s.baseHi << 20) | (s.baseLo >>> 12)]!;
  const inPage = (inHi << 20) | (inLo >>> 12);
  // Guest page of the first-stage table, then of the output; its level-4 index is 0, being near.
  let page = (f.baseHi << 20) | (f.baseLo >>> 12);
  let index = (inHi >>> 6) & 1022;
  // What all low halves have in common, and what any has: of the second stage, of its tables, of the first stage.
  let common = -1;
  let tables = 0;
  let common1 = -1;
  let tables1 = 0;
  let high = 0;
  let high1 = 0;
  let lo = 0;
  let hi = 0;
  let lo1 = 0;
  for (let shift = 17; ; shift -= 9) {
    lo = words[root]!;
    hi = words[root + 1]!;
    let all = lo;
    let any = lo;
    high |= hi;
    let i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((page >>> 17) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    all &= lo;
    any |= lo;
    high |= hi;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((page >>> 8) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    all &= lo;
    tables |= any | lo;
    high |= hi;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | ((page << 1) & 1022);
    lo = words[i]!;
    hi = words[i + 1]!;
    common &= all & lo;
    high |= hi;
    if (shift < -18) break;
    tables1 |= lo1;
    i = flat[((hi & near) << 20) | (lo >>> 12)]! | index;
    index = shift < 0 ? (inPage << 1) & 1022 : (inPage >>> shift) & 1022;
    lo1 = words[i]!;
    const hi1 = words[i + 1]!;
    common1 &= lo1;
    high1 |= hi1;
    page = ((hi1 & near) << 20) | (lo1 >>> 12);
  }
  if (
    ((~common & READ_WRITE) |
      (tables & LARGE_OR_SNP) |
      (high & (far | 0x40000000)) |
      (~common1 & PRESENT_ACCESSED) |
      (tables1 & LARGE) |
      (high1 & far)) !==
    0
  )
    return false;
  const acc = (common1 & (ACC_WRITE | ACC_USER)) | (high1 < 0 ? 0 : ACC_EXEC);
  let perms = firstPerms(f, acc);
  // A user request needs the user bit, which alone gives it reading.
  if (((priv ? perms >>> PRIV_SHIFT : perms) & (need | 1)) !== (need | 1)) return false;
  if ((lo1 & DIRTY) === 0) {
    if ((need & WRITE) !== 0) return false;
    if ((perms & (WRITE | (WRITE << PRIV_SHIFT))) !== 0) perms |= FS_CLEAN;
  }
  w.gpaHi = page >>> 20;
  w.gpaLo = (lo1 & -4096) | (inLo & 0xfff);
  w.outHi = hi & 0xfffff;
  w.outLo = (lo & -4096) | (inLo & 0xfff);
  w.reads += 24;
  w.perms = perms | (7 << SS_SHIFT) | ((lo & SNP) !== 0 ? SNOOP : 0);
  w.leafShift = 12;
  w.level = 1;
  return true;
}
