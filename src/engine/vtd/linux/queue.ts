import type { Errno } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { descriptorText } from '../layout/index.ts';
import { type Descriptor, STATUS, waitDescriptor } from './descriptors.ts';
import { type IntelIommu, type InvalidationQueue, type Kernel, tracepoint } from './kernel.ts';
import { writeRegister } from './mmio.ts';
import { checkFault } from './queue-errors.ts';

/** The invalidation queue's producer (dmar.c qi_submit_sync, reclaim_free_desc). */

/** QI_LENGTH */
export const SLOTS = 256;
/** Polls without an answer before a submission counts as never completing; the CPU in Linux spins on. */
const IDLE_POLLS = 3;
/** Submissions that a unit may abort (ITE) before the model gives up; Linux repeats without end. */
const RETRIES = 8;

export const slotAddress = (q: InvalidationQueue, index: number): number => q.base + index * 2 ** q.shift;
export const statusAddress = (q: InvalidationQueue, index: number): number => q.status + index * 4;

/**
 * Sends descriptors and a wait of the driver's own in one submission: one write of IQT_REG, then it spins on the wait's
 * status word. `drain` puts PD into that wait (QI_OPT_WAIT_DRAIN).
 * @returns EINVAL when the first descriptor was refused (and repaired), ETIMEDOUT when a device that is gone does not answer,
 * or when nothing moves any more: a kernel would spin for ever there
 */
export function* submit(
  k: Kernel,
  u: IntelIommu,
  descriptors: readonly Descriptor[],
  options: { readonly drain?: boolean; readonly of?: 'flush' | 'entry' } = {},
): Op<Errno> {
  const q = k.state.units[u.index]!.queue;
  if (!q) return '0';
  const list = descriptors.flatMap((d) => k.injector.pass(k.injectPoint, d, u.ids.queue));
  for (let i = 0; i < RETRIES; i++) {
    const errno = yield* attempt(k, u, q, list, options.drain ?? false, options.of ?? 'entry');
    if (errno !== 'EAGAIN') return errno;
  }
  return 'ETIMEDOUT';
}

/** One descriptor, one submission (qi_flush_*). */
export const submitOne = (k: Kernel, u: IntelIommu, d: Descriptor): Op<Errno> => submit(k, u, [d]);

/** Each list of descriptors is a submission of its own, one after the other. */
export function* submitEach(k: Kernel, u: IntelIommu, lists: readonly (readonly Descriptor[])[]): Op<void> {
  for (const list of lists) if (list.length > 0) yield* submit(k, u, list);
}

function* attempt(
  k: Kernel,
  u: IntelIommu,
  q: InvalidationQueue,
  list: readonly Descriptor[],
  drain: boolean,
  of: 'flush' | 'entry',
): Op<Errno | 'EAGAIN'> {
  const waits = k.rules.waits(of);
  const count = list.length;
  const total = count + (waits ? 1 : 0);
  if (total === 0) return '0';
  for (let i = 0; q.freeCount < total + 1; i++) {
    reclaim(k, q);
    if (q.freeCount >= total + 1) break;
    if (i === IDLE_POLLS) return stuck(k, u, 'no free slots');
    yield pause(k.actor, 'poll');
  }
  const index = q.freeHead;
  list.forEach((d, i) => {
    const slot = (index + i) % SLOTS;
    put(k, u, q, slot, d);
    k.bus.write32(statusAddress(q, slot), waits ? STATUS.inUse : STATUS.free);
    traceSubmit(k, u, d);
  });
  const waitIndex = (index + count) % SLOTS;
  if (waits) {
    k.bus.write32(statusAddress(q, waitIndex), STATUS.inUse);
    put(k, u, q, waitIndex, waitDescriptor(statusAddress(q, waitIndex), drain));
  }
  q.freeHead = (q.freeHead + total) % SLOTS;
  q.freeCount -= total;
  yield pause(k.actor, 'command.post');
  yield* writeRegister(k, u, 'IQT_REG', q.freeHead * 2 ** q.shift);
  if (!waits) return '0';

  let result: Errno | 'EAGAIN' = '0';
  for (let idle = 0; k.bus.read32(statusAddress(q, waitIndex)) !== STATUS.done; idle++) {
    result = yield* checkFault(k, u, q, index, waitIndex);
    if (result !== '0') break;
    if (k.bus.read32(statusAddress(q, waitIndex)) === STATUS.done) break;
    if (idle === IDLE_POLLS) {
      result = stuck(k, u, 'the wait descriptor does not complete');
      break;
    }
    yield pause(k.actor, 'poll');
  }
  if (result !== 'ETIMEDOUT' || !k.state.units[u.index]!.stuck)
    for (let i = 0; i <= count; i++) k.bus.write32(statusAddress(q, (index + i) % SLOTS), STATUS.free);
  reclaim(k, q);
  return result;
}

/** What a kernel does not come back from. */
function stuck(k: Kernel, u: IntelIommu, why: string): Errno {
  k.state.units[u.index]!.stuck = true;
  k.trace.listener?.({
    kind: 'note',
    actor: k.actor,
    at: u.ids.queue,
    text: `${u.name}: ${why}; the CPU that submitted spins here for ever`,
  });
  return 'ETIMEDOUT';
}

/** reclaim_free_desc: slots whose submissions have completed, oldest first. */
function reclaim(k: Kernel, q: InvalidationQueue): void {
  while (q.freeTail !== q.freeHead && k.bus.read32(statusAddress(q, q.freeTail)) === STATUS.free) {
    q.freeTail = (q.freeTail + 1) % SLOTS;
    q.freeCount++;
  }
}

/** Writes a descriptor into a slot: four words, or the first two of them in a queue of 128-bit entries. */
export function put(k: Kernel, u: IntelIommu, q: InvalidationQueue, index: number, words: Descriptor): void {
  const at = slotAddress(q, index);
  const n = q.shift === 5 ? 4 : 2;
  for (let i = 0; i < n; i++) k.bus.writeWord(at + 8 * i, words[i] ?? 0n);
  k.trace.listener?.({
    kind: 'command.post',
    actor: k.actor,
    at: u.ids.queue,
    queue: k.space === 'host' ? 'physical' : 'virtual',
    index,
    command: descriptorText(words),
  });
}

/** A descriptor that somebody held back on its way (`inject`) arrives now, by itself and without a wait. */
export function* deliver(k: Kernel, u: IntelIommu, words: Descriptor): Op<void> {
  const q = k.state.units[u.index]!.queue;
  if (!q) return;
  reclaim(k, q);
  if (q.freeCount < 2) return;
  put(k, u, q, q.freeHead, words);
  q.freeHead = (q.freeHead + 1) % SLOTS;
  q.freeCount--;
  yield* writeRegister(k, u, 'IQT_REG', q.freeHead * 2 ** q.shift);
}

/** Names of the trace event, by type. */
const traceNames: readonly string[] = [
  '',
  'cc_inv',
  'iotlb_inv',
  'dev_tlb_inv',
  'iec_inv',
  'inv_wait',
  'p_iotlb_inv',
  'pc_inv',
  'p_dev_tlb_inv',
  'page_grp_resp',
];

/** Event qi_submit: one line for each descriptor given, none for the driver's own wait. */
function traceSubmit(k: Kernel, u: IntelIommu, d: Descriptor): void {
  if (!k.tracepoints) return;
  const type = Number(d[0]! & 0xfn);
  const words = [0, 1, 2, 3].map((i) => `0x${(d[i] ?? 0n).toString(16)}`).join(' ');
  tracepoint(k, u.ids.queue, 'qi_submit', `${traceNames[type] || `0x${type.toString(16)}`} ${u.name}: ${words}`);
}
