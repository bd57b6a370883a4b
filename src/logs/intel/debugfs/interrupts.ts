/** `ir_translation_struct`: interrupt remapping entries. */

import { decode, hexPlain } from '../../../engine/bits/index.ts';
import { deviceText, irteLayoutOf } from '../../../engine/vtd/layout/index.ts';
import { counted, fileRecord, MOST_ROWS, value } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';

const HEAD = /^(Remapped|Posted) Interrupt supported on IOMMU:\s*(dmar\d{1,3})$/;
const TABLE = /^IR table address:\s*(?:0x)?([0-9a-f]{1,16})$/i;
const COLUMNS = /^Entry\s+SrcID\s+(?:DstID|PDA_high\s+PDA_low)\s+Vct\s+IRTE_high\s+IRTE_low$/;
const ROW =
  /^(\d{1,5})\s+([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\s+([0-9a-f]{8})(?:\s+([0-9a-f]{1,8}))?\s+([0-9a-f]{2})\s+([0-9a-f]{16})\s+([0-9a-f]{16})$/i;

interface Table {
  readonly iommu: string;
  readonly kind: 'remapped' | 'posted';
  table?: string;
  enabled?: false;
  readonly entries: Record<string, unknown>[];
}

function entry(m: RegExpExecArray): Record<string, unknown> {
  const words = [value(m[7] as string), value(m[6] as string)];
  const layout = irteLayoutOf(words);
  const f = decode(layout, words);
  return {
    index: Number(m[1]),
    src: deviceText(Number(f.SID)),
    ...(f.IM === 1n
      ? { pda: hexPlain(((f.PDA_H ?? 0n) << 32n) | ((f.PDA_L ?? 0n) << 6n)) }
      : { dst: hexPlain(f.DST ?? 0n) }),
    vector: hexPlain(f.V ?? 0n),
    P: Number(f.P),
    irte_high: hexPlain(words[1] as bigint),
    irte_low: hexPlain(words[0] as bigint),
  };
}

export const interruptFile: FileKind = {
  begin(text, _next, line, sink): OpenFile | null {
    if (!HEAD.test(text)) return null;
    const d = fileRecord('ir_translation_struct', line, 'hw.unit');
    const tables: Table[] = [];
    sink.record(d);
    const file: OpenFile = {
      line(t) {
        const head = HEAD.exec(t);
        if (head) {
          tables.push({ iommu: head[2] as string, kind: head[1] === 'Posted' ? 'posted' : 'remapped', entries: [] });
          return true;
        }
        const now = tables.at(-1);
        if (!now) return false;
        const table = TABLE.exec(t);
        if (table) {
          now.table = hexPlain(value(table[1] as string));
          return true;
        }
        if (COLUMNS.test(t)) return true;
        if (t === 'Interrupt Remapping is not enabled') {
          now.enabled = false;
          return true;
        }
        const m = ROW.exec(t);
        if (!m || now.entries.length >= MOST_ROWS) return false;
        now.entries.push(entry(m));
        return true;
      },
      end() {
        d.tables = tables;
        const parts = tables.map(
          (x) =>
            `${x.iommu}: ${x.enabled === false ? 'off' : counted(x.entries.length, `${x.kind} entry`, `${x.kind} entries`)}`,
        );
        d.explain = `The interrupt remapping tables (${parts.join('; ')}).`;
      },
    };
    file.line(text, line);
    return file;
  },
};
