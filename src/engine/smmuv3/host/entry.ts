import type { Bus } from '../../memory/index.ts';

/**
 * How Linux changes a stream table entry or context descriptor under a running SMMU (arm-smmu-v3.c arm_smmu_write_entry):
 * in groups of 64-bit words with an invalidation after each, so that hardware never sees a mixture. Both have eight words.
 */

export const ENTRY_WORDS = 8;

/** One group of writes: word index and value. Words that hold the value already are not written. */
export type EntryStep = readonly (readonly [index: number, value: bigint])[];

const each = (f: (i: number) => bigint): bigint[] => Array.from({ length: ENTRY_WORDS }, (_, i) => f(i));
const whole = (words: readonly bigint[], from = 0): EntryStep => words.map((w, i) => [i, w] as const).slice(from);

/** Fields of an STE that hardware looks at, as a mask (arm_smmu_get_ste_used). */
export function steUsed(ste: readonly bigint[]): bigint[] {
  const used = each(() => 0n);
  used[0] = 1n;
  if (!(ste[0]! & 1n)) return used;
  const config = (ste[0]! >> 1n) & 7n;
  used[0] |= 0xen;
  if (config & 1n) {
    used[0] |= 0xf80ffffffffffff0n;
    // S1DSS, S1CIR, S1COR, S1CSH, MEV, S1STALLD, EATS, STRW.
    used[1]! |= 0xf80800ffn;
    used[2]! |= 0xffffn;
    if ((ste[1]! & 3n) === 1n) used[1]! |= STE_SHCFG;
  }
  if (config & 2n) {
    // MEV, S2FWB, EATS.
    used[1]! |= 0x32080000n | STE_SHCFG;
    // S2VMID, walk parameters, S2AA64, S2ENDI, S2PTW, S2S, S2R.
    used[2]! |= 0xffffn | (0x7ffffn << 32n) | (1n << 51n) | (1n << 52n) | (1n << 54n) | (1n << 57n) | (1n << 58n);
    used[3]! |= 0xffffffffffff0n;
  }
  if (config === 4n) used[1]! |= STE_SHCFG;
  return used;
}

const STE_SHCFG = 3n << 44n;
const STE_MEV = 1n << 19n;
const STE_EATS_TRANS = 1n << 28n;
const STE_EATS_S1CHK = 1n << 29n;
const STE_S2S = 1n << 57n;

/**
 * Fields of an STE that may change at any moment although hardware looks at them (arm_smmu_get_ste_update_safe): MEV; and
 * EATS, since ATS is switched at the device around the change, unless split-stage ATS or stalls are involved.
 */
export function steSafe(current: readonly bigint[], target: readonly bigint[]): bigint[] {
  const safe = each(() => 0n);
  safe[1] = STE_MEV;
  if (!((current[1]! | target[1]!) & STE_EATS_S1CHK) && !((current[2]! | target[2]!) & STE_S2S))
    safe[1] |= STE_EATS_TRANS;
  return safe;
}

const CD_V = 1n << 31n;
const CD_EPD0 = 1n << 14n;
const ALL = 0xffffffffffffffffn;

/** Fields of a CD that hardware looks at (arm_smmu_get_cd_used): all of a valid one, but TTB0's half when EPD0 is set. */
export function cdUsed(cd: readonly bigint[]): bigint[] {
  if (!(cd[0]! & CD_V)) return each((i) => (i === 0 ? CD_V : 0n));
  const used = each(() => ALL);
  if (cd[0]! & CD_EPD0) {
    // T0SZ, TG0, IR0, OR0, SH0; TTB0.
    used[0]! &= ~0x3fffn;
    used[1]! &= ~0xffffffffffff0n;
  }
  return used;
}

/** A CD has no field that is safe to change at any moment. */
export const cdSafe = (): bigint[] => each(() => 0n);

/**
 * The groups of writes that lead from `current` to `target`. If, after all unused bits have changed, the used bits of one
 * word only differ, that word is written by itself and hardware sees either the old or the new entry. Otherwise the valid
 * bit goes first and comes back last.
 */
export function entrySteps(
  current: readonly bigint[],
  target: readonly bigint[],
  currentUsed: readonly bigint[],
  targetUsed: readonly bigint[],
  safe: readonly bigint[],
): EntryStep[] {
  const unused = each((i) => {
    const inUse = currentUsed[i]! & ~(safe[i]! & targetUsed[i]! & currentUsed[i]!);
    return (current[i]! & inUse) | (target[i]! & ~inUse & ALL);
  });
  const differ = [...unused.keys()].filter((i) => (unused[i]! & targetUsed[i]!) !== target[i]!);
  if (differ.length === 0) return [whole(target)];
  if (differ.length === 1) {
    const critical = differ[0]!;
    unused[critical] = current[critical]!;
    return [whole(unused), [[critical, target[critical]!]], whole(target)];
  }
  return [[[0, 0n]], whole(target, 1), [[0, target[0]!]]];
}

export function readEntry(bus: Bus, address: number): bigint[] {
  return each((i) => bus.readWord(address + i * 8));
}

/**
 * Carries the groups out, words of a group in ascending order. Yields the indices written after each group that changed
 * something; the caller invalidates before it goes on.
 */
export function* writeEntry(bus: Bus, address: number, steps: readonly EntryStep[]): Generator<number[], void, void> {
  for (const step of steps) {
    const changed: number[] = [];
    for (const [i, value] of step) {
      if (bus.readWord(address + i * 8) === value) continue;
      bus.writeWord(address + i * 8, value);
      changed.push(i);
    }
    if (changed.length) yield changed;
  }
}

/** `DW0`, `DW1..3`, `DW1, DW3` */
export function wordsText(indices: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < indices.length; ) {
    let j = i;
    while (j + 1 < indices.length && indices[j + 1] === indices[j]! + 1) j++;
    parts.push(j === i ? `DW${indices[i]}` : `DW${indices[i]}..${indices[j]}`);
    i = j + 1;
  }
  return parts.join(', ');
}
