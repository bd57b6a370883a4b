/** Lines of the walk that Linux prints after a fault with CONFIG_DMAR_DEBUG. Source: dmar_fault_dump_ptes in intel/iommu.c. */

import { Cursor } from '../cursor.ts';

export type DumpLine =
  | { readonly kind: 'start'; readonly unit: string; readonly iova: bigint }
  | { readonly kind: 'root'; readonly hi: bigint | null; readonly lo: bigint; readonly scalable: boolean }
  | { readonly kind: 'context'; readonly hi: bigint; readonly lo: bigint }
  | { readonly kind: 'directory'; readonly value: bigint }
  | { readonly kind: 'entry'; readonly index: number; readonly value: bigint }
  | { readonly kind: 'pte'; readonly level: number; readonly value: bigint }
  | { readonly kind: 'stop'; readonly text: string };

export interface ParsedDumpLine {
  readonly line: DumpLine;
  readonly complete: boolean;
  readonly score: number;
}

const whole = (line: DumpLine): ParsedDumpLine => ({ line, complete: true, score: 3 });

const stops = [
  'root table is not present',
  'context table is not present',
  'legacy mode page table is not present',
  'pasid directory table is not present',
  'pasid table is not present',
  'scalable mode page table is not present',
] as const;

/** `hi 0x.., low 0x..`; null where a part is missing. */
function pair(c: Cursor): { hi: bigint; lo: bigint } | null {
  if (!c.lit('hi')) return null;
  const hi = c.hex(',');
  if (hi === null || !c.lit(', low')) return null;
  const lo = c.hex();
  return lo === null ? null : { hi, lo };
}

/** Reads one line of a dump, or null. Without all its numbers a line says nothing. */
export function parseDumpLine(text: string): ParsedDumpLine | null {
  const c = new Cursor(text);
  if (c.lit('Dump ')) {
    const unit = c.until('table entries', 16);
    if (unit === null || !/^dmar\d{1,3}$/.test(unit) || !c.lit('table entries for IOVA')) return null;
    const iova = c.hex();
    return iova === null ? null : whole({ kind: 'start', unit, iova });
  }
  if (c.lit('scalable mode root entry:')) {
    const p = pair(c);
    return p && whole({ kind: 'root', ...p, scalable: true });
  }
  if (c.lit('root entry:')) {
    const lo = c.hex();
    return lo === null ? null : whole({ kind: 'root', hi: null, lo, scalable: false });
  }
  if (c.lit('context entry:')) {
    const p = pair(c);
    return p && whole({ kind: 'context', ...p });
  }
  if (c.lit('pasid dir entry:')) {
    const value = c.hex();
    return value === null ? null : whole({ kind: 'directory', value });
  }
  if (c.lit('pasid table entry[')) {
    const index = c.dec();
    if (index === null || index > 7 || !c.lit(']:')) return null;
    const value = c.hex();
    return value === null ? null : whole({ kind: 'entry', index, value });
  }
  if (c.lit('pte level:')) {
    const level = c.dec();
    if (level === null || level > 5 || !c.lit(', pte value:')) return null;
    const value = c.hex();
    return value === null ? null : whole({ kind: 'pte', level, value });
  }
  if (c.lit('page table not present at level')) {
    const level = c.dec();
    return level === null ? null : whole({ kind: 'stop', text: `page table not present at level ${level}` });
  }
  for (const text of stops) if (c.lit(text)) return whole({ kind: 'stop', text });
  return null;
}

const START =
  /\bDump dmar\d{1,3}\b|\b(?:scalable mode )?root entry:|\bcontext entry: ?(?:hi|$)|\bpasid dir entry:|\bpasid table entry\[|\bpte level:|\bpage table not present at|\b(?:root|context|pasid directory|pasid|(?:legacy|scalable) mode page) table is not\b/;

/** Index of the first line of a dump in a body, or -1. */
export const findDumpLine = (body: string): number => START.exec(body)?.index ?? -1;
