import type { Op } from '../../machine/index.ts';
import { ioctl, outputOf, report } from '../../vmm/index.ts';
import { commandName, opcodes } from '../layout/index.ts';
import { CR0 } from './registers.ts';
import { deviceOf, type Pending, type UnitContext } from './state.ts';

const ENTRY = 16;
const SSEC = 1n << 10n;
const IDR0_ATS = 1n << 10n;
const IDR0_S2P = 1n;
/** IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 */
const INVALIDATE_ARM_SMMUV3 = 1;
/** CERROR_ILL */
const ILL = 1;

/** Where the loop must stop: the failing command and its CERROR code. */
export interface Stop {
  readonly at: number;
  readonly error: number;
  /** The command's name, when it is not the last one fetched. */
  readonly name?: string;
}

/** Commands that may go to the host (arm-smmuv3.md 8.4). */
export const forwardable: ReadonlySet<number | undefined> = new Set(
  [
    'CFGI_CD',
    'CFGI_CD_ALL',
    'TLBI_NH_ALL',
    'TLBI_NH_ASID',
    'TLBI_NH_VA',
    'TLBI_NH_VAA',
    'TLBI_NSNH_ALL',
    'ATC_INV',
  ].map((n) => opcodes[n]),
);

/** A guest command that may go to the host: judged, then added to the batch, which is sent when it is full or the loop stops. */
export function* forward(u: UnitContext, opcode: number, words: bigint[], at: number): Op<Stop | null> {
  const { registers, viommu, batch } = u.state;
  const { rules, injector } = u.vmm;
  const cfgi = opcode === opcodes['CFGI_CD'] || opcode === opcodes['CFGI_CD_ALL'];
  if (cfgi && words[0]! & SSEC) return { at, error: ILL };
  // With stage 2 the model handles NH_ALL itself; without it the command goes the way of NSNH_ALL.
  if (opcode === opcodes['TLBI_NH_ALL'] && (registers['IDR0'] ?? 0n) & IDR0_S2P) return null;
  if (!viommu) return null;
  const d = deviceOf(u, Number(words[0]! >> 32n));
  const what = rules.forward({
    opcode,
    ats: ((registers['IDR0'] ?? 0n) & IDR0_ATS) !== 0n,
    enabled: ((registers['CR0'] ?? 0n) & CR0.smmuen) !== 0n,
    known: d !== undefined,
    vdevice: (d?.vdevice ?? 0) !== 0,
  });
  if (what === 'illegal') return { at, error: ILL };
  if (what === 'consume') return null;
  for (const c of rules.hostCommands(words))
    for (const w of injector.pass('vmm.forward', [...c], u.ids.vsmmu)) batch.push({ at, words: w });
  return batch.length >= u.vmm.batch ? yield* flush(u) : null;
}

/**
 * Sends all that was collected. A batch that the kernel refuses is sent again command by command: its index of the failing
 * one counts commands that may never have been issued (arm-smmuv3.md 5.5). CONS then stops at the one that fails by itself.
 */
export function* flush(u: UnitContext): Op<Stop | null> {
  const { batch } = u.state;
  if (batch.length === 0) return null;
  u.state.batch = [];
  const r = yield* invalidate(u, batch);
  if (r.errno === '0') return null;
  if (batch.length === 1 || u.vmm.rules.afterBatchError() === 'trust')
    return stopAt(batch[Math.min(r.done, batch.length - 1)]!);
  for (const p of batch) if ((yield* invalidate(u, [p])).errno !== '0') return stopAt(p);
  return null;
}

const stopAt = (p: Pending): Stop => ({ at: p.at, error: ILL, name: commandName(p.words) });

/** One IOMMU_HWPT_INVALIDATE on the vIOMMU. `entry_num` comes back as the number done. */
function* invalidate(u: UnitContext, batch: readonly Pending[]): Op<{ errno: string; done: number }> {
  const r = yield* ioctl(u, 'IOMMU_HWPT_INVALIDATE', {
    hwpt_id: u.state.viommu,
    data_type: INVALIDATE_ARM_SMMUV3,
    entry_len: ENTRY,
    entry_num: batch.length,
    entries: batch.map((p) => ({ cmd: p.words })),
  });
  const done = outputOf(r.out, 'entry_num');
  if (r.errno !== '0') report(u, `IOMMU_HWPT_INVALIDATE failed: ${r.errno}, ${done} of ${batch.length} done`);
  return { errno: r.errno, done };
}

/** A held-back message of the injection point `vmm.forward` arrives: an ioctl of its own. */
export function* deliverForward(u: UnitContext, words: bigint[]): Op<void> {
  if (u.state.viommu) yield* invalidate(u, [{ at: 0, words }]);
}
