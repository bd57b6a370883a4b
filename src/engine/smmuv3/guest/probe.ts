import type { Op } from '../../machine/index.ts';
import { decodeFeatures } from '../hardware/features.ts';
import { cfgiAll, nsnhAll } from './commands.ts';
import { log, readRegister, writeRegister, writeRegisterSync } from './mmio.ts';
import { submit } from './queue.ts';
import type { Guest, Ring } from './state.ts';
import { allocateZeroed, SPLIT } from './stream-table.ts';

const CR0 = { smmuen: 1, eventqen: 4, cmdqen: 8, atschk: 0x10 } as const;
const GBPA = { update: 0x80000000, abort: 1 << 20 } as const;
/** Queues are at most this many entries (log2): 1 MiB with the page allocator's usual limit. */
const CMDQ_MAX = 16;
const EVTQ_MAX = 15;
const BASE_HINT = 1n << 62n;

/**
 * arm_smmu_device_probe of the guest's kernel: reads the ID registers, allocates queues and the first-level stream table,
 * and brings the vSMMU up register by register (arm-smmuv3.md 7.1).
 * @returns '' or why the probe fails (ENXIO)
 */
export function* probe(g: Guest): Op<string> {
  const idr: number[] = [];
  for (const reg of ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5'])
    idr.push(reg === 'IDR2' || reg === 'IDR4' ? 0 : yield* readRegister(g, reg));
  const iidr = yield* readRegister(g, 'IIDR');
  const f = decodeFeatures(idr, iidr);
  g.state.features = f;
  if (!f.s1p && !f.s2p) return 'no translation support!';
  if (f.cmdqsLog2 <= 6) return 'unsupported number of entries in the command queue';
  const s = g.state;
  s.cmdq = ring(g, 'cmdq', Math.min(f.cmdqsLog2, CMDQ_MAX), 16);
  s.evtq = ring(g, 'evtq', Math.min(f.eventqsLog2, EVTQ_MAX), 32);
  const entries = Math.min(2 ** Math.max(f.sidBits - SPLIT, 0), 2 ** 17);
  const base = allocateZeroed(g, entries * 8);
  s.strtab = { base, log2size: Math.log2(entries) + SPLIT, split: SPLIT, l2: [] };
  log(g, 'guest.cmdq', `oas ${f.oas}-bit`);
  return yield* reset(g);
}

function ring(g: Guest, name: string, log2size: number, entry: number): Ring {
  // Not cleared: nobody reads an entry before it is written.
  const base = g.pages.alloc(2 ** log2size * entry);
  log(g, `guest.${name}`, `allocated ${2 ** log2size} entries for ${name}`);
  return { base, log2size, prod: 0, cons: 0 };
}

/** arm_smmu_device_reset. */
function* reset(g: Guest): Op<string> {
  const { features, strtab, cmdq, evtq } = g.state;
  if (!features || !strtab || !cmdq || !evtq) throw new Error('reset before the driver has its tables');
  if ((yield* readRegister(g, 'CR0')) & CR0.smmuen) {
    log(g, 'guest.cmdq', 'SMMU currently enabled! Resetting...');
    yield* updateGbpa(g, GBPA.abort);
  }
  if (!(yield* writeRegisterSync(g, 'CR0', 'CR0ACK', 0))) return 'failed to clear cr0';
  yield* writeRegister(g, 'CR1', 0xd75);
  yield* writeRegister(g, 'CR2', features.hyp ? 0x7 : 0x6);
  yield* writeRegister(g, 'STRTAB_BASE', BigInt(strtab.base) | BASE_HINT);
  yield* writeRegister(g, 'STRTAB_BASE_CFG', (1 << 16) | (strtab.split << 6) | strtab.log2size);

  yield* writeRegister(g, 'CMDQ_BASE', BigInt(cmdq.base + cmdq.log2size) | BASE_HINT);
  yield* writeRegister(g, 'CMDQ_PROD', cmdq.prod);
  yield* writeRegister(g, 'CMDQ_CONS', cmdq.cons);
  let enables: number = CR0.cmdqen;
  if (!(yield* writeRegisterSync(g, 'CR0', 'CR0ACK', enables))) return 'failed to enable command queue';
  yield* submit(g, [cfgiAll()]);
  yield* submit(g, [nsnhAll()]);

  yield* writeRegister(g, 'EVENTQ_BASE', BigInt(evtq.base + evtq.log2size) | BASE_HINT);
  yield* writeRegister(g, 'EVENTQ_PROD', evtq.prod);
  yield* writeRegister(g, 'EVENTQ_CONS', evtq.cons);
  enables |= CR0.eventqen;
  if (!(yield* writeRegisterSync(g, 'CR0', 'CR0ACK', enables))) return 'failed to enable event queue';
  if (features.ats) {
    enables |= CR0.atschk;
    if (!(yield* writeRegisterSync(g, 'CR0', 'CR0ACK', enables))) return 'failed to enable ATS check';
  }
  yield* setupInterrupts(g);
  enables |= CR0.smmuen;
  return (yield* writeRegisterSync(g, 'CR0', 'CR0ACK', enables)) ? '' : 'failed to enable SMMU interface';
}

/** arm_smmu_setup_irqs without MSI: wired lines, so the MSI addresses are cleared. Event and global error interrupts on. */
function* setupInterrupts(g: Guest): Op<void> {
  yield* writeRegisterSync(g, 'IRQ_CTRL', 'IRQ_CTRLACK', 0);
  yield* writeRegister(g, 'GERROR_IRQ_CFG0', 0);
  yield* writeRegister(g, 'EVENTQ_IRQ_CFG0', 0);
  yield* writeRegisterSync(g, 'IRQ_CTRL', 'IRQ_CTRLACK', 0x5);
}

function* updateGbpa(g: Guest, set: number): Op<void> {
  const old = yield* readRegister(g, 'GBPA');
  yield* writeRegister(g, 'GBPA', (old | set | GBPA.update) >>> 0);
  yield* readRegister(g, 'GBPA');
}
