import type { EntryNames } from './table-steps.ts';
import { descriptorLayout, type Granule as GranuleLog2 } from './vmsav8-layout.ts';

export { sizeText } from './page-sizes.ts';

/**
 * The numbers behind a VMSAv8-64 table as Linux builds it: geometry, walk parameters and attribute bits.
 * Source: drivers/iommu/io-pgtable-arm.c (arm_lpae_alloc_pgtable, arm_64_lpae_alloc_pgtable_s1/s2, arm_lpae_prot_to_pte).
 */

/** What a mapping may be used for; the values are the kernel's IOMMU_READ, IOMMU_WRITE, ... */
export const Prot = { read: 1, write: 2, cache: 4, noexec: 8, mmio: 16, priv: 32 } as const;

/** Read, write, cacheable: what iommufd and the DMA layer of a coherent device ask for. */
export const protReadWriteCached = Prot.read | Prot.write | Prot.cache;

export type Granule = 4096 | 16384 | 65536;

export interface TableConfig {
  readonly stage: 1 | 2;
  /** Width of the input address: 48 for a Linux stage 1; the SMMU's OAS (48 at most with 4K and 16K) for stage 2. */
  readonly inputBits: number;
  /** Width of the output address. */
  readonly outputBits: number;
  readonly granule?: Granule;
  /** False when the walker doesn't snoop CPU caches; changes only the cacheability of the walk. */
  readonly coherent?: boolean;
  /** Stage 2 only: encode for an STE with S2FWB=1. */
  readonly fwb?: boolean;
  /** Stage 1 only: what can be written carries DBM, for hardware dirty state (IO_PGTABLE_QUIRK_ARM_HD). */
  readonly hd?: boolean;
}

/** Of an SMMU, what decides the shape of tables: log2 granules, address sizes. */
export interface TableLimits {
  readonly granules: readonly number[];
  readonly oas: number;
  /** 52-bit input addresses at stage 1. */
  readonly vax?: boolean;
}

/**
 * Granule of a kernel with pages of that size: the page itself, else the largest smaller one that the SMMU has, else the
 * smallest larger one. Source: io-pgtable-arm.c arm_lpae_restrict_pgsizes.
 */
export function linuxGranule(granules: readonly number[], page: number): Granule {
  const sizes = granules.map((g) => 2 ** g).sort((a, b) => a - b);
  const fitting = sizes.filter((s) => s <= page);
  const granule = fitting.at(-1) ?? sizes[0];
  if (granule === undefined) throw new Error('an SMMU without a granule has no tables');
  return granule as Granule;
}

/**
 * Sizes of a paging domain's table as Linux chooses them. A granule of 4 or 16 KiB has 48 bits at most; stage 1 translates
 * all of them, stage 2 what the SMMU can output. Source: arm-smmu-v3.c arm_smmu_domain_finalise, io-pgtable-arm.c
 * arm_lpae_restrict_pgsizes.
 * @param page the kernel's page size in bytes
 */
export function linuxTable(stage: 1 | 2, f: TableLimits, page: number): TableConfig {
  const granule = linuxGranule(f.granules, page);
  const most = granule === 65536 ? 52 : 48;
  const outputBits = Math.min(f.oas, most);
  const inputBits = stage === 2 ? outputBits : Math.min(f.vax ? 52 : 48, most);
  return { stage, inputBits, outputBits, granule };
}

export interface TableGeometry {
  readonly granule: Granule;
  readonly granuleLg2: number;
  /** Index bits of a whole table: 9, 11 or 13. */
  readonly bitsPerLevel: number;
  readonly startLevel: number;
  /** Entries of the start table, all concatenated tables together. */
  readonly rootEntries: number;
  readonly rootBytes: number;
  /** Leaf sizes in bytes, smallest first. */
  readonly pageSizes: readonly number[];
}

/** Fields for STE or CD; for stage 2 `sl0` and `vtcr` too. */
export interface WalkParameters {
  readonly tsz: number;
  /** TG0/S2TG code: 0 4K, 1 64K, 2 16K. */
  readonly tg: number;
  readonly irgn: number;
  readonly orgn: number;
  readonly sh: number;
  /** IPS or S2PS code of the output width. */
  readonly ps: number;
  readonly sl0: number;
  /** STE.DW2[50:32] as one number: S2T0SZ, S2SL0, S2IR0, S2OR0, S2SH0, S2TG, S2PS. */
  readonly vtcr: number;
}

const outputCodes: Readonly<Record<number, number>> = { 32: 0, 36: 1, 40: 2, 42: 3, 44: 4, 48: 5, 52: 6 };

/** Start level, size of the first table and leaf sizes; stage 2 concatenates start tables only where the kernel must. */
export function tableGeometry(cfg: TableConfig): TableGeometry {
  const granule = cfg.granule ?? 4096;
  const granuleLg2 = Math.log2(granule);
  const bitsPerLevel = granuleLg2 - 3;
  const levels = Math.ceil((cfg.inputBits - granuleLg2) / bitsPerLevel);
  let startLevel = 4 - levels;
  let rootBits = cfg.inputBits - granuleLg2 - bitsPerLevel * (levels - 1);
  if (cfg.stage === 2 && mustConcatenate(cfg, granule, startLevel)) {
    startLevel++;
    rootBits += bitsPerLevel;
  }
  const sizes: Record<Granule, number[]> = {
    4096: [4096, 2 ** 21, 2 ** 30],
    16384: [16384, 2 ** 25],
    65536: cfg.outputBits > 48 ? [65536, 2 ** 29, 2 ** 42] : [65536, 2 ** 29],
  };
  const rootEntries = 2 ** rootBits;
  return {
    granule,
    granuleLg2,
    bitsPerLevel,
    startLevel,
    rootEntries,
    rootBytes: rootEntries * 8,
    pageSizes: sizes[granule],
  };
}

/** io-pgtable-arm.c arm_lpae_concat_mandatory: the sizes for which the architecture has no other start level. */
function mustConcatenate(cfg: TableConfig, granule: Granule, startLevel: number): boolean {
  const { inputBits: ias, outputBits: oas } = cfg;
  if (granule === 4096) return startLevel === 0 && (oas === 40 || oas === 42);
  if (granule === 16384 && startLevel === 0) return oas === 48 || ias === 48;
  return granule === 16384 && startLevel === 1 && oas === 40;
}

/** What goes into the STE (stage 2) or CD (stage 1) next to the table's address. */
export function walkParameters(cfg: TableConfig): WalkParameters {
  const g = tableGeometry(cfg);
  const coherent = cfg.coherent ?? true;
  const tsz = 64 - cfg.inputBits;
  const tg = { 4096: 0, 65536: 1, 16384: 2 }[g.granule];
  const irgn = coherent ? 1 : 0;
  const sh = coherent ? 3 : 2;
  const ps = outputCodes[cfg.outputBits];
  if (ps === undefined) throw new Error(`no output size code for ${cfg.outputBits} bits`);
  const sl0 = (g.granule === 4096 ? 2 : 3) - g.startLevel;
  const vtcr = tsz | (sl0 << 6) | (irgn << 8) | (irgn << 10) | (sh << 12) | (tg << 14) | (ps << 16);
  return { tsz, tg, irgn, orgn: irgn, sh, ps, sl0, vtcr };
}

/** Layout id of a descriptor of such a table: a table descriptor, or a leaf, which is a page at level 3. */
export function layoutId(cfg: TableConfig, level: number, leaf: boolean): string {
  const type = leaf && level < 3 ? 1 : 3;
  const granule = Math.log2(cfg.granule ?? 4096) as GranuleLog2;
  return descriptorLayout(cfg.stage, level, type, granule, cfg.outputBits > 48).id;
}

/** How a table of this configuration calls its descriptors. */
export const entryNames = (cfg: TableConfig): EntryNames => ({
  layout: (level, leaf) => layoutId(cfg, level, leaf),
  leafName: (level) => (level === 3 ? 'page' : 'block'),
});

/** MAIR_EL1-style attributes of the kernel's stage 1: index 0 NC, 1 write-back, 2 Device-nGnRE, 3 inner NC outer WB. */
export const linuxMair = 0xf404ff44n;

const AF = 1 << 10;
const nG = 1 << 11;
/** Bit 51 in the high half. */
const DBM = 1 << 19;

/**
 * Bits 11:0 of a leaf but its type, as arm_lpae_prot_to_pte; `Prot.noexec` adds bits 54:53 and `hd` DBM (51) to what can be
 * written, returned as `high` (bits 63:32). `prot` has at least one of read and write. Linux sets no contiguous hint.
 */
export function leafAttributes(cfg: TableConfig, prot: number): { low: number; high: number } {
  let low = AF | ((prot & Prot.cache ? 3 : 2) << 8);
  let high = prot & Prot.noexec ? 3 << 21 : 0;
  if (cfg.stage === 1) {
    low |= nG;
    if (!(prot & Prot.write)) low |= 1 << 7;
    else if (cfg.hd) high |= DBM;
    if (!(prot & Prot.priv)) low |= 1 << 6;
    if (prot & Prot.mmio) low |= 2 << 2;
    else if (prot & Prot.cache) low |= 1 << 2;
  } else {
    if (prot & Prot.read) low |= 1 << 6;
    if (prot & Prot.write) low |= 1 << 7;
    if (prot & Prot.mmio) low |= 1 << 2;
    else if (prot & Prot.cache) low |= (cfg.fwb ? 0x6 : 0xf) << 2;
    else low |= 0x5 << 2;
  }
  return { low, high };
}

/**
 * The page size that iommu_map and iommu_unmap choose and how many of them in a row, as drivers/iommu/iommu.c iommu_pgsize:
 * the largest that the alignment of both addresses and the length allow, stopping where a larger one becomes possible.
 * @returns null when not even the smallest fits
 */
export function choosePages(
  sizes: readonly number[],
  iova: number,
  oa: number,
  size: number,
): { size: number; count: number } | null {
  let i = sizes.length - 1;
  while (i >= 0 && (sizes[i]! > size || iova % sizes[i]! !== 0 || oa % sizes[i]! !== 0)) i--;
  const page = sizes[i];
  if (page === undefined) return null;
  const next = sizes[i + 1];
  let span = size;
  if (next !== undefined && iova % next === oa % next) {
    const offset = next - (iova % next);
    if (offset + next <= size) span = offset;
  }
  return { size: page, count: Math.floor(span / page) };
}
