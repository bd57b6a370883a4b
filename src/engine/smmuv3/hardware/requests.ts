import { ATTR, alignHi, alignLo, OUT_HI, OUT_LO, SHIFT, UID } from '../../cache/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { ANY_DATA, EXEC, READ, WRITE } from '../../pagetable/vmsav8.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { decodeEvent, eventName } from '../layout/index.ts';
import { translationCells } from './cache-text.ts';
import { type EventQueue, eventWords } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import { deviceId, type HardwareIds } from './ids.ts';
import { CR2, type RegisterFile } from './registers.ts';
import { configuredResponse, type Stall, type Stalls } from './stalls.ts';
import { ABORTED, ATS_REQUEST, DONE, EVENT, FAULTED, TRANSLATED, type Translator, UNTRANSLATED } from './translator.ts';

/** A DMA as a document gives it. */
export interface DmaRequest {
  readonly device: PciDevice;
  /** -1: none. */
  readonly pasid: number;
  /** 64 bits. */
  readonly iova: bigint;
  readonly write: boolean;
  readonly exec?: boolean;
  readonly priv?: boolean;
  /** The device uses its ATC: it asks for a translation unless it has one, then sends a translated request. */
  readonly translated: boolean;
}

export interface DmaOutcome {
  readonly ok: boolean;
  /** Where it arrived, -1 when it did not. */
  readonly pa: number;
  /** `walk`, `IOTLB`, `S2 TLB`, `ATC`, `none` (nothing translated). */
  readonly hit: string;
  readonly reads: number;
  /** The transaction stalled under this tag; `Smmu.outcomeOf` tells what becomes of it. */
  readonly stag?: number;
  /** The device saw no error: its read gave zero, its write vanished. */
  readonly raz?: true;
  /** Of an access or a request that no event explains: why it came to nothing. */
  readonly why?: string;
  readonly fault?: { name: string; fields: Record<string, bigint>; words: readonly bigint[] };
}

/** What CMD_RESUME may ask for; `terminate` is RAZ/WI. */
export type StallAction = 'retry' | 'abort' | 'terminate';

const answers = ['walk', 'IOTLB', 'S2 TLB', 'none'] as const;

/**
 * What devices ask of the SMMU: untranslated accesses, translation requests (ATS), translated accesses. It emits the
 * messages and records the events.
 */
export class DeviceRequests {
  private readonly memory: Memory;
  private readonly translator: Translator;
  private readonly regs: RegisterFile;
  private readonly events: EventQueue;
  private readonly trace: Trace;
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
    this.memory = p.memory;
    this.features = p.features;
    this.translator = p.translator;
    this.regs = p.regs;
    this.events = p.events;
    this.stalls = p.stalls;
    this.device = p.device;
    this.trace = p.trace;
    this.ids = p.ids;
  }

  /**
   * A device's access. With `translated` the device asks its ATC first and the SMMU on a miss.
   * The trace has each message; the result says where it arrived or which event it caused.
   */
  *dma(q: DmaRequest): Op<DmaOutcome> {
    const { device: d } = q;
    const at = deviceId(d);
    const hi = Number((q.iova >> 32n) & 0xffffffffn) | 0;
    const lo = Number(q.iova & 0xffffffffn) | 0;
    // An instruction fetch needs execution alone. Source: IHI 0070 7.3.15, DDI 0487 D8.4.
    const need = q.write ? WRITE : q.exec ? EXEC : READ;
    const access = q.write ? 'write' : 'read';
    this.trace.listener?.({
      kind: 'dma',
      actor: 'device',
      at,
      to: this.ids.smmu,
      device: d.name,
      access,
      iova: q.iova,
      pasid: q.pasid,
      text: `${access} 0x${q.iova.toString(16)}${q.pasid >= 0 ? ` PASID ${q.pasid}` : ''}`,
    });
    yield pause('device', 'dma');
    if (q.pasid >= 0 && !d.pasidEnabled) return this.refused(d, 'PASID is not enabled in the device');
    // A device whose ATS is off sends untranslated requests, whatever it would like.
    if (!q.translated || !d.atsEnabled) return this.untranslated(q, hi, lo, need);
    // What a translation grants is reading and writing.
    const data = q.write ? WRITE : READ;
    const tag = q.pasid < 0 ? NO_PASID : q.pasid;
    let i = d.atc.lookup(0, tag, hi, lo);
    let reads = 0;
    const answered = i >= 0 && (data & ~d.atc.e[i + ATTR]!) === 0;
    if (answered) {
      this.trace.listener?.({
        kind: 'cache.hit',
        actor: 'device',
        at,
        entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: translationCells(d.atc, i) },
      });
    } else {
      const r = yield* this.ats(d, q.pasid, q.iova, q.write);
      if (r.fault || !r.ok) return r;
      reads = r.reads;
      i = d.atc.lookup(0, tag, hi, lo);
      if (i < 0 || (data & ~d.atc.e[i + ATTR]!) !== 0)
        return this.aborted(d, r.hit, reads, 'the completion grants no such access');
    }
    const shift = d.atc.e[i + SHIFT]!;
    const outHi = d.atc.e[i + OUT_HI]! | (hi & ~alignHi(-1, shift));
    const outLo = d.atc.e[i + OUT_LO]! | (lo & ~alignLo(-1, shift));
    const done = this.translated(d, outHi, outLo, data, answered ? 'ATC' : answers[this.translator.answeredBy]!);
    return { ...done, reads: done.reads + reads };
  }

  /** `stag`: tag that the transaction had when it was held before, -1: it is new. */
  private untranslated(q: DmaRequest, hi: number, lo: number, need: number, stag = -1): DmaOutcome {
    const t = this.translator;
    const status = t.translate(q.device.rid, q.pasid, hi, lo, need, q.priv ?? false, UNTRANSLATED);
    if (status === DONE) return this.arrived(q.device, answers[t.answeredBy]!);
    if (status !== FAULTED) return this.aborted(q.device, 'none', t.reads, 'no event');
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
  private translated(d: PciDevice, hi: number, lo: number, need: number, hit: string): DmaOutcome {
    const t = this.translator;
    const status = t.translate(d.rid, -1, hi, lo, need, false, TRANSLATED);
    if (status === DONE) return this.arrived(d, hit);
    if (status === FAULTED && (t.event === EVENT.F_TRANSL_FORBIDDEN || t.event >= EVENT.F_WALK_EABT))
      return this.faulted(d, -1, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
    // What went wrong with the configuration is recorded on request, bad StreamIDs without a further one.
    if (status === FAULTED && this.recordsAts) {
      t.recorded = true;
      return this.faulted(d, -1, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0), { always: true });
    }
    return this.aborted(d, 'none', t.reads, `no event${why(t)}`);
  }

  /** CR2.REC_CFG_ATS. Source: Arm IHI 0070, 3.9.1.2, 3.9.1.3. */
  private get recordsAts(): boolean {
    return (this.regs.num('CR2') & CR2.REC_CFG_ATS) !== 0;
  }

  private arrived(d: PciDevice, hit: string): DmaOutcome {
    const t = this.translator;
    const pa = (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0);
    if (!this.memory.contains(pa, 1))
      return this.aborted(d, answers[t.answeredBy]!, t.reads, `nothing answers at 0x${pa.toString(16)}`);
    this.trace.listener?.({
      kind: 'dma.done',
      actor: 'iommu',
      at: this.ids.smmu,
      to: deviceId(d),
      device: d.name,
      pa,
      text: `reaches PA 0x${pa.toString(16)}`,
    });
    return { ok: true, pa, hit, reads: t.reads };
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
    this.trace.listener?.({
      kind: 'dma.abort',
      actor: 'iommu',
      at: this.ids.smmu,
      to: deviceId(d),
      device: d.name,
      text: `${raz ? 'reads as zero, writes are ignored' : 'aborted'}: ${eventName(t.event)}`,
    });
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
    const { reads } = t;
    const recorded = this.stalls.room && this.events.recordStall(words);
    this.stalls.add({ stag, device: d.name, sid: d.rid, pasid, iova, write, exec, priv, words, recorded });
    this.trace.listener?.({
      kind: 'stall',
      actor: 'iommu',
      at: this.ids.smmu,
      device: d.name,
      stag,
      text: `stalled, STAG ${stag}: ${eventName(t.event)}${recorded ? '' : '; the record waits for room'}`,
    });
    return { ok: false, pa: -1, hit, reads, stag, fault: faultOf(words) };
  }

  /** The device could not send the access. */
  private refused(d: PciDevice, why: string): DmaOutcome {
    return this.aborted(d, 'none', 0, why);
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
    const hi = Number((iova >> 32n) & 0xffffffffn) | 0;
    const lo = Number(iova & 0xffffffffn) | 0;
    const need = write ? WRITE : exec ? EXEC : READ;
    return this.untranslated({ device, pasid, iova, write, exec, priv, translated: false }, hi, lo, need, s.stag);
  }

  private ended(d: PciDevice, action: StallAction): DmaOutcome {
    const raz = action === 'terminate';
    const why = raz ? 'software ended it: reads as zero, writes are ignored' : 'ended by software';
    return { ...this.aborted(d, 'none', 0, why), ...(raz && { raz: true }) };
  }

  private aborted(d: PciDevice, hit: string, reads: number, why: string): DmaOutcome {
    this.trace.listener?.({
      kind: 'dma.abort',
      actor: 'iommu',
      at: this.ids.smmu,
      to: deviceId(d),
      device: d.name,
      text: why,
    });
    return { ok: false, pa: -1, hit, reads, why };
  }

  /**
   * A translation request; on success the completion fills the device's ATC.
   * Source: Arm IHI 0070, 3.9.1.2 (Unsupported Request, Completer Abort, success without permission).
   */
  *ats(d: PciDevice, pasid: number, iova: bigint, write: boolean): Op<DmaOutcome> {
    const at = deviceId(d);
    const hi = Number((iova >> 32n) & 0xffffffffn) | 0;
    const lo = Number(iova & 0xfffff000n) | 0;
    this.trace.listener?.({
      kind: 'ats',
      actor: 'device',
      at,
      to: this.ids.smmu,
      message: 'request',
      device: d.name,
      text: `translation request 0x${(iova & ~0xfffn).toString(16)}`,
    });
    yield pause('device', 'ats');
    const t = this.translator;
    if (!d.atsEnabled) {
      return this.aborted(d, 'none', 0, 'ATS is not enabled in the device');
    }
    if (pasid >= 0 && !d.pasidEnabled) return this.refused(d, 'PASID is not enabled in the device');
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
      return this.aborted(d, hit, t.reads, `completer abort, no event${why(t)}`);
    // A walk that ends in a fault answers with no permission and records nothing.
    const granted = status === DONE ? t.granted : 0;
    const pa = status === DONE ? (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0) : -1;
    this.trace.listener?.({
      kind: 'ats',
      actor: 'iommu',
      at: this.ids.smmu,
      to: at,
      message: 'completion',
      device: d.name,
      text:
        granted === 0
          ? `completion: R=0 W=0${why(t)}`
          : `completion: PA 0x${pa.toString(16)} R=${granted & 1} W=${granted >> 1}`,
    });
    if (granted !== 0) this.fillAtc(d, pasid, hi, lo, pa, granted);
    if (granted === 0) return { ok: false, pa, hit, reads: t.reads, why: `the completion grants nothing${why(t)}` };
    return { ok: true, pa, hit, reads: t.reads };
  }

  private fillAtc(d: PciDevice, pasid: number, hi: number, lo: number, pa: number, granted: number): void {
    const shift = this.translator.leafShift;
    const base = pa - (pa % 2 ** shift);
    const data = { attr: granted, level: 0, granule: 12, sid: d.rid, ssid: pasid, ipaHi: 0, ipaLo: 0 };
    const baseHi = Math.floor(base / 4294967296);
    const i = d.atc.insert(0, pasid < 0 ? NO_PASID : pasid, hi, lo, shift, shift, baseHi, base | 0, data);
    this.trace.listener?.({
      kind: 'cache.fill',
      actor: 'device',
      at: deviceId(d),
      entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: translationCells(d.atc, i) },
    });
  }
}

const faultOf = (words: readonly bigint[]): NonNullable<DmaOutcome['fault']> => ({
  name: eventName(Number(words[0]! & 0xffn)),
  fields: decodeEvent(words),
  words,
});

/** The reason that no event tells, in brackets. */
const why = (t: Translator): string => (t.status === FAULTED ? ` (${eventName(t.event)})` : '');
