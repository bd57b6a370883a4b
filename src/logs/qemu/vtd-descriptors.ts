/** Puts the trace lines of one guest descriptor together where it reached the host: what QEMU did for it, and how that ended. */

import { descriptorCommand, descriptorFacts, descriptorMeaning } from '../intel/descriptor.ts';
import type { Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import { errnoOf } from './explain.ts';
import type { Fields } from './formats.ts';

interface Open {
  readonly words: readonly bigint[];
  readonly descriptor: Draft;
  /** The record of the whole, made when something of the host follows. */
  draft: Draft | null;
  readonly head: number;
  readonly lines: number[];
  readonly did: string[];
  readonly failures: { call: string; ret: number }[];
}

const HOST = /^(?:iommufd_|iommu_backend_|vtd_device_.*hwpt$)/;
/** Events that tell what a descriptor asks for, or that it is done. */
const OWN = /^vtd_(?:inv_desc_|pasid_cache_|context_cache_reset|iotlb_reset|replay_)/;

const hwptFailed = (event: string, f: Fields): boolean =>
  event.startsWith('vtd_device_') ? Number(f.ret) !== 1 : Number(f.ret ?? 0) !== 0;

export class VtdDescriptors {
  readonly #sink: Sink;
  #head: number | null = null;
  #open: Open | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Takes an event before its record is put out. */
  event(event: string, f: Fields, record: Draft): void {
    if (event === 'vtd_inv_qi_head') {
      this.end();
      this.#head = record.line;
      return;
    }
    if (event === 'vtd_inv_desc') {
      const head = this.#head;
      this.end();
      if (head === null || typeof f.lo !== 'string' || typeof f.hi !== 'string') return;
      this.#open = {
        words: [BigInt(f.lo), BigInt(f.hi)],
        descriptor: record,
        draft: null,
        head,
        lines: [record.line],
        did: [],
        failures: [],
      };
      return;
    }
    const open = this.#open;
    if (!open) return;
    if (OWN.test(event)) {
      open.lines.push(record.line);
      if (open.draft) record.part_of = open.draft.line;
      return;
    }
    if (!HOST.test(event)) return;
    if (!open.draft) this.#begin(open);
    open.lines.push(record.line);
    record.part_of = (open.draft as Draft | null)?.line;
    open.did.push(record.explain.replace(/\.$/, ''));
    if (hwptFailed(event, f)) open.failures.push({ call: event, ret: Number(f.ret) });
  }

  #begin(open: Open): void {
    const draft: Draft = {
      type: 'qemu_guest_command',
      vendor: 'qemu',
      arch: 'vtd',
      line: open.head,
      model: 'intel_iommu',
      command: descriptorCommand(open.words),
      ...descriptorFacts(open.words),
      explain: '',
      where: { at: 'guest.iq' },
    };
    open.draft = draft;
    open.descriptor.part_of = draft.line;
    this.#sink.record(draft);
  }

  /** Finishes the open descriptor. */
  end(): void {
    const o = this.#open;
    this.#open = null;
    this.#head = null;
    if (!o?.draft) return;
    const d = o.draft;
    d.lines = [...new Set(o.lines)];
    d.ok = o.failures.length === 0;
    if (!d.ok)
      d.failed = o.failures.map((x) => ({
        call: x.call,
        ret: x.ret,
        errno: x.call.startsWith('vtd_device_') ? null : errnoOf(x.ret).name,
      }));
    const why = d.ok ? '' : '; QEMU only reports that: the guest is not told, and its descriptor counts as done';
    d.explain = `The guest's descriptor ${descriptorMeaning(o.words)}; ${o.did.join('; ')}${why}.`;
  }
}
