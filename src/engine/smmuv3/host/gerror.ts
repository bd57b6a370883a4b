import type { Op } from '../../machine/index.ts';
import { commandText } from '../layout/index.ts';
import { cmdSync } from './commands.ts';
import { type Host, log } from './state.ts';

/** Global errors (arm-smmu-v3.c arm_smmu_gerror_handler, arm_smmu_cmdq_skip_err). */

const GERROR_MASK = 0x1fd;
const messages: readonly (readonly [bit: number, text: string])[] = [
  [8, 'device has entered Service Failure Mode!'],
  [7, 'GERROR MSI write aborted'],
  [6, 'PRIQ MSI write aborted'],
  [5, 'EVTQ MSI write aborted'],
  [4, 'CMDQ MSI write aborted'],
  [3, 'PRIQ write aborted -- events may have been lost'],
  [2, 'EVTQ write aborted -- events may have been lost'],
];
const CMDQ_ERR = 1;
const SFM_ERR = 1 << 8;

const commandErrors: readonly string[] = [
  'No error',
  'Illegal command',
  'Abort on command fetch',
  'ATC invalidate timeout',
];
const ERR = { none: 0, ill: 1, abort: 2, atcInv: 3 };

const hex8 = (n: number): string => `0x${n.toString(16).padStart(8, '0')}`;

/** Reports what is active, repairs the command queue, and acknowledges, whereupon the queue goes on. */
export function* handleGlobalError(h: Host): Op<void> {
  h.smmu.irq.gerror = false;
  const gerror = Number(h.smmu.readRegister('GERROR'));
  const active = (gerror ^ Number(h.smmu.readRegister('GERRORN'))) & GERROR_MASK;
  if (!active) return;
  log(h, h.ids.smmu, `unexpected global error reported (${hex8(active)}), this could be serious`);
  for (const [bit, text] of messages) if (active & (1 << bit)) log(h, h.ids.smmu, text);
  if (active & SFM_ERR) yield* h.smmu.writeRegister('CR0', 0n);
  if (active & CMDQ_ERR) skipFailedCommand(h);
  yield* h.smmu.writeRegister('GERRORN', BigInt(gerror));
}

/** An illegal command is overwritten by a CMD_SYNC; after an aborted fetch or an ATC time-out the queue just goes on. */
function skipFailedCommand(h: Host): void {
  const q = h.state.cmdq!;
  const cons = Number(h.smmu.readRegister('CMDQ_CONS'));
  const error = (cons >>> 24) & 0x7f;
  log(h, h.ids.cmdq, `CMDQ error (cons ${hex8(cons)}): ${commandErrors[error] ?? 'Unknown'}`);
  if (error === ERR.abort) log(h, h.ids.cmdq, 'retrying command fetch');
  if (error === ERR.abort || error === ERR.none || error === ERR.atcInv) return;
  if (!h.rules.skipsIllegal()) return;
  const index = (cons & 0xfffff) % 2 ** q.log2;
  const at = q.base + index * 16;
  const words = [h.memory.readWord(at), h.memory.readWord(at + 8)];
  log(
    h,
    h.ids.cmdq,
    `skipping command in error state: ${words.map((w) => `0x${w.toString(16).padStart(16, '0')}`).join(' ')}`,
  );
  const sync = cmdSync(null);
  h.memory.writeWord(at, sync[0]!);
  h.memory.writeWord(at + 8, sync[1]!);
  h.trace.listener?.({
    kind: 'command.post',
    actor: 'driver',
    at: h.ids.cmdq,
    queue: 'physical',
    index,
    command: commandText(sync),
  });
}
