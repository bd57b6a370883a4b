import { fieldOf, getField } from '../../bits/index.ts';
import type { Injector } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { EXEC, WRITE } from '../../pagetable/vmsav8.ts';
import type { Trace } from '../../trace/index.ts';
import { encodeEvent, eventLayout, eventName, eventText, registerByName } from '../layout/index.ts';
import type { SmmuFeatures } from './features.ts';
import { hardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import { CR0, GERROR, OVERFLOW, type RegisterFile } from './registers.ts';
import { EVENT, type Translator } from './translator.ts';

const queueBase = registerByName('EVENTQ_BASE')!.layout;

/**
 * A ring's geometry from a *_BASE register.
 * @param max what the ID register allows for LOG2SIZE
 * @param oas output address bits, to which the base is cut. Source: Arm IHI 0070, 3.4.3
 */
export function ring(base: bigint, max: number, entryBytes: number, oas = 52): { base: number; log2: number } {
  const log2 = Math.min(Number(getField(fieldOf(queueBase, 'LOG2SIZE'), [base])), max);
  const at = Number(getField(fieldOf(queueBase, 'ADDR'), [base])) % 2 ** oas;
  const bytes = Math.max(2 ** log2 * entryBytes, 32);
  return { base: at - (at % bytes), log2 };
}

/**
 * Words of the event that the translator's last request ended in. Source: Arm IHI 0070, 7.3.
 * @param ssid -1 where the event has no SubstreamID
 * @param input the address as the device sent it: IOVA, or the physical address of a translated access
 * @param stag tag of the stalled transaction, -1: it has ended
 */
export function eventWords(t: Translator, sid: number, ssid: number, input: bigint, stag = -1): bigint[] {
  const substream: Record<string, number> = ssid >= 0 ? { SSV: 1, SSID: ssid } : {};
  const read = (t.need & WRITE) === 0;
  const access = { RnW: read ? 1 : 0, InD: read && (t.need & EXEC) !== 0 ? 1 : 0, PnU: t.priv ? 1 : 0 };
  const name = eventName(t.event);
  switch (t.event) {
    case EVENT.F_STE_FETCH:
    case EVENT.F_CD_FETCH:
      return encodeEvent(name, { ...substream, SID: sid, FetchAddr: BigInt(t.fetchAddress) & ~7n });
    case EVENT.F_STREAM_DISABLED:
      return encodeEvent(name, { SID: sid });
    case EVENT.C_BAD_SUBSTREAMID:
      return encodeEvent(name, { SID: sid, SSID: Math.max(ssid, 0) });
    case EVENT.F_BAD_ATS_TREQ:
      return encodeEvent(name, { ...substream, SID: sid, InputAddr: input & ~0xfffn });
    case EVENT.F_TRANSL_FORBIDDEN:
      return encodeEvent(name, { SID: sid, RnW: access.RnW, InputAddr: input });
    case EVENT.F_WALK_EABT:
      return encodeEvent(name, {
        ...substream,
        ...access,
        SID: sid,
        S2: t.faultStage === 2 ? 1 : 0,
        CLASS: t.faultClass,
        InputAddr: input,
        FetchAddr: BigInt(t.fetchAddress) & ~7n,
      });
    case EVENT.F_TRANSLATION:
    case EVENT.F_ADDR_SIZE:
    case EVENT.F_ACCESS:
    case EVENT.F_PERMISSION: {
      const ipa = ((BigInt(t.faultIpaHi >>> 0) << 32n) | BigInt(t.faultIpaLo >>> 0)) & 0xffffffffff000n;
      const ttRead: Record<string, number> =
        t.event === EVENT.F_PERMISSION && t.faultClass === 1 ? { TTRnW: t.tableWrite ? 0 : 1 } : {};
      return encodeEvent(name, {
        ...substream,
        ...access,
        ...ttRead,
        ...(stag >= 0 ? { Stall: 1, STAG: stag } : {}),
        SID: sid,
        S2: t.faultStage === 2 ? 1 : 0,
        CLASS: t.faultClass,
        InputAddr: input,
        IPA: ipa,
      });
    }
    default:
      return encodeEvent(name, { ...substream, SID: sid });
  }
}

/** The producer side of the event queue. */
export class EventQueue {
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  private readonly features: SmmuFeatures;
  private readonly interrupts: Interrupts;
  private readonly trace: Trace;
  private readonly injector: Injector;
  private readonly place: string;

  constructor(
    memory: Memory,
    regs: RegisterFile,
    features: SmmuFeatures,
    interrupts: Interrupts,
    trace: Trace,
    injector: Injector,
    ids = hardwareIds(),
  ) {
    this.memory = memory;
    this.regs = regs;
    this.features = features;
    this.interrupts = interrupts;
    this.trace = trace;
    this.injector = injector;
    this.place = ids.evtq;
  }

  /** Enabled, not full, without an unacknowledged abort. Source: Arm IHI 0070, 7.2.1. */
  get writable(): boolean {
    const { regs } = this;
    if ((regs.num('CR0') & CR0.EVENTQEN) === 0 || this.interrupts.isActive(GERROR.EVENTQ_ABT_ERR)) return false;
    const size = 2 ** this.geometry().log2;
    return ((regs.num('EVENTQ_PROD') - regs.num('EVENTQ_CONS')) & (2 * size - 1)) < size;
  }

  private geometry(): { base: number; log2: number } {
    return ring(this.regs.get('EVENTQ_BASE'), this.features.eventqsLog2, 32, this.features.oas);
  }

  /**
   * Records an event, unless recording is off for it.
   * @param wanted false when CD.R, STE.S2R or CR2.RECINVSID suppress it
   */
  record(words: bigint[], wanted: boolean): void {
    const enabled = (this.regs.num('CR0') & CR0.EVENTQEN) !== 0;
    const deliver = wanted && enabled ? this.injector.pass('event.record', words, this.place) : [];
    let written = false;
    for (const w of deliver) written = this.write(w) || written;
    this.report(words, written);
  }

  /**
   * Records the fault of a stalled transaction. Such a record is never lost and causes no overflow: while the queue is not
   * writable the transaction waits, to be tried again later. Source: Arm IHI 0070, 7.2.1, 7.4.
   * @returns whether the record counts as written (an injected fault may have lost it on its way)
   */
  recordStall(words: bigint[]): boolean {
    if (!this.writable) return false;
    let written = false;
    const deliver = this.injector.pass('event.record', words, this.place);
    for (const w of deliver) written = this.write(w) || written;
    // The write itself may have been aborted.
    if (deliver.length > 0 && !written) return false;
    this.report(words, written);
    return true;
  }

  private report(words: bigint[], recorded: boolean): void {
    this.trace.listener?.({
      kind: 'fault',
      actor: 'iommu',
      at: this.place,
      name: eventName(Number(words[0]! & 0xffn)),
      words,
      layout: eventLayout(words).id,
      recorded,
      text: eventText(words),
    });
  }

  /**
   * Writes a record at PROD. It is lost when the queue is full, which flags an overflow, when the write is aborted, and
   * while software has not acknowledged an earlier abort.
   * Source: Arm IHI 0070, 3.5.1, 3.18.2 (interrupt when the queue stops being empty), 7.2.1, 7.4.
   * @returns whether a record was written
   */
  write(words: readonly bigint[]): boolean {
    const { regs } = this;
    if (this.interrupts.isActive(GERROR.EVENTQ_ABT_ERR)) return false;
    const q = this.geometry();
    const size = 2 ** q.log2;
    const mask = 2 * size - 1;
    const prodReg = regs.num('EVENTQ_PROD');
    const consReg = regs.num('EVENTQ_CONS');
    const prod = prodReg & mask;
    const fill = (prod - consReg) & mask;
    if (fill >= size) {
      // Overflow is flagged once; software acknowledges by copying the flag to CONS.
      if (prodReg >>> 31 === consReg >>> 31) regs.setNum('EVENTQ_PROD', prodReg ^ OVERFLOW);
      return false;
    }
    const at = q.base + (prod & (size - 1)) * 32;
    if (!this.memory.contains(at, 32)) {
      this.interrupts.raise(GERROR.EVENTQ_ABT_ERR);
      return false;
    }
    for (let i = 0; i < 4; i++) this.memory.writeWord(at + 8 * i, words[i]!);
    regs.setNum('EVENTQ_PROD', (prodReg & OVERFLOW) | ((prod + 1) & mask));
    if (fill === 0) this.interrupts.signal('evtq');
    return true;
  }
}
