import { wordsToBytes } from '../../bits/index.ts';
import type { PageRequest } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { eventLayout, eventName } from '../layout/index.ts';
import { reportFault } from './iopf.ts';
import { isHandledEvent } from './rewrite.ts';
import { type Host, log, type Master } from './state.ts';

/** The event queue's thread (arm-smmu-v3.c arm_smmu_evtq_thread, arm_smmu_handle_event, arm_smmu_dump_event). */

const VEVENTQ_TYPE_ARM_SMMUV3 = 1;
const ENTRY = 32;
const OVERFLOW = 0x80000000;
const STALL = 1n << 31n;
const SSV = 1n << 11n;
const PERM = { read: 1, write: 2, exec: 4, priv: 8 };
/** Records that one run of the thread prints; the kernel's rate limit without its clock. */
const DUMPS = 10;

/**
 * Takes the records that are there out of the queue; each goes to the guest or into the log. What comes meanwhile, from
 * transactions that were retried and fault again, is the next run's: retried for ever it would never end.
 */
export function* drainEvents(h: Host): Op<void> {
  const q = h.state.evtq!;
  h.smmu.irq.evtq = false;
  const size = 2 ** q.log2;
  let unhandled = 0;
  let left = -1;
  for (;;) {
    const prodReg = Number(h.smmu.readRegister('EVENTQ_PROD'));
    const consReg = Number(h.smmu.readRegister('EVENTQ_CONS'));
    const overflow = (prodReg & OVERFLOW) !== (consReg & OVERFLOW);
    q.prod = (prodReg & 0xfffff) % (2 * size);
    if (q.cons === q.prod) {
      if (!overflow) break;
      log(h, h.ids.evtq, 'EVTQ overflow detected -- events lost');
      yield* h.smmu.writeRegister('EVENTQ_CONS', BigInt(((prodReg & OVERFLOW) | q.cons) >>> 0));
      continue;
    }
    if (left < 0) left = (q.prod - q.cons + 2 * size) % (2 * size);
    if (left-- === 0) {
      h.smmu.irq.evtq = true;
      break;
    }
    const at = q.base + (q.cons % size) * ENTRY;
    const evt = [0, 8, 16, 24].map((o) => h.memory.readWord(at + o));
    q.cons = (q.cons + 1) % (2 * size);
    yield* h.smmu.writeRegister('EVENTQ_CONS', BigInt(((consReg & OVERFLOW) | q.cons) >>> 0));
    const m = h.state.masters.find((x) => x.sid === Number(evt[0]! >> 32n));
    if (!(yield* handle(h, m, evt)) && unhandled++ < DUMPS) dump(h, m, evt);
    yield pause('driver', 'event');
  }
  if (unhandled > DUMPS) log(h, h.ids.evtq, `arm_smmu_evtq_thread: ${unhandled - DUMPS} callbacks suppressed`);
}

/** arm_smmu_handle_event: a stalled transaction is a page request, other records may go to the guest. False: unhandled. */
function* handle(h: Host, m: Master | undefined, evt: readonly bigint[]): Op<boolean> {
  if (!isHandledEvent(evt) || !m) return false;
  if (evt[1]! & STALL) return (yield* reportFault(h, m, pageRequest(evt))) === '0';
  return deliver(h, m, evt);
}

/** The record of a stalled transaction as a page request: always the last, and only, one of its group. */
function pageRequest(evt: readonly bigint[]): PageRequest {
  const bit = (n: bigint): boolean => ((evt[1]! >> n) & 1n) !== 0n;
  const access = bit(35n) ? PERM.read : PERM.write;
  return {
    pasid: evt[0]! & SSV ? Number((evt[0]! >> 12n) & 0xfffffn) : null,
    group: Number(evt[1]! & 0xffffn),
    perm: access | (bit(34n) ? PERM.exec : 0) | (bit(33n) ? PERM.priv : 0),
    address: evt[2]!,
    last: true,
  };
}

/** True when the record reached the guest. */
function deliver(h: Host, m: Master, evt: readonly bigint[]): boolean {
  if (!m.vmaster || !h.rules.eventGoesToGuest(evt)) return false;
  const words = h.rules.guestEvent(evt, m.vmaster.vsid);
  const errno = h.upcalls!.reportEvent(m.vmaster.viommu, VEVENTQ_TYPE_ARM_SMMUV3, wordsToBytes(words));
  if (errno !== '0') return false;
  const hex = (w: bigint): string => `0x${(w >> 32n).toString(16)}`;
  h.trace.listener?.({
    kind: 'record.rewrite',
    actor: 'driver',
    at: h.ids.evtq,
    to: h.upcalls!.viommuSceneId(m.vmaster.viommu),
    layout: eventLayout(words).id,
    words,
    changes: [{ field: 'sid', from: hex(evt[0]!), to: hex(words[0]!) }],
    text: `${eventName(Number(evt[0]! & 0xffn))}: sid ${hex(evt[0]!)} → ${hex(words[0]!)}`,
  });
  return true;
}

const classTexts = ['CD fetch', 'Stage 1 translation table fetch', 'Input address caused fault', 'Reserved'];

/** The lines that the kernel prints of a record nobody took. */
function dump(h: Host, m: Master | undefined, evt: readonly bigint[]): void {
  const id = Number(evt[0]! & 0xffn);
  log(h, h.ids.evtq, `event 0x${id.toString(16).padStart(2, '0')} received:`);
  for (const w of evt) log(h, h.ids.evtq, `\t0x${w.toString(16).padStart(16, '0')}`);
  const hex = (n: bigint | number): string => (BigInt(n) === 0n ? '0' : `0x${n.toString(16)}`);
  const name = eventName(id);
  const known = name.startsWith('IMPDEF') || name.startsWith('RESERVED') ? 'UNKNOWN' : name;
  const client = m?.name ?? '(unassigned sid)';
  const ssid = evt[0]! & 0x800n ? (evt[0]! >> 12n) & 0xfffffn : 0n;
  const head = `event: ${known} client: ${client} sid: ${hex(evt[0]! >> 32n)} ssid: ${hex(ssid)}`;
  const bit = (n: bigint): boolean => ((evt[1]! >> n) & 1n) !== 0n;
  const address = evt[3]! & 0xffffffffff000n;
  if (id >= 0x10 && id <= 0x13) {
    log(h, h.ids.evtq, `${head} iova: ${hex(evt[2]!)} ipa: ${hex(address)}`);
    const cls = Number((evt[1]! >> 40n) & 3n);
    const ttd = id === 0x13 && cls === 1 ? (bit(44n) ? ' ttd_read' : ' ttd_write') : '';
    const how = [
      bit(33n) ? 'priv' : 'unpriv',
      bit(34n) ? 'inst' : 'data',
      bit(35n) ? 'read' : 'write',
      bit(39n) ? 's2' : 's1',
    ];
    const stall = bit(31n) ? ' stall' : '';
    log(h, h.ids.evtq, `event: ${how.join(' ')} "${classTexts[cls]}"${ttd}${stall} stag: ${hex(evt[1]! & 0xffffn)}`);
  } else if (id === 0x03 || id === 0x09 || id === 0x25)
    log(h, h.ids.evtq, `${head} fetch_addr: ${hex(evt[3]! & 0xffffffffffff8n)}`);
  else log(h, h.ids.evtq, head);
}
