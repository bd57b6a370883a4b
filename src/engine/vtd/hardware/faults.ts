import type { Injector } from '../../machine/index.ts';
import type { Trace } from '../../trace/index.ts';
import { faultName, faultSummary, frcdLayout } from '../layout/index.ts';
import type { VtdFeatures } from './features.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import { FSTS, type RegisterFile } from './registers.ts';

/** What a fault record tells of the request. */
export interface FaultedRequest {
  readonly rid: number;
  /** -1: none. */
  readonly pasid: number;
  /** Input address, 64 bits. */
  readonly address: bigint;
  /** Fault reason code. */
  readonly reason: number;
  readonly access: 'read' | 'write' | 'page request';
  readonly exec: boolean;
  readonly priv: boolean;
  /** 0 untranslated, 1 translation request, 2 translated. */
  readonly at: number;
}

const F = 1n << 63n;
const bit = (on: boolean, at: bigint): bigint => (on ? 1n << at : 0n);

/** The two words of a fault record, F set. Source: VT-d specification, 11.4.14. */
export function faultWords(q: FaultedRequest): bigint[] {
  const { pasid } = q;
  const withPasid =
    pasid < 0 ? 0n : (1n << 31n) | (BigInt(pasid) << 40n) | bit(q.priv, 29n) | bit(q.exec && q.access === 'read', 30n);
  return [
    q.address & ~0xfffn,
    BigInt(q.rid & 0xffff) |
      bit(q.access === 'page request', 28n) |
      withPasid |
      (BigInt(q.reason) << 32n) |
      (BigInt(q.at) << 60n) |
      bit(q.access === 'read', 62n) |
      F,
  ];
}

const ERRORS = FSTS.IQE | FSTS.ICE | FSTS.ITE;

/**
 * Primary fault logging: the fault recording registers and FSTS_REG.
 * Source: VT-d specification, 7.2.1 and 11.4.9; QEMU hw/i386/intel_iommu.c (vtd_report_frcd_fault).
 */
export class FaultRecorder {
  /** Register that the next fault goes to. */
  next = 0;
  private readonly features: VtdFeatures;
  private readonly regs: RegisterFile;
  private readonly interrupts: Interrupts;
  private readonly trace: Trace;
  private readonly injector: Injector;
  private readonly place: string;

  constructor(p: {
    features: VtdFeatures;
    regs: RegisterFile;
    interrupts: Interrupts;
    trace: Trace;
    injector: Injector;
    ids?: HardwareIds;
  }) {
    this.features = p.features;
    this.regs = p.regs;
    this.interrupts = p.interrupts;
    this.trace = p.trace;
    this.injector = p.injector;
    this.place = (p.ids ?? hardwareIds()).frcd;
  }

  /**
   * Records a fault, unless FPD silences it.
   * @param wanted false: it is a qualified fault, and an entry on the way has FPD
   */
  record(words: bigint[], wanted: boolean): void {
    let written = false;
    if (wanted)
      for (const w of this.injector.pass('event.record', words, this.place)) written = this.write(w) || written;
    this.trace.listener?.({
      kind: 'fault',
      actor: 'iommu',
      at: this.place,
      name: faultName(Number((words[1]! >> 32n) & 0xffn)),
      words,
      layout: frcdLayout.id,
      recorded: written,
      text: faultSummary(words),
    });
  }

  /**
   * Writes a record into the next register. It is lost after an overflow, when a record of the same requester is still
   * there (both are then told by that one), and when the register is in use, which is the overflow.
   * @returns whether a register took it
   */
  write(words: readonly bigint[]): boolean {
    const { regs } = this;
    const status = regs.num('FSTS_REG');
    if ((status & FSTS.PFO) !== 0) return false;
    const sid = words[1]! & 0xffffn;
    for (let i = 0; i < this.features.nfr; i++) {
      const hi = regs.get(`FRCD_REG${i}_HI`);
      if ((hi & F) !== 0n && (hi & 0xffffn) === sid) return false;
    }
    const i = this.next;
    const before = this.events;
    if ((regs.get(`FRCD_REG${i}_HI`) & F) !== 0n) {
      regs.setNum('FSTS_REG', status | FSTS.PFO);
      if (!before) this.interrupts.raise('fault');
      return false;
    }
    regs.set(`FRCD_REG${i}_LO`, words[0]!);
    regs.set(`FRCD_REG${i}_HI`, words[1]! | F);
    this.next = (i + 1) % this.features.nfr;
    if ((status & FSTS.PPF) === 0) regs.setNum('FSTS_REG', (status & ~0xff00) | (i << 8) | FSTS.PPF);
    if (!before) this.interrupts.raise('fault');
    return true;
  }

  /** A condition is there for which the fault event was raised. */
  private get events(): boolean {
    return (this.regs.num('FSTS_REG') & (FSTS.PFO | FSTS.PPF | ERRORS)) !== 0;
  }

  /** Sets an error bit of the invalidation queue; only the first condition raises the event. */
  error(bits: number): void {
    const before = this.events;
    this.regs.setNum('FSTS_REG', this.regs.num('FSTS_REG') | bits);
    if (!before) this.interrupts.raise('fault');
  }

  /** After software has cleared a record or status bits: PPF follows the records, and IP goes with the last condition. */
  cleared(): void {
    const { regs } = this;
    let any = false;
    for (let i = 0; i < this.features.nfr && !any; i++) any = (regs.get(`FRCD_REG${i}_HI`) & F) !== 0n;
    if (!any) regs.setNum('FSTS_REG', regs.num('FSTS_REG') & ~FSTS.PPF);
    if (!this.events) this.interrupts.serviced('fault');
  }
}
