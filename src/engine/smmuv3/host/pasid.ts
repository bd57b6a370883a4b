import type { DomainHandle, Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import { attachStatic, clearCd, domainCd } from './attach.ts';
import { readEntry } from './entry.ts';
import { submit } from './queue.ts';
import { BLOCKED, featuresOf, type Host, IDENTITY, type Master, masterOf } from './state.ts';
import { cdTableSte, S1DSS } from './ste.ts';
import { cdPointer, writeCd, writeSte } from './tables.ts';
import { atsSupported, commit, leave, prepare, type Transition } from './transition.ts';

/** PASIDs of a device: entries of the host's own CD table (arm-smmu-v3.c arm_smmu_set_pasid). */

const STAGE1 = 5n;

/** arm_smmu_s1_set_dev_pasid, also to replace the PASID's domain. */
export function* setPasid(h: Host, device: string, pasid: number, handle: DomainHandle): Op<Errno> {
  const m = masterOf(h, device);
  const d = h.state.paging.get(handle);
  if (d?.stage !== 1) return 'EINVAL';
  const onStatic = m.domain === BLOCKED || m.domain === IDENTITY;
  // The RID's STE has a CD table, or can get one.
  if (!hasCdTable(h, m) && !onStatic) return 'EINVAL';
  const address = yield* cdPointer(h, m, pasid);
  const from = m.pasids.get(pasid) ?? BLOCKED;
  const t: Transition = { master: m, ssid: pasid, from, to: handle, ats: atsSupported(h, m), vmaster: m.vmaster };
  yield* prepare(h, t);
  yield* writeCd(h, m, pasid, address, domainCd(h, d, m));
  m.pasids.set(pasid, handle);
  if (!hasCdTable(h, m, t.ats)) {
    const s1dss = m.domain === IDENTITY ? S1DSS.bypass : S1DSS.terminate;
    yield* writeSte(h, m, cdTableSte(featuresOf(h), m.cdTable!, t.ats, m.stallEnabled, s1dss));
  }
  yield* commit(h, t);
  return '0';
}

/** arm_smmu_blocking_set_dev_pasid: with the last PASID the STE of a blocked or bypassing RID gives up its CD table. */
export function* clearPasid(h: Host, device: string, pasid: number): Op<void> {
  const m = masterOf(h, device);
  const from = m.pasids.get(pasid);
  if (from === undefined) return;
  yield* clearCd(h, m, pasid);
  m.pasids.delete(pasid);
  yield* submit(h, h.rules.pasidAtc(m.sid, pasid, m.atsEnabled));
  yield* leave(h, { master: m, ssid: pasid, from, ats: m.atsEnabled });
  if (m.pasids.size === 0 && (m.domain === BLOCKED || m.domain === IDENTITY)) yield* attachStatic(h, m, m.domain);
}

/** The device's STE points to its CD table, with that EATS if given. */
function hasCdTable(h: Host, m: Master, ats?: boolean): boolean {
  const ste = readEntry(h.memory, m.steAddress);
  if (!(ste[0]! & 1n) || ((ste[0]! >> 1n) & 7n) !== STAGE1) return false;
  return ats === undefined || (((ste[1]! >> 28n) & 3n) === 1n) === ats;
}
