/** `iommu_regset`: the registers of a unit. */

import { decode, hexPlain } from '../../../engine/bits/index.ts';
import { registerByName } from '../../../engine/vtd/layout/index.ts';
import type { Draft } from '../../record.ts';
import { statusNames } from '../records.ts';
import { fileRecord, value } from './file-record.ts';
import type { FileKind, OpenFile } from './reader.ts';

const HEAD = /^IOMMU: (dmar\d{1,3})\s+Register Base Address:\s*(?:0x)?([0-9a-f]{1,16})$/i;
const ROW = /^([A-Z][A-Z0-9_]{1,20})\s+0x([0-9a-f]{1,4})\s+0x([0-9a-f]{1,16})$/i;

/** Head of a file that may be this one or `dmar_perf_latency`. */
export const unitHead = (text: string): { unit: string; base: bigint } | null => {
  const m = HEAD.exec(text);
  return m ? { unit: m[1] as string, base: value(m[2] as string) } : null;
};

/** Flags of a register that are set, the highest first. */
function flags(name: string, v: bigint): string[] {
  const layout = registerByName(`${name}_REG`)?.layout;
  if (!layout) return [];
  return [...layout.fields]
    .filter((f) => f.format === 'flag' && (v >> BigInt(f.lo)) & 1n)
    .sort((a, b) => b.lo - a.lo)
    .map((f) => f.name);
}

function fieldsOf(name: string, v: bigint): Record<string, number> {
  const layout = registerByName(`${name}_REG`)?.layout;
  return layout ? Object.fromEntries(Object.entries(decode(layout, [v])).map(([k, x]) => [k, Number(x)])) : {};
}

function complete(d: Draft, unit: string, regs: ReadonlyMap<string, bigint>): void {
  d.regs = Object.fromEntries([...regs].map(([n, v]) => [n, hexPlain(v)]));
  const version = regs.get('VER');
  if (version !== undefined) d.version = `${(version >> 4n) & 15n}.${version & 15n}`;
  const gsts = regs.get('GSTS');
  if (gsts !== undefined) d.gsts_bits = flags('GSTS', gsts);
  const fsts = regs.get('FSTS');
  if (fsts !== undefined) d.fsts_bits = statusNames(Number(fsts));
  for (const name of ['CAP', 'ECAP'] as const) {
    const v = regs.get(name);
    if (v !== undefined) d[`${name.toLowerCase()}_fields`] = fieldsOf(name, v);
  }
  const rtaddr = regs.get('RTADDR');
  if (rtaddr !== undefined) {
    d.root_table = hexPlain(rtaddr & ~0xfffn);
    d.table_mode = ['legacy', 'scalable', 'reserved', 'abort'][Number((rtaddr >> 10n) & 3n)];
  }
  const iqh = regs.get('IQH');
  const iqt = regs.get('IQT');
  if (iqh !== undefined && iqt !== undefined) d.queue_empty = iqh === iqt;
  const on = gsts === undefined ? null : ((gsts >> 31n) & 1n) === 1n;
  const parts = [
    on === null ? null : on ? 'DMA remapping is on' : 'DMA remapping is off: requests pass untranslated',
    rtaddr === undefined ? null : `the root table (${d.table_mode} mode) lies at ${d.root_table}`,
    fsts === undefined
      ? null
      : statusNames(Number(fsts)).length === 0
        ? 'no fault is reported'
        : `it reports ${statusNames(Number(fsts)).join(', ')}`,
  ].filter((p) => p !== null);
  d.explain = `Registers of ${unit}${parts.length > 0 ? `: ${parts.join('; ')}` : ''}.`;
}

export const registerFile: FileKind = {
  begin(text, next, line, sink): OpenFile | null {
    const head = unitHead(text);
    if (!head || !(/^Name\s+Offset/i.test(next) || ROW.test(next))) return null;
    const d = fileRecord('iommu_regset', line, 'hw.unit');
    d.iommu = head.unit;
    d.reg_base = hexPlain(head.base);
    sink.record(d);
    const regs = new Map<string, bigint>();
    return {
      line(t) {
        if (/^Name\s+Offset\s+Contents$/i.test(t)) return true;
        const m = ROW.exec(t);
        if (!m || regs.size > 256) return false;
        regs.set((m[1] as string).toUpperCase(), value(m[3] as string));
        return true;
      },
      end() {
        complete(d, head.unit, regs);
        const rtaddr = regs.get('RTADDR');
        if (rtaddr !== undefined) sink.vtd?.root(rtaddr, ((rtaddr >> 10n) & 3n) === 1n);
      },
    };
  },
};
