/** Which records have a card of their own, and what each card is called. */

import type { LogRecord } from '../../logs/index.ts';

export interface Card {
  readonly record: LogRecord;
  /** Records that belong to it: the trace lines of a guest command. */
  readonly parts: readonly LogRecord[];
}

/** Records in the order of the text, those that are part of another one inside it. */
export function cardsOf(records: readonly LogRecord[]): Card[] {
  const cards: { record: LogRecord; parts: LogRecord[] }[] = [];
  const owners = new Map<number, LogRecord[]>();
  for (const record of records) {
    const owner = typeof record['part_of'] === 'number' ? owners.get(record['part_of']) : undefined;
    if (owner && record.type === 'qemu_trace') {
      owner.push(record);
      continue;
    }
    const card = { record, parts: [] as LogRecord[] };
    cards.push(card);
    if (record.type === 'qemu_guest_command') owners.set(record.line, card.parts);
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
};

/** Heading of a card. */
export function titleOf(r: LogRecord): string {
  const known = titles[r.type];
  if (known) {
    const level = r.type === 'vmsav8_table' ? `, stage ${r['stage']} level ${r['level']}` : '';
    return `${known}${level}${typeof r['address'] === 'string' ? ` at ${r['address']}` : ''}`;
  }
  return String(r['event'] ?? r['command'] ?? r.type);
}
