import type { Op } from '../../machine/index.ts';
import { PAGE_SIZE } from '../../memory/index.ts';
import { capabilities } from './capabilities.ts';
import { handleFaults } from './faults.ts';
import { type IntelIommu, type Kernel, log } from './kernel.ts';
import { command, flushWriteBuffer, GCMD, readRegister, writeRegister } from './mmio.ts';
import { PRQ_BYTES, PRQ_ORDER } from './prq.ts';
import { SLOTS, submitEach } from './queue.ts';
import { allocateZeroed } from './tables.ts';

/** What the kernel does with the units at boot (dmar.c, iommu.c init_dmars), before it looks at devices. */

const TTM_SCALABLE = 0x400n;
/** MSI of the kernel's choice: destination, vector; the interrupt itself is taken from the port. */
const MSI = { address: 0xfee00000, fault: 0x21, prq: 0x22 };

/** Where firmware puts the first unit's registers; only the log says it. */
const REGISTERS = 0xfed90000n;

/** All units, step by step. @returns false when one of them has no invalidation queue, which the model needs */
export function* startUnits(k: Kernel): Op<boolean> {
  for (const u of k.units) if (!(yield* startUnit(k, u))) return false;
  for (const u of k.units) yield* setRoot(k, u);
  for (const u of k.units) {
    yield* flushWriteBuffer(k, u);
    if (k.state.units[u.index]!.caps!.prs) yield* enablePageRequests(k, u);
    yield* interrupt(k, u, 'FE', MSI.fault);
  }
  return true;
}

/** GCMD.TE of all units: from here on requests are translated. */
export function* enableTranslation(k: Kernel): Op<void> {
  for (const u of k.units) yield* command(k, u, GCMD.te, true, true);
  log(k, k.units[0]!.ids.driver, 'DMAR: Intel(R) Virtualization Technology for Directed I/O');
}

function* startUnit(k: Kernel, u: IntelIommu): Op<boolean> {
  const state = k.state.units[u.index]!;
  const cap = yield* readRegister(k, u, 'CAP_REG');
  const ecap = yield* readRegister(k, u, 'ECAP_REG');
  const version = Number(yield* readRegister(k, u, 'VER_REG'));
  state.caps = capabilities(cap, ecap);
  const hex = (v: bigint): string => v.toString(16);
  const base = hex(REGISTERS + BigInt(u.index) * 0x1000n);
  const text = `${u.name}: reg_base_addr ${base} ver ${version >> 4}:${version & 15} cap ${hex(cap)} ecap ${hex(ecap)}`;
  log(k, u.ids.driver, `DMAR: ${text}`);
  yield* handleFaults(k, u.index);
  // An older kernel's queue is run empty and switched off.
  const status = Number(yield* readRegister(k, u, 'GSTS_REG'));
  state.gcmd = 0;
  if (status & 0x80000000) yield* command(k, u, GCMD.te, false, true);
  if (status & GCMD.qie) yield* command(k, u, GCMD.qie, false, true);
  if (!state.caps.qi) {
    log(k, u.ids.driver, `DMAR: ${u.name}: Using Register based invalidation`);
    return false;
  }
  yield* enableQueue(k, u);
  log(k, u.ids.driver, `DMAR: ${u.name}: Using Queued invalidation`);
  return true;
}

/** dmar_enable_qi: 256 slots, of 256 bits where the unit knows scalable mode. */
function* enableQueue(k: Kernel, u: IntelIommu): Op<void> {
  const state = k.state.units[u.index]!;
  const wide = state.caps!.smts;
  const shift = wide ? 5 : 4;
  const base = allocateZeroed(k, SLOTS * 2 ** shift);
  const status = allocateZeroed(k, SLOTS * 4);
  state.queue = { base, status, shift, freeHead: 0, freeTail: 0, freeCount: SLOTS };
  yield* writeRegister(k, u, 'IQT_REG', 0);
  yield* writeRegister(k, u, 'IQA_REG', BigInt(base) | (wide ? 0x801n : 0n));
  yield* command(k, u, GCMD.qie, true, true);
}

/** iommu_set_root_entry */
function* setRoot(k: Kernel, u: IntelIommu): Op<void> {
  const state = k.state.units[u.index]!;
  const c = state.caps!;
  state.root = allocateZeroed(k, PAGE_SIZE);
  yield* flushWriteBuffer(k, u);
  yield* writeRegister(k, u, 'RTADDR_REG', BigInt(state.root) | (c.scalable ? TTM_SCALABLE : 0n));
  yield* command(k, u, GCMD.srtp, true, false);
  yield* submitEach(k, u, k.rules.rootSet(c));
}

/** intel_iommu_enable_prq: interrupt, then pointers, then the address. */
function* enablePageRequests(k: Kernel, u: IntelIommu): Op<void> {
  const state = k.state.units[u.index]!;
  state.prq = allocateZeroed(k, PRQ_BYTES);
  yield* interrupt(k, u, 'PE', MSI.prq);
  yield* writeRegister(k, u, 'PQH_REG', 0);
  yield* writeRegister(k, u, 'PQT_REG', 0);
  yield* writeRegister(k, u, 'PQA_REG', BigInt(state.prq) | BigInt(PRQ_ORDER));
}

/** dmar_msi_write, dmar_msi_unmask */
function* interrupt(k: Kernel, u: IntelIommu, which: 'FE' | 'PE', vector: number): Op<void> {
  yield* writeRegister(k, u, `${which}DATA_REG`, vector);
  yield* writeRegister(k, u, `${which}ADDR_REG`, MSI.address);
  yield* writeRegister(k, u, `${which}UADDR_REG`, 0);
  yield* writeRegister(k, u, `${which}CTL_REG`, 0);
}
