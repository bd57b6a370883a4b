import { type Op, pause } from '../../machine/index.ts';
import { type Command, sync } from './commands.ts';
import { globalError } from './gerror.ts';
import { fail, readRegister, writeRegister } from './mmio.ts';
import { POSITION, span, writeCommand } from './ring.ts';
import type { Ring, Unit } from './state.ts';

/** Size of the driver's command batch (CMDQ_BATCH_ENTRIES). */
const BATCH = 64;
/** Command errors served in one wait, before it counts as timed out. */
const MAX_ERRORS = 32;

/** Entries from `from` to `to`, both positions with wrap bit. */
const distance = (q: Ring, from: number, to: number): number => (((to - from) % span(q)) + span(q)) % span(q);

/**
 * Sends commands in batches as arm_smmu_cmdq_batch_add and _submit do: 64 at a time without CMD_SYNC, the last batch with one,
 * for which the driver waits. Nothing is sent for an empty list.
 */
export function* submit(u: Unit, commands: readonly Command[]): Op<void> {
  for (let i = 0; i < commands.length; i += BATCH) {
    const last = i + BATCH >= commands.length;
    yield* issue(u, commands.slice(i, i + BATCH), last);
  }
}

/**
 * arm_smmu_cmdq_issue_cmdlist: writes a list into the ring, publishes it with one write of CMDQ_PROD and, with `andSync`,
 * waits until the consumer has passed the CMD_SYNC at its end.
 */
export function* issue(u: Unit, commands: readonly Command[], andSync: boolean): Op<void> {
  const q = u.state.cmdq;
  if (!q) throw new Error('the guest driver has no command queue yet');
  const list = andSync ? [...commands, sync()] : commands;
  const words = list.flatMap((c) => u.kernel.injector.pass('guest.command', c, u.ids.cmdq));
  if (words.length === 0) return;
  if (!(yield* waitForSpace(u, q, words.length))) return;
  for (const c of words) write(u, q, c);
  yield pause('guest', 'command.post');
  yield* writeRegister(u, 'CMDQ_PROD', q.prod);
  if (andSync) yield* waitConsumed(u, q, q.prod);
}

/** A command that somebody held back on its way (`inject`) arrives now, by itself. */
export function* deliver(u: Unit, words: Command): Op<void> {
  const q = u.state.cmdq;
  if (!q || !(yield* waitForSpace(u, q, 1))) return;
  write(u, q, words);
  yield* writeRegister(u, 'CMDQ_PROD', q.prod);
}

/** Writes a command at PROD, which nobody sees before the register says so. */
function write(u: Unit, q: Ring, words: Command): void {
  writeCommand(u, q, q.prod, words);
  q.prod = (q.prod + 1) % span(q);
}

function* waitForSpace(u: Unit, q: Ring, need: number): Op<boolean> {
  const free = (): boolean => distance(q, q.cons, q.prod) + need <= 2 ** q.log2size;
  if (free()) return true;
  if (yield* poll(u, q, free)) return true;
  fail(u, 'CMDQ timeout');
  return false;
}

/** Waits until CONS has reached `position`. Linux gives up after a second (ETIMEDOUT); here when nothing moves any more. */
function* waitConsumed(u: Unit, q: Ring, position: number): Op<void> {
  // The queue holds at most 2^n entries, so a CONS that is behind is at most that far away.
  const done = (): boolean => distance(q, q.cons, position) === 0 || distance(q, q.cons, position) > 2 ** q.log2size;
  if (yield* poll(u, q, done)) return;
  const h = (n: number): string => `0x${n.toString(16).padStart(8, '0')}`;
  const at = (position - 1 + span(q)) % span(q);
  fail(u, `CMD_SYNC timeout at ${h(at)} [hwprod ${h(q.prod)}, hwcons ${h(q.cons)}]`);
}

/** Reads CMDQ_CONS until `done`; a pending error interrupt is served in between, as on any other CPU. */
function* poll(u: Unit, q: Ring, done: () => boolean): Op<boolean> {
  for (let idle = 0, errors = 0; idle < 3 && errors < MAX_ERRORS; ) {
    const cons = ((yield* readRegister(u, 'CMDQ_CONS')) & POSITION) % span(q);
    idle = cons === q.cons ? idle + 1 : 0;
    q.cons = cons;
    if (done()) return true;
    if (!u.smmu.irq.gerror) continue;
    errors++;
    yield* globalError(u);
  }
  return false;
}
