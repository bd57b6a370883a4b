import type { Memory } from '../../memory/index.ts';
import { CONTROL, type RegisterFile } from './registers.ts';

/** Events of a unit, with the letters that their four registers begin with. */
const sources = { fault: 'FE', inv: 'IE', prq: 'PE' } as const;
export type EventSource = keyof typeof sources;

/** Addresses whose write is an interrupt message to a processor. Source: VT-d specification, 3.14. */
const MESSAGES = 0xfee0_0000;
const MESSAGES_END = 0xfef0_0000;

/** True for an address of the interrupt range. */
export const isInterruptAddress = (address: number): boolean => address >= MESSAGES && address < MESSAGES_END;

/**
 * The unit's own interrupts: a condition sets IP, the message goes out unless IM is set, and IP is clear once it has.
 * Source: VT-d specification, 5.1.7 and 11.4.10, 11.4.21, 11.4.35 (control registers).
 */
export class Interrupts {
  /** Messages that a processor has received; the driver takes them by writing false. */
  readonly pending = { fault: false, prq: false, inv: false };
  private readonly memory: Memory;
  private readonly regs: RegisterFile;

  constructor(memory: Memory, regs: RegisterFile) {
    this.memory = memory;
    this.regs = regs;
  }

  /** A new condition of that kind. */
  raise(source: EventSource): void {
    const name = `${sources[source]}CTL_REG`;
    this.regs.setNum(name, this.regs.num(name) | CONTROL.IP);
    this.unmasked(source);
  }

  /** Sends what waits, if it may: after a condition, and after software has written the control register. */
  unmasked(source: EventSource): void {
    const prefix = sources[source];
    const name = `${prefix}CTL_REG`;
    if ((this.regs.num(name) & (CONTROL.IP | CONTROL.IM)) >>> 0 !== CONTROL.IP) return;
    this.serviced(source);
    const address = this.regs.num(`${prefix}UADDR_REG`) * 4294967296 + this.regs.num(`${prefix}ADDR_REG`);
    if (isInterruptAddress(address)) this.pending[source] = true;
    // Anywhere else the message is a write like any other, and no processor notices.
    else if (this.memory.contains(address, 4)) this.memory.write32(address, this.regs.num(`${prefix}DATA_REG`));
  }

  /** Software has taken every condition, so that no message is due any more. */
  serviced(source: EventSource): void {
    const name = `${sources[source]}CTL_REG`;
    this.regs.setNum(name, this.regs.num(name) & ~CONTROL.IP);
  }
}
