import type { Op } from '../../machine/index.ts';
import { log } from './mmio.ts';
import { issue } from './queue.ts';
import type { Unit } from './state.ts';

const hex = (n: bigint, digits: number): string => `0x${n.toString(16).padStart(digits, '0')}`;

/**
 * arm_smmu_handle_ppr: today's driver gives PRI to nobody, so every request is unexpected. It says what it saw and
 * denies the group when its last request comes.
 * @param words two 64-bit words of the PRI queue
 */
export function* pageRequest(u: Unit, words: readonly bigint[]): Op<void> {
  const [w0, w1] = [words[0]!, words[1]!];
  const bit = (n: bigint): boolean => ((w0 >> n) & 1n) === 1n;
  const sid = w0 & 0xffffffffn;
  const ssid = bit(63n) ? (w0 >> 32n) & 0xfffffn : null;
  const last = bit(62n);
  const group = w1 & 0x1ffn;
  log(u, u.ids.priq, 'unexpected PRI request received:');
  const access = `${bit(58n) ? '' : 'un'}privileged ${bit(60n) ? 'R' : ''}${bit(61n) ? 'W' : ''}${bit(59n) ? 'X' : ''}`;
  log(
    u,
    u.ids.priq,
    `\tsid ${hex(sid, 8)}.${hex(ssid ?? 0n, 5)}: [${group}${last ? 'L' : ''}] ${access} access at iova ${hex(w1 & ~0xfffn, 16)}`,
  );
  // Neither PRI_RESP nor RESUME needs a CMD_SYNC: nothing waits for them.
  if (last)
    yield* issue(
      u,
      u.kernel.rules.denyPageRequest(Number(sid), ssid === null ? null : Number(ssid), Number(group)),
      false,
    );
}
