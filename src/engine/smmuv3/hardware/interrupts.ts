import type { Memory } from '../../memory/index.ts';
import type { SmmuFeatures } from './features.ts';
import { GERROR, IRQ_CTRL, type RegisterFile } from './registers.ts';

const sources = {
  evtq: { enable: IRQ_CTRL.EVENTQ, registers: 'EVENTQ', abort: GERROR.MSI_EVENTQ_ABT_ERR },
  priq: { enable: IRQ_CTRL.PRIQ, registers: 'PRIQ', abort: GERROR.MSI_PRIQ_ABT_ERR },
  gerror: { enable: IRQ_CTRL.GERROR, registers: 'GERROR', abort: GERROR.MSI_GERROR_ABT_ERR },
} as const;

/** Global errors and the interrupts of the SMMU, as wires or as memory writes. Source: Arm IHI 0070, 3.18, 6.3.19, 7.5. */
export class Interrupts {
  /** Interrupts that are pending for the driver, which takes them by writing false. */
  readonly pending = { evtq: false, gerror: false, priq: false };
  private readonly memory: Memory;
  private readonly features: SmmuFeatures;
  private readonly regs: RegisterFile;

  constructor(memory: Memory, features: SmmuFeatures, regs: RegisterFile) {
    this.memory = memory;
    this.features = features;
    this.regs = regs;
  }

  /** Makes a global error active; one that software has not acknowledged yet is not reported again. */
  raise(error: (typeof GERROR)[keyof typeof GERROR]): void {
    if (this.isActive(error)) return;
    this.regs.setNum('GERROR', this.regs.num('GERROR') ^ (1 << error));
    // The interrupt that could not be sent is not tried a second time.
    if (error !== GERROR.MSI_GERROR_ABT_ERR) this.signal('gerror');
  }

  isActive(error: number): boolean {
    return (((this.regs.num('GERROR') ^ this.regs.num('GERRORN')) >> error) & 1) !== 0;
  }

  signal(source: keyof typeof sources): void {
    const s = sources[source];
    if ((this.regs.num('IRQ_CTRL') & s.enable) === 0) return;
    const address = Number(this.regs.get(`${s.registers}_IRQ_CFG0`));
    if (address !== 0 && !this.write(address, this.regs.num(`${s.registers}_IRQ_CFG1`))) this.raise(s.abort);
    else this.pending[source] = true;
  }

  /**
   * A message-signalled interrupt: a 32-bit write to an address that is cut to the output size.
   * @returns false when the write is aborted
   */
  write(address: number, data: number): boolean {
    const at = address % 2 ** this.features.oas;
    if (!this.memory.contains(at, 4)) return false;
    this.memory.write32(at, data);
    return true;
  }
}
