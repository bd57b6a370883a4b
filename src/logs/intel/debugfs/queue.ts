/** `invalidation_queue`: the descriptors that lie in the queue of a unit. */

import { hexPlain } from '../../../engine/bits/index.ts';
import { descriptorFacts, descriptorFaults, descriptorMeaning } from '../descriptor.ts';
import { counted, fileRecord, MOST_ROWS, value } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';

const HEAD = /^Invalidation queue on IOMMU:\s*(dmar\d{1,3})$/;
const PLACE = /^Base:\s*0x([0-9a-f]{1,16})\s+Head:\s*(\d{1,9})\s+Tail:\s*(\d{1,9})$/i;
const COLUMNS = /^(?:(?:Index|qw[0-3]|status)(?:\s+|$))+$/i;
const ROW = /^(?:\d{1,5}\s+)?(?:[0-9a-f]{8,16}(?:\s+|$)){1,5}$/i;

interface Row {
  index: number;
  readonly words: bigint[];
}

export const queueFile: FileKind = {
  begin(text, _next, line, sink): OpenFile | null {
    const head = HEAD.exec(text);
    if (!head) return null;
    const d = fileRecord('invalidation_queue', line, 'hw.iq');
    d.iommu = head[1];
    sink.record(d);
    let columns: string[] = [];
    let next = 0;
    let wide = false;
    const rows: Row[] = [];
    return {
      line(t) {
        const place = PLACE.exec(t);
        if (place) {
          d.base = hexPlain(value(place[1] as string));
          d.head = Number(place[2]);
          d.tail = Number(place[3]);
          d.empty = place[2] === place[3];
          return true;
        }
        if (COLUMNS.test(t)) {
          columns = t.toLowerCase().split(/\s+/);
          next = 0;
          wide ||= columns.includes('qw2');
          return true;
        }
        if (columns.length === 0 || !ROW.test(t)) return false;
        const cells = t.split(/\s+/);
        if (cells.length > columns.length || next >= MOST_ROWS) return false;
        // A block without an index goes on with the rows in their order.
        const row = columns[0] === 'index' ? { index: Number(cells[0]), words: [] } : rows[next];
        if (!row) return false;
        if (columns[0] === 'index') {
          next = rows.length;
          rows.push(row);
        }
        next++;
        cells.forEach((cell, i) => {
          const m = /^qw([0-3])$/.exec(columns[i] as string);
          if (m) row.words[Number(m[1])] = value(cell);
        });
        return true;
      },
      end() {
        if (wide) d.descriptor_bytes = 32;
        else if (columns.length > 0) d.descriptor_bytes = 16;
        const used = rows.filter((r) => r.words.some((w) => w !== 0n));
        d.descriptors = used.map((r) => {
          const words = Array.from(r.words, (w) => w ?? 0n);
          const illegal = descriptorFaults(words);
          return { index: r.index, ...descriptorFacts(words), ...(illegal.length > 0 ? { illegal } : {}) };
        });
        d.explain = explain(String(d.iommu), d.head, d.tail, used);
      },
    };
  },
};

function explain(unit: string, head: unknown, tail: unknown, rows: readonly Row[]): string {
  const at = rows.find((r) => r.index === head);
  const state =
    head === undefined
      ? ''
      : head === tail
        ? '; it is empty: all of them have been read'
        : `; the unit stands at entry ${head}, and software has filled it up to ${tail}${at ? `: entry ${head} ${descriptorMeaning(at.words)}` : ''}`;
  return `The invalidation queue of ${unit} shows ${counted(rows.length, 'descriptor')}${state}.`;
}
