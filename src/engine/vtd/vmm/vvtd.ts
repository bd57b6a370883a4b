import { type Op, scoped } from '../../machine/index.ts';
import { report, trapWrite, type VmmUnit } from '../../vmm/index.ts';
import { consume, disableQueue, enableQueue, tailWritten } from './consume.ts';
import { contextCache } from './descriptors.ts';
import { updatePpf } from './fault-record.ts';
import { deliverForward } from './forward.ts';
import { afterControlWrite, afterStatusWrite } from './interrupts.ts';
import { pollFaults } from './page-requests.ts';
import { blockUnbound, dropBindings, everything, resetBindings, syncBindings } from './pasid-cache.ts';
import {
  ADDRESS,
  GCMD,
  IQA,
  RTADDR_SMT,
  readRegister,
  resetRegisters,
  storeRegister,
  updateRegister,
} from './registers.ts';
import type { Replay } from './rules.ts';
import {
  freshQueue,
  freshUnit,
  type MachineContext,
  note,
  type UnitContext,
  type UnitState,
  type VmmDevice,
} from './state.ts';

/** CCMD_REG and IOTLB_REG: start; where the answer goes. */
const START = 1n << 63n;
const CAIG = 3n << 59n;
const IAIG = 3n << 57n;

/**
 * One `intel-iommu,fsts=on`: the registers that a guest sees and the traps behind them. For the host it is no object at all:
 * what the guest configures becomes nested HWPTs, one for each (RID, PASID). Source: intel-vtd.md 5.9.
 */
export class VVtd implements UnitContext, VmmUnit {
  readonly name: string;
  readonly vmm: MachineContext;
  readonly ids: UnitContext['ids'];
  readonly at: string;
  readonly irq = { fault: false, prq: false, inv: false };
  state: UnitState;

  /** @param scope of its scene objects */
  constructor(name: string, vmm: MachineContext, scope: string) {
    this.name = name;
    this.vmm = vmm;
    this.state = freshUnit(vmm.properties);
    this.ids = {
      viommu: scoped('vmm', scope, 'viommu'),
      iq: scoped('guest', scope, 'iq'),
      prq: scoped('guest', scope, 'prq'),
      frcd: scoped('guest', scope, 'frcd'),
    };
    this.at = this.ids.viommu;
  }

  deviceOf(name: string): VmmDevice | undefined {
    return this.state.devices.find((d) => d.name === name);
  }

  /** A register as the guest reads it; unknown ones are zero. IQA_REG shows the queue that is in use. No side effect. */
  readVirtual(reg: string): bigint {
    const value = readRegister(this.state.registers, reg);
    if (reg !== 'IQA_REG') return value;
    return BigInt(this.state.iq) | (value & (this.vmm.rules.showsQueueWidth() ? IQA.qs | IQA.dw : IQA.qs));
  }

  /** A trapped register write with everything that follows from it before the guest runs on (vtd_mem_write). */
  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield* trapWrite(this.vmm.trace, this.ids.viommu, reg, value);
    const r = this.state.registers;
    storeRegister(r, reg, value);
    switch (reg) {
      case 'GCMD_REG':
        yield* this.command();
        break;
      case 'IQT_REG':
        yield* tailWritten(this);
        break;
      case 'IQA_REG':
        // Scalable mode is always offered.
        this.state.iqWide = ((r['IQA_REG'] ?? 0n) & IQA.dw) !== 0n;
        break;
      case 'CCMD_REG':
        yield* this.contextCommand();
        break;
      case 'IOTLB_REG':
        this.iotlbCommand();
        break;
      case 'FSTS_REG':
        afterStatusWrite(this, reg);
        // Not the end of an error's story: descriptors wait until the guest writes IQT_REG again.
        if (this.vmm.rules.iqeClearRestarts()) yield* consume(this);
        break;
      case 'ICS_REG':
      case 'PRS_REG':
        afterStatusWrite(this, reg);
        break;
      case 'FECTL_REG':
      case 'IECTL_REG':
      case 'PECTL_REG':
        afterControlWrite(this, reg);
        break;
      case 'FRCD_REG0_HI':
        updatePpf(this);
        break;
    }
  }

  /** vtd_reset_exit: registers and queue start anew; with root and translation gone every binding ends. */
  *reset(): Op<void> {
    const { rules } = this.vmm;
    const s = this.state;
    if (rules.resetsRegisters()) {
      resetRegisters(s.registers, s.offer);
      Object.assign(s, freshQueue());
    }
    s.resets++;
    s.consuming = false;
    s.batch = [];
    this.irq.fault = this.irq.prq = this.irq.inv = false;
    if (rules.resetMovesDevices()) yield* resetBindings(this);
  }

  /** Forwards what the kernel reports to the guest. */
  *pollEvents(): Op<void> {
    yield* pollFaults(this);
  }

  /** A held-back message of the injection point `vmm.forward` arrives. */
  *deliver(words: bigint[]): Op<void> {
    yield* deliverForward(this, words);
  }

  save(): unknown {
    return structuredClone({ state: this.state, irq: this.irq });
  }

  load(saved: unknown): void {
    const s = structuredClone(saved) as { state: UnitState; irq: VVtd['irq'] };
    this.state = s.state;
    Object.assign(this.irq, s.irq);
  }

  /** vtd_handle_gcmd_write: what differs from GSTS_REG, and the one-shot bits. */
  private *command(): Op<void> {
    const r = this.state.registers;
    const value = r['GCMD_REG'] ?? 0n;
    const changed = value ^ (r['GSTS_REG'] ?? 0n);
    if (changed & GCMD.te) yield* this.translation((value & GCMD.te) !== 0n);
    if (value & GCMD.srtp) yield* this.takeRoot();
    if (changed & GCMD.qie) {
      if (value & GCMD.qie) yield* enableQueue(this);
      else disableQueue(this);
    }
    // Interrupt remapping is not offered: its table is taken, IRE stays 0.
    if (value & GCMD.sirtp) updateRegister(r, 'GSTS_REG', 0n, GCMD.sirtp);
  }

  /** vtd_handle_gcmd_te */
  private *translation(on: boolean): Op<void> {
    const s = this.state;
    s.dmarEnabled = on;
    updateRegister(s.registers, 'GSTS_REG', on ? 0n : GCMD.te, on ? GCMD.te : 0n);
    if (!on && !this.vmm.rules.keepsBindingsAtTeOff()) for (const d of [...s.devices]) yield* dropBindings(this, d);
    yield* this.followTables('te');
    if (on && s.rootScalable && this.vmm.rules.blocksUnbound()) yield* blockUnbound(this);
  }

  /** vtd_handle_gcmd_srtp */
  private *takeRoot(): Op<void> {
    const s = this.state;
    const rtaddr = s.registers['RTADDR_REG'] ?? 0n;
    s.root = Number(rtaddr & ADDRESS);
    s.rootScalable = (rtaddr & RTADDR_SMT) !== 0n;
    updateRegister(s.registers, 'GSTS_REG', 0n, GCMD.srtp);
    yield* this.followTables('srtp');
  }

  /** Bindings whose entry is gone end; with translation on in scalable mode, what is present is bound. */
  private *followTables(at: Replay): Op<void> {
    yield* resetBindings(this);
    if (this.vmm.rules.replays(at)) yield* syncBindings(this, everything);
  }

  /** vtd_handle_ccmd_write: invalidation by register, for guests that have not switched the queue on. */
  private *contextCommand(): Op<void> {
    const r = this.state.registers;
    const value = r['CCMD_REG'] ?? 0n;
    if (!(value & START)) return;
    if (this.state.qiEnabled) {
      report(this, 'Queued Invalidation enabled, should not use register-based invalidation');
      return;
    }
    const granularity = (value >> 61n) & 3n;
    // A domain is treated as everything, and said to be.
    const done = granularity === 2n ? 1n : granularity;
    yield* contextCache(this, granularity << 4n);
    updateRegister(r, 'CCMD_REG', START | CAIG, done << 59n);
  }

  /** vtd_handle_iotlb_write: the host has nothing to do for it. */
  private iotlbCommand(): void {
    const r = this.state.registers;
    const value = r['IOTLB_REG'] ?? 0n;
    if (!(value & START)) return;
    if (this.state.qiEnabled) {
      report(this, 'Queued Invalidation enabled, should not use register-based invalidation');
      return;
    }
    const granularity = (value >> 60n) & 3n;
    const tooLarge = granularity === 3n && Number((r['IVA_REG'] ?? 0n) & 63n) > this.vmm.rules.largestMask();
    updateRegister(r, 'IOTLB_REG', START | IAIG, (tooLarge ? 0n : granularity) << 57n);
    note(this, 'a second-stage invalidation has no effect on nested devices');
  }
}
