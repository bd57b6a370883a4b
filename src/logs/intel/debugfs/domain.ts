/** `domain_translation_struct`: the pages that a device's tables map. */

import { hexPlain } from '../../../engine/bits/index.ts';
import { vtdLevelShift } from '../../../engine/vtd/layout/index.ts';
import { counted, fileRecord, MOST_ROWS, value } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';

const HEAD = /^Device ([\w:.]{5,40})(?: with pasid ([0-9a-f]{1,8}))?\s+@\s*(?:0x)?([0-9a-f]{1,16})$/i;
const COLUMNS = /^(?:(?:IOVA_PFN|PML5E|PML4E|PDPE|PDE|PTE)(?:\s+|$))+$/;
const ROW = /^(?:0x([0-9a-f]{1,13})\s*\|\s*)?((?:0x[0-9a-f]{1,16}(?:\s+|$)){1,5})$/i;
const levelOf: Readonly<Record<string, number>> = { PML5E: 5, PML4E: 4, PDPE: 3, PDE: 2, PTE: 1 };

interface Row {
  readonly pfn: bigint;
  /** Entry of each level, 1 to 5. */
  readonly path: (bigint | undefined)[];
}

const ADDRESS = 0x000f_ffff_ffff_f000n;

function rowFacts(r: Row): Record<string, unknown> {
  const level = [1, 2, 3].find((l) => (r.path[l] ?? 0n) !== 0n) ?? 1;
  const entry = r.path[level] ?? 0n;
  const size = 1n << BigInt(vtdLevelShift(level));
  return {
    iova: hexPlain(r.pfn << 12n),
    pa: hexPlain(entry & ADDRESS & ~(size - 1n)),
    ...(level > 1 ? { size: hexPlain(size) } : {}),
    entry: hexPlain(entry),
  };
}

export const domainFile: FileKind = {
  begin(text, next, line, sink): OpenFile | null {
    const head = HEAD.exec(text);
    if (!head || !(COLUMNS.test(next) || ROW.test(next))) return null;
    const d = fileRecord('domain_translation_struct', line, 'hw.sswalk');
    d.device = (head[1] as string).toLowerCase();
    d.pasid = head[2] === undefined ? null : Number.parseInt(head[2], 16);
    d.pgd = hexPlain(value(head[3] as string));
    sink.record(d);
    let columns: string[] = [];
    let at = 0;
    const rows: Row[] = [];
    return {
      line(t) {
        if (COLUMNS.test(t)) {
          columns = t.split(/\s+/).filter((c) => c !== 'IOVA_PFN');
          at = 0;
          return true;
        }
        const m = ROW.exec(t);
        if (!m || columns.length === 0 || rows.length >= MOST_ROWS) return false;
        const cells = (m[2] as string).trim().split(/\s+/);
        if (cells.length > columns.length) return false;
        const row = m[1] === undefined ? rows[at++] : { pfn: value(m[1]), path: [] };
        if (!row) return false;
        if (m[1] !== undefined) rows.push(row);
        cells.forEach((c, i) => {
          row.path[levelOf[columns[i] as string] as number] = value(c);
        });
        return true;
      },
      end() {
        const top = [5, 4].find((l) => rows.some((r) => (r.path[l] ?? 0n) !== 0n));
        d.levels = top ?? 3;
        d.rows = rows.map(rowFacts);
        sink.vtd?.pages({
          device: String(d.device),
          pasid: d.pasid as number | null,
          root: value(head[3] as string),
          levels: d.levels as number,
          rows,
        });
        const who = `${d.device}${d.pasid === null ? '' : `, PASID ${d.pasid}`}`;
        d.explain = `The tables of ${who} begin at ${d.pgd}, have ${d.levels} levels, and the text shows ${counted(rows.length, 'page')} of them.`;
      },
    };
  },
};
