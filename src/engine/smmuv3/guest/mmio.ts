import { type Op, pause } from '../../machine/index.ts';
import type { Unit } from './state.ts';

/** Scene object that a register belongs to on the guest's side. */
const placeOf = (u: Unit, reg: string): string =>
  reg.startsWith('EVENTQ')
    ? u.ids.evtq
    : reg.startsWith('PRIQ')
      ? u.ids.priq
      : reg.startsWith('STRTAB')
        ? u.ids.strtab
        : u.ids.cmdq;

/** writel or writeq to the vSMMU: traps to the VMM, which acts before this returns. */
export function* writeRegister(u: Unit, reg: string, value: number | bigint): Op<void> {
  const v = BigInt(value);
  u.kernel.trace.listener?.({
    kind: 'register.write',
    actor: 'guest',
    at: placeOf(u, reg),
    to: u.ids.vsmmu,
    iommu: 'virtual',
    reg,
    value: v,
  });
  yield pause('guest', 'register.write');
  yield* u.smmu.writeVirtual(reg, v);
}

/** readl of the vSMMU: a VM exit too, since QEMU's model maps no register into the guest. */
export function* readRegister(u: Unit, reg: string): Op<number> {
  yield pause('guest', 'register.read');
  u.kernel.trace.exits++;
  const value = u.smmu.readVirtual(reg);
  const { listener } = u.kernel.trace;
  if (listener) {
    listener({ kind: 'trap', actor: 'vmm', at: u.ids.vsmmu, text: `read ${reg}` });
    listener({ kind: 'register.read', actor: 'guest', at: placeOf(u, reg), iommu: 'virtual', reg, value });
  }
  return Number(value);
}

/** arm_smmu_write_reg_sync: the write, then reads of the ACK register until it repeats the value; three are enough here. */
export function* writeRegisterSync(u: Unit, reg: string, ack: string, value: number): Op<boolean> {
  yield* writeRegister(u, reg, value);
  for (let i = 0; i < 3; i++) if ((yield* readRegister(u, ack)) === value) return true;
  return false;
}

/** A line of the guest's kernel log. */
export function log(u: Unit, at: string, text: string): void {
  u.kernel.trace.listener?.({ kind: 'note', actor: 'guest', at, text: `guest kernel log: ${text}` });
}

/** An error that the operation under way reports, and its line in the log. */
export function fail(u: Unit, text: string): void {
  u.kernel.state.errors.push(text);
  log(u, u.ids.cmdq, text);
}
