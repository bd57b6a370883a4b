import { fieldOf, getField } from '../../bits/index.ts';
import { registerByName } from '../layout/index.ts';
import type { UnitContext } from './state.ts';

const STE_BYTES = 64;
const BASE_MASK = 0xfffffffffffe0n;
const SID_BITS = 16;

const cfg = registerByName('STRTAB_BASE_CFG')!.layout;
const cfgField = (value: bigint, name: string): number => Number(getField(fieldOf(cfg, name), [value]));

const alignDown = (v: bigint, bits: number): bigint => (v >> BigInt(bits)) << BigInt(bits);

/** What a write of STRTAB_BASE_CFG changes beside the register: once FMT was 1 the table has two levels until a reset. */
export function noteTableFormat(u: UnitContext, value: bigint): void {
  if (cfgField(value, 'FMT') === 1) u.state.twoLevel = { split: cfgField(value, 'SPLIT') };
}

/**
 * Reads a guest's STE as the model does (hw/arm/smmuv3.c smmu_find_ste): a linear base is aligned to half of the table's size
 * only, any SPLIT is taken, and a level-1 descriptor's Span bounds nothing but the index.
 * @returns the STE's eight words, null when there is none: StreamID out of range, empty descriptor, no memory
 */
export function findSte(u: UnitContext, sid: number): bigint[] | null {
  const r = u.state.registers;
  const log2size = cfgField(r['STRTAB_BASE_CFG'] ?? 0n, 'LOG2SIZE');
  if (sid >= 2 ** Math.min(log2size, SID_BITS)) return null;
  const base = (r['STRTAB_BASE'] ?? 0n) & BASE_MASK;
  const { memory } = u.vmm;
  let address: number;
  if (u.state.twoLevel) {
    const { split } = u.state.twoLevel;
    const l1 = Number(alignDown(base, Math.max(5, log2size - split - 1 + 3))) + Math.floor(sid / 2 ** split) * 8;
    if (!memory.contains(l1, 8)) return null;
    const descriptor = memory.readWord(l1);
    const span = Number(descriptor & 31n);
    const index = sid % 2 ** split;
    if (span === 0 || index > 2 ** span - 1) return null;
    address = Number(descriptor & ~31n) + index * STE_BYTES;
  } else {
    address = Number(alignDown(base, log2size + 5)) + sid * STE_BYTES;
  }
  if (!memory.contains(address, STE_BYTES)) return null;
  return Array.from({ length: 8 }, (_, i) => memory.readWord(address + i * 8));
}
