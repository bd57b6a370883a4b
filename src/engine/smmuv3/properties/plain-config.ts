import { bits, flag, num } from '../../properties/words.ts';
import { lowestBit, type PlainStage1, type PlainStage2 } from './plain-stage.ts';

/** What the ID registers say, field by field (Arm IHI 0070, chapter 6). */
export interface PlainFeatures {
  readonly s1p: boolean;
  readonly s2p: boolean;
  readonly httu: number;
  readonly hyp: boolean;
  readonly ats: boolean;
  readonly ns1ats: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  readonly cd2l: boolean;
  readonly stallModel: number;
  readonly termModel: boolean;
  readonly stLevel: number;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly xnx: boolean;
  readonly had: boolean;
  readonly stt: boolean;
  readonly oas: number;
  readonly granules: readonly number[];
  readonly vax: boolean;
}

const sizes = [32, 36, 40, 42, 44, 48, 52, 52] as const;

export function plainFeatures(idr: readonly number[]): PlainFeatures {
  const [r0, r1, , r3, , r5] = idr.map((x) => BigInt(x >>> 0)) as [bigint, bigint, bigint, bigint, bigint, bigint];
  return {
    s2p: flag(r0, 0),
    s1p: flag(r0, 1),
    httu: num(r0, 7, 6),
    hyp: flag(r0, 9),
    ats: flag(r0, 10),
    ns1ats: flag(r0, 11),
    asid16: flag(r0, 12),
    vmid16: flag(r0, 18),
    cd2l: flag(r0, 19),
    stallModel: num(r0, 25, 24),
    termModel: flag(r0, 26),
    stLevel: num(r0, 28, 27),
    sidBits: num(r1, 5, 0),
    ssidBits: num(r1, 10, 6),
    had: flag(r3, 2),
    xnx: flag(r3, 4),
    stt: flag(r3, 9),
    oas: sizes[num(r5, 2, 0)]!,
    granules: [flag(r5, 4) ? 12 : 0, flag(r5, 5) ? 14 : 0, flag(r5, 6) ? 16 : 0].filter((g) => g > 0),
    vax: num(r5, 11, 10) === 1,
  };
}

/** Output size of a stage: the code of the table, the implementation's limit, and 52 bits with the 64 KiB granule only. */
const outputBits = (f: PlainFeatures, code: number, granule: number): number =>
  Math.min(sizes[code]!, f.oas, granule === 16 ? 52 : 48);

const largestSize = (f: PlainFeatures, granule: number): number => (f.stt ? (granule === 16 ? 47 : 48) : 39);

/** Stage 2 as an STE says; null: these fields are ILLEGAL. Source: IHI 0070 5.2; DDI 0487, S2InvalidSL, S2InconsistentSL. */
export function plainStage2(f: PlainFeatures, ste: readonly bigint[]): PlainStage2 | null {
  const d2 = ste[2]!;
  const granule = [12, 16, 14, 0][num(d2, 47, 46)]!;
  if (!f.granules.includes(granule)) return null;
  if (!flag(d2, 51) || flag(d2, 52)) return null;
  if (!f.vmid16 && bits(d2, 15, 8) !== 0n) return null;
  const t0sz = num(d2, 37, 32);
  const smallest = granule === 16 && f.oas === 52 ? 12 : 16;
  if (t0sz < smallest || t0sz > largestSize(f, granule)) return null;
  const inputBits = 64 - t0sz;
  if (inputBits > f.oas) return null;
  const sl0 = num(d2, 39, 38);
  let start: number;
  if (granule === 12) {
    if (sl0 === 3 && !f.stt) return null;
    if (sl0 === 2 && f.oas < 44) return null;
    start = sl0 === 3 ? 3 : 2 - sl0;
  } else {
    if (sl0 === 3) return null;
    if (sl0 === 2 && f.oas < (granule === 14 ? 42 : 44)) return null;
    start = 3 - sl0;
  }
  // The first level decodes one bit at least, and at most its own index and the number of one of sixteen tables.
  const decoded = inputBits - lowestBit(granule, start);
  if (decoded < 1 || decoded > granule - 3 + 4) return null;
  const hd = flag(d2, 55);
  const ha = flag(d2, 56);
  if ((ha && f.httu < 1) || (hd && f.httu < 2)) return null;
  const stalls = flag(d2, 57);
  if ((stalls && f.stallModel === 1) || (!stalls && f.stallModel === 2)) return null;
  const out = outputBits(f, num(d2, 50, 48), granule);
  const base = bits(ste[3]!, 51, 4) << 4n;
  if (base >> BigInt(out) !== 0n) return null;
  return {
    base,
    granule,
    start,
    inputBits,
    outputBits: out,
    oas: f.oas,
    affd: flag(d2, 53),
    ha,
    hd,
    ptw: flag(d2, 54),
    xnx: f.xnx,
  };
}

/** STRW counts without stage 2 only, and is RES0 without EL2. */
export const streamWorld = (f: PlainFeatures, ste: readonly bigint[]): number =>
  f.hyp && num(ste[0]!, 3, 1) === 5 ? num(ste[1]!, 31, 30) : 0;

/** S1CDMax is ignored without substreams. */
export const cdMaxOf = (f: PlainFeatures, ste: readonly bigint[]): number =>
  f.ssidBits === 0 ? 0 : num(ste[0]!, 63, 59);

/** True when an STE with V = 1 that translates is ILLEGAL, stage 2's own fields aside. */
export function illegalStage1Ste(f: PlainFeatures, ste: readonly bigint[]): boolean {
  const config = num(ste[0]!, 3, 1);
  if (!f.s1p) return true;
  const cdMax = cdMaxOf(f, ste);
  if (cdMax > f.ssidBits) return true;
  // Format 3 is reserved and behaves as 0, the linear table.
  if (cdMax > 0 && !f.cd2l && [1, 2].includes(num(ste[0]!, 5, 4))) return true;
  // 3.4.3: a pointer beyond the output size (beyond the intermediate size with stage 2, which is the same).
  if ((bits(ste[0]!, 51, 6) << 6n) >> BigInt(f.oas) !== 0n) return true;
  if (flag(ste[1]!, 27) && f.stallModel !== 0) return true;
  if (config !== 5) return false;
  const strw = streamWorld(f, ste);
  // A VMID tags the entries of NS-EL1 also where stage 2 is bypassed.
  return strw === 1 || strw === 3 || (strw === 0 && f.s2p && !f.vmid16 && bits(ste[2]!, 15, 8) !== 0n);
}

/** True when EATS of a translating STE is ILLEGAL. */
export function illegalEats(f: PlainFeatures, ste: readonly bigint[]): boolean {
  if (!f.ats) return false;
  const config = num(ste[0]!, 3, 1);
  const eats = num(ste[1]!, 29, 28);
  const s2s = flag(ste[2]!, 57);
  if (eats === 1) return config >= 6 && s2s;
  return eats === 2 && (config !== 7 || s2s || f.ns1ats);
}

export interface PlainCd {
  /** Tables of the lower and the upper half; null: EPD. */
  readonly low: PlainStage1 | null;
  readonly high: PlainStage1 | null;
  readonly tbi0: boolean;
  readonly tbi1: boolean;
  readonly s: boolean;
  readonly r: boolean;
  readonly a: boolean;
}

/** A CD; null: C_BAD_CD. `regime`: EL1, EL2 (one half, no privilege levels), EL2-E2H. Source: IHI 0070 5.4. */
export function plainCd(
  f: PlainFeatures,
  cd: readonly bigint[],
  regime: 'EL1' | 'EL2' | 'EL2-E2H',
  stallDisabled: boolean,
): PlainCd | null {
  const d = cd[0]!;
  if (!flag(d, 31)) return null;
  if (!flag(d, 41)) return null;
  const single = regime === 'EL2';
  // The endianness counts where there is a table to walk.
  if (flag(d, 15) && (single || !flag(d, 14) || !flag(d, 30))) return null;
  // EL2 without E2H has no ASID.
  if (!f.asid16 && regime !== 'EL2' && bits(d, 63, 56) !== 0n) return null;
  const a = flag(d, 46);
  if (!a && f.termModel) return null;
  const s = flag(d, 44);
  if (s && (f.stallModel === 1 || stallDisabled)) return null;
  if (!s && f.stallModel === 2) return null;
  const hd = flag(d, 42);
  const ha = flag(d, 43);
  if ((ha && f.httu < 1) || (hd && f.httu < 2)) return null;
  const half = (size: number, granule: number, base: bigint, had: boolean): PlainStage1 | null => {
    if (!f.granules.includes(granule)) return null;
    const smallest = granule === 16 && f.vax ? 12 : 16;
    if (size < smallest || size > largestSize(f, granule)) return null;
    const inputBits = 64 - size;
    let start = 3;
    while (lowestBit(granule, start) + granule - 3 < inputBits) start--;
    const out = outputBits(f, num(d, 34, 32), granule);
    if (base >> BigInt(out) !== 0n) return null;
    return {
      base,
      granule,
      start,
      inputBits,
      outputBits: out,
      oas: f.oas,
      affd: flag(d, 35),
      ha,
      hd,
      had: had && f.had,
      wxn: flag(d, 36),
      pan: flag(d, 40) && !single,
      single,
    };
  };
  let low: PlainStage1 | null = null;
  let high: PlainStage1 | null = null;
  if (single || !flag(d, 14)) {
    const g = [12, 16, 14, 0][num(d, 7, 6)]!;
    low = half(num(d, 5, 0), g, bits(cd[1]!, 51, 4) << 4n, flag(cd[1]!, 1));
    if (!low) return null;
  }
  if (!single && !flag(d, 30)) {
    const g = [0, 14, 12, 16][num(d, 23, 22)]!;
    high = half(num(d, 21, 16), g, bits(cd[2]!, 51, 4) << 4n, flag(cd[2]!, 1));
    if (!high) return null;
  }
  return { low, high, tbi0: flag(d, 38), tbi1: flag(d, 39), s, r: flag(d, 45), a };
}
