import { hexPlain } from '../../bits/index.ts';
import type { Op } from '../../machine/index.ts';
import { ioctl, outputOf, report } from '../../vmm/index.ts';
import { descriptorText, s1InvalidateText } from '../layout/index.ts';
import { didOf } from './pasid-entry.ts';
import type { GuestFlush } from './rules.ts';
import type { Binding, Pending, UnitContext } from './state.ts';

/** IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 */
const INVALIDATE_VTD_S1 = 0;
const ENTRY_BYTES = 24;

/**
 * vtd_flush_host_piotlb_all_locked: a guest's P_IOTLB_INV finds the bindings with its DID and PASID, and each of their nested
 * HWPTs gets it. The guest's DID goes no further: the kernel knows the host's.
 * @param from the guest's descriptor; null: a page request invalidates by itself
 */
export function* forward(u: UnitContext, f: GuestFlush, from: readonly bigint[] | null): Op<void> {
  const { rules, injector } = u.vmm;
  if (!rules.forwards(f)) return;
  // A pass-through entry has no nested HWPT; one whose attach failed is looked for all the same and the kernel refuses it.
  const matching: readonly Binding[] = u.state.devices.flatMap((d) =>
    d.bindings.filter((b) => rules.wants(b.entry) === 'nested' && rules.matches(f, didOf(b.entry), b.pasid)),
  );
  const entry = rules.flushEntry(f);
  for (const b of rules.targets(matching)) {
    if (from) showRewrite(u, from, entry, b.hwpt);
    for (const w of injector.pass('vmm.forward', [...entry, BigInt(b.hwpt)], u.ids.viommu))
      u.state.batch.push({ hwpt: Number(w[3] ?? 0n), entry: w.slice(0, 3) });
  }
  if (rules.sends() === 'at-once' && u.state.batch.length >= u.vmm.batch) yield* flush(u);
}

/** Sends all that was collected, an ioctl for each HWPT, in the order in which they came up. */
export function* flush(u: UnitContext): Op<void> {
  const { batch } = u.state;
  u.state.batch = [];
  for (const hwpt of new Set(batch.map((p) => p.hwpt))) {
    let rest = batch.filter((p) => p.hwpt === hwpt);
    while (rest.length > 0) {
      const done = yield* invalidate(u, hwpt, rest);
      // The kernel goes through the array in order: what comes after the entry that failed has not been done.
      rest = done < rest.length && u.vmm.rules.afterBatchError() === 'rest' ? rest.slice(done + 1) : [];
    }
  }
}

/** One IOMMU_HWPT_INVALIDATE. An error is reported, and the guest never learns of it. @returns entries done */
function* invalidate(u: UnitContext, hwpt: number, batch: readonly Pending[]): Op<number> {
  const r = yield* ioctl(u, 'IOMMU_HWPT_INVALIDATE', {
    hwpt_id: hwpt,
    data_type: INVALIDATE_VTD_S1,
    entry_len: ENTRY_BYTES,
    entry_num: batch.length,
    entries: batch.map(({ entry }) => ({ addr: entry[0]!, npages: entry[1]!, flags: Number(entry[2]!) })),
  });
  if (r.errno === '0') return batch.length;
  const done = outputOf(r.out, 'entry_num');
  report(u, `IOMMU_HWPT_INVALIDATE failed: ${r.errno}, ${done} of ${batch.length} done`);
  return done;
}

/** A held-back message of the injection point `vmm.forward` arrives: addr, npages, flags, HWPT id. */
export function* deliverForward(u: UnitContext, words: readonly bigint[]): Op<void> {
  const hwpt = Number(words[3] ?? 0n);
  yield* invalidate(u, hwpt, [{ hwpt, entry: words.slice(0, 3) }]);
}

/** DID and PASID have done their work: they chose the HWPT. */
function showRewrite(u: UnitContext, from: readonly bigint[], entry: readonly bigint[], hwpt: number): void {
  if (!u.vmm.trace.listener) return;
  const word = from[0]!;
  const to = `HWPT ${hwpt}`;
  u.vmm.trace.listener({
    kind: 'command.rewrite',
    actor: 'vmm',
    at: u.ids.viommu,
    to: u.vmm.ids.kernelObject(hwpt),
    from: descriptorText(from),
    command: s1InvalidateText(entry),
    changes: [
      { field: 'DID', from: `${(word >> 16n) & 0xffffn}`, to },
      { field: 'PASID', from: hexPlain((word >> 32n) & 0xfffffn), to },
    ],
  });
}
