import { deviceId, type Op, pause } from '../machine/index.ts';
import type { Trace } from '../trace/index.ts';
import type { PciDevice } from './device.ts';
import { isStopMarker, type PageAccess, type PageRequestOutcome, pageRequestRefusal } from './messages.ts';
import type { PageResponse, PageResponseCode } from './page-requests.ts';

/** A page request message. */
export interface PageRequestMessage {
  readonly device: PciDevice;
  /** -1: none. */
  readonly pasid: number;
  /** Page address, 64 bits. */
  readonly page: bigint;
  readonly access: PageAccess;
  readonly group: number;
  readonly last: boolean;
  /** A stop marker, which is never answered. */
  readonly marker: boolean;
}

/** What became of a message. */
export interface ReceivedRequest {
  readonly recorded: boolean;
  /** Code of the answer that the IOMMU gives by itself, null: none. */
  readonly code: PageResponseCode | null;
  /** PASID on that answer, -1: none. */
  readonly pasid: number;
  readonly text: string;
}

/**
 * Page requests between devices and an IOMMU: the message and its answer. An IOMMU's room says how a request is recorded and
 * what it answers by itself.
 * Source: PCI Express base specification, 10.4.
 */
export abstract class PageRequestService {
  protected readonly trace: Trace;
  private readonly unit: string;
  private readonly queue: string;
  private readonly layout: string;

  /** @param p scene objects of the IOMMU and of its queue, and the layout id of a record */
  constructor(p: { trace: Trace; unit: string; queue: string; layout: string }) {
    this.trace = p.trace;
    this.unit = p.unit;
    this.queue = p.queue;
    this.layout = p.layout;
  }

  /** The record of a message, and one line of text. */
  protected abstract encode(q: PageRequestMessage): { readonly words: readonly bigint[]; readonly text: string };
  /** A message has arrived. */
  protected abstract receive(q: PageRequestMessage, words: readonly bigint[]): ReceivedRequest;

  /**
   * A device asks for a page. With a PASID, `last` and neither reading nor writing it is a stop marker, which takes no
   * credit and gets no answer.
   */
  *pri(
    device: PciDevice,
    pasid: number,
    iova: bigint,
    access: PageAccess,
    group: number,
    last: boolean,
  ): Op<PageRequestOutcome> {
    const marker = isStopMarker(pasid, access, last);
    const refusal = pageRequestRefusal(device, pasid, group, marker);
    if (refusal !== null) return { sent: false, recorded: false, response: null, text: refusal };
    const message = { device, pasid, page: iova & ~0xfffn, access, group, last, marker };
    const { words, text } = this.encode(message);
    if (!marker) device.pri.sent(pasid, group, last);
    const event = { kind: 'page.request', device: device.name, group, words, layout: this.layout, text } as const;
    this.trace.listener?.({ ...event, actor: 'device', at: deviceId(device), to: this.unit });
    yield pause('device', 'pri');
    const r = this.receive(message, words);
    this.trace.listener?.({ ...event, actor: 'iommu', at: this.queue, recorded: r.recorded });
    const response = r.code === null ? null : this.answer(device, group, r.pasid, r.code, true);
    return { sent: true, recorded: r.recorded, response, text: r.text };
  }

  /** Sends a PRG Response. @returns what the device was told */
  answer(d: PciDevice, group: number, pasid: number, code: PageResponseCode, auto: boolean): PageResponse {
    const taken = d.pri.respond(group, pasid, code);
    this.trace.listener?.({
      kind: 'page.response',
      actor: 'iommu',
      at: this.unit,
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
