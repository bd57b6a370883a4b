import { type Op, pause } from '../../machine/index.ts';
import { issue } from './queue.ts';
import { type Host, log } from './state.ts';

/** The PRI queue's thread (arm-smmu-v3.c arm_smmu_priq_thread, arm_smmu_handle_ppr): Linux expects no page requests. */

const ENTRY = 16;
const OVERFLOW = 0x80000000;

/** Takes all requests out of the queue: each is logged, the last of a group is denied. */
export function* drainPageRequests(h: Host): Op<void> {
  const q = h.state.priq!;
  h.smmu.irq.priq = false;
  const size = 2 ** q.log2;
  for (;;) {
    const prodReg = Number(h.smmu.readRegister('PRIQ_PROD'));
    const consReg = Number(h.smmu.readRegister('PRIQ_CONS'));
    const overflow = (prodReg & OVERFLOW) !== (consReg & OVERFLOW);
    q.prod = (prodReg & 0xfffff) % (2 * size);
    if (q.cons === q.prod) {
      if (!overflow) return;
      log(h, h.ids.priq, 'PRIQ overflow detected -- requests lost');
      yield* h.smmu.writeRegister('PRIQ_CONS', BigInt(((prodReg & OVERFLOW) | q.cons) >>> 0));
      continue;
    }
    const at = q.base + (q.cons % size) * ENTRY;
    const request = [h.memory.readWord(at), h.memory.readWord(at + 8)];
    q.cons = (q.cons + 1) % (2 * size);
    yield* h.smmu.writeRegister('PRIQ_CONS', BigInt(((consReg & OVERFLOW) | q.cons) >>> 0));
    yield* deny(h, request);
    yield pause('driver', 'page.request');
  }
}

function* deny(h: Host, r: readonly bigint[]): Op<void> {
  const w0 = r[0]!;
  const bit = (n: bigint): boolean => ((w0 >> n) & 1n) !== 0n;
  const [sid, ssv, last] = [Number(w0 & 0xffffffffn), bit(63n), bit(62n)];
  const ssid = ssv ? Number((w0 >> 32n) & 0xfffffn) : 0;
  const group = Number(r[1]! & 0x1ffn);
  const hex = (n: number | bigint, digits: number): string => `0x${n.toString(16).padStart(digits, '0')}`;
  const kind = `${bit(58n) ? '' : 'un'}privileged ${bit(60n) ? 'R' : ''}${bit(61n) ? 'W' : ''}${bit(59n) ? 'X' : ''}`;
  const where = `sid ${hex(sid, 8)}.${hex(ssid, 5)}: [${group}${last ? 'L' : ''}]`;
  log(h, h.ids.priq, 'unexpected PRI request received:');
  log(h, h.ids.priq, `\t${where} ${kind} access at iova ${hex(r[1]! & ~0xfffn, 16)}`);
  if (last) yield* issue(h, h.rules.denyPageRequest(sid, ssv ? ssid : null, group), false);
}
