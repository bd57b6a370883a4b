import { type Op, pause } from '../../machine/index.ts';
import { commandName, commandText, opcodes } from '../layout/index.ts';
import { resume, stallTerm } from './faults.ts';
import { flush, forward, forwardable, type Stop } from './forward.ts';
import { installRange, installSte } from './install.ts';
import { raiseGerror } from './interrupts.ts';
import { CR0, GERROR, ringOf } from './registers.ts';
import { deviceOf, type UnitContext } from './state.ts';

const ENTRY = 16;
const SSEC = 1n << 10n;
/** CMDQ_CONS.ERR. */
const ILL = 1;
const ABT = 2;

/** Commands that the model names and drops. */
const ignored = new Set(
  [
    'PREFETCH_CONFIG',
    'PREFETCH_ADDR',
    'TLBI_EL3_ALL',
    'TLBI_EL3_VA',
    'TLBI_EL2_ALL',
    'TLBI_EL2_ASID',
    'TLBI_EL2_VA',
    'TLBI_EL2_VAA',
    'PRI_RESP',
  ].map((n) => opcodes[n]),
);

/**
 * The command loop (smmuv3_cmdq_consume): takes commands from guest memory until CONS is PROD, an error is pending or one
 * occurs. CONS never passes a command that is still in a batch. A PROD that is more than a queue ahead makes the loop go
 * around: the positions are compared with their wrap bits and nothing else.
 */
export function* consume(u: UnitContext): Op<void> {
  const s = u.state;
  const r = s.registers;
  if (s.consuming || !((r['CR0'] ?? 0n) & CR0.cmdqen)) return;
  s.consuming = true;
  const q = ringOf(r, 'CMDQ');
  const span = 2 ** (q.log2size + 1);
  let at = Number(r['CMDQ_CONS'] ?? 0n) % span;
  let stop: Stop | null = null;
  let last = '';
  const { resets } = s;
  while (!stop && at !== Number(r['CMDQ_PROD'] ?? 0n) % span) {
    if (((r['GERROR'] ?? 0n) ^ (r['GERRORN'] ?? 0n)) & GERROR.cmdq) break;
    const index = at % 2 ** q.log2size;
    const address = q.base + index * ENTRY;
    if (!u.vmm.memory.contains(address, ENTRY)) {
      stop = { at, error: ABT };
      break;
    }
    const words = [u.vmm.memory.readWord(address), u.vmm.memory.readWord(address + 8)];
    last = commandName(words);
    u.vmm.trace.listener?.({
      kind: 'command.fetch',
      actor: 'vmm',
      at: u.ids.vsmmu,
      queue: 'virtual',
      index,
      command: commandText(words),
    });
    yield pause('vmm', 'command.fetch');
    // A machine reset meanwhile: the queue is another one now.
    if (s.resets !== resets) return;
    stop = yield* handle(u, words, at);
    if (s.resets !== resets) return;
    at = (at + 1) % span;
    if (!stop && s.batch.length === 0) setCons(u, q.log2size, at);
  }
  if (u.vmm.rules.endsBatch('empty')) stop = (yield* flush(u)) ?? stop;
  if (s.resets !== resets) return;
  setCons(u, q.log2size, stop ? stop.at : at);
  if (stop) raiseError(u, stop, last, q.log2size);
  s.consuming = false;
}

/** deposit32: index and wrap bit change, ERR stays what it was. */
function setCons(u: UnitContext, log2size: number, position: number): void {
  const r = u.state.registers;
  const mask = (1n << BigInt(log2size + 1)) - 1n;
  r['CMDQ_CONS'] = ((r['CMDQ_CONS'] ?? 0n) & ~mask) | BigInt(position);
}

/** One command. Forwarded ones are collected; any other command first sends what was collected. */
function* handle(u: UnitContext, words: bigint[], at: number): Op<Stop | null> {
  const opcode = Number(words[0]! & 0xffn);
  if (forwardable.has(opcode)) return yield* forward(u, opcode, words, at);
  if (u.vmm.rules.endsBatch(opcode === opcodes['SYNC'] ? 'sync' : 'local')) {
    const failed = yield* flush(u);
    if (failed) return failed;
  }
  if (ignored.has(opcode)) return null;
  const ill: Stop = { at, error: ILL };
  const sid = Number(words[0]! >> 32n);
  switch (opcode) {
    case opcodes['SYNC']:
      // QEMU raises the SYNC interrupt for CS bit 0; a Linux guest polls CONS instead.
      return u.vmm.rules.sync(Number((words[0]! >> 12n) & 3n)) === 'complete' ? null : ill;
    case opcodes['CFGI_STE']: {
      if (words[0]! & SSEC) return ill;
      const d = deviceOf(u, sid);
      return !d || (yield* installSte(u, d)) ? null : ill;
    }
    case opcodes['CFGI_STE_RANGE']: {
      if (words[0]! & SSEC) return ill;
      const { start, end } = u.vmm.rules.steRange(sid, Number(words[1]! & 31n));
      return (yield* installRange(u, start, end)) ? null : ill;
    }
    case opcodes['RESUME']:
      yield* resume(u, words);
      return null;
    case opcodes['STALL_TERM']:
      yield* stallTerm(u, words);
      return null;
    default:
      // Stage-2 commands of a stage-1 SMMU, CFGI_VMS_PIDM, Secure and reserved opcodes.
      return ill;
  }
}

/** smmu_write_cmdq_err and the global error interrupt. */
function raiseError(u: UnitContext, stop: Stop, name: string, log2size: number): void {
  const r = u.state.registers;
  r['CMDQ_CONS'] = ((r['CMDQ_CONS'] ?? 0n) & ~(0x7fn << 24n)) | (BigInt(stop.error) << 24n);
  const error = stop.error === ABT ? 'CERROR_ABT' : 'CERROR_ILL';
  u.vmm.trace.listener?.({
    kind: 'command.error',
    actor: 'vmm',
    at: u.ids.vsmmu,
    queue: 'virtual',
    index: stop.at % 2 ** log2size,
    error,
    text: stop.error === ABT ? 'command fetch outside guest memory' : `${stop.name ?? name} refused: ${error}`,
  });
  raiseGerror(u, GERROR.cmdq);
}
