/** The walk that Linux prints after a fault, as one record. */

import { fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { contextLayout, pasidLayout, rootLayout } from '../../engine/vtd/layout/index.ts';
import type { TextLine } from '../lines.ts';
import type { Sink } from '../reader.ts';
import type { Draft } from '../record.ts';
import { word64 } from '../words.ts';
import type { DumpLine } from './dump-lines.ts';
import { contextText, legacyContextFacts, pasidEntryFacts, pasidEntryText, pgttName } from './entries.ts';

/** What one dump holds. The app and the scenario read its `table_dump` record. */
export interface Walk {
  readonly draft: Draft;
  scalable: boolean | null;
  root: { hi: bigint | null; lo: bigint } | null;
  context: { hi: bigint; lo: bigint } | null;
  directory: bigint | null;
  readonly entry: (bigint | null)[];
  readonly ptes: { level: number; value: bigint }[];
  stopped: string | null;
}

const P = 1n;

/** Collects the lines of dumps; lines of other messages may stand between them. */
export class TableDumps {
  readonly #sink: Sink;
  #open: Walk | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Whether lines of a walk are awaited. */
  get open(): boolean {
    return this.#open !== null;
  }

  /** @param fault the fault that was printed last, if there is one */
  take(d: DumpLine, line: TextLine, fault: Draft | null): void {
    if (d.kind === 'start' || !this.#open) this.#begin(line, d.kind === 'start' ? d : null, fault);
    const w = this.#open as Walk;
    switch (d.kind) {
      case 'start':
        return;
      case 'root':
        w.root = { hi: d.hi, lo: d.lo };
        w.scalable = d.scalable;
        return;
      case 'context':
        w.context = { hi: d.hi, lo: d.lo };
        return;
      case 'directory':
        w.directory = d.value;
        w.scalable = true;
        return;
      case 'entry':
        w.entry[d.index] = d.value;
        w.scalable = true;
        return;
      case 'pte':
        w.ptes.push({ level: d.level, value: d.value });
        return;
      case 'stop':
        w.stopped = d.text;
        this.#finish();
    }
  }

  #begin(line: TextLine, start: { unit: string; iova: bigint } | null, fault: Draft | null): void {
    this.#finish();
    const draft: Draft = {
      type: 'table_dump',
      vendor: 'intel',
      arch: 'vtd',
      line: line.number,
      explain: '',
      where: { at: 'hw.root' },
    };
    if (start) {
      draft.iommu = start.unit;
      draft.iova = hexPlain(start.iova);
    }
    if (fault && (!start || fault.addr === hexPlain(start.iova))) {
      draft.fault_line = fault.line;
      if (typeof fault.device === 'string') draft.device = fault.device;
      if (typeof fault.pasid === 'string') draft.pasid = fault.pasid;
    }
    this.#open = {
      draft,
      scalable: null,
      root: null,
      context: null,
      directory: null,
      entry: [null, null, null, null, null, null, null, null],
      ptes: [],
      stopped: null,
    };
    this.#sink.record(draft);
  }

  #finish(): void {
    const w = this.#open;
    this.#open = null;
    if (!w) return;
    complete(w);
    this.#sink.vtd?.walk(w);
  }

  end(): void {
    this.#finish();
  }
}

/** The words of the PASID entry, as far as they were printed one after the other. */
export function entryWords(w: Walk): bigint[] | null {
  const n = w.entry.indexOf(null);
  const words = (n < 0 ? w.entry : w.entry.slice(0, n)) as bigint[];
  return words.length < 3 ? null : [...words, ...Array<bigint>(8 - words.length).fill(0n)];
}

function complete(w: Walk): void {
  const d = w.draft;
  if (w.root) {
    if (w.root.hi !== null) d.root_hi = word64(w.root.hi);
    d.root_lo = word64(w.root.lo);
  }
  if (w.scalable !== null) d.mode = w.scalable ? 'scalable' : 'legacy';
  if (w.context) {
    d.context_hi = word64(w.context.hi);
    d.context_lo = word64(w.context.lo);
    if (w.scalable === false) d.context = legacyContextFacts([w.context.lo, w.context.hi]);
  }
  if (w.directory !== null) d.pasid_directory = word64(w.directory);
  const entry = entryWords(w);
  if (entry) {
    d.pasid_entry = pasidEntryFacts(entry);
    d.raw = entry.map(word64);
    d.layout = pasidLayout.id;
  } else if (w.context && w.scalable !== null) {
    d.raw = [w.context.lo, w.context.hi].map(word64);
    d.layout = w.scalable ? contextLayout.id : 'vtd.context.legacy';
    if (w.scalable) d.raw = [...(d.raw as string[]), word64(0n), word64(0n)];
  } else if (w.root) {
    d.raw = [w.root.lo, w.root.hi ?? 0n].map(word64);
    d.layout = w.scalable ? rootLayout.id : 'vtd.root.legacy';
  }
  if (w.ptes.length > 0) d.ptes = w.ptes.map((p) => ({ level: p.level, value: word64(p.value) }));
  if (w.stopped !== null) d.stopped_at = w.stopped;
  d.where = { at: place(w) };
  d.explain = explain(w, entry);
}

function place(w: Walk): string {
  if (w.ptes.length > 0 || w.stopped?.startsWith('page table not')) {
    const entry = entryWords(w);
    const pgtt = entry ? Number(getField(fieldOf(pasidLayout, 'PGTT'), entry)) : 2;
    return pgtt === 1 ? 'hw.fswalk' : 'hw.sswalk';
  }
  return w.directory !== null || w.entry[0] !== null ? 'hw.pasid' : 'hw.root';
}

function explain(w: Walk, entry: bigint[] | null): string {
  const iova = typeof w.draft.iova === 'string' ? ` for ${w.draft.iova}` : '';
  const parts: string[] = [];
  const { context } = w;
  if (context) parts.push(`context entry: ${contextText([context.lo, context.hi, 0n, 0n], w.scalable !== false)}`);
  if (w.directory !== null && (w.directory & P) === 0n) parts.push('PASID directory entry: not present');
  if (entry) parts.push(`PASID entry: ${pasidEntryText(entry)}`);
  for (const p of w.ptes) parts.push(`level ${p.level}: ${hexPlain(p.value)}`);
  const end =
    w.stopped !== null ? `; it stops because ${because(w, w.stopped)}` : '; the text does not show where it ends';
  const nested = entry && Number(getField(fieldOf(pasidLayout, 'PGTT'), entry));
  const warning =
    nested === 3 && w.ptes.length > 0
      ? `. The entry is ${pgttName(3)}, but Linux walks only the second stage here, with the device's address: these levels say nothing about the fault`
      : '';
  return `Linux's own walk of the tables${iova}${parts.length > 0 ? `: ${parts.join('; ')}` : ''}${end}${warning}.`;
}

/** The kernel's last line in words; the root entry's half that it looked at is the one of the device. */
function because(w: Walk, stopped: string): string {
  if (stopped !== 'context table is not present' || !w.root) return `the ${stopped.replace(/^the /, '')}`;
  const lp = (w.root.lo & P) === 1n;
  const up = w.root.hi !== null && (w.root.hi & P) === 1n;
  if (w.root.hi === null) return 'the root entry of the bus is not present';
  if (lp && !up) return 'the root entry has a context table only for devices 00 to 0f of the bus (UP is 0)';
  if (up && !lp) return 'the root entry has a context table only for devices 10 to 1f of the bus (LP is 0)';
  return 'the root entry of the bus is not present';
}
