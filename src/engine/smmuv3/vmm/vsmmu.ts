import { type Op, scoped } from '../../machine/index.ts';
import { report, trapWrite, type VmmUnit } from '../../vmm/index.ts';
import { consume } from './consume.ts';
import { attachGbpa, makeVeventq } from './devices.ts';
import { pollEvents } from './events.ts';
import { deliverFaults, pollFaults } from './faults.ts';
import { noteTableFormat } from './find-ste.ts';
import { deliverForward } from './forward.ts';
import { installRange } from './install.ts';
import { CR0, GBPA, isWritable, readRegister, resetRegisters, storeRegister } from './registers.ts';
import { freshUnit, type MachineContext, type UnitContext, type UnitState, type VmmDevice } from './state.ts';

/**
 * One `arm-smmuv3,accel=on`: the registers that a guest sees, the traps behind them, and the vIOMMU that stands for it in the
 * kernel. Source: arm-smmuv3.md 8.
 */
export class VSmmu implements UnitContext, VmmUnit {
  readonly name: string;
  readonly vmm: MachineContext;
  readonly ids: UnitContext['ids'];
  readonly at: string;
  readonly irq = { evtq: false, gerror: false };
  state: UnitState;

  /** @param scope of its scene objects */
  constructor(name: string, vmm: MachineContext, scope: string) {
    this.name = name;
    this.vmm = vmm;
    this.state = freshUnit(vmm.properties);
    this.ids = { vsmmu: scoped('vmm', scope, 'vsmmu'), evtq: scoped('guest', scope, 'evtq') };
    this.at = this.ids.vsmmu;
  }

  deviceOf(name: string): VmmDevice | undefined {
    return this.state.devices.find((d) => d.name === name);
  }

  /** A register as the guest reads it; unknown ones are zero. No side effect. */
  readVirtual(reg: string): bigint {
    return readRegister(this.state.registers, reg);
  }

  /** A trapped register write with everything that follows from it before the guest runs on. */
  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield* trapWrite(this.vmm.trace, this.ids.vsmmu, reg, value);
    if (!isWritable(reg)) return;
    if (reg === 'GBPA') return yield* this.writeGbpa(value);
    const was = this.state.registers['CR0'] ?? 0n;
    if (reg === 'CMDQ_CONS' && !(was & CR0.cmdqen) && !this.vmm.rules.consWritable()) return;
    storeRegister(this.state.registers, reg, value);
    switch (reg) {
      case 'CR0': {
        yield* consume(this);
        const failure = yield* makeVeventq(this);
        if (failure) report(this, failure);
        if ((was ^ value) & CR0.smmuen && this.vmm.rules.smmuenMovesDevices()) yield* this.followSmmuen();
        yield* deliverFaults(this);
        break;
      }
      case 'EVENTQ_CONS':
        // The guest has made room: stalled events that waited for it go out now.
        yield* deliverFaults(this);
        break;
      case 'STRTAB_BASE_CFG':
        noteTableFormat(this, this.state.registers[reg]!);
        break;
      case 'CMDQ_PROD':
      case 'GERRORN':
        yield* consume(this);
        break;
    }
  }

  /** Registers, then every device to what GBPA says. */
  *reset(): Op<void> {
    const { rules } = this.vmm;
    if (rules.resetsRegisters()) {
      resetRegisters(this.state.registers);
      this.state.twoLevel = null;
    }
    this.state.resets++;
    this.state.consuming = false;
    this.state.batch = [];
    this.irq.evtq = this.irq.gerror = false;
    if (rules.resetMovesDevices()) yield* attachGbpa(this);
  }

  /** Forwards what the kernel reports to the guest. */
  *pollEvents(): Op<void> {
    yield* pollEvents(this);
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
    const s = structuredClone(saved) as { state: UnitState; irq: VSmmu['irq'] };
    this.state = s.state;
    Object.assign(this.irq, s.irq);
  }

  /** Without UPDATE the write is ignored; the update is done at once. */
  private *writeGbpa(value: bigint): Op<void> {
    if (!(value & GBPA.update)) return;
    storeRegister(this.state.registers, 'GBPA', value & ~GBPA.update);
    if (this.vmm.rules.gbpaMovesDevices()) yield* attachGbpa(this);
  }

  private *followSmmuen(): Op<void> {
    if ((this.state.registers['CR0'] ?? 0n) & CR0.smmuen) yield* installRange(this, 0, 0xffff);
    else yield* attachGbpa(this);
  }
}
