import { commandText } from '../layout/index.ts';
import type { Command } from './commands.ts';
import type { Ring, Unit } from './state.ts';

/** Index and wrap bits of PROD and CONS. */
export const POSITION = 0xfffff;
/** OVFLG of an event or PRI queue's PROD, OVACKFLG of its CONS. */
export const OVERFLOW = 0x80000000;
const COMMAND_BYTES = 16;

/** Positions before index and wrap bit repeat. */
export const span = (q: Ring): number => 2 ** (q.log2size + 1);

/** Entry that a position with wrap bit stands for. */
export const slotOf = (q: Ring, position: number): number => position % 2 ** q.log2size;

/** Puts a command into the ring and shows it. */
export function writeCommand(u: Unit, q: Ring, position: number, words: Command): void {
  const index = slotOf(q, position);
  const at = q.base + index * COMMAND_BYTES;
  const { memory, trace } = u.kernel;
  memory.writeWord(at, words[0]!);
  memory.writeWord(at + 8, words[1]!);
  trace.listener?.({
    kind: 'command.post',
    actor: 'guest',
    at: u.ids.cmdq,
    queue: 'virtual',
    index,
    command: commandText([words[0]!, words[1]!]),
  });
}

/** The two words at a position of the command queue. */
export function readCommand(u: Unit, q: Ring, position: number): bigint[] {
  const at = q.base + slotOf(q, position) * COMMAND_BYTES;
  return [u.kernel.memory.readWord(at), u.kernel.memory.readWord(at + 8)];
}
