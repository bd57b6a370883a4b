import { wordOf } from '../../bits/index.ts';
import type { Memory } from '../../memory/index.ts';
import { ANY_DATA, EXEC, READ, WRITE } from '../../pagetable/access.ts';
import { type Completion, DeviceAccesses, type DmaOutcome, type DmaRequest, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { decodeFault, faultName } from '../layout/index.ts';
import { translationCells } from './cache-text.ts';
import { type FaultRecorder, faultWords } from './faults.ts';
import type { HardwareIds } from './ids.ts';
import {
  ABORTED,
  ATS_REQUEST,
  DONE,
  FAULTED,
  INTERRUPT,
  TRANSLATED,
  type Translator,
  UNTRANSLATED,
} from './translator.ts';

const answers = ['walk', 'IOTLB', 'none'] as const;

/** Address types of PCI Express, as a fault record has them. */
const AT = { untranslated: 0, request: 1, translated: 2 } as const;

/**
 * Conditions that a translation request is answered without permissions for, and of which nothing is recorded: the page or
 * the process is not there, or there is no right, or the first stage is wrong, which a guest owns. The device then asks for
 * the page. Source: VT-d specification, 7.1.3, table 30 (translation requests: success with R = W = U = S = 0).
 */
const RECOVERABLE = new Set([
  0x04, 0x05, 0x06, 0x51, 0x59, 0x5c, 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x79, 0x80, 0x81, 0x82,
  0x83, 0x84, 0x85, 0x86, 0x90,
]);

/**
 * Conditions by which ATS is not to be had: the request is unsupported. All others that are not recoverable are errors, and
 * end in a completer abort. Source: VT-d specification, 7.1.3, table 30.
 */
const UNSUPPORTED = new Set([0x01, 0x02, 0x0d, 0x31, 0x33, 0x39, 0x41, 0x44, 0x45, 0x46, 0x48, 0x89]);

/**
 * What devices ask of a unit: untranslated accesses, translation requests (ATS), translated accesses. It emits the messages
 * and records the faults.
 */
export class DeviceRequests extends DeviceAccesses {
  private readonly translator: Translator;
  private readonly faults: FaultRecorder;

  constructor(p: { memory: Memory; translator: Translator; faults: FaultRecorder; trace: Trace; ids: HardwareIds }) {
    super({ memory: p.memory, trace: p.trace, unit: p.ids.unit, cells: translationCells });
    this.translator = p.translator;
    this.faults = p.faults;
  }

  protected override untranslated(q: DmaRequest, hi: number, lo: number): DmaOutcome {
    const t = this.translator;
    const d = q.device;
    // Only a PASID prefix can ask for leave to execute.
    const need = q.write ? WRITE : q.exec && q.pasid >= 0 ? EXEC : READ;
    switch (t.translate(d.rid, q.pasid, hi, lo, need, q.priv ?? false, UNTRANSLATED)) {
      case DONE:
        return this.arrived(d, this.output(), this.answeredBy, t.reads);
      case INTERRUPT: {
        const at = lo >>> 0;
        return this.done(d, at, 'none', 0, `is an interrupt message to 0x${at.toString(16)}`);
      }
      case FAULTED:
        return this.faulted(q, AT.untranslated);
      default:
        return this.aborted(d, 'none', t.reads, 'unsupported request, nothing is recorded', t.unread);
    }
  }

  /** A translated access carries no PASID. Source: VT-d specification, 4.2.3; PCI Express base specification, 10.2.1. */
  protected override translated(d: PciDevice, hi: number, lo: number, need: number, hit: string): DmaOutcome {
    const t = this.translator;
    const status = t.translate(d.rid, -1, hi, lo, need, false, TRANSLATED);
    if (status === DONE) return this.arrived(d, this.output(), hit, t.reads);
    if (status === ABORTED)
      return this.aborted(d, 'none', t.reads, 'unsupported request, nothing is recorded', t.unread);
    const iova = wordOf(hi, lo);
    return this.faulted({ device: d, pasid: -1, iova, write: need === WRITE, translated: true }, AT.translated);
  }

  protected override complete(
    d: PciDevice,
    pasid: number,
    iova: bigint,
    hi: number,
    lo: number,
    write: boolean,
  ): Completion | DmaOutcome {
    const t = this.translator;
    const status = t.translate(d.rid, pasid, hi, lo, ANY_DATA, false, ATS_REQUEST);
    if (status === ABORTED)
      return this.aborted(d, 'none', t.reads, 'unsupported request, nothing is recorded', t.unread);
    const { reads, leafShift: shift } = t;
    const hit = this.answeredBy;
    if (status === DONE && t.untranslatedOnly)
      return { granted: 0, pa: -1, shift, hit, reads, why: '', untranslated: true };
    if (status === DONE) return { granted: t.granted & (READ | WRITE), pa: this.output(), shift, hit, reads, why: '' };
    if (RECOVERABLE.has(t.event))
      return { granted: 0, pa: -1, shift, hit, reads, why: ` (${faultName(t.event)})`, unread: t.unread };
    return this.faulted({ device: d, pasid, iova: iova & ~0xfffn, write, translated: true }, AT.request);
  }

  private get answeredBy(): string {
    return answers[this.translator.answeredBy]!;
  }

  private output(): number {
    const t = this.translator;
    return (t.outHi >>> 0) * 4294967296 + (t.outLo >>> 0);
  }

  private faulted(q: DmaRequest, at: number): DmaOutcome {
    const t = this.translator;
    const d = q.device;
    const reason = t.event;
    const words = faultWords({
      rid: d.rid,
      pasid: q.pasid,
      address: q.iova,
      reason,
      access: q.write ? 'write' : 'read',
      exec: q.exec ?? false,
      priv: q.priv ?? false,
      at,
    });
    const { reads, recorded } = t;
    const hit = this.answeredBy;
    this.faults.record(words, recorded);
    const how = at === AT.request ? (UNSUPPORTED.has(reason) ? 'unsupported request' : 'completer abort') : 'aborted';
    this.tellAborted(d, `${how}: ${faultName(reason)}`, t.unread);
    const fields = decodeFault(words);
    return {
      ok: false,
      pa: -1,
      hit,
      reads,
      fault: { name: faultName(reason), fields: { ...fields, PASID: fields.PV ?? 0n }, words },
    };
  }
}
