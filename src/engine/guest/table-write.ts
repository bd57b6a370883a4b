import { hex } from '../bits/index.ts';
import { sizeText } from '../pagetable/page-sizes.ts';
import type { TableWrite } from '../pagetable/table-steps.ts';
import type { Cpu } from './cpu-table.ts';

/**
 * Shows entries of a DMA domain's table that the driver has just written.
 * @param stage what the IOMMU's specification calls such a table for short: `S1`, `FS`
 * @param tableBytes size of one table, @param address address field of an entry
 */
export function showTableWrite(
  c: Pick<Cpu, 'trace'>,
  at: string,
  w: TableWrite,
  stage: string,
  tableBytes: number,
  address: bigint,
): void {
  c.trace.listener?.({
    kind: 'table.write',
    actor: 'guest',
    at,
    space: 'guest',
    address: w.address,
    words: w.words,
    layout: w.layout,
    text: `${stage} ${writeText(w, tableBytes, address)}`,
  });
}

/** `L3[16] = 0x...f47: 0x1_0000 → 0x4020_0000` */
function writeText(w: TableWrite, tableBytes: number, address: bigint): string {
  const index = (w.address % tableBytes) / 8;
  const slot = `L${w.level}[${w.count > 1 ? `${index}..${index + w.count - 1}` : index}]`;
  const word = w.words[0] ?? 0n;
  if (word === 0n) return `${slot} = 0: ${w.text}`;
  const target = word & address & ~BigInt(w.leaf ? w.size - 1 : 0);
  const many = w.count > 1 ? `${w.count} x ${sizeText(w.size)} ` : '';
  return w.leaf
    ? `${slot} = ${hex(word)}: ${many}${hex(w.iova)} → ${hex(target)}`
    : `${slot} = ${hex(word)}: table for ${hex(w.iova)} at ${hex(target)}`;
}
