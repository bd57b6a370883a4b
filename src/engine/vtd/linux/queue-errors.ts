import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { descriptorText } from '../layout/index.ts';
import { STATUS } from './descriptors.ts';
import { type IntelIommu, type InvalidationQueue, type Kernel, log } from './kernel.ts';
import { readRegister, writeRegister } from './mmio.ts';

/** What the driver does when the invalidation queue reports an error (dmar.c qi_check_fault, qi_dump_fault). */

const SLOTS = 256;
const FSTS = { iqe: 0x10, ice: 0x20, ite: 0x40 };

/** Type names of the log, which differ from those of the trace events. */
const typeNames: readonly string[] = [
  'UNKNOWN',
  'Context-cache Invalidation',
  'IOTLB Invalidation',
  'Device-TLB Invalidation',
  'Interrupt Entry Cache Invalidation',
  'Invalidation Wait',
  'PASID-based IOTLB Invalidation',
  'PASID-cache Invalidation',
  'PASID-based Device-TLB Invalidation',
  'Page Group Response',
];

/**
 * Looks at FSTS_REG once while a submission waits.
 * @returns '0' to go on waiting, EAGAIN when the submission was aborted and is to be repeated, EINVAL when its first
 * descriptor was refused, ETIMEDOUT when the device that did not answer is gone
 */
export function* checkFault(
  k: Kernel,
  u: IntelIommu,
  q: InvalidationQueue,
  index: number,
  waitIndex: number,
): Op<Errno | 'EAGAIN'> {
  if (k.bus.read32(q.status + waitIndex * 4) === STATUS.aborted) return 'EAGAIN';
  const fault = Number(yield* readRegister(k, u, 'FSTS_REG'));
  if (fault & (FSTS.iqe | FSTS.ite | FSTS.ice)) yield* dump(k, u, q, fault);

  if (fault & FSTS.iqe) {
    const head = Number(yield* readRegister(k, u, 'IQH_REG'));
    // A refused descriptor further on in a batch is left as it is: the queue stands until a reset.
    if (Math.floor(head / 2 ** q.shift) === index && k.rules.repairsRefused()) {
      copySlot(k, u, q, waitIndex, index);
      yield* writeRegister(k, u, 'FSTS_REG', FSTS.iqe);
      log(k, u.ids.queue, 'DMAR: Invalidation Queue Error (IQE) cleared');
      return 'EINVAL';
    }
  }

  if (fault & FSTS.ite) {
    const result = yield* timedOut(k, u, q, waitIndex);
    if (result !== '0') return result;
  }

  if (fault & FSTS.ice) {
    yield* writeRegister(k, u, 'FSTS_REG', FSTS.ice);
    log(k, u.ids.queue, 'DMAR: Invalidation Completion Error (ICE) cleared');
  }
  return '0';
}

/** A device did not answer: every wait that is under way counts as aborted, and whoever sent it starts again. */
function* timedOut(k: Kernel, u: IntelIommu, q: InvalidationQueue, waitIndex: number): Op<Errno | 'EAGAIN'> {
  const slotBefore = (offset: bigint): number => (Math.floor(Number(offset) / 2 ** q.shift) - 1 + SLOTS) % SLOTS;
  const { first, step } = k.rules.abortedSlots();
  let head = first(slotBefore(yield* readRegister(k, u, 'IQH_REG')));
  const tail = slotBefore(yield* readRegister(k, u, 'IQT_REG'));
  const sid = Number(((yield* readRegister(k, u, 'IQERCD_REG')) >> 32n) & 0xffffn);
  yield* writeRegister(k, u, 'FSTS_REG', FSTS.ite);
  log(k, u.ids.queue, 'DMAR: Invalidation Time-out Error (ITE) cleared');
  let visited = 0;
  do {
    const at = q.status + head * 4;
    if (k.bus.read32(at) === STATUS.inUse) k.bus.write32(at, STATUS.aborted);
    head = (head - step + SLOTS) % SLOTS;
  } while (head !== tail && ++visited <= SLOTS);
  if (visited > SLOTS) {
    k.state.units[u.index]!.stuck = true;
    k.trace.listener?.({
      kind: 'note',
      actor: k.actor,
      at: u.ids.queue,
      text: `${u.name}: the loop over aborted slots never meets the tail; the CPU stays in it with interrupts off`,
    });
    return 'ETIMEDOUT';
  }
  // 0: a unit that does not say which device it was.
  if (sid !== 0) {
    const device = k.state.devices.find((d) => d.sid === sid && d.unit === u.index && d.atsSupported);
    if (!device || k.pci.get(device.name)?.present === false) return 'ETIMEDOUT';
  }
  return k.bus.read32(q.status + waitIndex * 4) === STATUS.aborted ? 'EAGAIN' : '0';
}

function* dump(k: Kernel, u: IntelIommu, q: InvalidationQueue, fault: number): Op<void> {
  const say = (text: string): void => log(k, u.ids.queue, `DMAR: ${text}`);
  const record = yield* readRegister(k, u, 'IQERCD_REG');
  const field = (lo: bigint, bits: bigint): string => ((record >> lo) & ((1n << bits) - 1n)).toString(16);
  if (fault & FSTS.iqe) say(`VT-d detected Invalidation Queue Error: Reason ${field(0n, 4n)}`);
  if (fault & FSTS.ite) say(`VT-d detected Invalidation Time-out Error: SID ${field(32n, 16n)}`);
  if (fault & FSTS.ice) say(`VT-d detected Invalidation Completion Error: SID ${field(48n, 16n)}`);
  const head = Number(yield* readRegister(k, u, 'IQH_REG'));
  const size = 2 ** q.shift;
  const line = (name: string, offset: number): void => {
    const [qw0, qw1] = [k.bus.readWord(q.base + offset), k.bus.readWord(q.base + offset + 8)];
    const type = typeNames[Number(qw0 & 0xfn)] ?? 'UNKNOWN';
    say(`QI ${name}: ${type} qw0 = 0x${qw0.toString(16)}, qw1 = 0x${qw1.toString(16)}`);
  };
  line('HEAD', head);
  line('PRIOR', ((Math.floor(head / size) + SLOTS - 1) % SLOTS) * size);
}

/** The refused descriptor becomes a second copy of the wait, so that the queue can go on. */
function copySlot(k: Kernel, u: IntelIommu, q: InvalidationQueue, from: number, to: number): void {
  const size = 2 ** q.shift;
  const words: bigint[] = [];
  for (let i = 0; i < size; i += 8) {
    const w = k.bus.readWord(q.base + from * size + i);
    words.push(w);
    k.bus.writeWord(q.base + to * size + i, w);
  }
  k.trace.listener?.({
    kind: 'command.post',
    actor: k.actor,
    at: u.ids.queue,
    queue: k.space === 'host' ? 'physical' : 'virtual',
    index: to,
    command: descriptorText([...words, 0n, 0n].slice(0, 4)),
  });
}
