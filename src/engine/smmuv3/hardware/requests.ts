import { highHalf, lowHalf, wordOf } from '../../bits/index.ts';
import type { Memory } from '../../memory/index.ts';
import { ANY_DATA, EXEC, READ, WRITE } from '../../pagetable/vmsav8.ts';
import { type Completion, DeviceAccesses, type DmaOutcome, type DmaRequest, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { decodeEvent, eventName } from '../layout/index.ts';
import { translationCells } from './cache-text.ts';
import { type EventQueue, eventWords } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import type { HardwareIds } from './ids.ts';
import { CR2, type RegisterFile } from './registers.ts';
import { configuredResponse, type Stall, type Stalls } from './stalls.ts';
import { ABORTED, ATS_REQUEST, DONE, EVENT, FAULTED, TRANSLATED, type Translator, UNTRANSLATED } from './translator.ts';

/** What CMD_RESUME may ask for; `terminate` is RAZ/WI. */
export type StallAction = 'retry' | 'abort' | 'terminate';

const answers = ['walk', 'IOTLB', 'S2 TLB', 'none'] as const;

/**
 * What devices ask of the SMMU: untranslated accesses, translation requests (ATS), translated accesses. It emits the
 * messages and records the events.
 */
export class DeviceRequests extends DeviceAccesses {
  private readonly translator: Translator;
  private readonly regs: RegisterFile;
  private readonly events: EventQueue;
  private readonly ids: HardwareIds;
  private readonly features: SmmuFeatures;
  private readonly stalls: Stalls;
  private readonly device: (sid: number) => PciDevice | undefined;

  constructor(p: {
    memory: Memory;
    features: SmmuFeatures;
    translator: Translator;
    regs: RegisterFile;
    events: EventQueue;
    stalls: Stalls;
    device: (sid: number) => PciDevice | undefined;
    trace: Trace;
    ids: HardwareIds;
  }) {
    super({ memory: p.memory, trace: p.trace, unit: p.ids.smmu, cells: translationCells });
    this.features = p.features;
    this.translator = p.translator;
    this.regs = p.regs;
    this.events = p.events;
    this.stalls = p.stalls;
    this.device = p.device;
    this.ids = p.ids;
  }

  protected override untranslated(q: DmaRequest, hi: number, lo: number): DmaOutcome {
    return this.attempt(q, hi, lo, -1);
  }

  /** `stag`: tag that the transaction had when it was held before, -1: it is new. */
  private attempt(q: DmaRequest, hi: number, lo: number, stag: number): DmaOutcome {
    const t = this.translator;
    // An instruction fetch needs execution alone. Source: IHI 0070 7.3.15, DDI 0487 D8.4.
    const need = q.write ? WRITE : q.exec ? EXEC : READ;
    const status = t.translate(q.device.rid, q.pasid, hi, lo, need, q.priv ?? false, UNTRANSLATED);
    if (status === DONE) return this.reached(q.device, answers[t.answeredBy]!);
    if (status !== FAULTED) return this.aborted(q.device, 'none', t.reads, 'no event', t.unread);
    const response = configuredResponse(t);
    if (response === 'abort') return this.faulted(q.device, q.pasid, q.iova);
    if (response === 'raz') return this.faulted(q.device, q.pasid, q.iova, { raz: true });
    // Some devices cannot wait: their faults are reported, and end in an abort. Source: IHI 0070, 3.12.
    if (q.device.canStall || this.features.stallModel === 2) return this.stall(q, stag);
    t.recorded = true;
    return this.faulted(q.device, q.pasid, q.iova);
  }

  /**
   * A translated access carries no PASID and is an unprivileged data access. Of its faults only the refusal and those of
   * a translation by stage 2 are recorded, with the address that the access had. Source: Arm IHI 0070, 3.9.1.1, 3.9.1.3.
   */
  protected override translated(d: PciDevice, hi: number, lo: number, need: number, hit: string): DmaOutcome {
    const t = this.translator;
    const status = t.translate(d.rid, -1, hi, lo, need, false, TRANSLATED);
    if (status === DONE) return this.reached(d, hit);
    if (status === FAULTED && (t.event === EVENT.F_TRANSL_FORBIDDEN || t.event >= EVENT.F_WALK_EABT))
      return this.faulted(d, -1, wordOf(hi, lo));
    // What went wrong with the configuration is recorded on request, bad StreamIDs without a further one.
    if (status === FAULTED && this.recordsAts) {
      t.recorded = true;
      return this.faulted(d, -1, wordOf(hi, lo), { always: true });
    }
    return this.aborted(d, 'none', t.reads, `no event${why(t)}`, t.unread);
  }

  /** CR2.REC_CFG_ATS. Source: Arm IHI 0070, 3.9.1.2, 3.9.1.3. */
  private get recordsAts(): boolean {
    return (this.regs.num('CR2') & CR2.REC_CFG_ATS) !== 0;
  }

  private reached(d: PciDevice, hit: string): DmaOutcome {
    const t = this.translator;
    return this.arrived(d, (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0), hit, t.reads);
  }

  /**
   * @param how `raz`: the device sees no error, reads give zero and writes vanish; `always`: CR2.RECINVSID does not count
   */
  private faulted(d: PciDevice, pasid: number, input: bigint, how: { raz?: true; always?: true } = {}): DmaOutcome {
    const t = this.translator;
    const words = eventWords(t, d.rid, pasid, input);
    const wanted =
      t.recorded &&
      (t.event !== EVENT.C_BAD_STREAMID || how.always === true || (this.regs.num('CR2') & CR2.RECINVSID) !== 0);
    const { raz } = how;
    this.events.record(words, wanted);
    this.tellAborted(d, `${raz ? 'reads as zero, writes are ignored' : 'aborted'}: ${eventName(t.event)}`, t.unread);
    return {
      ok: false,
      pa: -1,
      hit: answers[t.answeredBy]!,
      reads: t.reads,
      fault: faultOf(words),
      ...(raz && { raz: true }),
    };
  }

  /** The transaction waits. Without room for its record nobody is told, and it is tried again when there is. */
  private stall(q: DmaRequest, before: number): DmaOutcome {
    const t = this.translator;
    const d = q.device;
    const stag = before >= 0 ? before : this.stalls.freeTag();
    if (stag < 0) return this.refused(d, 'no more transactions can be held');
    const words = eventWords(t, d.rid, q.pasid, q.iova, stag);
    const { pasid, iova, write, exec = false, priv = false } = q;
    const hit = answers[t.answeredBy]!;
    const { reads, unread } = t;
    const recorded = this.stalls.room && this.events.recordStall(words);
    this.stalls.add({ stag, device: d.name, sid: d.rid, pasid, iova, write, exec, priv, words, recorded });
    this.trace.listener?.({
      kind: 'stall',
      actor: 'iommu',
      at: this.ids.smmu,
      device: d.name,
      stag,
      text: `stalled, STAG ${stag}: ${eventName(t.event)}${recorded ? '' : '; the record waits for room'}`,
      ...(unread && { unread }),
    });
    return { ok: false, pa: -1, hit, reads, stag, fault: faultOf(words) };
  }

  /** CMD_RESUME. Without a reported stall of that tag and stream nothing happens. Source: Arm IHI 0070, 4.7.1. */
  resume(sid: number, stag: number, action: StallAction): void {
    const s = this.stalls.find(sid, stag);
    if (s) this.end(s, action);
  }

  /** CMD_STALL_TERM, or SMMUEN going to 0, where `sid` is left out: all are aborted. Source: 4.7.2, 6.3.9.6. */
  terminate(sid?: number): void {
    for (const s of this.stalls.of(sid)) this.end(s, 'abort');
  }

  /** Tries again what could not be reported, now that the queue is writable. Source: Arm IHI 0070, 3.12.2, 7.2.1. */
  retryUnrecorded(): void {
    for (const s of this.stalls.unrecorded()) {
      if (!this.stalls.room || !this.events.writable) return;
      this.end(s, 'retry');
    }
  }

  private end(s: Stall, action: StallAction): void {
    const d = this.device(s.sid);
    this.stalls.remove(s);
    this.trace.listener?.({
      kind: 'resume',
      actor: 'iommu',
      at: this.ids.smmu,
      device: s.device,
      stag: s.stag,
      action,
      text: `STAG ${s.stag}: ${s.recorded ? action : 'retry, now that its record has room'}`,
    });
    if (d === undefined) return;
    const outcome = action === 'retry' ? this.retry(d, s) : this.ended(d, action);
    if (outcome.stag === undefined) this.stalls.finished(s.stag, outcome);
  }

  private retry(device: PciDevice, s: Stall): DmaOutcome {
    const { pasid, iova, write, exec, priv } = s;
    const hi = highHalf(iova);
    const lo = lowHalf(iova);
    return this.attempt({ device, pasid, iova, write, exec, priv, translated: false }, hi, lo, s.stag);
  }

  private ended(d: PciDevice, action: StallAction): DmaOutcome {
    const raz = action === 'terminate';
    const why = raz ? 'software ended it: reads as zero, writes are ignored' : 'ended by software';
    return { ...this.aborted(d, 'none', 0, why), ...(raz && { raz: true }) };
  }

  /** Source: Arm IHI 0070, 3.9.1.2 (Unsupported Request, Completer Abort, success without permission). */
  protected override complete(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    hi: number,
    lo: number,
    write: boolean,
  ): Completion | DmaOutcome {
    const t = this.translator;
    const status = t.translate(d.rid, pasid, hi, lo, ANY_DATA, false, ATS_REQUEST);
    if (status === FAULTED && t.event === EVENT.F_BAD_ATS_TREQ) {
      t.need = write ? WRITE : READ;
      return this.faulted(d, pasid, iova);
    }
    const hit = answers[t.answeredBy]!;
    if (status === ABORTED) return this.aborted(d, hit, t.reads, 'unsupported request, no event');
    // An error before or during the walk answers with Completer Abort, and records nothing but on request.
    if (status === FAULTED && t.event < EVENT.F_TRANSLATION && this.recordsAts) {
      t.recorded = true;
      return this.faulted(d, pasid, iova);
    }
    if (status === FAULTED && t.event < EVENT.F_TRANSLATION)
      return this.aborted(d, hit, t.reads, `completer abort, no event${why(t)}`, t.unread);
    // A walk that ends in a fault answers with no permission and records nothing.
    const granted = status === DONE ? t.granted : 0;
    const pa = status === DONE ? (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0) : -1;
    return { granted, pa, shift: t.leafShift, hit, reads: t.reads, why: why(t), unread: t.unread };
  }
}

const faultOf = (words: readonly bigint[]): NonNullable<DmaOutcome['fault']> => ({
  name: eventName(Number(words[0]! & 0xffn)),
  fields: decodeEvent(words),
  words,
});

/** The reason that no event tells, in brackets. */
const why = (t: Translator): string => (t.status === FAULTED ? ` (${eventName(t.event)})` : '');
