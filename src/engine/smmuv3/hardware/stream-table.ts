import { fieldOf, getField } from '../../bits/index.ts';
import type { Bus } from '../../memory/index.ts';
import { l1stdLayout, registerByName } from '../layout/index.ts';

export type StreamTableError = 'C_BAD_STREAMID' | 'F_STE_FETCH';

/** Where an STE lies, with the level-1 descriptor when the table has two levels. */
export type SteLocation =
  | { readonly address: number; readonly l1Address: number; readonly l1: bigint }
  | { readonly error: StreamTableError; readonly address: number };

const cfg = registerByName('STRTAB_BASE_CFG')!.layout;
const base = registerByName('STRTAB_BASE')!.layout;
const cfgField = (v: bigint, name: string): number => Number(getField(fieldOf(cfg, name), [v]));

/** A stream table as the registers describe it. */
export interface StreamTable {
  readonly base: number;
  /** StreamIDs below 2^log2Size are in range. */
  readonly log2Size: number;
  readonly split: number;
  readonly twoLevel: boolean;
}

/**
 * STRTAB_BASE and STRTAB_BASE_CFG as numbers; SPLIT values other than 6, 8, 10 behave as 6, FMT values other than 1 as
 * linear. Source: Arm IHI 0070, 6.3.24, 6.3.25.
 * @param sidBits IDR1.SIDSIZE, which caps LOG2SIZE except for the alignment of the base
 * @param levels whether IDR0.ST_LEVEL allows two-level tables
 */
export function streamTableGeometry(
  strtabBase: bigint,
  strtabBaseCfg: bigint,
  sidBits = 32,
  levels = true,
): StreamTable {
  const split = cfgField(strtabBaseCfg, 'SPLIT');
  const log2Size = cfgField(strtabBaseCfg, 'LOG2SIZE');
  const twoLevel = levels && cfgField(strtabBaseCfg, 'FMT') === 1;
  const legalSplit = split === 8 || split === 10 ? split : 6;
  const bytes = twoLevel ? 2 ** Math.max(log2Size - legalSplit, 0) * 8 : 2 ** log2Size * 64;
  const raw = Number(getField(fieldOf(base, 'ADDR'), [strtabBase]));
  // The base is aligned to the table's size; lower bits are ignored.
  return {
    base: raw - (raw % Math.max(bytes, 64)),
    log2Size: Math.min(log2Size, sidBits),
    split: legalSplit,
    twoLevel,
  };
}

/**
 * Finds the STE of a StreamID, linear or two-level.
 * Source: Arm IHI 0070, 3.3.1 and 5.1 (Span, C_BAD_STREAMID), 7.3.3.
 * @param bus what the addresses mean: host memory for hardware, guest memory for an emulated SMMU
 */
export function locateSte(bus: Bus, g: StreamTable, sid: number): SteLocation {
  if (sid >= 2 ** g.log2Size) return { error: 'C_BAD_STREAMID', address: -1 };
  if (!g.twoLevel) {
    const address = g.base + sid * 64;
    return bus.contains(address, 64) ? { address, l1Address: -1, l1: 0n } : { error: 'F_STE_FETCH', address };
  }
  const l1Address = g.base + Math.floor(sid / 2 ** g.split) * 8;
  if (!bus.contains(l1Address)) return { error: 'F_STE_FETCH', address: l1Address };
  return steOfL1(bus, g.split, sid, l1Address, bus.readWord(l1Address));
}

/** Second half of the look-up, from a level-1 descriptor that was just read or is cached. */
export function steOfL1(bus: Bus, split: number, sid: number, l1Address: number, l1: bigint): SteLocation {
  const span = Number(getField(fieldOf(l1stdLayout, 'Span'), [l1]));
  const index = sid % 2 ** split;
  if (span === 0 || span > 11 || span > split + 1 || index >= 2 ** (span - 1))
    return { error: 'C_BAD_STREAMID', address: l1Address };
  const bytes = 2 ** (span - 1) * 64;
  const raw = Number(getField(fieldOf(l1stdLayout, 'L2Ptr'), [l1]));
  const address = raw - (raw % bytes) + index * 64;
  return bus.contains(address, 64) ? { address, l1Address, l1 } : { error: 'F_STE_FETCH', address };
}
