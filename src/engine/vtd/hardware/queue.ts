import { type Op, pause } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import type { CommandText, Trace } from '../../trace/index.ts';
import { descriptorText } from '../layout/index.ts';
import type { VtdCaches } from './caches.ts';
import { type DescriptorExecutor, TYPE } from './descriptors.ts';
import type { FaultRecorder } from './faults.ts';
import type { VtdFeatures } from './features.ts';
import type { HardwareIds } from './ids.ts';
import { FSTS, GCMD, IQEI, iqeiNames, type RegisterFile } from './registers.ts';

const FETCH = pause('iommu', 'fetch');
const SYNC = pause('iommu', 'sync');

/** RTADDR_REG.TTM, and the value of it that means nothing. */
const TTM = 0xc00n;
const TTM_RESERVED = 0x800n;

/** An invalidation queue as IQA_REG describes it: where it lies, bytes of a descriptor, bytes of all. */
export interface QueueGeometry {
  readonly base: number;
  readonly entry: 16 | 32;
  readonly bytes: number;
}

/** Source: VT-d specification, 11.4.17. */
export const queueGeometry = (iqa: bigint): QueueGeometry => ({
  base: Number(iqa & ~0xfffn),
  entry: (iqa & 0x800n) !== 0n ? 32 : 16,
  bytes: 4096 * 2 ** Number(iqa & 7n),
});

/**
 * The consumer's side of the invalidation queue: fetches descriptors in order, and stops at an error.
 * Source: VT-d specification, 6.5.2, 11.4.15 to 11.4.24.
 */
export class InvalidationQueue {
  private readonly memory: Memory;
  private readonly features: VtdFeatures;
  private readonly regs: RegisterFile;
  private readonly caches: VtdCaches;
  private readonly faults: FaultRecorder;
  private readonly executor: DescriptorExecutor;
  private readonly trace: Trace;
  private readonly place: string;
  private queue: QueueGeometry = queueGeometry(0n);

  constructor(p: {
    memory: Memory;
    features: VtdFeatures;
    regs: RegisterFile;
    caches: VtdCaches;
    faults: FaultRecorder;
    executor: DescriptorExecutor;
    trace: Trace;
    ids: HardwareIds;
  }) {
    this.memory = p.memory;
    this.features = p.features;
    this.regs = p.regs;
    this.caches = p.caches;
    this.faults = p.faults;
    this.executor = p.executor;
    this.trace = p.trace;
    this.place = p.ids.iq;
  }

  /** Descriptors have 256 bits. */
  get wide(): boolean {
    return this.queue.entry === 32;
  }

  /** Takes the geometry from IQA_REG as it is. */
  reload(): void {
    this.queue = queueGeometry(this.regs.get('IQA_REG'));
  }

  /** Software has written IQA_REG. A width that the unit does not have is an error. Source: 11.4.24 (IQEI 5). */
  moved(): void {
    const { regs, features } = this;
    this.reload();
    if (this.wide) regs.setNum('IQH_REG', regs.num('IQH_REG') & ~16);
    if (this.wide && !features.smts && !features.adms) this.error(IQEI.WIDTH, null);
    this.alignTail();
  }

  /** Bit 4 of an offset does not exist with 256-bit descriptors. Source: 11.4.15, 11.4.16, 11.4.24 (IQEI 6). */
  alignTail(): void {
    const { regs } = this;
    const tail = regs.num('IQT_REG');
    if (!this.wide || (tail & 16) === 0) return;
    regs.setNum('IQT_REG', tail & ~16);
    this.error(IQEI.ALIGNMENT, null);
  }

  /** Fetches and executes descriptors up to the tail or an error. */
  *consume(): Op<void> {
    const r = this.regs;
    for (;;) {
      if ((r.num('GSTS_REG') & GCMD.QIE) === 0 || (r.num('FSTS_REG') & (FSTS.IQE | FSTS.ITE)) !== 0) return;
      const q = this.queue;
      const head = r.num('IQH_REG');
      const tail = r.num('IQT_REG');
      if (head === tail) {
        // Nothing follows that could wait: the time runs out all the same.
        if (this.executor.unanswered >= 0) this.timeOut(head);
        return;
      }
      if (tail >= q.bytes || head >= q.bytes) return this.error(IQEI.TAIL, null);
      if ((r.rootAddress & TTM) === TTM_RESERVED) return this.error(IQEI.TTM, null);
      const at = q.base + head;
      if (!this.memory.contains(at, q.entry)) return this.error(IQEI.FETCH, null);
      const { words } = this.memory;
      const i = this.memory.indexOf(Math.floor(at / 4294967296), at | 0);
      const w0 = words[i]!;
      const w1 = words[i + 1]!;
      const w2 = words[i + 2]!;
      const w3 = words[i + 3]!;
      const wide = q.entry === 32;
      const rest = wide ? words[i + 4]! | words[i + 5]! | words[i + 6]! | words[i + 7]! : 0;
      this.trace.commands++;
      const text = this.trace.listener ? this.fetched(at, head / q.entry, wide) : null;
      yield FETCH;
      // Another actor's doorbell may have had it executed meanwhile, or the queue may be another one.
      if (r.num('IQH_REG') !== head || this.queue !== q || (r.num('GSTS_REG') & GCMD.QIE) === 0) continue;
      const error = this.executor.execute(w0, w1, w2, w3, rest, wide && (r.rootAddress & TTM) !== 0n);
      if (error !== IQEI.NONE) return this.error(error, text);
      r.setNum('IQH_REG', (head + q.entry) % q.bytes);
      if ((w0 & 0xe0f) !== TYPE.INV_WAIT) continue;
      if (this.executor.unanswered >= 0) return this.timeOut(head);
      this.trace.syncs++;
      this.trace.listener?.({
        kind: 'sync',
        actor: 'iommu',
        at: this.place,
        queue: 'physical',
        text: 'all earlier descriptors are complete',
      });
      yield SYNC;
    }
  }

  /** Tells whoever listens; what is removed next is removed by this descriptor. */
  private fetched(at: number, index: number, wide: boolean): CommandText {
    const word = (n: number): bigint => (n < 2 || wide ? this.memory.readWord(at + 8 * n) : 0n);
    const command = descriptorText([word(0), word(1), word(2), word(3)]);
    this.trace.listener?.({
      kind: 'command.fetch',
      actor: 'iommu',
      at: this.place,
      queue: 'physical',
      index,
      command,
    });
    this.caches.by = command.text;
    return command;
  }

  /** IQE: the head stays at the descriptor that is at fault. Source: 6.5.2.10, 11.4.9, 11.4.24. */
  private error(iqei: number, text: CommandText | null): void {
    const r = this.regs;
    r.set('IQERCD_REG', (r.get('IQERCD_REG') & ~0xfn) | BigInt(iqei));
    this.faults.error(FSTS.IQE);
    this.stopped('IQE', r.num('IQH_REG'), `${iqeiNames[iqei]!}${text ? `: ${text.text}` : ''}`);
  }

  /**
   * ITE: the wait that was fetched is aborted, and nothing is fetched until software clears it.
   * Source: VT-d specification, 6.5.2.11, 11.4.9; Linux drivers/iommu/intel/dmar.c (qi_check_fault).
   */
  private timeOut(at: number): void {
    const r = this.regs;
    const rid = this.executor.unanswered;
    this.executor.unanswered = -1;
    r.set('IQERCD_REG', (r.get('IQERCD_REG') & ~(0xffffn << 32n)) | (BigInt(rid) << 32n));
    this.faults.error(FSTS.ITE);
    this.stopped('ITE', at, `device 0x${rid.toString(16)} has not completed an invalidation`);
  }

  private stopped(error: string, offset: number, text: string): void {
    const index = Math.floor(offset / this.queue.entry);
    this.trace.listener?.({
      kind: 'command.error',
      actor: 'iommu',
      at: this.place,
      queue: 'physical',
      index,
      error,
      text,
    });
  }
}
