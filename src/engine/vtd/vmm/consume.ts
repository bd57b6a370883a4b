import { type Op, pause } from '../../machine/index.ts';
import { reportOnce } from '../../vmm/index.ts';
import { descriptorText } from '../layout/index.ts';
import { handle } from './descriptors.ts';
import { queueError } from './fault-record.ts';
import { flush } from './forward.ts';
import { ADDRESS, FSTS, IQA, testRegister, updateRegister } from './registers.ts';
import type { UnitContext } from './state.ts';

/** Type of a wait descriptor. */
const WAIT = 5;
const QIES = 1n << 26n;

/** GCMD.QIE comes on (vtd_handle_gcmd_qie): the queue is where IQA_REG says, and what is in it already is taken. */
export function* enableQueue(u: UnitContext): Op<void> {
  const s = u.state;
  const iqa = s.registers['IQA_REG'] ?? 0n;
  s.iq = Number(iqa & ADDRESS);
  s.iqSize = 2 ** (Number(iqa & IQA.qs) + 8 - (s.iqWide ? 1 : 0));
  s.qiEnabled = true;
  updateRegister(s.registers, 'GSTS_REG', 0n, QIES);
  if (s.iqTail !== 0) yield* consume(u);
}

/** GCMD.QIE goes off: only an empty queue that ended with a wait descriptor lets it. */
export function disableQueue(u: UnitContext): void {
  const s = u.state;
  if (!s.qiEnabled || s.iqTail !== s.iqHead || s.lastType !== WAIT) {
    const at = `head=0x${s.iqHead.toString(16)}, tail=0x${s.iqTail.toString(16)}, last_type=${s.lastType}`;
    reportOnce(u, 'disable QI', `detected improper state when disable QI (${at})`);
    return;
  }
  s.registers['IQH_REG'] = 0n;
  s.iqHead = 0;
  s.qiEnabled = false;
  updateRegister(s.registers, 'GSTS_REG', QIES, 0n);
}

/** IQT_REG was written (vtd_handle_iqt_write). */
export function* tailWritten(u: UnitContext): Op<void> {
  const s = u.state;
  const value = s.registers['IQT_REG'] ?? 0n;
  const HALF_SLOT = 0x10n;
  if (s.iqWide && value & HALF_SLOT) {
    showError(u, s.iqHead, 'invalid tail: bit 4 of IQT_REG is set in a queue of 256-bit descriptors');
    queueError(u);
    return;
  }
  s.iqTail = Number((value >> (s.iqWide ? 5n : 4n)) & 0x7fffn);
  yield* consume(u);
}

/**
 * The descriptor loop (vtd_fetch_inv_desc): takes descriptors from guest memory until the tail, an error, or while FSTS.IQE
 * is set. IQH follows each descriptor that was done and stays at one that is refused.
 */
export function* consume(u: UnitContext): Op<void> {
  const s = u.state;
  const { rules } = u.vmm;
  if (s.consuming || !s.qiEnabled || testRegister(s.registers, 'FSTS_REG', FSTS.iqe)) return;
  s.consuming = true;
  const { resets } = s;
  // What an earlier doorbell left behind goes first.
  if (rules.sends() === 'next-doorbell') yield* flush(u);
  while (s.iqHead !== s.iqTail) {
    if (s.iqTail >= s.iqSize) {
      showError(u, s.iqHead, `invalid tail: ${s.iqTail} of ${s.iqSize} descriptors`);
      queueError(u);
      break;
    }
    const problem = yield* step(u);
    // A machine reset meanwhile: the queue is another one now.
    if (s.resets !== resets) return;
    if (problem) {
      showError(u, s.iqHead, problem);
      if (rules.refused() === 'stop') {
        queueError(u);
        break;
      }
    }
    s.iqHead = s.iqHead + 1 >= s.iqSize ? 0 : s.iqHead + 1;
    s.registers['IQH_REG'] = (BigInt(s.iqHead) << (s.iqWide ? 5n : 4n)) & 0x7fff0n;
  }
  if (rules.sends() === 'at-once' && rules.endsBatch('empty')) yield* flush(u);
  if (s.resets === resets) s.consuming = false;
}

/** One descriptor. @returns '' or why it is refused */
function* step(u: UnitContext): Op<string> {
  const s = u.state;
  const bytes = s.iqWide ? 32 : 16;
  const address = s.iq + s.iqHead * bytes;
  if (!u.vmm.memory.contains(address, bytes)) {
    s.lastType = -1;
    return 'the descriptor cannot be read';
  }
  const words = [0, 8, 16, 24].map((at) => (at < bytes ? u.vmm.memory.readWord(address + at) : 0n));
  u.vmm.trace.listener?.({
    kind: 'command.fetch',
    actor: 'vmm',
    at: u.ids.viommu,
    queue: 'virtual',
    index: s.iqHead,
    command: descriptorText(words),
  });
  yield pause('vmm', 'command.fetch');
  return yield* handle(u, words);
}

function showError(u: UnitContext, index: number, text: string): void {
  u.vmm.trace.listener?.({
    kind: 'command.error',
    actor: 'vmm',
    at: u.ids.viommu,
    queue: 'virtual',
    index,
    error: 'IQE',
    text: `${text}: FSTS.IQE`,
  });
}
