import type { Op } from '../../machine/index.ts';
import { faultText } from '../layout/index.ts';
import { capsOf, type Kernel, log } from './kernel.ts';
import { readRegister, writeRegister } from './mmio.ts';

/** The fault interrupt (dmar.c dmar_fault): what the fault recording registers hold goes into the kernel log. */

const FSTS = { pfo: 1, ppf: 2, pro: 0x80 };
const F = 1n << 63n;
/** DEFAULT_RATELIMIT_BURST; the clock is left out, each interrupt starts anew. */
const BURST = 10;

export interface FaultRecord {
  readonly unit: number;
  readonly index: number;
  readonly words: readonly [bigint, bigint];
  /** What Linux printed, null when the rate limit kept it back. */
  readonly line: string | null;
}

/** Reads and clears every valid record from the first one on. The first line and the records share one rate limit. */
export function* handleFaults(k: Kernel, unit: number): Op<FaultRecord[]> {
  const u = k.units[unit]!;
  u.port.irq.fault = false;
  const out: FaultRecord[] = [];
  const status = Number(yield* readRegister(k, u, 'FSTS_REG'));
  let left = BURST;
  if (status) {
    left--;
    log(k, u.ids.frcd, `DMAR: DRHD: handling fault status reg ${status.toString(16)}`);
  }
  if (!(status & FSTS.ppf)) return out;
  const { nfr } = capsOf(k, unit);
  for (let index = (status >> 8) & 0xff, seen = 0; seen <= nfr; seen++) {
    const high = yield* readRegister(k, u, `FRCD_REG${index}_HI`);
    if (!(high & F)) break;
    const low = yield* readRegister(k, u, `FRCD_REG${index}_LO`);
    yield* writeRegister(k, u, `FRCD_REG${index}_HI`, F);
    const words = [low, high] as const;
    const line = left-- > 0 ? faultText(words) : null;
    if (line !== null) {
      log(k, u.ids.frcd, line);
      k.hooks.faultLogged?.(unit, words);
    }
    out.push({ unit, index, words, line });
    index = (index + 1) % nfr;
  }
  yield* writeRegister(k, u, 'FSTS_REG', FSTS.pfo | FSTS.ppf | FSTS.pro);
  return out;
}
