import { fieldOf, getField } from '../../bits/index.ts';
import type { Injector } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import type { Trace } from '../../trace/index.ts';
import { encodeEvent, eventLayout, eventName, eventText, registerByName } from '../layout/index.ts';
import type { SmmuFeatures } from './features.ts';
import type { RegisterFile } from './registers.ts';
import { EVENT, type Translator } from './translator.ts';

const queueBase = registerByName('EVENTQ_BASE')!.layout;

/** A ring's geometry from a *_BASE register. `max` is what the ID register allows for LOG2SIZE. */
export function ring(base: bigint, max: number, entryBytes: number): { base: number; log2: number } {
  const log2 = Math.min(Number(getField(fieldOf(queueBase, 'LOG2SIZE'), [base])), max);
  const at = Number(getField(fieldOf(queueBase, 'ADDR'), [base]));
  const bytes = Math.max(2 ** log2 * entryBytes, 32);
  return { base: at - (at % bytes), log2 };
}

/** Words of the event that the translator's last request ended in. Source: Arm IHI 0070, 7.3. */
export function eventWords(
  t: Translator,
  sid: number,
  ssid: number,
  input: bigint,
  need: number,
  priv: boolean,
): bigint[] {
  const substream: Record<string, number> = ssid >= 0 ? { SSV: 1, SSID: ssid } : {};
  const read = (need & 2) === 0;
  const access = { RnW: read ? 1 : 0, InD: read && (need & 4) !== 0 ? 1 : 0, PnU: priv ? 1 : 0 };
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
      const s2 = t.faultStage === 2;
      const ttRead: Record<string, number> = t.event === EVENT.F_PERMISSION && t.faultClass === 1 ? { TTRnW: 1 } : {};
      return encodeEvent(name, {
        ...substream,
        ...access,
        ...ttRead,
        SID: sid,
        S2: s2 ? 1 : 0,
        CLASS: t.faultClass,
        InputAddr: input,
        IPA: s2 ? ipa : 0n,
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
  private readonly trace: Trace;
  private readonly injector: Injector;
  /** Set when the interrupt is enabled and a record was written. */
  irq = false;
  /** Called when a write to the queue is aborted. */
  onAbort: () => void = () => {};

  constructor(memory: Memory, regs: RegisterFile, features: SmmuFeatures, trace: Trace, injector: Injector) {
    this.memory = memory;
    this.regs = regs;
    this.features = features;
    this.trace = trace;
    this.injector = injector;
  }

  /**
   * Records an event, unless recording is off for it.
   * @param wanted false when CD.R, STE.S2R or CR2.RECINVSID suppress it
   */
  record(words: bigint[], wanted: boolean): void {
    const enabled = (this.regs.num('CR0') & 4) !== 0;
    const deliver = wanted && enabled ? this.injector.pass('event.record', words, 'hw.evtq') : [];
    let written = false;
    for (const w of deliver) written = this.write(w) || written;
    this.trace.listener?.({
      kind: 'fault',
      actor: 'iommu',
      at: 'hw.evtq',
      name: eventName(Number(words[0]! & 0xffn)),
      words,
      layout: eventLayout(words).id,
      recorded: written,
      text: eventText(words),
    });
  }

  /** Source: Arm IHI 0070, 3.5.1 and 7.4 (overflow). @returns whether a record was written */
  write(words: readonly bigint[]): boolean {
    const q = ring(this.regs.get('EVENTQ_BASE'), this.features.eventqsLog2, 32);
    const size = 2 ** q.log2;
    const prodReg = this.regs.num('EVENTQ_PROD');
    const consReg = this.regs.num('EVENTQ_CONS');
    const prod = prodReg & (2 * size - 1);
    const cons = consReg & (2 * size - 1);
    if ((prod ^ cons) === size || ((prod - cons) & (2 * size - 1)) > size) {
      // Overflow is flagged once; software acknowledges by copying the flag to CONS.
      if (prodReg >>> 31 === consReg >>> 31) this.regs.set('EVENTQ_PROD', BigInt((prodReg ^ 0x80000000) >>> 0));
      return false;
    }
    const at = q.base + (prod & (size - 1)) * 32;
    if (!this.memory.contains(at, 32)) {
      this.onAbort();
      return false;
    }
    for (let i = 0; i < 4; i++) this.memory.writeWord(at + 8 * i, words[i]!);
    const next = (prod + 1) & (2 * size - 1);
    this.regs.set('EVENTQ_PROD', BigInt(((prodReg & 0x80000000) | next) >>> 0));
    if ((this.regs.num('IRQ_CTRL') & 4) !== 0) this.irq = true;
    return true;
  }
}
