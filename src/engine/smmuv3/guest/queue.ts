import { type Op, pause } from '../../machine/index.ts';
import { commandText } from '../layout/index.ts';
import { type Command, sync } from './commands.ts';
import { log, readRegister, writeRegister } from './mmio.ts';
import type { Guest, Ring } from './state.ts';

/** Size of the driver's command batch (CMDQ_BATCH_ENTRIES). */
const BATCH = 64;
const ENTRY = 16;
/** Command errors served in one wait, before it counts as timed out. */
const MAX_ERRORS = 32;
/** Index and wrap bits of PROD and CONS. */
const POSITION = 0xfffff;

const span = (q: Ring): number => 2 ** (q.log2size + 1);
const slotOf = (q: Ring, position: number): number => position % 2 ** q.log2size;
/** Entries from `from` to `to`, both positions with wrap bit. */
const distance = (q: Ring, from: number, to: number): number => (((to - from) % span(q)) + span(q)) % span(q);

/**
 * Sends commands in batches as arm_smmu_cmdq_batch_add and _submit do: 64 at a time without CMD_SYNC, the last batch with one,
 * for which the driver waits. Nothing is sent for an empty list.
 */
export function* submit(g: Guest, commands: readonly Command[]): Op<void> {
  for (let i = 0; i < commands.length; i += BATCH) {
    const last = i + BATCH >= commands.length;
    yield* issue(g, commands.slice(i, i + BATCH), last);
  }
}

/**
 * arm_smmu_cmdq_issue_cmdlist: writes a list into the ring, publishes it with one write of CMDQ_PROD and, with `andSync`,
 * waits until the consumer has passed the CMD_SYNC at its end.
 */
export function* issue(g: Guest, commands: readonly Command[], andSync: boolean): Op<void> {
  const q = g.state.cmdq;
  if (!q) throw new Error('the guest driver has no command queue yet');
  const list = andSync ? [...commands, sync()] : commands;
  const words = list.flatMap((c) => g.injector.pass('guest.command', c, 'guest.cmdq'));
  if (words.length === 0) return;
  if (!(yield* waitForSpace(g, q, words.length))) return;
  for (const c of words) write(g, q, c);
  yield pause('guest', 'command.post');
  yield* writeRegister(g, 'CMDQ_PROD', q.prod);
  if (andSync) yield* waitConsumed(g, q, q.prod);
}

/** A command that somebody held back on its way (`inject`) arrives now, by itself. */
export function* deliver(g: Guest, words: Command): Op<void> {
  const q = g.state.cmdq;
  if (!q || !(yield* waitForSpace(g, q, 1))) return;
  write(g, q, words);
  yield* writeRegister(g, 'CMDQ_PROD', q.prod);
}

function write(g: Guest, q: Ring, words: Command): void {
  const index = slotOf(q, q.prod);
  const at = q.base + index * ENTRY;
  g.memory.writeWord(at, words[0]!);
  g.memory.writeWord(at + 8, words[1]!);
  q.prod = (q.prod + 1) % span(q);
  g.trace.listener?.({
    kind: 'command.post',
    actor: 'guest',
    at: 'guest.cmdq',
    queue: 'virtual',
    index,
    command: commandText(words),
  });
}

function* waitForSpace(g: Guest, q: Ring, need: number): Op<boolean> {
  const free = (): boolean => distance(q, q.cons, q.prod) + need <= 2 ** q.log2size;
  if (free()) return true;
  if (yield* poll(g, q, free)) return true;
  fail(g, 'CMDQ timeout');
  return false;
}

/** Waits until CONS has reached `position`. Linux gives up after a second (ETIMEDOUT); here when nothing moves any more. */
function* waitConsumed(g: Guest, q: Ring, position: number): Op<void> {
  // The queue holds at most 2^n entries, so a CONS that is behind is at most that far away.
  const done = (): boolean => distance(q, q.cons, position) === 0 || distance(q, q.cons, position) > 2 ** q.log2size;
  if (yield* poll(g, q, done)) return;
  const h = (n: number): string => `0x${n.toString(16).padStart(8, '0')}`;
  const at = (position - 1 + span(q)) % span(q);
  fail(g, `CMD_SYNC timeout at ${h(at)} [hwprod ${h(q.prod)}, hwcons ${h(q.cons)}]`);
}

/** Reads CMDQ_CONS until `done`; a pending error interrupt is served in between, as on any other CPU. */
function* poll(g: Guest, q: Ring, done: () => boolean): Op<boolean> {
  for (let idle = 0, errors = 0; idle < 3 && errors < MAX_ERRORS; ) {
    const cons = ((yield* readRegister(g, 'CMDQ_CONS')) & POSITION) % span(q);
    idle = cons === q.cons ? idle + 1 : 0;
    q.cons = cons;
    if (done()) return true;
    if (!g.smmu.irq.gerror) continue;
    errors++;
    yield* globalError(g);
  }
  return false;
}

const gerrorBits = { cmdq: 1, evtqAbort: 4, sfm: 0x100, all: 0x1fd } as const;
const commandErrors: Readonly<Record<number, string>> = {
  0: 'No error',
  1: 'Illegal command',
  2: 'Abort on command fetch',
  3: 'ATC invalidate timeout',
};

/**
 * arm_smmu_gerror_handler: says what went wrong, replaces a failing command by a CMD_SYNC and acknowledges, whereupon
 * the consumer goes on.
 */
export function* globalError(g: Guest): Op<void> {
  g.smmu.irq.gerror = false;
  const gerror = yield* readRegister(g, 'GERROR');
  const active = (gerror ^ (yield* readRegister(g, 'GERRORN'))) & gerrorBits.all;
  if (!active) return;
  const hex = `0x${active.toString(16).padStart(8, '0')}`;
  log(g, 'guest.cmdq', `unexpected global error reported (${hex}), this could be serious`);
  if (active & gerrorBits.sfm) {
    fail(g, 'device has entered Service Failure Mode!');
    yield* writeRegister(g, 'CR0', 0);
  }
  if (active & gerrorBits.evtqAbort) log(g, 'guest.evtq', 'EVTQ write aborted -- events may have been lost');
  if (active & gerrorBits.cmdq) yield* skipCommand(g);
  yield* writeRegister(g, 'GERRORN', gerror);
}

/** __arm_smmu_cmdq_skip_err. */
function* skipCommand(g: Guest): Op<void> {
  const q = g.state.cmdq;
  const cons = yield* readRegister(g, 'CMDQ_CONS');
  const code = (cons >>> 24) & 0x7f;
  const name = commandErrors[code] ?? 'Unknown';
  const text = `CMDQ error (cons 0x${(cons >>> 0).toString(16).padStart(8, '0')}): ${name}`;
  fail(g, text);
  if (!q) return;
  if (code === 2) log(g, 'guest.cmdq', 'retrying command fetch');
  if (code === 0 || code === 2 || code === 3) return;
  const index = slotOf(q, cons & POSITION);
  const at = q.base + index * ENTRY;
  const bad = [g.memory.readWord(at), g.memory.readWord(at + 8)];
  const dump = bad.map((w) => `0x${w.toString(16).padStart(16, '0')}`).join(' ');
  log(g, 'guest.cmdq', `skipping command in error state: ${dump}`);
  const [low, high] = sync();
  g.memory.writeWord(at, low!);
  g.memory.writeWord(at + 8, high!);
  g.trace.listener?.({
    kind: 'command.post',
    actor: 'guest',
    at: 'guest.cmdq',
    queue: 'virtual',
    index,
    command: commandText([low!, high!]),
  });
}

function fail(g: Guest, text: string): void {
  g.state.errors.push(text);
  log(g, 'guest.cmdq', text);
}
