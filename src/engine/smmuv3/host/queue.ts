import type { Errno } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { commandText } from '../layout/index.ts';
import { type Command, cmdSync } from './commands.ts';
import { handleGlobalError } from './gerror.ts';
import { featuresOf, type Host, log, type Ring } from './state.ts';

/** The command queue's producer (arm-smmu-v3.c arm_smmu_cmdq_issue_cmdlist and the batches above it). */

/** CMDQ_BATCH_ENTRIES */
export const BATCH = 64;
const ENTRY = 16;
/** Polls of CMDQ_CONS without progress before the driver gives up; Linux waits for a second. */
const IDLE_POLLS = 3;

const span = (q: Ring): number => 2 ** (q.log2 + 1);
const distance = (q: Ring, from: number, to: number): number => (((to - from) % span(q)) + span(q)) % span(q);

/**
 * Writes commands into the queue and publishes them with one write of PROD. With `sync` a CMD_SYNC ends the list and the
 * driver waits for it.
 * @returns ETIMEDOUT when the queue has no room or the CMD_SYNC does not complete
 */
export function* issue(h: Host, commands: readonly Command[], sync: boolean): Op<Errno> {
  const q = h.state.cmdq!;
  const list = commands.flatMap((c) => h.injector.pass('host.command', c, h.ids.cmdq));
  const n = list.length + (sync ? 1 : 0);
  if (n === 0) return '0';
  const room = (): boolean => distance(q, q.cons, q.prod) + n <= 2 ** q.log2;
  if (!room() && !(yield* poll(h, q, room))) {
    log(h, h.ids.cmdq, 'CMDQ timeout');
    return 'ETIMEDOUT';
  }
  for (const c of list) post(h, q, c);
  const slot = q.base + (q.prod % 2 ** q.log2) * ENTRY;
  const polling = msiPolling(h);
  const syncAt = q.prod;
  if (sync) post(h, q, cmdSync(polling ? slot : null));
  const end = q.prod;
  yield pause('driver', 'command.post');
  yield* h.smmu.writeRegister('CMDQ_PROD', BigInt(q.prod));
  if (!sync) return '0';
  const done = polling
    ? (): boolean => h.memory.read32(slot) === 0
    : (): boolean => distance(q, q.cons, end) === 0 || distance(q, q.cons, end) > 2 ** q.log2;
  if (yield* poll(h, q, done)) return '0';
  const hex = (x: number | bigint): string => `0x${x.toString(16).padStart(8, '0')}`;
  const prod = h.smmu.readRegister('CMDQ_PROD');
  const cons = h.smmu.readRegister('CMDQ_CONS');
  log(h, h.ids.cmdq, `CMD_SYNC timeout at ${hex(syncAt)} [hwprod ${hex(prod)}, hwcons ${hex(cons)}]`);
  return 'ETIMEDOUT';
}

/** ARM_SMMU_OPT_MSIPOLL: the CMD_SYNC writes to memory, which the driver polls instead of a register. */
export function msiPolling(h: Host): boolean {
  const f = featuresOf(h);
  return f.msi && f.coherent;
}

function post(h: Host, q: Ring, words: Command): void {
  const index = q.prod % 2 ** q.log2;
  const at = q.base + index * ENTRY;
  h.memory.writeWord(at, words[0]!);
  h.memory.writeWord(at + 8, words[1]!);
  q.prod = (q.prod + 1) % span(q);
  h.trace.listener?.({
    kind: 'command.post',
    actor: 'driver',
    at: h.ids.cmdq,
    queue: 'physical',
    index,
    command: commandText(words),
  });
}

/** Waits until `done`; the interrupt of a queue error is served meanwhile, as on another CPU. */
function* poll(h: Host, q: Ring, done: () => boolean): Op<boolean> {
  for (let idle = 0; idle < IDLE_POLLS; ) {
    const cons = Number(h.smmu.readRegister('CMDQ_CONS') & 0xfffffn) % span(q);
    idle = cons === q.cons ? idle + 1 : 0;
    q.cons = cons;
    if (done()) return true;
    if (h.smmu.irq.gerror) yield* handleGlobalError(h);
    else yield pause('driver', 'poll');
  }
  return false;
}

/** arm_smmu_cmdq_batch: collects commands; the 65th sends the first 64 without CMD_SYNC, the end always has one. */
export class Batch {
  private readonly host: Host;
  private commands: Command[] = [];

  constructor(host: Host) {
    this.host = host;
  }

  get size(): number {
    return this.commands.length;
  }

  *add(c: Command): Op<void> {
    if (this.commands.length === BATCH) {
      yield* issue(this.host, this.commands, false);
      this.commands = [];
    }
    this.commands.push(c);
  }

  *submit(): Op<Errno> {
    const commands = this.commands;
    this.commands = [];
    return yield* issue(this.host, commands, this.host.rules.syncs('driver'));
  }
}

/** One batch from a list; nothing at all for an empty one. */
export function* submit(h: Host, commands: readonly Command[]): Op<Errno> {
  if (commands.length === 0) return '0';
  const batch = new Batch(h);
  for (const c of commands) yield* batch.add(c);
  return yield* batch.submit();
}
