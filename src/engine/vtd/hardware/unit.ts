import { highHalf, lowHalf } from '../../bits/index.ts';
import type { Injector, Op } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { DevicePort, type DeviceSnapshot, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { descriptorText } from '../layout/index.ts';
import { Audit } from './audit.ts';
import { translationCells } from './cache-text.ts';
import { VtdCaches } from './caches.ts';
import { DescriptorExecutor } from './descriptors.ts';
import { FaultRecorder } from './faults.ts';
import type { VtdFeatures } from './features.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';
import { type EventSource, Interrupts } from './interrupts.ts';
import { PageRequestQueue } from './page-requests.ts';
import { InvalidationQueue } from './queue.ts';
import { GCMD, RegisterFile } from './registers.ts';
import { DeviceRequests } from './requests.ts';
import { Translator } from './translator.ts';

/** Bits of GCMD_REG whose state GSTS_REG shows as it was written. */
const STICKY = GCMD.TE | GCMD.QIE | GCMD.IRE | GCMD.CFI;

const INVALIDATE = 1n << 63n;

/** One remapping unit: registers, queues, caches, translation. It reads nothing but bytes of memory and its registers. */
export class VtdUnit extends DevicePort {
  readonly features: VtdFeatures;
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;
  readonly regs: RegisterFile;
  readonly caches: VtdCaches;
  readonly translator: Translator;
  readonly audit: Audit;
  private readonly trace: Trace;
  private readonly faults: FaultRecorder;
  protected override readonly requests: DeviceRequests;
  protected override readonly pageRequests: PageRequestQueue;
  private readonly executor: DescriptorExecutor;
  private readonly queue: InvalidationQueue;
  private readonly interrupts: Interrupts;

  constructor(
    memory: Memory,
    features: VtdFeatures,
    devices: readonly PciDevice[],
    trace: Trace,
    injector: Injector,
    iotlbEntries = 0,
    scope = '',
  ) {
    super(devices);
    const ids = hardwareIds(scope);
    this.ids = ids;
    this.features = features;
    this.trace = trace;
    const regs = new RegisterFile(features);
    this.regs = regs;
    this.caches = new VtdCaches(trace, iotlbEntries, ids);
    const { caches } = this;
    this.translator = new Translator(memory, regs, features, caches, trace, ids);
    const { translator } = this;
    this.interrupts = new Interrupts(memory, regs);
    const { interrupts } = this;
    this.faults = new FaultRecorder({ features, regs, interrupts, trace, injector, ids });
    const { faults } = this;
    const byRid = new Map(devices.map((d) => [d.rid & 0xffff, d]));
    const device = (rid: number): PciDevice | undefined => byRid.get(rid);
    this.requests = new DeviceRequests({ memory, translator, faults, trace, ids });
    this.pageRequests = new PageRequestQueue({ memory, regs, features, translator, faults, interrupts, trace, ids });
    const { pageRequests } = this;
    this.executor = new DescriptorExecutor({
      memory,
      features,
      caches,
      regs,
      interrupts,
      faults,
      trace,
      injector,
      device,
      pageRequests,
      ids,
    });
    const { executor } = this;
    this.queue = new InvalidationQueue({ memory, features, regs, caches, faults, executor, trace, ids });
    this.audit = new Audit(memory, regs, features, devices, caches);
    caches.stillValid = (c, i) => this.audit.same(c, i);
    caches.configStillValid = (name, e) => this.audit.sameConfig(name, e);
    this.watch(trace, {
      valid: (d, i) => this.audit.sameAtc(d, i),
      by: () => this.caches.by,
      cells: translationCells,
    });
  }

  /** Interrupt messages that a processor has received; the driver takes them by writing false. */
  get irq(): { fault: boolean; prq: boolean; inv: boolean } {
    return this.interrupts.pending;
  }

  readRegister(name: string): bigint {
    return this.regs.get(name);
  }

  /** A software write, with its side effects. Source: VT-d specification, 11.4. */
  *writeRegister(name: string, value: bigint): Op<void> {
    const r = this.regs;
    const fsts = r.num('FSTS_REG');
    if (name === 'GCMD_REG') this.command(Number(BigInt.asUintN(32, value)));
    else if (!r.write(name, value)) return;
    this.sideEffects(name, fsts);
    if (this.trace.listener && name !== 'IQT_REG')
      this.trace.listener({
        kind: 'register.write',
        actor: 'iommu',
        at: this.ids.unit,
        iommu: 'physical',
        reg: name,
        // Of a command and of what clears bits the register keeps nothing.
        value: name === 'GCMD_REG' || r.clears(name) !== 0n ? BigInt.asUintN(64, value) : r.get(name),
      });
    // Clearing an error lets the queue go on where it stopped. Source: VT-d specification, 6.5.2.10, 11.4.9.
    if (name === 'IQT_REG' || name === 'GCMD_REG' || name === 'FSTS_REG') yield* this.queue.consume();
  }

  private sideEffects(name: string, before: number): void {
    const r = this.regs;
    switch (name) {
      case 'FSTS_REG':
      case 'PRS_REG':
      case 'ICS_REG':
        if (name === 'PRS_REG' && r.num('PRS_REG') === 0) this.interrupts.serviced('prq');
        if (name === 'ICS_REG' && r.num('ICS_REG') === 0) this.interrupts.serviced('inv');
        if (name === 'FSTS_REG' && r.num('FSTS_REG') !== before) this.faults.cleared();
        return;
      case 'FECTL_REG':
      case 'IECTL_REG':
      case 'PECTL_REG':
        this.interrupts.unmasked(({ F: 'fault', I: 'inv', P: 'prq' } as Record<string, EventSource>)[name[0]!]!);
        return;
      case 'CCMD_REG':
        this.contextCommand();
        return;
      case 'IOTLB_REG':
        this.iotlbCommand();
        return;
      case 'IQA_REG':
        this.queue.moved();
        return;
      case 'IQT_REG':
        this.queue.alignTail();
        return;
      case 'PMEN_REG':
        r.setNum('PMEN_REG', r.num('PMEN_REG') === 0 ? 0 : 0x8000_0001);
        return;
      default:
        if (name.startsWith('FRCD_')) this.faults.cleared();
    }
  }

  /**
   * GCMD_REG: sticky bits take effect as they change, one-shot bits when they are written as one; each is done at once, so
   * that GSTS_REG shows it to the next read. Source: VT-d specification, 11.4.4.
   */
  private command(value: number): void {
    const r = this.regs;
    const f = this.features;
    const before = r.num('GSTS_REG');
    let status = before;
    const exists = GCMD.TE | (f.qi ? GCMD.QIE : 0) | (f.ir ? GCMD.IRE | GCMD.CFI : 0);
    status = (status & ~(STICKY & exists)) | (value & STICKY & exists);
    if ((status & GCMD.QIE) === 0) r.setNum('IQH_REG', 0);
    if ((value & GCMD.SIRTP) !== 0 && f.ir) {
      r.interruptTable = r.get('IRTA_REG');
      status |= GCMD.SIRTP;
    }
    if ((value & GCMD.SRTP) !== 0) {
      r.rootAddress = r.get('RTADDR_REG');
      status |= GCMD.SRTP;
      if (f.esrtps) this.emptied('SRTP');
    }
    r.setNum('GSTS_REG', status);
    // With scalable mode, switching translation off empties the caches. Source: VT-d specification, 11.4.4.1 (TE).
    if (f.smts && (before & ~status & GCMD.TE) !== 0) this.emptied('TE');
    // Source: VT-d specification, 7.2.1.
    if ((status & (GCMD.TE | GCMD.IRE)) === 0) this.faults.next = 0;
    this.translator.registersChanged();
    this.audit.registersChanged();
  }

  /** Empties all caches. @param by what does */
  private emptied(by: string): void {
    this.caches.by = by;
    this.caches.everything();
    this.caches.by = '';
  }

  /**
   * Invalidation by register is to be had in legacy mode only, and not while the queue is on: the command is taken and nothing
   * is done. Source: VT-d specification, 11.4.6.1, 11.4.6.3.
   */
  private get byRegister(): boolean {
    return (this.regs.num('GSTS_REG') & GCMD.QIE) === 0 && (this.regs.rootAddress & 0xc00n) === 0n;
  }

  /** CCMD_REG. Source: VT-d specification, 11.4.7. */
  private contextCommand(): void {
    const r = this.regs;
    const v = r.get('CCMD_REG');
    if ((v & INVALIDATE) === 0n) return;
    const g = Number((v >> 61n) & 3n);
    const did = Number(v & 0xffffn);
    if (g !== 0 && this.byRegister) {
      this.caches.by = 'CCMD_REG';
      this.executor.context(g, did, Number((v >> 16n) & 0xffffn), Number((v >> 32n) & 3n));
      this.caches.by = '';
    }
    const done = this.byRegister ? BigInt(g) : 0n;
    r.set('CCMD_REG', (v & ~(INVALIDATE | (3n << 59n))) | (done << 59n));
  }

  /** IOTLB_REG with IVA_REG. Source: VT-d specification, 11.4.8. */
  private iotlbCommand(): void {
    const r = this.regs;
    const v = r.get('IOTLB_REG');
    if ((v & INVALIDATE) === 0n) return;
    const iva = r.get('IVA_REG');
    const g = Number((v >> 60n) & 3n);
    const refused =
      g === 0 || !this.byRegister || (g === 3 && this.features.psi && Number(iva & 63n) > this.features.mamv);
    if (!refused) {
      this.caches.by = 'IOTLB_REG';
      const did = Number((v >> 32n) & 0xffffn);
      this.executor.iotlb(g, did, highHalf(iva), lowHalf(iva));
      this.caches.by = '';
    }
    const done = refused ? 0 : g === 3 && !this.features.psi ? 2 : g;
    r.set('IOTLB_REG', (v & ~(INVALIDATE | (3n << 57n))) | (BigInt(done) << 57n));
  }

  /** Executes one descriptor given as 32-bit halves, apart from any queue. @returns an IQEI code, 0 for a legal one */
  execute(w0: number, w1: number, w2: number, w3: number, rest = 0, wide = true): number {
    return this.executor.execute(w0, w1, w2, w3, rest, wide);
  }

  /** Executes one descriptor that an injected fault held back, as if it came late. */
  executeLate(words: readonly bigint[]): void {
    this.caches.by = descriptorText(words as bigint[]).text;
    const rest = (words[2] ?? 0n) === 0n && (words[3] ?? 0n) === 0n ? 0 : 1;
    const [a = 0n, b = 0n] = words;
    this.execute(lowHalf(a), highHalf(a), lowHalf(b), highHalf(b), rest, this.queue.wide);
    this.caches.by = '';
  }

  /** A fault record that an injected fault held back arrives. */
  deliverEvent(words: readonly bigint[]): void {
    this.faults.write(words);
  }

  /** A device-TLB invalidation that an injected fault held back arrives. */
  deliverAtc(words: readonly bigint[]): void {
    this.caches.by = descriptorText(words as bigint[]).text;
    this.executor.deliverLate(words);
    this.caches.by = '';
  }

  save(): unknown {
    return {
      regs: this.regs.save(),
      caches: this.caches.save(),
      irq: { ...this.interrupts.pending },
      nextRecord: this.faults.next,
      unanswered: this.executor.unanswered,
      devices: this.saveDevices(),
    };
  }

  load(state: unknown): void {
    const s = state as {
      regs: ReturnType<RegisterFile['save']>;
      caches: unknown;
      irq: { fault: boolean; prq: boolean; inv: boolean };
      nextRecord: number;
      unanswered: number;
      devices: DeviceSnapshot[];
    };
    this.regs.load(s.regs);
    this.caches.load(s.caches);
    Object.assign(this.interrupts.pending, s.irq);
    this.faults.next = s.nextRecord;
    this.executor.unanswered = s.unanswered;
    this.queue.reload();
    this.loadDevices(s.devices);
    this.translator.registersChanged();
    this.audit.registersChanged();
  }
}
