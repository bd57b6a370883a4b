import type { Op } from '../../machine/index.ts';
import { eventLogLines } from './event-log.ts';
import { log, readRegister, writeRegister } from './mmio.ts';
import { globalError } from './queue.ts';
import type { Guest, Ring } from './state.ts';

const ENTRY = 32;
const OVERFLOW = 0x80000000;
const POSITION = 0xfffff;
/** Records taken in one run of the thread; the line stays raised when there are more. */
const MAX_RECORDS = 256;

/** Both interrupt lines of the vSMMU, as far as they are raised. Before probe nobody has asked for them. */
export function* interrupt(g: Guest): Op<void> {
  if (!g.state.cmdq) g.smmu.irq.gerror = g.smmu.irq.evtq = false;
  if (g.smmu.irq.gerror) yield* globalError(g);
  if (g.smmu.irq.evtq) yield* eventThread(g);
}

/**
 * arm_smmu_evtq_thread: takes every record between CONS and PROD, says what it says in the kernel log, and moves CONS
 * after each one.
 */
function* eventThread(g: Guest): Op<void> {
  g.smmu.irq.evtq = false;
  const q = g.state.evtq;
  if (!q) return;
  const size = 2 ** (q.log2size + 1);
  for (let taken = 0; ; ) {
    const prod = yield* readRegister(g, 'EVENTQ_PROD');
    if (flagOf(prod) !== flagOf(q.prod)) log(g, 'guest.evtq', 'EVTQ overflow detected -- events lost');
    q.prod = prod >>> 0;
    if (position(q.prod, size) === position(q.cons, size)) break;
    for (; position(q.prod, size) !== position(q.cons, size); taken++) {
      if (taken === MAX_RECORDS) {
        g.smmu.irq.evtq = true;
        return;
      }
      const at = q.base + (position(q.cons, size) % 2 ** q.log2size) * ENTRY;
      const words = [0, 8, 16, 24].map((o) => g.memory.readWord(at + o));
      q.cons = (flagOf(q.cons) | ((position(q.cons, size) + 1) % size)) >>> 0;
      yield* writeRegister(g, 'EVENTQ_CONS', q.cons);
      report(g, words);
    }
  }
  yield* acknowledgeOverflow(g, q);
}

const flagOf = (register: number): number => (register & OVERFLOW) >>> 0;
const position = (register: number, size: number): number => (register & POSITION) % size;

function* acknowledgeOverflow(g: Guest, q: Ring): Op<void> {
  if (flagOf(q.prod) === flagOf(q.cons)) return;
  q.cons = (flagOf(q.prod) | (q.cons & POSITION)) >>> 0;
  yield* writeRegister(g, 'EVENTQ_CONS', q.cons);
}

/** arm_smmu_dump_event: the lines that appear in the guest's log. */
function report(g: Guest, words: readonly bigint[]): void {
  if (!g.trace.listener) return;
  const sid = Number((words[0]! >> 32n) & 0xffffffffn);
  const client = g.state.masters.find((m) => m.vsid === sid)?.name ?? '(unassigned sid)';
  for (const line of eventLogLines(words, client)) log(g, 'guest.evtq', line);
}
