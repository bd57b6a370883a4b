import { type Op, pause } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import type { PageResponse, PageResponseCode, PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { encodePageRequest, priLayout } from '../layout/index.ts';
import { type EventQueue, eventWords, ring } from './event-queue.ts';
import type { SmmuFeatures } from './features.ts';
import { deviceId, type HardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import { CR0, CR2, GERROR, OVERFLOW, type RegisterFile } from './registers.ts';
import { EVENT, type Translator } from './translator.ts';

/** What a page request asks for. */
export interface PageAccess {
  readonly read: boolean;
  readonly write: boolean;
  readonly exec?: boolean;
  readonly priv?: boolean;
}

export interface PageRequestOutcome {
  /** The device sent the message. */
  readonly sent: boolean;
  /** It lies in the PRI queue, so that an answer is due once the group is complete. */
  readonly recorded: boolean;
  /** The answer that the SMMU gave by itself, null when it gave none. */
  readonly response: PageResponse | null;
  readonly text: string;
}

const LO = 0x80000000;

/**
 * Page requests of devices: the PRI queue and the answers that the SMMU gives by itself.
 * Source: Arm IHI 0070, 8, 8.1, 8.2, 6.3.9.5.
 */
export class PageRequestQueue {
  private readonly memory: Memory;
  private readonly regs: RegisterFile;
  private readonly features: SmmuFeatures;
  private readonly translator: Translator;
  private readonly events: EventQueue;
  private readonly interrupts: Interrupts;
  private readonly trace: Trace;
  private readonly ids: HardwareIds;

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
    this.memory = p.memory;
    this.regs = p.regs;
    this.features = p.features;
    this.translator = p.translator;
    this.events = p.events;
    this.interrupts = p.interrupts;
    this.trace = p.trace;
    this.ids = p.ids;
  }

  /**
   * A device asks for a page. With a PASID, `last` and neither reading nor writing it is a stop marker, which takes no
   * credit and gets no answer.
   */
  *pri(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    access: PageAccess,
    group: number,
    last: boolean,
  ): Op<PageRequestOutcome> {
    const marker = pasid >= 0 && last && !access.read && !access.write;
    const refusal = refusalOf(d, pasid, group, marker);
    if (refusal !== null) return { sent: false, recorded: false, response: null, text: refusal };
    const page = iova & ~0xfffn;
    // An SMMU without substreams has no place for a PASID. Source: Arm IHI 0070, 8 (SSV).
    const ssid = this.features.ssidBits > 0 ? pasid : -1;
    const words = encodePageRequest({ sid: d.rid, ssid, page, group, last, ...access });
    const text = requestText(pasid, page, access, group, last, marker);
    if (!marker) d.pri.sent(pasid, group, last);
    const event = { kind: 'page.request', device: d.name, group, words, layout: priLayout.id, text } as const;
    this.trace.listener?.({ ...event, actor: 'device', at: deviceId(d), to: this.ids.smmu });
    yield pause('device', 'pri');
    const r = this.receive(d, pasid, last, marker, words);
    this.trace.listener?.({ ...event, actor: 'iommu', at: this.ids.priq, recorded: r.recorded });
    const response = r.code === null ? null : this.answer(d, group, r.pasid, r.code, true);
    return { sent: true, recorded: r.recorded, response, text: r.text };
  }

  /** What becomes of a message that has arrived. A stop marker is never answered. */
  private receive(d: PciDevice, pasid: number, last: boolean, marker: boolean, words: readonly bigint[]): Received {
    const { regs } = this;
    const failure = (text: string): Received => ({ recorded: false, code: marker ? null : 'failure', pasid: -1, text });
    const on = CR0.SMMUEN | CR0.PRIQEN;
    if (!this.features.pri || (regs.num('CR0') & on) !== on) return failure('the PRI queue is off');
    if (this.interrupts.isActive(GERROR.PRIQ_ABT_ERR)) return failure('the PRI queue has an unacknowledged error');
    const q = ring(regs.get('PRIQ_BASE'), this.features.priqsLog2, 16, this.features.oas);
    const size = 2 ** q.log2;
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
    const at = q.base + (prod & (size - 1)) * 16;
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

  /** Sends a PRG Response. @returns what the device was told */
  answer(d: PciDevice, group: number, pasid: number, code: PageResponseCode, auto: boolean): PageResponse {
    const taken = d.pri.respond(group, pasid, code);
    this.trace.listener?.({
      kind: 'page.response',
      actor: 'iommu',
      at: this.ids.smmu,
      to: deviceId(d),
      device: d.name,
      group,
      code,
      auto,
      text: `page response group ${group}: ${code}${pasid >= 0 ? ` PASID ${pasid}` : ''}${taken ? '' : ' (the device ignores it)'}`,
    });
    return { group, code, pasid };
  }
}

interface Received {
  readonly recorded: boolean;
  /** Code of the automatic answer, null: none. */
  readonly code: PageResponseCode | null;
  readonly pasid: number;
  readonly text: string;
}

const IDR3_PPS = 1 << 5;
/** In the third 32-bit half of an STE. */
const STE_PPAR = 1 << 18;

function refusalOf(d: PciDevice, pasid: number, group: number, marker: boolean): string | null {
  if (!d.priCapable) return 'the device has no page request interface';
  if (pasid >= 0 && !d.pasidEnabled) return 'PASID is not enabled in the device';
  if (marker) return d.pri.enabled ? null : 'PRI is not enabled in the device';
  return d.pri.refusal(pasid, group);
}

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
