import { reportOnce } from '../../vmm/index.ts';
import { encodeFault, faultLayout, faultName, faultSummary } from '../layout/index.ts';
import { raiseFaultEvent } from './interrupts.ts';
import { FRCD_F, FSTS, testRegister, updateRegister } from './registers.ts';
import { note, type UnitContext } from './state.ts';

/** A fault that the vIOMMU itself detects. */
export interface VirtualFault {
  /** Code of the specification. */
  readonly code: number;
  readonly rid: number;
  /** null: the request had none. */
  readonly pasid: number | null;
  readonly write: boolean;
  readonly address: bigint;
}

/** Faults that are recorded whatever FPD says (vtd_qualified_faults). */
const unqualified = new Set([0x01, 0x08, 0x09, 0x0a, 0x0b, 0x31, 0x50, 0x58]);

/**
 * vtd_report_fault: the guest's only fault record gets it, unless FPD suppresses it, a fault of the same device waits
 * already, or the record is taken.
 * @param fpd an entry that was used has FPD set
 */
export function recordFault(u: UnitContext, f: VirtualFault, fpd: boolean): void {
  if (fpd && !unqualified.has(f.code)) {
    note(u, `${faultName(f.code)} is not recorded: fault processing is disabled (FPD)`);
    return;
  }
  const r = u.state.registers;
  const before = r['FSTS_REG'] ?? 0n;
  const record = r['FRCD_REG0_HI'] ?? 0n;
  if (before & FSTS.pfo) {
    reportOnce(u, 'overflow', 'New fault is not recorded due to Primary Fault Overflow');
    return;
  }
  if (record & FRCD_F && Number(record & 0xffffn) === f.rid) {
    reportOnce(u, 'collapse', 'New fault is not recorded due to compression of faults');
    return;
  }
  if (record & FRCD_F) {
    reportOnce(u, 'taken', 'Next Fault Recording Reg is used, new fault is not recorded, set PFO field');
    updateRegister(r, 'FSTS_REG', 0n, FSTS.pfo);
    return;
  }
  const words = encodeFault(f.code, {
    FI: f.address & ~0xfffn,
    SID: f.rid,
    T1: !f.write,
    PP: f.pasid !== null,
    PV: f.pasid === null ? 0 : u.vmm.rules.recordedPasid(f.pasid),
  });
  r['FRCD_REG0_LO'] = words[0]!;
  r['FRCD_REG0_HI'] = words[1]!;
  updateRegister(r, 'FSTS_REG', 0xff00n, FSTS.ppf);
  u.vmm.trace.listener?.({
    kind: 'guest.event',
    actor: 'vmm',
    at: u.ids.frcd,
    name: faultName(f.code),
    words,
    layout: faultLayout(words).id,
    text: faultSummary(words),
  });
  raiseFaultEvent(u, before);
}

/** vtd_update_fsts_ppf: the guest may have cleared F. */
export function updatePpf(u: UnitContext): void {
  const r = u.state.registers;
  updateRegister(r, 'FSTS_REG', FSTS.ppf, testRegister(r, 'FRCD_REG0_HI', FRCD_F) ? FSTS.ppf : 0n);
}

/** vtd_handle_inv_queue_error. */
export function queueError(u: UnitContext): void {
  const before = u.state.registers['FSTS_REG'] ?? 0n;
  updateRegister(u.state.registers, 'FSTS_REG', 0n, FSTS.iqe);
  raiseFaultEvent(u, before);
}
