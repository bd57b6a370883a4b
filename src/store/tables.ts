import type { Session, StepRecord } from '../engine/document/index.ts';
import {
  type InspectedRecord,
  type MemoryPlace,
  rawLayout,
  type TableEntry,
  type TableMemory,
  type TableRef,
  type TableRoot,
} from '../engine/machine/index.ts';
import type { MemorySnapshot } from '../engine/memory/index.ts';
import type { Place } from './place.ts';
import type { RecordRef } from './state.ts';

/** Memory as a step found it, by the step: pages that nobody writes are shared. */
const found = new WeakMap<StepRecord, MemorySnapshot>();

function memoryBefore(session: Session, step: number): MemorySnapshot | null {
  const record = session.steps[step];
  if (!record || step === 0) return null;
  let memory = found.get(record);
  if (!memory) {
    memory = session.platformAt(step - 1).memoryState?.();
    if (memory) found.set(record, memory);
  }
  return memory ?? null;
}

const nothing: TableMemory = {
  roots: () => [],
  entries: () => [],
  before: () => [],
  blank: () => true,
  changed: () => false,
  changes: () => [],
  read: () => null,
};

/**
 * The tables at a place. The session has one machine that others move, so each question first brings it there, which costs
 * nothing where it stands.
 */
export function tablesAt(session: Session, place: Place): TableMemory {
  // What the setup has written is everything: only what a step changes is a change.
  const before = memoryBefore(session, place.step);
  const made = session.platformAt(place.step, place.event).tableMemory?.(before);
  if (!made) return nothing;
  const at = (): TableMemory => {
    session.platformAt(place.step, place.event);
    return made;
  };
  let roots: readonly TableRoot[] | null = null;
  return {
    roots: () => (roots ??= at().roots()),
    entries: (ref: TableRef, from: number, count: number): readonly TableEntry[] => at().entries(ref, from, count),
    before: (ref: TableRef, from: number, count: number): readonly TableEntry[] => at().before(ref, from, count),
    blank: (where: MemoryPlace, bytes: number) => at().blank(where, bytes),
    changed: (where: MemoryPlace, bytes: number) => at().changed(where, bytes),
    changes: () => at().changes(),
    read: (where: MemoryPlace, words: number) => at().read(where, words),
  };
}

/** Words of a raw view. */
const RAW = 8;

/** A record in memory as it is at a place, by its layout; null where there is no memory. */
export function recordAt(session: Session, place: Place, r: RecordRef): InspectedRecord | null {
  const { layouts, commands } = session.vendor;
  const known = layouts.find((l) => l.id === r.layout) ?? commands.find((l) => l.id === r.layout);
  const raw = /^raw\.(\d{1,2})$/.exec(r.layout);
  const layout = known ?? rawLayout(raw ? Math.max(1, Number(raw[1])) : RAW);
  const words = tablesAt(session, place).read(r, layout.words);
  return (
    words && {
      title: layout.title,
      layout,
      words,
      address: r.address,
      space: r.space,
      ...(r.guest === undefined ? {} : { guest: r.guest }),
    }
  );
}
