import { type Op, readFrame, writeFrame } from '../../machine/index.ts';
import { registerAt } from '../layout/index.ts';
import type { Smmu } from './smmu.ts';

/** The places in page 0 of what lies in page 1 are reserved. */
const frame = { at: registerAt };

/** Reads the register frame as a CPU does. @param offset from the frame's base; page 1 begins at 0x10000 */
export const readMmio = (smmu: Smmu, offset: number, bytes: 4 | 8): bigint => readFrame(frame, smmu, offset, bytes);

/** Writes the register frame as a CPU does; the half of a wide register that is not written stays. */
export const writeMmio = (smmu: Smmu, offset: number, bytes: 4 | 8, value: bigint): Op<void> =>
  writeFrame(frame, smmu, offset, bytes, value);
