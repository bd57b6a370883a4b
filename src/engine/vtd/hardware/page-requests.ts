import { highHalf, lowHalf } from '../../bits/index.ts';
import type { Memory } from '../../memory/index.ts';
import {
  type PageRequestMessage,
  PageRequestService,
  type PageResponseCode,
  type ReceivedRequest,
} from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { encodePageRequest, faultName, pageRequestText, prqLayout } from '../layout/index.ts';
import { type FaultRecorder, faultWords } from './faults.ts';
import type { VtdFeatures } from './features.ts';
import type { HardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import { PRS, type RegisterFile } from './registers.ts';
import type { Translator } from './translator.ts';

const ENTRY = 32;

/** Bytes of the queue that PQA_REG describes. */
export const pageRequestQueueBytes = (pqa: bigint): number => 4096 * 2 ** Number(pqa & 7n);

/**
 * Page requests of devices: the page request queue and the answers that the unit gives by itself.
 * Source: VT-d specification, 7.4 and 11.4.30 to 11.4.36.
 */
export class PageRequestQueue extends PageRequestService {
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  private readonly features: VtdFeatures;
  private readonly translator: Translator;
  private readonly faults: FaultRecorder;
  private readonly interrupts: Interrupts;

  constructor(p: {
    memory: Memory;
    regs: RegisterFile;
    features: VtdFeatures;
    translator: Translator;
    faults: FaultRecorder;
    interrupts: Interrupts;
    trace: Trace;
    ids: HardwareIds;
  }) {
    super({ trace: p.trace, unit: p.ids.unit, queue: p.ids.prq, layout: prqLayout.id });
    this.memory = p.memory;
    this.regs = p.regs;
    this.features = p.features;
    this.translator = p.translator;
    this.faults = p.faults;
    this.interrupts = p.interrupts;
  }

  protected override encode(q: PageRequestMessage): { words: bigint[]; text: string } {
    const { device, pasid, page, access, group, last } = q;
    const words = encodePageRequest({ rid: device.rid & 0xffff, pasid, page, group, last, ...access });
    return { words, text: pageRequestText(words) };
  }

  /** Only the last of a group is answered, a stop marker never. */
  protected override receive(q: PageRequestMessage, words: readonly bigint[]): ReceivedRequest {
    const { regs } = this;
    const { device: d, pasid, page, access, last } = q;
    const answered = (code: PageResponseCode, text: string): ReceivedRequest => ({
      recorded: false,
      code: last && !q.marker ? code : null,
      pasid,
      text,
    });
    const failure = (text: string): ReceivedRequest => answered('failure', text);
    if (!this.features.prs) return failure('the unit has no page request queue');
    if (!regs.enabled) return failure('DMA remapping is off');
    const t = this.translator;
    const reason = t.pageRequestFault(d.rid, pasid);
    if (reason !== 0) {
      const { exec = false, priv = false } = access;
      const request = { rid: d.rid, pasid, address: page, reason, access: 'page request', exec, priv, at: 0 } as const;
      this.faults.record(faultWords(request), t.recorded);
      return answered('invalid request', `refused: ${faultName(reason)}`);
    }
    const status = regs.num('PRS_REG');
    const bytes = pageRequestQueueBytes(regs.get('PQA_REG'));
    const tail = regs.num('PQT_REG') % bytes;
    const after = (tail + ENTRY) % bytes;
    if ((status & PRS.PRO) !== 0 || after === regs.num('PQH_REG') % bytes) {
      if ((status & PRS.PRO) === 0) {
        regs.setNum('PRS_REG', status | PRS.PRO);
        if (status === 0) this.interrupts.raise('prq');
      }
      // Success: the device asks for the translation again, and for the page if it must.
      return answered('success', 'lost: the page request queue overflowed');
    }
    const at = Number(regs.get('PQA_REG') & ~0xfffn) + tail;
    if (!this.memory.contains(at, ENTRY)) return failure('nothing takes the write into the page request queue');
    this.invalidate(page);
    for (let i = 0; i < 4; i++) this.memory.writeWord(at + 8 * i, words[i]!);
    regs.setNum('PQT_REG', after);
    // Source: VT-d specification, 7.5, 11.4.11.4 (PPR), 11.4.11.5 (IP).
    if ((status & PRS.PPR) === 0) {
      regs.setNum('PRS_REG', status | PRS.PPR);
      if (status === 0) this.interrupts.raise('prq');
    }
    return { recorded: true, code: null, pasid: -1, text: 'recorded in the page request queue' };
  }

  /**
   * What is cached of a page that was asked for goes, since software need not invalidate what it gives more rights to.
   * Source: VT-d specification, 6.5.3.1, table 27.
   */
  private invalidate(page: bigint): void {
    const { caches, pasidEntry: e, usedPasid } = this.translator;
    if (caches === null || e === null) return;
    const hi = highHalf(page);
    const lo = lowHalf(page & ~0xfffn);
    caches.by = 'page request';
    if (e.pgtt === 1) caches.pasidIotlbPages(e.did, usedPasid, hi, lo, 0, false);
    else if (e.pgtt === 3) caches.iotlbDomain(e.did);
    else caches.iotlbPages(e.did, hi, lo, 0, false);
    caches.by = '';
  }
}
