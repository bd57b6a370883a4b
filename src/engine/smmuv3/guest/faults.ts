import { fault } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { log } from './mmio.ts';
import { notify } from './process.ts';
import { cpuOf } from './process-table.ts';
import { issue } from './queue.ts';
import type { Master, Unit } from './state.ts';

/**
 * A stalled transaction (iommu_report_device_fault): given to the process that the PASID belongs to, answered with a retry
 * when the page is there afterwards, else with an abort. No CMD_SYNC: nothing waits for a CMD_RESUME.
 * @param words four 64-bit words of the event record
 * @returns false when nobody handles faults of that address space, which is logged; the transaction is aborted all the same
 */
export function* deviceFault(u: Unit, m: Master, words: readonly bigint[]): Op<boolean> {
  const [w0, w1, va] = [words[0]!, words[1]!, words[2]!];
  const stag = Number(w1 & 0xffffn);
  const pasid = w0 & 0x800n ? Number((w0 >> 12n) & 0xfffffn) : 0;
  const attached = m.pasids.find((a) => a.pasid === pasid && m.resetDepth === 0);
  const process =
    attached?.kind === 'process' ? u.kernel.state.processes.find((p) => p.name === attached.name) : undefined;
  if (!process) {
    yield* issue(u, u.kernel.rules.faultAnswer(m.vsid, stag, 'abort'), false);
    return false;
  }
  // RnW and InD; PnU changes nothing for user memory.
  const access = { write: (w1 & (1n << 35n)) === 0n, exec: (w1 & (1n << 34n)) !== 0n };
  const there =
    va < 2n ** 48n &&
    (yield* fault(cpuOf(u.kernel), process, Number(va), access, (from, to) => notify(u.kernel, process, from, to)));
  if (!there) log(u, u.ids.evtq, `${m.name}: page fault at 0x${va.toString(16)} of ${process.name} has no answer`);
  yield* issue(u, u.kernel.rules.faultAnswer(m.vsid, stag, there ? 'retry' : 'abort'), false);
  return true;
}
