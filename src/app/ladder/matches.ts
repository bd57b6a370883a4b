import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Selection, StepRecord } from '../../store/index.ts';
import type { LadderRow } from '../../views/ladder/index.ts';

/** Has the event to do with what is selected: the object, its cache row or queue entry, or the record in memory? */
export function matches(e: TraceEvent, s: Selection): boolean {
  const r = s.record;
  if (r) {
    const space = e.kind === 'table.write' ? e.space : 'host';
    if (e.kind !== 'table.write' && e.kind !== 'memory.read') return false;
    return space === r.space && r.address >= e.address && r.address < e.address + 8 * e.words.length;
  }
  if (s.id === '') return false;
  if (s.row !== undefined)
    return (
      (e.kind === 'cache.fill' || e.kind === 'cache.hit' || e.kind === 'cache.remove') &&
      e.at === s.id &&
      e.entry.id === s.row
    );
  if (s.index !== undefined)
    return (
      (e.kind === 'command.post' || e.kind === 'command.fetch' || e.kind === 'command.error') &&
      e.at === s.id &&
      e.index === s.index
    );
  return e.at === s.id || e.to === s.id;
}

/** Does the line stand for an event that has to do with what is selected? */
export function rowMatches(row: LadderRow, record: StepRecord, s: Selection | null): boolean {
  if (s === null) return false;
  if (s.event) return s.event.step === row.step && s.event.event >= row.from && s.event.event <= row.to;
  if (row.kind === 'hazard') return record.hazards[row.index]?.at === s.id;
  if (row.kind === 'step' || row.to < row.from) return false;
  const { events } = record;
  for (let i = row.from - 1; i < row.to; i++) if (matches(events[i]!, s)) return true;
  return false;
}
