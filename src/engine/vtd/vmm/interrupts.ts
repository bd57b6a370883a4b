import { reportOnce } from '../../vmm/index.ts';
import { CTL, FSTS, IWC, PRS_REG, testRegister, updateRegister } from './registers.ts';
import type { UnitContext } from './state.ts';

type Line = 'fault' | 'inv' | 'prq';
const controlOf: Readonly<Record<Line, string>> = { fault: 'FECTL_REG', inv: 'IECTL_REG', prq: 'PECTL_REG' };

/** IP is set; with IM clear the message goes out and IP is cleared again. @returns false when the interrupt is masked */
function raise(u: UnitContext, line: Line): boolean {
  const r = u.state.registers;
  updateRegister(r, controlOf[line], 0n, CTL.ip);
  return sendPending(u, line);
}

/** A pending interrupt that is not masked goes out. */
function sendPending(u: UnitContext, line: Line): boolean {
  const r = u.state.registers;
  const reg = controlOf[line];
  if (testRegister(r, reg, CTL.im)) return false;
  if (testRegister(r, reg, CTL.ip)) u.irq[line] = true;
  updateRegister(r, reg, CTL.ip, 0n);
  return true;
}

/** vtd_generate_fault_event. `before` is FSTS_REG before what has just happened. */
export function raiseFaultEvent(u: UnitContext, before: bigint): void {
  if (before & (FSTS.ppf | FSTS.pfo | FSTS.iqe)) {
    reportOnce(
      u,
      'fault event',
      'There are previous interrupt conditions to be serviced by software, fault event is not generated',
    );
    return;
  }
  if (!raise(u, 'fault')) reportOnce(u, 'fault event masked', 'Interrupt Mask set, irq is not generated');
}

/** vtd_generate_completion_event: a wait descriptor with IF has completed. */
export function raiseCompletionEvent(u: UnitContext): void {
  const r = u.state.registers;
  if (testRegister(r, 'ICS_REG', IWC)) return;
  updateRegister(r, 'ICS_REG', 0n, IWC);
  raise(u, 'inv');
}

/** vtd_generate_page_request_event. `before` is PRS_REG before what has just happened. */
export function raisePageRequestEvent(u: UnitContext, before: bigint): void {
  if (before & (PRS_REG.ppr | PRS_REG.pro)) return;
  raise(u, 'prq');
}

/** A status register was written: with nothing left in it, its pending interrupt is gone. */
export function afterStatusWrite(u: UnitContext, reg: string): void {
  const r = u.state.registers;
  if (reg === 'FSTS_REG' && !testRegister(r, reg, FSTS.pfo | FSTS.ppf | FSTS.iqe))
    updateRegister(r, 'FECTL_REG', CTL.ip, 0n);
  if (reg === 'ICS_REG' && !testRegister(r, reg, IWC)) updateRegister(r, 'IECTL_REG', CTL.ip, 0n);
  if (reg === 'PRS_REG' && !testRegister(r, reg, PRS_REG.ppr | PRS_REG.pro)) updateRegister(r, 'PECTL_REG', CTL.ip, 0n);
}

/** A control register was written: unmasking sends what is pending. */
export function afterControlWrite(u: UnitContext, reg: string): void {
  for (const line of ['fault', 'inv', 'prq'] as const) if (controlOf[line] === reg) sendPending(u, line);
}
