import type { Op } from '../../machine/index.ts';
import { eventLogLines } from './event-log.ts';
import { deviceFault } from './faults.ts';
import { globalError } from './gerror.ts';
import { log, readRegister, writeRegister } from './mmio.ts';
import { pageRequest } from './page-request.ts';
import { OVERFLOW, POSITION, slotOf, span } from './ring.ts';
import type { Ring, Unit } from './state.ts';

/** Records taken in one run of a thread; the line stays raised when there are more. */
const MAX_RECORDS = 256;
/** Events that a handler may take: C_BAD_STE, F_STREAM_DISABLED, C_BAD_SUBSTREAMID, C_BAD_CD and the four faults. */
const HANDLED = new Set([0x04, 0x06, 0x08, 0x0a, 0x10, 0x11, 0x12, 0x13]);
const STALL = 1n << 31n;

/** The interrupt lines of a vSMMU, as far as they are raised. Before probe nobody has asked for them. */
export function* interrupt(u: Unit): Op<void> {
  const { irq } = u.smmu;
  if (!u.state.cmdq) irq.gerror = irq.evtq = irq.priq = false;
  if (irq.gerror) yield* globalError(u);
  if (irq.evtq) {
    irq.evtq = false;
    if (u.state.evtq && (yield* drain(u, u.state.evtq, 'EVENTQ', 32, event))) irq.evtq = true;
  }
  if (irq.priq) {
    irq.priq = false;
    if (u.state.priq && (yield* drain(u, u.state.priq, 'PRIQ', 16, pageRequest))) irq.priq = true;
  }
}

/**
 * arm_smmu_evtq_thread and arm_smmu_priq_thread: takes every record between CONS and PROD, moves CONS, then handles it; at
 * the end an overflow is acknowledged.
 * @returns true when it stopped early and there may be more
 */
function* drain(
  u: Unit,
  q: Ring,
  prefix: 'EVENTQ' | 'PRIQ',
  bytes: number,
  handle: (u: Unit, words: readonly bigint[]) => Op<void>,
): Op<boolean> {
  const id = prefix === 'EVENTQ' ? u.ids.evtq : u.ids.priq;
  for (let taken = 0; ; ) {
    const prod = yield* readRegister(u, `${prefix}_PROD`);
    if (flagOf(prod) !== flagOf(q.prod))
      log(u, id, `${prefix === 'EVENTQ' ? 'EVTQ' : 'PRIQ'} overflow detected -- ${lost[prefix]} lost`);
    q.prod = prod >>> 0;
    if (position(q, q.prod) === position(q, q.cons)) break;
    for (; position(q, q.prod) !== position(q, q.cons); taken++) {
      if (taken === MAX_RECORDS) return true;
      const at = q.base + slotOf(q, position(q, q.cons)) * bytes;
      const words = Array.from({ length: bytes / 8 }, (_, i) => u.kernel.memory.readWord(at + i * 8));
      q.cons = (flagOf(q.cons) | ((position(q, q.cons) + 1) % span(q))) >>> 0;
      yield* writeRegister(u, `${prefix}_CONS`, q.cons);
      yield* handle(u, words);
    }
  }
  if (flagOf(q.prod) === flagOf(q.cons)) return false;
  q.cons = (flagOf(q.prod) | (q.cons & POSITION)) >>> 0;
  yield* writeRegister(u, `${prefix}_CONS`, q.cons);
  return false;
}

const lost = { EVENTQ: 'events', PRIQ: 'requests' } as const;
const flagOf = (register: number): number => (register & OVERFLOW) >>> 0;
const position = (q: Ring, register: number): number => (register & POSITION) % span(q);

/** arm_smmu_handle_event: a stalled transaction becomes a page fault; what nobody handles goes to the log. */
function* event(u: Unit, words: readonly bigint[]): Op<void> {
  const sid = Number((words[0]! >> 32n) & 0xffffffffn);
  const master = u.state.masters.find((m) => m.vsid === sid);
  if (HANDLED.has(Number(words[0]! & 0xffn)) && master && words[1]! & STALL) {
    if (yield* deviceFault(u, master, words)) return;
  }
  if (!u.kernel.trace.listener) return;
  for (const line of eventLogLines(words, master?.name ?? '(unassigned sid)')) log(u, u.ids.evtq, line);
}
