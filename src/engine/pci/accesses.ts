import { highHalf, lowHalf } from '../bits/index.ts';
import { ATTR, alignHi, alignLo, OUT_HI, OUT_LO, SHIFT, type TranslationCache, UID } from '../cache/index.ts';
import { deviceId, type Op, pause } from '../machine/index.ts';
import type { Memory } from '../memory/index.ts';
import { READ, WRITE } from '../pagetable/access.ts';
import type { ReadStep, Trace } from '../trace/index.ts';
import { NO_PASID, type PciDevice } from './device.ts';

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
  /** `walk`, `ATC`, the name of the IOMMU's cache that answered, or `none` (nothing translated). */
  readonly hit: string;
  readonly reads: number;
  /** The transaction waits for software under this tag. */
  readonly stag?: number;
  /** The device saw no error: its read gave zero, its write vanished. */
  readonly raz?: true;
  /** Of an access or a request that no event explains: why it came to nothing. */
  readonly why?: string;
  /** The completion of a translation request said that the address can only be accessed untranslated. */
  readonly untranslatedOnly?: true;
  readonly fault?: { name: string; fields: Record<string, bigint>; words: readonly bigint[] };
}

/** What an IOMMU answers to a translation request. */
export interface Completion {
  /** READ and WRITE as granted; 0: the device gets nothing. */
  readonly granted: number;
  /** -1 without a translation. */
  readonly pa: number;
  /** Log2 of the bytes that the translation covers. */
  readonly shift: number;
  readonly hit: string;
  readonly reads: number;
  /** What no event tells of a completion that grants nothing, in brackets after a blank, or ''. */
  readonly why: string;
  /** W = U = 1: the device may write there, but only with untranslated requests. */
  readonly untranslated?: true;
  /** The read of the walk that was not made any more, for whoever listens. */
  readonly unread?: ReadStep | undefined;
}

/**
 * The device's side of its accesses: the choice between untranslated and translated requests, the look-up in its ATC, and
 * what a completion leaves there. An IOMMU's room says what becomes of each request.
 * Source: PCI Express base specification, 10.1 to 10.3.
 */
export abstract class DeviceAccesses {
  protected readonly memory: Memory;
  protected readonly trace: Trace;
  /** Scene object that requests go to. */
  private readonly unit: string;
  private readonly cells: (cache: TranslationCache, index: number) => readonly string[];

  constructor(p: {
    memory: Memory;
    trace: Trace;
    unit: string;
    cells: (cache: TranslationCache, index: number) => readonly string[];
  }) {
    this.memory = p.memory;
    this.trace = p.trace;
    this.unit = p.unit;
    this.cells = p.cells;
  }

  /** An untranslated request has arrived. `hi` and `lo` are the address, int32 halves. */
  protected abstract untranslated(q: DmaRequest, hi: number, lo: number): DmaOutcome;
  /**
   * A translated request has arrived.
   * @param need READ or WRITE @param hit what gave the translation
   */
  protected abstract translated(d: PciDevice, hi: number, lo: number, need: number, hit: string): DmaOutcome;
  /** A translation request has arrived. @returns the completion, or what went wrong instead */
  protected abstract complete(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    hi: number,
    lo: number,
    write: boolean,
  ): Completion | DmaOutcome;

  /**
   * A device's access. With `translated` the device asks its ATC first and the IOMMU on a miss.
   * The trace has each message; the result says where it arrived or which event it caused.
   */
  *dma(q: DmaRequest): Op<DmaOutcome> {
    const { device: d } = q;
    const at = deviceId(d);
    const hi = highHalf(q.iova);
    const lo = lowHalf(q.iova);
    const access = q.write ? 'write' : 'read';
    this.trace.listener?.({
      kind: 'dma',
      actor: 'device',
      at,
      to: this.unit,
      device: d.name,
      access,
      iova: q.iova,
      pasid: q.pasid,
      text: `${access} 0x${q.iova.toString(16)}${q.pasid >= 0 ? ` PASID ${q.pasid}` : ''}`,
    });
    yield pause('device', 'dma');
    if (q.pasid >= 0 && !d.pasidEnabled) return this.refused(d, 'PASID is not enabled in the device');
    // A device whose ATS is off sends untranslated requests, whatever it would like.
    if (!q.translated || !d.atsEnabled) return this.untranslated(q, hi, lo);
    // What a translation grants is reading and writing.
    const data = q.write ? WRITE : READ;
    const tag = q.pasid < 0 ? NO_PASID : q.pasid;
    let i = d.atc.lookup(0, tag, hi, lo);
    let reads = 0;
    let hit = 'ATC';
    if (i >= 0 && (data & ~d.atc.e[i + ATTR]!) === 0) {
      this.trace.listener?.({
        kind: 'cache.hit',
        actor: 'device',
        at,
        entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: this.cells(d.atc, i) },
      });
    } else {
      const r = yield* this.ats(d, q.pasid, q.iova, q.write);
      if (r.untranslatedOnly && q.write) return this.untranslated(q, hi, lo);
      if (r.fault || !r.ok) return r;
      reads = r.reads;
      hit = r.hit;
      i = d.atc.lookup(0, tag, hi, lo);
      if (i < 0 || (data & ~d.atc.e[i + ATTR]!) !== 0)
        return this.aborted(d, r.hit, reads, 'the completion grants no such access');
    }
    const shift = d.atc.e[i + SHIFT]!;
    const outHi = d.atc.e[i + OUT_HI]! | (hi & ~alignHi(-1, shift));
    const outLo = d.atc.e[i + OUT_LO]! | (lo & ~alignLo(-1, shift));
    const done = this.translated(d, outHi, outLo, data, hit);
    return { ...done, reads: done.reads + reads };
  }

  /** A translation request; on success the completion fills the device's ATC. */
  *ats(d: PciDevice, pasid: number, iova: bigint, write: boolean): Op<DmaOutcome> {
    const at = deviceId(d);
    const hi = highHalf(iova);
    const lo = lowHalf(iova & ~0xfffn);
    this.trace.listener?.({
      kind: 'ats',
      actor: 'device',
      at,
      to: this.unit,
      message: 'request',
      device: d.name,
      iova,
      pasid,
      text: `translation request 0x${(iova & ~0xfffn).toString(16)}`,
    });
    yield pause('device', 'ats');
    if (!d.atsEnabled) return this.refused(d, 'ATS is not enabled in the device');
    if (pasid >= 0 && !d.pasidEnabled) return this.refused(d, 'PASID is not enabled in the device');
    const c = this.complete(d, pasid, iova, hi, lo, write);
    if ('ok' in c) return c;
    const { granted, pa, hit, reads } = c;
    this.trace.listener?.({
      kind: 'ats',
      actor: 'iommu',
      at: this.unit,
      to: at,
      message: 'completion',
      device: d.name,
      text:
        granted === 0
          ? `completion: ${c.untranslated ? 'R=0 W=1 U=1' : 'R=0 W=0'}${c.why}`
          : `completion: PA 0x${pa.toString(16)} R=${granted & 1} W=${granted >> 1}`,
      ...(granted !== 0 && { pa }),
      ...(c.unread && { unread: c.unread }),
    });
    if (c.untranslated)
      return {
        ok: false,
        pa,
        hit,
        reads,
        why: 'the completion lets it come only untranslated',
        untranslatedOnly: true,
      };
    if (granted === 0) return { ok: false, pa, hit, reads, why: `the completion grants nothing${c.why}` };
    this.fillAtc(d, pasid, hi, lo, c);
    return { ok: true, pa, hit, reads };
  }

  private fillAtc(d: PciDevice, pasid: number, hi: number, lo: number, c: Completion): void {
    const base = c.pa - (c.pa % 2 ** c.shift);
    const data = { attr: c.granted, level: 0, granule: 12, sid: d.rid, ssid: pasid, ipaHi: 0, ipaLo: 0 };
    const baseHi = Math.floor(base / 4294967296);
    const tag = pasid < 0 ? NO_PASID : pasid;
    const i = d.atc.insert(0, tag, hi, lo, c.shift, c.shift, baseHi, base | 0, data);
    this.trace.listener?.({
      kind: 'cache.fill',
      actor: 'device',
      at: deviceId(d),
      entry: { cache: 'ATC', id: d.atc.e[i + UID]!, cells: this.cells(d.atc, i) },
    });
  }

  /** The access reaches memory, or nothing where nothing answers. */
  protected arrived(d: PciDevice, pa: number, hit: string, reads: number): DmaOutcome {
    if (!this.memory.contains(pa, 1)) return this.aborted(d, hit, reads, `nothing answers at 0x${pa.toString(16)}`);
    return this.done(d, pa, hit, reads, `reaches PA 0x${pa.toString(16)}`);
  }

  protected done(d: PciDevice, pa: number, hit: string, reads: number, text: string): DmaOutcome {
    this.trace.listener?.({
      kind: 'dma.done',
      actor: 'iommu',
      at: this.unit,
      to: deviceId(d),
      device: d.name,
      pa,
      text,
    });
    return { ok: true, pa, hit, reads };
  }

  protected aborted(d: PciDevice, hit: string, reads: number, why: string, unread?: ReadStep): DmaOutcome {
    this.tellAborted(d, why, unread);
    return { ok: false, pa: -1, hit, reads, why };
  }

  protected tellAborted(d: PciDevice, text: string, unread?: ReadStep): void {
    this.trace.listener?.({
      kind: 'dma.abort',
      actor: 'iommu',
      at: this.unit,
      to: deviceId(d),
      device: d.name,
      text,
      ...(unread && { unread }),
    });
  }

  /** The device could not send the access. */
  protected refused(d: PciDevice, why: string): DmaOutcome {
    return this.aborted(d, 'none', 0, why);
  }
}
