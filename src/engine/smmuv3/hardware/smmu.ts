import { ATTR, OUT_HI, OUT_LO, SHIFT, UID } from '../../cache/index.ts';
import type { Injector } from '../../machine/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { EXEC, READ, WRITE } from '../../pagetable/vmsav8.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import type { CommandText, Trace } from '../../trace/index.ts';
import { commandText, decodeEvent, eventName } from '../layout/index.ts';
import { Audit } from './audit.ts';
import { translationCells } from './cache-text.ts';
import { SmmuCaches } from './caches.ts';
import { CERROR_ABT, CERROR_ATC_INV_SYNC, CommandExecutor, cerrorNames } from './commands.ts';
import { EventQueue, eventWords, ring } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import { RegisterFile } from './registers.ts';
import { ATS_REQUEST, DONE, EVENT, FAULTED, TRANSLATED, Translator, UNTRANSLATED } from './translator.ts';

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
  readonly fault?: { name: string; fields: Record<string, bigint>; words: readonly bigint[] };
}

const answers = ['walk', 'IOTLB', 'S2 TLB', 'none'] as const;

/** One physical SMMUv3: registers, queues, caches, translation. It reads nothing but bytes of memory and its registers. */
export class Smmu {
  readonly features: SmmuFeatures;
  readonly regs: RegisterFile;
  readonly caches: SmmuCaches;
  readonly translator: Translator;
  readonly audit: Audit;
  private readonly memory: Memory;
  private readonly trace: Trace;
  private readonly events: EventQueue;
  private readonly executor: CommandExecutor;
  private readonly devices: readonly PciDevice[];
  private gerrorIrq = false;

  constructor(
    memory: Memory,
    features: SmmuFeatures,
    devices: readonly PciDevice[],
    trace: Trace,
    injector: Injector,
    iotlbEntries = 0,
  ) {
    this.memory = memory;
    this.features = features;
    this.devices = devices;
    this.trace = trace;
    this.regs = new RegisterFile(features);
    this.caches = new SmmuCaches(trace, iotlbEntries);
    this.translator = new Translator(memory, this.regs, features, this.caches, trace);
    this.events = new EventQueue(memory, this.regs, features, trace, injector);
    this.events.onAbort = () => this.raise(2);
    this.executor = new CommandExecutor(memory, features, this.caches, this.regs, trace, injector, (sid) =>
      devices.find((d) => d.rid === sid),
    );
    this.audit = new Audit(memory, this.regs, features, devices, this.caches);
    this.caches.stillValid = (c, i) => this.audit.same(c, i);
    this.caches.configStillValid = (name, e) => this.audit.sameConfig(name, e);
    for (const d of devices)
      d.atc.onRemove = (i) => {
        this.trace.listener?.({
          kind: 'cache.remove',
          actor: 'device',
          at: `hw.device.${d.name}`,
          valid: this.audit.sameAtc(d, i),
          by: this.caches.by,
          entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: translationCells(d.atc, i) },
        });
      };
  }

  /** Interrupts that are pending for the driver, which takes them by writing false. */
  readonly irq = ((smmu: Smmu) => ({
    get evtq(): boolean {
      return smmu.events.irq;
    },
    set evtq(v: boolean) {
      smmu.events.irq = v;
    },
    get gerror(): boolean {
      return smmu.gerrorIrq;
    },
    set gerror(v: boolean) {
      smmu.gerrorIrq = v;
    },
  }))(this);

  /** Delivers an event record that an injected fault held back. */
  deliverEvent(words: readonly bigint[]): void {
    this.events.write(words);
  }

  readRegister(name: string): bigint {
    return this.regs.get(name);
  }

  /** A software write, with its side effects. Writes to read-only registers are ignored. Source: Arm IHI 0070, chapter 6. */
  *writeRegister(name: string, value: bigint): Op<void> {
    const r = this.regs;
    if (r.isReadOnly(name)) return;
    if (name === 'GBPA') {
      // Takes effect only with UPDATE, which reads as zero when the update is done.
      if ((value & 0x80000000n) !== 0n) r.set('GBPA', value & 0x7fffffffn);
    } else if (name === 'CMDQ_CONS') {
      // Writable only while the queue is disabled.
      if ((r.num('CR0') & 8) === 0) r.set(name, value);
    } else if (name === 'EVENTQ_PROD') {
      if ((r.num('CR0') & 4) === 0) r.set(name, value);
    } else r.set(name, value);
    if (name === 'CR0') r.set('CR0ACK', r.get('CR0'));
    if (name === 'IRQ_CTRL') r.set('IRQ_CTRLACK', value);
    this.translator.registersChanged();
    if (this.trace.listener && !name.endsWith('_PROD'))
      this.trace.listener({
        kind: 'register.write',
        actor: 'iommu',
        at: 'hw.smmu',
        iommu: 'physical',
        reg: name,
        value: r.get(name),
      });
    if (name === 'CMDQ_PROD' || name === 'CR0' || name === 'GERRORN') yield* this.consume();
  }

  private raise(bit: number): void {
    const gerror = this.regs.num('GERROR');
    // An error that software has not acknowledged yet is not reported again.
    if (((gerror ^ this.regs.num('GERRORN')) >> bit) & 1) return;
    this.regs.set('GERROR', BigInt((gerror ^ (1 << bit)) >>> 0));
    if ((this.regs.num('IRQ_CTRL') & 1) !== 0) this.gerrorIrq = true;
  }

  /** Consumes commands up to PROD, an error, or the queue's being off. Source: Arm IHI 0070, 4.1, 7.1. */
  private *consume(): Op<void> {
    const r = this.regs;
    let left = -1;
    for (;;) {
      if ((r.num('CR0') & 8) === 0 || ((r.num('GERROR') ^ r.num('GERRORN')) & 1) !== 0) return;
      const q = ring(r.get('CMDQ_BASE'), this.features.cmdqsLog2, 16);
      const size = 2 ** q.log2;
      const mask = 2 * size - 1;
      const consReg = r.num('CMDQ_CONS');
      const cons = consReg & mask;
      if (cons === (r.num('CMDQ_PROD') & mask)) return;
      // PROD may hold anything; no more than a full queue is consumed in one go.
      if (left < 0) left = Math.min((r.num('CMDQ_PROD') - cons) & mask, size);
      if (left-- === 0) return;
      const index = cons & (size - 1);
      const at = q.base + index * 16;
      if (!this.memory.contains(at, 16)) {
        this.commandError(index, CERROR_ABT, null);
        return;
      }
      const words = this.memory.words;
      const i = this.memory.indexOf(Math.floor(at / 4294967296), at | 0);
      const w0 = words[i]!;
      const w1 = words[i + 1]!;
      const w2 = words[i + 2]!;
      const w3 = words[i + 3]!;
      this.trace.commands++;
      let text: CommandText | null = null;
      if (this.trace.listener) {
        text = commandText([this.memory.readWord(at), this.memory.readWord(at + 8)]);
        this.trace.listener({
          kind: 'command.fetch',
          actor: 'iommu',
          at: 'hw.cmdq',
          queue: 'physical',
          index,
          command: text,
        });
        this.caches.by = text.text;
      }
      yield pause('iommu', 'fetch');
      const error = this.executor.execute(w0, w1, w2, w3);
      if (error !== 0) {
        this.commandError(index, error, text);
        return;
      }
      r.set('CMDQ_CONS', BigInt((cons + 1) & mask));
      if ((w0 & 0xff) === 0x46) {
        this.trace.syncs++;
        this.trace.listener?.({
          kind: 'sync',
          actor: 'iommu',
          at: 'hw.cmdq',
          queue: 'physical',
          text: 'all earlier commands are complete',
        });
        yield pause('iommu', 'sync');
      }
    }
  }

  private commandError(index: number, error: number, text: CommandText | null): void {
    const cons = this.regs.num('CMDQ_CONS') & 0xfffff;
    this.regs.set('CMDQ_CONS', BigInt(((error << 24) | cons) >>> 0));
    this.raise(0);
    this.trace.listener?.({
      kind: 'command.error',
      actor: 'iommu',
      at: 'hw.cmdq',
      queue: 'physical',
      index,
      error: cerrorNames[error]!,
      text:
        error === CERROR_ATC_INV_SYNC
          ? 'an ATC invalidation got no completion'
          : error === CERROR_ABT
            ? 'the fetch was aborted'
            : `illegal command${text ? `: ${text.text}` : ''}`,
    });
  }

  /** An ATC invalidation request that an injected fault held back arrives. */
  deliverAtc(words: readonly bigint[]): void {
    this.executor.deliverAtcWords(words);
  }

  /** Executes one command given as 32-bit halves, apart from any queue. @returns a CERROR_* code */
  execute(w0: number, w1: number, w2: number, w3: number): number {
    return this.executor.execute(w0, w1, w2, w3);
  }

  /** Executes one command that an injected fault held back, as if it came late. */
  executeLate(words: readonly bigint[]): void {
    const half = (w: bigint, s: bigint): number => Number((w >> s) & 0xffffffffn) | 0;
    this.caches.by = commandText(words as bigint[]).text;
    this.execute(half(words[0]!, 0n), half(words[0]!, 32n), half(words[1]!, 0n), half(words[1]!, 32n));
  }

  /**
   * A device's access. With `translated` the device asks its ATC first and the SMMU on a miss.
   * The trace has each message; the result says where it arrived or which event it caused.
   */
  *dma(q: DmaRequest): Op<DmaOutcome> {
    const { device: d } = q;
    const at = `hw.device.${d.name}`;
    const hi = Number((q.iova >> 32n) & 0xffffffffn) | 0;
    const lo = Number(q.iova & 0xffffffffn) | 0;
    const need = q.write ? WRITE : q.exec ? READ | EXEC : READ;
    const access = q.write ? 'write' : 'read';
    this.trace.listener?.({
      kind: 'dma',
      actor: 'device',
      at,
      to: 'hw.smmu',
      device: d.name,
      access,
      iova: q.iova,
      pasid: q.pasid,
      text: `${access} 0x${q.iova.toString(16)}${q.pasid >= 0 ? ` PASID ${q.pasid}` : ''}`,
    });
    yield pause('device', 'dma');
    // A device whose ATS is off sends untranslated requests, whatever it would like.
    if (!q.translated || !d.atsEnabled) return this.finish(q, hi, lo, need, UNTRANSLATED, '');
    const tag = q.pasid < 0 ? NO_PASID : q.pasid;
    let i = d.atc.lookup(0, tag, hi, lo);
    let reads = 0;
    const answered = i >= 0 && (need & ~d.atc.e[i + ATTR]!) === 0;
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
      if (i < 0 || (need & ~d.atc.e[i + ATTR]!) !== 0)
        return this.aborted(d, r.hit, reads, 'the completion grants no such access');
    }
    const shift = d.atc.e[i + SHIFT]!;
    const outHi = shift >= 32 ? d.atc.e[i + OUT_HI]! | (hi & ~(-1 << (shift - 32))) : d.atc.e[i + OUT_HI]!;
    const outLo = shift >= 32 ? lo : d.atc.e[i + OUT_LO]! | (lo & ~(-1 << shift));
    const done = this.finish(
      q,
      outHi,
      outLo,
      need,
      TRANSLATED,
      answered ? 'ATC' : answers[this.translator.answeredBy]!,
    );
    return { ...done, reads: done.reads + reads };
  }

  private finish(q: DmaRequest, hi: number, lo: number, need: number, kind: number, hit: string): DmaOutcome {
    const t = this.translator;
    const status = t.translate(q.device.rid, kind === TRANSLATED ? -1 : q.pasid, hi, lo, need, q.priv ?? false, kind);
    if (status === FAULTED) return this.faulted(q.device, q.pasid, q.iova, need, q.priv ?? false);
    if (status !== DONE) return this.aborted(q.device, 'none', t.reads, 'aborted without an event');
    const pa = (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0);
    if (!this.memory.contains(pa, 1))
      return this.aborted(q.device, answers[t.answeredBy]!, t.reads, `nothing answers at 0x${pa.toString(16)}`);
    this.trace.listener?.({
      kind: 'dma.done',
      actor: 'iommu',
      at: 'hw.smmu',
      to: `hw.device.${q.device.name}`,
      device: q.device.name,
      pa,
      text: `reaches PA 0x${pa.toString(16)}`,
    });
    return { ok: true, pa, hit: hit || answers[t.answeredBy]!, reads: t.reads };
  }

  private faulted(d: PciDevice, pasid: number, input: bigint, need: number, priv: boolean): DmaOutcome {
    const t = this.translator;
    const words = eventWords(t, d.rid, pasid, input, need, priv);
    const wanted = t.recorded && (t.event !== EVENT.C_BAD_STREAMID || (this.regs.num('CR2') & 2) !== 0);
    this.events.record(words, wanted);
    this.trace.listener?.({
      kind: 'dma.abort',
      actor: 'iommu',
      at: 'hw.smmu',
      to: `hw.device.${d.name}`,
      device: d.name,
      text: `aborted: ${eventName(t.event)}`,
    });
    return {
      ok: false,
      pa: -1,
      hit: answers[t.answeredBy]!,
      reads: t.reads,
      fault: { name: eventName(t.event), fields: decodeEvent(words), words },
    };
  }

  private aborted(d: PciDevice, hit: string, reads: number, why: string): DmaOutcome {
    this.trace.listener?.({
      kind: 'dma.abort',
      actor: 'iommu',
      at: 'hw.smmu',
      to: `hw.device.${d.name}`,
      device: d.name,
      text: why,
    });
    return { ok: false, pa: -1, hit, reads };
  }

  /** A translation request; on success the completion fills the device's ATC. */
  *ats(d: PciDevice, pasid: number, iova: bigint, write: boolean): Op<DmaOutcome> {
    const at = `hw.device.${d.name}`;
    const hi = Number((iova >> 32n) & 0xffffffffn) | 0;
    const lo = Number(iova & 0xfffff000n) | 0;
    this.trace.listener?.({
      kind: 'ats',
      actor: 'device',
      at,
      to: 'hw.smmu',
      message: 'request',
      device: d.name,
      text: `translation request 0x${(iova & ~0xfffn).toString(16)}`,
    });
    yield pause('device', 'ats');
    const t = this.translator;
    if (!d.atsEnabled) {
      return this.aborted(d, 'none', 0, 'ATS is not enabled in the device');
    }
    const status = t.translate(d.rid, pasid, hi, lo, 0, false, ATS_REQUEST);
    if (status === FAULTED && t.event === EVENT.F_BAD_ATS_TREQ)
      return this.faulted(d, pasid, iova, write ? WRITE : READ, false);
    if (status === FAULTED && t.event < EVENT.F_TRANSLATION) {
      // A configuration error answers with Completer Abort; a translation request records only F_BAD_ATS_TREQ.
      return this.aborted(d, answers[t.answeredBy]!, t.reads, `completer abort (${eventName(t.event)}), no event`);
    }
    // A walk that fails answers with no permission and records nothing. Source: IHI 0070, 3.9.1.2.
    const granted = status === DONE ? t.granted & (READ | WRITE) : 0;
    const pa = status === DONE ? (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0) : -1;
    this.trace.listener?.({
      kind: 'ats',
      actor: 'iommu',
      at: 'hw.smmu',
      to: at,
      message: 'completion',
      device: d.name,
      text:
        granted === 0
          ? 'completion: R=0 W=0'
          : `completion: PA 0x${pa.toString(16)} R=${granted & 1} W=${granted >> 1}`,
    });
    if (granted !== 0) {
      const shift = t.leafShift;
      const mask = 2 ** shift;
      const base = pa - (pa % mask);
      const i = d.atc.insert(
        0,
        pasid < 0 ? NO_PASID : pasid,
        hi,
        lo,
        shift,
        shift,
        Math.floor(base / 4294967296),
        base | 0,
        {
          attr: granted,
          level: 0,
          granule: 12,
          sid: d.rid,
          ssid: pasid,
          ipaHi: 0,
          ipaLo: 0,
        },
      );
      this.trace.listener?.({
        kind: 'cache.fill',
        actor: 'device',
        at,
        entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: translationCells(d.atc, i) },
      });
    }
    return { ok: granted !== 0, pa, hit: answers[t.answeredBy]!, reads: t.reads };
  }

  save(): unknown {
    return {
      regs: this.regs.save(),
      caches: this.caches.save(),
      irq: [this.events.irq, this.gerrorIrq, this.executor.atcTimeout],
      devices: this.devices.map((d) => d.save()),
    };
  }

  load(state: unknown): void {
    const s = state as {
      regs: [string, bigint][];
      caches: unknown;
      irq: boolean[];
      devices: ReturnType<PciDevice['save']>[];
    };
    this.regs.load(s.regs);
    this.caches.load(s.caches);
    [this.events.irq, this.gerrorIrq, this.executor.atcTimeout] = s.irq as [boolean, boolean, boolean];
    this.devices.forEach((d, i) => {
      d.load(s.devices[i]!);
    });
    this.translator.registersChanged();
    this.audit.registersChanged();
  }
}
