import { highHalf, lowHalf } from '../../bits/index.ts';
import type { Injector } from '../../machine/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { DevicePort, type DeviceSnapshot, type DmaOutcome, type PciDevice } from '../../pci/index.ts';
import type { CommandText, Trace } from '../../trace/index.ts';
import { commandText } from '../layout/index.ts';
import { Audit } from './audit.ts';
import { translationCells } from './cache-text.ts';
import { SmmuCaches } from './caches.ts';
import { CERROR_ABT, CERROR_ATC_INV_SYNC, CommandExecutor, cerrorNames, OP } from './commands.ts';
import { EventQueue, ring } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';
import { Interrupts } from './interrupts.ts';
import { PageRequestQueue } from './page-requests.ts';
import { Prefetcher } from './prefetch.ts';
import { CR0, GERROR, RegisterFile } from './registers.ts';
import { DeviceRequests } from './requests.ts';
import { type StalledTransaction, Stalls, type StallsSnapshot } from './stalls.ts';
import { Translator } from './translator.ts';

const FETCH = pause('iommu', 'fetch');
const SYNC = pause('iommu', 'sync');

/** One physical SMMUv3: registers, queues, caches, translation. It reads nothing but bytes of memory and its registers. */
export class Smmu extends DevicePort {
  readonly features: SmmuFeatures;
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;
  readonly regs: RegisterFile;
  readonly caches: SmmuCaches;
  readonly translator: Translator;
  readonly audit: Audit;
  private readonly memory: Memory;
  private readonly trace: Trace;
  private readonly events: EventQueue;
  protected override readonly requests: DeviceRequests;
  protected override readonly pageRequests: PageRequestQueue;
  private readonly stalls: Stalls;
  private readonly executor: CommandExecutor;
  private readonly interrupts: Interrupts;
  /** The command queue as CMDQ_BASE describes it. */
  private queue: { base: number; log2: number };

  constructor(
    memory: Memory,
    features: SmmuFeatures,
    devices: readonly PciDevice[],
    trace: Trace,
    injector: Injector,
    iotlbEntries = 0,
    scope = '',
  ) {
    super(devices);
    const ids = hardwareIds(scope);
    this.ids = ids;
    this.memory = memory;
    this.features = features;
    this.trace = trace;
    this.regs = new RegisterFile(features);
    this.caches = new SmmuCaches(trace, iotlbEntries, ids);
    this.translator = new Translator(memory, this.regs, features, this.caches, trace, ids);
    this.interrupts = new Interrupts(memory, features, this.regs);
    this.events = new EventQueue(memory, this.regs, features, this.interrupts, trace, injector, ids);
    const { regs, translator, events, interrupts } = this;
    this.pageRequests = new PageRequestQueue({ memory, regs, features, translator, events, interrupts, trace, ids });
    const bySid = new Map(devices.map((d) => [d.rid, d]));
    const device = (sid: number): PciDevice | undefined => bySid.get(sid);
    this.stalls = new Stalls(features);
    const { stalls } = this;
    this.requests = new DeviceRequests({ memory, features, translator, regs, events, stalls, device, trace, ids });
    const { caches, requests, pageRequests } = this;
    this.executor = new CommandExecutor({
      features,
      caches,
      regs,
      interrupts,
      trace,
      injector,
      device,
      requests,
      pageRequests,
      prefetcher: new Prefetcher(features, translator, regs),
      ids,
    });
    this.queue = this.commandQueue();
    this.audit = new Audit(memory, this.regs, features, devices, this.caches);
    this.caches.stillValid = (c, i) => this.audit.same(c, i);
    this.caches.configStillValid = (name, e) => this.audit.sameConfig(name, e);
    this.watch(trace, {
      valid: (d, i) => this.audit.sameAtc(d, i),
      by: () => this.caches.by,
      cells: translationCells,
    });
  }

  /** Interrupts that are pending for the driver, which takes them by writing false. */
  get irq(): { evtq: boolean; gerror: boolean; priq: boolean } {
    return this.interrupts.pending;
  }

  /** Delivers an event record that an injected fault held back. */
  deliverEvent(words: readonly bigint[]): void {
    this.events.write(words);
  }

  readRegister(name: string): bigint {
    // Index bits above the wrap bit read as zero. Source: Arm IHI 0070, 6.3.28.
    if (name === 'CMDQ_CONS') return this.regs.get(name) & BigInt(0x7f000000 | (2 ** (this.queue.log2 + 1) - 1));
    return this.regs.get(name);
  }

  /** A software write, with its side effects. Writes to read-only registers are ignored. Source: Arm IHI 0070, 6.3. */
  *writeRegister(name: string, value: bigint): Op<void> {
    const r = this.regs;
    const wasOn = (r.num('CR0') & CR0.SMMUEN) !== 0;
    if (!r.write(name, value)) return;
    if (name === 'CR0') r.set('CR0ACK', r.get('CR0'));
    if (name === 'IRQ_CTRL') r.set('IRQ_CTRLACK', r.get('IRQ_CTRL'));
    if (name === 'CMDQ_BASE') this.queue = this.commandQueue();
    this.translator.registersChanged();
    if (this.trace.listener && !name.endsWith('_PROD'))
      this.trace.listener({
        kind: 'register.write',
        actor: 'iommu',
        at: this.ids.smmu,
        iommu: 'physical',
        reg: name,
        value: r.get(name),
      });
    // A disabled SMMU holds nothing. Source: Arm IHI 0070, 6.3.9.6.
    if (wasOn && (r.num('CR0') & CR0.SMMUEN) === 0) this.requests.terminate();
    if (this.stalls.count > 0 && (name === 'EVENTQ_CONS' || name === 'CR0' || name === 'GERRORN'))
      this.requests.retryUnrecorded();
    if (name === 'CMDQ_PROD' || name === 'CR0' || name === 'GERRORN') yield* this.consume();
  }

  private commandQueue(): { base: number; log2: number } {
    return ring(this.regs.get('CMDQ_BASE'), this.features.cmdqsLog2, 16, this.features.oas);
  }

  /** Consumes commands up to PROD, an error, or the queue's being off. Source: Arm IHI 0070, 3.5.1, 4.1, 7.1. */
  private *consume(): Op<void> {
    const r = this.regs;
    for (;;) {
      if ((r.num('CR0') & CR0.CMDQEN) === 0 || this.interrupts.isActive(GERROR.CMDQ_ERR)) return;
      const q = this.queue;
      const size = 2 ** q.log2;
      const mask = 2 * size - 1;
      const cons = r.num('CMDQ_CONS') & mask;
      // Empty, or indices that cannot be.
      const fill = (r.num('CMDQ_PROD') - cons) & mask;
      if (fill === 0 || fill > size) return;
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
          at: this.ids.cmdq,
          queue: 'physical',
          index,
          command: text,
        });
        this.caches.by = text.text;
      }
      yield FETCH;
      // Another actor's doorbell may have had it consumed meanwhile.
      if ((r.num('CMDQ_CONS') & mask) !== cons || this.queue !== q) continue;
      const error = this.executor.execute(w0, w1, w2, w3);
      if (error !== 0) {
        this.commandError(index, error, text);
        return;
      }
      r.setNum('CMDQ_CONS', (cons + 1) & mask);
      if ((w0 & 0xff) === OP.SYNC) {
        this.trace.syncs++;
        this.trace.listener?.({
          kind: 'sync',
          actor: 'iommu',
          at: this.ids.cmdq,
          queue: 'physical',
          text: 'all earlier commands are complete',
        });
        yield SYNC;
      }
    }
  }

  private commandError(index: number, error: number, text: CommandText | null): void {
    this.regs.setNum('CMDQ_CONS', (error << 24) | (this.regs.num('CMDQ_CONS') & 0xfffff));
    this.interrupts.raise(GERROR.CMDQ_ERR);
    this.trace.listener?.({
      kind: 'command.error',
      actor: 'iommu',
      at: this.ids.cmdq,
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
    this.caches.by = commandText(words as bigint[]).text;
    const [a = 0n, b = 0n] = words;
    this.execute(lowHalf(a), highHalf(a), lowHalf(b), highHalf(b));
  }

  /** Transactions that wait for CMD_RESUME or CMD_STALL_TERM, oldest first. */
  stalled(): readonly StalledTransaction[] {
    return this.stalls.waiting();
  }

  /** What became of a transaction that stalled; null while it waits. The tag may be used again later. */
  outcomeOf(stag: number): DmaOutcome | null {
    return this.stalls.outcomeOf(stag);
  }

  save(): unknown {
    return {
      regs: this.regs.save(),
      caches: this.caches.save(),
      irq: { ...this.interrupts.pending },
      atcTimeout: this.executor.atcTimeout,
      stalls: this.stalls.save(),
      devices: this.saveDevices(),
    };
  }

  load(state: unknown): void {
    const s = state as {
      regs: ReturnType<RegisterFile['save']>;
      caches: unknown;
      irq: { evtq: boolean; gerror: boolean; priq: boolean };
      atcTimeout: boolean;
      stalls: StallsSnapshot;
      devices: DeviceSnapshot[];
    };
    this.regs.load(s.regs);
    this.caches.load(s.caches);
    Object.assign(this.interrupts.pending, s.irq);
    this.executor.atcTimeout = s.atcTimeout;
    this.stalls.load(s.stalls);
    this.queue = this.commandQueue();
    this.loadDevices(s.devices);
    this.translator.registersChanged();
    this.audit.registersChanged();
  }
}
