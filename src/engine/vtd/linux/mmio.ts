import { type Op, pause } from '../../machine/index.ts';
import { type IntelIommu, type Kernel, log } from './kernel.ts';

/** Registers of a unit. A guest's accesses are VM exits; what the host writes, the unit itself shows. */

/** Scene object of this kernel that a register belongs to. */
function placeOf(u: IntelIommu, reg: string): string {
  if (reg.startsWith('IQ')) return u.ids.queue;
  if (reg.startsWith('P')) return u.ids.prq;
  if (reg.startsWith('F')) return u.ids.frcd;
  return u.ids.root;
}

/** writel or writeq. In a guest it traps, and the VMM acts before this returns. */
export function* writeRegister(k: Kernel, u: IntelIommu, reg: string, value: number | bigint): Op<void> {
  const v = BigInt(value);
  if (k.space === 'guest') {
    k.trace.listener?.({
      kind: 'register.write',
      actor: k.actor,
      at: placeOf(u, reg),
      to: u.ids.unit,
      iommu: 'virtual',
      reg,
      value: v,
    });
    yield pause(k.actor, 'register.write');
  }
  yield* u.port.writeRegister(reg, v);
}

/** readl or readq. */
export function* readRegister(k: Kernel, u: IntelIommu, reg: string): Op<bigint> {
  if (k.space === 'host') return u.port.readRegister(reg);
  yield pause(k.actor, 'register.read');
  k.trace.exits++;
  const value = u.port.readRegister(reg);
  const { listener } = k.trace;
  if (listener) {
    listener({ kind: 'trap', actor: 'vmm', at: u.ids.unit, text: `read ${reg}` });
    listener({ kind: 'register.read', actor: k.actor, at: placeOf(u, reg), iommu: 'virtual', reg, value });
  }
  return value;
}

/** Bits of GCMD_REG; GSTS_REG answers at the same places. */
export const GCMD = { te: 0x80000000, srtp: 0x40000000, wbf: 0x08000000, qie: 0x04000000 } as const;
/** Polls of GSTS_REG; Linux waits ten seconds, a unit here answers at once or never. */
const POLLS = 3;

/**
 * Writes the sticky bits with one more, or without one, and waits until the status bit follows (IOMMU_WAIT_OP).
 * @throws Error when it does not: Linux panics
 */
export function* command(k: Kernel, u: IntelIommu, bit: number, on: boolean, sticky: boolean): Op<void> {
  const state = k.state.units[u.index]!;
  const value = on ? (state.gcmd | bit) >>> 0 : (state.gcmd & ~bit) >>> 0;
  if (sticky) state.gcmd = value;
  yield* writeRegister(k, u, 'GCMD_REG', value);
  // The write buffer's bit clears itself.
  const wanted = bit === GCMD.wbf ? 0 : on ? bit : 0;
  for (let i = 0; i < POLLS; i++) {
    const status = Number(yield* readRegister(k, u, 'GSTS_REG'));
    if ((status & bit) >>> 0 === wanted >>> 0) return;
    yield pause(k.actor, 'poll');
  }
  log(k, u.ids.driver, 'DMAR hardware is malfunctioning');
  throw new Error(
    `${u.name}: GSTS_REG does not follow GCMD_REG 0x${value.toString(16)}: DMAR hardware is malfunctioning`,
  );
}

/** iommu_flush_write_buffer: only units that need it have one. */
export function* flushWriteBuffer(k: Kernel, u: IntelIommu): Op<void> {
  if (!k.state.units[u.index]!.caps!.rwbf) return;
  yield* command(k, u, GCMD.wbf, true, false);
}
