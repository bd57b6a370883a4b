import { type Op, type RegisterFrame, readFrame, writeFrame } from '../../machine/index.ts';
import { registerMap } from '../layout/index.ts';
import type { VtdUnit } from './unit.ts';

const frames = new WeakMap<VtdUnit, RegisterFrame>();

/** The frame as the unit's capability registers place its registers. */
function frameOf(unit: VtdUnit): RegisterFrame {
  let f = frames.get(unit);
  if (!f) {
    const { cap, ecap } = unit.features;
    const places = new Map(registerMap(cap, ecap).map((r) => [r.offset, r]));
    f = { at: (offset) => places.get(offset), clears: (name) => unit.regs.clears(name) };
    frames.set(unit, f);
  }
  return f;
}

/** Reads the register frame as a CPU does: 32 or 64 bits. Source: VT-d specification, 11.2. */
export const readMmio = (unit: VtdUnit, offset: number, bytes: 4 | 8): bigint =>
  readFrame(frameOf(unit), unit, offset, bytes);

/** Writes the register frame as a CPU does; the half of a wide register that is not written stays. */
export const writeMmio = (unit: VtdUnit, offset: number, bytes: 4 | 8, value: bigint): Op<void> =>
  writeFrame(frameOf(unit), unit, offset, bytes, value);
