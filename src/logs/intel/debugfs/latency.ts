/** `dmar_perf_latency`: how long invalidations took. */

import { hexPlain } from '../../../engine/bits/index.ts';
import { counted, fileRecord } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';
import { unitHead } from './registers.ts';

const COLUMN = /<0\.1us|0\.1us-1us|1us-10us|10us-100us|100us-1ms|1ms-10ms|>=10ms|min\(us\)|max\(us\)|average\(us\)/g;
const HEAD_LINE =
  /^(?:(?:<0\.1us|0\.1us-1us|1us-10us|10us-100us|100us-1ms|1ms-10ms|>=10ms|min\(us\)|max\(us\)|average\(us\))\s*)+$/;
const ROW = /^(inv_iotlb|inv_devtlb|inv_iec|svm_prq|prq)((?:\s+-?\d{1,20}){1,12})$/;

const key = (column: string): string => column.replace(/^(min|max|average)\(us\)$/, '$1_us');

export const latencyFile: FileKind = {
  begin(text, next, line, sink): OpenFile | null {
    const head = unitHead(text);
    if (!head || !HEAD_LINE.test(next)) return null;
    const d = fileRecord('dmar_perf_latency', line, 'hw.iq');
    d.iommu = head.unit;
    d.reg_base = hexPlain(head.base);
    sink.record(d);
    let columns: string[] = [];
    const rows = new Map<string, Record<string, number>>();
    return {
      line(t) {
        if (HEAD_LINE.test(t)) {
          columns = [...t.matchAll(COLUMN)].map((m) => key(m[0]));
          return true;
        }
        const m = ROW.exec(t);
        if (!m) return /^Failed to get latency snapshot/.test(t);
        const row = rows.get(m[1] as string) ?? {};
        (m[2] as string)
          .trim()
          .split(/\s+/)
          .forEach((v, i) => {
            const name = columns[i];
            if (name !== undefined && (Number(v) !== 0 || name.endsWith('_us'))) row[name] = Number(v);
          });
        rows.set(m[1] as string, row);
        return true;
      },
      end() {
        for (const [name, row] of rows) d[name] = row;
        const parts = [...rows].map(([name, row]) => {
          const n = Object.entries(row).reduce((sum, [k, v]) => (k.endsWith('_us') ? sum : sum + v), 0);
          return `${name}: ${counted(n, 'time')}${row.average_us === undefined ? '' : `, ${row.average_us} µs on average`}`;
        });
        d.explain = `How long requests to ${head.unit} took${parts.length > 0 ? ` (${parts.join('; ')})` : ''}.`;
      },
    };
  },
};
