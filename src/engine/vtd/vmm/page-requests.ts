import { hexPlain } from '../../bits/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { answerFault, faultPerm, type PageFault, readFaults } from '../../vmm/index.ts';
import { pageRequestText, prqLayout } from '../layout/index.ts';
import { bindingText } from './bind.ts';
import { recordFault } from './fault-record.ts';
import { forward } from './forward.ts';
import { allowsPageRequests, contextEntry, contextFpd, pasidEntry, pasidFpd } from './guest-tables.ts';
import { raisePageRequestEvent } from './interrupts.ts';
import { didOf, pgttOf } from './pasid-entry.ts';
import { PRS_REG, updateRegister } from './registers.ts';
import { type Binding, note, type UnitContext, type VmmDevice } from './state.ts';

/**
 * Policy `pageFaults: forwarded`: page requests of the host's fault queues become descriptors in the guest's page request
 * queue, and its page group responses go back (QEMU's page request series: vtd_prq_read_fault, vtd_pri_request_page,
 * vtd_prq_response_notify).
 */

/** Records that one read() has room for. */
const ROOM = 100;
const ENTRY_BYTES = 32;
/** LGN and SM codes: context entry without PRE. */
const PRE_CLEAR = 0x47;
const FIRST_STAGE = 1;
/** IOMMUFD_PAGE_RESP_INVALID */
const INVALID = 1;

/** Reads the fault queues of all bindings until they are empty. */
export function* pollFaults(u: UnitContext): Op<void> {
  for (const d of [...u.state.devices])
    for (const b of [...d.bindings])
      for (;;) {
        const q = b.faultQueue;
        const faults = q ? readFaults(u, q, ROOM) : [];
        if (faults.length === 0) break;
        for (const f of faults) yield* take(u, d, b, f);
        yield pause('vmm', 'fault');
      }
}

/** vtd_prq_report_fault: a group is remembered with its last request, whether or not the guest got it. */
function* take(u: UnitContext, d: VmmDevice, b: Binding, f: PageFault): Op<void> {
  const q = b.faultQueue;
  const lost = yield* request(u, d, b, f);
  if (lost) note(u, `page request of ${bindingText(d, b.pasid)} at ${hexPlain(f.address)} is lost: ${lost}`);
  if (!f.last || !q || b.faultQueue !== q) return;
  if (lost && u.vmm.rules.lostGroup() === 'answer') yield* answerFault(u, q, f.cookie, INVALID);
  else b.pending.unshift({ group: f.group, cookie: f.cookie });
}

/** vtd_pri_request_page. @returns '' or why the guest does not get it */
function* request(u: UnitContext, d: VmmDevice, b: Binding, f: PageFault): Op<string> {
  const { rules, memory } = u.vmm;
  const r = u.state.registers;
  if (b.pasid === 0) return 'page requests without PASID are not supported';
  const perm = (bit: number): boolean => (f.perm & bit) !== 0;
  if (perm(faultPerm.exec) && !perm(faultPerm.read)) return 'an execute request that does not read';
  const problem = checkPre(u, d, b.pasid, f);
  if (problem) return problem;
  const before = r['PRS_REG'] ?? 0n;
  if (before & PRS_REG.pro) return 'the guest has not cleared PRS_REG.PRO';
  const pqa = r['PQA_REG'] ?? 0n;
  const bytes = BigInt(2 ** (Number(pqa & 7n) + 7) * ENTRY_BYTES);
  const tail = r['PQT_REG'] ?? 0n;
  const next = (tail + BigInt(ENTRY_BYTES)) % bytes;
  if (next === (r['PQH_REG'] ?? 0n)) {
    updateRegister(r, 'PRS_REG', 0n, PRS_REG.pro);
    raisePageRequestEvent(u, before);
    return 'the guest’s page request queue is full';
  }
  const entry = pasidEntry(u, d.vrid, b.pasid);
  if (typeof entry === 'number' || pgttOf(entry) !== FIRST_STAGE) return 'the PASID has no first stage';
  const page = f.address & ~0xfffn;
  if (rules.invalidatesRequestedPage())
    yield* forward(u, { did: didOf(entry), pasid: b.pasid, range: { address: page, am: 0, leaf: false } }, null);
  const words = rules.pageRequest({
    rid: d.vrid & 0xffff,
    pasid: b.pasid,
    page,
    group: f.group,
    last: f.last,
    read: perm(faultPerm.read),
    write: perm(faultPerm.write),
    priv: perm(faultPerm.priv),
  });
  const address = Number((pqa & ~0xfffn) + tail);
  if (!memory.contains(address, ENTRY_BYTES)) return 'the guest’s page request queue cannot be written';
  for (let i = 0; i < 4; i++) memory.writeWord(address + i * 8, words[i]!);
  r['PQT_REG'] = next;
  u.vmm.trace.listener?.({
    kind: 'guest.event',
    actor: 'vmm',
    at: u.ids.prq,
    name: 'page request',
    words,
    layout: prqLayout.id,
    text: pageRequestText(words),
  });
  const now = r['PRS_REG'] ?? 0n;
  if (!(now & PRS_REG.ppr)) {
    updateRegister(r, 'PRS_REG', 0n, PRS_REG.ppr);
    raisePageRequestEvent(u, now);
  }
  yield pause('vmm', 'event');
  return '';
}

/** vtd_check_pre_bit: the guest must have allowed the device page requests; if not, its fault record says so. */
function checkPre(u: UnitContext, d: VmmDevice, pasid: number, f: PageFault): string {
  const write = (f.perm & faultPerm.write) !== 0;
  const fault = (code: number) => ({ code, rid: d.vrid & 0xffff, pasid, write, address: f.address });
  const context = contextEntry(u, d.vrid);
  if (typeof context === 'number') {
    recordFault(u, fault(context), false);
    return 'the guest’s context entry cannot be used';
  }
  if (allowsPageRequests(context)) return '';
  recordFault(u, fault(PRE_CLEAR), contextFpd(context) || pasidFpd(u, context, pasid));
  return 'PRE of the guest’s context entry is clear';
}

/** PAGE_GRP_RESP (vtd_process_page_group_response_desc): every waiting group of the PASID with that index is answered. */
export function* respond(u: UnitContext, words: readonly bigint[]): Op<string> {
  const { rules } = u.vmm;
  const w = words[0]!;
  if (rules.responseNeedsPasid() && !(w & 0x10n)) return 'Page group response without PASID is not supported';
  const rid = Number((w >> 16n) & 0xffffn);
  const pasid = Number((w >> 32n) & 0xfffffn);
  const group = Number((words[1]! >> 3n) & 0x1ffn);
  const code = rules.responseCode(Number((w >> 12n) & 15n));
  const b = u.state.devices.find((d) => (d.vrid & 0xffff) === rid)?.bindings.find((x) => x.pasid === pasid);
  const q = b?.faultQueue;
  if (!b || !q || code === null) return '';
  const answered = b.pending.filter((p) => p.group === group);
  b.pending = b.pending.filter((p) => p.group !== group);
  for (const p of answered) yield* answerFault(u, q, p.cookie, code);
  return '';
}
