import { type Op, pause } from '../../machine/index.ts';
import type { Guest } from './state.ts';

/** Scene object that a register belongs to on the guest's side. */
const placeOf = (reg: string): string =>
  reg.startsWith('EVENTQ') ? 'guest.evtq' : reg.startsWith('STRTAB') ? 'guest.strtab' : 'guest.cmdq';

/** writel or writeq to the vSMMU: traps to the VMM, which acts before this returns. */
export function* writeRegister(g: Guest, reg: string, value: number | bigint): Op<void> {
  const v = BigInt(value);
  g.trace.listener?.({
    kind: 'register.write',
    actor: 'guest',
    at: placeOf(reg),
    to: 'vmm.vsmmu',
    iommu: 'virtual',
    reg,
    value: v,
  });
  yield pause('guest', 'register.write');
  yield* g.smmu.writeVirtual(reg, v);
}

/** readl of the vSMMU: a VM exit too, since QEMU's model maps no register into the guest. */
export function* readRegister(g: Guest, reg: string): Op<number> {
  yield pause('guest', 'register.read');
  g.trace.exits++;
  const value = g.smmu.readVirtual(reg);
  const { listener } = g.trace;
  if (listener) {
    listener({ kind: 'trap', actor: 'vmm', at: 'vmm.vsmmu', text: `read ${reg}` });
    listener({ kind: 'register.read', actor: 'guest', at: placeOf(reg), iommu: 'virtual', reg, value });
  }
  return Number(value);
}

/** arm_smmu_write_reg_sync: the write, then reads of the ACK register until it repeats the value; three are enough here. */
export function* writeRegisterSync(g: Guest, reg: string, ack: string, value: number): Op<boolean> {
  yield* writeRegister(g, reg, value);
  for (let i = 0; i < 3; i++) if ((yield* readRegister(g, ack)) === value) return true;
  return false;
}

/** A line of the guest's kernel log. */
export function log(g: Guest, at: string, text: string): void {
  g.trace.listener?.({ kind: 'note', actor: 'guest', at, text: `guest kernel log: ${text}` });
}
