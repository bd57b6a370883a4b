import type { Op } from './pause.ts';

/** A register in a frame, as far as an access needs it. */
export interface FrameRegister {
  readonly name: string;
  readonly width: 32 | 64;
}

export interface RegisterFrame {
  /** The register at a byte offset, or undefined. */
  at(offset: number): FrameRegister | undefined;
  /** Bits that software clears by writing one: the half of a wide register that is not written must leave them. */
  clears?(name: string): bigint;
}

/** A unit whose registers software reads and writes. */
export interface RegisterPort {
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): Op<void>;
}

/** A register, whole or one 32-bit half of a wide one; `shift` is 0 or 32. */
interface Target {
  readonly register: FrameRegister;
  readonly shift: bigint;
}

/**
 * Accesses that reach nothing read as zero and are ignored: reserved offsets, what is not aligned, and 64 bits over two
 * registers. Sources: Arm IHI 0070, 6.2; VT-d specification, 11.2.
 */
function target(f: RegisterFrame, offset: number, bytes: 4 | 8): Target | null {
  const register = f.at(offset);
  if (bytes === 8) return register?.width === 64 ? { register, shift: 0n } : null;
  if (register) return { register, shift: 0n };
  const wide = f.at(offset - 4);
  return wide?.width === 64 ? { register: wide, shift: 32n } : null;
}

/** Reads the register frame as a CPU does. @param offset from the frame's base */
export function readFrame(f: RegisterFrame, port: RegisterPort, offset: number, bytes: 4 | 8): bigint {
  const t = target(f, offset, bytes);
  if (t === null) return 0n;
  const value = port.readRegister(t.register.name);
  return bytes === 8 ? value : BigInt.asUintN(32, value >> t.shift);
}

/** Writes the register frame as a CPU does; the half of a wide register that is not written stays. */
export function* writeFrame(
  f: RegisterFrame,
  port: RegisterPort,
  offset: number,
  bytes: 4 | 8,
  value: bigint,
): Op<void> {
  const t = target(f, offset, bytes);
  if (t === null) return;
  const { name, width } = t.register;
  if (bytes === 8 || width === 32) return yield* port.writeRegister(name, value);
  const other = port.readRegister(name) & ~(f.clears?.(name) ?? 0n) & (0xffffffffn << (32n - t.shift));
  yield* port.writeRegister(name, other | (BigInt.asUintN(32, value) << t.shift));
}
