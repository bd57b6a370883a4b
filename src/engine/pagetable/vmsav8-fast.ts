import { PAGE_WORDS } from '../memory/index.ts';
import type { Vmsav8Walker } from './vmsav8.ts';
import { EXEC, leafPerms, PRIV_SHIFT, S2_SHIFT, type StageConfig, UNPRIV_SHIFT, WRITE } from './vmsav8-stage.ts';

/**
 * Index of the stage-2 leaf of an intermediate page, through four levels of near memory; 0 when anything is out of the
 * ordinary. A page number below 2^22 has no level-0 index; a missing table leads to the zero page, which is invalid.
 */
function nearLeaf(page: number, root: number, words: Int32Array, flat: Int32Array, far: number): number {
  let i = root;
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page >>> 17) & 1022);
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page >>> 8) & 1022);
  if ((words[i]! & 3) !== 3 || (words[i + 1]! & far) !== 0) return 0;
  i = (flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10) | ((page << 1) & 1022);
  // Valid page, accessed, readable, not Device memory.
  return (words[i]! & 0x443) !== 0x443 || (words[i]! & 0x30) === 0 || (words[i + 1]! & far) !== 0 ? 0 : i;
}

/** First word of a readable intermediate page, or a number below PAGE_WORDS. */
function nearPage(page: number, root: number, words: Int32Array, flat: Int32Array, far: number): number {
  const i = nearLeaf(page, root, words, flat, far);
  return i === 0 ? 0 : flat[(words[i + 1]! << 20) | (words[i]! >>> 12)]! << 10;
}

/**
 * The nested walk when nothing is out of the ordinary: 4 KiB granule and pages, four levels each, no cache, no listener,
 * everything in near memory, no fault, no restriction by a table descriptor. In every other case it gives up without a
 * trace and the general walk decides; a test holds the two equal. It works on page numbers, which fit an integer.
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
  // Bits of a descriptor's high half that lead out of near memory, or restrict what lies below a table (62:59).
  const far = ~(w.memory.flatHi - 1) & 0xffff;
  if (s1.firstMask !== 511 || s2.firstMask !== 511 || s1.startLevel !== 0 || s2.startLevel !== 0) return false;
  if (
    ((s1.granule ^ 12) |
      (s2.granule ^ 12) |
      (s1.outMaskHi & 15) |
      (s2.outMaskHi & 15) |
      (s1.baseHi & far) |
      (s2.baseHi & far)) !==
    0
  )
    return false;
  const page = (vaHi << 20) | (vaLo >>> 12);
  const root = flat[(s2.baseHi << 20) | (s2.baseLo >>> 12)]! << 10;
  let i = nearPage((s1.baseHi << 20) | (s1.baseLo >>> 12), root, words, flat, far) | ((vaHi >>> 6) & 1022);
  if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
  i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page >>> 17) & 1022);
  if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
  i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page >>> 8) & 1022);
  if (i < PAGE_WORDS || (words[i]! & 3) !== 3 || (words[i + 1]! & (0x78000000 | far)) !== 0) return false;
  i = nearPage((words[i + 1]! << 20) | (words[i]! >>> 12), root, words, flat, far) | ((page << 1) & 1022);
  if (i < PAGE_WORDS) return false;
  const lo = words[i]!;
  const hi = words[i + 1]!;
  if ((lo & 0x403) !== 0x403 || (hi & far) !== 0) return false;
  const perms = leafPerms(s1, lo, hi);
  if ((need & ~(perms >>> (priv ? PRIV_SHIFT : UNPRIV_SHIFT))) !== 0) return false;
  i = nearLeaf((hi << 20) | (lo >>> 12), root, words, flat, far);
  if (i === 0 || ((need & WRITE) !== 0 && (words[i]! & 0x80) === 0)) return false;
  const exec = (words[i + 1]! & 0x400000) === 0 ? EXEC << S2_SHIFT : 0;
  if ((need & EXEC) !== 0 && exec === 0) return false;
  w.ipaHi = hi & 0xffff;
  w.ipaLo = (lo & -4096) | (vaLo & 0xfff);
  w.outHi = words[i + 1]! & 0xffff;
  w.outLo = (words[i]! & -4096) | (vaLo & 0xfff);
  w.reads += 24;
  w.perms = perms | ((words[i]! & 0xc0) << (S2_SHIFT - 6)) | exec;
  w.s1Shift = 12;
  w.leafShift = 12;
  w.level = 3;
  return true;
}
