import type { Op } from '../../machine/index.ts';
import { descriptorName } from '../layout/index.ts';
import { flush, forward } from './forward.ts';
import { raiseCompletionEvent } from './interrupts.ts';
import { respond } from './page-requests.ts';
import { everything, syncBindings } from './pasid-cache.ts';
import type { BatchEnd, PasidRequest } from './rules.ts';
import { note, type UnitContext } from './state.ts';

/** '', or why the queue refuses the descriptor. */
type Refusal = string;
const DONE: Refusal = '';
const ILLEGAL = 'illegal granularity';

const PDS = 1n << 42n;
const WAIT = { interrupt: 1n << 4n, status: 1n << 5n, fence: 1n << 6n } as const;

const did = (w: bigint): number => Number((w >> 16n) & 0xffffn);
const pasidOf = (w: bigint): number => Number((w >> 32n) & 0xfffffn);
const granularity = (w: bigint): number => Number((w >> 4n) & 3n);

/** Invalidations that were collected go before a wait, and before what changes the kernel's state itself. */
const endsBatch = (type: number): BatchEnd | null => {
  if (type === 5) return 'wait';
  return type === 1 || type === 7 || type === 9 ? 'local' : null;
};

/** vtd_process_inv_desc: one descriptor of the guest, four words. */
export function* handle(u: UnitContext, words: readonly bigint[]): Op<Refusal> {
  const { rules } = u.vmm;
  const s = u.state;
  const type = rules.typeOf(words[0]!);
  s.lastType = type;
  const drains = ((s.registers['ECAP_REG'] ?? 0n) & PDS) !== 0n;
  if (!rules.accepts({ type, words, wide: s.iqWide, drains })) return `${descriptorName(words)} with reserved bits set`;
  const end = endsBatch(type);
  if (end && rules.sends() === 'at-once' && rules.endsBatch(end)) yield* flush(u);
  switch (type) {
    case 1:
      return yield* contextCache(u, words[0]!);
    case 2:
      return iotlb(u, words);
    case 3:
    case 8:
      // Notifiers of emulated devices; the kernel flushes the device's own TLB with each HWPT_INVALIDATE.
      return DONE;
    case 4:
      return DONE;
    case 5:
      return wait(u, words);
    case 6:
      return yield* pasidIotlb(u, words);
    case 7:
      return yield* pasidCache(u, words[0]!);
    case 9:
      return yield* respond(u, words);
    default:
      return `unknown type ${type}`;
  }
}

/**
 * vtd_process_context_cache_desc. Of one device only emulated state is looked at again: the host's bindings follow with the
 * PASID cache. All others replay everything.
 */
export function* contextCache(u: UnitContext, word: bigint): Op<Refusal> {
  const { rules } = u.vmm;
  switch (granularity(word)) {
    case 1:
    case 2:
      if (rules.replays('cc-global')) yield* syncBindings(u, everything);
      return DONE;
    case 3:
      if (rules.contextInvRebinds()) yield* syncBindings(u, everything);
      return DONE;
    default:
      return ILLEGAL;
  }
}

/** vtd_process_iotlb_desc: nothing of it reaches a device that is nested; the emulated IOTLB has no entries of it. */
function iotlb(u: UnitContext, words: readonly bigint[]): Refusal {
  const g = granularity(words[0]!);
  if (g === 0) return ILLEGAL;
  if (g === 3 && tooLarge(u, words[1]!)) return maskProblem(u, words[1]!);
  note(u, 'a second-stage invalidation has no effect on nested devices');
  return DONE;
}

const maskOf = (word: bigint): number => Number(word & 63n);
const tooLarge = (u: UnitContext, word: bigint): boolean => maskOf(word) > u.vmm.rules.largestMask();
const maskProblem = (u: UnitContext, word: bigint): Refusal =>
  `AM ${maskOf(word)} is above CAP_REG.MAMV = ${u.vmm.rules.largestMask()}`;

/** vtd_process_piotlb_desc */
function* pasidIotlb(u: UnitContext, words: readonly bigint[]): Op<Refusal> {
  const [w, range] = [words[0]!, words[1]!];
  const g = granularity(w);
  if (g < 2) return ILLEGAL;
  if (g === 3 && tooLarge(u, range)) return maskProblem(u, range);
  const of = { did: did(w), pasid: pasidOf(w) };
  const pages = { address: range & ~0xfffn, am: maskOf(range), leaf: (range & 64n) !== 0n };
  yield* forward(u, { ...of, range: g === 3 ? pages : null }, words);
  return DONE;
}

/** vtd_process_pasid_desc */
function* pasidCache(u: UnitContext, w: bigint): Op<Refusal> {
  const kind = (['domain', 'pasid', null, 'global'] as const)[granularity(w)]!;
  if (!kind) return ILLEGAL;
  const r: PasidRequest = { kind, did: did(w), pasid: pasidOf(w) };
  if (u.vmm.rules.readsPasidTable(r)) yield* syncBindings(u, r);
  return DONE;
}

/** vtd_process_wait_desc: descriptors are done in order, so everything before it has completed. */
function wait(u: UnitContext, words: readonly bigint[]): Refusal {
  const [w, address] = [words[0]!, words[1]!];
  let failed = '';
  if (w & WAIT.status) {
    const at = Number(address);
    if (u.vmm.memory.contains(at, 4)) {
      const data = Number(w >> 32n);
      u.vmm.memory.write32(at, data);
      u.vmm.trace.listener?.({
        kind: 'sync',
        actor: 'vmm',
        at: u.ids.viommu,
        to: u.ids.iq,
        queue: 'virtual',
        text: `wait completed: ${data} written to 0x${address.toString(16)}`,
      });
    } else failed = 'the status cannot be written';
  }
  if (w & WAIT.interrupt) raiseCompletionEvent(u);
  if (!(w & (WAIT.interrupt | WAIT.status | WAIT.fence))) return 'INV_WAIT with none of IF, SW, FN';
  return failed;
}
