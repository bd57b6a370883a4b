import type { Memory } from '../../memory/index.ts';
import {
  type PageAccess,
  type PageRequestMessage,
  PageRequestService,
  type PageResponseCode,
  type PciDevice,
  type ReceivedRequest,
} from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { encodePageRequest, priLayout } from '../layout/index.ts';
import { type EventQueue, eventWords, ring } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import type { HardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import { CR0, CR2, GERROR, OVERFLOW, type RegisterFile } from './registers.ts';
import { EVENT, type Translator } from './translator.ts';

const LO = 0x80000000;

/**
 * Page requests of devices: the PRI queue and the answers that the SMMU gives by itself.
 * Source: Arm IHI 0070, 8, 8.1, 8.2, 6.3.9.5.
 */
export class PageRequestQueue extends PageRequestService {
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  private readonly features: SmmuFeatures;
  private readonly translator: Translator;
  private readonly events: EventQueue;
  private readonly interrupts: Interrupts;

  constructor(p: {
    memory: Memory;
    regs: RegisterFile;
    features: SmmuFeatures;
    translator: Translator;
    events: EventQueue;
    interrupts: Interrupts;
    trace: Trace;
    ids: HardwareIds;
  }) {
    super({ trace: p.trace, unit: p.ids.smmu, queue: p.ids.priq, layout: priLayout.id });
    this.memory = p.memory;
    this.regs = p.regs;
    this.features = p.features;
    this.translator = p.translator;
    this.events = p.events;
    this.interrupts = p.interrupts;
  }

  protected override encode(q: PageRequestMessage): { words: bigint[]; text: string } {
    const { device, pasid, page, access, group, last, marker } = q;
    // An SMMU without substreams has no place for a PASID. Source: Arm IHI 0070, 8 (SSV).
    const ssid = this.features.ssidBits > 0 ? pasid : -1;
    const words = encodePageRequest({ sid: device.rid, ssid, page, group, last, ...access });
    return { words, text: requestText(pasid, page, access, group, last, marker) };
  }

  /** What becomes of a message that has arrived. A stop marker is never answered. */
  protected override receive(q: PageRequestMessage, words: readonly bigint[]): ReceivedRequest {
    const { regs } = this;
    const { device: d, pasid, last, marker } = q;
    const failure = (text: string): ReceivedRequest => ({
      recorded: false,
      code: marker ? null : 'failure',
      pasid: -1,
      text,
    });
    const on = CR0.SMMUEN | CR0.PRIQEN;
    if (!this.features.pri || (regs.num('CR0') & on) !== on) return failure('the PRI queue is off');
    if (this.interrupts.isActive(GERROR.PRIQ_ABT_ERR)) return failure('the PRI queue has an unacknowledged error');
    const queue = ring(regs.get('PRIQ_BASE'), this.features.priqsLog2, 16, this.features.oas);
    const size = 2 ** queue.log2;
    const mask = 2 * size - 1;
    const prodReg = regs.num('PRIQ_PROD');
    const consReg = regs.num('PRIQ_CONS');
    const prod = prodReg & mask;
    const fill = (prod - consReg) & mask;
    const overflow = (prodReg ^ consReg) >>> 31 !== 0;
    if (overflow || fill >= size) {
      if (!overflow) regs.setNum('PRIQ_PROD', prodReg ^ OVERFLOW);
      // Of the messages that are lost only these interrupt. Source: IHI 0070, 6.3.36.
      if (this.lastOnly && last) this.interrupts.signal('priq');
      if (marker || !last) return { recorded: false, code: null, pasid: -1, text: 'lost: the PRI queue overflowed' };
      return { recorded: false, text: 'the PRI queue overflowed', ...this.overflowAnswer(d, pasid) };
    }
    const at = queue.base + (prod & (size - 1)) * 16;
    if (!this.memory.contains(at, 16)) {
      this.interrupts.raise(GERROR.PRIQ_ABT_ERR);
      return failure('the write into the PRI queue was aborted');
    }
    this.memory.writeWord(at, words[0]!);
    this.memory.writeWord(at + 8, words[1]!);
    regs.setNum('PRIQ_PROD', ((prodReg & OVERFLOW) | ((prod + 1) & mask)) >>> 0);
    if (this.lastOnly ? last : fill === 0) this.interrupts.signal('priq');
    return { recorded: true, code: null, pasid: -1, text: 'recorded in the PRI queue' };
  }

  private get lastOnly(): boolean {
    return (this.regs.num('PRIQ_IRQ_CFG2') & LO) !== 0;
  }

  /** Success, unless the STE has to say whether the answer carries a PASID and cannot. Source: Arm IHI 0070, 8.1. */
  private overflowAnswer(d: PciDevice, pasid: number): { code: PageResponseCode; pasid: number } {
    if (pasid < 0 || this.features.ssidBits === 0) return { code: 'success', pasid: -1 };
    if ((this.features.idr[3]! & IDR3_PPS) !== 0) return { code: 'success', pasid };
    const t = this.translator;
    const ste = t.readSte(d.rid);
    if (ste === null || ste.bad) {
      const event = ste === null ? t.event : EVENT.C_BAD_STE;
      const cr2 = this.regs.num('CR2');
      const wanted = (cr2 & CR2.REC_CFG_ATS) !== 0;
      t.event = event;
      this.events.record(
        eventWords(t, d.rid, pasid, 0n),
        wanted && (event !== EVENT.C_BAD_STREAMID || (cr2 & CR2.RECINVSID) !== 0),
      );
      return { code: 'failure', pasid: -1 };
    }
    return { code: 'success', pasid: (ste.words[2]! & STE_PPAR) !== 0 ? pasid : -1 };
  }
}

const IDR3_PPS = 1 << 5;
/** In the third 32-bit half of an STE. */
const STE_PPAR = 1 << 18;

function requestText(
  pasid: number,
  page: bigint,
  a: PageAccess,
  group: number,
  last: boolean,
  marker: boolean,
): string {
  const where = pasid < 0 ? '' : ` PASID ${pasid}`;
  if (marker) return `stop marker${where}`;
  const wants = `${a.read ? 'r' : ''}${a.write ? 'w' : ''}${a.exec ? 'x' : ''}${a.priv ? ' privileged' : ''}`;
  return `page request 0x${page.toString(16)}${where} ${wants || 'no access'} group ${group}${last ? ' last' : ''}`;
}
