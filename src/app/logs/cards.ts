/** Which records have a card of their own, and what each card is called. */

import type { LogRecord } from '../../logs/index.ts';

export interface Card {
  readonly record: LogRecord;
  /** Records that belong to it: the trace lines of a guest command, the entries of a debugfs file. */
  readonly parts: readonly LogRecord[];
}

/** Records in the order of the text, those that are part of another one inside it. */
export function cardsOf(records: readonly LogRecord[]): Card[] {
  const cards: { record: LogRecord; parts: LogRecord[] }[] = [];
  const owners = new Map<number, LogRecord[]>();
  for (const record of records) {
    const owner = typeof record['part_of'] === 'number' ? owners.get(record['part_of']) : undefined;
    if (owner) {
      owner.push(record);
      continue;
    }
    const card = { record, parts: [] as LogRecord[] };
    cards.push(card);
    if (record.type === 'qemu_guest_command' || record.type === 'debugfs') owners.set(record.line, card.parts);
  }
  return cards;
}

const titles: Readonly<Record<string, string>> = {
  smmuv3_ste: 'STE',
  smmuv3_cd: 'CD',
  smmuv3_l1std: 'L1STD',
  smmuv3_l1cd: 'L1CD',
  smmuv3_page_request: 'Page request',
  smmuv3_undecided: 'Undecided',
  vmsav8_table: 'Page table',
  vmsav8_descriptor: 'Page-table descriptor',
  dma_fault: 'DMA fault',
  intr_remap_fault: 'Interrupt-remapping fault',
  fault_status: 'Fault status',
  invalidation_error: 'Invalidation queue error',
  invalidation_error_cleared: 'Invalidation queue error cleared',
  qi_descriptor: 'Descriptor',
  suppressed: 'Lines left out',
  table_dump: 'Tables as the kernel walks them',
  page_request_error: 'Page request error',
  page_request_overflow: 'Page request queue overflow',
  vtd_unit: 'VT-d unit',
  hardware_malfunction: 'Unit does not answer',
  vtd_fault_record: 'Fault record',
  vtd_page_request: 'Page request',
  vtd_irte: 'IRTE',
  vtd_pasid_entry: 'PASID entry',
  vtd_pasid_directory_entry: 'PASID directory entry',
  vtd_context_entry: 'Context entry',
  vtd_root_entry: 'Root entry',
  vtd_table: 'Page table',
  vtd_paging_entry: 'Page-table entry',
};

/** What tells one card of a type from another. */
function detail(r: LogRecord): string {
  switch (r.type) {
    case 'vmsav8_table':
    case 'vtd_table':
      return `, stage ${r['stage']} level ${r['level']}`;
    case 'dma_fault':
      return r['condition'] === undefined ? '' : ` ${r['condition']}`;
    case 'invalidation_error':
      return ` ${r['error']}`;
    case 'qi_descriptor':
      return ` ${r['which'] === 'HEAD' ? 'at the head' : 'before it'}: ${r['desc_name'] ?? r['printed_name']}`;
    default:
      return '';
  }
}

/** Heading of a card. */
export function titleOf(r: LogRecord): string {
  const known = titles[r.type];
  if (known) return `${known}${detail(r)}${typeof r['address'] === 'string' ? ` at ${r['address']}` : ''}`;
  return String(r['event'] ?? r['command'] ?? r['file'] ?? r.type);
}
