/** `dmar_translation_struct`: root, context and PASID entries of every device. */

import { hexPlain } from '../../../engine/bits/index.ts';
import { contextLayout, contextLegacyLayout, pasidLayout } from '../../../engine/vtd/layout/index.ts';
import type { TextLine } from '../../lines.ts';
import type { Sink } from '../../reader.ts';
import type { Draft } from '../../record.ts';
import { word64 } from '../../words.ts';
import {
  contextText,
  fieldsOf,
  legacyContextFacts,
  pasidEntryFacts,
  pasidEntryFaults,
  pasidEntryText,
} from '../entries.ts';
import { requesterId } from '../records.ts';
import { counted, fileRecord, MOST_ROWS, value } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';

const HEAD = /^IOMMU:? (dmar\d{1,3}):\s+Root Table Address:\s*(?:0x)?([0-9a-f]{1,16})$/i;
const OFF = /^DMA Remapping is not enabled on (dmar\d{1,3})$/;
const HEADINGS = /^(?:(?:B\.D\.F|Root_entry|Context_entry|PASID|PASID_table_entry)(?:\s+|$))+$/;
const TOKENS =
  /^(?:(?:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]|0x[0-9a-f]{1,16}(?::0x[0-9a-f]{1,16}){1,2}|-1|\d{1,7})(?:\s+|$))+$/i;

/** Kernels 4.20 to 5.2 print the root entries and their context entries, of legacy mode only, as lists. */
const OLD_HEADINGS = /^(?:Root Table Entries:|Context Table Entries for Bus: \d{1,3}|Entry\s+B:D\.F\s+High\s+Low)$/;
const OLD_ROOT = /^Bus: (\d{1,3}) H: ([0-9a-f]{1,16}) L: ([0-9a-f]{1,16})$/i;
const OLD_CONTEXT = /^\d{1,3}\s+([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+([0-9a-f]{1,16})\s+([0-9a-f]{1,16})$/i;

/** What one row of the file holds, as far as the text gives it. */
export interface TranslationRow {
  readonly unit: string;
  readonly rootTable: bigint;
  readonly device: string;
  readonly line: TextLine;
  root: { hi: bigint; lo: bigint } | null;
  context: { hi: bigint; lo: bigint } | null;
  /** -1: legacy mode; null: not in the text. */
  pasid: number | null;
  /** Words 0 to 2 of the PASID entry. */
  entry: readonly bigint[] | null;
}

/** Kernels print the PASID entry as word 2 : word 1 : word 0; an early form as word 0 : word 1 : word 2. */
function ordered(a: bigint, b: bigint, c: bigint): bigint[] {
  const likely = (w: bigint): boolean => (w & 1n) === 1n && [1n, 2n, 3n, 4n].includes((w >> 6n) & 7n);
  return !likely(c) && likely(a) ? [a, b, c] : [c, b, a];
}

function rowFacts(r: TranslationRow): Record<string, unknown> {
  const mode = r.pasid === -1 ? 'legacy' : r.pasid === null ? null : 'scalable';
  const { root, context, entry } = r;
  return {
    iommu: r.unit,
    root_table: hexPlain(r.rootTable),
    device: r.device,
    mode,
    ...(root ? { root_lo: hexPlain(root.lo), ...(root.hi === 0n ? {} : { root_hi: hexPlain(root.hi) }) } : {}),
    ...(context && mode === 'legacy' ? { context: legacyContextFacts([context.lo, context.hi]) } : {}),
    ...(context && mode !== 'legacy'
      ? {
          context_lo: hexPlain(context.lo),
          context_hi: hexPlain(context.hi),
          context_fields: fieldsOf(contextLayout, [context.lo, context.hi, 0n, 0n]),
        }
      : {}),
    pasid: mode === 'legacy' ? null : r.pasid,
    ...(entry && mode !== 'legacy' ? { pasid_entry: pasidEntryFacts([...entry, 0n, 0n, 0n, 0n, 0n]) } : {}),
  };
}

/** The entry of a row as a record of its own, for the bit ruler. */
function entryRecord(r: TranslationRow, owner: Draft): Draft | null {
  const rid = requesterId(r.device);
  const place = { ...(rid === null ? {} : { sid: hexPlain(rid) }) };
  const base = {
    vendor: 'intel',
    arch: 'vtd',
    line: r.line.number,
    part_of: owner.line,
    iommu: r.unit,
    device: r.device,
  };
  if (r.entry && r.pasid !== null && r.pasid >= 0) {
    const words = [...r.entry, 0n, 0n, 0n, 0n, 0n];
    const illegal = pasidEntryFaults(words);
    return {
      type: 'vtd_pasid_entry',
      ...base,
      pasid: hexPlain(r.pasid),
      ...(illegal.length > 0 ? { legal: false, illegal } : {}),
      raw: words.map(word64),
      layout: pasidLayout.id,
      fields: fieldsOf(pasidLayout, words),
      explain: `Device ${r.device} and PASID ${hexPlain(r.pasid)}: ${pasidEntryText(words)}.`,
      where: { at: 'hw.pasid', ...place },
    };
  }
  if (!r.context || r.pasid === null) return null;
  const words = [r.context.lo, r.context.hi];
  return {
    type: 'vtd_context_entry',
    ...base,
    raw: words.map(word64),
    layout: contextLegacyLayout.id,
    fields: fieldsOf(contextLegacyLayout, words),
    explain: `Device ${r.device}: ${contextText(words, false)}.`,
    where: { at: 'hw.root', ...place },
  };
}

class TranslationFile implements OpenFile {
  readonly #sink: Sink;
  readonly #draft: Draft;
  readonly #rows: TranslationRow[] = [];
  readonly #off: string[] = [];
  #unit: { name: string; table: bigint } | null = null;
  /** A heading names PASIDs; before 5.3 the file knew legacy mode alone. */
  #pasids = false;
  #oldRoot: { hi: bigint; lo: bigint } | null = null;

  constructor(line: TextLine, sink: Sink) {
    this.#sink = sink;
    this.#draft = fileRecord('dmar_translation_struct', line, 'hw.root');
    sink.record(this.#draft);
  }

  line(text: string, line: TextLine): boolean {
    const head = HEAD.exec(text);
    if (head) {
      this.#unit = { name: head[1] as string, table: value(head[2] as string) };
      return true;
    }
    const off = OFF.exec(text);
    if (off) {
      this.#off.push(off[1] as string);
      return true;
    }
    if (OLD_HEADINGS.test(text)) return true;
    if (this.#unit && this.#old(text, line)) return true;
    if (HEADINGS.test(text)) {
      this.#pasids ||= text.includes('PASID');
      return true;
    }
    if (!TOKENS.test(text) || !this.#unit || this.#rows.length >= MOST_ROWS) return false;
    return text.split(/\s+/).every((t) => this.#token(t, line));
  }

  /** A line of the old lists. */
  #old(text: string, line: TextLine): boolean {
    const root = OLD_ROOT.exec(text);
    if (root) {
      this.#oldRoot = { hi: value(root[2] as string), lo: value(root[3] as string) };
      return true;
    }
    const context = OLD_CONTEXT.exec(text);
    if (!context || this.#rows.length >= MOST_ROWS) return false;
    const row = this.#begin(context[1] as string, line);
    row.root = this.#oldRoot;
    row.context = { hi: value(context[2] as string), lo: value(context[3] as string) };
    row.pasid = -1;
    return true;
  }

  #begin(device: string, line: TextLine): TranslationRow {
    const unit = this.#unit as { name: string; table: bigint };
    const row: TranslationRow = {
      unit: unit.name,
      rootTable: unit.table,
      device: device.toLowerCase(),
      line,
      root: null,
      context: null,
      pasid: null,
      entry: null,
    };
    this.#rows.push(row);
    return row;
  }

  #token(t: string, line: TextLine): boolean {
    if (/^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(t)) {
      this.#begin(t, line);
      return true;
    }
    let row = this.#rows.at(-1);
    if (!row) return false;
    if (/^-?\d{1,7}$/.test(t)) {
      // A further PASID of the same device, without its other columns.
      if (row.pasid !== null) {
        row = { ...row, line, pasid: null, entry: null };
        this.#rows.push(row);
      }
      row.pasid = Number(t);
      return true;
    }
    const words = t.split(':').map(value);
    if (words.length === 3) {
      row.entry ??= ordered(words[0] as bigint, words[1] as bigint, words[2] as bigint);
      return true;
    }
    const pair = { hi: words[0] as bigint, lo: words[1] as bigint };
    if (!row.root) row.root = pair;
    else row.context ??= pair;
    return true;
  }

  end(): void {
    const d = this.#draft;
    for (const r of this.#rows) if (!this.#pasids && r.context) r.pasid ??= -1;
    d.rows = this.#rows.map(rowFacts);
    if (this.#off.length > 0) d.not_enabled = this.#off;
    const devices = new Set(this.#rows.map((r) => `${r.unit} ${r.device}`)).size;
    const units = [...new Set(this.#rows.map((r) => r.unit))].join(', ');
    const what = `${counted(this.#rows.length, 'entry', 'entries')} of ${counted(devices, 'device')}`;
    d.explain =
      this.#rows.length === 0
        ? this.#off.length > 0
          ? `DMA remapping is not enabled on ${this.#off.join(', ')}.`
          : 'The translation structures of a unit; the text shows no device.'
        : `The translation structures of ${units}: ${what}.`;
    for (const r of this.#rows) {
      this.#sink.vtd?.row(r);
      const record = entryRecord(r, d);
      if (record) this.#sink.record(record);
    }
  }
}

export const translationFile: FileKind = {
  begin(text, _next, line, sink): OpenFile | null {
    if (!HEAD.test(text) && !OFF.test(text)) return null;
    const file = new TranslationFile(line, sink);
    file.line(text, line);
    return file;
  },
};
