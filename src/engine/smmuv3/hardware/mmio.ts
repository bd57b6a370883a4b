import type { Op } from '../../machine/index.ts';
import { type RegisterInfo, registerAt } from '../layout/index.ts';
import type { Smmu } from './smmu.ts';

/** What an access reaches: a register, whole or one 32-bit half of a wide one. */
interface Target {
  readonly register: RegisterInfo;
  /** 0 or 32. */
  readonly shift: bigint;
}

/**
 * Accesses that reach nothing read as zero and are ignored: reserved offsets, the places in page 0 of what lies in page 1,
 * what is not aligned, and 64 bits over two registers. Source: Arm IHI 0070, 6.2.
 */
function target(offset: number, bytes: 4 | 8): Target | null {
  const register = registerAt(offset);
  if (bytes === 8) return register?.width === 64 ? { register, shift: 0n } : null;
  if (register) return { register, shift: 0n };
  const wide = registerAt(offset - 4);
  return wide?.width === 64 ? { register: wide, shift: 32n } : null;
}

/** Reads the register frame as a CPU does. @param offset from the frame's base; page 1 begins at 0x10000 */
export function readMmio(smmu: Smmu, offset: number, bytes: 4 | 8): bigint {
  const t = target(offset, bytes);
  if (t === null) return 0n;
  const value = smmu.readRegister(t.register.name);
  return bytes === 8 ? value : BigInt.asUintN(32, value >> t.shift);
}

/** Writes the register frame as a CPU does; the half of a wide register that is not written stays. */
export function* writeMmio(smmu: Smmu, offset: number, bytes: 4 | 8, value: bigint): Op<void> {
  const t = target(offset, bytes);
  if (t === null) return;
  const { name, width } = t.register;
  if (bytes === 8 || width === 32) return yield* smmu.writeRegister(name, value);
  const other = smmu.readRegister(name) & (0xffffffffn << (32n - t.shift));
  yield* smmu.writeRegister(name, other | (BigInt.asUintN(32, value) << t.shift));
}
