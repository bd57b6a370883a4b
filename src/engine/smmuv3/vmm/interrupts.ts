import { IRQ } from './registers.ts';
import type { UnitContext } from './state.ts';

/** smmuv3_trigger_irq for GERROR: a bit that is already pending is not toggled again. */
export function raiseGerror(u: UnitContext, bit: bigint): void {
  const r = u.state.registers;
  const gerror = r['GERROR'] ?? 0n;
  if ((gerror ^ (r['GERRORN'] ?? 0n)) & bit) return;
  r['GERROR'] = gerror ^ bit;
  if ((r['IRQ_CTRL'] ?? 0n) & IRQ.gerror) u.irq.gerror = true;
}

/** The same for the event queue. */
export function raiseEvtq(u: UnitContext): void {
  if ((u.state.registers['IRQ_CTRL'] ?? 0n) & IRQ.evtq) u.irq.evtq = true;
}
