import { allocateZeroed } from '../../guest/index.ts';
import type { Op } from '../../machine/index.ts';
import { decodeFeatures } from '../hardware/features.ts';
import { log, readRegister, writeRegister, writeRegisterSync } from './mmio.ts';
import { submit } from './queue.ts';
import type { Ring, Unit } from './state.ts';
import { SPLIT } from './stream-table.ts';

const CR0 = { smmuen: 1, priqen: 2, eventqen: 4, cmdqen: 8, atschk: 0x10 } as const;
const GBPA = { update: 0x80000000, abort: 1 << 20 } as const;
/** Queues are at most this many entries (log2): 1 MiB with the page allocator's usual limit. */
const CMDQ_MAX = 16;
const EVTQ_MAX = 15;
const PRIQ_MAX = 16;
const BASE_HINT = 1n << 62n;
/** IDR1.TABLES_PRESET, QUEUES_PRESET, REL. */
const PRESET = 0x70000000;

/**
 * arm_smmu_device_probe of the guest's kernel: reads the ID registers, allocates queues and the first-level stream table,
 * and brings the vSMMU up register by register (arm-smmuv3.md 7.1).
 * @returns '' or why the probe fails (ENXIO)
 */
export function* probe(u: Unit): Op<string> {
  const idr: number[] = [];
  for (const reg of ['IDR0', 'IDR1', 'IDR2', 'IDR3', 'IDR4', 'IDR5'])
    idr.push(reg === 'IDR2' || reg === 'IDR4' ? 0 : yield* readRegister(u, reg));
  const iidr = yield* readRegister(u, 'IIDR');
  const f = decodeFeatures(idr, iidr);
  u.state.features = f;
  const [idr0, idr1] = [idr[0]!, idr[1]!];
  // IDR0.TTENDIAN: mixed or little.
  if (((idr0 >>> 21) & 3) % 2 === 1) return 'unknown/unsupported TT endianness!';
  if (!f.s1p && !f.s2p) return 'no translation support!';
  // IDR0.TTF: AArch64, alone or with AArch32.
  if (((idr0 >>> 2) & 3) < 2) return 'AArch64 table format not supported!';
  if (idr1 & PRESET) return 'embedded implementation not supported';
  if (f.cmdqsLog2 <= 6) return 'unsupported number of entries in the command queue';
  const s = u.state;
  s.cmdq = ring(u, 'cmdq', Math.min(f.cmdqsLog2, CMDQ_MAX), 16);
  s.evtq = ring(u, 'evtq', Math.min(f.eventqsLog2, EVTQ_MAX), 32);
  if (f.pri) s.priq = ring(u, 'priq', Math.min(f.priqsLog2, PRIQ_MAX), 16);
  const entries = Math.min(2 ** Math.max(f.sidBits - SPLIT, 0), 2 ** 17);
  const base = allocateZeroed(u.kernel, entries * 8);
  s.strtab = { base, log2size: Math.log2(entries) + SPLIT, split: SPLIT, l2: [] };
  log(u, u.ids.cmdq, `oas ${f.oas}-bit`);
  return yield* reset(u);
}

function ring(u: Unit, name: 'cmdq' | 'evtq' | 'priq', log2size: number, entry: number): Ring {
  // Not cleared: nobody reads an entry before it is written.
  const base = u.kernel.pages.alloc(2 ** log2size * entry);
  log(u, u.ids[name], `allocated ${2 ** log2size} entries for ${name}`);
  return { base, log2size, prod: 0, cons: 0 };
}

/** arm_smmu_device_reset. */
function* reset(u: Unit): Op<string> {
  const { features, strtab, cmdq, evtq, priq } = u.state;
  if (!features || !strtab || !cmdq || !evtq) throw new Error('reset before the driver has its tables');
  if ((yield* readRegister(u, 'CR0')) & CR0.smmuen) {
    log(u, u.ids.cmdq, 'SMMU currently enabled! Resetting...');
    yield* updateGbpa(u, GBPA.abort);
  }
  if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', 0))) return 'failed to clear cr0';
  yield* writeRegister(u, 'CR1', 0xd75);
  // A guest kernel runs at EL1, so never with E2H.
  yield* writeRegister(u, 'CR2', 0x6);
  yield* writeRegister(u, 'STRTAB_BASE', BigInt(strtab.base) | BASE_HINT);
  yield* writeRegister(u, 'STRTAB_BASE_CFG', (1 << 16) | (strtab.split << 6) | strtab.log2size);

  yield* writeRegister(u, 'CMDQ_BASE', BigInt(cmdq.base + cmdq.log2size) | BASE_HINT);
  yield* writeRegister(u, 'CMDQ_PROD', cmdq.prod);
  yield* writeRegister(u, 'CMDQ_CONS', cmdq.cons);
  let enables: number = CR0.cmdqen;
  if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', enables))) return 'failed to enable command queue';
  yield* submit(u, u.kernel.rules.resetCfgi());
  for (const batch of u.kernel.rules.resetTlbi(features.hyp)) yield* submit(u, batch);

  yield* writeRegister(u, 'EVENTQ_BASE', BigInt(evtq.base + evtq.log2size) | BASE_HINT);
  yield* writeRegister(u, 'EVENTQ_PROD', evtq.prod);
  yield* writeRegister(u, 'EVENTQ_CONS', evtq.cons);
  enables |= CR0.eventqen;
  if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', enables))) return 'failed to enable event queue';
  if (priq) {
    yield* writeRegister(u, 'PRIQ_BASE', BigInt(priq.base + priq.log2size) | BASE_HINT);
    yield* writeRegister(u, 'PRIQ_PROD', priq.prod);
    yield* writeRegister(u, 'PRIQ_CONS', priq.cons);
    enables |= CR0.priqen;
    if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', enables))) return 'failed to enable PRI queue';
  }
  if (features.ats) {
    enables |= CR0.atschk;
    if (!(yield* writeRegisterSync(u, 'CR0', 'CR0ACK', enables))) return 'failed to enable ATS check';
  }
  yield* setupInterrupts(u);
  enables |= CR0.smmuen;
  return (yield* writeRegisterSync(u, 'CR0', 'CR0ACK', enables)) ? '' : 'failed to enable SMMU interface';
}

/** arm_smmu_setup_irqs without MSI: wired lines, so the MSI addresses are cleared. Event and global error interrupts on. */
function* setupInterrupts(u: Unit): Op<void> {
  yield* writeRegisterSync(u, 'IRQ_CTRL', 'IRQ_CTRLACK', 0);
  yield* writeRegister(u, 'GERROR_IRQ_CFG0', 0);
  yield* writeRegister(u, 'EVENTQ_IRQ_CFG0', 0);
  if (u.state.priq) yield* writeRegister(u, 'PRIQ_IRQ_CFG0', 0);
  yield* writeRegisterSync(u, 'IRQ_CTRL', 'IRQ_CTRLACK', u.state.priq ? 0x7 : 0x5);
}

function* updateGbpa(u: Unit, set: number): Op<void> {
  const old = yield* readRegister(u, 'GBPA');
  yield* writeRegister(u, 'GBPA', (old | set | GBPA.update) >>> 0);
  yield* readRegister(u, 'GBPA');
}
