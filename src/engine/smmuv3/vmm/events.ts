import { type Op, pause } from '../../machine/index.ts';
import { reportOnce } from '../../vmm/index.ts';
import { eventLayout, eventName, eventText } from '../layout/index.ts';
import { raiseEvtq, raiseGerror } from './interrupts.ts';
import { CR0, GERROR, ringOf } from './registers.ts';
import type { UnitContext } from './state.ts';

const ENTRY = 32;
/** struct iommufd_vevent_header and the event. */
const RECORD = 8 + ENTRY;
const LOST_EVENTS = 1;

/** Reads the vEVENTQ until it is empty, a record a time as the fd handler does (smmuv3_accel_event_read). */
export function* pollEvents(u: UnitContext): Op<void> {
  for (;;) {
    const q = u.state.veventq;
    if (!q) return;
    const name = `vEVENTQ(type 1 id ${q.id})`;
    const { errno, out } = u.vmm.kernel.read(q.fd, RECORD);
    const record = out.records[0];
    if (!record) {
      if (errno !== '0') reportOnce(u, 'read failed', `${name}: read failed (${errno})`);
      const words = u.vmm.rules.emptyRead();
      if (words) propagate(u, words);
      return;
    }
    const sequence = Number(record['sequence']);
    if (Number(record['flags']) & LOST_EVENTS) {
      reportOnce(u, 'overflowed', `${name}: overflowed`);
      q.started = false;
      continue;
    }
    if (q.started && sequence - q.lastSequence !== 1)
      reportOnce(u, 'lost', `${name}: lost ${(sequence - q.lastSequence - 1) >>> 0} event(s)`);
    q.lastSequence = sequence;
    q.started = true;
    propagate(u, ((record['evt'] ?? []) as (bigint | number | string)[]).map(BigInt));
    yield pause('vmm', 'event');
  }
}

/**
 * smmuv3_propagate_event: writes a record into the guest's event queue and raises its interrupt. A queue that is off, full or
 * outside guest memory loses it, and GERROR says so; the model knows no overflow flag.
 */
export function propagate(u: UnitContext, words: readonly bigint[]): void {
  if (!writeEvent(u, words)) raiseGerror(u, GERROR.evtqAbort);
}

/** smmuv3_write_eventq. @returns false when the queue is off, full or outside guest memory */
export function writeEvent(u: UnitContext, words: readonly bigint[]): boolean {
  const r = u.state.registers;
  const q = ringOf(r, 'EVENTQ');
  const size = 2 ** q.log2size;
  const prod = Number(r['EVENTQ_PROD'] ?? 0n) % (2 * size);
  const cons = Number(r['EVENTQ_CONS'] ?? 0n) % (2 * size);
  const address = q.base + (prod % size) * ENTRY;
  // Full is the same index with the other wrap bit; a CONS that says nonsense is never full.
  const full = (prod - cons + 2 * size) % (2 * size) === size;
  if (!((r['CR0'] ?? 0n) & CR0.eventqen) || full || !u.vmm.memory.contains(address, ENTRY)) return false;
  for (let i = 0; i < 4; i++) u.vmm.memory.writeWord(address + i * 8, words[i] ?? 0n);
  r['EVENTQ_PROD'] = ((r['EVENTQ_PROD'] ?? 0n) & ~BigInt(2 * size - 1)) | BigInt((prod + 1) % (2 * size));
  raiseEvtq(u);
  u.vmm.trace.listener?.({
    kind: 'guest.event',
    actor: 'vmm',
    at: u.ids.evtq,
    name: eventName(Number((words[0] ?? 0n) & 0xffn)),
    words,
    layout: eventLayout(words).id,
    text: eventText(words),
  });
  return true;
}
