import { type Op, pause } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { tlbOf } from './device-tlb.ts';
import { BLOCKED, DEFAULT_DID } from './domain.ts';
import { capsOf, type IntelIommu, type Kernel } from './kernel.ts';
import { readRegister } from './mmio.ts';
import { handlePageRequests, PRQ_ENTRY, PRQ_MASK } from './prq.ts';
import { submit } from './queue.ts';

/** Draining page requests when a PASID's entry goes (prq.c intel_iommu_drain_pasid_prq). */

const PRO = 2;
/** Rounds before the model gives up on a queue that always overflows. */
const ROUNDS = 8;

/**
 * Waits until no request of the device and PASID is in the queue, then pushes out what is still in the unit. Only where page
 * faults are enabled. The DID in the descriptors is that of the domain on the RID, whatever the PASID has.
 */
export function* drainPasid(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Op<void> {
  if (!d.iopf || !k.rules.drains()) return;
  const domain = k.state.domains.get(d.domain);
  const use = d.domain === BLOCKED ? undefined : domain?.dids.find((x) => x.unit === u.index);
  const did = use?.did ?? DEFAULT_DID;
  for (let i = 0; i < ROUNDS && (yield* waits(k, u, d, pasid)); i++) yield* handlePageRequests(k, u.index);
  const list = k.rules.drain(did, pasid, tlbOf(k, d), capsOf(k, u.index));
  for (let i = 0; i < ROUNDS; i++) {
    yield* submit(k, u, list, { drain: true });
    if (!(Number(yield* readRegister(k, u, 'PRS_REG')) & PRO)) return;
    yield pause(k.actor, 'poll');
    yield* handlePageRequests(k, u.index);
  }
}

/** A request of that device and PASID is between head and tail. */
function* waits(k: Kernel, u: IntelIommu, d: DeviceInfo, pasid: number): Op<boolean> {
  const { prq } = k.state.units[u.index]!;
  if (!prq) return false;
  const tail = Number(yield* readRegister(k, u, 'PQT_REG')) & PRQ_MASK;
  const head = Number(yield* readRegister(k, u, 'PQH_REG')) & PRQ_MASK;
  for (let at = head; at !== tail; at = (at + PRQ_ENTRY) & PRQ_MASK) {
    const word = k.bus.readWord(prq + at);
    const withPasid = (word & 0x100n) !== 0n;
    const of = Number((word >> 32n) & 0xfffffn);
    if (Number((word >> 16n) & 0xffffn) === d.sid && (withPasid ? of === pasid : pasid === 0)) return true;
  }
  return false;
}
