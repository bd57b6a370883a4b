import type { Op } from '../../machine/index.ts';
import { sync } from './commands.ts';
import { fail, log, readRegister, writeRegister, writeRegisterSync } from './mmio.ts';
import { POSITION, readCommand, writeCommand } from './ring.ts';
import type { Unit } from './state.ts';

const CMDQ_ERR = 1;
const SFM_ERR = 0x100;
/** Bits that the driver looks at (GERROR_ERR_MASK). */
const KNOWN = 0x1fd;
/** What it says of the others, in its order; the queues' own aborts are errors, the rest warnings. */
const ABORTS: readonly (readonly [bit: number, text: string])[] = [
  [0x80, 'GERROR MSI write aborted'],
  [0x40, 'PRIQ MSI write aborted'],
  [0x20, 'EVTQ MSI write aborted'],
  [0x10, 'CMDQ MSI write aborted'],
  [0x8, 'PRIQ write aborted -- events may have been lost'],
  [0x4, 'EVTQ write aborted -- events may have been lost'],
];
const COMMAND_ERRORS: Readonly<Record<number, string>> = {
  0: 'No error',
  1: 'Illegal command',
  2: 'Abort on command fetch',
  3: 'ATC invalidate timeout',
};

const hex = (n: number): string => `0x${(n >>> 0).toString(16).padStart(8, '0')}`;

/**
 * arm_smmu_gerror_handler: says what went wrong, replaces a failing command by a CMD_SYNC and acknowledges, whereupon
 * the consumer goes on.
 */
export function* globalError(u: Unit): Op<void> {
  u.smmu.irq.gerror = false;
  const gerror = yield* readRegister(u, 'GERROR');
  const active = gerror ^ (yield* readRegister(u, 'GERRORN'));
  if (!(active & KNOWN)) return;
  log(u, u.ids.cmdq, `unexpected global error reported (${hex(active)}), this could be serious`);
  if (active & SFM_ERR) {
    fail(u, 'device has entered Service Failure Mode!');
    if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', 0))) fail(u, 'failed to clear cr0');
  }
  for (const [bit, text] of ABORTS) if (active & bit) log(u, text.startsWith('EVTQ') ? u.ids.evtq : u.ids.cmdq, text);
  if (active & CMDQ_ERR) yield* skipCommand(u);
  yield* writeRegister(u, 'GERRORN', gerror);
}

/** __arm_smmu_cmdq_skip_err: an illegal command becomes a CMD_SYNC, the other errors are left to be tried again. */
function* skipCommand(u: Unit): Op<void> {
  const q = u.state.cmdq;
  const cons = yield* readRegister(u, 'CMDQ_CONS');
  const code = (cons >>> 24) & 0x7f;
  fail(u, `CMDQ error (cons ${hex(cons)}): ${COMMAND_ERRORS[code] ?? 'Unknown'}`);
  if (code === 2) log(u, u.ids.cmdq, 'retrying command fetch');
  if (!q || code === 0 || code === 2 || code === 3) return;
  const bad = readCommand(u, q, cons & POSITION).map((w) => `0x${w.toString(16).padStart(16, '0')}`);
  log(u, u.ids.cmdq, `skipping command in error state: ${bad.join(' ')}`);
  writeCommand(u, q, cons & POSITION, sync());
}
