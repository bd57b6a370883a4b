import { hexPlain } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { answerFault, type FaultQueue, type PageFault, readFaults } from '../../vmm/index.ts';
import { writeEvent } from './events.ts';
import type { PendingFault, UnitContext } from './state.ts';

/**
 * Policy `pageFaults: forwarded`: stalled transactions of devices that the guest lets stall reach the guest's event queue,
 * and its CMD_RESUME and CMD_STALL_TERM go back as page responses. QEMU has no fault queue; what a record waits for and when
 * a tag may be used again follows the architecture (Arm IHI 0070, 3.12.2).
 */

const STAGS = 0x10000;

/** Reads the fault queue until it is empty, a record a time. */
export function* pollFaults(u: UnitContext): Op<void> {
  for (;;) {
    const q = u.state.faultQueue;
    if (!q || u.state.faults.length === STAGS) return;
    const [fault] = readFaults(u, q, 1);
    if (!fault) return;
    yield* take(u, q, fault);
    yield pause('vmm', 'fault');
  }
}

function* take(u: UnitContext, q: FaultQueue, fault: PageFault): Op<void> {
  const { cookie } = fault;
  const d = u.state.devices.find((x) => x.devid === fault.devid);
  // A stall is a group of one. What no device of the guest caused has nobody who could answer.
  if (!d || !fault.last) {
    yield* answerFault(u, q, cookie, 1);
    return;
  }
  const stag = u.vmm.rules.nextStag(u.state.lastStag, new Set(u.state.faults.map((f) => f.stag)));
  u.state.lastStag = stag;
  const words = u.vmm.rules.faultRecord(fault, d.vsid, stag);
  u.vmm.trace.listener?.({
    kind: 'note',
    actor: 'vmm',
    at: u.ids.vsmmu,
    text: `page request of ${d.name} at ${hexPlain(fault.address)}, group ${fault.group}, becomes STAG ${stag} of vSID ${hexPlain(d.vsid)}`,
  });
  u.state.faults.push({ stag, cookie, device: d.name, vsid: d.vsid, words, delivered: false });
  yield* deliverFaults(u);
}

/** Puts waiting records into the guest's event queue, as long as it takes them. */
export function* deliverFaults(u: UnitContext): Op<void> {
  for (const f of u.state.faults) {
    if (f.delivered) continue;
    f.delivered = writeEvent(u, f.words) || !u.vmm.rules.keepsStalls();
    if (!f.delivered) return;
    yield pause('vmm', 'event');
  }
}

/** CMD_RESUME. A tag that the stream has no fault for is not an error: it may have ended meanwhile. */
export function* resume(u: UnitContext, words: readonly bigint[]): Op<void> {
  const q = u.state.faultQueue;
  const [sid, stag] = [Number(words[0]! >> 32n), Number(words[1]! & 0xffffn)];
  const fault = u.state.faults.find((f) => f.stag === stag && f.vsid === sid && f.delivered);
  const code = u.vmm.rules.resumeCode((words[0]! & 0x1000n) !== 0n, (words[0]! & 0x2000n) !== 0n);
  if (q && fault && code !== null) yield* finish(u, q, fault, code);
}

/** CMD_STALL_TERM: every fault of the stream, recorded or not, ends. */
export function* stallTerm(u: UnitContext, words: readonly bigint[]): Op<void> {
  const q = u.state.faultQueue;
  if (!q || !u.vmm.rules.stallTermAnswers()) return;
  const sid = Number(words[0]! >> 32n);
  for (const f of u.state.faults.filter((x) => x.vsid === sid)) yield* finish(u, q, f, 1);
}

function* finish(u: UnitContext, q: FaultQueue, f: PendingFault, code: 0 | 1): Op<void> {
  u.state.faults = u.state.faults.filter((x) => x !== f);
  u.vmm.trace.listener?.({
    kind: 'note',
    actor: 'vmm',
    at: u.ids.vsmmu,
    text: `STAG ${f.stag} of vSID ${hexPlain(f.vsid)} answered: ${code === 0 ? 'SUCCESS' : 'INVALID'} for cookie ${f.cookie}`,
  });
  yield* answerFault(u, q, f.cookie, code);
}

/** The device's attachment has ended, so the kernel has answered what waited for it (iommufd_auto_response_faults). */
export function forgetFaults(u: UnitContext, device: string): void {
  if (u.vmm.rules.forgetsFaults()) u.state.faults = u.state.faults.filter((f) => f.device !== device);
}
