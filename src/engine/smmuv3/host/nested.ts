import {
  type DomainHandle,
  type Errno,
  fail,
  ok,
  type Result,
  toBigInt,
  type UserArray,
  type UserData,
} from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { Change } from '../../trace/index.ts';
import { commandText } from '../layout/index.ts';
import type { Command } from './commands.ts';
import { BATCH, issue } from './queue.ts';
import { type Host, masterOf, type Vsmmu } from './state.ts';

/** The vIOMMU of type ARM_SMMUV3 (arm-smmu-v3-iommufd.c). */

const HWPT_DATA_ARM_SMMUV3 = 2;
const INVALIDATE_DATA_ARM_SMMUV3 = 1;
const VSTE_BYTES = 16;
const COMMAND_BYTES = 16;

/** arm_vsmmu_alloc_domain_nested */
export function allocNested(h: Host, vsmmu: Vsmmu, flags: number, data: UserData): Result<DomainHandle> {
  if (flags) return fail('EOPNOTSUPP');
  if (data.type !== HWPT_DATA_ARM_SMMUV3 || data.len !== VSTE_BYTES) return fail('EINVAL');
  if (!data.fields) return fail('EFAULT');
  const words = wordsOf(data.fields['ste'], VSTE_BYTES);
  const v = h.rules.validateVste([words[0]!, words[1]!]);
  if (typeof v === 'string') return fail(v as Exclude<Errno, '0'>);
  const handle = h.state.nextDomain++;
  h.state.nested.set(handle, { handle, viommu: vsmmu.key, ste: v.ste, enableAts: v.enableAts, faults: false });
  return ok(handle);
}

/** Two 64-bit words of a user structure, as far as `bytes` reach; the rest is zero. */
function wordsOf(value: unknown, bytes: number): bigint[] {
  const given = Array.isArray(value) ? value : [];
  return [0, 1].map((i) => {
    const bits = Math.max(0, Math.min(8, bytes - i * 8)) * 8;
    return BigInt.asUintN(bits, given[i] === undefined ? 0n : toBigInt(given[i]));
  });
}

/**
 * iommu_copy_struct_from_full_user_array: all entries are copied first. What a longer entry holds beyond the command, given
 * as hex bytes in `tail`, must be zero.
 */
function copyError(array: UserArray): Errno | null {
  if (!array.entries) return 'EFAULT';
  for (const e of array.entries.slice(0, array.entryNum)) {
    if (e === null || typeof e !== 'object') return 'EFAULT';
    const { tail } = e as { tail?: unknown };
    const beyond = typeof tail === 'string' ? tail.slice(0, Math.max(0, array.entryLen - COMMAND_BYTES) * 2) : '';
    if (/[1-9a-f]/i.test(beyond)) return 'E2BIG';
  }
  return null;
}

/**
 * arm_vsmmu_cache_invalidate: rewrites the guest's commands one by one and issues them in chunks of 63, each with a CMD_SYNC
 * that the call waits for. Commands rewritten since the last chunk are not issued when a later one is refused, but `done`
 * counts them.
 */
export function* invalidateCommands(h: Host, vsmmu: Vsmmu, array: UserArray): Op<{ errno: Errno; done: number }> {
  if (array.type !== INVALIDATE_DATA_ARM_SMMUV3 || array.entryNum === 0) return { errno: 'EINVAL', done: 0 };
  const unreadable = copyError(array);
  if (unreadable) return { errno: unreadable, done: 0 };
  let chunk: Command[] = [];
  for (let i = 0; i < array.entryNum; i++) {
    const entry = array.entries![i] as { cmd?: unknown } | undefined;
    const words = wordsOf(entry?.cmd, Math.min(array.entryLen, COMMAND_BYTES));
    const rewritten = h.rules.rewriteCommand(words, vsmmu.vmid, (vsid) => physicalSid(h, vsmmu, vsid));
    if (!rewritten) return { errno: 'EIO', done: i };
    traceRewrite(h, vsmmu, words, rewritten);
    chunk.push(rewritten);
    if (i + 1 < array.entryNum && chunk.length !== BATCH - 1) continue;
    // Always the main command queue, whatever the commands are.
    const errno = yield* issue(h, chunk, h.rules.syncs('guest'));
    if (errno !== '0') return { errno, done: i };
    chunk = [];
  }
  return { errno: '0', done: array.entryNum };
}

/** arm_vsmmu_vsid_to_sid */
function physicalSid(h: Host, vsmmu: Vsmmu, vsid: number): number | null {
  const name = h.upcalls!.findDevice(vsmmu.key, BigInt(vsid));
  return name === null ? null : masterOf(h, name).sid;
}

function traceRewrite(h: Host, vsmmu: Vsmmu, from: readonly bigint[], to: readonly bigint[]): void {
  if (!h.trace.listener) return;
  const before = commandText(from);
  const command = commandText(to);
  const changes: Change[] = [];
  if (before.name !== command.name) changes.push({ field: 'opcode', from: before.name, to: command.name });
  const tlbi = command.name.startsWith('TLBI');
  const [lo, width] = tlbi ? [32n, 0xffffn] : [32n, 0xffffffffn];
  const [a, b] = [(from[0]! >> lo) & width, (to[0]! >> lo) & width];
  if (a !== b || tlbi) {
    const text = (n: bigint): string => (tlbi ? n.toString() : `0x${n.toString(16)}`);
    changes.push({ field: tlbi ? 'vmid' : 'sid', from: text(a), to: text(b) });
  }
  h.trace.listener({
    kind: 'command.rewrite',
    actor: 'driver',
    at: h.upcalls!.viommuSceneId(vsmmu.key),
    to: h.ids.cmdq,
    from: before,
    command,
    changes,
  });
}
